//! Clients that are bound to cores: one or several threads, one report.

use super::signals::Running;
use super::{assert_counted, bench, document, folder, open_loop, report};

/// The first cores that this process may use, two where there are as many.
fn cores() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let number = |text: &str| text.trim().parse::<usize>().unwrap();
    let ranges = allowed.split(',').map(|part| part.split_once('-').unwrap_or((part, part)));
    let all = ranges.flat_map(|(first, last)| number(first)..=number(last));
    all.take(2).collect()
}

fn listed(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[test]
fn what_clients_on_cores_send_is_counted_once_and_proved() {
    let (folder, cores) = (folder(), cores());
    let listed = listed(&cores);
    let words = ["produce", "--verify", "--client-cores", &listed];
    let closed = report(folder.path(), &words);
    assert_counted(&closed);
    assert_eq!(closed["environment"]["client_cores"], serde_json::json!(cores));
    let limit = closed["limits"]["null_broker"]["messages_per_second"].as_f64();
    assert!(limit > Some(0.0), "the null broker is loaded by the same clients: {closed}");
    // A send is one message: what came in time and what came late.
    assert!(closed["response"]["count"].as_u64() >= closed["messages"].as_u64(), "{closed}");
    let seconds = closed["runs"][0]["by_second"].as_array().unwrap();
    let sum: u64 = seconds.iter().map(|second| second["messages"].as_u64().unwrap()).sum();
    assert_eq!(Some(sum), closed["messages"].as_u64());
}

#[test]
fn clients_on_cores_share_a_schedule_without_adding_to_it() {
    let (folder, cores) = (folder(), cores());
    let listed = listed(&cores);
    let words = ["produce", "--no-limits", "--client-cores", &listed, "--rate", "500", "--json"];
    let times = ["--connections", "2", "--messages", "200", "--warm-up", "0", "--duration", "60"];
    let open = document(folder.path(), &[&words[..], &times].concat());
    assert_counted(&open);
    assert_eq!(open["response"]["count"], 200, "{open}");
    // The last is due after 398 ms, and twice as early where each thread had the whole schedule.
    assert!(open["seconds"].as_f64() > Some(0.39), "{open}");
}

#[test]
fn producers_and_consumers_share_the_cores_of_the_client_side() {
    let (folder, cores) = (folder(), cores());
    let listed = listed(&cores);
    let words = ["end-to-end", "--rate", "300", "--client-cores", &listed];
    let report = open_loop(folder.path(), &words);
    assert_counted(&report);
    assert!(report["beside"][0]["messages"].as_u64() > Some(0));
}

#[test]
fn a_core_that_is_not_there_is_refused_with_those_that_are() {
    let folder = folder();
    let race = ["versus", "--quick", "--scenarios", "pull-32", "--against", "null"];
    for words in [&["produce", "--no-limits"][..], &["limits"], &race] {
        let output = bench(folder.path(), &[words, &["--client-cores", "1023"]].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("--client-cores: core 1023 is not usable"), "{text}");
        assert!(text.contains("choose among"), "{text}");
    }
    let output = bench(folder.path(), &["produce", "--client-cores", "1,1"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("each once, such as 1 or 2-3,5"), "{text}");
}

#[test]
fn a_core_of_clients_and_broker_is_warned_of() {
    let (folder, first) = (folder(), cores()[0]);
    let words = ["produce", "--no-limits", "--client-cores", &first.to_string()];
    let brief = ["--shards", "1", "--duration", "0.2", "--warm-up", "0.1"];
    let output = bench(folder.path(), &[&words[..], &brief].concat());
    let (table, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The broker that bench starts has core 0 first.
    let is_shared = first == 0;
    assert_eq!(errors.contains("warning: clients and broker share core 0"), is_shared, "{errors}");
    assert!(table.contains(&format!("client: a thread bound to core {first}")), "{table}");
}

#[test]
fn both_ends_of_the_round_trip_that_brackets_the_runs_of_a_race_have_one_core() {
    let race = ["versus", "--quick", "--scenarios", "sync-1x1", "--against", "null"];
    // The file systems are synced by then, and the first probe is over.
    let mut running = Running::start(&race, "run 1:");
    for end in ["null server", "bench client"] {
        running.wait_for_bound(end, cores()[0]);
    }
    running.signal("TERM", false);
    running.ended();
}

#[test]
fn the_round_trip_of_a_floor_goes_to_the_core_of_the_broker() {
    let core = *cores().last().unwrap();
    let words = ["produce", "--client-cores", &core.to_string(), "--shards", "1"];
    let mut running = Running::start(&words, "measuring the limits");
    running.wait_for_bound("bench client", core);
    // The broker that bench starts has core 0 first.
    running.wait_for_bound("null server", 0);
    running.signal("TERM", false);
    running.ended();
}
