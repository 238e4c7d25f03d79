//! How much load, of what: the arguments that the measuring commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ringmq_protocol::SerializeType;

use crate::args::target::TargetArgs;
use crate::args::values;
use crate::driver::Timing;
use crate::driver::schedule::{Arrivals, Schedule, Step};
use crate::workload::message::{MessagePlan, Sizes};
use crate::workload::topics::Spread;

/// A load: on which broker, how much, of what, and where the results go.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetArgs,
    /// How much.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// The messages.
    #[command(flatten)]
    pub message: MessageArgs,
    /// Where the results go.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Skip the measurement of the limits: device, null server and null broker under the same
    /// load; of a running cluster the way there and back.
    #[arg(long, help_heading = "Output")]
    pub no_limits: bool,
}

impl LoadArgs {
    /// The load and the messages in words.
    pub fn describe(&self) -> String {
        format!("{}, {}{}", self.pace.describe(), self.message.describe(), {
            self.target.describe_topics(self.message.spread)
        })
    }
}

/// How many requests, how fast, how long.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Load")]
pub struct PaceArgs {
    /// Connections in all, spread over the brokers. Each stands for a producer, as one of a
    /// RocketMQ client has one to a broker: of producers x connections x in flight the first two,
    /// multiplied.
    #[arg(short, long, default_value_t = 16, value_parser = values::up_to(10_000))]
    pub connections: u32,
    /// Requests in flight on each connection.
    #[arg(short, long, default_value_t = 4, value_parser = values::up_to(4096))]
    pub depth: u32,
    /// Open loop: requests per second in all, such as 10k. Without it closed loop. A list such as
    /// 5k,10k,20k gives each rate an equal part of the counted time.
    #[arg(short, long, value_parser = values::rate, value_delimiter = ',', overrides_with = "rate")]
    pub rate: Vec<f64>,
    /// Of an open loop: constant, poisson, or bursts:SIZE with so many requests at the same moment.
    #[arg(long, default_value = "constant", value_parser = values::arrivals)]
    pub arrivals: Arrivals,
    /// Seconds before anything is counted.
    #[arg(long, default_value = "2", value_parser = values::seconds)]
    pub warm_up: Duration,
    /// Seconds that are counted.
    #[arg(long, default_value = "10", value_parser = values::counted)]
    pub duration: Duration,
    /// End after so many messages, those of the warm-up included, even if the time is not over.
    /// Producers send no more of them, but for a last batch that is whole; consumers take what
    /// their last pulls bring, and those of `consume --produce` are sent to until then.
    #[arg(long, value_parser = values::some)]
    pub messages: Option<u64>,
    /// How often to run: every repetition opens its connections and warms up again.
    #[arg(long, default_value_t = 1, value_parser = values::up_to(1_000))]
    pub repeat: u32,
    /// Encoding of request headers.
    #[arg(long, value_enum, default_value_t = HeaderForm::Binary)]
    pub header: HeaderForm,
}

impl PaceArgs {
    /// Warm-up and counted time.
    pub fn timing(&self) -> Timing {
        Timing { warm_up: self.warm_up, duration: self.duration }
    }

    /// The due times of an open loop; none in a closed one. `seed` decides random gaps.
    pub fn schedule(&self, seed: u64) -> Option<Schedule> {
        let steps = self.steps();
        (!steps.is_empty()).then(|| Schedule::new(steps, self.arrivals, seed))
    }

    /// The rates of an open loop and how long each of them is; the warm-up is a part of the first.
    pub fn steps(&self) -> Vec<Step> {
        let steps = u32::try_from(self.rate.len()).expect("few rates fit a command line");
        let step = |(index, &rate): (usize, &f64)| {
            let warm_up = if index == 0 { self.warm_up } else { Duration::ZERO };
            Step { length: warm_up + self.duration / steps, rate }
        };
        self.rate.iter().enumerate().map(step).collect()
    }

