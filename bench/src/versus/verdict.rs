//! Rows of the race: ratios of pairs to intervals, intervals to verdicts. The rules are fixed here,
//! before anything has run.

use serde::Serialize;

use crate::args::versus::Contestant;
use crate::compare::student::{self, Interval};
use crate::versus::figures::Figure;
use crate::versus::goals::{Goal, Of, Reached};
use crate::versus::limit::Limit;
use crate::versus::overloaded::Overloaded;
use crate::versus::pairs::{Pair, Sorted};
use crate::versus::scenario::{self, Scenario};

/// Fewest pairs that decide anything: what fewer have in common may be chance, and nobody could see
/// in them how far they spread.
pub const PAIRS_MIN: usize = 4;

/// Fewest pairs of a control.
const CONTROL_PAIRS_MIN: usize = 2;

/// What an interval says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Ours is better, by more than the control differs from itself.
    Win,
    /// The rival is.
    Loss,
    /// It cannot be told.
    Undecided,
    /// Ours against ours: contains 1, as it must.
    Sound,
    /// Ours against ours differ: what measures is not fit to judge this figure.
    Biased,
    /// Against the null broker, or ourselves with other settings: a share, and nobody's victory.
    Share,
    /// No pair counts: the figures are those of discarded ones, and say nothing.
    Unsteady,
    /// No pair counts, since a broker was overloaded in each: its latencies say nothing.
    Overloaded,
    /// One side never came to this figure: the reason is told.
    Failed,
}

/// A row of the table: one figure of one scenario against one rival.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Which figure.
    pub figure: Figure,
    /// Against whom.
    pub rival: Contestant,
    /// Geometric mean of our runs; none if they all failed.
    pub ours: Option<f64>,
    /// Of the rival's.
    pub theirs: Option<f64>,
    /// Geometric mean of the pairs' ratios and its interval; above 1 ours is better, whichever way
    /// is good. None without a pair that could be run.
    pub gain: Option<Interval>,
    /// Pairs that count.
    pub pairs: usize,
    /// Pairs that do not, since the machine was not the same for both.
    pub unsteady: usize,
    /// Those of them where it was the host that took the CPUs away.
    pub stolen: usize,
    /// Pairs that do not, since a broker was not fast enough for the rate.
    pub overloaded: Overloaded,
    /// Pairs that came to nothing.
    pub failed: usize,
    /// Those of them in which our run did.
    pub failed_ours: usize,
    /// The smallest factor that the control allows to be claimed; none without a control.
    pub claimable: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
    /// What was to be reached.
    pub goal: Option<&'static Goal>,
    /// How far it got.
    pub reached: Option<Reached>,
    /// What the null broker came to in the same blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Why pairs came to nothing.
    pub reason: Option<String>,
}

impl Row {
    /// What the figure is called in this scenario.
    pub fn figure_name(&self) -> String {
        match scenario::by_name(self.scenario) {
            Ok(scenario) => scenario.name_of(self.figure),
            Err(_) => self.figure.name().to_owned(),
        }
    }

    /// Whether anything follows from it. Each scenario has a control, which tells something only
    /// where it `is_the_race`.
    pub fn tells(&self, is_the_race: bool) -> bool {
        match self.verdict {
            Verdict::Win | Verdict::Loss => true,
            Verdict::Sound => is_the_race,
            Verdict::Share => self.pairs >= PAIRS_MIN,
            _ => false,
        }
    }
}

