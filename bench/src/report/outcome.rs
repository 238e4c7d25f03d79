//! What the repetitions of a run came to, and each of several rates of them.

use serde::{Deserialize, Serialize};

use crate::limits::AGES;
use crate::measure::{Measured, Used};
use crate::record::failures::Failures;
use crate::record::latencies::LatencySummary;
use crate::record::tally::{Second, StepCount, Tally};
use crate::record::window::Window;
use crate::report::broker_use::BrokerUse;
use crate::stages::BrokerStages;

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

    /// True when an open loop was not served as fast as it was due, see [`is_behind`].
    pub fn fell_behind(&self) -> bool {
        is_behind(self.backlog, self.response.count)
    }

    /// What is to be said of a run that was not served as fast as it was due.
    pub fn overload(&self) -> Option<String> {
        self.fell_behind().then(|| {
            format!(
                "{} requests were due and not sent at the end: the rate is above what was served, \
                 and their wait is in no percentile",
                self.backlog
            )
        })
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
/// and so many answered. What became due within the last moment is always unsent; one in a hundred
/// is not a moment.
pub fn is_behind(unsent: u64, answered: u64) -> bool {
    unsent * 100 > answered
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
