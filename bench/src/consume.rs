//! `bench consume`: pulls topics and measures how fast messages arrive.

mod cold;
mod sends;

use std::rc::Rc;
use std::time::Duration;

use crate::args::commands::{Begin, ConsumeArgs};
use crate::args::load::PaceArgs;
use crate::cold_log::ColdLog;
use crate::consume::sends::Sends;
use crate::ending::Ending;
use crate::error::BenchError;
use crate::limits::{self, Limits};
use crate::measure::{self, Measured};
use crate::produce;
use crate::profile::Profile;
use crate::readers;
use crate::report::Report;
use crate::target::Target;
use crate::target::embedded::Pulls;
use crate::workload::pull::{PullPlan, Reading};

/// Messages that a broker of our own gets when nothing is said.
const FILL_DEFAULT: u64 = 500_000;

/// Messages per second that a tail of a broker of our own gets when nothing is said.
const PRODUCE_DEFAULT: f64 = 5_000.0;

/// Runs the workload and prints its report.
///
/// # Errors
/// The broker cannot be started or reached, or there is nothing to read.
pub async fn run(args: &ConsumeArgs) -> Result<Ending, BenchError> {
    let prepared = prepare(args).await?;
    let target = &prepared.target;
    let rate = args.produce.or(target.store().is_some().then_some(PRODUCE_DEFAULT));
    let rate = rate.filter(|_| args.from == Begin::Last);
    let sends = rate.map(|rate| Sends::new(target, &args.load, rate));
    let plan = plan(args, sends.as_ref());
    let limits = match &sends {
        Some(sends) => Limits::of_sends(target, &sends.load(&args.load)).await?,
        None => None,
    };
    let mut runs = repeat(args, &prepared, &plan, sends.as_ref()).await?;
    let sent = match sends {
        Some(sends) => Some(sends.finish().await),
        None => None,
    };
    // Consuming flushes nothing; what is flushed meanwhile is not its doing.
    for used in runs.iter_mut().filter_map(|run| run.used.as_mut()) {
        (used.flushes, used.device) = (None, None);
    }
    let latency_of = if args.from == Begin::First { limits::PULLS } else { limits::AGES };
    let limits = match limits {
        Some(limits) => Some(limits),
        None => Limits::of_pulls(target, &args.load, &plan, &runs, args.cold).await?,
    };
    let mut report = Report::new(describe(args), latency_of, &runs);
    report.limits = limits;
    if let Some(sent) = sent {
        report.add_beside("sends", limits::SENDS, &sent);
    }
    report.finish(&args.load.output, target, &runs).await?;
    if !args.cold {
        report.note_if_too_short(&args.load.output);
    }
    prepared.profile.finish().await?;
    target.ended_well();
    Ok(report.ending())
}

/// What is read from, and how it is looked at.
struct Prepared {
    target: Rc<Target>,
    profile: Profile,
    cold: Option<ColdLog>,
}

/// Opens the target and gives it what is to be read.
async fn prepare(args: &ConsumeArgs) -> Result<Prepared, BenchError> {
    let profile = Profile::prepare(&args.load).await?;
    let pulls = Pulls { batch: args.pull_batch, body_max_bytes: args.load.message.size.max };
    let mut target = Target::open_for(&args.load.target, pulls).await?;
    let is_filled = target.store().is_some() && args.from == Begin::First;
    let messages = args.fill.unwrap_or(if is_filled { FILL_DEFAULT } else { 0 });
    produce::fill(&target, &args.load.pace, &args.load.message, messages).await?;
    let cold = if args.cold { Some(cold::make(&mut target, &args.load.pace).await?) } else { None };
    Ok(Prepared { target: Rc::new(target), profile, cold })
}

fn plan(args: &ConsumeArgs, sends: Option<&Sends>) -> PullPlan {
    PullPlan {
        reading: match args.from {
            Begin::First => Reading::Replay(args.passes.or(args.cold.then_some(1))),
            Begin::Last => sends.map_or(Reading::Tail, |sends| Reading::TailOf(sends.run())),
        },
        subscription: args.subscription.clone(),
        ..PullPlan::replay(args.pull_batch, args.load.pace.header.serialize())
    }
}

/// Reads as often as was asked for; what is cold is looked at before, and sends begin with it.
async fn repeat(
    args: &ConsumeArgs,
    Prepared { target, profile, cold }: &Prepared,
    plan: &PullPlan,
    sends: Option<&Sends>,
) -> Result<Vec<Measured>, BenchError> {
    let seed = ringmq_runtime::random::seed_u64();
    let warm_up = if args.cold { Duration::ZERO } else { args.load.pace.warm_up };
    let pace = &PaceArgs { warm_up, ..args.load.pace.clone() };
    measure::repeat(target, pace, &args.load.output, false, async |again| {
        let schedule = pace.schedule(seed.wrapping_add(u64::from(again)));
        let load = readers::connect(target, pace, plan, schedule).await?;
        if let Some(cold) = cold {
            cold.check().await?;
        }
        if let Some(sends) = sends {
            sends.start(target, again).await?;
        }
        profile.record(target, pace.timing());
        Ok(load)
    })
    .await
}

/// The workload in words.
fn describe(args: &ConsumeArgs) -> String {
    format!(
        "consume: {}, up to {} messages a pull, from the {} message",
        args.load.pace.describe(),
        args.pull_batch,
        match (args.cold, args.from) {
            (true, _) => "first, cold",
            (false, Begin::First) => "first",
            (false, Begin::Last) => "next",
        },
    )
}
