//! A race in one file that is small enough to be kept beside the figures it proves: the document of
//! its results, the settings of every broker, and the seconds of every run, packed. Histograms of
//! the seconds stay where the race ran; they are most of its raw data. Nothing in it is of that
//! machine alone: see [`portable`].

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use ringmq_runtime::disk::Disk;
use serde::Serialize;

use crate::documents::{self, Wanted};
use crate::error::BenchError;
use crate::files;
use crate::versus::portable;
use crate::versus::results::{Kept, Results};

/// The file beside the document.
pub const ARCHIVE: &str = "versus.json.gz";

/// How the files end that go in, apart from the document.
const PACKED: [&str; 2] = [".csv", ".broker.conf"];

/// Largest file that goes in: an hour of seconds has 300 KB.
const FILE_MAX_BYTES: usize = 16 << 20;

/// What is packed; what is read of it is what is read of the document.
#[derive(Serialize)]
struct Archive<'a> {
    #[serde(flatten)]
    results: &'a Results,
    /// By their names.
    files: BTreeMap<String, String>,
}

/// Packs the race whose raw data are in `folder`.
///
/// # Errors
/// The folder cannot be read or written.
pub async fn write(results: &Results, folder: &Path) -> Result<(), BenchError> {
    let read = async {
        let disk = Disk::live(folder)?;
        let mut files = BTreeMap::new();
        for name in disk.list("").await?.into_iter().map(|entry| entry.name) {
            if PACKED.iter().any(|end| name.ends_with(end)) {
                let bytes = disk.read_all(&name, FILE_MAX_BYTES).await?;
                files.insert(name, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        std::io::Result::Ok(files)
    };
    let files = read.await.map_err(|error| BenchError::file(folder, error))?;
    let document = portable::document(&Archive { results, files }).await;
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let packed = packer.write_all(document.to_string().as_bytes()).and_then(|()| packer.finish());
    files::replace(&folder.join(ARCHIVE), &packed.expect("packed in memory")).await
}

/// Reads the race of a document or of what it was packed into.
///
/// # Errors
/// The file cannot be read, or has no race.
pub async fn read(path: &Path) -> Result<Results, BenchError> {
    documents::read::<Kept>(path, Wanted::Race).await.map(Results::of)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests that make files and look at them from outside"
)]
mod tests {
    use ringmq_runtime::shards;
    use serde_json::json;

    use super::*;
    use crate::environment::Environment;
    use crate::versus::results::tests::race;
    use crate::versus::tables;

    fn check(test: impl AsyncFnOnce(&Path) + Send + 'static) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        shards::try_block_on("test", async move { test(&path).await }).unwrap();
    }

    fn told(results: &Results) -> String {
        tables::describe(results, None)
    }

    #[test]
    fn the_table_of_a_packed_race_is_that_of_the_race() {
        check(async |folder| {
            let results = race("sync-64x1", 2, 2.0);
            std::fs::write(folder.join("0001-ours.csv"), "second,msg/s\n1,5\n").unwrap();
            std::fs::write(folder.join("0001-ours.hlog"), "much").unwrap();
            write(&results, folder).await.unwrap();
            let again = read(&folder.join(ARCHIVE)).await.unwrap();
            assert_eq!(told(&again), told(&results));
            let packed = documents::unpacked(std::fs::read(folder.join(ARCHIVE)).unwrap()).unwrap();
            let text = String::from_utf8(packed).unwrap();
            assert!(text.contains("second,msg/s") && !text.contains("much"), "{text}");
        });
    }

    #[test]
    fn the_commands_of_all_parts_are_packed_without_their_places() {
        check(async |folder| {
            let mut results = Results::new(json!({}));
            for place in ["/srv/first", "/srv/second"] {
                let command = format!("bench versus --ours {place}/mqbroker -o {place}/race");
                results.begin_part(Environment { command, ..Environment::default() });
                results.add(race("sync-64x1", 1, 2.0).runs);
            }
            write(&results, folder).await.unwrap();
            let shown = read(&folder.join(ARCHIVE)).await.unwrap().describe_parts();
            let command = "bench versus --ours mqbroker -o race\n";
            assert_eq!(shown.matches(command).count(), 2, "{shown}");
        });
    }

    #[test]
    fn a_race_that_was_kept_with_its_places_can_still_be_read() {
        check(async |folder| {
            let path = folder.join(ARCHIVE);
            let mut results = race("sync-64x1", 2, 2.0);
            let program = "./mqbroker, changed at 1795363287706 ms";
            results.conditions = json!({"our_program": program, "directory": "/srv/data"});
            let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
            packer.write_all(results.to_json().as_bytes()).unwrap();
            std::fs::write(&path, packer.finish().unwrap()).unwrap();
            let again = read(&path).await.unwrap();
            assert_eq!(told(&again), told(&results));
        });
    }

    #[test]
    fn what_is_no_race_is_refused_packed_or_not() {
        check(async |folder| {
            let path = folder.join("file");
            let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
            packer.write_all(b"{\"runs\": []}").unwrap();
            let packed = packer.finish().unwrap();
            for bytes in [&b"{}"[..], &packed, &packed[..8]] {
                std::fs::write(&path, bytes).unwrap();
                let error = read(&path).await.unwrap_err().to_string();
                assert!(error.contains("file"), "{error}");
            }
        });
    }
}
