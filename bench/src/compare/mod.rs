//! `bench compare`: whether the second of two results is better or worse than the first, and how
//! sure that is.

mod counted;
pub mod metric;
pub mod student;
mod units;

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::args::commands::CompareArgs;
use crate::compare::counted::Counted;
use crate::compare::metric::{Judgement, METRICS, Metric, judge};
use crate::compare::student::Interval;
use crate::compare::units::{RUNS_MIN, SECONDS_MIN, Unit, samples};
use crate::ending::Ending;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::idle::Waiting;
use crate::report::environment as words;
use crate::report::{Beside, Outcome, files, table};

/// Settings that say where results and files go, and nothing about figures.
const PLACES: [&str; 6] = ["output", "report", "json", "store", "no-limits", "broker-pid"];

/// What is read of a result.
#[derive(Debug, Deserialize)]
struct Document {
    workload: String,
    latency_of: String,
    runs: Vec<Outcome>,
    #[serde(default)]
    beside: Vec<Beside>,
    waiting: Option<Waiting>,
    environment: Environment,
}

/// A metric of both results.
struct Row {
    name: &'static str,
    first: f64,
    second: f64,
    ratio: f64,
    /// None where there is too little to draw it from.
    interval: Option<Interval>,
    judgement: Judgement,
}

/// Compares two results and prints a table.
///
/// # Errors
/// A file cannot be read, is no result of bench, or the two measured different things.
pub async fn run(args: &CompareArgs) -> Result<Ending, BenchError> {
    let (a, b): (Document, Document) =
        (files::read_run(&args.first).await?, files::read_run(&args.second).await?);
    refusal(&a, &b).map_or(Ok(()), |what| Err(BenchError::NotComparable(what)))?;
    let unit = units::of_both(&a, &b);
    let tolerance = f64::from(args.tolerance) / 100.0;
    let row = |metric: &Metric| row(metric, (&a, &b), unit, args);
    let rows: Vec<Row> = METRICS.iter().filter_map(row).collect();
    let counted = counted::rows(&a, &b, tolerance);
    println!("first:  {}\nsecond: {}", a.workload, b.workload);
    differences(&a, &b).iter().for_each(|line| println!("note: {line}"));
    println!("{}\n{}", describe(&a, &b, unit, args), overview(&rows, &counted));
    let judgements = rows.iter().map(|row| row.judgement);
    let judgements: Vec<_> = judgements.chain(counted.iter().map(|row| row.judgement)).collect();
    Ok(ending(&judgements, args.strict))
}

/// Why two results say nothing about each other, if they do not: another request, or another loop.
fn refusal(a: &Document, b: &Document) -> Option<String> {
    if a.latency_of != b.latency_of {
        return Some(format!("one measured {}, the other {}", a.latency_of, b.latency_of));
    }
    // The age of a message has no intended time, and is one in either loop.
    let is_closed = |document: &Document| {
        let mut counted = document.runs.iter().filter(|run| run.response.count > 0).peekable();
        counted.peek()?;
        Some(counted.all(Outcome::has_one_clock))
    };
    let (first, second) = is_closed(a).zip(is_closed(b))?;
    let loop_of = |is_closed| if is_closed { "closed" } else { "open" };
    (first != second).then(|| {
        format!(
            "the first is of a loop that is {}, the second of one that is {}: a closed loop says \
             how much a broker serves, an open one (--rate) how late it is under a load",
            loop_of(first),
            loop_of(second)
        )
    })
}

/// A metric that both results have; without a unit there is too little for an interval.
fn row(
    metric: &Metric,
    (a, b): (&Document, &Document),
    unit: Option<Unit>,
    args: &CompareArgs,
) -> Option<Row> {
    let of = |document| samples(metric, document, unit.unwrap_or(Unit::Run));
    let (a, b) = (of(a), of(b));
    if b.is_empty() || a.iter().sum::<f64>() <= 0.0 {
        return None;
    }
    let (first, second) = (student::mean(&a), student::mean(&b));
    // Seconds without an answer may have left a block or two to a latency.
    let is_enough = unit.is_some() && a.len().min(b.len()) > 1;
    let confidence = f64::from(args.confidence) / 100.0;
    let interval = is_enough.then(|| student::ratio_of_means(&a, &b, confidence));
    let tolerance = f64::from(args.tolerance) / 100.0;
    let judgement =
        interval.map_or(Judgement::TooShort, |interval| judge(interval, metric.better, tolerance));
    Some(Row { name: metric.name, first, second, ratio: second / first, interval, judgement })
}

