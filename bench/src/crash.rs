//! `bench crash`: kills the broker with SIGKILL in the middle of a load, restarts it, and proves
//! that everything it acknowledged can be read: as sent, once, in order, without gaps.
//!
//! Every round has a topic of its own; at the end all topics are proved once more, so a later
//! recovery cannot lose what an earlier one kept.

use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::{random, task};

use crate::args::{CrashArgs, HeaderForm, LoadArgs, TargetArgs};
use crate::driver::Timing;
use crate::error::BenchError;
use crate::produce::{self, Ending};
use crate::proof::journal::{Journal, Verdict};
use crate::proof::read_back;
use crate::target::Target;

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
    let mut target = Target::start(&target_args(args, 0)).await?;
    let mut proofs = Vec::new();
    for round in 0..args.rounds {
        if round > 0 {
            target = target.with_topic(&target_args(args, round).topic, QUEUES).await?;
        }
        let journal = load_until_killed(args, &mut target).await?;
        let verdict;
        (target, verdict) = prove(target, &journal).await?;
        eprint!("round {:>3} ", round + 1);
        produce::print_verdict(&verdict);
        if !verdict.is_proved() {
            return Ok(Ending::ProofFailed);
        }
        proofs.push((target.topic.clone(), journal));
    }
    prove_again(target, &proofs).await
}

/// Loads the broker, kills it, restarts it; returns what it had acknowledged.
async fn load_until_killed(args: &CrashArgs, target: &mut Target) -> Result<Journal, BenchError> {
    let run = random::seed_u64();
    let load = produce::connect(&load_args(args), target, run, Some(Journal::new(run))).await?;
    let timing = Timing { warm_up: Duration::ZERO, duration: ROUND_LIMIT };
    let running = {
        let load = load.clone();
        task::spawn("bench load", async move { load.run(timing, false).await })
    };
    let span = KILL_AFTER_MS.end - KILL_AFTER_MS.start;
    let pause = KILL_AFTER_MS.start + random::seed_u64() % span;
    task::sleep(Duration::from_millis(pause)).await;
    target.kill_broker()?;
    running.await?;
    target.restart_broker().await?;
    Ok(load.take_journal().expect("it was given one"))
}

/// Reads the target's topic back and compares it with the journal.
async fn prove(target: Target, journal: &Journal) -> Result<(Target, Verdict), BenchError> {
    let shared = Rc::new(target);
    let verdict = journal.check(&read_back::read_all(&shared).await?);
    Ok((Rc::into_inner(shared).expect("all readers are done"), verdict))
}

/// Proves the topics of all rounds after the last restart.
async fn prove_again(
    mut target: Target,
    proofs: &[(String, Journal)],
) -> Result<Ending, BenchError> {
    for (topic, journal) in proofs {
        target = target.with_topic(topic, QUEUES).await?;
        let verdict;
        (target, verdict) = prove(target, journal).await?;
        if !verdict.is_proved() {
            produce::print_verdict(&verdict);
            return Ok(Ending::ProofFailed);
        }
    }
    target.ended_well();
    eprintln!("{} rounds proved, and all of them again after the last restart", proofs.len());
    Ok(Ending::Good)
}

fn target_args(args: &CrashArgs, round: u32) -> TargetArgs {
    TargetArgs {
        namesrv: None,
        topic: format!("Crash{round}"),
        queues: QUEUES,
        flush: args.flush,
        shards: args.shards,
        logs: args.logs,
        store: args.store.clone(),
    }
}

fn load_args(args: &CrashArgs) -> LoadArgs {
    LoadArgs {
        connections: args.connections,
        depth: args.depth.div_ceil(args.connections),
        size: args.size,
        rate: None,
        warm_up: Duration::ZERO,
        duration: ROUND_LIMIT,
        header: HeaderForm::Json,
    }
}
