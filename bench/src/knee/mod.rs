//! `bench knee`: the highest rate of sends at which a percentile of the response time stays under
//! a bound.

mod search;

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::args::commands::KneeArgs;
use crate::args::load::{LoadArgs, PaceArgs};
use crate::ending::Ending;
use crate::error::BenchError;
use crate::knee::search::Search;
use crate::limits::{self, Limits};
use crate::measure::{self, Clock, Measured};
use crate::produce::Producers;
use crate::report::{Outcome, Report, table};
use crate::stop;
use crate::target::Target;

/// A rate that fails once gets another chance: on a shared machine a single stall decides a trial.
const ATTEMPTS: u32 = 2;

/// A percentile and what it may be at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Its name, such as `p99`.
    pub percentile: String,
    /// The longest response time that is good.
    pub limit: Duration,
}

/// One rate that was tried.
#[derive(Debug, Serialize, Deserialize)]
pub struct Trial {
    rate: f64,
    good: bool,
    /// What decided about it; empty in results of older releases.
    #[serde(default)]
    percentile: String,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Trial {
    /// The rate, and what came of it.
    fn name(&self) -> String {
        let verdict = if self.good { "good" } else { "too much" };
        let reached = self.outcome.response.percentiles_us.get(&self.percentile);
        let reached = reached.map(|us| format!(", {} {us:.1} us", self.percentile));
        format!("{:.0} ({verdict}{})", self.rate, reached.unwrap_or_default())
    }
}

/// The trials in their order.
pub fn overview(trials: &[Trial]) -> comfy_table::Table {
    table::overview("rate/s", trials.iter().map(|trial| (trial.name(), &trial.outcome)))
}

/// Searches, prints the trials and the report of the best one.
///
/// # Errors
/// The broker cannot be started or reached, or no rate is good.
pub async fn run(args: &KneeArgs) -> Result<Ending, BenchError> {
    let target = Rc::new(Target::open(&args.load.target).await?);
    let producers = Producers::new(&target, &args.load.message, args.load.pace.header.serialize());
    let clock = Clock::start(&args.load.output);
    let mut search = Search::new(args.start, args.max, f64::from(args.precision) / 100.0);
    let mut trials = Vec::new();
    let mut best = None;
    let mut connections = 0;
    stop::table_follows();
    while let Some(rate) = search.next().filter(|_| !stop::is_requested()) {
        let mut good = false;
        for _ in 0..ATTEMPTS {
            let pace = PaceArgs { rate: vec![rate], repeat: 1, ..args.load.pace.clone() };
            eprintln!("trying {rate:.0}/s");
            let load = producers.connect(&target, &pace, connections, None).await?;
            connections += 1;
            let measured = measure::once(&target, &pace, &load, clock.archive()).await;
            if stop::is_requested() {
                break;
            }
            let outcome = Outcome::of_run(&measured);
            good = is_good(&outcome, rate, &args.bound);
            let percentile = args.bound.percentile.clone();
            trials.push(Trial { rate, good, percentile, outcome });
            if good {
                best = Some(measured);
                break;
            }
        }
        search.observe(good);
    }
    let Some((rate, measured)) = search.found().zip(best) else {
        if !args.load.output.json {
            println!("{}", overview(&trials));
        }
        let Bound { percentile, limit } = &args.bound;
        target.ended_well();
        if stop::is_requested() {
            return Ok(Ending::Good);
        }
        return Err(BenchError::NoKnee(format!("{percentile} under {limit:?}")));
    };
    finish(args, &target, rate, measured, trials).await
}

async fn finish(
    args: &KneeArgs,
    target: &Target,
    rate: f64,
    measured: Measured,
    trials: Vec<Trial>,
) -> Result<Ending, BenchError> {
    let Bound { percentile, limit } = &args.bound;
    let pace = PaceArgs { rate: vec![rate], ..args.load.pace.clone() };
    let workload = format!(
        "knee: {rate:.0}/s is the highest rate with {percentile} under {limit:?} (within {} %); \
         produce: {}, {}",
        args.precision,
        pace.describe(),
        args.load.message.describe()
    );
    let load = LoadArgs { pace, ..args.load.clone() };
    let limits = Limits::of_knee(target, &load).await?;
    let mut report = Report::new(workload, limits::SENDS, std::slice::from_ref(&measured));
    report.limits = limits;
    report.trials = trials;
    report.finish(&args.load.output, target, &[measured]).await?;
    target.ended_well();
    Ok(Ending::Good)
}

/// Whether a rate was served: within the bound, without a failure, and as fast as it was due.
fn is_good(outcome: &Outcome, rate: f64, bound: &Bound) -> bool {
    let at_bound = outcome.response.percentiles_us[&bound.percentile];
    let served = outcome.response.count as f64 / outcome.seconds;
    at_bound <= bound.limit.as_secs_f64() * 1e6
        && outcome.failures() == 0
        && !outcome.fell_behind()
        && served >= 0.95 * rate
}
