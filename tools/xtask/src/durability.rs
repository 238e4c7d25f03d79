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
