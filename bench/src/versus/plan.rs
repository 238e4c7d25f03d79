//! Who runs when: blocks of two pairs in mirrored order, ours and the rival's as ABBA or BAAB, so
//! that what drifts slowly hits both sides alike; where the null broker runs as limit of both, it
//! lies between the two in either half. Blocks of all scenarios and rivals come in rounds of random
//! order, so that what comes and goes with the hour does not hit one scenario.
//!
//! A run behind a JVM's pays for the memory which that gave back to the host, and in each block
//! that is one of ours or the null broker's. AABB would spare half of these, and put a drift within
//! the block on one side; so the order stays, and [`crate::versus::settle`] waits until it is over.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::args::versus::Contestant;
use crate::versus::goals::Goal;
use crate::versus::scenario::Scenario;

/// One of the two that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Our broker.
    Ours,
    /// The other one; in the control it is our broker, too.
    Rival,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Ours => Self::Rival,
            Self::Rival => Self::Ours,
        }
    }
}

/// Pairs of a block.
pub const BLOCK_PAIRS: usize = 2;

/// A run of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// For which side.
    pub side: Side,
    /// Whose broker.
    pub contestant: Contestant,
}

/// Two pairs of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// What is run.
    pub scenario: &'static Scenario,
    /// Against whom.
    pub rival: Contestant,
    /// Whether the null broker runs as well, as limit of both.
    pub has_null: bool,
    /// Who begins.
    pub first: Side,
}

impl Block {
    /// Who runs, in this order, which read backwards is the same; the first run of each is a pair
    /// with the first of every other, and so are the second ones.
    pub fn order(&self) -> Vec<Turn> {
        let ours = Turn { side: Side::Ours, contestant: Contestant::Ours };
        let theirs = Turn { side: Side::Rival, contestant: self.rival };
        let null = self.has_null.then_some(Turn { contestant: Contestant::Null, ..theirs });
        let (first, last) = match self.first {
            Side::Ours => (ours, theirs),
            Side::Rival => (theirs, ours),
        };
        let half = || [Some(first), null, Some(last)].into_iter().flatten();
        half().chain(half().rev()).collect()
    }

    /// Whether a goal binds one of its figures.
    pub fn has_goal(&self) -> bool {
        let is_set = |rival| Goal::is_set(self.scenario.name, rival);
        is_set(self.rival) || (self.has_null && is_set(Contestant::Null))
    }

    /// Whether any process of Apache's takes part.
    pub fn needs_apache(&self) -> bool {
        self.rival.is_apache() || self.scenario.client.is_apache()
    }
}

/// The rival beside which the null broker runs: goals bind factors over this one.
const LIMITED: Contestant = Contestant::Tuned;

/// Rounds of blocks: each has one of every scenario and of those rivals that take part in it, so
/// that a race which ends early has as many of one as of the other.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Those of the first round.
    blocks: Vec<Block>,
    seed: u64,
}

