//! A short race of our broker against itself and the null broker, with sends and with pulls: that
//! the machinery of `bench versus` brings what it promises. Decides nothing about speed, and needs
//! no Java, but for the part in which Apache's broker runs.

pub mod stock;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::check::build_binaries;
use crate::compat;
use crate::process;
use crate::workspace::{self, Outcome, at, target};

/// A part of the race.
struct Part {
    scenario: &'static str,
    /// Against whom.
    rivals: &'static [&'static str],
    /// What the scenario has rows of.
    figures: &'static [&'static str],
}

/// Sends, and pulls that a null broker answers with what a broker of ours has stored.
const PARTS: [Part; 2] = [
    Part {
        scenario: "sync-64x1",
        rivals: &["ours", "null"],
        figures: &["rate", "p99", "cpu", "rss"],
    },
    Part { scenario: "pull-32", rivals: &["null"], figures: &["rate", "cpu", "rss"] },
];

/// Sends to Apache's broker, tuned.
const APACHES: Part =
    Part { scenario: "sync-64x1", rivals: &["tuned"], figures: &["rate", "p99", "cpu", "rss"] };

/// Heap of Apache's broker: enough for seconds, and touched at once by its JVM.
const APACHES_HEAP: &str = "512m";

/// How the files end that a run leaves.
const RAW_DATA: [&str; 5] = [".json", ".csv", ".hlog", ".response.hgrm", ".service.hgrm"];

/// Core of the clients: that of our broker, which every machine has on which it runs.
const CLIENT_CORE: &str = "0";

/// Runs of a block: two pairs, so that half of them are the rival's.
const BLOCK_RUNS: usize = 4;

/// How a race ends in which no run failed and which is too short to decide anything: so is each of
/// these, whose blocks have two pairs.
const TOO_SHORT: i32 = 6;

/// Decides the order; any number would do.
const SEED: u64 = 7;

/// Races, looks at what is kept, and races on: a race that has ended has nothing left to run.
///
/// # Errors
/// A run failed, a row is missing, a figure is none, or a race claims to have decided something.
pub fn run() -> Outcome {
    build_binaries(&["--release"])?;
    let folder = compat::run_folder("race", false)?;
    let race = Race { programs: target().join("release"), folder: &folder };
    for (number, part) in (1..).zip(&PARTS) {
        check("printed", &race.versus(part)?, &PARTS[..number])?;
    }
    race.check_kept(&PARTS)?;
    check("gone on", &race.versus(&PARTS[0])?, &PARTS)?;
    let matches: usize = PARTS.iter().map(|part| part.rivals.len()).sum();
    let rows: usize = PARTS.iter().map(|part| part.rivals.len() * part.figures.len()).sum();
    println!("{} runs, {rows} rows", BLOCK_RUNS * matches);
    std::fs::remove_dir_all(&folder).map_err(at(&folder))
}

/// Races Apache's broker in `folder`, with programs that are built: its runs, its table, and the
/// verdicts in both.
///
/// # Errors
/// As for [`run`].
pub fn against_apache(programs: &Path, folder: &Path) -> Outcome {
    let race = Race { programs: programs.to_owned(), folder };
    check("printed", &race.versus(&APACHES)?, &[APACHES])?;
    race.check_kept(&[APACHES])?;
    println!("raced {} against Apache's broker", APACHES.scenario);
    Ok(())
}

/// A race of these programs in a folder.
struct Race<'a> {
    programs: PathBuf,
    folder: &'a Path,
}

