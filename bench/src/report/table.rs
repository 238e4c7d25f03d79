//! The tables at the end of a run.

use comfy_table::{CellAlignment, ColumnConstraint, Table, presets};

use crate::limits::AGES;
use crate::record::latencies::{self, LatencySummary, PERCENTILES};
use crate::report::broker_use::BrokerUse;
use crate::report::outcome::{Outcome, StepOutcome};
use crate::stages::BrokerStages;

/// What a latency is called where there is only one, see [`Outcome::has_one_clock`].
pub fn one_clock(latency_of: &str) -> &'static str {
    match latency_of {
        AGES => "since its birth",
        _ => "service time, closed loop: not latency under load",
    }
}

/// Messages and bytes.
pub fn throughput(outcome: &Outcome) -> Table {
    let mut table = plain();
    let mut header = vec!["messages", "seconds", "msg/s", "MB/s"];
    let mut row = vec![
        outcome.messages.to_string(),
        format!("{:.1}", outcome.seconds),
        format!("{:.0}", outcome.messages_per_second),
        format!("{:.1}", outcome.megabytes_per_second),
    ];
    if let Some(messages) = outcome.messages_per_pull {
        header.push("messages per pull");
        row.push(format!("{messages:.1}"));
    }
    if outcome.empty > 0 {
        header.push("empty answers");
        row.push(outcome.empty.to_string());
    }
    table.set_header(header).add_row(row);
    align_numbers(&mut table, 0);
    table
}

/// A row for each of several rates.
pub fn steps(steps: &[StepOutcome]) -> Table {
    let mut table = plain();
    let latencies = ["p50 us", "p90 us", "p99 us", "p99.9 us", "max us"];
    let header = ["rate", "seconds", "msg/s"].into_iter().chain(latencies);
    table.set_header(header.chain(["errors", "unsent at its end"]));
    for step in steps {
        let mut row = vec![
            format!("{:.0}", step.rate),
            format!("{:.1}", step.seconds),
            format!("{:.0}", step.messages_per_second),
        ];
        row.extend(["p50", "p90", "p99", "p99.9"].map(|name| step.response.told(name, 1)));
        row.push(format!("{:.1}", step.response.max_us));
        row.extend([step.failures, step.backlog].map(|count| count.to_string()));
        table.add_row(row);
    }
    align_numbers(&mut table, 0);
    name_rows(&mut table, 1);
    table
}

/// What the broker used, by the message; what is not known has no column.
pub fn resources(broker: &BrokerUse) -> Table {
    let figures = [
        ("CPU us", Some(broker.cpu_us_per_message)),
        ("waited for CPU us", broker.cpu_wait_us_per_message),
        ("context switches", broker.context_switches_per_message),
        ("log flushes", broker.flushes_per_message),
        ("device writes", broker.device_writes_per_message),
        ("device bytes", broker.device_bytes_per_message),
        ("device flushes", broker.device_flushes_per_message),
    ];
    let known = figures.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let (mut header, mut row): (Vec<_>, Vec<_>) = known
        .map(|(name, value)| (name, format!("{value:.*}", if value < 10.0 { 3 } else { 0 })))
        .unzip();
    header.insert(0, "broker, per message");
    row.insert(0, String::new());
    let memory = [("RSS MB", Some(broker.rss_bytes)), ("of it files MB", broker.rss_files_bytes)];
    for (name, bytes) in memory.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))) {
        header.push(name);
        row.push(format!("{:.1}", bytes as f64 / 1e6));
    }
    let mut table = plain();
    table.set_header(header).add_row(row);
    align_numbers(&mut table, 1);
    table
}

