//! `bench compare`: whether the second of two results is better or worse than the first, and how
//! sure that is.

pub mod bootstrap;
pub mod metric;
pub mod student;

use serde::Deserialize;

use crate::args::commands::CompareArgs;
use crate::compare::bootstrap::Interval;
use crate::compare::metric::{Judgement, METRICS, Metric, judge};
use crate::ending::Ending;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::report::environment as words;
use crate::report::{Outcome, files, table};

/// Fewest repetitions on both sides that are compared with each other.
const RUNS_MIN: usize = 5;

/// Fewest seconds on both sides, where there are not enough repetitions.
const SECONDS_MIN: usize = 5;

/// Neighbouring seconds that are drawn together: they share the flushes and segments of a moment.
const BLOCK_SECONDS: usize = 5;

/// What is read of a result.
#[derive(Debug, Deserialize)]
struct Document {
    workload: String,
    latency_of: String,
    runs: Vec<Outcome>,
    environment: Environment,
}

/// What is drawn again and again to find out how sure a ratio is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Run,
    Second,
}

/// Compares two results and prints a table.
///
/// # Errors
/// A file cannot be read, is no result of bench, or the two measured different things.
pub async fn run(args: &CompareArgs) -> Result<Ending, BenchError> {
    let (a, b): (Document, Document) =
        (files::read(&args.first).await?, files::read(&args.second).await?);
    if a.latency_of != b.latency_of {
        let what = format!("one measured {}, the other {}", a.latency_of, b.latency_of);
        return Err(BenchError::NotComparable(what));
    }
    let unit = unit(&a, &b)?;
    let mut table = table::plain();
    table.set_header(["mean of", "first", "second", "second / first", "from", "to", "verdict"]);
    let mut judgements = Vec::new();
    for metric in METRICS {
        let Some(interval) = interval(&metric, &a, &b, unit, args.confidence) else { continue };
        let judgement = judge(interval, metric.better, f64::from(args.tolerance) / 100.0);
        judgements.push(judgement);
        let figure = |value: f64| format!("{value:.3}");
        let mean = |side| format!("{:.1}", bootstrap::mean(&samples(&metric, side, unit)));
        table.add_row([
            metric.name.to_owned(),
            mean(&a),
            mean(&b),
            figure(interval.ratio),
            figure(interval.low),
            figure(interval.high),
            format!("{judgement:?}").to_lowercase(),
        ]);
    }
    table::align_numbers(&mut table, 1);
    println!("first:  {}\nsecond: {}", a.workload, b.workload);
    differences(&a, &b).iter().for_each(|line| println!("note: {line}"));
    println!("{}\n{table}", describe(&a, &b, unit, args));
    Ok(ending(&judgements, args.strict))
}

/// Repetitions where both sides have enough of them, else seconds.
fn unit(a: &Document, b: &Document) -> Result<Unit, BenchError> {
    if a.runs.len().min(b.runs.len()) >= RUNS_MIN {
        return Ok(Unit::Run);
    }
    let seconds = |document: &Document| samples(&METRICS[0], document, Unit::Second).len();
    match seconds(a).min(seconds(b)) {
        SECONDS_MIN.. => Ok(Unit::Second),
        found => Err(BenchError::NotComparable(format!(
            "a comparison needs {RUNS_MIN} repetitions or {SECONDS_MIN} seconds on both sides, \
             there are {found} seconds: run with --repeat {RUNS_MIN}"
        ))),
    }
}

/// The metric's values; none for units that lack it.
fn samples(metric: &Metric, document: &Document, unit: Unit) -> Vec<f64> {
    match unit {
        Unit::Run => document.runs.iter().filter_map(metric.of_run).collect(),
        Unit::Second => {
            let seconds = document.runs.iter().flat_map(|run| &run.by_second);
            // The last interval of a run may be short, and short ones are noisy.
            seconds.filter(|second| second.seconds > 0.5).filter_map(metric.of_second).collect()
        }
    }
}

