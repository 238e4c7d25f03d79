//! How a command ends, and what it says on its way: exit codes, errors by code, live lines, help.

#![expect(
    clippy::disallowed_types,
    reason = "a test that talks to a real process from outside, with no executor of its own"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use ringmq_protocol::codes::request;
use ringmq_protocol::headers::admin::TopicRequest;
use ringmq_protocol::{RequestHead, SerializeType, write_request};
use serde_json::Value;

use super::{BRIEF, DEEP, bench, broker_settings, folder, port};

/// More than the broker's `maxMessageSize`, one at a time.
const TOO_LARGE: [&str; 6] = ["--size", "5MiB..6MiB", "--connections", "1", "--depth", "1"];

#[test]
fn a_search_that_finds_no_rate_ends_at_its_lowest_and_says_how_far_off_it_was() {
    let rates = ["--start", "400", "--min", "200", "--max", "800"];
    let bound = ["knee", "--no-limits", "--bound", "p50=1us"];
    let words = [&bound[..], &rates, &BRIEF, &DEEP].concat();
    let output = bench(folder().path(), &words);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let trials = errors.lines().filter(|line| line.starts_with("trying "));
    assert_eq!(trials.count(), 4, "two rates, each twice: {errors}");
    for part in
        ["at most 6 rates from 200/s to 800/s", "no rate keeps p50 under 1", ": p50 ", " at 200/s"]
    {
        assert!(errors.contains(part), "{part}: {errors}");
    }
}

#[test]
fn a_result_too_short_to_be_compared_says_so() {
    let folder = folder();
    let words = [&["produce", "--no-limits", "--json"], &BRIEF[..]].concat();
    let told = |words: &[&str]| {
        let output = bench(folder.path(), words);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        errors.contains("note: too short for bench compare: at least 3 repetitions")
    };
    assert!(told(&words));
    assert!(!told(&[&words[..], &["--repeat", "3"]].concat()), "three repetitions are enough");
    let knee = ["knee", "--no-limits", "--json", "--bound", "p50=10s", "--max", "1k"];
    assert!(!told(&[&knee[..], &BRIEF, &DEEP].concat()), "a search has no --repeat to be advised");
}

