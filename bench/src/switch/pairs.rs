//! What pairs of slices tell: how much more the second value costs, and how sure that is.

use comfy_table::Table;
use serde::Serialize;

use crate::compare::student::{self, Interval};
use crate::ending::Ending;
use crate::report::table;

/// Fewest pairs from which anything is concluded: fewer have an interval that tells nothing.
const PAIRS_MIN: usize = 10;

/// Standard errors between a mean and a bound at which nine of ten repetitions of a measurement
/// with a 95 % interval find the mean below the bound: 1.96 and 1.28.
const CERTAIN_ERRORS: f64 = 3.24;

/// What the broker did in a part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slice {
    /// Number of its pair, from 1.
    pub pair: u32,
    /// Which of the two values the setting had.
    pub value: usize,
    /// Its length.
    pub seconds: f64,
    /// Messages that were answered in it.
    pub messages: u64,
    /// CPU time of the broker in it; none where its processes are not known.
    pub cpu_s: Option<f64>,
}

impl Slice {
    fn rate(&self) -> Option<f64> {
        Some(self.messages as f64 / self.seconds).filter(|rate| *rate > 0.0)
    }

    fn cpu_us(&self) -> Option<f64> {
        Some(self.cpu_s? * 1e6 / self.messages as f64).filter(|us| us.is_finite() && *us > 0.0)
    }
}

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
    let stalled = [0, 1].map(|value| stalled(slices, value));
    let of = |name, value: fn(&Slice) -> Option<f64>, is_cost, is_free| {
        let pairs = sides(slices, value);
        let figure = || Figure::of(name, &pairs, is_cost, is_free, at_most).beside(stalled);
        (!pairs.is_empty()).then(figure)
    };
    let cpu = of("CPU us/msg", Slice::cpu_us, true, true);
    let rate = of("msg/s", Slice::rate, false, is_closed_loop);
    [cpu, rate].into_iter().flatten().collect()
}

/// The value of either side of each whole pair that has it.
fn sides(slices: &[Slice], value: fn(&Slice) -> Option<f64>) -> Vec<[f64; 2]> {
    let pairs = slices.chunk_by(|a, b| a.pair == b.pair);
    let side = |pair: &[Slice], of: usize| value(pair.iter().find(|slice| slice.value == of)?);
    pairs.filter_map(|pair| Some([side(pair, 0)?, side(pair, 1)?])).collect()
}

