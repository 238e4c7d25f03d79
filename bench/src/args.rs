//! The command line of `bench`.

pub mod commands;
mod help;
pub mod limits;
pub mod load;
pub mod rules;
pub mod said;
pub mod scenario;
pub mod switch;
pub mod target;
pub mod values;
pub mod versus;

use std::path::{Path, PathBuf};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use ringmq_version::VERSION;

use crate::args::commands::{
    CompareArgs, ConsumeArgs, CrashArgs, EndToEndArgs, IdleArgs, KneeArgs, MixedArgs, ProduceArgs,
    ReportArgs, RunArgs, ServeArgs,
};
use crate::args::help::{EXAMPLES, WORDS};
use crate::args::limits::{LimitsArgs, ServeNullArgs};
use crate::args::load::LoadArgs;
use crate::args::said::Said;
use crate::args::switch::SwitchArgs;
use crate::args::versus::VersusArgs;
use crate::files::with_extension;

/// Measures RocketMQ-compatible brokers.
#[derive(Debug, Parser)]
#[command(name = "bench", version = VERSION, about, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Defaults that differ from those of the shared arguments: command, argument, value.
const OWN_DEFAULTS: [(&str, &str, &str); 3] =
    [("consume", "connections", "4"), ("consume", "depth", "1"), ("crash", "flush", "sync")];

impl Cli {
    /// The grammar, with each command's own defaults and examples, and without a word of what it
    /// never heeds.
    fn grammar() -> clap::Command {
        let cli = Self::command().after_long_help(format!("{EXAMPLES}\n\n{WORDS}"));
        let cli = OWN_DEFAULTS.into_iter().fold(cli, |cli, (command, argument, value)| {
            cli.mut_subcommand(command, |command| {
                command.mut_arg(argument, |argument| argument.default_value(value))
            })
        });
        cli.mut_subcommands(|command| {
            let ignored = rules::never_heeded(command.get_name()).collect::<Vec<_>>();
            let hide = |argument: clap::Arg| argument.hide(true);
            let command = match help::examples_of(command.get_name()) {
                Some(examples) => command.after_help(examples),
                None => command,
            };
            ignored.into_iter().fold(command, |command, flag| command.mut_arg(flag, hide))
        })
    }

    /// Reads the command line of the process; ends it where clap has something to say.
    pub fn from_process() -> Self {
        let matches = Self::grammar().get_matches();
        let cli = Self::of(&matches).unwrap_or_else(|error| error.exit());
        // A scenario is kept as the command that it stands for.
        if !matches!(cli.command, Command::Run(_)) {
            said::keep(Said::of(&matches));
        }
        cli
    }

    /// Reads words as a command line; a flag that comes twice has its last value.
    ///
    /// # Errors
    /// As clap says.
    pub fn from_words(words: &[String]) -> Result<Self, clap::Error> {
        Self::of(&Self::matches(words)?)
    }

    /// As [`Cli::from_words`], for the words that the process is to follow.
    ///
    /// # Errors
    /// As clap says.
    pub fn from_scenario(words: &[String]) -> Result<Self, clap::Error> {
        let matches = Self::matches(words)?;
        let cli = Self::of(&matches)?;
        said::keep(Said::of(&matches));
        Ok(cli)
    }

    /// All flags of a command and its defaults: long name to value.
    #[cfg(test)]
    pub fn settings_of(words: &[String]) -> std::collections::BTreeMap<String, String> {
        Said::of(&Self::matches(words).unwrap()).settings
    }

    fn matches(words: &[String]) -> Result<ArgMatches, clap::Error> {
        let grammar = Self::grammar().args_override_self(true);
        let program = std::iter::once("bench");
        grammar.try_get_matches_from(program.chain(words.iter().map(String::as_str)))
    }

