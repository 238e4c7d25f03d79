//! What a comparison draws its intervals from: repetitions, or blocks of seconds.
//!
//! Neighbouring seconds share flushes, segments and what else the machine does, so they are not
//! independent; the means of longer blocks nearly are. There are few of them, however long a run
//! is, so that blocks grow with it, and Student's t tells what so few are worth.

use crate::compare::metric::Metric;
use crate::compare::student;
use crate::report::Outcome;

/// Fewest repetitions on both sides that are compared with each other.
pub const RUNS_MIN: usize = 3;

/// Seconds from which a run of its own is enough, for a sentence that asks for them.
pub const SECONDS_MIN: usize = BLOCKS * BLOCK_SECONDS_MIN;

/// How many blocks the seconds of a side make.
const BLOCKS: usize = 5;

/// Fewest seconds of a block.
const BLOCK_SECONDS_MIN: usize = 5;

/// Fewest blocks of a side: repetitions that are no multiple of a block leave some out.
const BLOCKS_MIN: usize = 4;

/// Intervals below half a second are the short ends of runs, which are noisy.
const SECOND_MIN_S: f64 = 0.5;

/// What one value of a metric is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A repetition.
    Run,
    /// So many neighbouring seconds of one.
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

fn full_seconds(run: &Outcome) -> usize {
    run.by_second.iter().filter(|second| second.seconds > SECOND_MIN_S).count()
}

/// The metric's values; none for units that lack it.
pub fn samples(metric: &Metric, runs: &[Outcome], unit: Unit) -> Vec<f64> {
    match unit {
        Unit::Run => runs.iter().filter_map(metric.of_run).collect(),
        Unit::Block(length) => runs.iter().flat_map(|run| of_blocks(metric, run, length)).collect(),
    }
}

/// The means of the blocks of one repetition; seconds that lack the metric are left out of them.
fn of_blocks(metric: &Metric, run: &Outcome, length: usize) -> Vec<f64> {
    let seconds = run.by_second.iter().filter(|second| second.seconds > SECOND_MIN_S);
    let values: Vec<Option<f64>> = seconds.map(metric.of_second).collect();
    let mean = |block: &[Option<f64>]| {
        let known: Vec<f64> = block.iter().flatten().copied().collect();
        (!known.is_empty()).then(|| student::mean(&known))
    };
    values.chunks_exact(length).filter_map(mean).collect()
}
