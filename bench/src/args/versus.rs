//! The arguments of `bench versus`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::args::values::{self, Cores};
use crate::target::embedded;
use crate::versus::scenario::{self, Scenario};
use crate::versus::variants::{self, Variant};

/// Blocks of a scenario against a rival that are run in place of discarded pairs. On a machine that
/// is steady for less than two of three pairs more of them would not help.
const REPEATED_BLOCKS_MAX: u32 = 2;

/// So long the host must have left busy cores alone before a run: the time in which it takes back
/// two of the parts of what a broker gave up.
const CALM: Duration = Duration::from_secs(4);

/// Flags that say how to race, which is over where one is shown.
const OF_A_RACE: [&str; 18] = [
    "scenarios",
    "against",
    "blocks",
    "seed",
    "within",
    "warm_up",
    "jvm_warm_up",
    "duration",
    "probe",
    "fill_share",
    "quick",
    "heap",
    "variant",
    "ours",
    "ours_setting",
    "shards",
    "client_cores",
    "output",
];

/// Flags that say who meets whom, and of our broker, which takes no part in a sweep.
const OF_A_MATCH: [&str; 8] =
    ["against", "seed", "within", "variant", "ours", "ours_setting", "shards", "show"];

/// `bench versus`.
#[derive(Clone, Debug, Args)]
pub struct VersusArgs {
    /// Scenarios, separated by commas; all of them without it. A wrong name lists them.
    #[arg(long, value_parser = scenario::by_name, value_delimiter = ',')]
    pub scenarios: Vec<&'static Scenario>,
    /// Against whom, in all scenarios where it can be. Without it each scenario has its own:
    /// Apache's broker tuned, under the deepest load also as shipped, and the null broker (the
    /// limit that a broker built as ours cannot beat), which runs in the blocks of the tuned one.
    /// `ours` adds to the control, which our runs of each block are anyway.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub against: Vec<Contestant>,
    /// Blocks of each scenario and rival; a block is two pairs of runs, in the order ABBA. They are
    /// run in rounds: one block of each, then the next.
    #[arg(long, default_value_t = 4, value_parser = values::up_to(1_000))]
    pub blocks: u32,
    /// Decides the order of everything; printed, so that a race can be run again.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Seconds that the race may take. A block for which there is no time is left out, so that the
    /// rows then rest on the blocks of the last whole round, or one more.
    #[arg(long, value_parser = values::seconds)]
    pub within: Option<Duration>,
    /// Seconds before anything of ours is counted.
    #[arg(long, default_value = "10", value_parser = values::seconds)]
    pub warm_up: Duration,
    /// The same where a JVM runs: Apache's broker, Apache's client. It compiles what is hot only
    /// after a while.
    #[arg(long, default_value = "60", value_parser = values::seconds)]
    pub jvm_warm_up: Duration,
    /// Seconds of each run that are counted.
    #[arg(long, default_value = "20", value_parser = values::seconds)]
    pub duration: Duration,
    /// Seconds for which device and loopback are measured before and after each run.
    #[arg(long, default_value = "2", value_parser = values::seconds)]
    pub probe: Duration,
    /// How much of the messages is put in first that scenarios read which fill a topic; the cold
    /// ones put in gigabytes.
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = share)]
    pub fill_share: f64,
    /// A short look: one block, seconds instead of minutes, a tenth of the messages where some are
    /// put in first. Proves that all parts work; decides nothing.
    #[arg(long, conflicts_with_all = ["blocks", "warm_up", "jvm_warm_up", "duration", "probe", "fill_share"])]
    pub quick: bool,
    /// Heap of Apache's broker, such as 2g, in place of the 8g that its script has and of the 2g of
    /// the tuned one.
    #[arg(long, value_name = "SIZE", value_parser = heap)]
    pub heap: Option<String>,
    /// Race Apache's tuned broker with this change to its settings, one of those that --tune
    /// tries. On 10,000 topics `rocksdb-queues` needs no open file for each queue. A wrong name
    /// lists them.
    #[arg(long, value_parser = variants::by_name)]
    pub variant: Option<&'static Variant>,
    /// Our broker's program; without it this program plays it.
    #[arg(long, value_name = "MQBROKER")]
    pub ours: Option<PathBuf>,
    /// A setting that our broker gets besides, such as shardPollMicros=300; several by naming it
    /// again. The results tell it.
    #[arg(long, value_name = "KEY=VALUE", value_parser = ours_setting)]
    pub ours_setting: Vec<String>,
    /// Cores of our broker: how many shards it runs.
    #[arg(long, default_value_t = 1, value_parser = values::up_to(256))]
    pub shards: u32,
    /// Cores of bench's own client, such as 1 or 2-3,5: one thread bound to each, whichever broker
    /// it loads. Without it one thread wherever the kernel puts it. Apache's client is not bound.
    #[arg(long, value_name = "CORES", value_parser = values::cores)]
    pub client_cores: Option<Cores>,
    /// A directory on the file system of the race: all stores are made there, and removed. A run
    /// behind which more than 83 % of it is used has failed: above 85 % brokers delete files by
    /// force, and their figures mean nothing. A short look does not ask.
    #[arg(long, default_value = "data")]
    pub directory: PathBuf,
    /// Where the raw data of every run go; DIRECTORY/versus-SEED without it. If a race is there
    /// already, this one goes on with it: it runs what is not there yet, and tells all of it.
    /// The versus.json.gz there has neither a path nor the name of this machine, and may be kept
    /// and committed beside the figures; --show prints it again.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Race nothing, and tell the race of this file again, wherever it was run: the versus.json of
    /// an --output, or the versus.json.gz beside it.
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_A_RACE)]
    pub show: Option<PathBuf>,
    /// Race nobody, and try other settings of Apache's broker beside the tuned ones, under
    /// sync-64x1 and async-64x32 or the --scenarios, in as many rounds as --blocks. Without a name
    /// all of them; a wrong one lists them.
    #[arg(long, value_name = "VARIANT", num_args = 0.., value_delimiter = ',')]
    #[arg(value_parser = variants::by_name, conflicts_with_all = OF_A_MATCH)]
    pub tune: Option<Vec<&'static Variant>>,
    /// Print one JSON document instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// Who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contestant {
    /// Apache's broker with the best settings we know: see `versus/apache.rs`.
    Tuned,
    /// Apache's broker as it is shipped.
    Shipped,
    /// The null broker: it reads, groups, writes, flushes, answers and delivers, without protocol
    /// and store.
    Null,
    /// Our broker.
    Ours,
    /// Our broker with other settings, where a scenario is about those.
    #[value(skip)]
    Otherwise,
}

