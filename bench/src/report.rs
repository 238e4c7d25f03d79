//! What a run tells: a line each second, tables at the end, one JSON document, or a page.

pub mod broker_use;
pub mod command;
pub mod environment;
pub mod html;
pub mod live;
pub mod outcome;
pub mod saved;
pub mod sections;
pub mod table;
pub mod terminal;

use std::collections::BTreeMap;
use std::slice;

use serde::{Deserialize, Serialize};

use crate::args::load::OutputArgs;
use crate::compare::units;
use crate::ending::Ending;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::idle::Waiting;
use crate::knee::Trial;
use crate::limits::{Limits, PULLS};
use crate::measure::Measured;
use crate::observe::Meanwhile;
use crate::profile::Profile;
use crate::record::window::Window;
use crate::report::outcome::Outcome;
use crate::report::sections::Section;
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
            false => self.print(&OutputArgs::IN_FULL),
        }
        if let Some(prefix) = &output.output {
            for path in saved::write(prefix, self, runs).await? {
                eprintln!("written: {}", path.display());
            }
        }
        if let Some(path) = &output.report {
            html::write(path, &[html::Shown::new("this run".to_owned(), self)]).await?;
            eprintln!("written: {}", path.display());
        }
        Ok(())
    }

    /// As [`Report::finish`], and ends a command that can run longer and more often, and has
    /// nothing to prove: draws its profile, and its broker's files may go.
    ///
    /// # Errors
    /// A file cannot be written, or `perf` fails.
    pub async fn conclude(
        mut self,
        output: &OutputArgs,
        target: &Target,
        runs: &[Measured],
        profile: Profile,
    ) -> Result<Ending, BenchError> {
        self.finish(output, target, runs).await?;
        self.note_if_too_short(output);
        profile.finish().await?;
        target.ended_well();
        Ok(self.ending())
    }

    /// Says so if it was kept and is too short to be compared: for commands that can run longer and
    /// more often.
    pub fn note_if_too_short(&self, output: &OutputArgs) {
        if (output.json || output.output.is_some()) && units::are_too_few(&self.runs) {
            eprintln!("note: too short for bench compare: {}", units::needed());
        }
    }

    /// Prints it for a person, whom options of the command tell it `in_full`.
    pub fn print(&self, in_full: &[&str]) {
        println!("\n{}", self.workload);
        println!("{}", environment::block(&self.environment, in_full));
        for Section { title, table, .. } in sections::all(self) {
            println!("\n{title}");
            terminal::print(&table);
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

/// All repetitions, whose latencies are those of so called requests.
fn sum(runs: &[Measured], latency_of: &str) -> (Window, Outcome) {
    let mut total = Window::default();
    runs.iter().for_each(|run| total.add(&run.tally.total));
    let outcome = Outcome::new(&total, &runs.iter().collect::<Vec<_>>());
    let pulls = total.service.count();
    let messages_per_pull =
        (latency_of == PULLS && pulls > 0).then(|| total.messages as f64 / pulls as f64);
    (total, Outcome { messages_per_pull, ..outcome })
}
