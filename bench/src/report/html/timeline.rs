//! What a run did over time, no finer than a plot can show.

use crate::record::tally::Second;
use crate::report::outcome::Outcome;

/// Most points of a line: about as many as a plot has pixels. Longer runs are shown by the worst of
/// several seconds, so that no stall disappears.
const MOMENTS_MAX: usize = 600;

/// A second, or several of them.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Its middle, counted from the start of the first repetition.
    pub at_s: f64,
    /// Mean throughput.
    pub messages_per_second: f64,
    /// Mean failures.
    pub errors_per_second: f64,
    /// Largest backlog.
    pub backlog: f64,
    /// Largest median of a second; none where no second has one.
    pub p50_us: Option<f64>,
    /// Largest p99 of a second.
    pub p99_us: Option<f64>,
    /// Largest p99.9 of a second.
    pub p999_us: Option<f64>,
    /// Largest latency; none where nothing was answered.
    pub max_us: Option<f64>,
}

/// All repetitions of a result, one behind the other.
#[derive(Debug)]
pub struct Timeline {
    /// The moments of each repetition.
    pub repetitions: Vec<Vec<Moment>>,
    /// Seconds that are one moment.
    pub grouped: usize,
}

impl Timeline {
    /// The repetitions `runs`.
    pub fn of(runs: &[Outcome]) -> Self {
        let seconds: usize = runs.iter().map(|run| run.by_second.len()).sum();
        let grouped = seconds.div_ceil(MOMENTS_MAX).max(1);
        let mut offset_s = 0.0;
        let mut repetitions = Vec::new();
        for run in runs {
            let groups = run.by_second.chunks(grouped);
            repetitions.push(groups.map(|group| moment(group, offset_s)).collect());
            offset_s += run.by_second.last().map_or(0.0, |last| last.from_s + last.seconds);
        }
        Self { repetitions, grouped }
    }

    /// All moments in their order.
    pub fn moments(&self) -> impl Iterator<Item = &Moment> {
        self.repetitions.iter().flatten()
    }

    /// A line for each repetition, through the moments that have the value.
    pub fn lines(&self, value: impl Fn(&Moment) -> Option<f64>) -> Vec<Vec<(f64, f64)>> {
        let point = |moment: &Moment| Some((moment.at_s, value(moment)?));
        self.repetitions.iter().map(|moments| moments.iter().filter_map(point).collect()).collect()
    }
}

fn moment(group: &[Second], offset_s: f64) -> Moment {
    let sum = |value: fn(&Second) -> f64| group.iter().map(value).sum::<f64>();
    let largest = |value: fn(&Second) -> f64| group.iter().map(value).fold(0.0, f64::max);
    let known =
        |value: fn(&Second) -> Option<f64>| group.iter().filter_map(value).max_by(f64::total_cmp);
    let seconds = sum(|second| second.seconds).max(f64::MIN_POSITIVE);
    Moment {
        at_s: offset_s + group[0].from_s + seconds / 2.0,
        messages_per_second: sum(|second| second.messages as f64) / seconds,
        errors_per_second: sum(|second| second.errors as f64) / seconds,
        backlog: largest(|second| second.backlog as f64),
        p50_us: known(|second| second.p50_us),
        p99_us: known(|second| second.p99_us),
        p999_us: known(|second| second.p999_us),
        max_us: known(|second| (second.max_us > 0.0).then_some(second.max_us)),
    }
}
