//! `bench idle`: what a broker spends on consumers that wait for messages which do not come.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use comfy_table::Table;
use ringmq_runtime::{clock::Instant, process, task};
use serde::{Deserialize, Serialize};

use crate::args::commands::IdleArgs;
use crate::driver::{Load, Timing};
use crate::ending::Ending;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::files;
use crate::limits::round_trip::RoundTrip;
use crate::limits::{self, null_figures};
use crate::measure::Measured;
use crate::observe::{Machine, Meanwhile};
use crate::readers;
use crate::record::tally::Tally;
use crate::report::{Report, saved, table};
use crate::stop;
use crate::target::Target;
use crate::workload::pull::{PullPlan, Reading};

/// What the latencies of this command would be of: pulls that wait for nothing have none.
pub const LATENCY_OF: &str = "wait us";

/// What waiting pulls cost.
#[derive(Debug, Serialize, Deserialize)]
pub struct Waiting {
    /// Pulls that wait at any time.
    pulls: u64,
    /// Longest wait of one, in seconds.
    hold_s: f64,
    /// Time measured.
    seconds: f64,
    /// Answers per second: pulls whose wait was over, asked again at once.
    answers_per_second: f64,
    /// CPU time of the broker in percent of one core; none where its processes are not known.
    pub cpu_percent: Option<f64>,
    /// Its resident memory at the end.
    rss_bytes: Option<u64>,
    /// How much more than before the pulls came.
    pub rss_growth_bytes: Option<i64>,
    /// What the same answers cost a null broker that holds nothing and answers at once, in percent
    /// of one core; none for a running cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    null_broker_cpu_percent: Option<f64>,
    /// The way to the masters of a running cluster and back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub round_trips: Vec<RoundTrip>,
}

impl Waiting {
    /// It as a table.
    pub fn table(&self) -> Table {
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        let percent = |percent: Option<f64>| or_unknown(percent.map(|it| format!("{it:.2}")));
        let megabytes = |bytes: f64| format!("{:.1}", bytes / 1e6);
        let multiple = |(percent, null): (f64, f64)| format!("{:.1} x", percent / null);
        let limit = self.null_broker_cpu_percent.filter(|percent| *percent > 0.0);
        let mut rows = table::plain();
        rows.set_header([
            "waiting pulls",
            "longest wait s",
            "seconds",
            "answers/s",
            "broker CPU % of a core",
            "null broker %",
            "of the null broker",
            "RSS MB",
            "grown by MB",
        ]);
        rows.add_row([
            self.pulls.to_string(),
            self.hold_s.to_string(),
            format!("{:.1}", self.seconds),
            format!("{:.1}", self.answers_per_second),
            percent(self.cpu_percent),
            percent(self.null_broker_cpu_percent),
            or_unknown(self.cpu_percent.zip(limit).map(multiple)),
            or_unknown(self.rss_bytes.map(|bytes| megabytes(bytes as f64))),
            or_unknown(self.rss_growth_bytes.map(|bytes| megabytes(bytes as f64))),
        ]);
        table::align_numbers(&mut rows, 0);
        rows
    }
}

/// Runs the workload, prints its report, and writes the files that were asked for.
///
/// # Errors
/// The broker cannot be started or reached, or a file cannot be written.
pub async fn run(args: &IdleArgs) -> Result<Ending, BenchError> {
    let target = Rc::new(Target::open(&args.target).await?);
    let before = target.usage();
    let plan = plan(args);
    let load = readers::connect_waiting(&target, args.connections, args.depth, &plan).await?;
    let waited = wait(args, &target, load).await;
    let waiting = waiting(args, &target, &plan, before, &waited).await?;
    let workload = format!("idle: pulls that wait up to {} s", waiting.hold_s);
    let meanwhile = waited.meanwhile.strain();
    let measured = Measured::of(waited.tally);
    let mut report = Report::new(workload, LATENCY_OF, std::slice::from_ref(&measured));
    report.waiting = Some(waiting);
    report.environment =
        Environment { meanwhile: Some(meanwhile), ..Environment::of(&target).await };
    match args.json {
        true => println!("{}", report.to_json()),
        false => report.print(&IdleArgs::IN_FULL),
    }
    if let Some(prefix) = &args.output {
        write(prefix, &report, &measured.tally).await?;
    }
    target.ended_well();
    Ok(Ending::of(report.failures()))
}