impl Race<'_> {
    fn versus(&self, part: &Part) -> Outcome<Value> {
        let rivals = part.rivals.join(",");
        let mut command = self.command(part.scenario, &rivals);
        let text = process::output_of_exit(command.args(["--json", "--output", "out"]), TOO_SHORT)?;
        json(&text)
    }

    fn command(&self, scenario: &str, rivals: &str) -> Command {
        let mut command = Command::new(self.programs.join("bench"));
        command
            .args(["versus", "--quick", "--seed", &SEED.to_string(), "--heap", APACHES_HEAP])
            .args(["--scenarios", scenario, "--against", rivals])
            .args(["--client-cores", CLIENT_CORE, "--ours"])
            .arg(self.programs.join("mqbroker"))
            .current_dir(self.folder);
        command
    }

    /// The document and the files of all runs; and the table of what they were packed into.
    fn check_kept(&self, parts: &[Part]) -> Outcome {
        let kept = self.folder.join("out/versus.json");
        let kept = json(&std::fs::read_to_string(&kept).map_err(at(&kept))?)?;
        check("kept", &kept, parts)?;
        check_commands(&kept, parts.len())?;
        parts.iter().try_for_each(|part| check_brokers(&kept, part))?;
        check_files(&self.folder.join("out"), &kept)?;
        let text = process::output_of_exit(
            Command::new(self.programs.join("bench"))
                .args(["versus", "--show", "out/versus.json.gz"])
                .current_dir(self.folder),
            TOO_SHORT,
        )?;
        let rows = kept["rows"].as_array().into_iter().flatten();
        rows.into_iter().try_for_each(|row| check_line(row, &text))?;
        check_costs(&kept, &text)
    }
}

/// The command of each part is there.
fn check_commands(kept: &Value, parts: usize) -> Outcome {
    let earlier = kept["earlier"].as_array().into_iter().flatten();
    let environments = earlier.map(|part| &part["environment"]).chain([&kept["environment"]]);
    let commands: Vec<_> = environments.map(|it| it["command"].as_str().unwrap_or("")).collect();
    let is_one = |command: &&str| command.starts_with("bench versus ");
    match commands.iter().filter(|command| is_one(command)).count() == parts {
        true => Ok(()),
        false => Err(format!("{parts} commands have raced, and kept are {commands:?}")),
    }
}

/// All brokers of a part are there with what they were told.
fn check_brokers(kept: &Value, part: &Part) -> Outcome {
    for whose in part.rivals.iter().chain(&["ours"]) {
        let broker = &kept["brokers"][whose];
        let told = &broker["settings"][part.scenario];
        if !(broker["program"].is_string() && told["flushDiskType"].is_string()) {
            return Err(format!(
                "what {whose} was told in {} is not kept: {broker}",
                part.scenario
            ));
        }
    }
    Ok(())
}

/// The table of costs has a column for each, and each run its value, where this machine tells it.
fn check_costs(kept: &Value, table: &str) -> Outcome {
    let header =
        table.lines().find(|line| line.contains("per message") && line.contains("of null"));
    let header = header.ok_or(format!("no table of costs:\n{table}"))?;
    // From the same place of the kernel's as the counters; file systems without a device have none.
    let has_device =
        kept["environment"]["disk"]["write_cache"].as_str().is_some_and(|it| !it.is_empty());
    let counts_system_calls = counts_system_calls();
    if !counts_system_calls {
        println!("system calls are not checked: perf cannot count them here");
    }
    let known = [
        ("system calls", "system_calls_per_message", counts_system_calls),
        ("context switches", "context_switches_per_message", true),
        ("device writes", "device_writes_per_message", has_device),
        ("device bytes", "device_bytes_per_message", has_device),
        ("device flushes", "device_flushes_per_message", has_device),
    ];
    for (column, name, is_known) in known {
        if !header.contains(column) {
            return Err(format!("the table of costs has no {column}: {header}"));
        }
        let runs = kept["runs"].as_array().into_iter().flatten();
        let lacking = runs.map(|run| &run["figures"]["broker"]).find(|it| !it[name].is_number());
        if let Some(broker) = lacking.filter(|_| is_known) {
            return Err(format!("a run has no {name}: {broker}"));
        }
    }
    Ok(())
}

/// Whether `perf` is there and may count them, as a race does.
fn counts_system_calls() -> bool {
    let words = ["stat", "-x,", "-e", "raw_syscalls:sys_enter", "true"];
    let counted = Command::new("perf").args(words).output();
    counted.is_ok_and(|output| {
        let told = String::from_utf8_lossy(&output.stderr);
        told.lines().any(|line| line.starts_with(|first: char| first.is_ascii_digit()))
    })
}

