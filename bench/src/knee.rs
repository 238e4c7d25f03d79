//! `bench knee`: the highest rate of sends at which a percentile of the response time stays under
//! a bound.

mod fault;
mod search;

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::args::commands::KneeArgs;
use crate::args::load::{LoadArgs, PaceArgs};
use crate::ending::Ending;
use crate::error::BenchError;
use crate::knee::fault::{fault, none_is_good};
use crate::knee::search::Search;
use crate::limits::{self, Limits};
use crate::measure::{self, Clock, Measured};
use crate::produce::Producers;
use crate::record::latencies::PERCENTILES;
use crate::report::outcome::Outcome;
use crate::report::{Report, table, terminal};
use crate::stop;
use crate::target::Target;

/// A rate that fails once gets another chance: on a shared machine a single stall decides a trial.
const ATTEMPTS: u32 = 2;

/// Fewest values of a trial beyond the percentile: one that rests on two or three is a story about
/// these.
const VALUES_BEYOND_MIN: f64 = 10.0;

/// A percentile and what it may be at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Its name, such as `p99`.
    pub percentile: String,
    /// The longest response time that is good.
    pub limit: Duration,
}

impl Bound {
    /// Of the values so many percent are to keep it.
    fn percent(&self) -> f64 {
        let known = PERCENTILES.iter().find(|(name, _)| *name == self.percentile);
        known.expect("the command line has looked").1
    }

    /// How long a trial at `rate` must count until enough values lie beyond the percentile.
    fn time_at(&self, rate: f64) -> Duration {
        Duration::from_secs_f64(VALUES_BEYOND_MIN / ((1.0 - self.percent() / 100.0) * rate))
    }
}

/// How a search ended that found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// A higher rate was too much.
    Knee,
    /// No higher rate was to be tried.
    AtMax,
    /// A signal came before a higher rate was too much, or before they lay close enough.
    Stopped,
}

impl Found {
    /// What is known of the rate, as far as it is.
    fn claim(self, rate: f64, bound: &Bound, precision: u8) -> String {
        let Bound { percentile, limit } = bound;
        match self {
            Self::Knee => format!(
                "{rate:.0}/s is the highest rate with {percentile} under {limit:?} (within \
                 {precision} %)"
            ),
            Self::AtMax => format!(
                "at least {rate:.0}/s with {percentile} under {limit:?}: --max, no higher rate was \
                 tried"
            ),
            Self::Stopped => format!(
                "{rate:.0}/s is the best rate with {percentile} under {limit:?} that was tried \
                 before the search was stopped"
            ),
        }
    }
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
        let reached = self.outcome.response.percentile_us(&self.percentile);
        let reached = reached.map(|us| format!(", {} {us:.1} us", self.percentile));
        format!("{:.0} ({verdict}{})", self.rate, reached.unwrap_or_default())
    }
}

/// The trials in their order.
pub fn overview(trials: &[Trial]) -> comfy_table::Table {
    let named = trials.iter().map(|trial| (trial.name(), limits::SENDS, &trial.outcome));
    table::overview("rate/s", named)
}

/// Searches, prints the trials and the report of the best one.
///
/// # Errors
/// The broker cannot be started or reached, or no rate is good.
pub async fn run(args: &KneeArgs) -> Result<Ending, BenchError> {
    let target = Rc::new(Target::open(&args.load.target).await?);
    let Tried { search, trials, best } = try_rates(args, &target).await?;
    let Some((rate, measured)) = search.found().zip(best) else {
        if !args.load.output.json {
            terminal::print(&overview(&trials));
        }
        target.ended_well();
        if stop::is_requested() {
            return Ok(Ending::Good);
        }
        return Err(BenchError::NoKnee(none_is_good(&trials, &args.bound)));
    };
    let found = match () {
        () if stop::is_requested() => Found::Stopped,
        () if search.is_at_max() => Found::AtMax,
        () => Found::Knee,
    };
    finish(args, &target, (rate, found), measured, trials).await
}

/// What a search came to.
struct Tried {
    search: Search,
    trials: Vec<Trial>,
    /// The run at the highest good rate.
    best: Option<Measured>,
}

