//! The page of one result, or of several side by side: one HTML file that needs nothing else, with
//! its plots as SVG and every figure as text.

mod axis;
mod chart;
mod facts;
mod plots;
#[cfg(test)]
mod tests;
mod timeline;

use std::path::Path;

use askama::Template;

use crate::error::BenchError;
use crate::knee;
use crate::report::html::facts::Rows;
use crate::report::html::plots::Plot;
use crate::report::html::timeline::Timeline;
use crate::report::{Beside, Outcome, Report, environment, files, table};

/// Most results of one page: more lines than colours cannot be told apart.
pub const RESULTS_MAX: usize = chart::COLOURS.len();

/// A result with its name on the page.
#[derive(Debug)]
pub struct Result<'a> {
    name: String,
    report: &'a Report,
    timeline: Timeline,
}

impl<'a> Result<'a> {
    /// A result called `name`.
    pub fn new(name: String, report: &'a Report) -> Self {
        Self { name, report, timeline: Timeline::of(&report.runs) }
    }

    /// What its latencies are of; the unit stands elsewhere.
    fn latency_of(&self) -> &str {
        self.report.latency_of.trim_end_matches(" us")
    }
}

/// A titled table.
struct Section {
    title: String,
    /// `facts` for a table of texts, else `figures`.
    class: &'static str,
    rows: Rows,
}

/// What is told of one result.
struct Told {
    name: String,
    /// The colour of its lines where there are several results.
    stroke: String,
    workload: String,
    sections: Vec<Section>,
    notes: Vec<String>,
    moments: Rows,
    grouped: usize,
}

/// The page: see `templates/report.html`.
#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    /// What this is a page of.
    kind: String,
    title: String,
    /// Results against each other; empty for a single one.
    overview: Rows,
    plots: Vec<Plot>,
    results: Vec<Told>,
    environment: Rows,
    configuration: Rows,
}

/// The page of `results`, as text.
fn page(results: &[Result<'_>]) -> String {
    let (kind, title) = match results {
        [one] => {
            let ended = environment::time(one.report.environment.unix_ms);
            (format!("bench report of a run that ended {ended}"), one.report.workload.clone())
        }
        several => ("bench report".to_owned(), format!("{} results of bench", several.len())),
    };
    let overview = match results {
        [_] => Rows::default(),
        several => {
            let named = several.iter().map(|one| (one.name.clone(), &one.report.total));
            Rows::from(&table::overview("result", named))
        }
    };
    let page = Page {
        kind,
        title,
        overview,
        plots: plots::all(results),
        results: results.iter().enumerate().map(|(number, result)| told(number, result)).collect(),
        environment: facts::environments(results),
        configuration: facts::configurations(results),
    };
    page.render().expect("a page is written into memory")
}

/// Writes the page of `results`.
///
/// # Errors
/// The file cannot be written.
pub async fn write(path: &Path, results: &[Result<'_>]) -> std::result::Result<(), BenchError> {
    let page = page(results);
    files::replace(path, page.as_bytes()).await.map_err(|error| BenchError::file(path, error))
}

fn told(number: usize, result: &Result<'_>) -> Told {
    let report = result.report;
    let section = |title: &str, table: &comfy_table::Table| Section {
        title: title.to_owned(),
        class: "figures",
        rows: Rows::from(table),
    };
    let errors = |title: &str, outcome: &Outcome| {
        let table = table::errors(outcome)?;
        Some(Section { class: "facts", ..section(title, &table) })
    };
    let latency_of = report.latency_of.as_str();
    let mut sections = vec![
        section("Throughput", &table::throughput(&report.total)),
        section("Latency in microseconds", &table::latencies(latency_of, &report.total)),
    ];
    sections.extend(errors("Errors by code", &report.total));
    if let Some(limits) = &report.limits {
        let table = limits.table(&report.total);
        sections.push(section("Beside what this machine allows", &table));
    }
    if let Some(broker) = &report.total.broker {
        sections.push(section("What the broker used", &table::resources(broker)));
    }
    for (number, run) in (1..).zip(&report.runs) {
        let stages = run.stages.iter().map(|broker| table::stages(number, broker));
        sections.extend(stages.map(|table| section("Where the time of a send goes", &table)));
    }
    if report.runs.len() > 1 {
        sections.push(section("Repetitions", &table::repetitions(&report.runs)));
    }
    if !report.trials.is_empty() {
        sections.push(section("Rates that were tried", &knee::overview(&report.trials)));
    }
    for Beside { name, latency_of, outcome } in &report.beside {
        let title = |what: &str| format!("Beside: {name}, {what}");
        sections.push(section(&title("throughput"), &table::throughput(outcome)));
        sections.push(section(&title("latency"), &table::latencies(latency_of, outcome)));
        sections.extend(errors(&title("errors by code"), outcome));
    }
    let mut notes: Vec<String> = report.outcomes().filter_map(Outcome::overload).collect();
    if report.failures() == 0 {
        notes.push("No request failed.".to_owned());
    }
    notes.extend(report.limits.iter().map(|limits| limits.floor(&report.total)));
    Told {
        name: result.name.clone(),
        stroke: chart::stroke(number),
        workload: report.workload.clone(),
        sections,
        notes,
        moments: facts::moments(result),
        grouped: result.timeline.grouped,
    }
}