fn interval(
    metric: &Metric,
    a: &Document,
    b: &Document,
    unit: Unit,
    confidence: u8,
) -> Option<Interval> {
    let (a, b) = (samples(metric, a, unit), samples(metric, b, unit));
    let block = if unit == Unit::Run { 1 } else { BLOCK_SECONDS };
    let is_measured = !b.is_empty() && a.iter().sum::<f64>() > 0.0;
    let confidence = f64::from(confidence) / 100.0;
    is_measured.then(|| bootstrap::ratio_of_means(&a, &b, block, confidence))
}

fn describe(a: &Document, b: &Document, unit: Unit, args: &CompareArgs) -> String {
    let (confidence, tolerance) = (args.confidence, args.tolerance);
    let of = match unit {
        Unit::Run => format!("{} against {} repetitions", b.runs.len(), a.runs.len()),
        Unit::Second => "seconds; what differs from run to run is not in the interval: \
                         --repeat tells"
            .to_owned(),
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

/// Worse in anything is worse; strictly, so is what cannot be told.
fn ending(judgements: &[Judgement], strict: bool) -> Ending {
    let is_bad = |judgement: &Judgement| match judgement {
        Judgement::Worse => true,
        Judgement::Unclear => strict,
        Judgement::Better | Judgement::Same => false,
    };
    if judgements.iter().any(is_bad) { Ending::Worse } else { Ending::Good }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::RELEASE_KEY;
    use crate::record::failures::Failures;
    use crate::record::latencies::Latencies;

    fn document(rates: &[f64]) -> Document {
        let run = |&rate: &f64| Outcome {
            seconds: 1.0,
            messages: rate as u64,
            messages_per_second: rate,
            megabytes_per_second: 0.0,
            response: Latencies::default().summary(),
            service: Latencies::default().summary(),
            empty: 0,
            errors: Failures::default(),
            backlog: 0,
            broker: None,
            by_second: Vec::new(),
            stages: Vec::new(),
        };
        Document {
            workload: "w".into(),
            latency_of: "send us".into(),
            runs: rates.iter().map(run).collect(),
            environment: Environment::default(),
        }
    }

    fn check(a: &[f64], b: &[f64], strict: bool, expected: Ending) {
        let (a, b) = (document(a), document(b));
        let unit = unit(&a, &b).unwrap();
        let interval = interval(&METRICS[0], &a, &b, unit, 95).unwrap();
        let judgement = judge(interval, METRICS[0].better, 0.05);
        assert_eq!(ending(&[judgement], strict), expected, "{interval:?}");
    }

    #[test]
    fn a_clear_loss_of_throughput_ends_as_worse() {
        check(&[100.0, 101.0, 99.0, 100.0, 100.0], &[80.0, 81.0, 79.0, 80.0, 80.0], false, {
            Ending::Worse
        });
    }

    #[test]
    fn the_same_twice_ends_well_even_strictly() {
        check(&[100.0, 101.0, 99.0, 100.0, 100.0], &[100.0, 99.0, 101.0, 100.0, 100.0], true, {
            Ending::Good
        });
    }

    #[test]
    fn noise_ends_well_unless_strict() {
        let (a, b) = ([100.0, 150.0, 50.0, 120.0, 80.0], [100.0, 60.0, 140.0, 70.0, 120.0]);
        check(&a, &b, false, Ending::Good);
        check(&a, &b, true, Ending::Worse);
    }

    #[test]
    fn a_broker_of_another_release_or_with_another_flush_is_noted() {
        let of = |release: &str, flush: &str| {
            let entry = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
            let environment = Environment {
                broker: entry(RELEASE_KEY, release),
                broker_config: entry("flushDiskType", flush),
                ..Environment::default()
            };
            Document { environment, ..document(&[1.0]) }
        };
        let same = of("1.0.0", "ASYNC_FLUSH");
        assert!(differences(&same, &same).is_empty());
        let lines = differences(&same, &of("2.0.0", "SYNC_FLUSH"));
        assert_eq!(
            lines,
            [
                "broker differs: \"RingMQ 1.0.0\" and \"RingMQ 2.0.0\"",
                "flushDiskType differs: \"ASYNC_FLUSH\" and \"SYNC_FLUSH\""
            ]
        );
    }

    #[test]
    fn too_little_is_refused_with_what_is_needed() {
        let error = unit(&document(&[1.0]), &document(&[1.0])).unwrap_err();
        assert!(error.to_string().contains("--repeat 5"), "{error}");
    }
}