    /// What a command line says that the grammar has taken, if it is sound as a whole.
    fn of(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match rules::fault(matches) {
            Some((kind, what)) => {
                let mut grammar = Self::grammar();
                grammar.build();
                let name = matches.subcommand_name().expect("the rules are of commands");
                let command = grammar.find_subcommand_mut(name).expect("it was matched");
                Err(command.error(kind, what))
            }
            None => Self::from_arg_matches(matches),
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send messages and measure how long the broker takes to acknowledge them.
    Produce(ProduceArgs),
    /// Pull messages and measure how fast they arrive.
    Consume(ConsumeArgs),
    /// Send messages and measure how long they take to a waiting consumer.
    EndToEnd(EndToEndArgs),
    /// Send messages alone, then beside readers of a backlog, and measure what those cost.
    Mixed(MixedArgs),
    /// Let pulls wait for messages that do not come, and measure what the broker spends on them.
    Idle(IdleArgs),
    /// Find the highest rate of sends whose response time stays under a bound.
    ///
    /// A trial counts for --duration, and stretches until ten values lie beyond the percentile: at
    /// 100/s with a p99 that takes 10 s, at 10/s 100 s. How many there will be at most, and how
    /// long they take, is told before the first.
    Knee(KneeArgs),
    /// Compare two results: better, worse, same or unclear, with confidence intervals.
    ///
    /// Exit code 5: a row is worse. 6: none is, and one is unclear, too short or overloaded (with
    /// --strict 5 as well). 0: all are the same or better. What no second tells, such as the CPU
    /// time of the broker, is in the table and has no part in the exit code where single runs are
    /// compared by their seconds; three repetitions on both sides (--repeat 3) compare all.
    Compare(CompareArgs),
    /// Change a setting of a broker to and fro under load, and tell what the second value costs.
    ///
    /// A broker is compared with itself, so that no limit of the machine applies and none is
    /// measured. However it ends, but for SIGKILL and a second signal, all brokers have the value
    /// back that they had before, by request: that stands in config/overrides.json of their stores
    /// and wins over broker.conf from then on.
    ///
    /// A fast load fills disks: whether all pairs will fit is told after the first, and none is
    /// measured on a disk so full that its broker deletes files by force (85 %, or what it says).
    ///
    /// Exit code 5: surely more than --at-most. 6: nothing sure. 0: surely no more.
    Switch(SwitchArgs),
    /// Make a page with plots of saved results, side by side.
    Report(ReportArgs),
    /// Race against Apache RocketMQ 5.5.0, fetched by Maven: pairs of runs on this machine, a
    /// control of ours against ours, and a verdict per figure.
    Versus(VersusArgs),
    /// Run a scenario file: a command and its flags in TOML.
    Run(RunArgs),
    /// Kill the broker with SIGKILL under load, restart it and prove that no acknowledgement was
    /// broken.
    Crash(CrashArgs),
    /// Measure what the machine allows: device, memory, loopback, and a broker that only collects,
    /// writes and answers; or what the way to a broker elsewhere takes.
    Limits(LimitsArgs),
    /// Be the broker that another `bench` started.
    #[command(hide = true)]
    ServeBroker(ServeArgs),
    /// Be the null broker that another `bench` started.
    #[command(hide = true)]
    ServeNull(ServeNullArgs),
}

impl Command {
    /// Files that it will write its results to; of those with one beginning the first.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Idle(args) => document(args.output.as_deref()).collect(),
            Self::Switch(args) => document(args.output.as_deref()).collect(),
            Self::Report(args) => vec![args.output.clone()],
            _ => self.load().map_or_else(Vec::new, |LoadArgs { output, .. }| {
                let pictures = output.report.iter().chain(&output.profile).cloned();
                document(output.output.as_deref()).chain(pictures).collect()
            }),
        }
    }

    /// The load that it puts on a broker; none where it has other arguments, or puts none there.
    pub fn load(&self) -> Option<&LoadArgs> {
        match self {
            Self::Produce(args) => Some(&args.load),
            Self::Consume(args) => Some(&args.load),
            Self::EndToEnd(args) => Some(&args.load),
            Self::Mixed(args) => Some(&args.load),
            Self::Knee(args) => Some(&args.load),
            _ => None,
        }
    }
}

