use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ringmq_runtime::shards;
use serde::Deserialize;

use super::*;
use crate::args::scenario;

/// What a result has that is read.
#[derive(Debug, Deserialize)]
struct Result {
    #[serde(rename = "workload")]
    _workload: String,
}

/// What is read of a document by a version that has more in it.
#[derive(Debug, Deserialize)]
struct Newer {
    #[serde(rename = "new")]
    _new: u32,
}

const RACE: &str = r#"{"conditions": {}, "runs": [], "rows": []}"#;
const RUN: &str = r#"{"workload": 1, "latency_of": "send us", "runs": []}"#;

/// What is said of a file with these contents, or of none.
fn said(wanted: Wanted, contents: Option<&[u8]>) -> String {
    let contents = contents.map(<[u8]>::to_vec);
    shards::block_on(async move {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it");
        contents.iter().for_each(|bytes| std::fs::write(&path, bytes).unwrap());
        said_of(&path, wanted).await
    })
}

async fn said_of(path: &Path, wanted: Wanted) -> String {
    let error = match wanted {
        Wanted::Scenario => scenario::words(path).await.unwrap_err(),
        wanted => read::<Result>(path, wanted).await.unwrap_err(),
    };
    let text = error.to_string();
    assert!(text.starts_with(&path.display().to_string()), "{text}");
    text
}

fn check(wanted: Wanted, contents: Option<&str>, parts: &[&str]) {
    let text = said(wanted, contents.map(str::as_bytes));
    parts.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
}

#[test]
fn a_file_of_another_kind_is_named_with_what_was_expected_and_what_to_do() {
    let result = "expected the result of a run, a PREFIX.json";
    let scenario = "command = \"produce\"\nflush = \"sync\"\n";
    let check_result = |contents, parts: [&str; 2]| {
        check(Wanted::Result, Some(contents), &[result, parts[0], parts[1]]);
    };
    check_result("hello", ["found no JSON (expected value at line 1", "; name such a file"]);
    check_result(" \n", ["found an empty file", "; name such a file"]);
    check_result("{\"a\": 1}", ["found JSON that bench has not", "missing field `workload`"]);
    check_result("{\"workload\": \"x", ["found a document that is cut short", "do that again"]);
    check_result(scenario, ["found a scenario; measure it first: bench run ", " -o PREFIX"]);
    check_result(
        RACE,
        ["found a whole race; bench versus --show ", " prints its table. Of two races"],
    );
    check_result(RACE, ["compare the ratios (x better)", "the NNNN-*.json of its --output"]);
    check_result("[{\"variant\": \"x\"}]", ["found the runs of a sweep", "by no command"]);
    let limits = r#"{"device": [], "null_brokers": []}"#;
    check_result(limits, ["found the limits of a machine", "in their own results"]);
}

#[test]
fn each_command_says_what_it_expects() {
    let race = "expected a race, the versus.json of its --output";
    check(Wanted::Race, Some(RUN), &[race, "found the result of a run; bench report "]);
    check(Wanted::Race, Some("hello"), &[race, "found no JSON", "; name such a file"]);
    let scenario = "expected a scenario, a TOML file such as";
    let of_run = [scenario, "found the result of a run", "draws it"];
    check(Wanted::Scenario, Some(RUN), &of_run);
    check(Wanted::Scenario, Some(RACE), &[scenario, "prints its table"]);
    check(Wanted::Scenario, Some("[1]"), &[scenario, "not written (a scenario is TOML)"]);
    check(Wanted::Scenario, Some("hello"), &[":1: no TOML (", "command = \"produce\""]);
    for wanted in [Wanted::Result, Wanted::Race, Wanted::Scenario] {
        check(wanted, None, &[wanted.describe(), "found nothing", "; name such a file"]);
        let text = shards::block_on(said_of(Path::new("no/such"), wanted));
        assert!(text.contains("; a relative path counts from /"), "{text}");
    }
}

#[test]
fn what_another_version_wrote_is_named_with_what_it_lacks() {
    let old = r#"{"workload": "x", "latency_of": "send us", "runs": []}"#;
    for (wanted, text) in [(Wanted::Result, old), (Wanted::Race, RACE)] {
        let said = shards::block_on(async move {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("it");
            std::fs::write(&path, text).unwrap();
            read::<Newer>(&path, wanted).await.unwrap_err().to_string()
        });
        let expected = "found one of another version of bench (missing field `new` at line 1";
        assert!(said.contains(expected), "{said}");
        assert!(said.ends_with("); measure again, or use that version"), "{said}");
    }
}

#[test]
fn a_packed_file_that_is_cut_is_told_as_cut() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(RACE.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    for len in [2, 9, 20, packed.len() - 1] {
        let text = said(Wanted::Race, Some(&packed[..len]));
        assert!(text.contains("found a document that is cut short ("), "{len}: {text}");
        assert!(text.contains("do that again"), "{len}: {text}");
    }
}

#[test]
fn a_directory_is_no_file() {
    let text = shards::block_on(said_of(Path::new("/"), Wanted::Race));
    assert!(text.ends_with("found a directory; name the file in it"), "{text}");
    let text = shards::block_on(said_of(Path::new("."), Wanted::Scenario));
    assert!(text.ends_with("found a directory; name the file in it"), "{text}");
}
