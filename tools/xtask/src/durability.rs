//! Proofs that nothing acknowledged is lost: a killed broker, and a simulated disk that fails.

use std::process::Command;

use crate::check::{build_binaries, cargo, stage};
use crate::compat;
use crate::process;
use crate::workspace::{Outcome, at, target};

/// Messages in flight when the broker is killed.
const DEPTH: &str = "64";

/// Kills the broker under load `rounds` times in each flush mode and reads everything back.
///
/// # Errors
/// Something acknowledged is missing, doubled, damaged or out of order.
pub fn crash(rounds: u32) -> Outcome {
    build_binaries(&["--release"])?;
    for (flush, shards, logs) in [("sync", "1", "1"), ("async", "2", "3")] {
        stage(&format!("crash, {flush} flush, {shards} shards, {logs} logs"), || {
            let store = compat::run_folder(&format!("crash-{flush}"), false)?;
            let bench = target().join("release/bench");
            process::run(
                Command::new(bench)
                    .args(["crash", "--rounds", &rounds.to_string(), "--flush", flush])
                    .args(["--depth", DEPTH, "--shards", shards, "--logs", logs])
                    .arg("--store")
                    .arg(store.join("store"))
                    .current_dir(&store),
            )?;
            // A store of this size is only worth keeping when something is wrong with it.
            std::fs::remove_dir_all(&store).map_err(at(&store))
        })?;
    }
    Ok(())
}

/// Fewest messages per flush with 64 producers that each wait for their answer.
const MESSAGES_PER_FLUSH_MIN: f64 = 16.0;

/// Most that one producer's median may be of a round trip to a server that stores nothing and one
/// write with a flush, one after the other.
const LONE_SEND_MAX: f64 = 2.0;

/// One run may meet a neighbour on a shared machine, in its limits or in its sends: the best of
/// these counts.
const LONE_SEND_RUNS: u32 = 3;

/// Measures group commit under SYNC_FLUSH: 64 producers must share flushes, and one producer must
/// wait for little more than the device and the loopback, which the same run measures.
///
/// # Errors
/// A run failed, too many flushes were made, or a lone send waits for too long.
pub fn group_commit() -> Outcome {
    build_binaries(&["--release"])?;
    let report = produce("64", &["--no-limits"])?;
    let per_message = report["broker"]["flushes_per_message"]
        .as_f64()
        .ok_or("bench produce told no flushes per message")?;
    let messages = 1.0 / per_message;
    println!("64 producers: {messages:.1} messages per flush");
    if messages < MESSAGES_PER_FLUSH_MIN {
        return Err(format!("expected at least {MESSAGES_PER_FLUSH_MIN} messages per flush"));
    }
    lone_send()
}

/// Runs one producer until one run has a median within [`LONE_SEND_MAX`].
fn lone_send() -> Outcome {
    for _ in 0..LONE_SEND_RUNS {
        let report = produce("1", &[])?;
        let us = |value: &serde_json::Value| value.as_f64().ok_or("bench produce told no times");
        let p50 = us(&report["service"]["percentiles_us"]["p50"])?;
        let round_trip = us(&report["limits"]["null_server_us"])?;
        let flush = us(&report["limits"]["write_and_flush_us"])?;
        let ratio = p50 / (round_trip + flush);
        println!(
            "1 producer: p50 {p50:.1} us is {ratio:.2} x (null server {round_trip:.1} us \
             + write and flush {flush:.1} us); at most {LONE_SEND_MAX} x"
        );
        if ratio <= LONE_SEND_MAX {
            return Ok(());
        }
    }
    Err(format!("expected one of {LONE_SEND_RUNS} runs within {LONE_SEND_MAX} x"))
}

/// Runs `bench produce` with a broker of its own under SYNC_FLUSH; returns its JSON report.
fn produce(connections: &str, more: &[&str]) -> Result<serde_json::Value, String> {
    let folder = compat::run_folder(&format!("group-commit-{connections}"), false)?;
    let report = process::output(
        Command::new(target().join("release/bench"))
            .args(["produce", "--json", "--flush", "sync", "--depth", "1"])
            .args(["--connections", connections, "--warm-up", "1", "--duration", "4"])
            .arg("--store")
            .arg(folder.join("store"))
            .args(more)
            .current_dir(&folder),
    )?;
    std::fs::remove_dir_all(&folder).map_err(at(&folder))?;
    serde_json::from_str(&report).map_err(|error| format!("bench produce --json: {error}"))
}

/// Runs the store's fault test with this many seeds.
///
/// # Errors
/// A seed failed; the test prints how to replay it.
pub fn store_seeds(seeds: u32) -> Outcome {
    process::run(
        cargo()
            .args(["test", "--workspace", "--test", "faults"])
            .env("RINGMQ_SEEDS", seeds.to_string()),
    )
}