impl Contestant {
    /// Whether it is Apache's broker.
    pub fn is_apache(self) -> bool {
        matches!(self, Self::Tuned | Self::Shipped)
    }

    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tuned => "tuned",
            Self::Shipped => "shipped",
            Self::Null => "null",
            Self::Ours => "ours",
            Self::Otherwise => "otherwise",
        }
    }
}

/// How long each part of a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Of our broker under the native client.
    pub warm_up: Duration,
    /// Where a JVM runs.
    pub jvm_warm_up: Duration,
    /// Counted.
    pub duration: Duration,
    /// Of one probe of device and loopback.
    pub probe: Duration,
    /// In which the host must have left busy cores alone before a run of ours.
    pub calm: Duration,
    /// Blocks of each scenario and rival.
    pub blocks: u32,
    /// More of them, at most, in place of pairs that were discarded.
    pub repeats: u32,
    /// How much of a scenario's messages are put in before it.
    pub fill_share: f64,
}

impl VersusArgs {
    /// What is changed of the settings of a broker in a race.
    pub fn variant_of(&self, contestant: Contestant) -> &'static Variant {
        self.variant.filter(|_| contestant == Contestant::Tuned).unwrap_or(&variants::TUNED)
    }

    /// What the flags say, or what a short look takes.
    pub fn times(&self) -> Times {
        if self.quick {
            return Times {
                warm_up: Duration::from_secs(2),
                jvm_warm_up: Duration::from_secs(3),
                duration: Duration::from_secs(2),
                probe: Duration::from_millis(300),
                // It decides nothing, so nothing has to be calm.
                calm: Duration::ZERO,
                blocks: 1,
                repeats: 0,
                fill_share: 0.1,
            };
        }
        let &Self { warm_up, jvm_warm_up, duration, probe, blocks, .. } = self;
        Times {
            warm_up,
            jvm_warm_up,
            duration,
            probe,
            calm: CALM,
            blocks,
            repeats: REPEATED_BLOCKS_MAX,
            fill_share: self.fill_share,
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.01..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?} is not a share from 0.01 to 1")),
    }
}

fn ours_setting(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if embedded::sets(key) => {
            Err(format!("the race sets {key}, which makes its scenarios what they are"))
        }
        Some((key, value)) if !key.is_empty() && !value.is_empty() && !text.contains('\n') => {
            Ok(text.to_owned())
        }
        _ => Err(format!("{text:?} is not KEY=VALUE, such as shardPollMicros=300")),
    }
}

fn heap(text: &str) -> Result<String, String> {
    let number = text.strip_suffix(['m', 'g', 'M', 'G']).unwrap_or_default();
    match number.parse::<u32>() {
        Ok(1..) => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is not a heap such as 512m or 2g")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_ours_are_those_that_no_scenario_is_about() {
        assert_eq!(ours_setting("shardPollMicros=300").unwrap(), "shardPollMicros=300");
        for scenarios in ["flushDiskType=SYNC_FLUSH", "shardCores=0,1", "sendStageTracing=true"] {
            assert!(ours_setting(scenarios).unwrap_err().contains("the race sets"), "{scenarios}");
        }
        for odd in ["shardPollMicros", "=300", "shardPollMicros=", "a=1\nb=2"] {
            assert!(ours_setting(odd).unwrap_err().contains("is not KEY=VALUE"), "{odd:?}");
        }
    }
}
