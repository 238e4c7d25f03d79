//! Scenario files: a command line kept in a TOML file.
//!
//! `command` names the command, every other key is the long name of one of its flags. A value is
//! what one would write behind the flag; `true` sets a flag that has no value, a list is joined by
//! commas. The file is turned into words and read by the same parser as the command line, so a
//! scenario and its flags cannot mean different things.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ops::Range;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use toml::{Spanned, Value};

use crate::args::Cli;
use crate::documents::{self, Wanted};
use crate::error::BenchError;

/// Largest scenario file.
const SCENARIO_MAX_BYTES: usize = 1 << 20;

/// The words of the scenario in the file at `path`, without the program's name: a command that
/// measures, and flags that it takes.
///
/// # Errors
/// The file cannot be read, or is no scenario: with the line, the key, what was found and what is
/// allowed.
pub async fn words(path: &Path) -> Result<Vec<String>, BenchError> {
    let bytes = documents::bytes(path, Wanted::Scenario, SCENARIO_MAX_BYTES).await?;
    if let Some(found) = documents::json_for_scenario(&bytes) {
        return Err(documents::wrong(path, Wanted::Scenario, found));
    }
    let text = String::from_utf8_lossy(&bytes);
    words_of(&text).map_err(|Fault { line, what }| {
        let path = path.display();
        let place = line.map_or_else(|| path.to_string(), |line| format!("{path}:{line}"));
        BenchError::Scenario { place, what }
    })
}

/// The words of a scenario and the `flags` behind them as one command line. On a running cluster
/// the file's settings of a broker that bench starts are left out: they come second.
pub fn with_flags(words: Vec<String>, flags: &[String]) -> (Vec<String>, Vec<String>) {
    let is_elsewhere =
        flags.iter().any(|flag| flag.starts_with("-n") || flag.starts_with("--namesrv"));
    let is_of_broker = |word: &String| {
        let flag = word.split('=').next().unwrap_or_default();
        is_elsewhere && ["--flush", "--shards", "--logs", "--store"].contains(&flag)
    };
    let (left_out, kept): (Vec<_>, Vec<_>) = words.into_iter().partition(is_of_broker);
    (kept.into_iter().chain(flags.iter().cloned()).collect(), left_out)
}

/// What is wrong with a scenario.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    /// Counted from 1; none when it is about the whole file.
    line: Option<usize>,
    what: String,
}

impl Fault {
    fn at(text: &str, span: Option<Range<usize>>, what: impl Into<String>) -> Self {
        let before = span.and_then(|span| text.get(..span.start));
        let line = before.map(|before| 1 + before.matches('\n').count());
        Self { line, what: what.into() }
    }
}

fn words_of(text: &str) -> Result<Vec<String>, Fault> {
    let table: BTreeMap<String, Spanned<Value>> =
        toml::from_str(text).map_err(|error| Fault::at(text, error.span(), no_toml(&error)))?;
    let mut entries: Vec<_> = table.iter().collect();
    // The first fault of the file is the one to tell.
    entries.sort_by_key(|(_, value)| value.span().start);
    let command = command_of(text, table.get("command"))?;
    let mut words = vec![command.clone()];
    for (key, value) in entries.into_iter().filter(|(key, _)| *key != "command") {
        let word = word_of(&command, key, value.get_ref());
        let word = word.map_err(|what| Fault::at(text, Some(value.span()), what))?;
        words.extend(word);
    }
    Ok(words)
}

fn no_toml(error: &toml::de::Error) -> String {
    let what = error.message();
    format!("no TOML ({what}): a scenario has a line per flag, and `command = \"produce\"`")
}

fn command_of(text: &str, found: Option<&Spanned<Value>>) -> Result<String, Fault> {
    let grammar = Cli::grammar();
    let commands = grammar.get_subcommands().filter(|command| !command.is_hide_set());
    let names: Vec<_> =
        commands.map(clap::Command::get_name).filter(|name| *name != "run").collect();
    match found.map(Spanned::get_ref) {
        Some(Value::String(name)) if names.contains(&name.as_str()) => Ok(name.clone()),
        Some(other) => {
            let what = format!("command: {other} is none of {}", names.join(", "));
            Err(Fault::at(text, found.map(Spanned::span), what))
        }
        None => {
            let what = format!("no command, such as `command = \"{}\"`", names[0]);
            Err(Fault::at(text, None, what))
        }
    }
}

/// One key as one word, so that a value that begins with a dash stays a value; none for a switch
/// that is off.
fn word_of(command: &str, key: &str, value: &Value) -> Result<Option<String>, String> {
    let word = match flag_value(value).map_err(|what| format!("{key}: {what}"))? {
        FlagValue::Absent => return Ok(None),
        FlagValue::Switch => format!("--{key}"),
        FlagValue::Text(text) => format!("--{key}={text}"),
    };
    match Cli::from_words(&[command.to_owned(), word.clone()]) {
        Ok(_) => Ok(Some(word)),
        Err(error) => match what_is_wrong(&error, command, value) {
            None => Ok(Some(word)),
            Some(what) => Err(format!("{key}: {what}")),
        },
    }
}

