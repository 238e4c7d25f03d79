//! The null broker in the race: what a broker built as ours can do at best under the same load.
//!
//! Sends are written by the same policy. Pulls get the messages that a broker of ours has stored.
//! A message that a waiting consumer gets has the same parts as an acknowledgement, the way to the
//! broker, the write of its group and the way back: so the sends of an end-to-end run alone are the
//! limit of its ages, and say nothing about its CPU time, since they deliver nothing.

use std::path::Path;
use std::rc::Rc;

use crate::args::Command;
use crate::args::commands::ConsumeArgs;
use crate::args::load::{LoadArgs, PaceArgs};
use crate::args::target::{BrokerArgs, Flush, TargetArgs};
use crate::consume;
use crate::driver::Timing;
use crate::driver::clients::Clients;
use crate::error::BenchError;
use crate::limits::NULL_BROKER_CORE;
use crate::limits::null_load::{self, Sides};
use crate::limits::sample::Sample;
use crate::measure::Measured;
use crate::report::Outcome;
use crate::target::Target;
use crate::target::scratch::Scratch;
use crate::versus::figures::Figures;
use crate::versus::native::{command, plan};
use crate::workload::pull::{HOLD, Reading};

/// Where the broker keeps its files that stores what is pulled.
const SAMPLE_FOLDER: &str = "sample";

/// Puts the load of `words` on a null broker with its files below `directory`.
///
/// # Errors
/// The directory cannot be written, or a process of ours fails.
pub async fn run(
    directory: &Path,
    flush: Flush,
    words: &str,
    timing: Timing,
) -> Result<Figures, BenchError> {
    let mut scratch = Scratch::new_in(directory).await?;
    scratch.remove_at_end();
    let path = scratch.path();
    let (measured, delivers) = match command(words, None) {
        Command::Produce(args) => (sends(path, flush, &args.load, timing).await?, true),
        Command::Consume(args) => (pulls(path, &args, timing).await?, true),
        Command::EndToEnd(args) => (sends(path, flush, &args.load, timing).await?, false),
        _ => unreachable!("the null broker meets no other load"),
    };
    let outcome = Outcome::of_run(&measured);
    let meanwhile = measured.meanwhile.map(|meanwhile| meanwhile.strain());
    Ok(Figures {
        broker: outcome.broker.filter(|_| delivers),
        rss_bytes: outcome.broker.map_or(0, |used| used.rss_bytes),
        stolen_percent: meanwhile.and_then(|strain| strain.steal_percent),
        ..Figures::of_load(&outcome)
    })
}

async fn sends(
    path: &Path,
    flush: Flush,
    load: &LoadArgs,
    timing: Timing,
) -> Result<Measured, BenchError> {
    let (clients, pace) = (Clients::default(), paced(&load.pace, timing));
    let sides = Sides { clients: &clients, core: NULL_BROKER_CORE };
    null_load::measure(path, flush.into(), sides, (&pace, &load.message), |_, _| ()).await
}

async fn pulls(path: &Path, args: &ConsumeArgs, timing: Timing) -> Result<Measured, BenchError> {
    let sample = stored(path, args).await?;
    let (clients, pace) = (Clients::default(), paced(&args.load.pace, timing));
    let sides = Sides { clients: &clients, core: NULL_BROKER_CORE };
    let plan = plan(Reading::Replay(None), args.pull_batch, HOLD, pace.header.serialize());
    null_load::measure_pulls(path, &sample.bytes, sides, (&pace, &plan)).await
}

/// A whole answer as our broker gives it: from one that stores so many messages, and then ends.
async fn stored(path: &Path, args: &ConsumeArgs) -> Result<Sample, BenchError> {
    let LoadArgs { target, pace, message, .. } = &args.load;
    let broker = BrokerArgs { store: Some(path.join(SAMPLE_FOLDER)), ..target.broker.clone() };
    let target = Target::open(&TargetArgs { queues: 1, broker, ..target.clone() }).await?;
    let target = Rc::new(target);
    consume::fill(&target, pace, message, args.pull_batch.into()).await?;
    let sample = Sample::of(&target, args.pull_batch).await?;
    sample.ok_or_else(|| BenchError::EmptyTopic(target.topic(0).to_string()))
}

fn paced(pace: &PaceArgs, Timing { warm_up, duration }: Timing) -> PaceArgs {
    PaceArgs { warm_up, duration, ..pace.clone() }
}