fn document(prefix: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    prefix.map(|prefix| with_extension(prefix, "json")).into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::load::OutputArgs;
    use crate::args::target::Flush;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::grammar().debug_assert();
    }

    /// That the long help of a command has these words.
    fn check_help(command: &str, parts: &[&str]) {
        let mut grammar = Cli::grammar();
        let command = grammar.find_subcommand_mut(command).unwrap();
        let help = command.render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        parts.iter().for_each(|part| assert!(help.contains(part), "{part}: {help}"));
    }

    #[test]
    fn a_report_names_the_options_of_its_command_that_tell_more() {
        let grammar = Cli::grammar();
        for (command, in_full) in [
            ("produce", &OutputArgs::IN_FULL[..]),
            ("idle", &IdleArgs::IN_FULL),
            ("switch", &SwitchArgs::IN_FULL),
        ] {
            let arguments = grammar.find_subcommand(command).unwrap().get_arguments();
            let longs: Vec<_> = arguments.filter_map(|argument| argument.get_long()).collect();
            let has = |option: &&str| longs.contains(&option.trim_start_matches("--"));
            let had: Vec<_> = OutputArgs::IN_FULL.into_iter().filter(has).collect();
            assert_eq!(had, in_full, "{command}");
        }
    }

    #[test]
    fn the_help_of_a_command_has_examples_of_its_own() {
        let grammar = Cli::grammar();
        for command in grammar.get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let own = format!("  bench {} ", command.get_name());
            let examples = help.strip_prefix("Examples:\n").unwrap_or_else(|| panic!("{own}"));
            let is_own = |line: &str| line.starts_with(&own) || line.starts_with("   ");
            assert!(examples.starts_with(&own) && examples.lines().all(is_own), "{help}");
        }
    }

    #[test]
    fn the_help_of_compare_says_what_its_exit_code_counts() {
        let counts = ["Exit code 5: a row is worse", "has no part in the exit code", "--repeat 3"];
        check_help("compare", &counts);
    }

    #[test]
    fn the_help_of_switch_says_what_it_leaves_at_a_broker_and_why_it_has_no_limits() {
        let parts = ["config/overrides.json", "wins over broker.conf", "no limit of the machine"];
        check_help("switch", &parts);
        check_help("switch", &["whether all pairs will fit", "deletes files by force"]);
    }

    #[test]
    fn the_help_of_a_command_has_no_flag_that_it_never_heeds() {
        for (command, flags) in [
            ("knee", &["--rate", "--repeat", "--messages", "--profile"][..]),
            ("limits", &["--repeat"]),
            ("switch", &["--duration", "--messages", "--repeat"]),
        ] {
            let mut grammar = Cli::grammar();
            let command = grammar.find_subcommand_mut(command).unwrap();
            let help = command.render_long_help().to_string();
            let options = help.lines().filter(|line| line.trim_start().starts_with('-'));
            for flag in flags.iter().map(|flag| format!("{flag} ")) {
                assert!(!options.clone().any(|line| line.contains(&flag)), "{flag}: {help}");
            }
        }
    }

    #[test]
    fn the_help_of_knee_says_how_long_it_takes() {
        check_help(
            "knee",
            &["stretches until ten values lie beyond the percentile", "--min <MIN>"],
        );
    }

    #[test]
    fn commands_have_defaults_of_their_own() {
        let parse = |words: &[&str]| {
            let matches = Cli::grammar().try_get_matches_from(words).unwrap();
            Cli::from_arg_matches(&matches).unwrap().command
        };
        let Command::Consume(consume) = parse(&["bench", "consume"]) else { panic!() };
        let Command::Produce(produce) = parse(&["bench", "produce"]) else { panic!() };
        let Command::Crash(crash) = parse(&["bench", "crash"]) else { panic!() };
        assert_eq!((consume.load.pace.connections, produce.load.pace.connections), (4, 16));
        assert_eq!(
            (crash.broker.flush, produce.load.target.broker.flush),
            (Flush::Sync, Flush::Async)
        );
    }
}
