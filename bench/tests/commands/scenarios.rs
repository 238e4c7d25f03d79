//! Every scenario file of the tree, run for a moment.

use std::path::Path;

use serde_json::Value;

use super::{bench, folder};

/// What makes a command brief: everything that it would otherwise do for seconds, or by the
/// hundred thousand.
fn brief(command: &str) -> &'static [&'static str] {
    match command {
        // So many messages, however long the machine takes for them.
        "produce" | "end-to-end" => {
            &["-c", "4", "--warm-up", "0", "--duration", "60", "--messages", "300"]
        }
        "consume" => &["-c", "4", "--warm-up", "0.1", "--duration", "0.4", "--fill", "2k"],
        // More slots than requests fall due: a stall of a busy machine leaves none unsent.
        "mixed" => &[
            "-c",
            "4",
            "-d",
            "256",
            "--rate",
            "1k",
            "--warm-up",
            "0.1",
            "--duration",
            "0.4",
            "--fill",
            "2k",
        ],
        "idle" => &["-c", "3", "-d", "5", "--hold", "300ms", "--warm-up", "0.1", "--duration", "1"],
        "knee" => &[
            "--start",
            "500",
            "--max",
            "999",
            "--bound",
            "p50=10s",
            "-c",
            "4",
            "-d",
            "64",
            "--duration",
            "0.2",
        ],
        other => panic!("say how `bench {other}` is run for a moment"),
    }
}

fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let value = |line: &'t str| line.strip_prefix(key)?.trim_start().strip_prefix('=');
    text.lines().find_map(value).map(|value| value.trim().trim_matches('"'))
}

/// Runs a scenario; what is wrong with what came of it.
fn fault(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let command = value(&text, "command").expect("a scenario has a command");
    let mut words = vec!["run", path.to_str().unwrap(), "--json", "--no-limits"];
    words.extend(brief(command));
    if value(&text, "topics").is_some() {
        words.extend(["--topics", "20"]);
    }
    if value(&text, "client-cores").is_some() {
        // A machine of CI may have one.
        words.extend(["--client-cores", "0"]);
    }
    let folder = folder();
    let output = bench(folder.path(), &words);
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Some(format!("{words:?}: {}: {errors}", output.status));
    }
    let report: Value = match serde_json::from_slice(&output.stdout) {
        Ok(report) => report,
        Err(error) => return Some(format!("{words:?}: {error}")),
    };
    if let Some(fault) = of_pulls(&text, &report) {
        return Some(format!("{words:?}: {fault}"));
    }
    let counted = [&report["messages"], &report["waiting"]["pulls"]];
    let counted = counted.map(|count| count.as_u64().unwrap_or(0));
    (counted == [0, 0]).then(|| format!("{words:?} counted nothing: {report}"))
}

/// What is wrong with the size of the answers: a scenario of large pulls is one of large answers.
fn of_pulls(scenario: &str, report: &Value) -> Option<String> {
    let asked: f64 = value(scenario, "pull-batch")?.parse().unwrap();
    let beside = report["beside"].as_array().into_iter().flatten();
    let brought = std::iter::once(report).chain(beside);
    let brought = brought.filter_map(|load| load["messages_per_pull"].as_f64());
    // Of 2,000 messages in up to 16 queues a pull brings what its queue still has, or one of four;
    // more than 32, and more than 8 of what is cold, a broker gives only when it is told to.
    let is_cold = value(scenario, "cold").is_some();
    let least = match asked {
        33.0.. if is_cold => 9.0,
        33.0.. => 33.0,
        _ => asked / 12.0,
    };
    let largest = brought.reduce(f64::max);
    match largest {
        Some(messages) if messages >= least => None,
        other => Some(format!("{other:?} messages a pull of up to {asked}")),
    }
}

#[test]
fn every_scenario_of_the_tree_runs() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut paths: Vec<_> =
        scenarios.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 20, "{} scenarios", paths.len());
    let faults: Vec<_> = paths.iter().filter_map(|path| fault(path)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
