//! The time that a race may take (`--within`): how long blocks of each kind take, and what was left
//! out for want of it.

use std::collections::BTreeMap;
use std::time::Duration;

use ringmq_runtime::clock::Instant;

use crate::args::versus::{Contestant, Times};
use crate::versus::estimate;
use crate::versus::plan::Block;

/// Scenario and rival: blocks that have these in common take as long.
type Kind = (&'static str, Contestant);

/// The time of a race.
#[derive(Debug)]
pub struct Budget {
    begun: Instant,
    /// None: as long as it takes.
    within: Option<Duration>,
    times: Times,
    /// How long a block took at most, so far.
    took: BTreeMap<Kind, Duration>,
    /// Blocks for which there was no time.
    left_out: BTreeMap<Kind, u32>,
}

impl Budget {
    /// That of a race which begins `now`.
    pub fn new(within: Option<Duration>, times: Times, now: Instant) -> Self {
        let (took, left_out) = (BTreeMap::new(), BTreeMap::new());
        Self { begun: now, within, times, took, left_out }
    }

    /// Whether a block that begins `now` ends in time, if it takes as long as the longest of its
    /// kind, or as the first of them is guessed to take. One that does not is left out.
    pub fn has_time(&mut self, block: &Block, now: Instant) -> bool {
        let kind = kind(block);
        let guessed = estimate::block(block, self.times);
        let length = self.took.get(&kind).copied().unwrap_or(guessed);
        let elapsed = now.saturating_since(self.begun);
        let has_time = self.within.is_none_or(|within| elapsed + length <= within);
        if !has_time {
            *self.left_out.entry(kind).or_default() += 1;
        }
        has_time
    }

    /// Learns how long a block took.
    pub fn learn(&mut self, block: &Block, took: Duration) {
        let longest = self.took.entry(kind(block)).or_default();
        *longest = took.max(*longest);
    }

    /// What there was no time for, a line each.
    pub fn left_out(&self) -> String {
        let line = |(&(name, rival), count): (&Kind, &u32)| {
            format!("{name} against {}: no time for {count} blocks\n", rival.word())
        };
        self.left_out.iter().map(line).collect()
    }
}

fn kind(block: &Block) -> Kind {
    (block.scenario.name, block.rival)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::plan::Side;
    use crate::versus::scenario::by_name;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_block_for_which_there_is_no_time_is_left_out_and_told() {
        let scenario = by_name("sync-1x1").unwrap();
        let block = Block { scenario, rival: Contestant::Null, has_null: false, first: Side::Ours };
        let times = Times {
            warm_up: SECOND,
            jvm_warm_up: SECOND,
            duration: SECOND,
            probe: Duration::ZERO,
            calm: Duration::ZERO,
            blocks: 1,
            repeats: 0,
            fill_share: 1.0,
        };
        let at = |seconds: u32| Instant::from_nanos(0) + SECOND * seconds;
        let mut budget = Budget::new(Some(SECOND * 100), times, at(50));
        assert!(budget.has_time(&block, at(60)), "as it is guessed");
        budget.learn(&block, SECOND * 60);
        budget.learn(&block, SECOND * 20);
        assert!(budget.has_time(&block, at(90)), "40 and the longest, 60");
        assert!(!budget.has_time(&block, at(91)));
        assert_eq!(budget.left_out(), "sync-1x1 against null: no time for 1 blocks\n");
        let mut endless = Budget::new(None, times, at(0));
        assert!(endless.has_time(&block, at(1_000_000)) && endless.left_out().is_empty());
    }
}
