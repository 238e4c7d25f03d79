//! Who runs when: blocks of four runs, ours and the rival's as ABBA or BAAB, so that what drifts
//! slowly hits both sides alike; blocks of all scenarios and rivals in random order, so that what
//! comes and goes with the hour does not hit one scenario.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use crate::args::versus::Contestant;
use crate::versus::scenario::Scenario;

/// One of the two that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Our broker.
    Ours,
    /// The other one; in the control it is our broker, too.
    Rival,
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
        let (a, b) = match self.first {
            Side::Ours => (Side::Ours, Side::Rival),
            Side::Rival => (Side::Rival, Side::Ours),
        };
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

/// `blocks` blocks of each scenario and of those `rivals` that take part in it, in an order that
/// `seed` decides.
pub fn plan(
    scenarios: &[&'static Scenario],
    rivals: &[Contestant],
    blocks: u32,
    seed: u64,
) -> Vec<Block> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut plan = Vec::new();
    for &scenario in scenarios {
        for rival in scenario.rivals(rivals) {
            for _ in 0..blocks {
                let first = if random.random() { Side::Ours } else { Side::Rival };
                plan.push(Block { scenario, rival, first });
            }
        }
    }
    plan.shuffle(&mut random);
    plan
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
        let plan = plan(&all(), &RIVALS, 8, 7);
        for block in &plan {
            let [a, b, c, d] = block.order();
            assert!(a == d && b == c && a != b && a == block.first, "{block:?}");
            assert_eq!(block.contestant(Side::Ours), Contestant::Ours);
            assert_eq!(block.contestant(Side::Rival), block.rival);
        }
        let begins = plan.iter().filter(|block| block.first == Side::Ours).count();
        let share = begins as f64 / plan.len() as f64;
        assert!((0.3..0.7).contains(&share), "{begins} of {} blocks begin with ours", plan.len());
    }

    #[test]
    fn every_scenario_meets_every_rival_equally_often() {
        let plan = plan(&all(), &RIVALS, 3, 1);
        for scenario in &SCENARIOS {
            for rival in scenario.rivals(&RIVALS) {
                let is_it = |block: &&Block| block.scenario == scenario && block.rival == rival;
                assert_eq!(plan.iter().filter(is_it).count(), 3);
            }
        }
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
        assert_eq!(plan(&all(), &RIVALS, 3, 5), plan(&all(), &RIVALS, 3, 5));
        assert_ne!(plan(&all(), &RIVALS, 3, 5), plan(&all(), &RIVALS, 3, 6));
        let sorted = plan(&all(), &RIVALS, 3, 5).is_sorted_by_key(|block| block.rival);
        assert!(!sorted, "rivals are interleaved");
    }
}
