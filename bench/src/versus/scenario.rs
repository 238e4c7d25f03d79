//! What is raced, and which figures decide it.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serializer, de};

use crate::args::target::Flush;
use crate::args::versus::Contestant;
use crate::versus::figures::Figure;

/// A load that both sides get.
#[derive(PartialEq, Eq)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// Both brokers' policy.
    pub flush: Flush,
    /// Who loads, and how.
    pub client: Client,
    /// Whom our broker meets in it.
    pub field: Field,
    /// Which figures become rows of the table.
    pub figures: &'static [Figure],
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Who loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// This program: the words of a command of bench.
    Native(&'static str),
    /// The same, and then the broker ends and starts again on what it has stored.
    Restart(&'static str),
    /// This program with the words of `bench consume` or `bench mixed`, on messages that are in no
    /// cache: see [`crate::versus::cold`].
    Cold(&'static str),
    /// Apache's `benchmark.Producer`, whose threads have one send in flight each.
    Stock {
        /// Its `-w`.
        threads: u32,
    },
}

/// Whom our broker meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Whoever is named on the command line.
    All,
    /// Those of them that store messages: the null broker has one topic, holds pulls only where it
    /// delivers and for a second at most, and does not start again.
    Brokers,
    /// Our broker with these settings, which has others itself.
    Ourselves {
        /// Its own.
        ours: Own,
        /// Those that it is compared with.
        otherwise: Own,
    },
}

/// Settings of our broker that are raced against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Its policy.
    pub flush: Flush,
    /// How many shards it runs; as many as the command line says without it.
    pub shards: Option<u32>,
    /// Whether it times the stages of sends.
    pub times_stages: bool,
}

impl Own {
    /// Its policy, and nothing else.
    const fn of(flush: Flush) -> Self {
        Self { flush, shards: None, times_stages: false }
    }
}

impl Client {
    /// Whether it is Apache's.
    pub fn is_apache(self) -> bool {
        matches!(self, Self::Stock { .. })
    }
}

impl Scenario {
    /// Whether each answer sends the next request, so that a latency is one of that load and not of
    /// any rate that users have: that of a closed loop is no latency under load.
    pub fn is_closed_loop(&self) -> bool {
        match self.client {
            Client::Native(words) | Client::Restart(words) | Client::Cold(words) => {
                !words.contains(" --rate ")
            }
            Client::Stock { .. } => true,
        }
    }

    /// What a figure of it is called in the table.
    pub fn name_of(&self, figure: Figure) -> String {
        match figure.is_latency() && self.is_closed_loop() {
            true => format!("{}, closed loop", figure.name()),
            false => figure.name().to_owned(),
        }
    }

    /// Those of `named` that take part; if none is named, those that the scenario is about.
    pub fn rivals(&self, named: &[Contestant]) -> Vec<Contestant> {
        let own = self.own_rivals();
        let named = if named.is_empty() { own.iter() } else { named.iter() }.copied();
        match self.field {
            Field::All => named.collect(),
            Field::Brokers => named.filter(|&rival| rival != Contestant::Null).collect(),
            Field::Ourselves { .. } => {
                let control = named.filter(|&rival| rival == Contestant::Ours);
                std::iter::once(Contestant::Otherwise).chain(control).collect()
            }
        }
    }

    /// Who may be named to meet us in it, in words.
    pub fn field_words(&self) -> String {
        let all = Contestant::value_variants().iter().filter(|it| self.rivals(&[**it]) == [**it]);
        let names: Vec<&str> = all.map(|rival| rival.word()).collect();
        format!("in {} {}", self.name, names.join(", "))
    }

    /// Apache's broker as tuned everywhere. As shipped where the whole difference between the two
    /// shows, which is under the deepest load: users meet that broker, and no goal may rest on it.
    /// The null broker wherever it takes part: it tells what the machine forbids.
    fn own_rivals(&self) -> Vec<Contestant> {
        let shipped = AS_SHIPPED.contains(&self.name).then_some(Contestant::Shipped);
        [Some(Contestant::Tuned), shipped, Some(Contestant::Null)].into_iter().flatten().collect()
    }

    /// What every broker gets besides in its configuration.
    pub fn keys(&self) -> String {
        match self.client {
            Client::Cold(_) => format!("{SMALL_LOG_FILES}{LARGE_PULLS}"),
            Client::Native(PULL_1024) => LARGE_PULLS.to_owned(),
            _ => String::new(),
        }
    }

    /// The settings of a broker of ours that plays `contestant`, or the policy of another.
    pub fn settings(&self, contestant: Contestant) -> Own {
        match (self.field, contestant) {
            (Field::Ourselves { otherwise, .. }, Contestant::Otherwise) => otherwise,
            (Field::Ourselves { ours, .. }, _) => ours,
            _ => Own::of(self.flush),
        }
    }
}

const LONE: &[Figure] = &[Figure::P50, Figure::P99, Figure::Cpu];
const THROUGHPUT: &[Figure] = &[Figure::Rate, Figure::P99, Figure::Cpu, Figure::Rss];
const OPEN: &[Figure] = &[Figure::P99, Figure::P999, Figure::Cpu];
const END_TO_END: &[Figure] = &[Figure::P50, Figure::P99, Figure::P999, Figure::Cpu];
const PULL: &[Figure] = &[Figure::Rate, Figure::Cpu, Figure::Rss];
const COLD: &[Figure] = &[Figure::Rate, Figure::DeviceShare, Figure::Cpu];
const BESIDE: &[Figure] = &[Figure::P99, Figure::P999, Figure::TimesAlone, Figure::ReadRate];
const TOPICS: &[Figure] = &[Figure::Rate, Figure::Cpu, Figure::Rss, Figure::Restart];
const IDLE: &[Figure] = &[Figure::CoreShare, Figure::RssIdle, Figure::Rss];
const STOCK: &[Figure] = &[Figure::Rate, Figure::Cpu];

