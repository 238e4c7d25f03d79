//! Pairs to ratios, ratios to intervals, intervals to verdicts. The rules are fixed here, before
//! anything has run.

use serde::Serialize;

use crate::args::versus::Contestant;
use crate::compare::bootstrap::{self, Interval};
use crate::compare::metric::Better;
use crate::limits::bracket::Bracket;
use crate::versus::figures::{Figure, Figures};
use crate::versus::goals::{Goal, Reached};

/// A pair counts only if no probe beside it differs from another by more.
const BRACKET_RATIO_MAX: f64 = 1.5;

/// Fewest pairs that decide anything: an interval drawn from fewer is too narrow.
const PAIRS_MIN: usize = 6;

/// Confidence of the intervals.
const CONFIDENCE: f64 = 0.95;

/// Two runs, one after the other, and the machine beside them.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Of our run; none if it failed.
    pub ours: Option<Figures>,
    /// Of the rival's.
    pub theirs: Option<Figures>,
    /// Before and after each of the two.
    pub brackets: Vec<Bracket>,
}

/// Whether a pair counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It does.
    Kept,
    /// The machine was not the same for both.
    Unsteady,
    /// One of the runs could not be done.
    Failed,
}

impl Pair {
    /// Whether it counts.
    pub fn fate(&self) -> Fate {
        let spread = |of: fn(&Bracket) -> f64| {
            let values = self.brackets.iter().map(of);
            let (low, high) = values
                .fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
            high / low
        };
        let steady = spread(|bracket| bracket.write_and_flush_us) <= BRACKET_RATIO_MAX
            && spread(|bracket| bracket.round_trip_us) <= BRACKET_RATIO_MAX;
        match (&self.ours, &self.theirs) {
            (Some(_), Some(_)) if steady => Fate::Kept,
            (Some(_), Some(_)) => Fate::Unsteady,
            _ => Fate::Failed,
        }
    }

    /// Both sides' values of a figure, and by which factor ours is better.
    fn values(&self, figure: Figure) -> Option<Values> {
        let ours = figure.of(self.ours.as_ref()?)?;
        let theirs = figure.of(self.theirs.as_ref()?)?;
        let gain = match figure.better() {
            Better::Higher => ours / theirs,
            Better::Lower => theirs / ours,
        };
        Some(Values { ours, theirs, gain })
    }
}

/// One figure of one pair.
#[derive(Clone, Copy, Debug)]
struct Values {
    ours: f64,
    theirs: f64,
    gain: f64,
}

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
    /// Geometric mean of our runs.
    pub ours: f64,
    /// Of the rival's.
    pub theirs: f64,
    /// Geometric mean of the pairs' ratios; above 1 ours is better, whichever way is good.
    pub gain: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Pairs that count.
    pub pairs: usize,
    /// The smallest factor that the control allows to be claimed; none without a control.
    pub claimable: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
    /// What was to be reached.
    pub goal: Option<&'static Goal>,
    /// How far it got.
    pub reached: Option<Reached>,
}

/// What the pairs of one scenario against one rival say of a figure, in view of the same figure's
/// row of the control; none without a pair that could be run and has the figure.
pub fn row(
    scenario: &'static str,
    rival: Contestant,
    figure: Figure,
    pairs: &[Pair],
    control: Option<&Row>,
) -> Option<Row> {
    let of = |fate| {
        let those = pairs.iter().filter(move |pair| pair.fate() == fate);
        those.filter_map(|pair| pair.values(figure)).collect::<Vec<Values>>()
    };
    let kept = of(Fate::Kept);
    let count = kept.len();
    let values = if count == 0 { of(Fate::Unsteady) } else { kept };
    if values.is_empty() {
        return None;
    }
    let all = |of: fn(&Values) -> f64| values.iter().map(of).collect::<Vec<f64>>();
    let mean = |of| bootstrap::geometric_mean(&all(of), CONFIDENCE);
    let gain = mean(|values| values.gain);
    let judged = match rival {
        _ if count == 0 => Verdict::Unsteady,
        Contestant::Ours => judge_control(gain, count),
        Contestant::Null | Contestant::Otherwise => Verdict::Share,
        Contestant::Tuned | Contestant::Shipped => judge(gain, count, control),
    };
    let mut row = Row {
        scenario,
        figure,
        rival,
        ours: mean(|values| values.ours).ratio,
        theirs: mean(|values| values.theirs).ratio,
        gain: gain.ratio,
        low: gain.low,
        high: gain.high,
        pairs: count,
        claimable: control.map(claimable),
        verdict: judged,
        goal: Goal::of(scenario, figure, rival),
        reached: None,
    };
    row.reached = row.goal.filter(|_| count >= PAIRS_MIN).map(|goal| goal.reached(&row));
    Some(row)
}

/// The farther end of the control's interval.
fn claimable(control: &Row) -> f64 {
    control.high.max(1.0 / control.low).max(1.0)
}

fn judge_control(gain: Interval, pairs: usize) -> Verdict {
    match gain.low <= 1.0 && 1.0 <= gain.high {
        _ if pairs < PAIRS_MIN => Verdict::Undecided,
        true => Verdict::Sound,
        false => Verdict::Biased,
    }
}

fn judge(gain: Interval, pairs: usize, control: Option<&Row>) -> Verdict {
    let floor = control.map_or(1.0, claimable);
    let is_fit = control.is_none_or(|row| row.verdict == Verdict::Sound);
    match pairs >= PAIRS_MIN && is_fit {
        true if gain.low > floor => Verdict::Win,
        true if gain.high < 1.0 / floor => Verdict::Loss,
        _ => Verdict::Undecided,
    }
}

#[cfg(test)]
mod tests;