/// Whole pairs in which nothing was answered with a value, and something with the other.
fn stalled(slices: &[Slice], value: usize) -> usize {
    let pairs = slices.chunk_by(|a, b| a.pair == b.pair);
    let messages = |pair: &[Slice], of: usize| {
        pair.iter().find(|slice| slice.value == of).map(|slice| slice.messages)
    };
    let is_stalled = |pair: &&[Slice]| {
        messages(pair, value) == Some(0) && messages(pair, 1 - value).is_some_and(|other| other > 0)
    };
    pairs.filter(is_stalled).count()
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

    /// The same beside so many pairs that stalled with either value: what lacks of that value is
    /// the worst, so nothing is concluded in its favour.
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
    /// [`silence`]).
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

/// That slices are in no figure since nothing was answered in them, if there are any: all of them
/// may be.
pub fn silence(slices: &[Slice]) -> Option<String> {
    let is_silent = |slice: &&Slice, value| slice.value == value && slice.messages == 0;
    let count = |value| slices.iter().filter(|slice| is_silent(slice, value)).count();
    let (first, second) = (count(0), count(1));
    (first + second > 0).then(|| {
        format!(
            "nothing at all was answered in {first} slices with the first value, and in {second} \
             with the second: their pairs are in no figure"
        )
    })
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

/// What the last pair came to, in a line.
pub fn describe(slices: &[Slice]) -> String {
    let last = slices.len().saturating_sub(2);
    let of = |name: &str, value: fn(&Slice) -> Option<f64>| {
        let [one, other] = *sides(&slices[last..], value).first()?;
        Some(format!("{name} {one:.3} and {other:.3}"))
    };
    let cpu = of("CPU us/msg", Slice::cpu_us);
    let rate = of("msg/s", |slice| slice.rate().map(f64::round));
    cpu.into_iter().chain(rate).collect::<Vec<_>>().join(", ")
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
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};
    use rand_distr::{Distribution, Normal};

    use super::*;

    fn slice(pair: u32, value: usize, cpu_us: f64, messages: u64) -> Slice {
        let cpu_s = Some(cpu_us * messages as f64 / 1e6);
        Slice { pair, value, seconds: 1.0, messages, cpu_s }
    }

    /// Pairs in random order whose second value costs so much, on a broker that drifts.
    fn slices(pairs: u32, cost: f64, noise: f64) -> Vec<Slice> {
        let mut random = SmallRng::seed_from_u64(7);
        let normal = Normal::new(0.0, noise).unwrap();
        let mut all = Vec::new();
        for pair in 1..=pairs {
            let first = usize::from(random.random_bool(0.5));
            for value in [first, 1 - first] {
                // Half as dear again at the end as at the beginning.
                let drift = 1.0 + 0.5 * f64::from(pair) / f64::from(pairs);
                let factor = [1.0, cost][value] * drift * (1.0 + normal.sample(&mut random));
                all.push(slice(pair, value, 2.0 * factor, (4e5 / factor) as u64));
            }
        }
        all
    }

    fn verdicts(slices: &[Slice]) -> Vec<Verdict> {
        figures(slices, true, 2.0).iter().map(|figure| figure.verdict).collect()
    }

    #[test]
    fn a_cost_is_told_from_the_bound_in_a_run_that_drifts() {
        assert_eq!(verdicts(&slices(60, 1.005, 0.02)), [Verdict::Within; 2]);
        assert_eq!(verdicts(&slices(60, 1.05, 0.02)), [Verdict::More; 2]);
        assert_eq!(verdicts(&slices(60, 1.02, 0.02)), [Verdict::Unclear; 2], "at the bound");
        assert_eq!(verdicts(&slices(9, 1.0, 0.0001)), [Verdict::Unclear; 2], "too few pairs");
        let found = figures(&slices(60, 1.05, 0.02), true, 2.0);
        for figure in &found {
            let Interval { low, ratio, high } = figure.cost;
            assert!(low < 1.05 && 1.05 < high && (ratio - 1.05).abs() < 0.01, "{figure:?}");
        }
    }

    #[test]
    fn a_pair_that_is_not_whole_is_left_out() {
        let mut slices = slices(12, 1.0, 0.01);
        let whole = figures(&slices, true, 2.0);
        slices.push(slice(13, 1, 900.0, 10));
        let cut = figures(&slices, true, 2.0);
        assert_eq!((cut[0].pairs, cut[0].cost), (12, whole[0].cost));
        assert!(figures(&slices[..1], true, 2.0).is_empty());
        assert_eq!(ending(&figures(&slices[..1], true, 2.0)), Ending::TooShort);
    }

    #[test]
    fn a_value_that_stalls_the_broker_is_not_cleared_by_the_other_pairs() {
        let stalled = |value: usize, cost| {
            let mut slices = slices(20, cost, 0.001);
            let of_value = |slice: &&mut Slice| slice.pair <= 5 && slice.value == value;
            slices.iter_mut().filter(of_value).for_each(|slice| slice.messages = 0);
            let found = figures(&slices, true, 2.0);
            assert!(found.iter().all(|it| it.pairs == 15 && it.stalled[value] == 5), "{found:?}");
            let words = silence(&slices).unwrap();
            let told = ["in 5 slices with the first", "in 5 with the second"][value];
            assert!(words.contains(told) && found[0].note().is_none(), "{words}");
            verdicts(&slices)
        };
        assert_eq!(stalled(1, 1.0), [Verdict::Unclear; 2], "its worst slices are in no mean");
        assert_eq!(stalled(1, 1.1), [Verdict::More; 2]);
        assert_eq!(stalled(0, 1.1), [Verdict::Unclear; 2]);
        assert_eq!(stalled(0, 1.0), [Verdict::Within; 2]);
    }

    #[test]
    fn a_value_with_which_nothing_was_ever_answered_is_told_though_there_is_no_figure() {
        let mut slices = slices(12, 1.0, 0.01);
        assert_eq!(silence(&slices), None);
        slices.iter_mut().filter(|slice| slice.value == 1).for_each(|slice| slice.messages = 0);
        assert!(figures(&slices, true, 2.0).is_empty());
        let words = silence(&slices).unwrap();
        assert!(words.contains("in 0 slices with the first value, and in 12 with"), "{words}");
    }

    #[test]
    fn what_is_not_known_or_scheduled_decides_nothing() {
        let mut slices = slices(20, 1.3, 0.01);
        let open = figures(&slices, false, 2.0);
        assert_eq!(
            open.iter().map(|it| it.verdict).collect::<Vec<_>>(),
            [Verdict::More, Verdict::Scheduled]
        );
        slices.iter_mut().for_each(|slice| slice.cpu_s = None);
        let elsewhere = figures(&slices, true, 2.0);
        assert_eq!((elsewhere.len(), elsewhere[0].name), (1, "msg/s"));
        assert_eq!(ending(&figures(&slices, false, 2.0)), Ending::TooShort);
    }

    #[test]
    fn the_pairs_that_are_needed_would_tell() {
        let few = figures(&slices(12, 1.01, 0.03), true, 2.0);
        let note = few[0].note().unwrap();
        assert!(
            note.contains("CPU us/msg is unclear: pairs differ by ")
                && note.contains(" would tell"),
            "{note}"
        );
        // 3 % between slices are 4.2 between pairs; the distance is 1 %: (3.24 x 4.2 / 1) squared.
        let needed = pairs_needed(1.01, 0.042, 2.0).unwrap();
        assert!((180..200).contains(&needed), "{needed}");
        assert_eq!(verdicts(&slices(needed as u32, 1.01, 0.03)), [Verdict::Within; 2]);
        assert_eq!(pairs_needed(1.02, 0.042, 2.0), None);
        assert_eq!(pairs_needed(1.0, 0.0, 2.0), Some(PAIRS_MIN as u64));
    }

    #[test]
    fn more_ends_worse_and_unclear_too_short() {
        let ended = |cost, noise| ending(&figures(&slices(60, cost, noise), true, 2.0));
        assert_eq!(ended(1.0, 0.01), Ending::Good);
        assert_eq!(ended(1.1, 0.01), Ending::Worse);
        assert_eq!(ended(1.0, 0.5), Ending::TooShort);
    }
}
