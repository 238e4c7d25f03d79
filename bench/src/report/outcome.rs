//! What the repetitions of a run came to, and each of several rates of them.

use serde::{Deserialize, Serialize};

use crate::limits::AGES;
use crate::measure::{Measured, Used};
use crate::record::failures::Failures;
use crate::record::latencies::{LatencySummary, PERCENTILES, beyond};
use crate::record::tally::{Second, StepCount, Tally};
use crate::record::window::Window;
use crate::report::broker_use::BrokerUse;
use crate::stages::BrokerStages;

/// The coarsest percentile by which an open loop is judged, see [`is_behind`].
const COARSEST: f64 = 99.0;

/// What one repetition, or all of them together, came to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Counted time in seconds.
    pub seconds: f64,
    /// Messages acknowledged or received in that time.
    pub messages: u64,
    /// Per second.
    pub messages_per_second: f64,
    /// Body bytes per second, in MB (10^6 bytes).
    pub megabytes_per_second: f64,
    /// From the intended time; equals `service` in a closed loop.
    pub response: LatencySummary,
    /// From the actual time.
    pub service: LatencySummary,
    /// Requests that were answered and brought no message.
    pub empty: u64,
    /// Messages of a mean pull that brought any; none of other requests, and of a repetition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_per_pull: Option<f64>,
    /// Failed requests by code.
    #[serde(flatten)]
    pub errors: Failures,
    /// Open loop: requests that were due and still not sent at the end; they have no latency.
    pub backlog: u64,
    /// What the broker used, where its processes are known.
    pub broker: Option<BrokerUse>,
    /// What each of several rates came to, see [`StepOutcome`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepOutcome>,
    /// Each counted second of a repetition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_second: Vec<Second>,
    /// The stages of the sends of a repetition, as its brokers tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<BrokerStages>,
}

impl Outcome {
    /// Sums up runs whose windows together are `total`.
    pub fn new(total: &Window, runs: &[&Measured]) -> Self {
        let of_all =
            |value: fn(&Tally) -> u64| -> u64 { runs.iter().map(|run| value(&run.tally)).sum() };
        let seconds: f64 = runs.iter().map(|run| run.tally.elapsed().as_secs_f64()).sum();
        // A run that failed at once has counted no time.
        let seconds = seconds.max(1e-9);
        let messages = of_all(Tally::messages);
        let used = runs.iter().filter_map(|run| run.used).reduce(Used::and);
        Self {
            seconds,
            messages,
            messages_per_second: messages as f64 / seconds,
            megabytes_per_second: of_all(Tally::bytes) as f64 / seconds / 1e6,
            response: total.response.summary(),
            service: total.service.summary(),
            empty: of_all(Tally::empty),
            messages_per_pull: None,
            errors: total.errors.clone(),
            backlog: of_all(Tally::backlog),
            // Of no message there is nothing per message.
            broker: used.filter(|used| used.messages > 0).map(BrokerUse::of),
            steps: steps(runs),
            by_second: Vec::new(),
            stages: Vec::new(),
        }
    }

    /// What one repetition came to.
    pub fn of_run(measured: &Measured) -> Self {
        let tally = &measured.tally;
        let outcome = Self::new(&tally.total, &[measured]);
        let (by_second, stages) = (tally.seconds.clone(), measured.stages.clone());
        Self { by_second, stages, ..outcome }
    }

    /// All failed requests.
    pub fn failures(&self) -> u64 {
        self.errors.total()
    }

    /// True when each request was sent at the time it was meant to be sent, as in a closed loop:
    /// there response time and service time are one.
    pub fn has_one_clock(&self) -> bool {
        self.response.count > 0 && self.response == self.service
    }

    /// True when its latencies are those of a closed loop, and so none under a load. The age of a
    /// message is no request's and the same in either loop.
    pub fn is_closed_loop(&self, latency_of: &str) -> bool {
        self.has_one_clock() && latency_of != AGES
    }

    /// True when an open loop was not served as fast as it was due, and this percentile of it is
    /// too low, see [`is_behind`].
    pub fn fell_behind(&self, percentile: f64) -> bool {
        is_behind(self.backlog, self.response.count, percentile)
    }

