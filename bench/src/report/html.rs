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
use crate::files;
use crate::report::html::facts::Rows;
use crate::report::html::plots::Plot;
use crate::report::html::timeline::Timeline;
use crate::report::{Report, environment, sections, table};

/// Most results of one page: more lines than colours cannot be told apart.
pub const RESULTS_MAX: usize = chart::COLOURS.len();

/// A result with its name on the page.
#[derive(Debug)]
pub struct Shown<'a> {
    name: String,
    report: &'a Report,
    timeline: Timeline,
}

impl<'a> Shown<'a> {
    /// A result called `name`.
    pub fn new(name: String, report: &'a Report) -> Self {
        Self { name, report, timeline: Timeline::of(&report.runs) }
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
fn page(results: &[Shown<'_>]) -> String {
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
            let named = several
                .iter()
                .map(|one| (one.name.clone(), one.report.latency_of.as_str(), &one.report.total));
            Rows::from(&table::overview("result", named))
        }
    };
    // Waits have no latency, and bring nothing.
    let is_plotted = results.iter().any(|result| result.report.waiting.is_none());
    let page = Page {
        kind,
        title,
        overview,
        plots: if is_plotted { plots::all(results) } else { Vec::new() },
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
pub async fn write(path: &Path, results: &[Shown<'_>]) -> Result<(), BenchError> {
    let page = page(results);
    files::replace(path, page.as_bytes()).await
}

fn told(number: usize, result: &Shown<'_>) -> Told {
    let report = result.report;
    let section = |section: sections::Section| Section {
        title: section.title,
        class: if section.is_text { "facts" } else { "figures" },
        rows: Rows::from(&section.table),
    };
    Told {
        name: result.name.clone(),
        stroke: chart::stroke(number),
        workload: report.workload.clone(),
        sections: sections::all(report).into_iter().map(section).collect(),
        notes: sections::notes(report),
        moments: facts::moments(result),
        grouped: result.timeline.grouped,
    }
}
