//! `bench compare`: whether the second of two results is better or worse than the first, and how
//! sure that is.

mod alike;
mod counted;
pub mod metric;
pub mod student;
pub mod units;

use serde::Deserialize;

use crate::args::commands::CompareArgs;
use crate::compare::counted::Counted;
use crate::compare::metric::{Judgement, METRICS, Metric, judge};
use crate::compare::student::Interval;
use crate::compare::units::{RUNS_MIN, Unit, samples};
use crate::documents::{self, Wanted};
use crate::ending::Ending;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::idle::Waiting;
use crate::limits::SENDS;
use crate::report::outcome::Outcome;
use crate::report::{Beside, table, terminal};

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

/// A load of both results.
struct Pair<'a> {
    /// What the names of its figures begin with: nothing for that of the results themselves.
    name: String,
    latency_of: &'a str,
    first: &'a [Outcome],
    second: &'a [Outcome],
    /// Sends of both whose messages it waits for: what they left unsent is in no latency of it.
    sends: Vec<&'a Outcome>,
}

impl<'a> Pair<'a> {
    /// The loads that both results have, their own first.
    fn all(a: &'a Document, b: &'a Document) -> Vec<Self> {
        let are_sends = |beside: &&Beside| a.latency_of != SENDS && beside.latency_of == SENDS;
        let sends = a.beside.iter().chain(&b.beside).filter(are_sends).flat_map(Beside::runs);
        let own = Self {
            name: String::new(),
            latency_of: &a.latency_of,
            first: &a.runs,
            second: &b.runs,
            sends: sends.collect(),
        };
        let beside = |first: &'a Beside| {
            let second = b.beside.iter().find(|second| second.name == first.name)?;
            let name = format!("{}: ", first.name);
            let (latency_of, first, second) = (&first.latency_of, first.runs(), second.runs());
            Some(Self { name, latency_of, first, second, sends: Vec::new() })
        };
        std::iter::once(own).chain(a.beside.iter().filter_map(beside)).collect()
    }

    /// What a metric is called here.
    fn name_of(&self, metric: &Metric) -> String {
        let is_closed = |run: &Outcome| run.is_closed_loop(self.latency_of);
        let is_closed = self.first.iter().chain(self.second).any(is_closed);
        let is_latency = metric.percentile.is_some();
        let closed = if is_latency && is_closed { ", closed loop" } else { "" };
        format!("{}{}{closed}", self.name, metric.name)
    }

    /// Whether a repetition of either was, by that percentile, or its sends were.
    fn is_overloaded(&self, percentile: f64) -> bool {
        let mut runs = self.first.iter().chain(self.second).chain(self.sends.iter().copied());
        runs.any(|run| run.fell_behind(percentile))
    }
}

/// A metric of both results.
struct Row {
    name: String,
    first: f64,
    second: f64,
    ratio: f64,
    /// None where there is too little to draw it from.
    interval: Option<Interval>,
    judgement: Judgement,
    /// Whether it has a part in how the command ends: not what no second of single runs tells,
    /// however long they are.
    decides: bool,
}

/// Compares two results and prints a table.
///
/// # Errors
/// A file cannot be read, is no result of bench, or the two measured different things.
pub async fn run(args: &CompareArgs) -> Result<Ending, BenchError> {
    let a: Document = documents::read(&args.first, Wanted::Result).await?;
    let b: Document = documents::read(&args.second, Wanted::Result).await?;
    let refusal = alike::refusal(&a, &b, args.anyway);
    refusal.map_or(Ok(()), |what| Err(BenchError::NotComparable(what)))?;
    let unit = units::of_both(&a.runs, &b.runs);
    let tolerance = f64::from(args.tolerance) / 100.0;
    let pairs = Pair::all(&a, &b);
    let rows_of = |pair| METRICS.iter().filter_map(move |metric| row(metric, pair, args));
    let rows: Vec<Row> = pairs.iter().flat_map(rows_of).collect();
    let counted = counted::rows(&a, &b, tolerance);
    println!("first:  {}\nsecond: {}", a.workload, b.workload);
    alike::differences(&a, &b).iter().for_each(|line| println!("note: {line}"));
    println!("{}", describe(&a, &b, unit, args));
    terminal::print(&overview(&rows, &counted));
    let nothing = nothing_beside(&a, &b, &rows);
    nothing.iter().for_each(|(_, line)| println!("{line}"));
    let judgements = deciding(&rows, &counted).into_iter();
    let judgements: Vec<_> = judgements.chain(nothing.map(|(judgement, _)| judgement)).collect();
    let ending = ending(&judgements, args.strict);
    println!("{}", found(&judgements, ending));
    Ok(ending)
}

