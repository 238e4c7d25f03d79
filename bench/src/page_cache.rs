//! Files and the page cache: what is dropped from it, and how much of them is in it. The tools of
//! coreutils and util-linux ask the kernel.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringmq_runtime::disk::Disk;

use crate::error::BenchError;
use crate::program::Program;

/// Longest time of a tool: what it drops is written to the device before.
const TOOL_LIMIT: Duration = Duration::from_secs(120);

/// Most of cold files that may be cached, in percent.
const CACHED_MAX_PERCENT: f64 = 2.0;

/// Makes each file durable and drops it.
const DROP_EACH: &str = "for file; do dd if=/dev/null of=\"$file\" oflag=nocache \
     conv=notrunc,fdatasync status=none count=0 || exit; done";

/// The files of the log below a broker's directory, oldest first: both brokers name them by the
/// position of their first byte.
///
/// # Errors
/// There is no log.
pub async fn log_files(home: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let folder = home.join("store/commitlog");
    let listed = async { Disk::live(&folder)?.list("").await }.await;
    let listed = listed.map_err(|error| BenchError::file(&folder, error))?;
    let mut files: Vec<PathBuf> = listed.into_iter().map(|entry| folder.join(entry.name)).collect();
    files.sort();
    Ok(files)
}

/// Makes files durable and drops them from the page cache; the kernel does so while nobody has them
/// mapped. What the tool says goes to the file `log`.
///
/// # Errors
/// `dd` is missing, or fails.
pub async fn drop_files(files: &[PathBuf], log: &Path) -> Result<(), BenchError> {
    tool(&["sh", "-c", DROP_EACH, "sh"], files, log).await.map(|_| ())
}

/// Refuses files of which more is in the page cache than what chance leaves there.
///
/// # Errors
/// `NotCold`; `fincore` is missing, or fails.
pub async fn refuse_cached(files: &[PathBuf], log: &Path) -> Result<(), BenchError> {
    match cached_percent(files, log).await? {
        percent if percent > CACHED_MAX_PERCENT => Err(BenchError::NotCold(percent)),
        _ => Ok(()),
    }
}

/// Before a run, has the kernel write to the devices all that waits for it in the page cache, of
/// all programs: what others have written would stall the groups of the run for 50 to 110 ms. Where
/// it cannot, that is said, and the run begins all the same. What the tool says goes to the file
/// `log`.
pub async fn write_back(log: &Path) {
    if let Err(error) = tool(&["sync"], &[], log).await {
        eprintln!("  the file systems are not synced before this run: {error}");
    }
}

/// How much of files is in the page cache, in percent of their size. What the tool says goes to the
/// file `log`.
///
/// # Errors
/// `fincore` is missing, or fails.
async fn cached_percent(files: &[PathBuf], log: &Path) -> Result<f64, BenchError> {
    let words = ["fincore", "--bytes", "--noheadings", "--output", "RES,SIZE"];
    let told = tool(&words, files, log).await?;
    percent(&told)
        .ok_or_else(|| BenchError::program("fincore", "tells nothing: install util-linux"))
}

/// A line per file: its bytes in the cache, and all of them.
fn percent(told: &str) -> Option<f64> {
    let numbers = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<f64>().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    let add = |(cached, size), (more_cached, more)| (cached + more_cached, size + more);
    let (cached, size) = told.lines().filter_map(numbers).fold((0.0, 0.0), add);
    (size > 0.0).then(|| 100.0 * cached / size)
}

async fn tool(words: &[&str], files: &[PathBuf], log: &Path) -> Result<String, BenchError> {
    let words = words.iter().map(OsString::from);
    let words: Vec<OsString> = words.chain(files.iter().map(OsString::from)).collect();
    Program::start("page cache", &words, log)?.wait(TOOL_LIMIT).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_in_the_cache_is_that_of_all_files() {
        assert_eq!(percent("  4096 16384\n 0 4096\n"), Some(20.0));
        assert_eq!((percent(""), percent("fincore: not found")), (None, None));
    }
}
