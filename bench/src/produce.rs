//! `bench produce`: sends messages and measures how long the broker takes to acknowledge them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_protocol::SerializeType;
use ringmq_runtime::random;

use crate::args::commands::ProduceArgs;
use crate::args::load::{MessageArgs, PaceArgs};
use crate::driver::{Load, Timing};
use crate::ending::Ending;
use crate::error::BenchError;
use crate::limits::{self, Limits};
use crate::measure;
use crate::profile::Profile;
use crate::proof::journal::ACKS_MAX;
use crate::proof::{self, read_back};
use crate::report::Report;
use crate::stop;
use crate::target::Target;
use crate::workload::send::{Acks, SendPlan, SendWork};
use crate::workload::topics::TopicDraw;

/// Connections and depth that fill topics.
const FILL_LANES: (u32, u32) = (16, 32);

/// Longest time to fill them.
const FILL_LIMIT: Duration = Duration::from_secs(3_600);

/// Runs the workload and prints its report.
///
/// # Errors
/// The broker cannot be started or reached.
pub async fn run(args: &ProduceArgs) -> Result<Ending, BenchError> {
    let profile = Profile::prepare(&args.load).await?;
    let target = Rc::new(Target::open(&args.load.target).await?);
    let limits = Limits::of_sends(&target, &args.load).await?;
    let producers = Producers::new(&target, &args.load.message, args.load.pace.header.serialize());
    let acks = args.verify.then(|| Acks::new(producers.run));
    let (pace, output) = (&args.load.pace, &args.load.output);
    let runs = measure::repeat(&target, pace, output, args.stages, async |again| {
        let load = producers.connect(&target, pace, again, acks.clone()).await?;
        profile.record(&target, pace.timing());
        Ok(load)
    })
    .await?;
    let workload = format!("produce: {}", args.load.describe());
    let mut report = Report::new(workload, limits::SENDS, &runs);
    report.limits = limits;
    report.finish(&args.load.output, &target, &runs).await?;
    report.note_if_too_short(&args.load.output);
    profile.finish().await?;
    if let Some(acks) = acks.filter(|_| !stop::is_requested()) {
        if acks.is_full() {
            return Err(BenchError::TooManyToVerify(ACKS_MAX));
        }
        let contents = read_back::read_all(&target).await?;
        let verdict = acks.journal().check(&contents);
        proof::print(&verdict);
        if !verdict.is_proved() {
            return Ok(Ending::ProofFailed);
        }
    }
    target.ended_well();
    Ok(report.ending())
}

/// Puts so many messages into the topics.
///
/// # Errors
/// A broker cannot be reached.
pub async fn fill(
    target: &Target,
    pace: &PaceArgs,
    message: &MessageArgs,
    messages: u64,
) -> Result<(), BenchError> {
    if messages == 0 {
        return Ok(());
    }
    eprintln!("filling with {messages} messages");
    let producers = Producers::new(target, message, pace.header.serialize());
    let (connections, depth) = FILL_LANES;
    let pace = PaceArgs { connections, depth, rate: Vec::new(), ..pace.clone() };
    let load = producers.connect(target, &pace, 0, None).await?;
    load.stop_after(messages);
    let timing = Timing { warm_up: Duration::ZERO, duration: FILL_LIMIT };
    let tally = load.run_unseen(timing).await;
    tally.total.errors.lines().for_each(|line| eprintln!("while filling, {line}"));
    Ok(())
}

/// What the producing connections of one run have in common, per broker.
pub struct Producers {
    /// Drawn once, so that messages left by an earlier run are told apart.
    pub run: u64,
    plans: Vec<Arc<SendPlan>>,
}

impl Producers {
    /// Producers of `message` to all topics and brokers of the target.
    pub fn new(target: &Target, message: &MessageArgs, serialize: SerializeType) -> Self {
        let run = random::seed_u64();
        let plan = |broker| {
            let topics = target.topics_on(broker);
            Arc::new(SendPlan {
                run,
                broker,
                draw: TopicDraw::new(topics.len(), message.spread),
                topics,
                message: message.plan(),
                batch: message.batch,
                serialize,
            })
        };
        Self { run, plans: (0..target.broker_count()).map(plan).collect() }
    }

    /// Opens the connections of repetition number `again`, spread over the brokers.
    ///
    /// # Errors
    /// A broker cannot be reached.
    pub async fn connect(
        &self,
        target: &Target,
        pace: &PaceArgs,
        again: u32,
        acks: Option<Arc<Acks>>,
    ) -> Result<Rc<Load>, BenchError> {
        let schedule = pace.schedule(self.run.wrapping_add(u64::from(again)));
        let load = Load::on(target.clients(), schedule);
        for index in 0..pace.connections {
            let broker = index % target.broker_count();
            // Lanes of all repetitions differ, since they name messages.
            let lane = again * pace.connections + index;
            let plan = self.plans[broker as usize].clone();
            let (acks, depth) = (acks.clone(), pace.depth);
            let work = move || SendWork::new(lane, plan, acks, depth);
            load.connect(target.broker_addr(broker), depth, work).await?;
        }
        Ok(load)
    }
}
