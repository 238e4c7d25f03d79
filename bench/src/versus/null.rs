//! The null broker in the race: what a broker built as ours can do at best under the same load.
//!
//! Sends are written by the same policy, and those of an end-to-end run delivered. Pulls get the
//! messages that a broker of ours has stored, from memory; cold ones as many of them as the brokers
//! have, from a file that is in no cache. Of sends beside a catch-up it takes the sends, and nobody
//! reads.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use crate::args::Command;
use crate::args::commands::{ConsumeArgs, EndToEndArgs};
use crate::args::limits::Durability;
use crate::args::load::{LoadArgs, MessageArgs};
use crate::args::target::{BrokerArgs, Flush, TargetArgs};
use crate::args::values::Cores;
use crate::driver::Load;
use crate::driver::clients::Clients;
use crate::end_to_end;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::limits::null_load::{LookEnds, NullLoad};
use crate::limits::sample::Sample;
use crate::limits::{NULL_BROKER_CORE, PULLS, SENDS};
use crate::measure::Measured;
use crate::produce;
use crate::record::tally::{LogTime, Tally};
use crate::report::outcome::Outcome;
use crate::target::Target;
use crate::target::scratch::Scratch;
use crate::versus::asked::Asked;
use crate::versus::cold::ONE_READ;
use crate::versus::costs::{Spent, Watch, Watched};
use crate::versus::figures::Figures;
use crate::versus::native::{SentBeside, keep};
use crate::workload::pull::PullPlan;

/// Where the broker keeps its files that stores what is pulled.
const SAMPLE_FOLDER: &str = "sample";

/// Puts what is asked on a null broker with its files below `directory`, looks at it as at every
/// broker, and writes the raw data. What is `cold` it reads from the device.
///
/// # Errors
/// A directory cannot be written, a tool is missing, or a process of ours fails.
pub async fn run(
    directory: &Path,
    flush: Flush,
    cold: bool,
    asked: &Asked<'_>,
) -> Result<Figures, BenchError> {
    let mut scratch = Scratch::new_in(directory).await?;
    scratch.remove_at_end();
    let clients = Clients::start(Cores::numbers(asked.client_cores))?;
    let command = asked.command(None);
    let load = command.load().expect("the null broker meets no other command");
    let cold = cold && matches!(command, Command::Consume(_));
    let timing = if cold { ONE_READ } else { asked.timing };
    let pace = Asked { timing, ..*asked }.paced(&load.pace);
    let directory = scratch.path();
    let spent = Rc::new(Cell::new(Spent::default()));
    let watch = |pid, load: &Rc<Load>| -> LookEnds {
        let broker = Watched { pids: vec![pid], store: directory.to_owned() };
        let watch = Watch::start(broker, load, pace.timing(), asked.prefix);
        let spent = spent.clone();
        Box::pin(async move { spent.set(watch.finish().await) })
    };
    let null = NullLoad {
        directory,
        core: NULL_BROKER_CORE,
        clients: &clients,
        pace: &pace,
        watch: &watch,
        tally: &|| Tally::with_interval_log(LogTime::now()),
    };
    let ran = match &command {
        Command::Consume(args) if cold => Ran::catch_up(null, args, asked).await?,
        Command::Consume(args) => Ran::pulls(null, args).await?,
        Command::EndToEnd(args) => Ran::deliveries(null, flush.into(), args).await?,
        _ => Ran::sends(null, flush.into(), &load.message).await?,
    };
    ran.finish(directory, spent.take(), asked).await
}

/// A load that has run.
struct Ran {
    measured: Measured,
    latency_of: &'static str,
    /// What producers came to whose messages it waited for.
    beside: SentBeside,
    /// Stored bytes of a message that was read from the device, and what that gives per second.
    device_bytes: Option<(f64, f64)>,
}

impl Ran {
    fn of(measured: Measured, latency_of: &'static str) -> Self {
        Self { measured, latency_of, beside: SentBeside::default(), device_bytes: None }
    }

    async fn sends(
        null: NullLoad<'_>,
        durability: Durability,
        message: &MessageArgs,
    ) -> Result<Self, BenchError> {
        Ok(Self::of(null.sends(durability, message, |_, _| ()).await?, SENDS))
    }

    async fn deliveries(
        null: NullLoad<'_>,
        durability: Durability,
        args: &EndToEndArgs,
    ) -> Result<Self, BenchError> {
        let (measured, sent) = null.deliveries(durability, args).await?;
        let beside = SentBeside::of(&sent, measured.tally.messages());
        Ok(Self { beside, ..Self::of(measured, end_to_end::LATENCY_OF) })
    }

    async fn pulls(null: NullLoad<'_>, args: &ConsumeArgs) -> Result<Self, BenchError> {
        let sample = stored(null.directory, args).await?;
        let plan = PullPlan::replay(args.pull_batch, null.pace.header.serialize());
        Ok(Self::of(null.pulls(&plan, &sample.bytes).await?, PULLS))
    }

    /// As many messages as the brokers have there, from the device.
    async fn catch_up(
        null: NullLoad<'_>,
        args: &ConsumeArgs,
        asked: &Asked<'_>,
    ) -> Result<Self, BenchError> {
        let sample = stored(null.directory, args).await?;
        let answers = asked.share_of(args.fill.unwrap_or(0)).div_ceil(sample.messages);
        let plan = PullPlan::replay(args.pull_batch, null.pace.header.serialize());
        let (measured, log) = null.cold_pulls(&plan, &sample.bytes, answers, asked.prefix).await?;
        let stored_bytes = sample.bytes.len() as f64 / sample.messages as f64;
        let device_bytes = Some((stored_bytes, log.bytes_per_s));
        Ok(Self { device_bytes, ..Self::of(measured, PULLS) })
    }

    /// Writes the raw data; the figures that are raced.
    async fn finish(
        self,
        directory: &Path,
        spent: Spent,
        asked: &Asked<'_>,
    ) -> Result<Figures, BenchError> {
        let outcome = Outcome::of_run(&self.measured);
        let environment = Environment::of_directory(directory).await;
        keep(asked, self.latency_of, self.measured, environment).await?;
        let per_second = outcome.messages_per_second;
        let figures = Figures {
            rss_bytes: outcome.broker.map_or(0, |used| used.rss_bytes),
            device_percent: self
                .device_bytes
                .map(|(stored, given)| 100.0 * per_second * stored / given),
            ..Figures::of_load(&outcome).with(spent)
        };
        Ok(self.beside.with(figures))
    }
}

/// A whole answer as our broker gives it: from one that stores its messages, and then ends.
async fn stored(directory: &Path, args: &ConsumeArgs) -> Result<Sample, BenchError> {
    let LoadArgs { target, pace, message, .. } = &args.load;
    let store = Some(directory.join(SAMPLE_FOLDER));
    let broker = BrokerArgs { store, ..target.broker.clone() };
    let place = TargetArgs { queues: 1, client_cores: None, broker, ..target.clone() };
    let target = Rc::new(Target::open(&place).await?);
    produce::fill(&target, pace, message, args.pull_batch.into()).await?;
    let sample = Sample::of(&target, args.pull_batch).await?;
    sample.ok_or_else(|| BenchError::EmptyTopic(target.topic(0).to_string()))
}
