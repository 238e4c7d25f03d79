//! Flame graphs of the broker under each load, by `perf`.

use std::path::Path;
use std::process::{Command, Output};

use super::{bench, folder};

/// All that a load needs to be under way while `perf` starts and looks: what is counted lasts for
/// seconds, at a rate that leaves the machine to others and the broker something to do.
const PROFILED: [&str; 9] =
    ["--no-limits", "--rate", "500", "-c", "4", "--warm-up", "0.1", "--duration", "5"];

fn run_without_perf(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(words)
        .args(["--profile", "flame.svg"])
        .current_dir(folder)
        .env("PATH", folder)
        .output()
        .unwrap()
}

fn assert_refused(words: &[&str], parts: &[&str]) {
    let folder = folder();
    let output = run_without_perf(folder.path(), words);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {errors}");
    parts.iter().for_each(|part| assert!(errors.contains(part), "{words:?}: {part}: {errors}"));
    let left = folder.path().read_dir().unwrap().count();
    assert_eq!(left, 0, "{words:?}: no broker was started, and nothing drawn");
}

#[test]
fn a_profile_without_perf_is_refused_with_what_to_install() {
    for command in ["produce", "consume", "end-to-end", "mixed"] {
        assert_refused(&[command], &["bench: perf: ", "install linux-perf"]);
    }
}

#[test]
fn a_profile_of_a_running_cluster_is_refused_without_the_number_of_its_broker() {
    for command in ["produce", "consume", "end-to-end", "mixed"] {
        let words = [command, "-n", "127.0.0.1:1"];
        assert_refused(
            &words,
            &["bench: --profile: ", "name the processes of the broker with --broker-pid"],
        );
    }
}

/// Whether `perf` may record here what it records for a profile.
fn may_record(folder: &Path) -> bool {
    let words = ["record", "-q", "-e", "cpu-clock", "-o", "probe.data", "--", "true"];
    let recorded = Command::new("perf").args(words).current_dir(folder).output();
    recorded.is_ok_and(|output| output.status.success())
}

/// A profile of that load shows code of the broker whose names have these words; where `perf` may
/// not record, the command says so behind its table.
fn check(words: &[&str], file: &str, parts: &[&str]) {
    let folder = folder();
    let words = [words, &PROFILED, &["--profile", file]].concat();
    let output = bench(folder.path(), &words);
    let errors = String::from_utf8_lossy(&output.stderr);
    if !may_record(folder.path()) {
        println!("no profile is drawn: perf may not record here");
        assert_eq!(output.status.code(), Some(1), "{words:?}: {errors}");
        assert!(errors.contains("perf"), "{words:?}: {errors}");
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{words:?}: {errors}");
    assert!(errors.contains(&format!("profile: {file}")), "{words:?}: {errors}");
    let drawn = std::fs::read_to_string(folder.path().join(file)).unwrap();
    parts.iter().for_each(|part| assert!(drawn.contains(part), "{words:?}: no {part}: {drawn}"));
    let data = folder.path().join("data");
    assert_eq!(data.read_dir().unwrap().count(), 0, "{words:?}: a good run leaves no files behind");
}

#[test]
fn the_profile_of_a_consume_run_shows_the_pulls_of_the_broker() {
    check(&["consume", "--fill", "2k"], "flame.svg", &["<svg", "services::pull"]);
}

#[test]
fn the_profile_of_a_cold_run_is_of_the_broker_that_has_started_again() {
    let words = ["consume", "--cold", "--fill", "2k", "--passes", "1000000"];
    check(&words, "flame.folded", &["services::pull"]);
}

#[test]
fn the_profiles_of_sends_beside_pulls_show_both() {
    for words in [&["end-to-end"][..], &["mixed", "--fill", "2k", "--readers", "1"]] {
        check(words, "flame.folded", &["services::pull", "services::produce"]);
    }
}
