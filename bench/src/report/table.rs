//! The tables at the end of a run.

use comfy_table::{CellAlignment, Table, presets};

use crate::record::latencies::{LatencySummary, PERCENTILES};
use crate::report::Outcome;

/// Messages, bytes, and what the broker used.
pub fn throughput(outcome: &Outcome) -> Table {
    let mut table = plain();
    let mut header = vec!["messages", "seconds", "msg/s", "MB/s"];
    let mut row = vec![
        outcome.messages.to_string(),
        format!("{:.1}", outcome.seconds),
        format!("{:.0}", outcome.messages_per_second),
        format!("{:.1}", outcome.megabytes_per_second),
    ];
    if outcome.empty > 0 {
        header.push("empty answers");
        row.push(outcome.empty.to_string());
    }
    if let Some(broker) = &outcome.broker {
        header.extend(["broker CPU us/msg", "broker RSS MB"]);
        row.push(format!("{:.2}", broker.cpu_us_per_message));
        row.push(format!("{:.1}", broker.rss_bytes as f64 / 1e6));
        if let Some(flushes) = broker.flushes_per_message {
            header.push("msg/flush");
            row.push(format!("{:.1}", 1.0 / flushes.max(f64::MIN_POSITIVE)));
        }
    }
    table.set_header(header).add_row(row);
    align_numbers(&mut table, 0);
    table
}

/// Percentiles of both latencies, and how many values lie beyond each.
pub fn latencies(latency_of: &str, outcome: &Outcome) -> Table {
    let mut table = plain();
    let mut header = vec![latency_of, "count", "mean"];
    header.extend(PERCENTILES.map(|(name, _)| name));
    header.push("max");
    table.set_header(header);
    table.add_row(latency_row("service time", &outcome.service));
    table.add_row(latency_row("from intended time", &outcome.response));
    let mut beyond = vec!["values beyond".to_owned(), String::new(), String::new()];
    beyond.extend(PERCENTILES.map(|(_, at)| outcome.response.beyond(at).to_string()));
    beyond.push("0".to_owned());
    table.add_row(beyond);
    align_numbers(&mut table, 1);
    table
}

/// A row for each repetition.
pub fn repetitions(runs: &[Outcome]) -> Table {
    let mut table = plain();
    table.set_header(["repetition", "msg/s", "p50", "p99", "p99.9", "max us", "errors"]);
    for (number, run) in runs.iter().enumerate() {
        let mut row = vec![(number + 1).to_string(), format!("{:.0}", run.messages_per_second)];
        for name in ["p50", "p99", "p99.9"] {
            row.push(format!("{:.1}", run.response.percentiles_us[name]));
        }
        row.push(format!("{:.1}", run.response.max_us));
        row.push(run.failures().to_string());
        table.add_row(row);
    }
    align_numbers(&mut table, 0);
    table
}

fn latency_row(name: &str, summary: &LatencySummary) -> Vec<String> {
    let mut row =
        vec![name.to_owned(), summary.count.to_string(), format!("{:.1}", summary.mean_us)];
    row.extend(PERCENTILES.map(|(name, _)| format!("{:.1}", summary.percentiles_us[name])));
    row.push(format!("{:.1}", summary.max_us));
    row
}

/// A table without frames around its cells.
pub fn plain() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table
}

/// Aligns the columns from `from` on to the right.
pub fn align_numbers(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
