//! The arguments of the commands that have no file of their own.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::args::load::{HeaderForm, LoadArgs};
use crate::args::target::{BrokerArgs, TargetArgs};
use crate::args::values;
use crate::knee::Bound;
use crate::report::html;
use crate::workload::message::Sizes;

/// `bench produce`.
#[derive(Clone, Debug, Args)]
pub struct ProduceArgs {
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Afterwards read everything back: each acknowledged message as sent, once, in order.
    #[arg(long)]
    pub verify: bool,
    /// Have the broker (RingMQ only) time the stages of each send that is counted, and show them.
    #[arg(long)]
    pub stages: bool,
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
    /// The load: requests are pulls, each in flight from a cursor of its own, and messages are
    /// those of --fill.
    #[command(flatten)]
    pub load: LoadArgs,
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
    /// With --from last: messages that bench itself sends meanwhile, per second; 5k for a broker
    /// that bench starts, else none.
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    pub produce: Option<f64>,
    /// Read from the device: after the fill the broker that bench starts is ended, the page cache
    /// drops its log, it starts again, and `fincore` (util-linux) must find nothing cached. Without
    /// a warm-up, which would read it; one pass, if nothing else is said.
    #[arg(long, conflicts_with_all = ["namesrv", "repeat", "from", "logs"])]
    pub cold: bool,
}

/// `bench end-to-end`.
#[derive(Clone, Debug, Args)]
pub struct EndToEndArgs {
    /// What is sent.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Connections of the consumers, which wait at the end of every queue.
    #[arg(long, default_value_t = 4, value_parser = values::up_to(1024))]
    pub consumers: u32,
    /// Most messages of one pull.
    #[arg(long, default_value_t = 32, value_parser = values::up_to(4096))]
    pub pull_batch: u32,
}

/// `bench mixed`.
#[derive(Clone, Debug, Args)]
pub struct MixedArgs {
    /// What is sent.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Messages to put into the topics first.
    #[arg(long, default_value = "500k", value_parser = values::count)]
    pub fill: u64,
    /// Connections that read the topics over and over, each with one pull in flight.
    #[arg(long, default_value_t = 4, value_parser = values::up_to(1024))]
    pub readers: u32,
    /// Most messages of one pull.
    #[arg(long, default_value_t = 32, value_parser = values::up_to(4096))]
    pub pull_batch: u32,
}

/// `bench idle`.
#[derive(Clone, Debug, Args)]
pub struct IdleArgs {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Connections.
    #[arg(short, long, default_value_t = 100, value_parser = values::up_to(10_000))]
    pub connections: u32,
    /// Pulls that wait on each connection.
    #[arg(short, long, default_value_t = 100, value_parser = values::up_to(4096))]
    pub depth: u32,
    /// Longest wait of a pull, up to 15 s, which is what clients ask for.
    #[arg(long, default_value = "15s", value_parser = values::hold)]
    pub hold: Duration,
    /// Seconds before anything is counted.
    #[arg(long, default_value = "5", value_parser = values::seconds)]
    pub warm_up: Duration,
    /// Seconds that are counted; a multiple of the wait counts whole rounds.
    #[arg(long, default_value = "30", value_parser = values::counted)]
    pub duration: Duration,
    /// Encoding of request headers.
    #[arg(long, value_enum, default_value_t = HeaderForm::Binary)]
    pub header: HeaderForm,
    /// Skip the measurement of the least that such pulls cost.
    #[arg(long)]
    pub no_limits: bool,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Also write PREFIX.json, the same document, and PREFIX.csv, a row per second. Waits have no
    /// latency, so there are no histograms.
    #[arg(short, long, value_name = "PREFIX")]
    pub output: Option<PathBuf>,
}

impl IdleArgs {
    /// Those that tell all that the table leaves out.
    pub const IN_FULL: [&str; 2] = ["--json", "--output"];
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
    /// Highest rate: if it is good, the knee is `at least` that.
    #[arg(long, default_value = "10M", value_parser = values::rate)]
    pub max: f64,
    /// Lowest rate: if it is too much, the search ends without a knee. Without it a 64th of
    /// --start, or 1.
    #[arg(long, value_parser = values::rate)]
    pub min: Option<f64>,
    /// Percent by which the found rate may lie below the knee.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub precision: u8,
    /// The load at each rate, without --rate and --repeat.
    #[command(flatten)]
    pub load: LoadArgs,
}

impl KneeArgs {
    /// How far below the first rate the lowest lies that nobody chose.
    const MIN_OF_START: f64 = 1.0 / 64.0;

    /// The first rate.
    pub fn first(&self) -> f64 {
        self.start.min(self.max)
    }

    /// The lowest rate that is tried.
    pub fn lowest(&self) -> f64 {
        let far_below = (self.start * Self::MIN_OF_START).max(1.0);
        self.min.unwrap_or(far_below).min(self.first())
    }
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
    /// End as worse (5) and not as too little to tell (6) where a row cannot be told.
    #[arg(long)]
    pub strict: bool,
    /// Compare also what was measured under another load, rate or flush policy.
    #[arg(long)]
    pub anyway: bool,
}

/// `bench report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Results of bench, JSON documents; several are laid over each other.
    #[arg(required = true, num_args = 1..=html::RESULTS_MAX)]
    pub results: Vec<PathBuf>,
    /// The page.
    #[arg(short, long, default_value = "report.html", value_name = "FILE.html")]
    pub output: PathBuf,
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
    /// Messages in flight in all, spread over the connections: not on each, as elsewhere.
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
    /// The process that started it.
    #[arg(long)]
    pub parent: u32,
}
