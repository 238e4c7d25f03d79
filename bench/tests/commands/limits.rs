//! What a report stands beside: floors and the null broker under the same load.

use std::path::Path;

use serde_json::Value;

use super::signals::{ENDLESS, Running};
use super::{BRIEF, DEEP, assert_counted, bench, document, folder, open_loop, report};

fn assert_null_broker(report: &Value, latency_of: &str) {
    let null = &report["limits"]["null_broker"];
    assert_eq!(null["latency_of"], latency_of, "{null}");
    for figure in ["messages_per_second", "cpu_us_per_message", "p50_us", "p99_us"] {
        assert!(null[figure].as_f64() > Some(0.0), "{figure}: {null}");
    }
}

/// The report of an open loop whose null broker has delivered what it got: on a machine that stands
/// still as a count begins or ends, what is on its way then is missing, is told as lost, and the
/// ages have no percentiles.
fn delivered(folder: &Path, words: &[&str]) -> Value {
    let all_arrived = |report: &Value| report["limits"]["null_broker"]["lost"].is_null();
    let mut runs = (0..5).map(|_| open_loop(folder, words));
    runs.find(all_arrived).expect("one run of five in which nothing stood still")
}

#[test]
fn sends_stand_beside_a_write_and_a_null_broker_that_writes() {
    let report = report(folder().path(), &["produce", "--flush", "sync"]);
    assert_counted(&report);
    assert_null_broker(&report, "send us");
    for figure in ["null_server_us", "write_us", "write_and_flush_us"] {
        assert!(report["limits"][figure].as_f64() > Some(0.0), "{figure}: {report}");
    }
}

#[test]
fn pulls_stand_beside_a_null_broker_with_the_same_answers() {
    let words = ["consume", "--fill", "2k", "--pull-batch", "16", "--size", "100"];
    let report = report(folder().path(), &words);
    assert_counted(&report);
    assert_null_broker(&report, "pull us");
    let limits = &report["limits"];
    let (messages, bytes) = (&limits["answer_messages"], &limits["answer_bytes"]);
    let (messages, bytes) = (messages.as_u64().unwrap(), bytes.as_u64().unwrap());
    // The last answer of a pass over a queue may have fewer.
    assert!((8..=16).contains(&messages), "{limits}");
    assert!((100 * messages..1_000 * messages).contains(&bytes), "{limits}");
    assert!(limits["device_read_bytes_per_s"].as_f64() > Some(0.0), "{limits}");
}

#[test]
fn cold_pulls_stand_beside_a_null_broker_that_reads_from_the_device() {
    let words = ["consume", "--cold", "--fill", "3k", "--pull-batch", "16", "--size", "2000"];
    // It ends with the last message, however long the machine takes for them.
    let times = ["--warm-up", "0", "--duration", "60", "--connections", "2", "--json"];
    let report = document(folder().path(), &[&words[..], &times].concat());
    assert_counted(&report);
    assert_null_broker(&report, "pull us");
}

#[test]
fn ages_stand_beside_those_of_a_null_broker_that_delivers() {
    let folder = folder();
    let words = ["end-to-end", "--rate", "300", "--report", "page.html"];
    let report = delivered(folder.path(), &words);
    assert_counted(&report);
    assert_null_broker(&report, "end to end us");
    // It is counted for 2 s at this rate, and each message arrives once.
    let rate = report["limits"]["null_broker"]["messages_per_second"].as_f64().unwrap();
    assert!((250.0..350.0).contains(&rate), "{rate}");
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    let sends = &report["limits"]["null_beside"];
    assert!(sends["latency_of"] == "send us" && sends["p50_us"].as_f64() > Some(0.0), "{sends}");
    for header in ["under this load", "end to end", "sends", "of the null broker"] {
        assert!(page.contains(&format!("<th scope=\"col\">{header}</th>")), "{header}");
    }
}

#[test]
fn a_null_broker_delivers_batches_to_every_queue_of_every_topic() {
    let words = ["end-to-end", "--rate", "100", "--batch", "5", "--topics", "3", "--queues", "2"];
    let report = delivered(folder().path(), &words);
    assert_counted(&report);
    assert_null_broker(&report, "end to end us");
    let rate = report["limits"]["null_broker"]["messages_per_second"].as_f64().unwrap();
    assert!((400.0..600.0).contains(&rate), "{rate}");
}