/// Percentiles of both latencies, and how many values lie beyond each.
pub fn latencies(latency_of: &str, outcome: &Outcome) -> Table {
    let mut table = plain();
    let mut header = vec![latency_of, "count", "mean"];
    header.extend(PERCENTILES.map(|(name, _)| name));
    header.push("max");
    table.set_header(header);
    if outcome.response.count == 0 {
        table.add_row(latency_row("nothing was answered", &outcome.service));
    } else if outcome.has_one_clock() {
        table.add_row(latency_row(one_clock(latency_of), &outcome.service));
    } else {
        table.add_row(latency_row("service time", &outcome.service));
        table.add_row(latency_row("from intended time", &outcome.response));
    }
    let mut beyond = vec!["values beyond".to_owned(), String::new(), String::new()];
    beyond.extend(PERCENTILES.map(|(_, at)| outcome.response.beyond(at).to_string()));
    beyond.push("0".to_owned());
    table.add_row(beyond);
    align_numbers(&mut table, 1);
    table
}

/// Where the time of sends went inside a broker, in repetition `number`: all its shards together,
/// and behind that each of several.
pub fn stages(number: usize, told: &BrokerStages) -> Table {
    let mut table = plain();
    let stage = format!("stages in {}, run {number}, us", told.broker);
    table.set_header([&stage, "count", "mean", "p50", "p99", "p99.9", "max"]);
    for stage in &told.stages {
        // Of nothing there is no time.
        let [mean, max] = [stage.mean_us, stage.max_us].map(|us| (stage.count > 0).then_some(us));
        let us = [mean, stage.p50_us, stage.p99_us, stage.p999_us, max];
        let name = match stage.shard {
            None => stage.stage.clone(),
            Some(shard) => format!("shard {shard}: {}", stage.stage),
        };
        let row = [name, stage.count.to_string()].into_iter();
        table.add_row(row.chain(us.map(|us| latencies::told(us, 1))));
    }
    if told.stages.is_empty() {
        table.add_row(["the broker does not tell them"]);
    }
    align_numbers(&mut table, 1);
    table
}

/// Failed requests by code; none when nothing failed.
pub fn errors(outcome: &Outcome) -> Option<Table> {
    let mut table = plain();
    table.set_header(["failed with", "requests", "such as"]);
    for (kind, count, example) in outcome.errors.kinds() {
        table.add_row([kind.to_owned(), count.to_string(), example.to_owned()]);
    }
    (outcome.failures() > 0).then_some(table)
}

/// A row for each repetition; `latency_of` tells what their latencies are of.
pub fn repetitions(latency_of: &str, runs: &[Outcome]) -> Table {
    let numbered = (1..).zip(runs).map(|(number, run)| (number.to_string(), latency_of, run));
    overview("repetition", numbered)
}

/// A row for each of several outcomes with its name and what its latencies are of; `what` they are.
/// Those of closed loops say so, since their latencies are none under a load.
pub fn overview<'a>(
    what: &str,
    outcomes: impl Iterator<Item = (String, &'a str, &'a Outcome)>,
) -> Table {
    let mut table = plain();
    let header = ["msg/s", "p50 us", "p99 us", "p99.9 us", "max us", "errors", "broker CPU us/msg"];
    table.set_header(std::iter::once(what).chain(header));
    for (name, latency_of, outcome) in outcomes {
        let closed = if outcome.is_closed_loop(latency_of) { ", closed loop" } else { "" };
        let name = format!("{name}{closed}");
        let mut row = vec![name, format!("{:.0}", outcome.messages_per_second)];
        for name in ["p50", "p99", "p99.9"] {
            row.push(outcome.response.told(name, 1));
        }
        row.push(format!("{:.1}", outcome.response.max_us));
        row.push(outcome.failures().to_string());
        let cpu = outcome.broker.map(|broker| format!("{:.2}", broker.cpu_us_per_message));
        row.push(cpu.unwrap_or_default());
        table.add_row(row);
    }
    align_numbers(&mut table, 1);
    table
}

fn latency_row(name: &str, summary: &LatencySummary) -> Vec<String> {
    let mut row =
        vec![name.to_owned(), summary.count.to_string(), format!("{:.1}", summary.mean_us)];
    row.extend(PERCENTILES.map(|(name, _)| summary.told(name, 1)));
    row.push(format!("{:.1}", summary.max_us));
    row
}

