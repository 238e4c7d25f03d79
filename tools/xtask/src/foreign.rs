//! `bench` against a broker that is not ours: Apache's name server and broker, for some seconds. It
//! decides nothing about speed. What bench counts must be what that broker has, and a short race
//! against it must come to a table.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::compat;
use crate::compat::servers::{Cluster, Make, Setup};
use crate::histograms;
use crate::process;
use crate::race;
use crate::workspace::{Outcome, at, target};

/// A topic for each load, so that all of its messages are those of one.
const SENT: &str = "BenchSent";
const DELIVERED: &str = "BenchDelivered";

/// What the files begin with that tell of the sends.
const FILES: &str = "sent";

/// Slow enough for a JVM that has just started on a busy machine.
const RATE: &str = "1k";

/// One send in flight on each: Apache's broker handles those of a connection on several threads,
/// and so keeps no order between them, which `--verify` asks for.
const CONNECTIONS: [&str; 4] = ["-c", "32", "-d", "1"];

/// Sends, reads them back, and has others delivered; then races that broker, tuned.
///
/// # Errors
/// A program cannot be built or started, a request failed, or a count is wrong.
pub fn run(debug: bool) -> Outcome {
    compat::build_ours(debug)?;
    let folder = compat::run_folder("bench-apache", false)?;
    let setup = Setup {
        namesrv: Make::Apache,
        broker: Make::Apache,
        shards: 1,
        logs: 1,
        flush: "ASYNC_FLUSH",
        ipv6: false,
        debug,
    };
    let cluster = Cluster::start(setup, &folder)?;
    let programs = target().join(if debug { "debug" } else { "release" });
    let bench = Bench {
        program: programs.join("bench"),
        namesrv: cluster.namesrv_address.to_string(),
        folder: &folder,
    };
    measure(&bench)?;
    cluster.stop()?;
    race::against_apache(&programs, &folder)?;
    std::fs::remove_dir_all(&folder).map_err(at(&folder))
}

fn measure(bench: &Bench) -> Outcome {
    let paced = [&CONNECTIONS[..], &["--rate", RATE, "--duration", "3"]].concat();
    let proved = ["--warm-up", "0", "--verify", "--output", FILES];
    let sent = bench.run("produce", SENT, &[&paced[..], &proved].concat())?;
    histograms::check(bench.folder, FILES, &sent)?;
    // All that were answered, those after the counted time included.
    let sent = count("produce", &sent["response"]["count"])?;
    let one_pass = ["-c", "4", "-d", "1", "--passes", "1", "--warm-up", "0", "--duration", "60"];
    let read = bench.run("consume", SENT, &[&one_pass[..], &["--from", "first"]].concat())?;
    let read = count("consume", &read["messages"])?;
    if read != sent {
        return Err(format!("{sent} messages were acknowledged, and {read} are there"));
    }
    let delivered =
        bench.run("end-to-end", DELIVERED, &[&paced[..], &["--warm-up", "1"]].concat())?;
    let beside = count("sends of end-to-end", &delivered["beside"][0]["messages"])?;
    let delivered = count("end-to-end", &delivered["messages"])?;
    // What is on its way at the end is not counted; a machine that stands still for a moment has
    // many of these.
    if delivered > beside || delivered < beside / 2 {
        return Err(format!("{delivered} were delivered of {beside} that were sent meanwhile"));
    }
    println!("{sent} sent and read back; {delivered} delivered of {beside} sent meanwhile");
    Ok(())
}

/// A count that is not 0.
fn count(of: &str, value: &Value) -> Outcome<u64> {
    value
        .as_u64()
        .filter(|count| *count > 0)
        .ok_or_else(|| format!("{of} counted nothing: {value}"))
}

/// `bench` on a running cluster.
struct Bench<'a> {
    program: std::path::PathBuf,
    namesrv: String,
    folder: &'a Path,
}

impl Bench<'_> {
    /// Runs a command on a topic; its report, in which no request has failed.
    fn run(&self, command: &str, topic: &str, words: &[&str]) -> Outcome<Value> {
        let text = process::output(
            Command::new(&self.program)
                .args([command, "--json", "--no-limits", "-n", &self.namesrv, "-t", topic])
                .args(words)
                .current_dir(self.folder),
        )?;
        let report: Value = serde_json::from_str(&text).map_err(|e| format!("{command}: {e}"))?;
        let failed = |report: &Value| report["errors"].as_object().is_none_or(|it| !it.is_empty());
        match failed(&report) {
            true => Err(format!("requests of {command} failed: {}", report["errors"])),
            false => Ok(report),
        }
    }
}
