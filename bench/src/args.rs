//! The command line of `bench`.

pub mod commands;
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
    CompareArgs, ConsumeArgs, CrashArgs, EndToEndArgs, IdleArgs, KneeArgs, LimitsArgs, MixedArgs,
    ProduceArgs, ReportArgs, RunArgs, ServeArgs, ServeNullArgs,
};
use crate::args::said::Said;
use crate::args::switch::SwitchArgs;
use crate::args::versus::VersusArgs;
use crate::report::files::with_extension;

const EXAMPLES: &str = "\
Examples:
  bench produce                                  a broker of its own on real files
  bench produce -n 127.0.0.1:9876 -t BenchTopic  a running cluster
  bench produce -c 64 -d 32 --flush sync         64 connections, 32 messages in flight on each
  bench produce --rate 10k -c 16                 open loop: latency from the intended send time
  bench produce --client-cores 1                 the client bound to a core, off that of the broker
  bench produce --verify                         prove that everything acknowledged can be read
  bench consume                                  fill a topic and pull it over and over
  bench consume -n 127.0.0.1:9876 --from last --produce 5k
                                                 the age of messages as they arrive
  bench consume --cold -c 4 -d 1                 a catch-up from the device
  bench end-to-end --rate 5k                     from the intended send time to a consumer
  bench mixed --rate 10k --readers 4             producers beside a catch-up
  bench knee --bound p99=5ms                     the highest rate that keeps a promise
  bench run bench/scenarios/sync-64x1.toml --json
  bench produce --duration 25 -o before          a result to compare: 25 s, or --repeat 3
  bench compare before.json after.json           is the second one worse? (exit code 5)
  bench produce --rate 10k --report run.html     a page with plots
  bench report before.json after.json -o o.html  saved results side by side
  bench switch sendStageTracing=false,true -c 64 -d 32
                                                 what a setting costs, within one run
  bench limits -c 64 -d 1                        what this machine allows a broker
  bench limits -n 127.0.0.1:9876                 what the way to a running cluster takes
  bench versus --against tuned,ours --scenarios sync-64x1
                                                 the race against Apache RocketMQ 5.5.0
  bench consume --profile flame.svg              which code the broker's CPU time goes to (perf)
  bench crash --rounds 20 --flush sync           kill -9 the broker under load, restart, prove

Exit codes: 0 done, 1 failed (the text says why), 2 wrong command line or scenario file, 3 requests
failed, most of an open loop was never sent, or nothing was counted, 4 a proof failed: an
acknowledged message is missing, doubled, corrupt or out of order, or nothing was acknowledged, 5 a
comparison found something worse or a race was lost, 6 a comparison or a race had too little to tell
anything, or to say whether a goal is reached, 7 a race was not lost and has a goal that is missed,
or limited by the machine, 130 stopped by Ctrl-C and 143 by SIGTERM: nothing more is sent, answers
are awaited for 3 s, the table tells what was measured until then, and the broker that bench started
is ended and its files removed.";

/// What stands in the tables, for who meets it the first time.
const WORDS: &str = "\
Words of the tables:
  closed loop           every answer sends the next request: says how much, not how late under load
  open loop             requests have due times (--rate), whatever the broker does
  service time          from handing a request to its connection until its answer
  from intended time    the same from its due time (response time): the wait for a free slot counts
  since its birth       age of a message when it arrives, by the clock of its producer
  p99                   99 of 100 values are at most so large
  values beyond         how many are larger: a percentile that rests on three of them says little,
                        and one that rests on none is a dash
  backlog               requests that were due and not sent at the end, since no slot was free
  empty answers         pulls that were answered and brought no message
  broker, per message   what its process and its device used, divided by the messages
  waited for CPU        time that its threads could run and had no core
  log flushes           of its commit logs; 0.05 means that 20 messages shared one
  device writes, bytes, flushes
                        of the whole device, so also what others had it do
  null broker           reads, writes, flushes, answers and delivers, and does nothing else: how
                        far a broker built as ours could get
  floor                 a round trip and a write one after the other: no lone request is faster
  meanwhile             CPU time that the host took, and the share of the time in which anybody on
                        the machine waited for a CPU or for I/O: much of it spoils the figures";

/// Measures RocketMQ-compatible brokers.
#[derive(Debug, Parser)]
#[command(name = "bench", version = VERSION, about, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Defaults that differ from those of the shared arguments: command, argument, value.
const OWN_DEFAULTS: [(&str, &str, &str); 3] =
    [("consume", "connections", "4"), ("consume", "depth", "1"), ("crash", "flush", "sync")];

impl Cli {
    /// The grammar, with each command's own defaults, and without a word of what it never heeds.
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

/// The workloads.
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
        let output = match self {
            Self::Produce(args) => &args.load.output,
            Self::Consume(args) => &args.load.output,
            Self::EndToEnd(args) => &args.load.output,
            Self::Mixed(args) => &args.load.output,
            Self::Knee(args) => &args.load.output,
            Self::Idle(args) => return document(args.output.as_deref()).collect(),
            Self::Switch(args) => return document(args.output.as_deref()).collect(),
            Self::Report(args) => return vec![args.output.clone()],
            _ => return Vec::new(),
        };
        let pictures = output.report.iter().chain(&output.profile).cloned();
        document(output.output.as_deref()).chain(pictures).collect()
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
