//! Who runs when: blocks of four runs, ours and the rival's as ABBA or BAAB, so that what drifts
//! slowly hits both sides alike; blocks of all scenarios and rivals in rounds of random order, so
//! that what comes and goes with the hour does not hit one scenario.

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

/// Runs of a block.
pub const BLOCK_RUNS: usize = 4;

/// Two pairs of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// What is run.
    pub scenario: &'static Scenario,
    /// Against whom.
    pub rival: Contestant,
    /// Who begins.
    pub first: Side,
}

impl Block {
    /// Who runs, in this order; the first two are a pair, and the last two.
    pub fn order(&self) -> [Side; BLOCK_RUNS] {
        let (a, b) = (self.first, self.first.other());
        [a, b, b, a]
    }

    /// Whether any process of Apache's takes part.
    pub fn needs_apache(&self) -> bool {
        self.rival.is_apache() || self.scenario.client.is_apache()
    }

    /// Whose broker plays a side.
    pub fn contestant(&self, side: Side) -> Contestant {
        match side {
            Side::Ours => Contestant::Ours,
            Side::Rival => self.rival,
        }
    }
}

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
            for rival in scenario.rivals(rivals) {
                let first = if random.random() { Side::Ours } else { Side::Rival };
                blocks.push(Block { scenario, rival, first });
            }
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
        blocks.sort_by_key(|block| !Goal::is_set(block.scenario.name, block.rival));
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

    #[test]
    fn each_block_is_abba_or_baab_and_pairs_both_sides() {
        let plan = Plan::new(&all(), &RIVALS, 7);
        for block in &plan.round(0) {
            let [a, b, c, d] = block.order();
            assert!(a == d && b == c && a != b && a == block.first, "{block:?}");
            assert_eq!(block.contestant(Side::Ours), Contestant::Ours);
            assert_eq!(block.contestant(Side::Rival), block.rival);
        }
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
        let has_goal = |block: &Block| Goal::is_set(block.scenario.name, block.rival);
        assert!(round.is_sorted_by_key(|block| !has_goal(block)));
        assert!(has_goal(&round[0]) && !has_goal(&round[round.len() - 1]));
    }

    #[test]
    fn apache_is_fetched_only_for_blocks_in_which_it_takes_part() {
        let needs = |name, rival| {
            let scenario = by_name(name).unwrap();
            Block { scenario, rival, first: Side::Ours }.needs_apache()
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