fn overview(rows: &[Row], counted: &[Counted]) -> comfy_table::Table {
    let mut table = table::plain();
    table.set_header(["mean of", "first", "second", "second / first", "from", "to", "verdict"]);
    let (mean, figure) = (|value: f64| format!("{value:.1}"), |value: f64| format!("{value:.3}"));
    for row in rows {
        let end =
            |end: fn(Interval) -> f64| row.interval.map_or("-".to_owned(), |i| figure(end(i)));
        table.add_row([
            row.name.to_owned(),
            mean(row.first),
            mean(row.second),
            figure(row.ratio),
            end(|interval| interval.low),
            end(|interval| interval.high),
            row.judgement.word().to_owned(),
        ]);
    }
    for row in counted {
        let [none, word] = ["-", row.judgement.word()].map(str::to_owned);
        let (first, second) = (figure(row.first), figure(row.second));
        let name = row.name.to_owned();
        table.add_row([name, first, second, none.clone(), none.clone(), none, word]);
    }
    table::align_numbers(&mut table, 1);
    table
}

fn describe(a: &Document, b: &Document, unit: Option<Unit>, args: &CompareArgs) -> String {
    let (confidence, tolerance) = (args.confidence, args.tolerance);
    if a.waiting.is_some() && b.waiting.is_some() {
        return format!("what waiting pulls cost in one run each, tolerance {tolerance} %");
    }
    let of = match unit {
        None => {
            return format!(
                "too short to tell: at least {RUNS_MIN} repetitions on both sides (--repeat \
                 {RUNS_MIN}), or {SECONDS_MIN} s (--duration {SECONDS_MIN})"
            );
        }
        Some(Unit::Run) => format!("{} against {} repetitions", b.runs.len(), a.runs.len()),
        Some(Unit::Block(length)) => format!(
            "blocks of {length} s; what differs from run to run is not in the interval: \
             --repeat {RUNS_MIN} or more tells"
        ),
    };
    format!("{confidence} % intervals of the ratio of means, tolerance {tolerance} %, from {of}")
}

/// What differs between the two machines and may explain a difference.
fn differences(a: &Document, b: &Document) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, first: &str, second: &str| {
        if first != second {
            lines.push(format!("{what} differs: {first:?} and {second:?}"));
        }
    };
    let (x, y) = (&a.environment, &b.environment);
    compare("workload", &a.workload, &b.workload);
    compare("bench", &x.bench, &y.bench);
    // Results of older releases have no settings.
    if !x.settings.is_empty() && !y.settings.is_empty() {
        let names: BTreeSet<_> = x.settings.keys().chain(y.settings.keys()).collect();
        let deciding = names.into_iter().filter(|name| !PLACES.contains(&name.as_str()));
        for name in deciding {
            let value = |environment: &Environment| environment.settings.get(name).cloned();
            let [first, second] = [x, y].map(|side| value(side).unwrap_or_default());
            compare(&format!("--{name}"), &first, &second);
        }
    }
    compare("kernel", &x.kernel, &y.kernel);
    compare("processor", &x.cpu, &y.cpu);
    compare("number of cores", &x.cores.to_string(), &y.cores.to_string());
    compare("governor", &x.governor, &y.governor);
    let file_system = |environment: &Environment| {
        environment.disk.as_ref().map_or(String::new(), |disk| {
            format!("{} on {}, {}", disk.file_system, disk.device, disk.write_cache)
        })
    };
    compare("disk", &file_system(x), &file_system(y));
    compare("broker", &words::release(x), &words::release(y));
    for key in words::DECISIVE_KEYS {
        let value = |environment: &Environment| environment.broker_config.get(key).cloned();
        compare(key, &value(x).unwrap_or_default(), &value(y).unwrap_or_default());
    }
    lines
}

/// Worse in anything is worse; strictly, so is what cannot be told, which else is told as such.
fn ending(judgements: &[Judgement], strict: bool) -> Ending {
    let has = |judgement| judgements.contains(&judgement);
    let is_open = has(Judgement::Unclear) || has(Judgement::TooShort);
    match () {
        () if has(Judgement::Worse) || strict && is_open => Ending::Worse,
        () if is_open => Ending::TooShort,
        () => Ending::Good,
    }
}

#[cfg(test)]
mod tests;
