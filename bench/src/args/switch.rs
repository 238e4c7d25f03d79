//! The arguments of `bench switch`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::args::load::{MessageArgs, PaceArgs};
use crate::args::target::TargetArgs;
use crate::args::values;

/// `bench switch`.
#[derive(Clone, Debug, Args)]
pub struct SwitchArgs {
    /// The setting and two values of it, such as sendStageTracing=false,true: what does the second
    /// cost against the first? Twice the same value is the control, which has to cost nothing.
    #[arg(value_name = "KEY=ONE,OTHER", value_parser = setting)]
    pub setting: Setting,
    /// Pairs of slices, one with each value; which comes first is drawn for each pair. Before each
    /// the brokers are asked how full their disks are: if the next pair may bring one to 2 % below
    /// the share at which its broker deletes files by force, the run ends and tells what it has.
    #[arg(long, default_value_t = 60, value_parser = values::up_to(10_000))]
    pub pairs: u32,
    /// Length of a slice.
    #[arg(long, default_value = "1s", value_parser = values::counted)]
    pub slice: Duration,
    /// Time behind each switch that is in no slice: what was sent before it is answered by then.
    #[arg(long, default_value = "300ms", value_parser = values::seconds)]
    pub settle: Duration,
    /// The most percent that the second value may cost.
    #[arg(long, default_value = "2", value_name = "PERCENT", value_parser = cost)]
    pub at_most: f64,
    /// Decides the order; printed, so that it can be had again.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Which broker.
    #[command(flatten)]
    pub target: TargetArgs,
    /// How much.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// The messages.
    #[command(flatten)]
    pub message: MessageArgs,
    /// Print one JSON document instead of a table.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Also write PREFIX.json, the same document with every slice.
    #[arg(short, long, value_name = "PREFIX", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

impl SwitchArgs {
    /// Those that tell all that the table leaves out.
    pub const IN_FULL: [&str; 2] = ["--json", "--output"];
}

/// A setting of a broker and two values of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// What is compared with, and what is compared.
    pub values: [String; 2],
}

fn setting(text: &str) -> Result<Setting, String> {
    let expected =
        || format!("{text:?} is not a key with two values, such as sendStageTracing=false,true");
    let (key, values) = text.split_once('=').ok_or_else(expected)?;
    let (one, other) = values.split_once(',').ok_or_else(expected)?;
    let parts = [key, one, other].map(str::trim);
    // What ends a line or escapes would be another setting in the request.
    let is_plain = |part: &&str| !part.is_empty() && !part.contains(['\n', '\r', '\\', '=', ',']);
    match parts.iter().all(is_plain) {
        true => Ok(Setting { key: parts[0].into(), values: [parts[1].into(), parts[2].into()] }),
        false => Err(expected()),
    }
}

fn cost(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => Err(format!("{text:?} is not a cost in percent, above 0 and up to 100")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_a_key_and_two_values() {
        let setting_of = |text| setting(text).map(|it| (it.key, it.values));
        let expected = ("a".to_owned(), ["1".to_owned(), "2".to_owned()]);
        assert_eq!(setting_of("a=1,2"), Ok(expected.clone()));
        assert_eq!(setting_of(" a = 1 , 2"), Ok(expected));
        for text in ["a", "a=1", "=1,2", "a=1,", "a=1,2,3", "a=1,2\nb=3", "a=1,2=3"] {
            let refused = setting(text).unwrap_err();
            assert!(refused.contains("two values, such as sendStageTracing="), "{refused}");
        }
        assert_eq!((cost("2%"), cost("0.5")), (Ok(2.0), Ok(0.5)));
        assert!(cost("0").is_err() && cost("200").is_err());
    }
}
