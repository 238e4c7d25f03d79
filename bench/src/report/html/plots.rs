//! Which plots a page has: of one result its percentiles side by side, of several results one plot
//! for each figure with all results in it.

use crate::record::latencies::Latencies;
use crate::report::html::Shown;
use crate::report::html::axis::{self, Axis};
use crate::report::html::chart::{self, Series};
use crate::report::html::timeline::Moment;
use crate::report::table;

/// Points of a percentile line per halving of the distance to 100 %.
const TICKS_PER_HALF_DISTANCE: u32 = 8;

/// A plot with its words.
#[derive(Debug)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub explanation: String,
    /// The picture.
    pub svg: String,
    /// What is in it.
    pub series: Vec<Series>,
}

/// A figure of each moment, where it has it.
type Figure = (&'static str, fn(&Moment) -> Option<f64>);

/// The latencies of a moment.
const LATENCIES: [Figure; 4] = [
    ("p50", |moment| moment.p50_us),
    ("p99", |moment| moment.p99_us),
    ("p99.9", |moment| moment.p999_us),
    ("max", |moment| moment.max_us),
];

/// The rates of a moment that are shown only where they are not all 0: name, title, text.
const TROUBLES: [(Figure, &str, &str); 2] = [
    (
        ("failed requests per second", |moment| Some(moment.errors_per_second)),
        "Errors over time",
        "Requests that failed, by the second in which that was known.",
    ),
    (
        ("requests", |moment| Some(moment.backlog)),
        "Backlog over time",
        "Requests that were due and found no free slot to be sent.",
    ),
];

/// All plots of some results.
pub fn all(results: &[Shown]) -> Vec<Plot> {
    let mut plots = match results {
        [one] => vec![latencies_of(one)],
        several => LATENCIES.map(|figure| latency_of_all(several, figure)).into(),
    };
    plots.push(percentiles(results));
    let throughput: Figure = ("messages per second", |moment| Some(moment.messages_per_second));
    let text = "Messages acknowledged or received in each second.";
    plots.push(rate_of_all(results, throughput, "Throughput over time", text));
    for (figure, title, text) in TROUBLES {
        let moments = results.iter().flat_map(|result| result.timeline.moments());
        if moments.filter_map(figure.1).any(|value| value > 0.0) {
            plots.push(rate_of_all(results, figure, title, text));
        }
    }
    plots
}

/// Each percentile of one result.
fn latencies_of(result: &Shown) -> Plot {
    let line = |(colour, (name, value)): (usize, Figure)| {
        over_time(name.to_owned(), colour, result, value, axis::duration)
    };
    let series = LATENCIES.into_iter().enumerate().map(line).collect();
    let explanation = format!(
        "Percentiles of each second ({}), {}.",
        result.report.latency_name(),
        counted(&[result])
    );
    latency_plot("Latency over time".to_owned(), explanation, series)
}

/// One percentile of all results.
fn latency_of_all(results: &[Shown], (name, value): Figure) -> Plot {
    let line = |(colour, result): (usize, &Shown)| {
        over_time(result.name.clone(), colour, result, value, axis::duration)
    };
    let series = results.iter().enumerate().map(line).collect();
    let explanation = format!("Of each second, {}.", counted(&results.iter().collect::<Vec<_>>()));
    latency_plot(format!("{name} over time"), explanation, series)
}

/// From when latencies count.
fn counted(results: &[&Shown]) -> &'static str {
    let closed = |result: &&Shown| result.report.total.has_one_clock();
    match (results.iter().any(closed), results.iter().all(closed)) {
        (true, true) => "from the time at which each request was sent",
        (false, _) => "from the intended time of each request",
        (true, false) => {
            "from the intended time of each request; in a closed loop that is when it was sent"
        }
    }
}

fn latency_plot(title: String, explanation: String, series: Vec<Series>) -> Plot {
    let (from, to) = values(&series).filter(|&us| us > 0.0).fold((f64::MAX, 0.0), range);
    let (from, to) = if from > to { (1.0, 10.0) } else { (from, to) };
    let svg = chart::svg(&time(&series), &Axis::latency("latency", from, to), &series);
    Plot { title, explanation, svg, series }
}