/// What follows if there is no figure to hold the second against, since the first counted nothing:
/// two results in which nothing was served must not pass for the same. Waiting pulls bring nothing,
/// and cost what is counted.
fn nothing_beside(a: &Document, b: &Document, rows: &[Row]) -> Option<(Judgement, &'static str)> {
    let are_waits = a.waiting.is_some() && b.waiting.is_some();
    let line = "too short to tell: the first counted nothing that the second could be held against";
    (rows.is_empty() && !are_waits).then_some((Judgement::TooShort, line))
}

/// A metric that both have. Without a unit there is too little for an interval, as for what the
/// seconds of single repetitions do not tell.
fn row(metric: &Metric, pair: &Pair<'_>, args: &CompareArgs) -> Option<Row> {
    let of = |unit: Unit| [pair.first, pair.second].map(|runs| samples(metric, runs, unit));
    let is_told = |unit: &Unit| of(*unit).iter().all(|side| !side.is_empty());
    let unit_of_both = units::of_both(pair.first, pair.second);
    let is_of_seconds = |runs: &[Outcome]| units::is_of_seconds(metric, runs);
    let decides = !matches!(unit_of_both, Some(Unit::Block(_)))
        || [pair.first, pair.second].into_iter().any(is_of_seconds);
    let unit = unit_of_both.filter(is_told);
    let known = [pair.first, pair.second].map(|runs| units::known(metric, runs));
    let [a, b] = unit.map_or(known, of);
    if b.is_empty() || a.iter().sum::<f64>() <= 0.0 {
        return None;
    }
    let (first, second) = (student::mean(&a), student::mean(&b));
    // Seconds without an answer may have left a block or two to a latency.
    let is_enough = unit.is_some() && a.len().min(b.len()) > 1;
    let confidence = f64::from(args.confidence) / 100.0;
    let interval = is_enough.then(|| student::ratio_of_means(&a, &b, confidence));
    let tolerance = f64::from(args.tolerance) / 100.0;
    let judgement = match interval {
        _ if metric.percentile.is_some_and(|at| pair.is_overloaded(at)) => Judgement::Overloaded,
        None => Judgement::TooShort,
        Some(interval) => judge(interval, metric.better, tolerance),
    };
    let name = pair.name_of(metric);
    Some(Row { name, first, second, ratio: second / first, interval, judgement, decides })
}

fn overview(rows: &[Row], counted: &[Counted]) -> comfy_table::Table {
    let mut table = table::plain();
    table.set_header(["mean of", "first", "second", "second / first", "from", "to", "verdict"]);
    let (mean, figure) = (|value: f64| format!("{value:.1}"), |value: f64| format!("{value:.3}"));
    for row in rows {
        let end =
            |end: fn(Interval) -> f64| row.interval.map_or("-".to_owned(), |i| figure(end(i)));
        table.add_row([
            row.name.clone(),
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
        let name = row.name.clone();
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
        None => return format!("too short to tell: {}", units::needed()),
        Some(Unit::Run) => format!("{} against {} repetitions", b.runs.len(), a.runs.len()),
        Some(Unit::Block(length)) => format!(
            "blocks of {length} s or more; what differs from run to run is not in the interval, and what \
             no second tells has none and no part in the exit code: --repeat {RUNS_MIN} or more \
             tells"
        ),
    };
    format!("{confidence} % intervals of the ratio of means, tolerance {tolerance} %, from {of}")
}

/// What has a part in how the command ends.
fn deciding(rows: &[Row], counted: &[Counted]) -> Vec<Judgement> {
    let rows = rows.iter().filter(|row| row.decides).map(|row| row.judgement);
    rows.chain(counted.iter().map(|row| row.judgement)).collect()
}

/// Worse in anything is worse; strictly, so is what cannot be told, which else is told as such.
fn ending(judgements: &[Judgement], strict: bool) -> Ending {
    let has = |judgement| judgements.contains(&judgement);
    let open = [Judgement::Unclear, Judgement::TooShort, Judgement::Overloaded];
    let is_open = open.into_iter().any(has);
    match () {
        () if has(Judgement::Worse) || strict && is_open => Ending::Worse,
        () if is_open => Ending::TooShort,
        () => Ending::Good,
    }
}

/// What was found, in a sentence that says what the exit code does.
fn found(judgements: &[Judgement], ending: Ending) -> String {
    let count = |wanted: Judgement| judgements.iter().filter(|it| **it == wanted).count();
    let verdict = match ending {
        Ending::Worse if count(Judgement::Worse) > 0 => "The second is worse",
        Ending::Worse => "Not decided, which --strict takes for worse",
        Ending::Good if count(Judgement::Better) > 0 => "The second is better",
        Ending::Good => "No difference that shows",
        _ => "Not decided",
    };
    let told = Judgement::ALL.into_iter().filter(|it| count(*it) > 0);
    let told: Vec<String> = told.map(|it| format!("{} {}", count(it), it.word())).collect();
    format!("{verdict}: of the figures that decide, {}.", told.join(", "))
}

#[cfg(test)]
mod tests;