const SYNC: Own = Own::of(Flush::Sync);
const ASYNC: Own = Own::of(Flush::Async);
const PRICE: Field = Field::Ourselves { ours: SYNC, otherwise: ASYNC };
const SHARDS: Field = Field::Ourselves {
    ours: Own { shards: Some(2), ..ASYNC },
    otherwise: Own { shards: Some(1), ..ASYNC },
};
const STAGES: Field =
    Field::Ourselves { ours: Own { times_stages: true, ..ASYNC }, otherwise: ASYNC };

/// All bodies have 1 KiB, a topic has 4 queues. An open loop has room for a stall of 100 ms, so
/// that a slow broker delays requests and the client does not.
pub static SCENARIOS: [Scenario; 19] = [
    native("sync-1x1", Flush::Sync, "produce -c 1 -d 1", Field::All, LONE),
    native("sync-64x1", Flush::Sync, "produce -c 64 -d 1", Field::All, THROUGHPUT),
    native("sync-64x32", Flush::Sync, "produce -c 64 -d 32", Field::All, THROUGHPUT),
    native("sync-open-10k", Flush::Sync, "produce -c 16 -d 64 --rate 10k", Field::All, OPEN),
    native("async-64x32", Flush::Async, "produce -c 64 -d 32", Field::All, THROUGHPUT),
    native("async-64x1", Flush::Async, "produce -c 64 -d 1", Field::All, THROUGHPUT),
    native("async-open-10k", Flush::Async, "produce -c 16 -d 64 --rate 10k", Field::All, OPEN),
    native("pull-32", Flush::Async, PULL_32, Field::All, PULL),
    native("pull-1024", Flush::Async, PULL_1024, Field::All, PULL),
    native("end-to-end-5k", Flush::Async, END_TO_END_5K, Field::All, END_TO_END),
    native("idle-10k", Flush::Async, "idle -c 100 -d 100 --hold 15s", Field::Brokers, IDLE),
    native("durability-64x32", Flush::Sync, "produce -c 64 -d 32", PRICE, PULL),
    native("shards-64x32", Flush::Async, "produce -c 64 -d 32", SHARDS, PULL),
    native("stages-64x32", Flush::Async, "produce -c 64 -d 32", STAGES, PULL),
    of("topics-10k", Flush::Async, Client::Restart(TOPICS_10K), Field::Brokers, TOPICS),
    of("cold-1024", Flush::Async, Client::Cold(COLD_1024), Field::All, COLD),
    of("cold-beside-10k", Flush::Async, Client::Cold(COLD_BESIDE), Field::All, BESIDE),
    of("stock-sync-64", Flush::Sync, Client::Stock { threads: 64 }, Field::Brokers, STOCK),
    of("stock-async-64", Flush::Async, Client::Stock { threads: 64 }, Field::Brokers, STOCK),
];

/// Scenarios in which Apache's broker also runs as it is shipped, when nobody says against whom.
const AS_SHIPPED: [&str; 2] = ["sync-64x32", "async-64x32"];

const PULL_32: &str = "consume -c 16 -d 1 --pull-batch 32 --fill 500k";
const PULL_1024: &str = "consume -c 16 -d 1 --pull-batch 1024 --fill 500k";
const END_TO_END_5K: &str = "end-to-end -c 16 -d 64 --rate 5k --arrivals poisson --consumers 4";
const TOPICS_10K: &str = "produce -c 64 -d 32 --topics 10000 --queues 4";
const COLD_1024: &str = "consume -c 4 -d 1 --pull-batch 1024 --fill 2M";
const COLD_BESIDE: &str = "mixed -c 16 -d 64 --rate 10k --readers 4 --pull-batch 1024 --fill 2M";

/// Without it either broker's answers end after 32 messages.
const LARGE_PULLS: &str = "maxTransferCountOnMessageInMemory=1024\n\
                           maxTransferBytesOnMessageInMemory=2097152\n";

/// Log files of 64 MiB, so that what brokers check at their start is not what is read.
const SMALL_LOG_FILES: &str = "mappedFileSizeCommitLog=67108864\n";

const fn native(
    name: &'static str,
    flush: Flush,
    words: &'static str,
    field: Field,
    figures: &'static [Figure],
) -> Scenario {
    of(name, flush, Client::Native(words), field, figures)
}

const fn of(
    name: &'static str,
    flush: Flush,
    client: Client,
    field: Field,
    figures: &'static [Figure],
) -> Scenario {
    Scenario { name, flush, client, field, figures }
}

/// The scenario of that name.
///
/// # Errors
/// There is none; the sentence lists all.
pub fn by_name(name: &str) -> Result<&'static Scenario, String> {
    SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
        let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        format!("{name:?} is none of {}", names.join(", "))
    })
}

/// A scenario in a document is its name.
pub mod named {
    use super::*;

    /// Writes it.
    pub fn serialize<S: Serializer>(it: &&'static Scenario, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(it.name)
    }

    /// Reads the name, and finds the scenario.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<&'static Scenario, D::Error> {
        by_name(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
