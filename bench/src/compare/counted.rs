//! What is counted and not estimated: requests that failed, those that were never sent, and what
//! pulls cost that wait.

use crate::compare::Document;
use crate::compare::metric::Judgement;
use crate::report::Outcome;

/// A share of all requests, or a cost, of both results.
#[derive(Debug)]
pub struct Counted {
    /// Its name in the table.
    pub name: &'static str,
    /// The first result's, in the unit of the name.
    pub first: f64,
    /// The second's.
    pub second: f64,
    /// What that says.
    pub judgement: Judgement,
}

/// What became due within the last moment is always unsent; one in a hundred is not a moment.
const UNSENT_MIN_PERCENT: f64 = 1.0;

/// Less is what ticks of 10 ms leave of the seconds of a run.
const CPU_MIN_PERCENT: f64 = 0.5;

/// Less is what an allocator keeps or not.
const GROWTH_MIN_MB: f64 = 4.0;

/// The shares of both results that are worth a row: of failures always, of unsent requests where
/// there are any.
pub fn rows(a: &Document, b: &Document, tolerance: f64) -> Vec<Counted> {
    let mut rows = Vec::new();
    let mut compare = |name, first: f64, second: f64, noise: f64| {
        let judgement = judge(first, second, noise, tolerance);
        rows.push(Counted { name, first, second, judgement });
    };
    compare("failed %", failed_percent(a), failed_percent(b), 0.0);
    let (first, second) = (unsent_percent(a), unsent_percent(b));
    if first.max(second) > 0.0 {
        compare("unsent %", first, second, UNSENT_MIN_PERCENT);
    }
    if let (Some(a), Some(b)) = (&a.waiting, &b.waiting) {
        if let Some((first, second)) = a.cpu_percent.zip(b.cpu_percent) {
            compare("CPU % of a core", first, second, CPU_MIN_PERCENT);
        }
        if let Some((first, second)) = a.rss_growth_bytes.zip(b.rss_growth_bytes) {
            let megabytes = |bytes: i64| bytes as f64 / 1e6;
            compare("grown by MB", megabytes(first), megabytes(second), GROWTH_MIN_MB);
        }
    }
    rows
}

/// More is worse. Nothing was drawn, so nothing is uncertain but whether it would happen again.
fn judge(first: f64, second: f64, noise: f64, tolerance: f64) -> Judgement {
    let [first, second] = [first, second].map(|share| if share <= noise { 0.0 } else { share });
    match () {
        () if second > first * (1.0 + tolerance) => Judgement::Worse,
        () if second < first * (1.0 - tolerance) => Judgement::Better,
        () => Judgement::Same,
    }
}

fn failed_percent(document: &Document) -> f64 {
    let beside = document.beside.iter().map(|beside| &beside.outcome);
    let all: Vec<&Outcome> = document.runs.iter().chain(beside).collect();
    let failed: u64 = all.iter().map(|outcome| outcome.failures()).sum();
    percent(failed, all.iter().map(|outcome| outcome.response.count + outcome.empty).sum())
}

fn unsent_percent(document: &Document) -> f64 {
    let unsent: u64 = document.runs.iter().map(|run| run.backlog).sum();
    percent(unsent, document.runs.iter().map(|run| run.response.count + run.failures()).sum())
}

/// The share of some requests in these and all `others`.
fn percent(some: u64, others: u64) -> f64 {
    100.0 * some as f64 / (some + others).max(1) as f64
}
