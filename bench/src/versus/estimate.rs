//! How long a block will take, before any of its kind has run. The figures are those of a machine
//! of two cores; a race that has run a block of a kind knows better.

use std::time::Duration;

use crate::args::Command;
use crate::args::versus::{Contestant, Times};
use crate::driver::Timing;
use crate::versus::asked::{command, share_of};
use crate::versus::loads::idle_timing;
use crate::versus::plan::Block;
use crate::versus::scenario::{Client, Scenario};
use crate::versus::{cold, race, stock};

/// Start and end of a broker of ours, with the removal of its store, and of Apache's, which touches
/// its heap and makes log files of 1 GiB before it takes messages.
const OUR_START: Duration = Duration::from_secs(1);
const JVM_START: Duration = Duration::from_secs(10);

/// Messages per second that a topic is filled with.
const OUR_FILLS_PER_S: u64 = 200_000;
const APACHE_FILLS_PER_S: u64 = 40_000;

/// Writing out, dropping, starting again and reading a cold topic of a gigabyte.
const COLD_READ: Duration = Duration::from_secs(20);

/// Making 10,000 topics, and a restart on them.
const OUR_TOPICS: Duration = Duration::from_secs(10);
const APACHE_TOPICS: Duration = Duration::from_secs(75);

/// All runs of a block.
pub fn block(block: &Block, times: Times) -> Duration {
    let sides = block.order().map(|side| run(block.scenario, block.contestant(side), times));
    sides.iter().sum()
}

fn run(scenario: &Scenario, contestant: Contestant, times: Times) -> Duration {
    let is_apache = contestant.is_apache();
    let warm_up = race::warm_up(scenario, contestant, times);
    let loaded = match scenario.client {
        Client::Native(words) => match command(words) {
            Command::Idle(args) => {
                let timing = Timing { warm_up, duration: times.duration };
                let timing = idle_timing(args.hold, timing);
                timing.warm_up + timing.duration
            }
            Command::Consume(args) => {
                let messages = share_of(args.fill.unwrap_or(0), times.fill_share);
                filling(messages, is_apache) + warm_up + times.duration
            }
            _ => warm_up + times.duration,
        },
        Client::Restart(_) => {
            let restart = if is_apache { APACHE_TOPICS } else { OUR_TOPICS };
            warm_up + times.duration + restart
        }
        Client::Cold(words) => {
            let (fill, alone) = match command(words) {
                Command::Consume(args) => (args.fill.unwrap_or(0), Duration::ZERO),
                Command::Mixed(args) => (args.fill, warm_up + times.duration),
                _ => unreachable!("cold scenarios name no other command"),
            };
            let messages = share_of(fill, times.fill_share) + cold::OTHER_MESSAGES;
            filling(messages, is_apache) + COLD_READ + warm_up + alone
        }
        Client::Stock { .. } => {
            let (warm, counted) = stock::in_lines(times);
            stock::LINE_INTERVAL * (warm + counted) + JVM_START
        }
    };
    let start = if is_apache { JVM_START } else { OUR_START };
    times.calm + start + loaded + 2 * times.probe
}

fn filling(messages: u64, is_apache: bool) -> Duration {
    let per_second = if is_apache { APACHE_FILLS_PER_S } else { OUR_FILLS_PER_S };
    Duration::from_secs(messages.div_ceil(per_second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::plan::Side;
    use crate::versus::scenario::SCENARIOS;

    fn times(fill_share: f64) -> Times {
        Times {
            warm_up: Duration::from_secs(2),
            jvm_warm_up: Duration::from_secs(8),
            duration: Duration::from_secs(5),
            probe: Duration::from_secs(1),
            calm: Duration::from_secs(5),
            blocks: 2,
            repeats: 2,
            fill_share,
        }
    }

    #[test]
    fn every_block_has_a_length_and_that_of_apache_is_the_longer_one() {
        for scenario in &SCENARIOS {
            let length = |rival| block(&Block { scenario, rival, first: Side::Ours }, times(1.0));
            assert!(length(Contestant::Ours) >= 4 * Duration::from_secs(7), "{scenario:?}");
            assert!(length(Contestant::Tuned) > length(Contestant::Ours), "{scenario:?}");
        }
    }

    #[test]
    fn the_wait_for_a_calm_host_is_a_part_of_every_run() {
        let scenario = crate::versus::scenario::by_name("sync-1x1").unwrap();
        let it = Block { scenario, rival: Contestant::Null, first: Side::Ours };
        let length = |calm| block(&it, Times { calm, ..times(1.0) });
        let (calm, none) = (Duration::from_secs(5), Duration::ZERO);
        assert_eq!(length(calm), length(none) + 4 * calm);
    }

    #[test]
    fn less_to_fill_takes_less_time() {
        for name in ["pull-32", "cold-1024", "cold-beside-10k"] {
            let scenario = crate::versus::scenario::by_name(name).unwrap();
            let it = Block { scenario, rival: Contestant::Tuned, first: Side::Ours };
            assert!(block(&it, times(0.1)) < block(&it, times(1.0)), "{name}");
        }
    }
}
