//! The null broker in the race: what a broker built as ours can do at best under the same load.
//!
//! Sends are written by the same policy. Pulls get the messages that a broker of ours has stored. A
//! message that a waiting consumer gets has the same parts as an acknowledgement, the way to the
//! broker, the write of its group and the way back: so the sends of an end-to-end run alone are the
//! limit of its ages, and say nothing about its CPU time, since they deliver nothing. Of sends
//! beside a catch-up it takes the sends, and nobody reads.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use crate::args::Command;
use crate::args::commands::ConsumeArgs;
use crate::args::load::LoadArgs;
use crate::args::target::{BrokerArgs, Flush, TargetArgs};
use crate::args::values::Cores;
use crate::consume;
use crate::driver::Load;
use crate::driver::clients::Clients;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::limits::null_load::{LookEnds, NullLoad};
use crate::limits::sample::Sample;
use crate::limits::{NULL_BROKER_CORE, PULLS, SENDS};
use crate::record::archive::{Archive, LogTime};
use crate::report::Outcome;
use crate::target::Target;
use crate::target::scratch::Scratch;
use crate::versus::asked::Asked;
use crate::versus::costs::{Spent, Watch, Watched};
use crate::versus::figures::Figures;
use crate::versus::loads::plan;
use crate::versus::native::keep;
use crate::workload::pull::{HOLD, Reading};

/// Where the broker keeps its files that stores what is pulled.
const SAMPLE_FOLDER: &str = "sample";

/// Puts what is asked on a null broker with its files below `directory`, looks at it as at every
/// broker, and writes the raw data.
///
/// # Errors
/// A directory cannot be written, or a process of ours fails.
pub async fn run(directory: &Path, flush: Flush, asked: &Asked<'_>) -> Result<Figures, BenchError> {
    let mut scratch = Scratch::new_in(directory).await?;
    scratch.remove_at_end();
    let clients = Clients::start(Cores::numbers(asked.client_cores))?;
    let command = asked.command(None);
    let load = match &command {
        Command::Produce(args) => &args.load,
        Command::Consume(args) => &args.load,
        Command::EndToEnd(args) => &args.load,
        Command::Mixed(args) => &args.load,
        _ => unreachable!("the null broker meets no other load"),
    };
    let pace = asked.paced(&load.pace);
    let (directory, core) = (scratch.path(), NULL_BROKER_CORE);
    let spent = Rc::new(Cell::new(Spent::default()));
    let watch = |pid, load: &Rc<Load>| -> LookEnds {
        let broker = Watched { pids: vec![pid], store: directory.to_owned() };
        let watch = Watch::start(broker, load, asked.timing, asked.prefix);
        let spent = spent.clone();
        Box::pin(async move { spent.set(watch.finish().await) })
    };
    let archive = || Archive::with_interval_log(LogTime::now());
    let null = NullLoad {
        directory,
        core,
        clients: &clients,
        pace: &pace,
        watch: &watch,
        archive: &archive,
    };
    let measured = match &command {
        Command::Consume(args) => {
            let sample = stored(directory, args).await?;
            let (reading, form) = (Reading::Replay(None), pace.header.serialize());
            null.pulls(&plan(reading, args.pull_batch, HOLD, form), &sample.bytes).await?
        }
        _ => null.sends(flush.into(), &load.message, |_, _| ()).await?,
    };
    let outcome = Outcome::of_run(&measured);
    let latency_of = if matches!(command, Command::Consume(_)) { PULLS } else { SENDS };
    keep(asked, latency_of, measured, Environment::of_directory(directory).await).await?;
    let delivers = !matches!(command, Command::EndToEnd(_));
    let spent = spent.take();
    let spent = Spent { broker: spent.broker.filter(|_| delivers), ..spent };
    Ok(Figures {
        rss_bytes: outcome.broker.map_or(0, |used| used.rss_bytes),
        ..Figures::of_load(&outcome).with(spent)
    })
}

/// A whole answer as our broker gives it: from one that stores so many messages, and then ends.
async fn stored(directory: &Path, args: &ConsumeArgs) -> Result<Sample, BenchError> {
    let LoadArgs { target, pace, message, .. } = &args.load;
    let store = Some(directory.join(SAMPLE_FOLDER));
    let broker = BrokerArgs { store, ..target.broker.clone() };
    let place = TargetArgs { queues: 1, client_cores: None, broker, ..target.clone() };
    let target = Rc::new(Target::open(&place).await?);
    consume::fill(&target, pace, message, args.pull_batch.into()).await?;
    let sample = Sample::of(&target, args.pull_batch).await?;
    sample.ok_or_else(|| BenchError::EmptyTopic(target.topic(0).to_string()))
}
