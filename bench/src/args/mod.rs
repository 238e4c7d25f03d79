//! The command line of `bench`.

pub mod load;
pub mod scenario;
pub mod values;

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::args::load::{MessageArgs, OutputArgs, PaceArgs};
use crate::knee::Bound;
use crate::workload::message::Sizes;

const EXAMPLES: &str = "\
Examples:
  bench produce                                  a broker of its own on real files
  bench produce -n 127.0.0.1:9876 -t BenchTopic  a running cluster
  bench produce -c 64 -d 32 --flush sync         64 connections, 32 messages in flight on each
  bench produce --rate 10k -c 16                 open loop: latency from the intended send time
  bench produce --verify                         prove that everything acknowledged can be read
  bench consume                                  fill a topic and pull it over and over
  bench consume -n 127.0.0.1:9876 --from last    the age of messages as they arrive
  bench end-to-end --rate 5k                     from the intended send time to a consumer
  bench knee --bound p99=5ms                     the highest rate that keeps a promise
  bench run bench/scenarios/sync-64x1.toml --json
  bench compare before.json after.json           is the second one worse? (exit code 5)
  bench limits -c 64 -d 1                        what no broker on this machine can beat
  bench crash --rounds 20 --flush sync           kill -9 the broker under load, restart, prove

Exit codes: 0 done, 1 failed (the text says why), 2 wrong command line, 3 requests failed,
4 a proof failed: an acknowledged message is missing, doubled, corrupt or out of order,
5 a comparison found something worse.";

/// Measures RocketMQ-compatible brokers.
#[derive(Debug, Parser)]
#[command(name = "bench", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Defaults that differ from those of the shared arguments: command, argument, value.
const OWN_DEFAULTS: [(&str, &str, &str); 3] =
    [("consume", "connections", "4"), ("consume", "depth", "1"), ("crash", "flush", "sync")];

impl Cli {
    /// The grammar, with each command's own defaults.
    fn grammar() -> clap::Command {
        OWN_DEFAULTS.into_iter().fold(Self::command(), |cli, (command, argument, value)| {
            cli.mut_subcommand(command, |command| {
                command.mut_arg(argument, |argument| argument.default_value(value))
            })
        })
    }

    /// Reads the command line of the process; ends it where clap has something to say.
    pub fn from_process() -> Self {
        let matches = Self::grammar().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Reads words as a command line; a flag that comes twice has its last value.
    ///
    /// # Errors
    /// As clap says.
    pub fn from_words(words: &[String]) -> Result<Self, clap::Error> {
        let grammar = Self::grammar().args_override_self(true);
        let program = std::iter::once("bench");
        let matches =
            grammar.try_get_matches_from(program.chain(words.iter().map(String::as_str)))?;
        Self::from_arg_matches(&matches)
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
    /// Find the highest rate of sends whose response time stays under a bound.
    Knee(KneeArgs),
    /// Compare two results: better, worse, same or unclear, with confidence intervals.
    Compare(CompareArgs),
    /// Run a scenario file: a command and its flags in TOML.
    Run(RunArgs),
    /// Kill the broker with SIGKILL under load, restart it and prove that no acknowledgement was
    /// broken.
    Crash(CrashArgs),
    /// Measure what the machine allows: device, memory, loopback, and a broker that only collects,
    /// writes and answers.
    Limits(LimitsArgs),
    /// Be the broker that another `bench` started.
    #[command(hide = true)]
    ServeBroker(ServeArgs),
    /// Be the null broker that another `bench` started.
    #[command(hide = true)]
    ServeNull(ServeNullArgs),
}

/// Which broker.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// Name server, `host:port`. Without it bench starts a broker of its own.
    #[arg(short, long, value_name = "ADDRESS")]
    pub namesrv: Option<String>,
    /// Topic; created with --queues queues when it is not there.
    #[arg(short, long, default_value = "BenchTopic")]
    pub topic: String,
    /// Number of topics; with more than one they are called TOPIC-0, TOPIC-1, ...
    #[arg(long, default_value_t = 1, value_parser = values::up_to(100_000))]
    pub topics: u32,
    /// Queues of a topic that bench creates.
    #[arg(short, long, default_value_t = 4, value_parser = values::up_to(1024))]
    pub queues: u32,
    /// The broker that bench starts.
    #[command(flatten)]
    pub broker: BrokerArgs,
}

/// The broker that bench starts.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The broker that bench starts")]
pub struct BrokerArgs {
    /// When it acknowledges.
    #[arg(long, value_enum, default_value_t = Flush::Async)]
    pub flush: Flush,
    /// Cores: how many shards it runs.
    #[arg(long, default_value_t = 1, value_parser = values::up_to(256))]
    pub shards: u32,
    /// Commit logs.
    #[arg(long, default_value_t = 1, value_parser = values::up_to(256))]
    pub logs: u32,
    /// Where it keeps its files; a fresh directory under ./data without it, removed after a good
    /// run.
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
}

/// When a broker started by bench acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Flush {
    /// SYNC_FLUSH: after write and flush.
    Sync,
    /// ASYNC_FLUSH: after the write.
    Async,
}

impl Flush {
    /// The value of `flushDiskType`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Sync => "SYNC_FLUSH",
            Self::Async => "ASYNC_FLUSH",
        }
    }
}

/// `bench produce`.
#[derive(Clone, Debug, Args)]
pub struct ProduceArgs {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetArgs,
    /// How much load.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// The messages.
    #[command(flatten)]
    pub message: MessageArgs,
    /// Where the results go.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Afterwards read everything back: each acknowledged message as sent, once, in order.
    #[arg(long)]
    pub verify: bool,
    /// Skip the measurement of the machine's limits: device, null server, null broker.
    #[arg(long)]
    pub no_limits: bool,
}

