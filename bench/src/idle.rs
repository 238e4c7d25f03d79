//! `bench idle`: what a broker spends on consumers that wait for messages which do not come.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::{clock::Instant, process, task};
use serde::Serialize;

use crate::args::commands::IdleArgs;
use crate::consume;
use crate::driver::{Load, Timing};
use crate::ending::Ending;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::limits::round_trip::RoundTrip;
use crate::limits::{self, beside};
use crate::record::archive::Archive;
use crate::report::{environment, files, table};
use crate::stop;
use crate::target::Target;
use crate::workload::pull::{PullPlan, Reading};

/// What the broker spent.
#[derive(Debug, Serialize)]
struct Report {
    /// Pulls that wait at any time.
    pulls: u64,
    /// Longest wait of one, in seconds.
    hold_s: f64,
    /// Time measured.
    seconds: f64,
    /// Answers per second: pulls whose wait was over, asked again at once.
    answers_per_second: f64,
    /// CPU time of the broker in percent of one core; none for a running cluster.
    cpu_percent: Option<f64>,
    /// Its resident memory at the end.
    rss_bytes: Option<u64>,
    /// How much more than before the pulls came.
    rss_growth_bytes: Option<i64>,
    /// What the same answers cost a null broker that holds nothing and answers at once, in percent
    /// of one core; none for a running cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    null_broker_cpu_percent: Option<f64>,
    /// The way to the masters of a running cluster and back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    round_trips: Vec<RoundTrip>,
    /// Failed pulls.
    errors: u64,
    environment: Environment,
}

impl Report {
    fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data")
    }
}

/// Runs the workload, prints its report, and writes the files that were asked for.
///
/// # Errors
/// The broker cannot be started or reached, or a file cannot be written.
pub async fn run(args: &IdleArgs) -> Result<Ending, BenchError> {
    let target = Rc::new(Target::open(&args.target).await?);
    let before = target.usage();
    let plan = Rc::new(PullPlan {
        reading: Reading::Tail,
        batch: 32,
        subscription: "*".to_owned(),
        hold: args.hold,
        serialize: args.header.serialize(),
    });
    let load = Load::on(target.clients(), None);
    consume::connect_waiting(&target, args.connections, args.depth, &plan, &load).await?;
    let waited = wait(args, &target, load).await;
    let report = report(args, &target, &plan, before, &waited).await?;
    print(&report, args.json);
    if let Some(prefix) = &args.output {
        write(prefix, &report, &waited.archive).await?;
    }
    target.ended_well();
    Ok(Ending::of(report.errors))
}

/// Pulls that waited, and what the broker was like when their time began and ended.
struct Waited {
    archive: Archive,
    seconds: f64,
    from: Option<process::Usage>,
    until: Option<process::Usage>,
}

/// Pulls that `load` may have at the same time.
fn pulls(args: &IdleArgs) -> u64 {
    u64::from(args.connections) * u64::from(args.depth)
}

async fn wait(args: &IdleArgs, target: &Target, load: Rc<Load>) -> Waited {
    // The first waits end at about the same time; the measured time holds whole waits.
    let timing = Timing { warm_up: args.warm_up, duration: args.duration };
    let run = async move { load.run(timing, Archive::default(), |_, _| ()).await };
    let waiting = task::spawn("bench idle", run);
    eprintln!("{} pulls wait for {:?}", pulls(args), timing.warm_up + timing.duration);
    stop::table_follows();
    let _ = task::timeout(timing.warm_up, stop::requested()).await;
    let (started, from) = (Instant::now(), target.usage());
    let measured = timing.duration.saturating_sub(Duration::from_millis(100));
    let _ = task::timeout(measured, stop::requested()).await;
    let (seconds, until) = (started.elapsed().as_secs_f64(), target.usage());
    Waited { archive: waiting.await, seconds, from, until }
}

