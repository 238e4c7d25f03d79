//! Pairs to ratios, ratios to intervals, intervals to verdicts. The rules are fixed here, before
//! anything has run.

use serde::Serialize;

use crate::args::versus::Contestant;
use crate::compare::metric::Better;
use crate::compare::student;
use crate::compare::student::Interval;
use crate::limits::bracket::Bracket;
use crate::versus::figures::{Figure, Figures, Probe};
use crate::versus::goals::{Goal, Of, Reached};
use crate::versus::limit::Limit;
use crate::versus::scenario::{self, Scenario};

/// A figure of a pair counts only if no probe that binds it differs by more beside its runs.
pub const BRACKET_RATIO_MAX: f64 = 1.5;

/// A latency of a pair counts only if the host took no more than this share of the CPU time of
/// either run, in percent. The host pauses all cores at once, and what is due meanwhile is late: a
/// pause of this length is half of all that lies beyond a 99th percentile. It also is what a host
/// takes from a machine that it leaves alone: 4 ticks of 10 ms in 4 s of two cores.
pub const STOLEN_MAX_PERCENT: f64 = 0.5;

/// Nothing of a run counts of whose requests more than this share failed, in percent: what is not
/// served takes no time, and a broker that refuses is not fast.
pub const FAILED_MAX_PERCENT: f64 = 0.1;

/// Fewest pairs that decide anything: what fewer have in common may be chance, and nobody could see
/// in them how far they spread.
pub const PAIRS_MIN: usize = 4;

/// Fewest pairs of a control.
const CONTROL_PAIRS_MIN: usize = 2;

/// Two runs that belong together, and the machine beside them.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Of our run; none if it failed.
    pub ours: Option<Figures>,
    /// Of the rival's.
    pub theirs: Option<Figures>,
    /// Before and after each of the two.
    pub brackets: Vec<Bracket>,
    /// Why a run failed, if one did.
    pub error: Option<String>,
}

/// Whether a figure of a pair counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does.
    Kept,
    /// The machine was not the same for both.
    Unsteady,
    /// The host took the CPUs away from one of them.
    Stolen,
    /// It is a latency, and one of the brokers did not serve an open loop as fast as it was due.
    Overloaded,
    /// One of the runs could not be done or lost it, or too many of its requests failed.
    Failed,
}

impl Pair {
    /// Whether a figure of it counts.
    pub fn fate(&self, scenario: &Scenario, figure: Figure) -> Fate {
        let is_steady = |probe: &Probe| self.spread(*probe) <= BRACKET_RATIO_MAX;
        match self.values(figure) {
            None if figure.is_latency() && self.is_overloaded() => Fate::Overloaded,
            None => Fate::Failed,
            Some(_) if !figure.bound_by(scenario.flush).iter().all(is_steady) => Fate::Unsteady,
            Some(_) if figure.is_latency() && self.is_stolen() => Fate::Stolen,
            Some(_) => Fate::Kept,
        }
    }

    /// Whether the host took more of one of the runs than a latency bears.
    fn is_stolen(&self) -> bool {
        let runs = [&self.ours, &self.theirs].into_iter().flatten();
        runs.filter_map(|run| run.stolen_percent).any(|percent| percent > STOLEN_MAX_PERCENT)
    }

    /// Whether both runs would count, if one of them or both were not overloaded.
    fn is_overloaded(&self) -> bool {
        let both = self.ours.as_ref().zip(self.theirs.as_ref());
        both.is_some_and(|(ours, theirs)| {
            let [one, other] = [ours, theirs].map(|run| (run.is_overloaded(), run.is_failing()));
            (one.0 || other.0) && !one.1 && !other.1
        })
    }

    /// The largest value of a probe as multiple of the smallest.
    fn spread(&self, probe: Probe) -> f64 {
        let values = self.brackets.iter().map(|bracket| match probe {
            Probe::Flush => bracket.write_and_flush_us,
            Probe::RoundTrip => bracket.round_trip_us,
        });
        let ends = values.fold((f64::MAX, 0.0_f64), |(low, high), it| (low.min(it), high.max(it)));
        ends.1 / ends.0
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

    /// Why a figure is missing.
    fn reason(&self, figure: Figure) -> Option<String> {
        let lost = |side: &Option<Figures>| {
            let figures = side.as_ref().filter(|figures| figure.of(figures).is_none())?;
            figures.fault()
        };
        self.error.clone().or_else(|| lost(&self.theirs)).or_else(|| lost(&self.ours))
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
    /// No pair counts, since a broker was overloaded in each: its latencies say nothing.
    Overloaded,
    /// One side never came to this figure: the reason is told.
    Failed,
}

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
    fn of(scenario: &Scenario, figure: Figure, pairs: &[Pair]) -> Self {
        let is_it = |pair: &&Pair| pair.fate(scenario, figure) == Fate::Overloaded;
        let pairs: Vec<&Pair> = pairs.iter().filter(is_it).collect();
        let count = |side: fn(&Pair) -> &Option<Figures>| {
            let is_it = |pair: &&&Pair| side(pair).as_ref().is_some_and(Figures::is_overloaded);
            pairs.iter().filter(is_it).count()
        };
        let (ours, theirs) = (count(|pair| &pair.ours), count(|pair| &pair.theirs));
        Self { pairs: pairs.len(), ours, theirs }
    }

    /// What is left of a verdict over the other pairs: whoever was overloaded lacks its worst runs
    /// there, and so has won nothing.
    fn leave(self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Win if self.ours > 0 => Verdict::Undecided,
            Verdict::Loss if self.theirs > 0 => Verdict::Undecided,
            verdict => verdict,
        }
    }

