//! The loads of bench's own client on a broker of the race: connected, and ready to run.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;

use crate::args::Command;
use crate::args::commands::{ConsumeArgs, EndToEndArgs, IdleArgs, ProduceArgs};
use crate::args::load::{MessageArgs, PaceArgs};
use crate::driver::{Load, Timing};
use crate::end_to_end;
use crate::error::BenchError;
use crate::files;
use crate::idle;
use crate::limits;
use crate::produce::{self, Producers};
use crate::readers;
use crate::target::Target;
use crate::versus::asked::Asked;
use crate::versus::contestant::Running;
use crate::workload::pull::PullPlan;

/// Space that a run leaves: Apache's broker has always two log files of 1 GiB in hand, and nobody's
/// disk shall be filled by a race.
const SPACE_LEFT_BYTES: u64 = 3 << 30;

/// What a message of 1 KiB takes at most, with its share of the indexes of either broker.
const MESSAGE_STORED_BYTES: u64 = 1_536;

/// Apache's broker answers before the files of its log are there, and refuses messages until then.
const FIRST_MESSAGE_LIMIT: Duration = Duration::from_secs(120);

/// One try of the first message.
const FIRST_MESSAGE_TRY: Duration = Duration::from_secs(10);

/// A load that is ready to run.
pub struct ReadyLoad {
    /// On what.
    pub target: Rc<Target>,
    /// What is measured.
    pub load: Rc<Load>,
    /// Producers whose messages `load` waits for.
    pub beside: Option<Rc<Load>>,
    /// How long.
    pub timing: Timing,
    /// What its latencies are of.
    pub latency_of: &'static str,
}

impl ReadyLoad {
    /// Connects what is asked to a broker, and fills the topic of a load that reads.
    ///
    /// # Errors
    /// The broker cannot be reached, or takes no message.
    pub async fn connect(running: &Running, asked: &Asked<'_>) -> Result<Self, BenchError> {
        match asked.command(Some(running.namesrv())) {
            Command::Produce(args) => produce(&args, running.home(), asked).await,
            Command::Consume(args) => pull(&args, asked).await,
            Command::EndToEnd(args) => tail(&args, asked).await,
            Command::Idle(args) => wait(&args, asked).await,
            _ => unreachable!("scenarios name no other command"),
        }
    }
}

async fn produce(
    args: &ProduceArgs,
    home: &Path,
    asked: &Asked<'_>,
) -> Result<ReadyLoad, BenchError> {
    let (pace, message) = (&args.load.pace, &args.load.message);
    let target = Rc::new(Target::open(&args.load.target).await?);
    first_message(&target, pace, message).await?;
    let producers = Producers::new(&target, message, pace.header.serialize());
    let load = producers.connect(&target, &asked.paced(pace), 0, None).await?;
    let space = files::free_space(home).await?;
    load.stop_after(space.available.saturating_sub(SPACE_LEFT_BYTES) / MESSAGE_STORED_BYTES);
    Ok(ReadyLoad { target, load, beside: None, timing: asked.timing, latency_of: limits::SENDS })
}

async fn pull(args: &ConsumeArgs, asked: &Asked<'_>) -> Result<ReadyLoad, BenchError> {
    let (pace, message) = (&args.load.pace, &args.load.message);
    let target = Rc::new(Target::open(&args.load.target).await?);
    first_message(&target, pace, message).await?;
    produce::fill(&target, pace, message, asked.share_of(args.fill.unwrap_or(0))).await?;
    let plan = PullPlan::replay(args.pull_batch, pace.header.serialize());
    let load = readers::connect(&target, pace, &plan, None).await?;
    Ok(ReadyLoad { target, load, beside: None, timing: asked.timing, latency_of: limits::PULLS })
}

async fn tail(args: &EndToEndArgs, asked: &Asked<'_>) -> Result<ReadyLoad, BenchError> {
    let (pace, message) = (&args.load.pace, &args.load.message);
    let target = Rc::new(Target::open(&args.load.target).await?);
    first_message(&target, pace, message).await?;
    let producers = Producers::new(&target, message, pace.header.serialize());
    let load = end_to_end::consumers(args, &target, producers.run).await?;
    let sends = producers.connect(&target, &asked.paced(pace), 0, None).await?;
    let (timing, latency_of) = (asked.timing, end_to_end::LATENCY_OF);
    Ok(ReadyLoad { target, load, beside: Some(sends), timing, latency_of })
}

/// Pulls that wait.
async fn wait(args: &IdleArgs, asked: &Asked<'_>) -> Result<ReadyLoad, BenchError> {
    let target = Rc::new(Target::open(&args.target).await?);
    let (connections, plan) = (args.connections, idle::plan(args));
    let load = readers::connect_waiting(&target, connections, args.depth, &plan).await?;
    let timing = idle_timing(args.hold, asked.timing);
    Ok(ReadyLoad { target, load, beside: None, timing, latency_of: idle::LATENCY_OF })
}

/// Pulls that wait `hold` all begin at the same time and so end together: what is counted is whole
/// rounds, and its ends lie between two of them.
pub fn idle_timing(hold: Duration, Timing { warm_up, duration }: Timing) -> Timing {
    let rounds = |time: Duration| time.as_secs_f64() / hold.as_secs_f64();
    Timing {
        warm_up: hold.mul_f64(rounds(warm_up).floor() + 0.5),
        duration: hold.mul_f64(rounds(duration).ceil()),
    }
}

/// Sends until a first message is taken.
///
/// # Errors
/// None is.
pub async fn first_message(
    target: &Target,
    pace: &PaceArgs,
    message: &MessageArgs,
) -> Result<(), BenchError> {
    let producers = Producers::new(target, message, pace.header.serialize());
    let lone = PaceArgs { connections: 1, depth: 1, rate: Vec::new(), ..pace.clone() };
    let deadline = Instant::now() + FIRST_MESSAGE_LIMIT;
    let mut tries = 0;
    loop {
        let load = producers.connect(target, &lone, tries, None).await?;
        load.stop_after(1);
        let timing = Timing { warm_up: Duration::ZERO, duration: FIRST_MESSAGE_TRY };
        let tally = load.run_unseen(timing).await;
        if load.messages() > 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            let said = tally.total.errors.lines().next().unwrap_or_default();
            let what = format!("the broker took no message in {FIRST_MESSAGE_LIMIT:?}: {said}");
            return Err(BenchError::Race(what));
        }
        tries += 1;
    }
}
