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

/// The metric's values: of repetitions those that have it, of blocks all or none.
pub fn samples(metric: &Metric, runs: &[Outcome], unit: Unit) -> Vec<f64> {
    match unit {
        Unit::Run => runs.iter().filter_map(metric.of_run).collect(),
        Unit::Block(length) => {
            let all: Option<Vec<_>> =
                runs.iter().map(|run| of_blocks(metric, run, length)).collect();
            all.unwrap_or_default().concat()
        }
    }
}

/// The means of the blocks of one repetition; seconds without an answer have no latency and are
/// left out of them. None if a second with answers lacks the metric: it had too few of them for the
/// percentile, as a broker that stalls has, and its worst seconds must not be those that are left
/// out.
fn of_blocks(metric: &Metric, run: &Outcome, length: usize) -> Option<Vec<f64>> {
    let seconds: Vec<&Second> = full(run).collect();
    let blocks = seconds.chunks_exact(length);
    let lacks_it = |second: &&Second| second.messages > 0 && (metric.of_second)(second).is_none();
    if blocks.clone().flatten().any(lacks_it) {
        return None;
    }
    let mean = |block: &[&Second]| {
        let known: Vec<f64> = block.iter().filter_map(|it| (metric.of_second)(it)).collect();
        (!known.is_empty()).then(|| student::mean(&known))
    };
    Some(blocks.filter_map(mean).collect())
}
