//! Tables of the page.

use comfy_table::Table;

use crate::record::latencies;
use crate::report::environment;
use crate::report::html::Shown;
use crate::report::html::axis::count;
use crate::report::html::timeline::Moment;

/// A table of texts.
#[derive(Debug, Default)]
pub struct Rows {
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows; each begins with its name.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Debug)]
pub struct Row {
    /// The first cell.
    pub name: String,
    /// The others.
    pub cells: Vec<String>,
    /// True when the results differ in it.
    pub differs: bool,
}

impl From<&Table> for Rows {
    fn from(table: &Table) -> Self {
        let texts = |row: &comfy_table::Row| row.cell_iter().map(|cell| cell.content()).collect();
        let row = |row: &comfy_table::Row| {
            let mut cells: Vec<String> = texts(row);
            Row { name: cells.remove(0), cells, differs: false }
        };
        Self {
            header: table.header().map_or(Vec::new(), texts),
            rows: table.row_iter().map(row).collect(),
        }
    }
}

/// The points of the plots over time, as numbers.
pub fn moments(result: &Shown) -> Rows {
    let header =
        ["second", "msg/s", "p50 us", "p99 us", "p99.9 us", "max us", "errors/s", "backlog"];
    let latency = |us| latencies::told(us, 1);
    let row = |moment: &Moment| Row {
        name: format!("{:.1}", moment.at_s),
        cells: vec![
            format!("{:.0}", moment.messages_per_second),
            latency(moment.p50_us),
            latency(moment.p99_us),
            latency(moment.p999_us),
            latency(moment.max_us),
            count(moment.errors_per_second),
            format!("{:.0}", moment.backlog),
        ],
        differs: false,
    };
    Rows {
        header: header.map(str::to_owned).into(),
        rows: result.timeline.moments().map(row).collect(),
    }
}

/// The environments of all results: a column for each.
pub fn environments(results: &[Shown]) -> Rows {
    let facts = |result: &Shown| {
        let facts = environment::facts(&result.report.environment).into_iter();
        facts.map(|(name, value)| (name.to_owned(), value)).collect()
    };
    columns("fact", results, &results.iter().map(facts).collect::<Vec<_>>())
}

/// The configurations of their brokers: a column for each.
pub fn configurations(results: &[Shown]) -> Rows {
    let keys = |result: &Shown| {
        let configuration = result.report.environment.broker_config.iter();
        configuration.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    columns("key", results, &results.iter().map(keys).collect::<Vec<_>>())
}

/// Facts of all results side by side, in the order of those that have most of them.
fn columns(what: &str, results: &[Shown], facts: &[Vec<(String, String)>]) -> Rows {
    let mut names: Vec<&String> = Vec::new();
    for name in facts.iter().flatten().map(|(name, _)| name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let value = |facts: &Vec<(String, String)>, name: &str| {
        let found = facts.iter().find(|(known, _)| known == name);
        found.map_or(String::new(), |(_, value)| value.clone())
    };
    let row = |name: &String| {
        let cells: Vec<_> = facts.iter().map(|facts| value(facts, name)).collect();
        let differs = cells.iter().any(|cell| *cell != cells[0]);
        Row { name: name.clone(), cells, differs }
    };
    let header = std::iter::once(what.to_owned());
    Rows {
        header: header.chain(results.iter().map(|result| result.name.clone())).collect(),
        rows: names.into_iter().map(row).collect(),
    }
}
