//! What a run tells: a line each second, tables at the end, one JSON document, or a page.

pub mod command;
pub mod environment;
pub mod files;
pub mod html;
pub mod live;
pub mod sections;
pub mod table;

use std::collections::BTreeMap;
use std::slice;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::args::load::OutputArgs;
use crate::ending::Ending;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::idle::Waiting;
use crate::knee::Trial;
use crate::limits::{AGES, Limits, PULLS};
use crate::measure::{Measured, Used};
use crate::observe::{DeviceUse, Meanwhile};
use crate::record::archive::{Archive, Second, StepCount};
use crate::record::failures::Failures;
use crate::record::latencies::LatencySummary;
use crate::record::window::Window;
use crate::report::sections::Section;
use crate::stages::BrokerStages;
use crate::stop;
use crate::target::Target;

/// The result of a command.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// What was run, as a person would say it.
    pub workload: String,
    /// What the latencies are of.
    pub latency_of: String,
    /// All repetitions together.
    #[serde(flatten)]
    pub total: Outcome,
    /// Each repetition.
    pub runs: Vec<Outcome>,
    /// What ran beside, such as the sends of an end-to-end run, whose own figures are those of the
    /// consumers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Beside>,
    /// The rates that a search for the knee has tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trials: Vec<Trial>,
    /// What pulls cost that wait for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// What the machine allows, measured in the same run.
    pub limits: Option<Limits>,
    /// On what the run was made.
    pub environment: Environment,
    /// All response times and all service times, as HdrHistogram's tools read them: V2, deflated,
    /// Base64.
    #[serde(default)]
    pub histograms: BTreeMap<String, String>,
}

/// Another load of the same run, all its repetitions together.
#[derive(Debug, Serialize, Deserialize)]
pub struct Beside {
    /// What it was.
    pub name: String,
    /// What its latencies are of.
    pub latency_of: String,
    /// What it came to.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Each repetition; none in results of older releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    runs: Vec<Outcome>,
}

impl Beside {
    /// Each repetition; in results of older releases all of them as one.
    pub fn runs(&self) -> &[Outcome] {
        if self.runs.is_empty() { slice::from_ref(&self.outcome) } else { &self.runs }
    }
}

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
    /// What the broker used, when bench started it.
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

/// Resources of the broker process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerUse {
    /// User and system CPU time per message, in microseconds.
    pub cpu_us_per_message: f64,
    /// Resident memory at the end.
    pub rss_bytes: u64,
    /// Flushes of the commit log per message; none when the broker does not tell.
    pub flushes_per_message: Option<f64>,
    /// Times per message that a thread gave up its CPU or lost it.
    pub context_switches_per_message: Option<f64>,
    /// Time per message that threads could run and had no CPU, in microseconds.
    pub cpu_wait_us_per_message: Option<f64>,
    /// Writes of the device under the broker's files per message, those of others included.
    pub device_writes_per_message: Option<f64>,
    /// Bytes written by that device per message.
    pub device_bytes_per_message: Option<f64>,
    /// Flushes of that device per message.
    pub device_flushes_per_message: Option<f64>,
    /// System calls per message, where somebody counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_calls_per_message: Option<f64>,
}

impl BrokerUse {
    /// Of what was used for some messages.
    pub fn of(used: Used) -> Self {
        let messages = used.messages.max(1) as f64;
        let per_message = |count: u64| count as f64 / messages;
        let us_per_message = |time: Duration| time.as_secs_f64() * 1e6 / messages;
        let of_device = |count: fn(DeviceUse) -> u64| used.device.map(count).map(per_message);
        Self {
            cpu_us_per_message: us_per_message(used.cpu),
            rss_bytes: used.rss_bytes,
            flushes_per_message: used.flushes.map(per_message),
            context_switches_per_message: Some(per_message(used.scheduling.context_switches)),
            cpu_wait_us_per_message: Some(us_per_message(used.scheduling.cpu_wait)),
            device_writes_per_message: of_device(|device| device.writes),
            device_bytes_per_message: of_device(|device| device.written_bytes),
            device_flushes_per_message: of_device(|device| device.flushes),
            system_calls_per_message: None,
        }
    }
}

impl Outcome {
    /// Sums up runs whose windows together are `total`.
    fn new(total: &Window, runs: &[&Measured]) -> Self {
        let of_all = |value: fn(&Archive) -> u64| -> u64 {
            runs.iter().map(|run| value(&run.archive)).sum()
        };
        let seconds: f64 = runs.iter().map(|run| run.archive.elapsed().as_secs_f64()).sum();
        // A run that failed at once has counted no time.
        let seconds = seconds.max(1e-9);
        let messages = of_all(Archive::messages);
        let used = runs.iter().filter_map(|run| run.used).reduce(Used::and);
        Self {
            seconds,
            messages,
            messages_per_second: messages as f64 / seconds,
            megabytes_per_second: of_all(Archive::bytes) as f64 / seconds / 1e6,
            response: total.response.summary(),
            service: total.service.summary(),
            empty: of_all(Archive::empty),
            messages_per_pull: None,
            errors: total.errors.clone(),
            backlog: of_all(Archive::backlog),
            // Of no message there is nothing per message.
            broker: used.filter(|used| used.messages > 0).map(BrokerUse::of),
            steps: steps(runs),
            by_second: Vec::new(),
            stages: Vec::new(),
        }
    }

