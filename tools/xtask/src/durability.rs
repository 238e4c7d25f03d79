//! Proofs that nothing acknowledged is lost: a killed broker, and a simulated disk that fails.

use crate::check::{build_binaries, cargo, stage};
use crate::compat;
use crate::process;
use crate::workspace::{Outcome, at, target};
use std::process::Command;

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

/// Measures group commit under SYNC_FLUSH: 64 producers must share flushes; one producer's latency
/// is printed beside what the device and the loopback allow in the same run.
///
/// # Errors
/// A run failed, or too many flushes were made.
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
    let report = produce("1", &[])?;
    let limits = &report["limits"];
    println!(
        "1 producer: p50 {} us; null server {} us, write and flush {} us",
        report["service"]["percentiles_us"]["p50"],
        limits["null_server_us"],
        limits["write_and_flush_us"]
    );
    Ok(())
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
