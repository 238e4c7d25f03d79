//! `bench` against a broker that is not ours: Apache's name server and broker, for some seconds. It
//! decides nothing about speed. Each of bench's loads must work on that broker, what bench counts
//! must be what it has, and a short race against it must come to a table.

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
const BATCHED: &str = "BenchBatched";
const SPREAD: &str = "BenchSpread";
const MARKED: &str = "BenchMarked";
const DELIVERED: &str = "BenchDelivered";
const TAILED: &str = "BenchTailed";
const MIXED: &str = "BenchMixed";
const SEARCHED: &str = "BenchSearched";

/// What the files begin with that tell of the sends.
const FILES: &str = "sent";

/// Slow enough for a JVM that has just started on a busy machine.
const RATE: &str = "1k";

/// One send in flight on each: Apache's broker handles those of a connection on several threads,
/// and so keeps no order between them, which `--verify` asks for.
const CONNECTIONS: [&str; 4] = ["-c", "32", "-d", "1"];

/// A reader of each queue, which ends with its passes and not with the time.
const READERS: [&str; 8] = ["-c", "4", "-d", "1", "--warm-up", "0", "--duration", "60"];

/// Sends of every shape that a message and a request can have.
const SHAPES: [&str; 10] = [
    "--keys",
    "9",
    "--tags",
    "paid,shipped",
    "--header",
    "json",
    "--size",
    "40..3k",
    "--compressible",
    "40%",
];

/// What a load needs that is only to come to something.
const MOMENT: [&str; 8] = ["-c", "8", "-d", "1", "--warm-up", "0.5", "--duration", "1"];

/// Waits as long as Apache's broker may need to look at pulls that it holds, which it does every
/// five seconds, however short they want to be held.
const WAITS: [&str; 10] =
    ["-c", "2", "-d", "4", "--hold", "1s", "--warm-up", "0", "--duration", "7"];

/// Puts every load on that broker for a moment; then races it, tuned and as it is shipped.
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
    race::stock::first_pair(&programs, &folder)?;
    std::fs::remove_dir_all(&folder).map_err(at(&folder))
}

fn measure(bench: &Bench) -> Outcome {
    let sent = sends_are_read_back(bench)?;
    let (delivered, beside) = sends_are_delivered(bench)?;
    println!("{sent} sent and read back; {delivered} delivered of {beside} sent meanwhile");
    let batched = bench.run("produce", BATCHED, &proved(&["--batch", "8"]))?;
    let batched = count("produce --batch", &batched["messages"])?;
    let spread = bench.run("produce", SPREAD, &proved(&["--topics", "3"]))?;
    let spread = count("produce --topics", &spread["messages"])?;
    let marked = bench.run("produce", MARKED, &proved(&SHAPES))?;
    let marked = count("produce of every shape", &marked["messages"])?;
    println!(
        "{batched} sent in batches, {spread} to several topics and {marked} of every shape, and \
         read back"
    );
    one_tag_is_left(bench, marked)?;
    loads_come_to_something(bench)
}

/// Sends at a rate, finds them proved by bench and in the files that it writes, and reads them
/// once, and several times. How many there are.
fn sends_are_read_back(bench: &Bench) -> Outcome<u64> {
    let paced = [&CONNECTIONS[..], &["--rate", RATE, "--duration", "3"]].concat();
    let proved = ["--warm-up", "0", "--verify", "--output", FILES];
    let sent = bench.run("produce", SENT, &[&paced[..], &proved].concat())?;
    histograms::check(bench.folder, FILES, &sent)?;
    // All that were answered, those after the counted time included.
    let sent = count("produce", &sent["response"]["count"])?;
    for passes in [1, 3] {
        let words = ["--from", "first", "--passes", &passes.to_string()];
        let read = bench.run("consume", SENT, &[&READERS[..], &words].concat())?;
        let read = count("consume", &read["messages"])?;
        if read != passes * sent {
            return Err(format!(
                "{sent} messages were acknowledged, and {read} were read in {passes} passes"
            ));
        }
    }
    Ok(sent)
}

/// Reads one tag of the two that messages have: the broker leaves the others out.
fn one_tag_is_left(bench: &Bench, sent: u64) -> Outcome {
    let words = ["--from", "first", "--passes", "1", "--subscription", "paid"];
    let read = bench.run("consume", MARKED, &[&READERS[..], &words].concat())?;
    let read = count("consume --subscription", &read["messages"])?;
    match read < sent {
        true => Ok(()),
        false => Err(format!("{read} were read of one tag, and {sent} sent with one of two")),
    }
}

/// How many were delivered, and sent in the same time.
fn sends_are_delivered(bench: &Bench) -> Outcome<(u64, u64)> {
    let words = ["--rate", RATE, "--duration", "3", "--warm-up", "1"];
    let report = bench.run("end-to-end", DELIVERED, &[&CONNECTIONS[..], &words].concat())?;
    let delivered = count("end-to-end", &report["messages"])?;
    let sent = count("sends of end-to-end", &report["beside"][0]["messages"])?;
    // What is on its way at the end is not counted; a machine that stands still for a moment has
    // many of these.
    match (sent / 2..=sent).contains(&delivered) {
        true => Ok((delivered, sent)),
        false => Err(format!("{delivered} were delivered of {sent} that were sent meanwhile")),
    }
}

/// The words of some hundred sends that bench reads back and proves.
fn proved<'a>(shape: &[&'a str]) -> Vec<&'a str> {
    let words = ["--verify", "--messages", "800", "--warm-up", "0", "--duration", "60"];
    [&CONNECTIONS[..], &words, shape].concat()
}

/// The loads of which no count is known beforehand: each counts what it is about.
fn loads_come_to_something(bench: &Bench) -> Outcome {
    let run = |command: &str, topic, words: &[&str]| {
        bench.run(command, topic, &[&MOMENT[..], words].concat())
    };
    let tail = run("consume", TAILED, &["--from", "last", "--produce", "500"])?;
    let arrived = count("consume --from last", &tail["messages"])?;
    count("consume --produce", &tail["beside"][0]["messages"])?;

    let words = ["--rate", "200", "--fill", "2k", "--readers", "2"];
    let mixed = run("mixed", MIXED, &words)?;
    let beside = count("mixed", &mixed["messages"])?;
    count("reads of mixed", &mixed["beside"][0]["messages"])?;
    count("sends alone of mixed", &mixed["beside"][1]["messages"])?;

    let knee = run("knee", SEARCHED, &["--bound", "p50=10s", "--start", "200", "--max", "400"])?;
    count("the best rate of knee", &knee["messages"])?;
    let trials = knee["trials"].as_array().map_or(0, Vec::len);

    let idle = bench.run("idle", SENT, &WAITS)?;
    let answers = count("idle", &idle["empty"])?;
    println!(
        "{arrived} arrived at waiting consumers, {beside} sent beside readers, {trials} rates \
         tried, {answers} waiting pulls answered"
    );
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