    /// What one repetition came to.
    pub fn of_run(measured: &Measured) -> Self {
        let archive = &measured.archive;
        let outcome = Self::new(&archive.total, &[measured]);
        let (by_second, stages) = (archive.seconds.clone(), measured.stages.clone());
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

impl Report {
    /// Sums up all repetitions.
    pub fn new(workload: String, latency_of: &str, runs: &[Measured]) -> Self {
        let (window, total) = sum(runs, latency_of);
        let histograms =
            [("response", window.response.encoded()), ("service", window.service.encoded())];
        Self {
            workload: stop::described(workload),
            latency_of: latency_of.to_owned(),
            total,
            runs: runs.iter().map(Outcome::of_run).collect(),
            beside: Vec::new(),
            trials: Vec::new(),
            waiting: None,
            limits: None,
            environment: Environment::default(),
            histograms: histograms.map(|(name, text)| (name.to_owned(), text)).into(),
        }
    }

    /// Adds a load that ran beside.
    pub fn add_beside(&mut self, name: &str, latency_of: &str, runs: &[Measured]) {
        let (_, outcome) = sum(runs, latency_of);
        let (name, latency_of) = (name.to_owned(), latency_of.to_owned());
        let runs = runs.iter().map(Outcome::of_run).collect();
        self.beside.push(Beside { name, latency_of, outcome, runs });
    }

    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        std::iter::once(&self.total).chain(self.beside.iter().map(|beside| &beside.outcome))
    }

    /// What its latencies are of, without the unit.
    pub fn latency_name(&self) -> &str {
        self.latency_of.trim_end_matches(" us")
    }

    /// Its loads, its own first: the name, what the latencies are of, and what it came to.
    fn loads(&self) -> Vec<(&str, &str, &Outcome)> {
        let own = match self.beside.is_empty() {
            true => "the broker",
            false => self.latency_name(),
        };
        let beside = self
            .beside
            .iter()
            .map(|beside| (beside.name.as_str(), beside.latency_of.as_str(), &beside.outcome));
        std::iter::once((own, self.latency_of.as_str(), &self.total)).chain(beside).collect()
    }

    /// All failed requests.
    pub fn failures(&self) -> u64 {
        self.outcomes().map(Outcome::failures).sum()
    }

    /// True when no message was acknowledged or arrived in the counted time.
    pub fn counted_nothing(&self) -> bool {
        self.total.messages == 0
    }

    /// How the command ends that has nothing else to prove.
    pub fn ending(&self) -> Ending {
        let unsent = self.total.backlog > self.total.response.count;
        match self.failures() == 0 && !unsent && !self.counted_nothing() {
            true => Ending::Good,
            false => Ending::RequestsFailed,
        }
    }

    /// Looks at the environment, prints the report and writes the files that were asked for.
    ///
    /// # Errors
    /// A file cannot be written.
    pub async fn finish(
        &mut self,
        output: &OutputArgs,
        target: &Target,
        runs: &[Measured],
    ) -> Result<(), BenchError> {
        let meanwhile = runs.iter().filter_map(|run| run.meanwhile).reduce(Meanwhile::and);
        let meanwhile = meanwhile.map(|meanwhile| meanwhile.strain());
        self.environment = Environment { meanwhile, ..Environment::of(target).await };
        match output.json {
            true => println!("{}", self.to_json()),
            false => self.print(),
        }
        if let Some(prefix) = &output.output {
            for path in files::write(prefix, self, runs).await? {
                eprintln!("written: {}", path.display());
            }
        }
        if let Some(path) = &output.report {
            html::write(path, &[html::Shown::new("this run".to_owned(), self)]).await?;
            eprintln!("written: {}", path.display());
        }
        Ok(())
    }

    /// Prints it for a person.
    pub fn print(&self) {
        println!("\n{}", self.workload);
        println!("{}", environment::block(&self.environment));
        for Section { title, table, .. } in sections::all(self) {
            println!("\n{title}\n{table}");
        }
        println!();
        sections::notes(self).iter().for_each(|note| println!("{note}"));
        println!("What the words mean: bench --help");
    }

    /// It as other commands read it.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data")
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
    let mut steps = first.archive.steps.clone();
    for run in others {
        steps.iter_mut().zip(&run.archive.steps).for_each(|(step, other)| step.add(other));
    }
    // A run that was ended early did not come to all of them.
    steps.iter().filter(|step| !step.length.is_zero()).map(StepOutcome::of).collect()
}

/// All repetitions, whose latencies are those of so called requests.
fn sum(runs: &[Measured], latency_of: &str) -> (Window, Outcome) {
    let mut total = Window::default();
    runs.iter().for_each(|run| total.add(&run.archive.total));
    let outcome = Outcome::new(&total, &runs.iter().collect::<Vec<_>>());
    let pulls = total.service.count();
    let messages_per_pull =
        (latency_of == PULLS && pulls > 0).then(|| total.messages as f64 / pulls as f64);
    (total, Outcome { messages_per_pull, ..outcome })
}