    /// Whether nothing can be said of a goal that the other pairs reach, or miss, so.
    fn forbids(self, goal: &Goal, reached: Reached) -> bool {
        match reached {
            Reached::Met | Reached::Aim => self.ours > 0,
            Reached::Missed | Reached::Limited => goal.of == Of::Gain && self.theirs > 0,
        }
    }
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
    let reason = pairs.iter().find_map(|pair| pair.reason(figure));
    let overloaded = Overloaded::of(scenario, figure, pairs);
    if sorted.values.is_empty() && reason.is_none() && overloaded.pairs == 0 {
        return None;
    }
    let (ours, theirs) = sorted.sides(pairs, figure);
    let gains: Vec<f64> = sorted.values.iter().map(|values| values.gain).collect();
    let gain = interval(&gains, rival);
    let count = sorted.kept;
    let ours_count = if gains.is_empty() { ours.len() } else { count };
    let mut row = Row {
        scenario: scenario.name,
        figure,
        rival,
        ours: geometric_mean(&ours),
        theirs: geometric_mean(&theirs),
        gain,
        pairs: count,
        unsteady: sorted.discarded,
        stolen: sorted.stolen,
        overloaded,
        failed: pairs.len() - count - sorted.discarded - overloaded.pairs,
        claimable: control.and_then(claimable),
        verdict: match gain {
            None if overloaded.pairs > 0 => Verdict::Overloaded,
            None => Verdict::Failed,
            Some(gain) => overloaded.leave(verdict(gain, count, rival, control)),
        },
        goal: Goal::of(scenario.name, figure, rival),
        reached: None,
        limit: None,
        reason,
    };
    // A factor over a rival that came to no figure is neither reached nor missed.
    let is_judged =
        |goal: &&Goal| ours_count >= PAIRS_MIN && (goal.of == Of::Value || row.gain.is_some());
    let reached = row.goal.filter(is_judged).map(|goal| (goal, goal.reached(&row)));
    let reached = reached.filter(|&(goal, reached)| !overloaded.forbids(goal, reached));
    row.reached = reached.map(|(_, reached)| reached);
    Some(row)
}

/// The values of our side that the row of these pairs has the mean of.
pub fn our_values(scenario: &Scenario, figure: Figure, pairs: &[Pair]) -> Vec<f64> {
    Sorted::of(scenario, figure, pairs).sides(pairs, figure).0
}

/// The pairs that have a figure on both sides, by what becomes of it.
struct Sorted {
    kept: usize,
    /// Those that do not count, the stolen ones among them.
    discarded: usize,
    stolen: usize,
    /// Of the pairs that count; where none does, of those that do not.
    values: Vec<Values>,
}

impl Sorted {
    fn of(scenario: &Scenario, figure: Figure, pairs: &[Pair]) -> Self {
        let of = |fate| {
            let those = pairs.iter().filter(move |pair| pair.fate(scenario, figure) == fate);
            those.filter_map(|pair| pair.values(figure)).collect::<Vec<Values>>()
        };
        let (kept, stolen) = (of(Fate::Kept), of(Fate::Stolen));
        let (kept_count, stolen_count) = (kept.len(), stolen.len());
        let discarded = [of(Fate::Unsteady), stolen].concat();
        Self {
            kept: kept_count,
            discarded: discarded.len(),
            stolen: stolen_count,
            values: if kept.is_empty() { discarded } else { kept },
        }
    }

    /// Our values and theirs. What one side came to is told, also where the other has nothing to
    /// set against it.
    fn sides(&self, pairs: &[Pair], figure: Figure) -> (Vec<f64>, Vec<f64>) {
        if self.values.is_empty() {
            let ours = alone(pairs, figure, |pair| pair.ours.as_ref());
            return (ours, alone(pairs, figure, |pair| pair.theirs.as_ref()));
        }
        self.values.iter().map(|values| (values.ours, values.theirs)).unzip()
    }
}

/// A figure of the runs of one side.
fn alone(pairs: &[Pair], figure: Figure, side: fn(&Pair) -> Option<&Figures>) -> Vec<f64> {
    pairs.iter().filter_map(|pair| figure.of(side(pair)?)).collect()
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