/// Where a consumer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Begin {
    /// The first message: read to the end, and again; the latency is that of a pull.
    First,
    /// What arrives from now on: the latency is the age of a message by the producer's clock.
    Last,
}

/// `bench consume`.
#[derive(Clone, Debug, Args)]
pub struct ConsumeArgs {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetArgs,
    /// How much load; requests are pulls, each in flight from a cursor of its own.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Most messages of one pull.
    #[arg(long, default_value_t = 32, value_parser = values::up_to(4096))]
    pub pull_batch: u32,
    /// Tag expression such as "A || B".
    #[arg(long, default_value = "*")]
    pub subscription: String,
    /// Where to begin.
    #[arg(long, value_enum, default_value_t = Begin::First)]
    pub from: Begin,
    /// End when every cursor has read its queues so often, even if the time is not over.
    #[arg(long, value_parser = values::up_to(1_000_000))]
    pub passes: Option<u32>,
    /// Messages to put into the topics first; 500k for a broker that bench starts, else none.
    #[arg(long, value_parser = values::count)]
    pub fill: Option<u64>,
    /// Those messages.
    #[command(flatten)]
    pub message: MessageArgs,
    /// Where the results go.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `bench end-to-end`.
#[derive(Clone, Debug, Args)]
pub struct EndToEndArgs {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetArgs,
    /// How much is sent.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// The messages.
    #[command(flatten)]
    pub message: MessageArgs,
    /// Connections of the consumers, which wait at the end of every queue.
    #[arg(long, default_value_t = 4, value_parser = values::up_to(1024))]
    pub consumers: u32,
    /// Most messages of one pull.
    #[arg(long, default_value_t = 32, value_parser = values::up_to(4096))]
    pub pull_batch: u32,
    /// Where the results go.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `bench knee`.
#[derive(Clone, Debug, Args)]
pub struct KneeArgs {
    /// What must hold, such as p99=10ms: one of p50, p90, p95, p99, p99.9, p99.99, p99.999.
    #[arg(long, default_value = "p99=10ms", value_parser = values::bound)]
    pub bound: Bound,
    /// First rate, in requests per second.
    #[arg(long, default_value = "1k", value_parser = values::rate)]
    pub start: f64,
    /// Highest rate.
    #[arg(long, default_value = "10M", value_parser = values::rate)]
    pub max: f64,
    /// Percent by which the found rate may lie below the knee.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub precision: u8,
    /// Which broker.
    #[command(flatten)]
    pub target: TargetArgs,
    /// How much load at each rate; --rate and --repeat have no meaning here.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// The messages.
    #[command(flatten)]
    pub message: MessageArgs,
    /// Where the results go.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `bench compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// The result to compare with, a JSON document of bench.
    pub first: PathBuf,
    /// The result that may be better or worse.
    pub second: PathBuf,
    /// Differences up to so many percent are none.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=90))]
    pub tolerance: u8,
    /// Confidence of the intervals in percent.
    #[arg(long, default_value_t = 95, value_parser = clap::value_parser!(u8).range(50..=99))]
    pub confidence: u8,
    /// End as worse also where the interval is too wide to say.
    #[arg(long)]
    pub strict: bool,
}

/// `bench run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The scenario, such as bench/scenarios/sync-64x1.toml.
    pub scenario: PathBuf,
    /// Flags that are added; they win over those of the file.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub flags: Vec<String>,
}

/// `bench crash`.
#[derive(Clone, Debug, Args)]
pub struct CrashArgs {
    /// How often to kill the broker.
    #[arg(long, default_value_t = 20, value_parser = values::up_to(10_000))]
    pub rounds: u32,
    /// Connections.
    #[arg(short, long, default_value_t = 4, value_parser = values::up_to(1024))]
    pub connections: u32,
    /// Messages in flight in all, spread over the connections.
    #[arg(short, long, default_value_t = 64, value_parser = values::up_to(4096))]
    pub depth: u32,
    /// Body size, or a range.
    #[arg(short, long, default_value = "1KiB", value_parser = values::sizes)]
    pub size: Sizes,
    /// The broker.
    #[command(flatten)]
    pub broker: BrokerArgs,
}

/// The broker that bench starts as a child of its own, so that its CPU time can be told apart and
/// it can be killed.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Its broker.conf.
    pub config: PathBuf,
}

/// `bench limits`.
#[derive(Clone, Debug, Args)]
pub struct LimitsArgs {
    /// A directory on the file system to be measured.
    #[arg(long, default_value = "data")]
    pub directory: PathBuf,
    /// Core of the null broker.
    #[arg(long, default_value_t = 0)]
    pub core: usize,
    /// The load on the null broker.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// The messages.
    #[command(flatten)]
    pub message: MessageArgs,
    /// Print one JSON document instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// The null broker, a child as the broker is.
#[derive(Clone, Debug, Args)]
pub struct ServeNullArgs {
    /// Where it writes.
    pub directory: PathBuf,
    /// What it does before it answers.
    #[arg(long, value_enum)]
    pub durability: Durability,
    /// Its core.
    #[arg(long)]
    pub core: usize,
}

/// What a null broker does before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Nothing.
    None,
    /// Writes.
    Async,
    /// Writes and flushes.
    Sync,
}

impl Durability {
    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Async => "async",
            Self::Sync => "sync",
        }
    }

    /// What it means.
    pub fn describe(self) -> &'static str {
        match self {
            Self::None => "the read",
            Self::Async => "the write",
            Self::Sync => "write and flush",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::grammar().debug_assert();
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
        assert_eq!((consume.pace.connections, produce.pace.connections), (4, 16));
        assert_eq!((crash.broker.flush, produce.target.broker.flush), (Flush::Sync, Flush::Async));
    }
}
