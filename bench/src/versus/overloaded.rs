//! Brokers that did not serve an open loop as fast as it was due, and what nobody may say of them.

use serde::Serialize;

use crate::versus::figures::{Figure, Figures};
use crate::versus::goals::{Goal, Of, Reached};
use crate::versus::pairs::{Fate, Pair};
use crate::versus::scenario::Scenario;
use crate::versus::verdict::Verdict;

/// Pairs whose latencies do not count, and whose fault that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overloaded {
    /// Those in which one of the two was overloaded, or both were.
    pub pairs: usize,
    /// Those in which ours was.
    pub ours: usize,
    /// Those in which the rival was.
    pub theirs: usize,
}

impl Overloaded {
    /// Those of a row.
    pub fn of(scenario: &Scenario, figure: Figure, pairs: &[Pair]) -> Self {
        let is_it = |pair: &&Pair| pair.fate(scenario, figure) == Fate::Overloaded;
        let pairs: Vec<&Pair> = pairs.iter().filter(is_it).collect();
        let count = |side: fn(&Pair) -> &Option<Figures>| {
            let runs = pairs.iter().filter_map(|pair| side(pair).as_ref());
            runs.filter(|run| run.is_overloaded(figure)).count()
        };
        let (ours, theirs) = (count(|pair| &pair.ours), count(|pair| &pair.theirs));
        Self { pairs: pairs.len(), ours, theirs }
    }

    /// What is left of a verdict over the other pairs: whoever was overloaded lacks its worst runs
    /// there, and so has won nothing.
    pub fn leave(self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Win if self.ours > 0 => Verdict::Undecided,
            Verdict::Loss if self.theirs > 0 => Verdict::Undecided,
            verdict => verdict,
        }
    }

    /// Whether nothing can be said of a goal that the other pairs reach, or miss, so.
    pub fn forbids(self, goal: &Goal, reached: Reached) -> bool {
        match reached {
            Reached::Met | Reached::Aim => self.ours > 0,
            Reached::Missed | Reached::Limited => goal.of == Of::Gain && self.theirs > 0,
        }
    }
}
