//! Which broker: a running cluster, or one that bench starts.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::args::values::{self, Cores};
use crate::workload::topics::Spread;

/// Which broker.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// Name server, `host:port`, or several with `;` between: the first that answers. Without it
    /// bench starts a broker of its own.
    #[arg(short, long, value_name = "ADDRESS", value_parser = values::name_servers)]
    pub namesrv: Option<String>,
    /// Numbers of the broker's processes, where it runs on this machine: their CPU time and memory
    /// are told as of a broker that bench starts.
    #[arg(long, value_name = "PID", requires = "namesrv", value_delimiter = ',')]
    pub broker_pid: Vec<u32>,
    /// Topic; created with --queues queues when it is not there.
    #[arg(short, long, default_value = "BenchTopic")]
    pub topic: String,
    /// Number of topics; with more than one they are called TOPIC-0, TOPIC-1, ...
    #[arg(long, default_value_t = 1, value_parser = values::up_to(100_000))]
    pub topics: u32,
    /// Queues of a topic that bench creates.
    #[arg(short, long, default_value_t = 4, value_parser = values::up_to(1024))]
    pub queues: u32,
    /// Cores of the client side, such as 1 or 2-3,5: one thread bound to each, with its part of the
    /// connections and of the schedule. Without it one thread wherever the kernel puts it.
    #[arg(long, value_name = "CORES", value_parser = values::cores)]
    pub client_cores: Option<Cores>,
    /// The broker that bench starts.
    #[command(flatten)]
    pub broker: BrokerArgs,
}

impl TargetArgs {
    /// Several topics in words, with a comma before; nothing for one.
    pub fn describe_topics(&self, spread: Spread) -> String {
        match (self.topics, spread) {
            (1, _) => String::new(),
            (topics, Spread::Uniform) => format!(", {topics} topics"),
            (topics, Spread::Zipf(exponent)) => format!(", {topics} topics by zipf:{exponent}"),
        }
    }

    /// Cores of the client side; none: one thread wherever the kernel puts it.
    pub fn client_cores(&self) -> &[usize] {
        Cores::numbers(self.client_cores.as_ref())
    }
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
    /// Where it keeps its files; DIR is kept. Without it a fresh directory under ./data, removed
    /// after a good run.
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
}

impl BrokerArgs {
    /// The cores that it is bound to.
    pub fn cores(&self) -> Range<usize> {
        0..self.shards as usize
    }
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