/// What is wrong with a flag; none when the command only misses others.
fn what_is_wrong(error: &clap::Error, command: &str, found: &Value) -> Option<String> {
    let listed = |kind| match error.get(kind) {
        Some(ContextValue::String(one)) => vec![one.clone()],
        Some(ContextValue::Strings(all)) => all.clone(),
        _ => Vec::new(),
    };
    match error.kind() {
        ErrorKind::MissingRequiredArgument => None,
        ErrorKind::UnknownArgument | ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let near = listed(ContextKind::SuggestedArg);
            let near = near.first().map(|flag| flag.trim_start_matches("--"));
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            Some(format!("no flag of `bench {command}`{hint}"))
        }
        // The rules tell it in their first line.
        ErrorKind::ArgumentConflict => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            Some(line.trim_start_matches("error: ").to_owned())
        }
        _ if *found == Value::Boolean(true) => Some("true is no value of this flag".to_owned()),
        ErrorKind::InvalidValue => {
            let allowed = listed(ContextKind::ValidValue).join(", ");
            Some(format!("{found} is none of {allowed}"))
        }
        ErrorKind::ValueValidation => error.source().map(ToString::to_string),
        _ => Some(format!("{found} is neither true nor false")),
    }
}

/// What stands behind a flag.
enum FlagValue {
    /// The flag is not there at all.
    Absent,
    /// Nothing: the flag takes no value.
    Switch,
    Text(String),
}

fn flag_value(value: &Value) -> Result<FlagValue, String> {
    Ok(match value {
        Value::Boolean(true) => FlagValue::Switch,
        Value::Boolean(false) => FlagValue::Absent,
        Value::Array(values) => {
            let words: Result<Vec<_>, _> = values.iter().map(word).collect();
            FlagValue::Text(words?.join(","))
        }
        value => FlagValue::Text(word(value)?),
    })
}

fn word(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        _ => Err("expected text, a number, true, or a list of texts and numbers".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::disk::Disk;
    use ringmq_runtime::shards;

    use super::*;
    use crate::args::Command;

    #[test]
    fn keys_become_flags() {
        let text = "command = \"produce\"\nrate = \"10k\"\nconnections = 16\nverify = true\n\
                    json = false\ntags = [\"A\", \"B\"]\n";
        let mut words = words_of(text).unwrap();
        words[1..].sort();
        let expected = ["produce", "--connections=16", "--rate=10k", "--tags=A,B", "--verify"];
        assert_eq!(words, expected);
    }

    #[test]
    fn flags_behind_the_file_win() {
        let file = ["produce", "--depth=4", "--tags=A,B", "--rate=5k"].map(String::from);
        let words = [&file[..], &["--depth", "8", "--rate", "1k,2k"].map(String::from)].concat();
        let Command::Produce(args) = Cli::from_words(&words).unwrap().command else { panic!() };
        assert_eq!((args.load.pace.depth, args.load.message.tags.len()), (8, 2));
        assert_eq!(args.load.pace.rate, [1000.0, 2000.0]);
    }

    #[test]
    fn on_a_running_cluster_a_scenario_leaves_the_settings_of_a_broker_out() {
        let file = ["produce", "--flush=sync", "--depth=4"].map(String::from);
        let check = |flags: &[&str], expected: &[&str], left_out: &[&str]| {
            let words = |all: &[&str]| -> Vec<String> {
                all.iter().map(|word| (*word).to_owned()).collect()
            };
            let found = with_flags(file.to_vec(), &words(flags));
            assert_eq!((found.0, found.1), (words(expected), words(left_out)));
        };
        check(&["--json"], &["produce", "--flush=sync", "--depth=4", "--json"], &[]);
        check(&["-n", "h:1"], &["produce", "--depth=4", "-n", "h:1"], &["--flush=sync"]);
    }

    #[test]
    fn what_is_no_scenario_is_refused_with_line_key_found_and_allowed() {
        let check = |lines: &str, line: usize, what: &str| {
            let fault = words_of(lines).unwrap_err();
            assert!(fault.what.contains(what), "{fault:?}");
            assert_eq!(fault.line, Some(line), "{fault:?}");
        };
        let of_produce = |line: &str| format!("# many\ncommand = \"produce\"\n{line}\nbatch = 2\n");
        let check_line = |line: &str, what: &str| check(&of_produce(line), 3, what);
        check_line("conections = 4", "conections: no flag of `bench produce`; did you mean connec");
        check_line("help = true", "help: no flag of `bench produce`");
        check_line("flush = \"asyncc\"", "flush: \"asyncc\" is none of sync, async");
        check_line("rate = \"fast\"", "rate: \"fast\" is not a rate from 0.001 to 100M per second");
        check_line("connections = 0", "connections: 0 is not in 1..=10000");
        check_line("rate = true", "rate: true is no value");
        check_line("verify = 5", "verify: 5 is neither true nor false");
        check("command = \"knee\"\nrate = 5", 2, "rate: --rate has no meaning: knee looks for");
        check_line("rate = {}", "rate: expected text, a number, true, or a list");
        check(
            "connections = 0\ncommand = \"prodce\"",
            2,
            "command: \"prodce\" is none of produce, ",
        );
        check("command = \"run\"", 1, "command: \"run\" is none of produce, ");
        check("\ncommand = ", 2, "");
        let without = words_of("rate = 1").unwrap_err();
        assert_eq!(without.line, None);
        assert!(without.what.contains("no command, such as `command = \"produce\"`"));
    }

    #[test]
    fn all_scenarios_of_the_tree_are_valid_command_lines() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let checked = shards::block_on(async {
            let disk = Disk::live(&folder).unwrap();
            let mut checked = 0;
            for entry in disk.list("").await.unwrap() {
                let name = entry.name.clone();
                let words = words(&folder.join(&name)).await.unwrap();
                Cli::from_words(&words).unwrap_or_else(|error| panic!("{name:?}: {error}"));
                checked += 1;
            }
            checked
        });
        assert!(checked >= 10, "{checked} scenarios");
    }
}
