//! The command line of `bench`.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::workload::payload::IDENTITY_SIZE_BYTES;

/// Largest body that a RocketMQ broker takes by default (`maxMessageSize`).
const BODY_SIZE_MAX_BYTES: usize = 4 << 20;

const EXAMPLES: &str = "\
Examples:
  bench produce                                  a broker of its own on real files
  bench produce -n 127.0.0.1:9876 -t BenchTopic  a running cluster
  bench produce -c 64 -d 32 --flush sync         64 connections, 32 messages in flight on each
  bench produce --rate 10k -c 16                 open loop: latency from the intended send time
  bench produce --verify                         prove that everything acknowledged can be read
  bench consume -t BenchTopic -n 127.0.0.1:9876  pull a topic from its first message
  bench crash --rounds 20 --flush sync           kill -9 the broker under load, restart, prove

Exit codes: 0 done, 1 failed (the text says why), 2 wrong command line, 3 requests failed,
4 a proof failed: an acknowledged message is missing, doubled, corrupt or out of order.";

/// Measures RocketMQ-compatible brokers.
#[derive(Debug, Parser)]
#[command(name = "bench", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The workloads.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send messages and measure how long the broker takes to acknowledge them.
    Produce(ProduceArgs),
    /// Pull messages and measure how fast they arrive.
    Consume(ConsumeArgs),
    /// Kill the broker with SIGKILL under load, restart it and prove that no acknowledgement was
    /// broken.
    Crash(CrashArgs),
    /// Be the broker that another `bench` started.
    #[command(hide = true)]
    ServeBroker(ServeArgs),
}

/// Which broker.
#[derive(Clone, Debug, Args)]
pub struct TargetArgs {
    /// Name server, `host:port`. Without it bench starts a broker of its own.
    #[arg(short, long, value_name = "ADDRESS")]
    pub namesrv: Option<String>,
    /// Topic; created with --queues queues when it is not there.
    #[arg(short, long, default_value = "BenchTopic")]
    pub topic: String,
    /// Queues of a topic that bench creates.
    #[arg(
        short, long, default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub queues: u32,
    /// Flush policy of the broker that bench starts.
    #[arg(long, value_enum, default_value_t = Flush::Async)]
    pub flush: Flush,
    /// Cores of the broker that bench starts: how many shards it runs.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub shards: u32,
    /// Commit logs of the broker that bench starts.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub logs: u32,
    /// Where the broker that bench starts keeps its files; a fresh directory under ./data without
    /// it, removed after a good run.
    #[arg(long, value_name = "DIR")]
    pub store: Option<std::path::PathBuf>,
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

/// How much load.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Connections.
    #[arg(
        short, long, default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub connections: u32,
    /// Messages in flight on each connection.
    #[arg(
        short, long, default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=4096)
    )]
    pub depth: u32,
    /// Body size: 1024, 1KiB, 4k.
    #[arg(short, long, default_value = "1KiB", value_parser = parse_body_size)]
    pub size: usize,
    /// Open loop: messages per second in all, such as 10k. Without it closed loop.
    #[arg(short, long, value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// Seconds before anything is counted.
    #[arg(long, default_value = "2", value_parser = parse_seconds)]
    pub warm_up: Duration,
    /// Seconds that are counted.
    #[arg(long, default_value = "10", value_parser = parse_seconds)]
    pub duration: Duration,
    /// Encoding of request headers.
    #[arg(long, value_enum, default_value_t = HeaderForm::Binary)]
    pub header: HeaderForm,
}

/// The two encodings of a remoting header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HeaderForm {
    /// JSON, the default of Java clients.
    Json,
    /// ROCKETMQ, the binary form.
    Binary,
}

