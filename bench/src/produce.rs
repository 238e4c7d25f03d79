//! `bench produce`: sends messages and measures how long the broker takes to acknowledge them.

use std::rc::Rc;

use ringmq_protocol::SerializeType;
use ringmq_runtime::{process, random};

use crate::args::{HeaderForm, LoadArgs, ProduceArgs};
use crate::driver::lane::Lane;
use crate::driver::schedule::Schedule;
use crate::driver::{Load, Timing};
use crate::error::BenchError;
use crate::limits::Limits;
use crate::proof::journal::{Journal, Verdict};
use crate::proof::read_back;
use crate::report::{BrokerUse, Report};
use crate::target::Target;
use crate::target::caller;
use crate::wire::SendTemplate;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Good,
    /// Some requests failed.
    RequestsFailed,
    /// Something acknowledged is not there as it should be.
    ProofFailed,
}

/// Runs the workload and prints its report.
///
/// # Errors
/// The broker cannot be started or reached.
pub async fn run(args: &ProduceArgs) -> Result<Ending, BenchError> {
    let target = Rc::new(Target::open(&args.target).await?);
    let limits = limits(args, &target).await?;
    let run = random::seed_u64();
    let load = connect(&args.load, &target, run, args.verify.then(|| Journal::new(run))).await?;
    let before = Observed::of(&target).await;
    let timing = Timing { warm_up: args.load.warm_up, duration: args.load.duration };
    let elapsed = load.run(timing, true).await?;
    let after = Observed::of(&target).await;
    let failures = load.stats().total.failures();
    let mut report = Report::new(describe(args), &load.stats().total, elapsed);
    report.limits = limits;
    report.broker = Observed::between(before, after, load.acknowledged());
    report.print(args.json);
    if let Some(journal) = load.take_journal() {
        let verdict = journal.check(&read_back::read_all(&target).await?);
        print_verdict(&verdict);
        if !verdict.is_proved() {
            return Ok(Ending::ProofFailed);
        }
    }
    target.ended_well();
    Ok(if failures == 0 { Ending::Good } else { Ending::RequestsFailed })
}

/// Opens the connections of a run, spread over the brokers and over their queues.
///
/// # Errors
/// A broker cannot be reached.
pub async fn connect(
    args: &LoadArgs,
    target: &Target,
    run: u64,
    journal: Option<Journal>,
) -> Result<Rc<Load>, BenchError> {
    let load = Load::new(args.rate.map(Schedule::constant), journal);
    for id in 0..args.connections {
        let broker = id % target.broker_count();
        let (read, write) = caller::connect(target.broker_addr(broker)).await?.split();
        let template = template(args, target, broker);
        load.add_lane(Lane::new(id, broker, run, template, write, args.depth), read);
    }
    Ok(load)
}

/// Tells on standard error what a proof found.
pub fn print_verdict(verdict: &Verdict) {
    for finding in &verdict.findings {
        eprintln!("  {finding}");
    }
    let outcome = if verdict.is_proved() { "proved" } else { "NOT proved" };
    eprintln!(
        "verify: {outcome}: {} acknowledged, {} read, {} findings",
        verdict.acknowledged, verdict.read, verdict.findings_count
    );
}

async fn limits(args: &ProduceArgs, target: &Target) -> Result<Option<Limits>, BenchError> {
    let Some(store) = target.store().filter(|_| !args.no_limits) else { return Ok(None) };
    let template = template(&args.load, target, 0);
    Limits::measure(&template, store, args.target.flush).await.map(Some)
}

fn template(args: &LoadArgs, target: &Target, broker: u32) -> SendTemplate {
    SendTemplate {
        topic: target.topic.clone(),
        queues: target.queue_ids(broker),
        body_size: args.size,
        serialize: match args.header {
            HeaderForm::Json => SerializeType::Json,
            HeaderForm::Binary => SerializeType::RocketMq,
        },
    }
}

fn describe(args: &ProduceArgs) -> String {
    let load = &args.load;
    let loop_kind = match load.rate {
        None => "closed loop".to_owned(),
        Some(rate) => format!("open loop at {rate:.0} msg/s"),
    };
    format!(
        "produce: {} connections x {} in flight, {} byte bodies, {loop_kind}",
        load.connections, load.depth, load.size
    )
}

/// What the broker has used and done at one moment.
#[derive(Clone, Copy, Debug)]
struct Observed {
    usage: process::Usage,
    flushes: Option<u64>,
}

impl Observed {
    async fn of(target: &Target) -> Option<Self> {
        let usage = target.usage()?;
        Some(Self { usage, flushes: target.flushes().await })
    }

    fn between(before: Option<Self>, after: Option<Self>, messages: u64) -> Option<BrokerUse> {
        let (before, after) = before.zip(after)?;
        let flushes = before.flushes.zip(after.flushes);
        Some(BrokerUse {
            flushes_per_message: flushes
                .map(|(from, to)| (to - from) as f64 / messages.max(1) as f64),
            ..BrokerUse::between(before.usage, after.usage, messages)
        })
    }
}
