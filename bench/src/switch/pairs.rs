//! What pairs of slices tell: how much more the second value costs, and how sure that is.

use comfy_table::Table;
use serde::Serialize;

use crate::compare::student::{self, Interval};
use crate::ending::Ending;
use crate::report::table;
use crate::switch::slices::{self, Slice};

/// Fewest pairs from which anything is concluded: fewer have an interval that tells nothing.
const PAIRS_MIN: usize = 10;

/// Standard errors between a mean and a bound at which nine of ten repetitions of a measurement
/// with a 95 % interval find the mean below the bound: 1.96 and 1.28.
const CERTAIN_ERRORS: f64 = 3.24;

/// What is concluded of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The second value costs less than it may, with the whole interval.
    Within,
    /// It costs more, with the whole interval.
    More,
    /// The interval has the bound in it, or there are too few pairs.
    Unclear,
    /// Both follow a schedule, so that nothing can be told of it.
    Scheduled,
}

/// A figure of both values.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// Its name and unit.
    name: &'static str,
    /// Geometric means.
    means: [f64; 2],
    /// How many times as much the second value costs; above 1 it is the worse one.
    cost: Interval,
    /// The most percent that it may cost.
    at_most: f64,
    pairs: usize,
    /// Whole pairs that are in none of these, since nothing was answered with the first value, or
    /// with the second.
    stalled: [usize; 2],
    /// Standard deviation of the pairs, in percent.
    spread_percent: f64,
    /// Pairs that would probably tell, where these do not; none where no number would.
    pairs_needed: Option<u64>,
    verdict: Verdict,
}

/// What whole pairs tell of each figure; a pair that a signal cut is left out.
pub fn figures(slices: &[Slice], is_closed_loop: bool, at_most: f64) -> Vec<Figure> {
    let stalled = [0, 1].map(|value| slices::stalled(slices, value));
    let of = |name, value: fn(&Slice) -> Option<f64>, is_cost, is_free| {
        let pairs = slices::sides(slices, value);
        let figure = || Figure::of(name, &pairs, is_cost, is_free, at_most).beside(stalled);
        (!pairs.is_empty()).then(figure)
    };
    let cpu = of("CPU us/msg", Slice::cpu_us, true, true);
    let rate = of("msg/s", Slice::rate, false, is_closed_loop);
    [cpu, rate].into_iter().flatten().collect()
}

impl Figure {
    fn of(
        name: &'static str,
        pairs: &[[f64; 2]],
        is_cost: bool,
        is_free: bool,
        at_most: f64,
    ) -> Self {
        let cost_of = |&[one, other]: &[f64; 2]| if is_cost { other / one } else { one / other };
        let costs: Vec<f64> = pairs.iter().map(cost_of).collect();
        let mean = |of: usize| {
            let side: Vec<f64> = pairs.iter().map(|pair| pair[of]).collect();
            student::geometric_mean(&side).ratio
        };
        let cost = student::geometric_mean(&costs);
        let spread = spread(&costs);
        Self {
            name,
            means: [mean(0), mean(1)],
            cost,
            at_most,
            pairs: pairs.len(),
            stalled: [0; 2],
            spread_percent: 100.0 * spread,
            pairs_needed: pairs_needed(cost.ratio, spread, at_most),
            verdict: if is_free { judge(cost, pairs.len(), at_most) } else { Verdict::Scheduled },
        }
    }

    /// The same where pairs stalled, by the value with which they did: the worst slices of that
    /// value are missing, so nothing is concluded in its favour.
    fn beside(self, stalled: [usize; 2]) -> Self {
        let [first, second] = stalled;
        let verdict = match self.verdict {
            Verdict::Within if second > 0 => Verdict::Unclear,
            Verdict::More if first > 0 => Verdict::Unclear,
            verdict => verdict,
        };
        Self { stalled, verdict, ..self }
    }

    /// What would tell, where this did not; nothing where a value stalls the broker (see
    /// [`slices::silence`]).
    pub fn note(&self) -> Option<String> {
        let (name, spread) = (self.name, self.spread_percent);
        let needed = match self.pairs_needed {
            _ if self.verdict != Verdict::Unclear || self.stalled != [0; 2] => return None,
            Some(needed) => format!("some {needed} pairs would tell"),
            None => format!("its mean is {} % itself, and no number would tell", self.at_most),
        };
        Some(format!("{name} is unclear: pairs differ by {spread:.1} % (one deviation); {needed}"))
    }
}

/// Standard deviation of the logarithms: a share, for what is near to 1.
fn spread(costs: &[f64]) -> f64 {
    let logs: Vec<f64> = costs.iter().map(|cost| cost.ln()).collect();
    let mean = student::mean(&logs);
    let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
    (squares / (logs.len().max(2) - 1) as f64).sqrt()
}

/// Pairs of that spread whose interval lies on the side of the bound on which their mean is, nine
/// times of ten.
fn pairs_needed(cost: f64, spread: f64, at_most: f64) -> Option<u64> {
    let distance = (bound(at_most).ln() - cost.ln()).abs();
    let pairs = (CERTAIN_ERRORS * spread / distance).powi(2);
    // The distance of a mean that happens to lie at the bound says nothing.
    (pairs < 1e6).then(|| (pairs.ceil() as u64).max(PAIRS_MIN as u64))
}

fn bound(at_most: f64) -> f64 {
    1.0 + at_most / 100.0
}

fn judge(cost: Interval, pairs: usize, at_most: f64) -> Verdict {
    match pairs >= PAIRS_MIN {
        true if cost.high <= bound(at_most) => Verdict::Within,
        true if cost.low > bound(at_most) => Verdict::More,
        _ => Verdict::Unclear,
    }
}

/// More in anything is worse; what is unclear was too short.
pub fn ending(figures: &[Figure]) -> Ending {
    let has = |verdict| figures.iter().any(|figure| figure.verdict == verdict);
    match () {
        () if has(Verdict::More) => Ending::Worse,
        () if has(Verdict::Unclear) || !has(Verdict::Within) => Ending::TooShort,
        () => Ending::Good,
    }
}

/// A row per figure.
pub fn table(figures: &[Figure]) -> Table {
    let mut rows = table::plain();
    rows.set_header([
        "figure", "first", "second", "costs %", "from", "to", "at most", "pairs", "verdict",
    ]);
    let percent = |ratio: f64| format!("{:+.2}", 100.0 * (ratio - 1.0));
    for it in figures {
        rows.add_row([
            it.name.to_owned(),
            format!("{:.3}", it.means[0]),
            format!("{:.3}", it.means[1]),
            percent(it.cost.ratio),
            percent(it.cost.low),
            percent(it.cost.high),
            format!("{:+.2}", it.at_most),
            it.pairs.to_string(),
            format!("{:?}", it.verdict).to_lowercase(),
        ]);
    }
    table::align_numbers(&mut rows, 1);
    rows
}

#[cfg(test)]
mod tests;
