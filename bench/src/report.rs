//! What a run prints: a line each second, a table at the end, or one JSON document.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use ringmq_runtime::process;
use serde::Serialize;

use crate::limits::Limits;
use crate::stats::{LatencySummary, PERCENTILES, Window};

/// The result of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was run, as a person would say it.
    pub workload: String,
    /// Counted time in seconds.
    pub seconds: f64,
    /// Messages acknowledged or received in that time.
    pub messages: u64,
    /// Per second.
    pub messages_per_second: f64,
    /// Body bytes per second, in MB (10^6 bytes).
    pub megabytes_per_second: f64,
    /// From the intended time to the answer; equals `service` in a closed loop.
    pub response: LatencySummary,
    /// From the actual send to the answer.
    pub service: LatencySummary,
    /// Failed requests by what the answer said.
    pub errors: BTreeMap<String, u64>,
    /// What the broker used, when bench started it.
    pub broker: Option<BrokerUse>,
    /// What the machine allows, measured in the same run.
    pub limits: Option<Limits>,
}

/// Resources of the broker process while the run was counted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BrokerUse {
    /// User and system CPU time per message, in microseconds.
    pub cpu_us_per_message: f64,
    /// Resident memory at the end.
    pub rss_bytes: u64,
    /// Flushes of the commit log per message; none when the broker does not tell.
    pub flushes_per_message: Option<f64>,
}

impl BrokerUse {
    /// What the process used between two looks at it, while it served `messages`.
    pub fn between(before: process::Usage, after: process::Usage, messages: u64) -> Self {
        let cpu = after.cpu.saturating_sub(before.cpu);
        Self {
            cpu_us_per_message: cpu.as_secs_f64() * 1e6 / messages.max(1) as f64,
            rss_bytes: after.rss_bytes,
            flushes_per_message: None,
        }
    }
}

impl Report {
    /// Sums up `window`, which took `elapsed`.
    pub fn new(workload: String, window: &Window, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        Self {
            workload,
            seconds,
            messages: window.messages,
            messages_per_second: window.messages as f64 / seconds,
            megabytes_per_second: window.bytes as f64 / seconds / 1e6,
            response: window.response.summary(),
            service: window.service.summary(),
            errors: window.errors.clone(),
            broker: None,
            limits: None,
        }
    }

    /// Writes the report to standard output.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string_pretty(self).expect("a report is plain data"));
            return;
        }
        println!("\n{}", self.workload);
        println!("{}", self.throughput_table());
        println!("{}", self.latency_table());
        if let Some(limits) = &self.limits {
            println!("{}", limits.compare(self.service.percentiles_us["p50"]));
        }
        for (what, count) in &self.errors {
            println!("failed: {count} x {what}");
        }
    }

    fn throughput_table(&self) -> Table {
        let mut table = plain_table();
        let mut header = vec!["messages", "seconds", "msg/s", "MB/s"];
        let mut row = vec![
            self.messages.to_string(),
            format!("{:.1}", self.seconds),
            format!("{:.0}", self.messages_per_second),
            format!("{:.1}", self.megabytes_per_second),
        ];
        if let Some(broker) = &self.broker {
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

    fn latency_table(&self) -> Table {
        let mut table = plain_table();
        let mut header = vec!["latency us", "count", "mean"];
        header.extend(PERCENTILES.map(|(name, _)| name));
        header.push("max");
        table.set_header(header);
        table.add_row(latency_row("service time", &self.service));
        table.add_row(latency_row("from intended time", &self.response));
        align_numbers(&mut table, 1);
        table
    }
}

fn latency_row(name: &str, summary: &LatencySummary) -> Vec<String> {
    let mut row =
        vec![name.to_owned(), summary.count.to_string(), format!("{:.1}", summary.mean_us)];
    row.extend(PERCENTILES.map(|(name, _)| format!("{:.1}", summary.percentiles_us[name])));
    row.push(format!("{:.1}", summary.max_us));
    row
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table
}

fn align_numbers(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// The line of one second, on standard error so that `--json` stays clean.
pub fn live_line(second: u64, window: &Window, warming_up: bool) {
    let note = if warming_up { "  warm-up" } else { "" };
    eprintln!(
        "{second:>5} s  {:>9} msg/s  {:>8.1} MB/s  p50 {:>8.0} us  p99 {:>8.0} us  max {:>9.0} us  errors {}{note}",
        window.messages,
        window.bytes as f64 / 1e6,
        window.response.percentile_us(50.0),
        window.response.percentile_us(99.0),
        window.response.max_us(),
        window.failures(),
    );
}