async fn try_rates(args: &KneeArgs, target: &Target) -> Result<Tried, BenchError> {
    let producers = Producers::new(target, &args.load.message, args.load.pace.header.serialize());
    let clock = Clock::start(&args.load.output);
    let range = args.lowest()..=args.max;
    let search = Search::new(args.first(), range, f64::from(args.precision) / 100.0);
    eprintln!("{}", announced(args, &search));
    let mut tried = Tried { search, trials: Vec::new(), best: None };
    let percentile = &args.bound.percentile;
    stop::table_follows();
    while let Some(rate) = tried.search.next().filter(|_| !stop::is_requested()) {
        let mut good = false;
        for _ in 0..ATTEMPTS {
            let again = u32::try_from(tried.trials.len()).expect("a search is short");
            let pace = pace_at(args, rate);
            let load = producers.connect(target, &pace, again, None).await?;
            let measured = measure::once(target, &pace, &load, clock.tally(&pace)).await;
            if stop::is_requested() {
                break;
            }
            let outcome = Outcome::of_run(&measured);
            good = fault(&outcome, rate, &args.bound).is_none();
            tried.trials.push(Trial { rate, good, percentile: percentile.clone(), outcome });
            if good {
                tried.best = Some(measured);
                break;
            }
        }
        tried.search.observe(good);
    }
    Ok(tried)
}

/// How long the search may take, before its first trial.
fn announced(args: &KneeArgs, search: &Search) -> String {
    let seconds = |time: Duration| time.as_secs_f64();
    format!(
        "at most {} rates from {:.0}/s to {:.0}/s, each tried once or {ATTEMPTS} times; a trial \
         takes {:.1} s or more, and {:.1} s at the lowest rate, until {VALUES_BEYOND_MIN} values \
         lie beyond the {}",
        search.rates_max(),
        args.lowest(),
        args.max,
        seconds(args.load.pace.warm_up + counted_at(args, args.max)),
        seconds(args.load.pace.warm_up + counted_at(args, args.lowest())),
        args.bound.percentile
    )
}

/// How long a trial at `rate` is counted.
fn counted_at(args: &KneeArgs, rate: f64) -> Duration {
    args.load.pace.duration.max(args.bound.time_at(rate))
}

/// How a rate is tried, which the user is told.
fn pace_at(args: &KneeArgs, rate: f64) -> PaceArgs {
    let duration = counted_at(args, rate);
    eprintln!("trying {rate:.0}/s for {:.1} s", duration.as_secs_f64());
    PaceArgs { rate: vec![rate], repeat: 1, duration, ..args.load.pace.clone() }
}

async fn finish(
    args: &KneeArgs,
    target: &Target,
    (rate, found): (f64, Found),
    measured: Measured,
    trials: Vec<Trial>,
) -> Result<Ending, BenchError> {
    let pace = PaceArgs { rate: vec![rate], ..args.load.pace.clone() };
    let workload = format!(
        "knee: {}; produce: {}, {}",
        found.claim(rate, &args.bound, args.precision),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};

    fn bound(percentile: &str) -> Bound {
        Bound { percentile: percentile.to_owned(), limit: Duration::from_millis(10) }
    }

    #[test]
    fn a_trial_lasts_until_ten_values_lie_beyond_the_percentile() {
        let seconds = |percentile, rate| bound(percentile).time_at(rate).as_secs_f64();
        for (percentile, rate, expected) in
            [("p99", 1_000.0, 1.0), ("p50", 20.0, 1.0), ("p99.9", 500.0, 20.0)]
        {
            let found = seconds(percentile, rate);
            assert!((found - expected).abs() < 1e-6, "{percentile} at {rate}: {found}");
        }
    }

    #[test]
    fn a_search_says_before_its_first_trial_how_long_it_may_take() {
        let words = ["knee", "--start", "640", "--max", "10k", "--warm-up", "1", "--duration", "2"];
        let words = words.map(str::to_owned);
        let Command::Knee(args) = Cli::from_words(&words).unwrap().command else { panic!() };
        let search = Search::new(args.first(), args.lowest()..=args.max, 0.05);
        let text = announced(&args, &search);
        // Six halvings down to 10/s, and four of the gap.
        for part in ["at most 11 rates from 10/s", "3.0 s or more", "and 101.0 s at the lowest"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn only_a_rate_below_one_that_was_too_much_is_called_the_highest() {
        let claim = |found: Found| found.claim(5_000.0, &bound("p99"), 5);
        assert_eq!(
            claim(Found::Knee),
            "5000/s is the highest rate with p99 under 10ms (within 5 %)"
        );
        assert!(claim(Found::AtMax).starts_with("at least 5000/s"));
        assert!(claim(Found::Stopped).ends_with("before the search was stopped"));
        for found in [Found::AtMax, Found::Stopped] {
            assert!(!claim(found).contains("highest"), "{found:?}");
        }
    }
}