/// A table without frames around its cells.
pub fn plain() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table
}

/// Aligns the columns from `from` on to the right: figures, which no line breaks. Those before them
/// name the rows, see [`crate::report::terminal`].
pub fn align_numbers(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    name_rows(table, from);
}

/// Says that the first `names` columns name the rows, where others do than those before the
/// figures.
pub fn name_rows(table: &mut Table, names: usize) {
    for (at, column) in table.column_iter_mut().enumerate() {
        match at < names {
            true => column.remove_constraint(),
            false => column.set_constraint(ColumnConstraint::ContentWidth),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringmq_protocol::bodies::send_stage::SendStage;
    use ringmq_runtime::process::Usage;

    use super::*;
    use crate::measure::{Measured, Used};
    use crate::record::tally::Tally;
    use crate::record::window::Window;
    use crate::report::terminal::tests::check_fit;
    use crate::stages::Stage;

    #[test]
    fn the_tables_of_a_run_fit_a_terminal() {
        let mut window = Window::default();
        let latency = Duration::from_micros(1_234_567);
        (0..2_000).for_each(|_| window.success(latency, latency, 1, 1_024));
        let mut tally = Tally::default();
        tally.add(&window, Duration::ZERO, Duration::from_secs(1), 0);
        let outcome = Outcome::of_run(&Measured::of(tally));
        let used = BrokerUse {
            cpu_us_per_message: 2.5,
            rss_bytes: 132_000_000,
            rss_files_bytes: Some(4_000_000),
            flushes_per_message: Some(0.05),
            context_switches_per_message: Some(0.5),
            cpu_wait_us_per_message: Some(0.25),
            device_writes_per_message: Some(0.125),
            device_bytes_per_message: Some(1_234.0),
            device_flushes_per_message: Some(0.05),
            system_calls_per_message: None,
        };
        check_fit(&throughput(&outcome));
        check_fit(&latencies("send us", &outcome));
        check_fit(&resources(&used));
        check_fit(&repetitions("send us", &[outcome]));
        let at = |rate| StepOutcome {
            rate,
            seconds: 10.0,
            messages: 20_000,
            messages_per_second: 2_000.0,
            response: window.response.summary(),
            failures: 0,
            backlog: 0,
        };
        check_fit(&steps(&[at(1_000.0), at(20_000.0)]));
    }

    #[test]
    fn a_stage_that_nothing_passed_has_no_times() {
        let stage = |name: &str, count, mean_us| {
            let stage = name.to_owned();
            Stage::from(SendStage { stage, count, mean_us, ..SendStage::default() })
        };
        let stages = vec![stage("hop", 0, 0.0), stage("read", 2, 0.0), stage("total", 150, 9.0)];
        let text = stages_text(&BrokerStages { broker: "b".to_owned(), stages });
        let row = |name: &str| text.lines().find(|line| line.contains(name)).expect("a row");
        assert!(!row("hop").contains("0.0") && row("hop").matches('-').count() == 5, "{text}");
        assert!(row("read").contains("0.0"), "{text}");
        assert_eq!(row("total").matches('-').count(), 1, "no p99.9 of 150 sends: {text}");
    }

    #[test]
    fn a_run_without_an_answer_names_no_clock_and_nothing_per_message() {
        let used = Used::between(Usage::default(), Usage::default(), 0);
        let measured = Measured { used: Some(used), ..Measured::default() };
        let outcome = Outcome::of_run(&measured);
        assert!(outcome.broker.is_none(), "CPU time by no message");
        let text = latencies("send us", &outcome).to_string();
        assert!(text.contains("nothing was answered") && !text.contains("intended"), "{text}");
    }

    fn stages_text(told: &BrokerStages) -> String {
        stages(1, told).to_string()
    }
}