impl Plan {
    /// The plan for these, whose order `seed` decides.
    pub fn new(scenarios: &[&'static Scenario], rivals: &[Contestant], seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut blocks = Vec::new();
        for &scenario in scenarios {
            let mut rivals = scenario.rivals(rivals);
            let has_null = rivals.contains(&LIMITED) && rivals.contains(&Contestant::Null);
            rivals.retain(|&rival| rival != Contestant::Null || !has_null);
            blocks.extend(rivals.into_iter().map(|rival| {
                let has_null = has_null && rival == LIMITED;
                let first = if random.random() { Side::Ours } else { Side::Rival };
                Block { scenario, rival, has_null, first }
            }));
        }
        Self { blocks, seed }
    }

    /// One block of each, in no order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The blocks of a round, counted from 0: in random order those with a goal, then the others.
    /// The side that began a scenario against a rival in one round is second in the next.
    pub fn round(&self, number: u32) -> Vec<Block> {
        let mut blocks = self.blocks.clone();
        if number % 2 == 1 {
            for block in &mut blocks {
                block.first = block.first.other();
            }
        }
        let seed = self.seed.wrapping_add(u64::from(number) + 1);
        blocks.shuffle(&mut SmallRng::seed_from_u64(seed));
        // What is left out for want of time shall be what has no goal.
        blocks.sort_by_key(|block| !block.has_goal());
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::scenario::{SCENARIOS, by_name};

    const RIVALS: [Contestant; 3] = [Contestant::Tuned, Contestant::Shipped, Contestant::Ours];

    fn all() -> Vec<&'static Scenario> {
        SCENARIOS.iter().collect()
    }

    fn order(rival: Contestant, has_null: bool, first: Side) -> String {
        let scenario = by_name("sync-64x1").unwrap();
        let block = Block { scenario, rival, has_null, first };
        block.order().iter().map(|turn| &turn.contestant.word()[..1]).collect()
    }

    #[test]
    fn each_block_has_two_runs_of_every_contestant_in_mirrored_order() {
        let orders =
            |rival, has_null| [Side::Ours, Side::Rival].map(|first| order(rival, has_null, first));
        assert_eq!(orders(Contestant::Null, false), ["onno", "noon"]);
        assert_eq!(orders(Contestant::Tuned, false), ["otto", "toot"]);
        assert_eq!(orders(Contestant::Tuned, true), ["onttno", "tnoont"]);
    }

    #[test]
    fn every_round_has_every_scenario_and_rival_once() {
        let plan = Plan::new(&all(), &RIVALS, 1);
        for number in 0..3 {
            let round = plan.round(number);
            assert_eq!(round.len(), plan.blocks().len());
            for scenario in &SCENARIOS {
                for rival in scenario.rivals(&RIVALS) {
                    let is_it = |block: &&Block| block.scenario == scenario && block.rival == rival;
                    assert_eq!(round.iter().filter(is_it).count(), 1);
                }
            }
        }
    }

    #[test]
    fn the_null_broker_runs_in_the_blocks_of_the_rival_that_goals_bind() {
        let blocks = |named: &[Contestant]| {
            let scenario = by_name("sync-64x32").unwrap();
            let plan = Plan::new(&[scenario], named, 0);
            let mut blocks: Vec<_> =
                plan.blocks().iter().map(|block| (block.rival, block.has_null)).collect();
            blocks.sort();
            blocks
        };
        let (tuned, shipped, null) = (Contestant::Tuned, Contestant::Shipped, Contestant::Null);
        assert_eq!(blocks(&[]), [(tuned, true), (shipped, false)]);
        assert_eq!(blocks(&[tuned]), [(tuned, false)]);
        assert_eq!(blocks(&[null, shipped]), [(shipped, false), (null, false)]);
    }

    #[test]
    fn who_began_in_one_round_is_second_in_the_next() {
        let plan = Plan::new(&all(), &RIVALS, 3);
        let next = plan.round(1);
        for block in plan.round(0) {
            let is_it = |it: &&Block| it.scenario == block.scenario && it.rival == block.rival;
            assert_ne!(next.iter().find(is_it).unwrap().first, block.first);
        }
    }

    #[test]
    fn blocks_without_a_goal_come_last_in_their_round() {
        let round = Plan::new(&all(), &[], 2).round(0);
        assert!(round.is_sorted_by_key(|block| !block.has_goal()));
        assert!(round[0].has_goal() && !round[round.len() - 1].has_goal());
    }

    #[test]
    fn apache_is_fetched_only_for_blocks_in_which_it_takes_part() {
        let needs = |name, rival| {
            let scenario = by_name(name).unwrap();
            Block { scenario, rival, has_null: false, first: Side::Ours }.needs_apache()
        };
        assert!(needs("pull-32", Contestant::Tuned) && needs("pull-32", Contestant::Shipped));
        assert!(!needs("sync-64x1", Contestant::Null) && !needs("pull-32", Contestant::Ours));
        assert!(needs("stock-sync-64", Contestant::Ours), "the client is Apache's");
    }

    #[test]
    fn a_seed_decides_the_order() {
        let round = |seed, number| Plan::new(&all(), &RIVALS, seed).round(number);
        assert_eq!(round(5, 1), round(5, 1));
        assert_ne!(round(5, 1), round(6, 1));
        let is_sorted = round(5, 0).is_sorted_by_key(|block| block.rival);
        assert!(!is_sorted, "rivals are interleaved");
    }
}