/// A row of the document has a line in the table, with its verdict.
fn check_line(row: &Value, table: &str) -> Outcome {
    let words = ["scenario", "rival", "verdict"].map(|name| row[name].as_str().unwrap_or_default());
    let has_all = |line: &str| {
        let cells: Vec<&str> = line.split_ascii_whitespace().collect();
        words.iter().all(|word| cells.contains(word))
    };
    match words.iter().all(|word| !word.is_empty()) && table.lines().any(has_all) {
        true => Ok(()),
        false => Err(format!("no line of the table has {}:\n{table}", words.join(", "))),
    }
}

fn json(text: &str) -> Outcome<Value> {
    serde_json::from_str(text).map_err(|error| format!("bench versus: {error}"))
}

/// All runs came to something, and each figure of these parts has a row against each rival.
fn check(which: &str, results: &Value, parts: &[Part]) -> Outcome {
    let fault = |fault| format!("the results that were {which}: {fault}");
    let list = |name: &str| results[name].as_array().ok_or(fault(format!("there are no {name}")));
    let (runs, rows) = (list("runs")?, list("rows")?);
    parts.iter().try_for_each(|part| check_part(part, runs, rows)).map_err(fault)?;
    runs.iter().try_for_each(check_run).map_err(fault)
}

fn check_part(part: &Part, runs: &[Value], rows: &[Value]) -> Outcome {
    for &rival in part.rivals {
        let is_it = |it: &&Value| it["scenario"] == part.scenario && it["rival"] == rival;
        let of_block: Vec<_> = runs.iter().filter(is_it).collect();
        let is_theirs = |run: &&&Value| run["side"] == "rival" && run["contestant"] == rival;
        let theirs = of_block.iter().filter(is_theirs).count();
        if (of_block.len(), theirs) != (BLOCK_RUNS, BLOCK_RUNS / 2) {
            return Err(format!("{theirs} of {} runs against {rival} are its own", of_block.len()));
        }
        for &figure in part.figures {
            let row = rows.iter().find(|row| is_it(row) && row["figure"] == figure);
            let row = row.ok_or(format!("no row of {figure} against {rival}"))?;
            are_positive(row, &["ours", "theirs"])?;
        }
    }
    Ok(())
}

fn check_run(run: &Value) -> Outcome {
    let figures = &run["figures"];
    are_positive(figures, &["seconds", "messages", "messages_per_second", "p50_us", "p99_us"])?;
    are_positive(&figures["broker"], &["cpu_us_per_message", "rss_bytes"])?;
    for probes in ["before", "after"] {
        are_positive(&run[probes], &["write_and_flush_us", "round_trip_us"])?;
    }
    match (&run["error"], figures["failures"].as_u64()) {
        (Value::Null, Some(0)) => Ok(()),
        _ => Err(format!("a run with failures: {run}")),
    }
}

/// Each run, whosever, has left all that it measured.
fn check_files(folder: &Path, results: &Value) -> Outcome {
    let names = workspace::files_below(folder)?;
    let runs = results["runs"].as_array().into_iter().flatten();
    runs.filter_map(|run| run["number"].as_u64()).try_for_each(|number| {
        let has = |end: &str| {
            let is_it =
                |name: &str| name.starts_with(&format!("{number:04}-")) && name.ends_with(end);
            names.iter().filter_map(|path| path.file_name()?.to_str()).any(is_it)
        };
        match RAW_DATA.into_iter().find(|end| !has(end)) {
            Some(end) => Err(format!("run {number} has left no {end}")),
            None => Ok(()),
        }
    })
}

fn are_positive(of: &Value, names: &[&str]) -> Outcome {
    match names.iter().find(|name| !of[*name].as_f64().is_some_and(|value| value > 0.0)) {
        Some(name) => Err(format!("{name} is not above 0: {of}")),
        None => Ok(()),
    }
}