/// `before` is what the broker was like without pulls.
async fn report(
    args: &IdleArgs,
    target: &Target,
    plan: &PullPlan,
    before: Option<process::Usage>,
    waited: &Waited,
) -> Result<Report, BenchError> {
    let Waited { archive, seconds, from, until } = waited;
    let answers_per_second = archive.empty() as f64 / archive.elapsed().as_secs_f64().max(1e-9);
    let (null_broker_cpu_percent, round_trips) =
        limits(args, target, plan, answers_per_second).await?;
    Ok(Report {
        pulls: pulls(args),
        hold_s: args.hold.as_secs_f64(),
        seconds: *seconds,
        answers_per_second,
        cpu_percent: from.zip(*until).map(|(from, until)| cpu_percent(from, until, *seconds)),
        rss_bytes: until.map(|usage| usage.rss_bytes),
        rss_growth_bytes: before
            .zip(*until)
            .map(|(before, until)| until.rss_bytes as i64 - before.rss_bytes as i64),
        null_broker_cpu_percent,
        round_trips,
        errors: archive.total.errors.total(),
        environment: Environment::of(target).await,
    })
}

async fn write(prefix: &Path, report: &Report, archive: &Archive) -> Result<(), BenchError> {
    let rows = files::seconds(std::iter::once(&archive.seconds[..]));
    for (extension, bytes) in [("json", report.to_json().into_bytes()), ("csv", rows)] {
        let path = files::with_extension(prefix, extension);
        files::replace(&path, &bytes).await?;
        eprintln!("written: {}", path.display());
    }
    Ok(())
}

/// What the same answers cost at least, in percent of a core: nothing is cheaper than connections
/// on which nothing happens, so it is the answers that count. Of a running cluster the way there.
async fn limits(
    args: &IdleArgs,
    target: &Target,
    plan: &PullPlan,
    answers_per_second: f64,
) -> Result<(Option<f64>, Vec<RoundTrip>), BenchError> {
    if args.no_limits || stop::is_requested() {
        return Ok((None, Vec::new()));
    }
    limits::announce();
    let Some(store) = target.store() else {
        return Ok((None, RoundTrip::measure_all(target).await?));
    };
    let cpu_us = beside::empty_pull_cpu_us(target, store, args, plan).await?;
    Ok((cpu_us.map(|cpu_us| 100.0 * cpu_us * answers_per_second / 1e6), Vec::new()))
}

fn cpu_percent(from: process::Usage, until: process::Usage, seconds: f64) -> f64 {
    100.0 * until.cpu.saturating_sub(from.cpu).as_secs_f64() / seconds
}

fn print(report: &Report, json: bool) {
    if json {
        println!("{}", report.to_json());
        return;
    }
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
    let megabytes = |bytes: f64| format!("{:.1}", bytes / 1e6);
    let mut rows = table::plain();
    rows.set_header([
        "waiting pulls",
        "seconds",
        "answers/s",
        "broker CPU % of a core",
        "null broker %",
        "RSS MB",
        "grown by MB",
        "errors",
    ]);
    rows.add_row([
        report.pulls.to_string(),
        format!("{:.1}", report.seconds),
        format!("{:.1}", report.answers_per_second),
        or_unknown(report.cpu_percent.map(|percent| format!("{percent:.2}"))),
        or_unknown(report.null_broker_cpu_percent.map(|percent| format!("{percent:.2}"))),
        or_unknown(report.rss_bytes.map(|bytes| megabytes(bytes as f64))),
        or_unknown(report.rss_growth_bytes.map(|bytes| megabytes(bytes as f64))),
        report.errors.to_string(),
    ]);
    table::align_numbers(&mut rows, 0);
    println!(
        "\n{}\n{}",
        stop::described(format!("idle: pulls that wait up to {} s", report.hold_s)),
        environment::block(&report.environment)
    );
    println!("{rows}");
    report.round_trips.iter().for_each(|round_trip| println!("{}", round_trip.describe()));
}
