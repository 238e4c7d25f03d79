//! What bench was asked for, as far as it decides about a result: kept once per process, since a
//! result without it cannot be told from another.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use clap::ArgMatches;

/// A command line in two forms.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// As it was typed.
    pub words: String,
    /// All flags of the command, defaults included: long name to value.
    pub settings: BTreeMap<String, String>,
}

static SAID: OnceLock<Said> = OnceLock::new();

/// What this process was asked for; empty where nobody has said it.
pub fn said() -> Said {
    SAID.get().cloned().unwrap_or_default()
}

/// Keeps what the process was asked for; only the first is kept.
pub fn keep(said: Said) {
    let _ = SAID.set(said);
}

impl Said {
    /// The command of `matches`, as the process was started.
    pub fn of(matches: &ArgMatches) -> Self {
        let words = std::env::args().skip(1).map(|word| quoted(&word));
        let words = std::iter::once("bench".to_owned()).chain(words).collect::<Vec<_>>().join(" ");
        Self { words, settings: settings(matches) }
    }
}

/// A word that a shell reads as one.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,%+@".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn settings(matches: &ArgMatches) -> BTreeMap<String, String> {
    let Some((command, matches)) = matches.subcommand() else { return BTreeMap::new() };
    let value = |id: &clap::Id| {
        // Groups of flags have ids of their own and no values.
        let values = matches.try_get_raw(id.as_str()).ok()??;
        let values: Vec<_> = values.map(|value| value.to_string_lossy().into_owned()).collect();
        Some((id.as_str().replace('_', "-"), values.join(",")))
    };
    let is_flag = |id: &&clap::Id| !id.as_str().starts_with(char::is_uppercase);
    let command = ("command".to_owned(), command.to_owned());
    matches.ids().filter(is_flag).filter_map(value).chain([command]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;

    #[test]
    fn settings_have_what_was_said_and_the_defaults() {
        let words = ["bench", "produce", "--topics", "20", "--rate", "1k,2k", "--verify"];
        let matches = Cli::grammar().try_get_matches_from(words).unwrap();
        let settings = settings(&matches);
        for (name, value) in [
            ("command", "produce"),
            ("topics", "20"),
            ("rate", "1k,2k"),
            ("verify", "true"),
            ("warm-up", "2"),
            ("connections", "16"),
        ] {
            assert_eq!(settings.get(name).map(String::as_str), Some(value), "{settings:?}");
        }
        assert!(!settings.contains_key("namesrv"), "{settings:?}");
    }

    #[test]
    fn words_can_be_typed_again() {
        assert_eq!(quoted("--rate=10k"), "--rate=10k");
        assert_eq!(quoted("a:1;b:2"), "'a:1;b:2'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