/// A rate of all results.
fn rate_of_all(results: &[Shown], (name, value): Figure, title: &str, text: &str) -> Plot {
    let line = |(colour, result): (usize, &Shown)| {
        over_time(result.name.clone(), colour, result, value, axis::count)
    };
    let series: Vec<_> = results.iter().enumerate().map(line).collect();
    let (_, to) = values(&series).fold((0.0, 0.0), range);
    let svg = chart::svg(&time(&series), &Axis::linear(name, 0.0, to), &series);
    Plot { title: title.to_owned(), explanation: text.to_owned(), svg, series }
}

fn over_time(
    name: String,
    colour: usize,
    result: &Shown,
    value: fn(&Moment) -> Option<f64>,
    text: fn(f64) -> String,
) -> Series {
    let mut all: Vec<f64> = result.timeline.moments().filter_map(value).collect();
    all.sort_by(f64::total_cmp);
    let figures = match all[..] {
        [] => "nothing counted".to_owned(),
        [least, .., largest] | [least @ largest] => format!(
            "least {}, median {}, most {}",
            text(least),
            text(all[all.len() / 2]),
            text(largest)
        ),
    };
    Series { name, colour, lines: result.timeline.lines(value), figures }
}

/// The distribution of all latencies: both clocks of one result, or the response time of several.
fn percentiles(results: &[Shown]) -> Plot {
    let histogram = |result: &Shown, clock: &str| {
        result.report.histograms.get(clock).and_then(|text| Latencies::decoded(text))
    };
    let clocks: &[(&str, &str)] = match results {
        [one] if one.report.total.has_one_clock() => {
            &[("service", table::one_clock(&one.report.latency_of))]
        }
        [_] => &[("response", "from intended time"), ("service", "service time")],
        _ => &[("response", "")],
    };
    let mut series = Vec::new();
    let mut most = 0;
    for result in results {
        for &(clock, name) in clocks {
            let Some(latencies) = histogram(result, clock) else { continue };
            let name = if name.is_empty() { &result.name } else { name };
            most = latencies.count().max(most);
            series.push(distribution(name.to_owned(), series.len(), &latencies));
        }
    }
    let (from, to) = values(&series).fold((f64::MAX, 0.0), range);
    let (from, to) = if from > to { (1.0, 10.0) } else { (from, to) };
    let x = Axis::percentiles(most as f64);
    let svg = chart::svg(&x, &Axis::latency("latency", from, to), &series);
    Plot {
        title: "Percentiles".to_owned(),
        explanation: "So many of all requests were at least as fast. At its right end a line \
                      rests on a single request."
            .to_owned(),
        svg,
        series,
    }
}

fn distribution(name: String, colour: usize, latencies: &Latencies) -> Series {
    let count = latencies.count() as f64;
    let steps = latencies.histogram().iter_quantiles(TICKS_PER_HALF_DISTANCE);
    let place = |quantile: f64| 1.0 / (1.0 - quantile).max(1.0 / count.max(1.0));
    let line = steps
        .map(|step| (place(step.quantile_iterated_to()), step.value_iterated_to() as f64 / 1e3))
        .filter(|&(_, us)| us > 0.0)
        .collect();
    let at = |percentile: f64| {
        latencies.told_percentile_us(percentile).map_or("-".to_owned(), axis::duration)
    };
    let figures = format!(
        "p50 {}, p99 {}, p99.9 {}, max {}",
        at(50.0),
        at(99.0),
        at(99.9),
        axis::duration(latencies.max_us())
    );
    Series { name, colour, lines: vec![line], figures }
}

fn values(series: &[Series]) -> impl Iterator<Item = f64> {
    series.iter().flat_map(|one| &one.lines).flatten().map(|&(_, value)| value)
}

fn time(series: &[Series]) -> Axis {
    let points = series.iter().flat_map(|one| &one.lines).flatten();
    let (from, to) = points.map(|&(at, _)| at).fold((f64::MAX, 0.0), range);
    Axis::linear("seconds since the start, warm-up included", from.min(to), to)
}

fn range((least, most): (f64, f64), value: f64) -> (f64, f64) {
    (least.min(value), most.max(value))
}
