//! `bench crash`: kills the broker with SIGKILL in the middle of a load, restarts it, and proves
//! that everything it acknowledged can be read: as sent, once, in order, without gaps.
//!
//! Every round has a topic of its own; at the end all topics are proved once more, so a later
//! recovery cannot lose what an earlier one kept.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_runtime::{random, task};

use crate::args::commands::CrashArgs;
use crate::args::load::{HeaderForm, MessageArgs, PaceArgs};
use crate::driver::Timing;
use crate::driver::schedule::Arrivals;
use crate::ending::Ending;
use crate::error::BenchError;
use crate::produce::Producers;
use crate::proof::journal::Verdict;
use crate::proof::{self, read_back};
use crate::target::Target;
use crate::workload::send::Acks;
use crate::workload::topics::Spread;

/// The kill comes at a random moment in this range, so that it hits segments, checkpoints and
/// flushes in different states.
const KILL_AFTER_MS: std::ops::Range<u64> = 300..1_500;

/// The load goes on until the connections break; this only bounds a broker that does not die.
const ROUND_LIMIT: Duration = Duration::from_secs(30);

const QUEUES: u32 = 4;

/// Runs all rounds.
///
/// # Errors
/// The broker cannot be started, restarted or read.
pub async fn run(args: &CrashArgs) -> Result<Ending, BenchError> {
    let mut target = Target::start(&args.broker, &[topic(0)], QUEUES).await?;
    let mut proofs = Vec::new();
    for round in 0..args.rounds {
        if round > 0 {
            target = target.with_topic(&topic(round), QUEUES).await?;
        }
        let acks = load_until_killed(args, &mut target).await?;
        let verdict;
        (target, verdict) = prove(target, &acks).await?;
        eprint!("round {:>3} ", round + 1);
        proof::print(&verdict);
        if !verdict.is_proved() {
            return Ok(Ending::ProofFailed);
        }
        proofs.push((topic(round), acks));
    }
    prove_again(target, &proofs).await
}

/// Loads the broker, kills it, restarts it; returns what it had acknowledged.
async fn load_until_killed(args: &CrashArgs, target: &mut Target) -> Result<Arc<Acks>, BenchError> {
    let pace = pace(args);
    let producers = Producers::new(target, &message(args), pace.header.serialize());
    let acks = Acks::new(producers.run);
    let load = producers.connect(target, &pace, 0, Some(acks.clone())).await?;
    let timing = Timing { warm_up: Duration::ZERO, duration: ROUND_LIMIT };
    let running = load.run_beside("bench load", timing);
    let span = KILL_AFTER_MS.end - KILL_AFTER_MS.start;
    let pause = KILL_AFTER_MS.start + random::seed_u64() % span;
    task::sleep(Duration::from_millis(pause)).await;
    target.kill_broker()?;
    running.await;
    target.restart_broker().await?;
    Ok(acks)
}

/// Reads the target's topic back and compares it with the acknowledgements.
async fn prove(target: Target, acks: &Acks) -> Result<(Target, Verdict), BenchError> {
    let shared = Rc::new(target);
    let contents = read_back::read_all(&shared).await?;
    let verdict = acks.journal().check(&contents);
    Ok((Rc::into_inner(shared).expect("all readers are done"), verdict))
}

/// Proves the topics of all rounds after the last restart.
async fn prove_again(
    mut target: Target,
    proofs: &[(String, Arc<Acks>)],
) -> Result<Ending, BenchError> {
    for (topic, acks) in proofs {
        target = target.with_topic(topic, QUEUES).await?;
        let verdict;
        (target, verdict) = prove(target, acks).await?;
        if !verdict.is_proved() {
            proof::print(&verdict);
            return Ok(Ending::ProofFailed);
        }
    }
    target.ended_well();
    eprintln!("{} rounds proved, and all of them again after the last restart", proofs.len());
    Ok(Ending::Good)
}

fn topic(round: u32) -> String {
    format!("Crash{round}")
}

fn pace(args: &CrashArgs) -> PaceArgs {
    PaceArgs {
        connections: args.connections,
        depth: args.depth.div_ceil(args.connections),
        rate: Vec::new(),
        arrivals: Arrivals::Constant,
        warm_up: Duration::ZERO,
        duration: ROUND_LIMIT,
        messages: None,
        repeat: 1,
        header: HeaderForm::Json,
    }
}

fn message(args: &CrashArgs) -> MessageArgs {
    MessageArgs {
        size: args.size,
        compressible: 0,
        keys: None,
        tags: Vec::new(),
        batch: 1,
        spread: Spread::Uniform,
    }
}