/// `bench produce`.
#[derive(Clone, Debug, Args)]
pub struct ProduceArgs {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetArgs,
    /// How much load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Afterwards read everything back: each acknowledged message as sent, once, in order.
    #[arg(long)]
    pub verify: bool,
    /// Skip the measurement of the device and of a server that answers without storing.
    #[arg(long)]
    pub no_limits: bool,
    /// Print one JSON document instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// `bench consume`.
#[derive(Clone, Debug, Args)]
pub struct ConsumeArgs {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Connections; each pulls from its share of the queues.
    #[arg(
        short, long, default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub connections: u32,
    /// Most messages of one pull.
    #[arg(
        short, long, default_value_t = 32,
        value_parser = clap::value_parser!(u32).range(1..=4096)
    )]
    pub batch: u32,
    /// Messages to put into the topic first when bench starts the broker.
    #[arg(long, default_value_t = 500_000)]
    pub fill: u64,
    /// Body size of those messages.
    #[arg(short, long, default_value = "1KiB", value_parser = parse_body_size)]
    pub size: usize,
    /// How often to read the topic from the start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub passes: u32,
    /// Print one JSON document instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// `bench crash`.
#[derive(Clone, Debug, Args)]
pub struct CrashArgs {
    /// How often to kill the broker.
    #[arg(
        long, default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub rounds: u32,
    /// Flush policy of the broker.
    #[arg(long, value_enum, default_value_t = Flush::Sync)]
    pub flush: Flush,
    /// Connections.
    #[arg(
        short, long, default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub connections: u32,
    /// Messages in flight in all, spread over the connections.
    #[arg(
        short, long, default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=4096)
    )]
    pub depth: u32,
    /// Body size.
    #[arg(short, long, default_value = "1KiB", value_parser = parse_body_size)]
    pub size: usize,
    /// Shards of the broker.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub shards: u32,
    /// Commit logs of the broker.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub logs: u32,
    /// Where the broker keeps its files; a fresh directory under ./data without it,
    /// removed after a good run.
    #[arg(long, value_name = "DIR")]
    pub store: Option<std::path::PathBuf>,
}

/// The broker that bench starts as a child of its own, so that its CPU time can be told apart and
/// it can be killed.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Its broker.conf.
    pub config: std::path::PathBuf,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("{text:?} is not a number of seconds from 0 to 86400")),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let (number, factor) = split_unit(text, &[("k", 1e3), ("m", 1e6)]);
    match number.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate * factor <= 1e8 => Ok(rate * factor),
        _ => Err(format!("{text:?} is not a rate such as 500, 10k or 1.5M messages per second")),
    }
}

fn parse_body_size(text: &str) -> Result<usize, String> {
    let units = [
        ("kib", 1024.0),
        ("kb", 1024.0),
        ("k", 1024.0),
        ("mib", 1048576.0),
        ("m", 1048576.0),
        ("b", 1.0),
    ];
    let (number, factor) = split_unit(text, &units);
    let allowed = IDENTITY_SIZE_BYTES..=BODY_SIZE_MAX_BYTES;
    match number.parse::<f64>().map(|number| (number * factor) as usize) {
        Ok(size) if allowed.contains(&size) => Ok(size),
        _ => Err(format!(
            "{text:?} is not a size from {IDENTITY_SIZE_BYTES} bytes to 4MiB, such as 1024 or 1KiB"
        )),
    }
}

/// Splits a number from the first unit that ends it, in any case; factor 1 without one.
fn split_unit<'a>(text: &'a str, units: &[(&str, f64)]) -> (&'a str, f64) {
    let lower = text.to_ascii_lowercase();
    for (unit, factor) in units {
        if lower.ends_with(unit) {
            return (text[..text.len() - unit.len()].trim(), *factor);
        }
    }
    (text, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_rates_take_units() {
        assert_eq!(parse_body_size("1KiB"), Ok(1024));
        assert_eq!(parse_body_size("4m"), Ok(4 << 20));
        assert_eq!(parse_body_size("100"), Ok(100));
        assert_eq!(parse_rate("10k"), Ok(10_000.0));
        assert_eq!(parse_rate("1.5M"), Ok(1_500_000.0));
    }

    #[test]
    fn senseless_values_are_refused_with_what_is_allowed() {
        assert!(parse_body_size("5MiB").unwrap_err().contains("24 bytes to 4MiB"));
        assert!(parse_body_size("3").is_err());
        assert!(parse_rate("-1").is_err());
        assert!(parse_seconds("x").is_err());
    }
}
