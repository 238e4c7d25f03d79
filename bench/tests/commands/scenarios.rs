//! Every scenario file of the tree, run for a moment.

use std::path::Path;

use serde_json::Value;

use super::{bench, folder};

/// What makes a command brief: everything that it would otherwise do for seconds, or by the
/// hundred thousand.
fn brief(command: &str) -> &'static [&'static str] {
    match command {
        "produce" | "end-to-end" => &["-c", "4", "--warm-up", "0.1", "--duration", "0.4"],
        "consume" | "mixed" => {
            &["-c", "4", "--warm-up", "0.1", "--duration", "0.4", "--fill", "2k"]
        }
        "idle" => &["-c", "3", "-d", "5", "--hold", "300ms", "--warm-up", "0.1", "--duration", "1"],
        "knee" => {
            &["--start", "50", "--max", "100", "--bound", "p99=10s", "-c", "4", "--duration", "0.2"]
        }
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
    let counted = ["messages", "pulls"].map(|name| report[name].as_u64().unwrap_or(0));
    (counted == [0, 0]).then(|| format!("{words:?} counted nothing: {report}"))
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