    /// The load in words.
    pub fn describe(&self) -> String {
        let rates: Vec<_> = self.rate.iter().map(|rate| format!("{rate:.0}/s")).collect();
        let pace = match (&rates[..], self.arrivals) {
            ([], _) => "closed loop".to_owned(),
            (_, Arrivals::Constant) => format!("open loop at {}", rates.join(", ")),
            (_, Arrivals::Poisson) => format!("open loop, Poisson at {}", rates.join(", ")),
            (_, Arrivals::Bursts(size)) => {
                format!("open loop, bursts of {size} at {}", rates.join(", "))
            }
        };
        format!("{} connections x {} in flight, {pace}", self.connections, self.depth)
    }
}

/// The two encodings of a remoting header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HeaderForm {
    /// JSON, the default of Java clients.
    Json,
    /// ROCKETMQ, the binary form.
    Binary,
}

impl HeaderForm {
    /// Its number on the wire.
    pub fn serialize(self) -> SerializeType {
        match self {
            Self::Json => SerializeType::Json,
            Self::Binary => SerializeType::RocketMq,
        }
    }
}

/// The messages.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Messages")]
pub struct MessageArgs {
    /// Body size: 1024, 1KiB, 4k; or a range such as 100..4k, drawn uniformly.
    #[arg(short, long, default_value = "1KiB", value_parser = values::sizes)]
    pub size: Sizes,
    /// Share of a body that a compressor gets away.
    #[arg(long, default_value = "0%", value_parser = values::percent)]
    pub compressible: u8,
    /// Give each message one of so many keys (property KEYS).
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub keys: Option<u64>,
    /// Tags, given to the messages in turn.
    #[arg(long, value_delimiter = ',', value_parser = values::tag)]
    pub tags: Vec<String>,
    /// Messages of one send; more than one travel as a batch (code 320).
    #[arg(long, default_value_t = 1, value_parser = values::up_to(1024))]
    pub batch: u32,
    /// With --topics: uniform, zipf, or zipf:EXPONENT.
    #[arg(long, default_value = "uniform", value_parser = values::spread)]
    pub spread: Spread,
}

impl MessageArgs {
    /// What all messages have in common.
    pub fn plan(&self) -> MessagePlan {
        MessagePlan {
            sizes: self.size,
            compressible: self.compressible,
            keys: self.keys,
            tags: self.tags.clone(),
        }
    }

    /// The messages in words.
    pub fn describe(&self) -> String {
        let sizes = match self.size {
            Sizes { min, max } if min == max => min.to_string(),
            Sizes { min, max } => format!("{min}..{max}"),
        };
        let mut words = format!("{sizes} byte bodies");
        if self.compressible > 0 {
            words.push_str(&format!(", {} % of them compressible", self.compressible));
        }
        if let Some(keys) = self.keys {
            words.push_str(&format!(", {keys} keys"));
        }
        if !self.tags.is_empty() {
            words.push_str(&format!(", tags {}", self.tags.join(" ")));
        }
        if self.batch > 1 {
            words.push_str(&format!(", in batches of {}", self.batch));
        }
        words
    }
}

/// Where the results go.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Print one JSON document instead of tables.
    #[arg(long)]
    pub json: bool,
    /// Also write PREFIX.json, PREFIX.csv (a row per second), and for HdrHistogram's own tools
    /// PREFIX.response.hgrm, PREFIX.service.hgrm (microseconds) and PREFIX.hlog (nanoseconds).
    #[arg(short, long, value_name = "PREFIX")]
    pub output: Option<PathBuf>,
    /// Also write a page with plots: one HTML file that any browser opens, without a network.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Also draw a flame graph of the broker's processes, by up to 10 s of the counted time; of
    /// `mixed` beside the readers. Needs perf, and costs the broker some percent. FILE.folded gets
    /// a line per stack instead.
    #[arg(long, value_name = "FILE.svg")]
    pub profile: Option<PathBuf>,
}

impl OutputArgs {
    /// Those that tell all that a report leaves out.
    pub const IN_FULL: [&str; 3] = ["--json", "--output", "--report"];
}
