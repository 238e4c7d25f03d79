//! Scenario files: a command line kept in a TOML file.
//!
//! `command` names the command, every other key is the long name of one of its flags. A value is
//! what one would write behind the flag; `true` sets a flag that has no value, a list is joined by
//! commas. The file is turned into words and read by the same parser as the command line, so a
//! scenario and its flags cannot mean different things.

use std::path::Path;

use ringmq_runtime::disk::Disk;
use toml::{Table, Value};

use crate::error::BenchError;

/// Largest scenario file.
const SCENARIO_MAX_BYTES: usize = 1 << 20;

/// The words of the scenario in the file at `path`, without the program's name.
///
/// # Errors
/// The file cannot be read or is no scenario.
pub async fn words(path: &Path) -> Result<Vec<String>, BenchError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let name = path.file_name().unwrap_or(path.as_os_str());
    let read = match Disk::live(directory.unwrap_or(Path::new("."))) {
        Ok(disk) => disk.read_all(name, SCENARIO_MAX_BYTES).await,
        Err(error) => Err(error),
    };
    let bytes = read.map_err(|error| BenchError::file(path, error))?;
    let text = String::from_utf8_lossy(&bytes);
    words_of(&text).map_err(|what| BenchError::Scenario { path: path.display().to_string(), what })
}

fn words_of(text: &str) -> Result<Vec<String>, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let Some(Value::String(command)) = table.get("command") else {
        return Err("expected `command = \"produce\"` or another command".to_owned());
    };
    let mut words = vec![command.clone()];
    for (key, value) in table.iter().filter(|(key, _)| *key != "command") {
        // One word, so that a value that begins with a dash stays a value.
        match flag_value(value).map_err(|what| format!("{key}: {what}"))? {
            FlagValue::Absent => {}
            FlagValue::Switch => words.push(format!("--{key}")),
            FlagValue::Text(text) => words.push(format!("--{key}={text}")),
        }
    }
    Ok(words)
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
    use super::*;
    use crate::args::{Cli, Command};
    use ringmq_runtime::shards;

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
    fn what_is_no_scenario_is_refused() {
        assert!(words_of("rate = 1").unwrap_err().contains("command"));
        assert!(words_of("command = \"produce\"\n[rate]\nx = 1").unwrap_err().contains("rate"));
        assert!(words_of("command = ").unwrap_err().contains("expected"));
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
                let command = Cli::from_words(&words).unwrap_or_else(|error| {
                    panic!("{name:?}: {error}");
                });
                assert!(!matches!(command.command, Command::Run(_)), "{name:?} runs another");
                checked += 1;
            }
            checked
        });
        assert!(checked >= 10, "{checked} scenarios");
    }
}
