//! How long a block will take, before any of its kind has run. The figures are those of a machine
//! of two cores; a race that has run a block of a kind knows better.

use std::time::Duration;

use crate::args::Command;
use crate::args::versus::{Contestant, Times};
use crate::driver::Timing;
use crate::versus::asked::{command, share_of};
use crate::versus::loads::idle_timing;
use crate::versus::plan::{Block, Turn};
use crate::versus::scenario::{Client, Scenario};
use crate::versus::{cold, race, stock};

/// Start and end of a broker of ours, with the removal of its store, and of Apache's, which touches
/// its heap and makes log files of 1 GiB before it takes messages.
const OUR_START: Duration = Duration::from_secs(1);
const JVM_START: Duration = Duration::from_secs(10);

/// From the end of a JVM until the host has what it gave back.
const JVM_REST: Duration = Duration::from_secs(25);

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
    let turns = block.order();
    let runs = turns.iter().map(|turn| run(block.scenario, turn.contestant, times));
    // Behind each JVM that no other follows; behind that of a last run the next block waits.
    let is_jvm = |turn: &Turn| turn.contestant.is_apache();
    let rests = turns.chunk_by(|a, b| is_jvm(a) == is_jvm(b)).filter(|them| is_jvm(&them[0]));
    let rests = rests.map(|_| JVM_REST).filter(|_| !times.calm.is_zero());
    runs.chain(rests).sum()
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
    let start = if is_apache { JVM_START } else { times.calm + OUR_START };
    start + loaded + 2 * times.probe
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
            let length = |rival| {
                block(&Block { scenario, rival, has_null: false, first: Side::Ours }, times(1.0))
            };
            assert!(length(Contestant::Ours) >= 4 * Duration::from_secs(7), "{scenario:?}");
            assert!(length(Contestant::Tuned) > length(Contestant::Ours), "{scenario:?}");
        }
    }

    #[test]
    fn the_wait_for_a_calm_host_is_a_part_of_our_runs() {
        let scenario = crate::versus::scenario::by_name("sync-1x1").unwrap();
        let length = |rival, first, calm| {
            let it = Block { scenario, rival, has_null: false, first };
            block(&it, Times { calm, ..times(1.0) })
        };
        let (calm, none) = (Duration::from_secs(5), Duration::ZERO);
        let more = |rival, first| length(rival, first, calm) - length(rival, first, none);
        assert_eq!(more(Contestant::Null, Side::Ours), 4 * calm);
        assert_eq!(more(Contestant::Tuned, Side::Ours), 2 * calm + JVM_REST);
        assert_eq!(more(Contestant::Tuned, Side::Rival), 2 * calm + 2 * JVM_REST);
    }

    #[test]
    fn less_to_fill_takes_less_time() {
        for name in ["pull-32", "cold-1024", "cold-beside-10k"] {
            let scenario = crate::versus::scenario::by_name(name).unwrap();
            let it =
                Block { scenario, rival: Contestant::Tuned, has_null: false, first: Side::Ours };
            assert!(block(&it, times(0.1)) < block(&it, times(1.0)), "{name}");
        }
    }
}
