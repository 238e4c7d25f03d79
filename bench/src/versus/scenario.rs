//! What is raced, and which figures decide it.

use std::fmt;

use crate::args::target::Flush;
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
    /// This program: the words of `bench produce`, or of `bench consume`.
    Native(&'static str),
    /// Apache's `benchmark.Producer` with so many threads, each with one send in flight.
    Stock {
        /// Its `-w`.
        threads: u32,
    },
}

const LONE: &[Figure] = &[Figure::P50, Figure::P99, Figure::Cpu];
const THROUGHPUT: &[Figure] = &[Figure::Rate, Figure::P99, Figure::Cpu, Figure::Rss];
const OPEN: &[Figure] = &[Figure::P99, Figure::P999, Figure::Cpu];
const PULL: &[Figure] = &[Figure::Rate, Figure::Cpu, Figure::Rss];
const STOCK: &[Figure] = &[Figure::Rate, Figure::Cpu];

/// All bodies have 1 KiB, all topics 4 queues. An open loop has room for a stall of 100 ms, so that
/// a slow broker delays requests and the client does not.
pub static SCENARIOS: [Scenario; 10] = [
    native("sync-1x1", Flush::Sync, "produce -c 1 -d 1", LONE),
    native("sync-64x1", Flush::Sync, "produce -c 64 -d 1", THROUGHPUT),
    native("sync-64x32", Flush::Sync, "produce -c 64 -d 32", THROUGHPUT),
    native("sync-open-10k", Flush::Sync, "produce -c 16 -d 64 --rate 10k", OPEN),
    native("async-64x32", Flush::Async, "produce -c 64 -d 32", THROUGHPUT),
    native("async-64x1", Flush::Async, "produce -c 64 -d 1", THROUGHPUT),
    native("async-open-10k", Flush::Async, "produce -c 16 -d 64 --rate 10k", OPEN),
    native("pull-32", Flush::Async, "consume -c 16 -d 1 --pull-batch 32 --fill 500k", PULL),
    stock("stock-sync-64", Flush::Sync, 64),
    stock("stock-async-64", Flush::Async, 64),
];

const fn native(
    name: &'static str,
    flush: Flush,
    words: &'static str,
    figures: &'static [Figure],
) -> Scenario {
    Scenario { name, flush, client: Client::Native(words), figures }
}

const fn stock(name: &'static str, flush: Flush, threads: u32) -> Scenario {
    Scenario { name, flush, client: Client::Stock { threads }, figures: STOCK }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};

    #[test]
    fn every_native_scenario_is_a_command_line_of_bench() {
        for scenario in &SCENARIOS {
            let Client::Native(words) = scenario.client else { continue };
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            let command = Cli::from_words(&words).unwrap().command;
            assert!(matches!(command, Command::Produce(_) | Command::Consume(_)), "{scenario:?}");
        }
    }

    #[test]
    fn a_wrong_name_lists_the_right_ones() {
        assert_eq!(by_name("pull-32"), Ok(&SCENARIOS[7]));
        assert!(by_name("pull-33").unwrap_err().contains("sync-1x1, sync-64x1"));
    }
}
