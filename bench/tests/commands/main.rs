//! The commands as a user runs them: a broker of their own, real files, exit codes, JSON.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

mod client_cores;
mod endings;
mod limits;
mod profile;
mod race;
mod scenarios;
mod signals;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// Loads that last a moment; what they measure is not looked at.
const BRIEF: [&str; 6] = ["--duration", "0.4", "--warm-up", "0.1", "--connections", "2"];

/// In an open loop: more slots than requests fall due, so that a stall of a busy machine leaves
/// none unsent. That would be an overload, and no success.
const DEEP: [&str; 2] = ["--depth", "256"];

/// Runs `bench` in `directory`.
fn bench(directory: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(words)
        .current_dir(directory)
        .env_remove("RUST_LOG")
        .output()
        .expect("bench can be started")
}

/// As [`bench`] with a brief load; the JSON document of a run that ended well.
fn report(directory: &Path, words: &[&str]) -> Value {
    document(directory, &[words, &BRIEF, &["--json"]].concat())
}

/// As [`bench`], which is told to print JSON; the document of a run that ended well.
fn document(directory: &Path, words: &[&str]) -> Value {
    let output = bench(directory, words);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {}: {errors}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stdout));
    })
}

/// As [`report`], of an open loop.
fn open_loop(directory: &Path, words: &[&str]) -> Value {
    report(directory, &[words, &DEEP].concat())
}