#[test]
fn sends_beside_readers_and_alone_stand_beside_a_null_broker_in_one_table() {
    let folder = folder();
    let words = ["mixed", "--rate", "200", "--fill", "2k"];
    let output = bench(folder.path(), &[&words[..], &BRIEF, &DEEP].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let header = text.lines().find(|line| line.contains("under this load")).unwrap();
    let columns: Vec<_> =
        header.split("  ").map(str::trim).filter(|name| !name.is_empty()).collect();
    let share = "of the null broker";
    let reads = text.lines().find(|line| line.contains("in this closed loop")).unwrap();
    assert!(reads.contains("reads") && reads.contains(share), "{text}");
    assert!(text.contains("The null broker answered the reads alone"), "{text}");
    assert_eq!(
        columns,
        ["under this load", "null broker", "send", share, "sends alone", share],
        "{text}"
    );
    assert!(text.contains("floor of a lone send with ASYNC_FLUSH: "), "{text}");
}

#[test]
fn a_knee_is_a_share_of_what_the_null_broker_does_in_a_closed_loop() {
    let bound = ["knee", "--bound", "p99=10s", "--start", "100", "--max", "200"];
    let report = open_loop(folder().path(), &[&bound[..], &["--precision", "50"]].concat());
    assert_null_broker(&report, "send us");
    let closed = report["limits"]["null_broker"]["closed_loop_per_second"].as_f64();
    assert!(closed > report["messages_per_second"].as_f64(), "{report}");
    assert!(report["trials"].as_array().unwrap().iter().all(|trial| trial["percentile"] == "p99"));
}

#[test]
fn a_running_broker_stands_beside_the_way_to_it() {
    let running = Running::start(&ENDLESS, "msg/s");
    let (namesrv, broker) = running.addresses();
    let folder = folder();
    let json = |words: &[&str]| -> Value {
        let output = bench(folder.path(), words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let assert_timed = |round_trip: &Value| {
        assert_eq!(round_trip["broker"], broker, "{round_trip}");
        for figure in ["connect_us", "p50_us", "p99_us"] {
            assert!(round_trip[figure].as_f64() > Some(0.0), "{figure}: {round_trip}");
        }
    };
    let silent_first = format!("127.0.0.1:1;{namesrv}");
    for place in [["--broker", &broker], ["--namesrv", &namesrv], ["-n", &silent_first]] {
        let network = json(&[&["limits", "--json"], &place[..]].concat());
        assert_eq!(network["brokers"].as_array().unwrap().len(), 1);
        assert_timed(&network["brokers"][0]);
        assert!(network["loopback"]["count"].as_u64() > Some(0), "{network}");
    }
    let words = [&["produce", "--json", "-n", &namesrv][..], &BRIEF[..]].concat();
    let limits = &json(&words)["limits"];
    assert_timed(&limits["round_trips"][0]);
    assert!(limits["null_broker"].is_null(), "it would measure this machine: {limits}");
    assert!(json(&words)["broker"].is_null(), "nobody said which process it is");
    // Of what process, bench cannot know: that of this test has memory, too.
    let own = std::process::id().to_string();
    let report = json(&[&words[..], &["--broker-pid", &own]].concat());
    assert!(report["broker"]["rss_bytes"].as_u64() > Some(0), "{report}");
    let words = [&words[..], &["--broker-pid", "4194305"]].concat();
    let output = bench(folder.path(), &words);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("--broker-pid 4194305: "), "no number of a process: {errors}");
    // The namesrv of a running cluster is not its broker.
    let output = bench(folder.path(), &["produce", "-n", &broker]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains(&format!("{broker} answers, and is no name server: -n takes")),
        "{errors}"
    );
    let words = ["idle", "--json", "-n", &namesrv, "-c", "1", "-d", "1", "--hold", "100ms"];
    let words = [&words[..], &["--warm-up", "0", "--duration", "0.5"]].concat();
    assert_timed(&json(&words)["waiting"]["round_trips"][0]);
}

#[test]
fn limits_that_nobody_wants_are_not_measured() {
    for words in [&["consume", "--fill", "1k"][..], &["end-to-end"]] {
        let report = report(folder().path(), &[words, &["--no-limits"]].concat());
        assert!(report["limits"].is_null(), "{report}");
    }
}

#[test]
fn ages_of_own_sends_are_no_whole_milliseconds_and_have_a_floor() {
    let words = ["consume", "--from", "last", "--produce", "300"];
    let report = report(folder().path(), &words);
    assert_counted(&report);
    let age_us = report["response"]["percentiles_us"]["p50"].as_f64().unwrap();
    let from_ms = age_us % 1_000.0;
    // 1,000 us is kept as 1,000.4: with 3 digits.
    assert!(age_us > 0.0 && from_ms > 2.0, "{age_us}");
    assert_null_broker(&report, "send us");
    assert!(report["limits"]["write_us"].as_f64() > Some(0.0), "{report}");
}
