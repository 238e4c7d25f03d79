//! What is counted and not estimated: requests that failed, those that were never sent, the memory
//! of the broker, and what pulls cost that wait.

use crate::compare::metric::Judgement;
use crate::compare::{Document, Pair};
use crate::report::outcome::Outcome;

/// A share of all requests, or a cost, of both results.
#[derive(Debug)]
pub struct Counted {
    /// Its name in the table.
    pub name: String,
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

/// A broker keeps more or less of its log in memory, as its readers follow: one build ended two
/// equal runs of a second with 43 and 92 MB.
const RSS_NOISE_MB: f64 = 64.0;

/// The shares of both results that are worth a row: of failures always, of unsent requests where
/// there are any; and the memory where it is known.
pub fn rows(a: &Document, b: &Document, tolerance: f64) -> Vec<Counted> {
    let mut rows = Vec::new();
    let mut compare = |name: &str, [first, second]: [f64; 2], noise: Noise| {
        let judgement = judge(first, second, noise, tolerance);
        rows.push(Counted { name: name.to_owned(), first, second, judgement });
    };
    compare("failed %", [a, b].map(failed_percent), Noise::UpTo(0.0));
    for Pair { name, first, second, .. } in Pair::all(a, b) {
        let unsent = [first, second].map(unsent_percent);
        if unsent.iter().any(|percent| *percent > 0.0) {
            compare(&format!("{name}unsent %"), unsent, Noise::UpTo(UNSENT_MIN_PERCENT));
        }
    }
    if let Some((first, second)) = rss_megabytes(a).zip(rss_megabytes(b)) {
        compare("broker RSS MB", [first, second], Noise::By(RSS_NOISE_MB));
    }
    if let (Some(a), Some(b)) = (&a.waiting, &b.waiting) {
        if let Some((first, second)) = a.cpu_percent.zip(b.cpu_percent) {
            compare("CPU % of a core", [first, second], Noise::UpTo(CPU_MIN_PERCENT));
        }
        if let Some((first, second)) = a.rss_growth_bytes.zip(b.rss_growth_bytes) {
            let megabytes = [first, second].map(|bytes| bytes as f64 / 1e6);
            compare("grown by MB", megabytes, Noise::UpTo(GROWTH_MIN_MB));
        }
    }
    rows
}

/// What says nothing.
#[derive(Clone, Copy)]
enum Noise {
    /// Values up to this are as good as none.
    UpTo(f64),
    /// Values that differ by up to this besides the tolerance are the same.
    By(f64),
}

/// More is worse. Nothing was drawn, so nothing is uncertain but whether it would happen again.
fn judge(first: f64, second: f64, noise: Noise, tolerance: f64) -> Judgement {
    let (nothing, beside) = match noise {
        Noise::UpTo(nothing) => (nothing, 0.0),
        Noise::By(beside) => (0.0, beside),
    };
    let [first, second] = [first, second].map(|value| if value <= nothing { 0.0 } else { value });
    match () {
        () if second > first * (1.0 + tolerance) + beside => Judgement::Worse,
        () if second < first * (1.0 - tolerance) - beside => Judgement::Better,
        () => Judgement::Same,
    }
}

fn failed_percent(document: &Document) -> f64 {
    let beside = document.beside.iter().map(|beside| &beside.outcome);
    let all: Vec<&Outcome> = document.runs.iter().chain(beside).collect();
    let failed: u64 = all.iter().map(|outcome| outcome.failures()).sum();
    percent(failed, all.iter().map(|outcome| outcome.response.count + outcome.empty).sum())
}

fn unsent_percent(runs: &[Outcome]) -> f64 {
    let unsent: u64 = runs.iter().map(|run| run.backlog).sum();
    percent(unsent, runs.iter().map(|run| run.response.count + run.failures()).sum())
}

/// Memory of the broker at the end; none where it is not known.
fn rss_megabytes(document: &Document) -> Option<f64> {
    document.runs.last()?.broker.map(|broker| broker.rss_bytes as f64 / 1e6)
}

/// The share of some requests in these and all `others`.
fn percent(some: u64, others: u64) -> f64 {
    100.0 * some as f64 / (some + others).max(1) as f64
}