fn assert_counted(report: &Value) {
    let messages = report["messages"].as_u64().unwrap();
    assert!(messages > 0 && report["response"]["count"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["errors"], serde_json::json!({}));
    assert!(report["environment"]["kernel"].as_str().is_some_and(|kernel| !kernel.is_empty()));
}

fn folder() -> TempDir {
    // Next to the build: file systems of temporary directories often lack O_DIRECT.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The configuration of the broker that a `bench` in `folder` has started.
fn broker_settings(folder: &Path) -> String {
    let scratch = folder.join("data").read_dir().unwrap().next().unwrap().unwrap();
    std::fs::read_to_string(scratch.path().join("bench-broker.conf")).unwrap()
}

/// A port in such a configuration, by its key with the equals sign.
fn port(settings: &str, key: &str) -> u16 {
    settings.lines().find_map(|line| line.strip_prefix(key)).unwrap().parse().unwrap()
}

#[test]
fn what_is_produced_in_every_shape_is_proved() {
    let folder = folder();
    let shapes: [&[&str]; 2] = [
        &["--size", "40..3k", "--compressible", "40%", "--keys", "9", "--tags", "A,B"],
        &["--batch", "7", "--topics", "5", "--spread", "zipf", "--header", "json"],
    ];
    let proved = ["produce", "--verify", "--no-limits"];
    for shape in shapes {
        assert_counted(&report(folder.path(), &[&proved[..], shape].concat()));
    }
    let steps = ["--rate", "200,400", "--arrivals", "poisson", "--repeat", "2", "--flush", "sync"];
    assert_counted(&open_loop(folder.path(), &[&proved[..], &steps].concat()));
    let data = folder.path().join("data");
    assert_eq!(data.read_dir().unwrap().count(), 0, "a good run leaves no files behind");
}

#[test]
fn stages_of_the_counted_sends_are_told_by_the_broker() {
    let folder = folder();
    let words = ["produce", "--stages", "--no-limits", "--flush", "sync", "--repeat", "2"];
    let report = report(folder.path(), &words);
    assert_counted(&report);
    for run in report["runs"].as_array().unwrap() {
        let stages = run["stages"][0]["stages"].as_array().unwrap();
        let of = |name: &str| stages.iter().find(|stage| stage["stage"] == name).unwrap();
        let sends = of("total")["count"].as_u64().unwrap();
        assert!(sends > 0 && of("flushed")["count"].as_u64().unwrap() >= sends, "{stages:?}");
        let slowest = run["service"]["max_us"].as_f64().unwrap();
        // What goes on inside is part of what is seen from outside; both are rounded.
        assert!(of("total")["p50_us"].as_f64().unwrap() <= slowest * 1.01, "{stages:?}");
    }
}

#[test]
fn a_filled_topic_is_consumed_in_closed_and_open_loop() {
    let folder = folder();
    let words = ["consume", "--no-limits", "--fill", "2k", "--pull-batch", "16"];
    let closed = report(folder.path(), &words);
    assert_counted(&closed);
    for figure in ["cpu_us_per_message", "context_switches_per_message"] {
        assert!(closed["broker"][figure].as_f64() > Some(0.0), "{figure}: {}", closed["broker"]);
    }
    assert_eq!(closed["latency_of"], "pull us");
    let open: Vec<&str> = words.into_iter().chain(["--rate", "100"]).collect();
    let open = open_loop(folder.path(), &open);
    assert_counted(&open);
    assert!(open["response"]["count"].as_u64().unwrap() <= 45, "100 pulls a second: {open}");
}

#[test]
fn passes_end_a_run_before_its_time() {
    let folder = folder();
    let words = [
        "consume",
        "--no-limits",
        "--fill",
        "1k",
        "--passes",
        "2",
        "--warm-up",
        "0",
        "--duration",
        "60",
    ];
    let output = bench(folder.path(), &[&words[..], &["-c", "1", "--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let messages = report["messages"].as_u64().unwrap();
    assert!(messages >= 2_000 && report["seconds"].as_f64().unwrap() < 50.0, "{report}");
}

#[test]
fn messages_are_followed_from_end_to_end() {
    let folder = folder();
    let report = open_loop(folder.path(), &["end-to-end", "--no-limits", "--rate", "300"]);
    assert_counted(&report);
    let (sent, received) = (&report["beside"][0], &report["response"]);
    assert!(received["mean_us"].as_f64() > Some(0.0) && sent["messages"].as_u64() > Some(0));
}

#[test]
fn producers_are_measured_alone_and_beside_readers() {
    let folder = folder();
    let words = ["mixed", "--no-limits", "--rate", "200", "--fill", "2k"];
    let report = open_loop(folder.path(), &words);
    assert_counted(&report);
    for (beside, name) in [(0, "reads"), (1, "sends alone")] {
        let beside = &report["beside"][beside];
        assert_eq!(beside["name"], name);
        assert!(beside["messages"].as_u64() > Some(0), "{beside}");
    }
}

#[test]
fn pulls_that_wait_for_nothing_are_held_and_answered() {
    let folder = folder();
    let words = ["idle", "--json", "-c", "3", "-d", "5", "--hold", "300ms", "--warm-up", "0.2"];
    let output = bench(folder.path(), &[&words[..], &["--duration", "1", "-o", "idle"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kept = std::fs::read(folder.path().join("idle.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), report);
    let rows = std::fs::read_to_string(folder.path().join("idle.csv")).unwrap();
    assert!(rows.starts_with("repetition,from_s,") && rows.lines().count() >= 2, "{rows}");
    assert_eq!(report["errors"], serde_json::json!({}));
    let waiting = &report["waiting"];
    assert_eq!(waiting["pulls"], 15);
    // Each pull waits for 300 ms: at most 50 answers a second, were there no way and no work.
    let answers = waiting["answers_per_second"].as_f64().unwrap();
    assert!(answers > 0.0 && answers < 55.0, "{report}");
    // So few answers cost a null broker less than a core.
    let null_broker = waiting["null_broker_cpu_percent"].as_f64().unwrap();
    assert!(null_broker > 0.0 && null_broker < 100.0, "{report}");

    let drawn = bench(folder.path(), &["report", "idle.json", "-o", "page.html"]);
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("What waiting pulls cost") && !page.contains("Latency over time"));
    let compared = bench(folder.path(), &["compare", "idle.json", "idle.json"]);
    let table = String::from_utf8_lossy(&compared.stdout);
    assert!(compared.status.success(), "{table}");
    assert!(table.lines().any(|line| line.contains("CPU % of a core") && line.contains("same")));
}

#[test]
fn the_limits_of_the_machine_are_measured() {
    let folder = folder();
    let words: Vec<&str> = ["limits", "--json"].into_iter().chain(BRIEF).collect();
    let output = bench(folder.path(), &words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let limits: Value = serde_json::from_slice(&output.stdout).unwrap();
    for null in limits["null_brokers"].as_array().unwrap() {
        assert!(null["messages"].as_u64().unwrap() > 0, "{null}");
    }
    assert!(limits["device"].as_array().unwrap().len() >= 12);
    let environment = &limits["environment"];
    assert!(environment["memory_bytes"].as_u64() > Some(0), "{environment}");
    assert!(environment["disk"]["file_system"].is_string(), "{environment}");
    assert!(limits["device_read_bytes_per_s"].as_f64() > Some(0.0));
}

#[test]
fn an_end_to_end_run_for_so_many_messages_sends_no_more() {
    let words = ["end-to-end", "--no-limits", "--messages", "200", "--warm-up", "0"];
    let output = bench(folder().path(), &[&words[..], &["--duration", "5", "--json"]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for load in [&report, &report["beside"][0]] {
        assert_eq!(load["response"]["count"], 200, "{load}");
    }
}

#[test]
fn results_are_compared_and_the_exit_code_tells() {
    let folder = folder();
    let run = |name: &str, flags: &[&str]| {
        let words = ["produce", "--no-limits", "--warm-up", "0", "-o", name];
        bench(folder.path(), &[&words[..], flags].concat()).status.code()
    };
    let paced = [&DEEP[..], &["--duration", "1", "--rate"]].concat();
    let often = |rate| [&["--repeat", "3"], &paced[..], &[rate]].concat();
    assert_eq!(run("fast", &often("400")), Some(0));
    assert_eq!(run("slow", &often("100")), Some(0));
    assert_eq!(run("brief", &[&paced[..], &["100"]].concat()), Some(0));
    let failing = ["--duration", "1", "-c", "1", "-d", "1", "--size", "5MiB"];
    assert_eq!(run("failing", &failing), Some(3));
    for extension in ["json", "csv", "hlog", "response.hgrm", "service.hgrm"] {
        assert!(folder.path().join(format!("fast.{extension}")).exists(), "{extension}");
    }
    let code = |words: &[&str]| bench(folder.path(), words).status.code();
    assert_eq!(code(&["report", "fast.json", "slow.json", "-o", "both.html"]), Some(0));
    let page = std::fs::read_to_string(folder.path().join("both.html")).unwrap();
    assert!(page.contains("<b>fast</b>") && page.contains("<b>slow</b>"));
    assert_eq!(code(&["report", "fast.csv"]), Some(1));
    let refused = bench(folder.path(), &["compare", "fast.json", "slow.json"]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("--rate differs: \"400\" and \"100\""), "{errors}");
    let compared = bench(folder.path(), &["compare", "fast.json", "slow.json", "--anyway"]);
    assert_eq!(compared.status.code(), Some(5));
    let table = String::from_utf8_lossy(&compared.stdout);
    assert!(table.lines().last().unwrap().starts_with("The second is worse: "), "{table}");
    let row = table.lines().find(|line| line.trim_start().starts_with("msg/s")).unwrap();
    let figures: Vec<f64> = row.split_whitespace().filter_map(|cell| cell.parse().ok()).collect();
    let [first, second, ratio, low, high] = figures[..] else { panic!("{row}") };
    assert!((second / first - ratio).abs() < 0.01 && low <= ratio && ratio <= high, "{row}");
    // On a busy machine three repetitions may lie so far apart that nothing can be told of some
    // figure, but not that anything is worse than itself.
    let same = code(&["compare", "fast.json", "fast.json", "--tolerance", "90"]);
    assert!(matches!(same, Some(0 | 6)), "{same:?}");
    assert_eq!(code(&["compare", "fast.json", "fast.csv"]), Some(1));
    std::fs::write(
        folder.path().join("versus.json"),
        "{\"conditions\": {}, \"runs\": [], \"rows\": []}",
    )
    .unwrap();
    for words in [["compare", "fast.json", "versus.json"], ["report", "versus.json", "fast.json"]] {
        let output = bench(folder.path(), &words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("versus.json: expected the result of a run, "), "{errors}");
    }
    let compared = bench(folder.path(), &["compare", "fast.json", "brief.json", "--anyway"]);
    let table = String::from_utf8_lossy(&compared.stdout);
    assert_eq!(compared.status.code(), Some(6), "{table}");
    assert!(table.contains("too short to tell: at least 3 repetitions"), "{table}");
    assert!(!table.contains("better") && !table.contains("worse"), "{table}");
    assert!(table.lines().last().unwrap().starts_with("Not decided: "), "{table}");
    let words = ["compare", "brief.json", "failing.json", "--anyway"];
    let compared = bench(folder.path(), &words);
    let table = String::from_utf8_lossy(&compared.stdout);
    assert_eq!(compared.status.code(), Some(5), "{table}");
    assert!(table.lines().any(|line| line.contains("failed %") && line.contains("worse")));
}

#[test]
fn a_setting_is_switched_within_a_run_and_its_cost_told() {
    let folder = folder();
    let brief = ["--pairs", "3", "--slice", "0.1", "--settle", "0.05", "--warm-up", "0.1"];
    let words = ["switch", "sendStageTracing=false,true", "-c", "2", "--json", "-o", "cost"];
    let output = bench(folder.path(), &[&words[..], &brief].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "three pairs tell nothing: {errors}");
    assert!(errors.contains("pair 3 of 3: CPU us/msg "), "{errors}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kept = std::fs::read(folder.path().join("cost.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), told);
    let slices = told["slices"].as_array().unwrap();
    for pair in 1..=3 {
        let of_it = slices.iter().filter(|slice| slice["pair"] == pair);
        let mut values: Vec<_> = of_it.map(|slice| slice["value"].as_u64().unwrap()).collect();
        values.sort_unstable();
        assert_eq!(values, [0, 1], "{told}");
    }
    assert!(slices.iter().all(|slice| slice["messages"].as_u64() > Some(0)), "{told}");
    assert_eq!(told["environment"]["broker_config"]["sendStageTracing"], "false", "as before");
    let of = |figure: usize, key: &str| told["figures"][figure][key].clone();
    assert_eq!((of(0, "name"), of(0, "verdict")), ("CPU us/msg".into(), "unclear".into()));
    assert!(of(1, "cost")["ratio"].as_f64() > Some(0.0), "{told}");
}

#[test]
fn what_cannot_be_switched_is_refused_with_what_can() {
    let folder = folder();
    for (setting, part) in [
        ("commitLogs=1,2", "has no setting commitLogs"),
        ("listenPort=1,20911", "is still "),
        ("sendStageTracing=false,maybe", "expected true or false"),
    ] {
        let output = bench(folder.path(), &["switch", setting]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(part), "{setting}: {errors}");
    }
    assert_eq!(bench(folder.path(), &["switch", "sendStageTracing"]).status.code(), Some(2));
}

#[test]
fn a_scenario_is_run_with_flags_of_its_own() {
    let folder = folder();
    std::fs::write(folder.path().join("s.toml"), "command = \"produce\"\nno-limits = true\n")
        .unwrap();
    let report =
        report(folder.path(), &["run", "s.toml", "--size", "100", "--report", "page.html"]);
    assert_counted(&report);
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("Latency over time") && page.contains("100 byte bodies"));
    assert!(report["workload"].as_str().unwrap().contains("100 byte bodies"), "{report}");
    let environment = &report["environment"];
    let command = environment["command"].as_str().unwrap();
    assert!(command.starts_with("bench run s.toml --size 100"), "{environment}");
    assert_eq!(environment["settings"]["size"], "100");
    assert_eq!(environment["settings"]["warm-up"], "0.1");
    assert_eq!(environment["settings"]["no-limits"], "true");
    assert!(environment["bench"].as_str().unwrap().ends_with(" build"), "{environment}");
    assert!(page.contains("bench run s.toml"));
}

#[test]
fn an_address_without_a_server_is_named() {
    let folder = folder();
    for address in ["127.0.0.1:1", "localhost:1"] {
        let output = bench(folder.path(), &["produce", "-n", address]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(text.contains(&format!("no name server at {address}: ")), "{text}");
        assert!(text.contains("start one (mqnamesrv)") && text.contains("leave -n out"), "{text}");
    }
    for address in ["localhost", "a:9876;b"] {
        let output = bench(folder.path(), &["produce", "-n", address]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        assert!(text.contains("is not host:port, such as 127.0.0.1:9876"), "{text}");
    }
}