/// What the pairs of one scenario against one rival say of a figure, in view of the same figure's
/// row of the control; none of a figure that no run has and none lost.
pub fn row(
    scenario: &'static Scenario,
    rival: Contestant,
    figure: Figure,
    pairs: &[Pair],
    control: Option<&Row>,
) -> Option<Row> {
    let sorted = Sorted::of(scenario, figure, pairs);
    let overloaded = Overloaded::of(scenario, figure, pairs);
    let reason = pairs.iter().find_map(|pair| pair.reason(figure));
    let (ours, theirs) = sorted.sides(pairs, figure);
    let gain = interval(&sorted.gains(), rival);
    if gain.is_none() && reason.is_none() && overloaded.pairs == 0 {
        return None;
    }
    let mut row = Row {
        scenario: scenario.name,
        figure,
        rival,
        ours: geometric_mean(&ours),
        theirs: geometric_mean(&theirs),
        gain,
        pairs: sorted.kept,
        unsteady: sorted.discarded,
        stolen: sorted.stolen,
        overloaded,
        failed: sorted.failed,
        failed_ours: sorted.failed_ours,
        claimable: control.and_then(claimable),
        verdict: match gain {
            None if overloaded.pairs > 0 => Verdict::Overloaded,
            None => Verdict::Failed,
            Some(gain) => match overloaded.leave(verdict(gain, sorted.kept, rival, control)) {
                // Its worst runs are those that lack.
                Verdict::Win if sorted.failed_ours > 0 => Verdict::Undecided,
                verdict => verdict,
            },
        },
        goal: Goal::of(scenario.name, figure, rival),
        reached: None,
        limit: None,
        reason,
    };
    row.reached = reached(&row, ours.len());
    Some(row)
}

/// How far a row got to its goal, where `ours` runs of our side have the figure, each of them with
/// or without one of the rival to set against it.
fn reached(row: &Row, ours: usize) -> Option<Reached> {
    let goal = row.goal?;
    let judged = match row.gain {
        Some(_) => row.pairs,
        None if goal.of == Of::Value => ours,
        // A factor over a rival that came to no figure is neither reached nor missed.
        None => return None,
    };
    let reached = goal.reached(row);
    let is_had = matches!(reached, Reached::Met | Reached::Aim);
    let is_open = row.overloaded.forbids(goal, reached) || (is_had && row.failed_ours > 0);
    (judged >= PAIRS_MIN && !is_open).then_some(reached)
}

/// The values of our side that the row of these pairs has the mean of.
pub fn our_values(scenario: &Scenario, figure: Figure, pairs: &[Pair]) -> Vec<f64> {
    Sorted::of(scenario, figure, pairs).sides(pairs, figure).0
}

fn geometric_mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| student::geometric_mean(values).ratio)
}

/// The interval of the mean. Too few pairs of a control have none that says anything: what they
/// differ by at most stands for it.
fn interval(gains: &[f64], rival: Contestant) -> Option<Interval> {
    if gains.is_empty() {
        return None;
    }
    let interval = student::geometric_mean(gains);
    Some(match rival {
        Contestant::Ours if (CONTROL_PAIRS_MIN..PAIRS_MIN).contains(&gains.len()) => Interval {
            low: gains.iter().copied().fold(f64::MAX, f64::min),
            high: gains.iter().copied().fold(0.0, f64::max),
            ..interval
        },
        _ => interval,
    })
}

fn verdict(gain: Interval, pairs: usize, rival: Contestant, control: Option<&Row>) -> Verdict {
    match rival {
        _ if pairs == 0 => Verdict::Unsteady,
        Contestant::Ours => judge_control(gain, pairs),
        Contestant::Null | Contestant::Otherwise => Verdict::Share,
        Contestant::Tuned | Contestant::Shipped => judge(gain, pairs, control),
    }
}

/// The farther end of the control's interval, in either direction.
fn claimable(control: &Row) -> Option<f64> {
    let gain = control.gain.filter(|_| control.pairs >= CONTROL_PAIRS_MIN)?;
    Some(gain.high.max(1.0 / gain.low).max(1.0))
}

fn judge_control(gain: Interval, pairs: usize) -> Verdict {
    match gain.low <= 1.0 && 1.0 <= gain.high {
        _ if pairs < PAIRS_MIN => Verdict::Undecided,
        true => Verdict::Sound,
        false => Verdict::Biased,
    }
}

fn judge(gain: Interval, pairs: usize, control: Option<&Row>) -> Verdict {
    let floor = control.filter(|row| row.verdict != Verdict::Biased).and_then(claimable);
    match floor {
        Some(floor) if pairs >= PAIRS_MIN && gain.low > floor => Verdict::Win,
        Some(floor) if pairs >= PAIRS_MIN && gain.high < 1.0 / floor => Verdict::Loss,
        _ => Verdict::Undecided,
    }
}

#[cfg(test)]
mod tests;