    /// What is to be said of a run that was not served as fast as it was due: which is the first
    /// of its percentiles that is too low.
    pub fn overload(&self) -> Option<String> {
        let is_told = |name: &str| self.response.percentile_us(name).is_some();
        let is_too_low = |&(name, at): &(&str, f64)| {
            self.backlog > self.response.beyond(at) && (at <= COARSEST || is_told(name))
        };
        let (name, _) = PERCENTILES.into_iter().find(is_too_low)?;
        Some(format!(
            "{}; they outnumber what lies beyond {name}, so that and all finer ones are too low",
            self.unsent()
        ))
    }

    /// What an open loop left unsent, in words.
    pub fn unsent(&self) -> String {
        format!(
            "{} requests were due and not sent at the end: the rate was above what was served \
             then, and their wait is in no percentile",
            self.backlog
        )
    }
}

/// What one of several rates came to.
#[derive(Debug, Serialize, Deserialize)]
pub struct StepOutcome {
    /// Requests per second that were due.
    pub rate: f64,
    /// Counted time in seconds.
    pub seconds: f64,
    /// Messages acknowledged or received in that time.
    pub messages: u64,
    /// Per second.
    pub messages_per_second: f64,
    /// From the intended time, of what was answered in that time.
    pub response: LatencySummary,
    /// Failed requests.
    pub failures: u64,
    /// Requests that were due and not sent at its end.
    pub backlog: u64,
}

impl StepOutcome {
    fn of(step: &StepCount) -> Self {
        let seconds = step.length.as_secs_f64();
        Self {
            rate: step.rate,
            seconds,
            messages: step.messages,
            messages_per_second: step.messages as f64 / seconds.max(1e-9),
            response: step.window.response.summary(),
            failures: step.window.errors.total(),
            backlog: step.backlog,
        }
    }
}

/// Whether an open loop was overloaded of which so many requests were due and not sent at its end,
/// and so many answered, so that a percentile of it says nothing: what waited longest is not in it
/// if fewer answers lie beyond it than were never sent. What became due within the last moment is
/// always unsent; one in a hundred is not a moment, and says nothing of a median either.
pub fn is_behind(unsent: u64, answered: u64, percentile: f64) -> bool {
    unsent > beyond(answered, percentile.max(COARSEST))
}

/// The rates of runs that all had the same ones, each over all repetitions.
fn steps(runs: &[&Measured]) -> Vec<StepOutcome> {
    let Some((first, others)) = runs.split_first() else { return Vec::new() };
    let mut steps = first.tally.steps.clone();
    for run in others {
        steps.iter_mut().zip(&run.tally.steps).for_each(|(step, other)| step.add(other));
    }
    // A run that was ended early did not come to all of them.
    steps.iter().filter(|step| !step.length.is_zero()).map(StepOutcome::of).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// An open loop with so many answers that left so many requests unsent.
    fn outcome(answers: u64, backlog: u64) -> Outcome {
        let mut window = Window::default();
        window.response.record_many(Duration::from_millis(1), answers);
        Outcome { backlog, ..Outcome::new(&window, &[]) }
    }

    #[test]
    fn a_percentile_says_nothing_beyond_which_fewer_answers_lie_than_were_not_sent() {
        let check = |unsent: u64, expected: [bool; 3]| {
            let run = outcome(10_000, unsent);
            assert_eq!([50.0, 99.0, 99.9].map(|at| run.fell_behind(at)), expected, "{unsent}");
        };
        check(10, [false, false, false]);
        check(11, [false, false, true]);
        check(100, [false, false, true]);
        check(101, [true, true, true]);
    }

    #[test]
    fn a_run_with_unsent_requests_names_the_first_of_its_percentiles_that_is_too_low() {
        for (answers, unsent, name) in
            [(10_000, 2, "p99.99"), (10_000, 11, "p99.9"), (10_000, 1_001, "p90"), (50, 1, "p99")]
        {
            let text = outcome(answers, unsent).overload().unwrap();
            assert!(text.starts_with(&format!("{unsent} requests were due and not")), "{text}");
            assert!(text.contains(&format!("outnumber what lies beyond {name}, so")), "{text}");
        }
        for (answers, unsent) in [(10_000, 0), (10_000, 1), (0, 0)] {
            assert_eq!(outcome(answers, unsent).overload(), None, "{unsent} of {answers}");
        }
    }
}