#[test]
fn the_directory_of_a_broker_that_runs_is_refused_as_a_store() {
    let folder = folder();
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let lock = std::fs::File::create(store.join("ringmq.lock")).unwrap();
    let produce = || {
        let words = [&["produce", "--no-limits", "--store", "store"], &BRIEF[..]].concat();
        let output = bench(folder.path(), &words);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    lock.lock().unwrap();
    let (code, errors) = produce();
    assert!(code == Some(1) && errors.contains("a broker runs on the files there"), "{errors}");
    assert!(!store.join("bench-broker.conf").exists(), "nothing was written");
    lock.unlock().unwrap();
    let (code, errors) = produce();
    assert_eq!(code, Some(0), "{errors}");
    // A broker of bench has its store one below.
    let config = || std::fs::read(store.join("bench-broker.conf")).unwrap();
    let lock = std::fs::File::open(store.join("store/ringmq.lock")).unwrap();
    let of_first = config();
    lock.lock().unwrap();
    let (code, errors) = produce();
    assert!(code == Some(1) && errors.contains("a broker runs on the files there"), "{errors}");
    assert_eq!(config(), of_first, "its configuration was overwritten");
}

#[test]
fn refused_requests_are_told_by_their_code_in_table_and_json() {
    let folder = folder();
    let words = [&["produce", "--no-limits"], &BRIEF[..4], &TOO_LARGE].concat();
    let table = bench(folder.path(), &words);
    let text = String::from_utf8_lossy(&table.stdout);
    assert_eq!(table.status.code(), Some(3), "{text}");
    let rows = text.lines().filter(|line| line.trim().starts_with("MESSAGE_ILLEGAL (13)"));
    assert_eq!(rows.count(), 1, "one row for one code: {text}");
    let json = bench(folder.path(), &[&words[..], &["--json"]].concat());
    assert_eq!(json.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    let errors = report["errors"].as_object().unwrap();
    let refused = |(what, count): (&String, &Value)| {
        what == "MESSAGE_ILLEGAL (13)" && count.as_u64() > Some(0)
    };
    assert!(!errors.is_empty() && errors.iter().all(refused), "{errors:?}");
}

#[test]
fn the_tables_at_the_end_have_throughput_in_both_units_and_every_percentile() {
    let output = bench(folder().path(), &[&["produce", "--no-limits"], &BRIEF[..]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let cells = |name: &str| {
        let line =
            text.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{text}"));
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(cells("MB/s"), ["messages", "seconds", "msg/s", "MB/s"]);
    let percentiles = ["p50", "p90", "p95", "p99", "p99.9", "p99.99", "p99.999"];
    let header = [&["send us", "count", "mean"], &percentiles[..], &["max"]].concat();
    assert_eq!(cells("p99.999"), header);
    let latencies = cells("service time");
    assert_eq!(latencies.len(), header.len(), "{text}");
    // Nothing lies beyond the highest, so it is not told; the others rest on values.
    let p90: f64 = latencies[4].parse().unwrap();
    assert!(p90 > 0.0 && latencies[9] == "-", "{text}");
}

#[test]
fn each_second_of_a_run_has_a_line() {
    let folder = folder();
    let words = ["produce", "--no-limits", "--warm-up", "0", "--duration", "2", "--json"];
    let output = bench(folder.path(), &words);
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = errors.lines().filter(|line| line.contains(" msg/s ")).collect();
    // A machine that is busy for long enough has one of more than a second.
    assert!((1..=2).contains(&lines.len()), "{errors}");
    assert!(lines.iter().all(|line| line.contains("p99.9") && line.contains("errors 0")));
}

#[test]
fn help_has_examples_and_exit_codes() {
    let folder = folder();
    let help = bench(folder.path(), &["--help"]);
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(help.status.success() && text.contains("\nExamples:\n"), "{text}");
    assert!(text.contains("\nExit codes: 0 ") && text.contains("143 by SIGTERM"), "{text}");
    for word in ["service time", "from intended time", "values beyond", "backlog", "log flushes"] {
        assert!(text.contains(&format!("\n  {word} ")), "{word}: {text}");
    }
    let version = bench(folder.path(), &["--version"]);
    let text = String::from_utf8_lossy(&version.stdout);
    assert!(version.status.success() && text == format!("bench {}\n", ringmq_version::VERSION));
}

#[test]
fn a_wrong_command_line_is_code_2() {
    let folder = folder();
    let cold_tail = &["consume", "--cold", "--from", "last"];
    let size = &["produce", "--size", "16MiB"];
    for words in [&["nonsense"][..], size, &["crash", "--rounds", "0"], cold_tail] {
        assert_eq!(bench(folder.path(), words).status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn a_rate_that_is_mostly_not_sent_is_told_and_is_code_3() {
    let folder = folder();
    let words = ["produce", "--no-limits", "--rate", "10M", "-c", "1", "-d", "1"];
    let times = ["--warm-up", "0", "--duration", "1"];
    let output = bench(folder.path(), &[&words[..], &times].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("requests were due and not sent at the end"), "{text}");
}

#[test]
fn a_run_that_ends_in_its_warm_up_has_counted_nothing_and_is_code_3() {
    let folder = folder();
    let words = ["produce", "--no-limits", "--warm-up", "60", "--messages", "100"];
    let output = bench(folder.path(), &words);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("Nothing was counted"), "{text}");
}

#[test]
fn a_run_whose_words_nobody_reads_ends_early_and_leaves_nothing_behind() {
    let folder = folder();
    let (mut child, errors, _) = under_load(folder.path(), &["--duration", "600"]);
    drop(errors);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(folder.path().join("data").read_dir().unwrap().count(), 0);
}

/// A `bench produce` that has told of a second of sends, its standard error, and what that said.
fn under_load(folder: &Path, words: &[&str]) -> (Child, BufReader<ChildStderr>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["produce", "--no-limits", "--warm-up", "0"])
        .args(words)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bench can be started");
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains(" msg/s ") {
        assert!(errors.read_line(&mut text).unwrap() > 0, "{text}");
    }
    (child, errors, text)
}

#[test]
fn results_that_cannot_be_written_are_refused_before_the_run() {
    let folder = folder();
    for flags in [["-o", "nowhere/run"], ["--report", "nowhere/run.html"]] {
        let words = [&["produce", "--duration", "600"], &flags[..]].concat();
        let output = bench(folder.path(), &words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.starts_with("bench: nowhere/run."), "{errors}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing was started");
}

#[test]
fn a_wrong_line_of_a_scenario_is_named_with_its_file() {
    let folder = folder();
    std::fs::write(folder.path().join("s.toml"), "command = \"produce\"\nconections = 4\n")
        .unwrap();
    let output = bench(folder.path(), &["run", "s.toml"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    let expected =
        "bench: s.toml:2: conections: no flag of `bench produce`; did you mean connections?";
    assert_eq!(errors.trim_end(), expected);
}

#[test]
fn a_killed_broker_that_had_acknowledged_nothing_proves_nothing() {
    let folder = folder();
    let output = bench(folder.path(), &[&["crash", "--rounds", "1"], &TOO_LARGE[..]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{errors}");
    assert!(
        errors.contains("NOT proved, for want of acknowledgements: 0 acknowledged"),
        "{errors}"
    );
}

#[test]
fn a_loss_is_found_and_is_code_4() {
    let folder = folder();
    let lone = ["--verify", "--duration", "3", "--connections", "1", "--depth", "1"];
    let words = [&lone[..], &["--topic", "Doctored"]].concat();
    let (mut child, mut errors, mut text) = under_load(folder.path(), &words);
    delete_topic(port(&broker_settings(folder.path()), "listenPort="), "Doctored");
    errors.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4), "{text}");
    assert!(text.contains("missing: ") && text.contains("verify: NOT proved: "), "{text}");
}

/// Takes a topic and its messages away, and waits until the broker has answered.
fn delete_topic(port: u16, topic: &str) {
    let head = RequestHead {
        serialize: SerializeType::Json,
        code: request::DELETE_TOPIC_IN_BROKER,
        opaque: 1,
        oneway: false,
        remark: None,
    };
    let mut frame = Vec::new();
    write_request(&mut frame, head, &TopicRequest { topic, lo: None }, &[]);
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.write_all(&frame).unwrap();
    connection.read_exact(&mut [0; 4]).unwrap();
}
