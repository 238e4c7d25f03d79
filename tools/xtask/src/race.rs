//! A short race of our broker against itself and the null broker: that the machinery of
//! `bench versus` brings what it promises. Decides nothing about speed, and needs no Java.

use crate::check::build_binaries;
use crate::compat;
use crate::process;
use crate::workspace::{Outcome, at, target};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What is raced: the null broker takes part in it, and it needs no fill.
const SCENARIO: &str = "sync-64x1";

/// Against whom.
const RIVALS: [&str; 2] = ["ours", "null"];

/// Runs of a block: two pairs, so that half of them are the rival's.
const BLOCK_RUNS: usize = 4;

/// What the scenario has rows of.
const FIGURES: [&str; 4] = ["rate", "p99", "cpu", "rss"];

/// Decides the order; any number would do.
const SEED: u64 = 7;

/// Races, looks at what is kept, and races on: a race that has ended has nothing left to run.
///
/// # Errors
/// A run failed, a row is missing, or a figure is none.
pub fn run() -> Outcome {
    build_binaries(&["--release"])?;
    let folder = compat::run_folder("race", false)?;
    let printed = versus(&folder)?;
    let kept = folder.join("out/versus.json");
    let kept = json(&std::fs::read_to_string(&kept).map_err(at(&kept))?)?;
    for (what, results) in [("printed", &printed), ("kept", &kept), ("gone on", &versus(&folder)?)]
    {
        check(results).map_err(|fault| format!("the results that were {what}: {fault}"))?;
    }
    let runs = BLOCK_RUNS * RIVALS.len();
    println!("{runs} runs, {} rows", FIGURES.len() * RIVALS.len());
    std::fs::remove_dir_all(&folder).map_err(at(&folder))
}

fn versus(folder: &Path) -> Outcome<Value> {
    let rivals = RIVALS.join(",");
    let program = |name: &str| target().join("release").join(name);
    let text = process::output(
        Command::new(program("bench"))
            .args(["versus", "--quick", "--json", "--output", "out", "--seed", &SEED.to_string()])
            .args(["--scenarios", SCENARIO, "--against", &rivals, "--ours"])
            .arg(program("mqbroker"))
            .current_dir(folder),
    )?;
    json(&text)
}

fn json(text: &str) -> Outcome<Value> {
    serde_json::from_str(text).map_err(|error| format!("bench versus: {error}"))
}

/// All runs came to something, and each figure has a row against each rival.
fn check(results: &Value) -> Outcome {
    let list = |name: &str| results[name].as_array().ok_or(format!("there are no {name}"));
    let (runs, rows) = (list("runs")?, list("rows")?);
    for rival in RIVALS {
        let of_block: Vec<_> = runs.iter().filter(|run| run["rival"] == rival).collect();
        let is_theirs = |run: &&&Value| run["side"] == "rival" && run["contestant"] == rival;
        let theirs = of_block.iter().filter(is_theirs).count();
        if (of_block.len(), theirs) != (BLOCK_RUNS, BLOCK_RUNS / 2) {
            return Err(format!("{theirs} of {} runs against {rival} are its own", of_block.len()));
        }
        for figure in FIGURES {
            let row = rows.iter().find(|row| row["rival"] == rival && row["figure"] == figure);
            let row = row.ok_or(format!("no row of {figure} against {rival}"))?;
            are_positive(row, &["ours", "theirs"])?;
        }
    }
    runs.iter().try_for_each(|run| {
        let figures = &run["figures"];
        are_positive(figures, &["seconds", "messages", "messages_per_second", "p50_us", "p99_us"])?;
        are_positive(&figures["broker"], &["cpu_us_per_message", "rss_bytes"])?;
        are_positive(&run["before"], &["write_and_flush_us", "round_trip_us"])?;
        match (&run["error"], figures["failures"].as_u64()) {
            (Value::Null, Some(0)) => Ok(()),
            _ => Err(format!("a run with failures: {run}")),
        }
    })
}

fn are_positive(of: &Value, names: &[&str]) -> Outcome {
    match names.iter().find(|name| !of[*name].as_f64().is_some_and(|value| value > 0.0)) {
        Some(name) => Err(format!("{name} is not above 0: {of}")),
        None => Ok(()),
    }
}