/// What the pulls have in common.
pub fn plan(args: &IdleArgs) -> PullPlan {
    PullPlan {
        reading: Reading::Tail,
        batch: 32,
        subscription: "*".to_owned(),
        hold: args.hold,
        serialize: args.header.serialize(),
    }
}

/// Pulls that waited, and what the broker was like when their time began and ended.
struct Waited {
    tally: Tally,
    seconds: f64,
    from: Option<process::Usage>,
    until: Option<process::Usage>,
    /// What the machine did in that time.
    meanwhile: Meanwhile,
}

/// Pulls that `load` may have at the same time.
fn pulls(args: &IdleArgs) -> u64 {
    u64::from(args.connections) * u64::from(args.depth)
}

async fn wait(args: &IdleArgs, target: &Target, load: Rc<Load>) -> Waited {
    // The first waits end at about the same time; the measured time holds whole waits.
    let timing = Timing { warm_up: args.warm_up, duration: args.duration };
    let waiting = load.run_beside("bench idle", timing);
    eprintln!("{} pulls wait for {:?}", pulls(args), timing.warm_up + timing.duration);
    stop::table_follows();
    let _ = task::timeout(timing.warm_up, stop::requested()).await;
    let machine = Machine::look().await;
    let (started, from) = (Instant::now(), target.usage());
    let measured = timing.duration.saturating_sub(Duration::from_millis(100));
    let _ = task::timeout(measured, stop::requested()).await;
    let (seconds, until) = (started.elapsed().as_secs_f64(), target.usage());
    let meanwhile = Machine::look().await.since(&machine);
    Waited { tally: waiting.await, seconds, from, until, meanwhile }
}

/// `before` is what the broker was like without pulls.
async fn waiting(
    args: &IdleArgs,
    target: &Target,
    plan: &PullPlan,
    before: Option<process::Usage>,
    waited: &Waited,
) -> Result<Waiting, BenchError> {
    let Waited { tally, seconds, from, until, .. } = waited;
    let answers_per_second = tally.empty() as f64 / tally.elapsed().as_secs_f64().max(1e-9);
    let (null_broker_cpu_percent, round_trips) =
        limits(args, target, plan, answers_per_second).await?;
    Ok(Waiting {
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
    })
}

async fn write(prefix: &Path, report: &Report, tally: &Tally) -> Result<(), BenchError> {
    let rows = saved::seconds(std::iter::once(&tally.seconds[..]));
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
    let cpu_us = null_figures::empty_pull_cpu_us(target, store, args, plan).await?;
    Ok((cpu_us.map(|cpu_us| 100.0 * cpu_us * answers_per_second / 1e6), Vec::new()))
}

fn cpu_percent(from: process::Usage, until: process::Usage, seconds: f64) -> f64 {
    100.0 * until.cpu.saturating_sub(from.cpu).as_secs_f64() / seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waiting_pulls_cost_is_told_as_a_multiple_of_the_null_brokers_cost() {
        let waiting = |null_broker_cpu_percent| Waiting {
            pulls: 15,
            hold_s: 0.3,
            seconds: 1.0,
            answers_per_second: 45.0,
            cpu_percent: Some(4.5),
            rss_bytes: None,
            rss_growth_bytes: None,
            null_broker_cpu_percent,
            round_trips: Vec::new(),
        };
        let told = |null: Option<f64>| waiting(null).table().to_string();
        assert!(told(Some(3.0)).contains(" 1.5 x "), "{}", told(Some(3.0)));
        // A limit that is not known, or that the clock of CPU time does not show, has no share.
        for null in [None, Some(0.0)] {
            assert!(!told(null).contains(" x "), "{}", told(null));
        }
    }
}
