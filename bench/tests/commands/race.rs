//! The race: what it keeps and tells, and what is left of one that ends early. Apache's programs
//! are scripts here, which start and never take a request.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that watches a real process from outside, with no executor of its own"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::bench;
use crate::signals::{PATIENCE, Running, processes_in, wait_until_nobody_is_left};

/// Of a name server that is ready, and a broker that never is.
const JAVA: &str = "#!/bin/sh
case \"$*\" in
-version) echo 'openjdk version \"17\"' ;;
*NamesrvStartup*) echo 'boot success'; exec sleep 600 ;;
*) echo $$ >> started; exec sleep 600 ;;
esac
";

/// Writes the class path beside the project, whose file is the fourth word.
const MAVEN: &str = "#!/bin/sh
[ \"$1\" = -v ] || echo none > \"${4%/*}/classpath.txt\"
";

/// The seed of a race in which Apache's broker begins.
const THEIRS_FIRST: &str = "1";

const RACE: [&str; 10] = [
    "versus",
    "--quick",
    "--scenarios",
    "sync-1x1",
    "--output",
    "race",
    "--seed",
    THEIRS_FIRST,
    "--ours-setting",
    "shardPollMicros=100",
];

fn folder_with_tools() -> TempDir {
    let folder = super::folder();
    fs::create_dir(folder.path().join("bin")).unwrap();
    for (name, text) in [("java", JAVA), ("mvn", MAVEN)] {
        let tool = folder.path().join("bin").join(name);
        fs::write(&tool, text).unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// A race against Apache's broker, which has started.
fn race_on(folder: TempDir) -> Running {
    let words = [&RACE[..], &["--against", "tuned"]].concat();
    let running = Running::start_in(folder, &words, "sync-1x1, tuned");
    let begun = Instant::now();
    while !running.folder().join("started").exists() {
        assert!(begun.elapsed() < PATIENCE, "Apache's broker is started");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(processes_in(running.folder()).len(), 3, "bench, the name server, the broker");
    running
}

/// Directories of brokers in the race's data.
fn stores(folder: &Path) -> usize {
    let names = folder.join("data").read_dir().unwrap().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with("bench-")).count()
}

#[test]
fn a_race_where_nobody_meets_us_is_refused_and_makes_no_directory() {
    let folder = super::folder();
    let named = ["--scenarios", "stock-sync-64", "--against", "null", "--output", "race"];
    let output = bench(folder.path(), &[&["versus", "--quick"], &named[..]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("nobody of --against meets us"), "{errors}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_race_that_is_ended_tells_what_there_is_and_leaves_no_process_and_no_store() {
    let folder = folder_with_tools();
    bench(folder.path(), &[&RACE[..], &["--against", "null"]].concat());
    let document = folder.path().join("race/versus.json");
    let before = fs::read_to_string(&document).unwrap();
    assert_each_null_broker_spent(&before);
    assert_it_may_leave_the_machine(folder.path());
    let told = |file: &str| bench(folder.path(), &["versus", "--show", file]);
    let (packed, whole) = (told("race/versus.json.gz"), told("race/versus.json"));
    assert_eq!(packed.status.code(), Some(6), "two pairs decide nothing");
    assert!(packed.stdout == whole.stdout && packed.stdout.starts_with(b"\nbench "));
    assert_it_tells_what_each_broker_was_told(
        folder.path(),
        &String::from_utf8_lossy(&packed.stdout),
    );
    let mut running = race_on(folder);
    running.signal("INT", true);
    let (status, output) = running.ended();
    assert_eq!(status.code(), Some(130), "{output}");
    assert!(output.contains("sync-1x1") && output.contains("null"), "{output}");
    assert_eq!(stores(running.folder()), 0);
    assert_eq!(fs::read_to_string(&document).unwrap(), before);
    wait_until_nobody_is_left(running.folder());
}

#[test]
fn races_that_are_kept_with_the_figures_are_shown_and_name_no_place() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let files = results.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let races: Vec<_> = files.filter(|path| name(path).starts_with("race-")).collect();
    assert!(!races.is_empty(), "races in {results:?}");
    for race in races {
        let shown = bench(&results, &["versus", "--show", race.to_str().unwrap()]);
        assert!(shown.stdout.starts_with(b"\nbench "), "{race:?}: {shown:?}");
        let text = String::from_utf8_lossy(&shown.stdout);
        for of_broker in ["\nours: ", "\n  in all its scenarios: ", "flushDiskType="] {
            assert!(text.contains(of_broker), "{race:?}, {of_broker:?}: {text}");
        }
        let kept = unpacked(&race);
        let absolute = strings(&kept).into_iter().find(|text| text.starts_with('/'));
        assert_eq!(absolute, None, "{race:?}");
    }
}

#[test]
fn a_race_that_is_killed_leaves_no_process_of_its_own() {
    let mut running = race_on(folder_with_tools());
    running.signal("KILL", false);
    assert_eq!(running.ended().0.code(), None);
    wait_until_nobody_is_left(running.folder());
}

/// What is kept of a race names no place and no machine, so that it may stand in a repository.
fn assert_it_may_leave_the_machine(folder: &Path) {
    let packed = unpacked(&folder.join("race/versus.json.gz"));
    let whole = fs::read(folder.join("race/versus.json")).unwrap();
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    let settings = packed["files"].as_object().unwrap().values();
    assert!(settings.clone().any(|it| it.as_str().unwrap().contains("storePathRootDir=store\n")));
    let sum = packed["conditions"]["our_program"].as_str().unwrap();
    assert!(sum.starts_with("bench ") && sum.contains(", MD5 "), "{sum}");
    for text in strings(&packed).into_iter().chain(strings(&whole)) {
        assert!(!text.starts_with('/') && !text.contains(folder.to_str().unwrap()), "{text}");
    }
}

/// Of both brokers; ours as its file has it, without places.
fn assert_it_tells_what_each_broker_was_told(folder: &Path, shown: &str) {
    let packed = unpacked(&folder.join("race/versus.json.gz"));
    let told = |whose: &str| packed["brokers"][whose]["settings"]["sync-1x1"].as_object().unwrap();
    assert_eq!(told("null")["flushDiskType"], "SYNC_FLUSH");
    assert_eq!(packed["brokers"]["ours"]["program"], packed["conditions"]["our_program"]);
    let files = packed["files"].as_object().unwrap();
    let is_ours = |name: &&String| name.ends_with("-ours.broker.conf");
    let conf = &files[files.keys().find(is_ours).unwrap()];
    let mut lines: Vec<&str> = conf.as_str().unwrap().lines().collect();
    assert!(lines.contains(&"shardPollMicros=100"), "{lines:?}");
    let places =
        ["brokerIP1", "bindAddress", "listenPort", "embeddedNamesrvPort", "storePathRootDir"];
    lines.retain(|line| !places.iter().any(|place| line.starts_with(place)));
    lines.sort_unstable();
    let told = told("ours").iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap()));
    assert_eq!(told.collect::<Vec<_>>(), lines);
    assert!(shown.contains(&format!("  in all its scenarios: {}\n", lines.join(" "))), "{shown}");
}

/// What a race is kept as.
fn unpacked(path: &Path) -> Value {
    let packed = fs::read(path).unwrap();
    serde_json::from_reader(GzDecoder::new(&packed[..])).unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().flat_map(strings).collect(),
        Value::Object(fields) => fields.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

/// Its process ends with its load, so the last look comes before.
fn assert_each_null_broker_spent(race: &str) {
    let race: Value = serde_json::from_str(race).unwrap();
    let runs = race["runs"].as_array().unwrap();
    let null: Vec<_> = runs.iter().filter(|run| run["contestant"] == "null").collect();
    assert!(!null.is_empty(), "{race}");
    for run in null {
        let figures = &run["figures"];
        let cpu_us = figures["broker"]["cpu_us_per_message"].as_f64();
        assert!(cpu_us > Some(0.0) && figures["stolen_percent"].is_number(), "{run}");
    }
}
