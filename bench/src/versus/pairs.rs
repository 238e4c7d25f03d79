//! Pairs of runs, and which of their figures count. The rules are fixed here, before anything has
//! run.

use crate::compare::metric::Better;
use crate::limits::bracket::Bracket;
use crate::versus::figures::{Figure, Figures, Probe};
use crate::versus::scenario::Scenario;

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
            None if self.is_overloaded(figure) => Fate::Overloaded,
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

    /// Whether a figure of both runs would count, if one of them or both were not overloaded.
    fn is_overloaded(&self, figure: Figure) -> bool {
        let both = self.ours.as_ref().zip(self.theirs.as_ref());
        both.is_some_and(|(ours, theirs)| {
            let runs = [ours, theirs];
            runs.iter().any(|run| run.is_overloaded(figure))
                && !runs.iter().any(|run| run.is_failing())
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
    pub fn reason(&self, figure: Figure) -> Option<String> {
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
    /// By which factor ours is better.
    gain: f64,
}

/// The pairs of a row, by what becomes of a figure of them.
pub struct Sorted {
    /// How many count.
    pub kept: usize,
    /// How many do not, since the machine was not the same for both: the stolen ones among them.
    pub discarded: usize,
    /// How many the host took the CPUs away from.
    pub stolen: usize,
    /// How many came to nothing.
    pub failed: usize,
    /// Those of them in which our run did, whatever the rival's came to.
    pub failed_ours: usize,
    /// Of the pairs that count; where none does, of those that were discarded.
    values: Vec<Values>,
}

impl Sorted {
    /// The pairs of a scenario.
    pub fn of(scenario: &Scenario, figure: Figure, pairs: &[Pair]) -> Self {
        let those = |fate| pairs.iter().filter(move |pair| pair.fate(scenario, figure) == fate);
        let of = |fate| those(fate).filter_map(|pair| pair.values(figure)).collect::<Vec<Values>>();
        let (kept, stolen) = (of(Fate::Kept), of(Fate::Stolen));
        let (kept_count, stolen_count) = (kept.len(), stolen.len());
        let discarded = [of(Fate::Unsteady), stolen].concat();
        let has_failed = |pair: &&Pair| pair.ours.as_ref().and_then(|it| figure.of(it)).is_none();
        Self {
            kept: kept_count,
            discarded: discarded.len(),
            stolen: stolen_count,
            failed: those(Fate::Failed).count(),
            failed_ours: those(Fate::Failed).filter(has_failed).count(),
            values: if kept.is_empty() { discarded } else { kept },
        }
    }

    /// By which factors ours is better.
    pub fn gains(&self) -> Vec<f64> {
        self.values.iter().map(|values| values.gain).collect()
    }

    /// Our values and theirs. What one side came to is told, also where the other has nothing to
    /// set against it.
    pub fn sides(&self, pairs: &[Pair], figure: Figure) -> (Vec<f64>, Vec<f64>) {
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
