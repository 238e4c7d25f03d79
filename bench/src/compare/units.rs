//! What a comparison draws its intervals from: repetitions, or blocks of seconds.
//!
//! Neighbouring seconds share flushes, segments and what else the machine does, so they are not
//! independent; the means of longer blocks nearly are. There are few of them, however long a run
//! is, so that blocks grow with it, and Student's t tells what so few are worth.

use crate::compare::metric::Metric;
use crate::compare::student;
use crate::record::tally::Second;
use crate::report::outcome::Outcome;

/// Fewest repetitions on both sides that are compared with each other.
pub const RUNS_MIN: usize = 3;

/// Seconds from which a run of its own is enough, for a sentence that asks for them.
const SECONDS_MIN: usize = BLOCKS * BLOCK_SECONDS_MIN;

/// How many blocks the seconds of a side make.
const BLOCKS: usize = 5;

/// Fewest seconds of a block.
const BLOCK_SECONDS_MIN: usize = 5;

/// Fewest blocks of a side: repetitions that are no multiple of a block have longer ones.
const BLOCKS_MIN: usize = 4;

/// Intervals below half a second are the short ends of runs, which are noisy.
const SECOND_MIN_S: f64 = 0.5;

/// What one value of a metric is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A repetition.
    Run,
    /// So many neighbouring seconds of one, or some more, so that none is left over.
    Block(usize),
}

/// Repetitions where both sides have enough of them, else blocks of seconds; none where there are
/// too few of either.
pub fn of_both(a: &[Outcome], b: &[Outcome]) -> Option<Unit> {
    if a.len().min(b.len()) >= RUNS_MIN {
        return Some(Unit::Run);
    }
    let seconds = |runs: &[Outcome]| runs.iter().map(full_seconds).sum::<usize>();
    let length = (seconds(a).min(seconds(b)) / BLOCKS).max(BLOCK_SECONDS_MIN);
    let blocks =
        |runs: &[Outcome]| runs.iter().map(|run| full_seconds(run) / length).sum::<usize>();
    (blocks(a).min(blocks(b)) >= BLOCKS_MIN).then_some(Unit::Block(length))
}

/// Whether there are too few for a comparison with others as many.
pub fn are_too_few(runs: &[Outcome]) -> bool {
    of_both(runs, runs).is_none()
}

/// What is enough, for who had less.
pub fn needed() -> String {
    format!(
        "at least {RUNS_MIN} repetitions on both sides (--repeat {RUNS_MIN}), or {SECONDS_MIN} s \
         (--duration {SECONDS_MIN})"
    )
}

fn full_seconds(run: &Outcome) -> usize {
    full(run).count()
}

fn full(run: &Outcome) -> impl Iterator<Item = &Second> {
    run.by_second.iter().filter(|second| second.seconds > SECOND_MIN_S)
}

/// Whether any second of the runs has the metric.
pub fn is_of_seconds(metric: &Metric, runs: &[Outcome]) -> bool {
    runs.iter().flat_map(full).any(|second| (metric.of_second)(second).is_some())
}

/// The metric's values, all or none. A repetition or a second without an answer has no latency and
/// is left out; one with answers that lacks the metric had too few of them for the percentile, as a
/// broker that stalls has, and the worst must not be what is left out: then there are no values.
pub fn samples(metric: &Metric, runs: &[Outcome], unit: Unit) -> Vec<f64> {
    let of = |run: &Outcome| match unit {
        Unit::Run => of_repetition(metric, run),
        Unit::Block(length) => of_blocks(metric, run, length),
    };
    let all: Option<Vec<_>> = runs.iter().map(of).collect();
    all.unwrap_or_default().concat()
}

/// The metric's values of those repetitions that have it: enough for a mean to be told.
pub fn known(metric: &Metric, runs: &[Outcome]) -> Vec<f64> {
    runs.iter().filter_map(metric.of_run).collect()
}

fn of_repetition(metric: &Metric, run: &Outcome) -> Option<Vec<f64>> {
    match (metric.of_run)(run) {
        None if run.response.count > 0 => None,
        value => Some(value.into_iter().collect()),
    }
}

/// The means of the blocks of one repetition, which together are all of its seconds: a stall at its
/// end is in the last.
fn of_blocks(metric: &Metric, run: &Outcome, length: usize) -> Option<Vec<f64>> {
    let seconds: Vec<&Second> = full(run).collect();
    let count = seconds.len() / length;
    let block = |number: usize| {
        &seconds[number * seconds.len() / count..(number + 1) * seconds.len() / count]
    };
    let lacks_it = |second: &&Second| second.messages > 0 && (metric.of_second)(second).is_none();
    if (0..count).flat_map(block).any(lacks_it) {
        return None;
    }
    let mean = |block: &[&Second]| {
        let known: Vec<f64> = block.iter().filter_map(|it| (metric.of_second)(it)).collect();
        (!known.is_empty()).then(|| student::mean(&known))
    };
    Some((0..count).map(block).filter_map(mean).collect())
}
