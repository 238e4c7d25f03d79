//! All that CI checks without a server, what is quick to fail first: `cargo xtask check`.

use std::process::Command;
use std::time::Instant;

use crate::process;
use crate::tidy;
use crate::workspace::{Outcome, at, root};

/// The sample configurations and the program that prints each.
const SAMPLES: [(&str, &str, &str); 2] = [
    ("conf/broker.conf", "ringmq-broker", "mqbroker"),
    ("conf/namesrv.conf", "ringmq-namesrv", "mqnamesrv"),
];

/// Runs every check and stops at the first that fails.
///
/// # Errors
/// A check failed.
pub fn run() -> Outcome {
    stage("fmt", || process::run(cargo().args(["fmt", "--all", "--check"])))?;
    stage("clippy", || {
        let lints = ["--", "-D", "warnings"];
        process::run(cargo().args(["clippy", "--workspace", "--all-targets"]).args(lints))
    })?;
    stage("tidy", tidy::run)?;
    stage("conf", || conf(true))?;
    stage("test", || process::run(cargo().args(["test", "--workspace"])))
}

/// Writes the sample configurations from the tables in the code, or with `check` compares them.
///
/// # Errors
/// A program does not build; with `check`, a file differs.
pub fn conf(check: bool) -> Outcome {
    for (path, package, binary) in SAMPLES {
        let print = ["run", "--quiet", "--package", package, "--bin", binary, "--"];
        let made = process::output(cargo().args(print).arg("--print-conf-template"))?;
        let file = root().join(path);
        if !check {
            std::fs::write(&file, made).map_err(at(&file))?;
        } else if std::fs::read_to_string(&file).ok().as_ref() != Some(&made) {
            return Err(format!("{path} differs from the settings in the code: cargo xtask conf"));
        }
    }
    Ok(())
}

/// Runs one stage; prints its name before and its time after.
pub fn stage(name: &str, work: impl FnOnce() -> Outcome) -> Outcome {
    println!("== {name}");
    let began = Instant::now();
    let result = work();
    let seconds = began.elapsed().as_secs_f64();
    println!("== {name} took {seconds:.1} s, {}", if result.is_ok() { "good" } else { "FAILED" });
    result.map_err(|reason| format!("{name}: {reason}"))
}

/// The cargo that runs this task.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds all programs of the workspace. Every task builds the same set: another choice of packages
/// would choose other features of shared dependencies, and so build everything once more.
///
/// # Errors
/// They do not build.
pub fn build_binaries(options: &[&str]) -> Outcome {
    let selection = ["build", "--quiet", "--workspace", "--bins"];
    process::run(cargo().args(selection).args(options))
}
