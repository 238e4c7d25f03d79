//! Catch-up on messages that are in no cache.
//!
//! A cold topic is filled, then another one, and the broker ends. What it wrote is dropped from the
//! page cache while nobody has it mapped, the device is measured, and the broker starts again: what
//! it looks at then is the end of its log, which is the other topic's. That one also warms the
//! readers up. Before the cold topic is read, once, the kernel is asked whether its files are still
//! in no cache; if they are, the run counts for nothing.
//!
//! Both brokers get small log files, so that their ends are small.

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::request;
use ringmq_protocol::record::records;
use ringmq_runtime::task;

use crate::args::Command;
use crate::args::load::{LoadArgs, PaceArgs};
use crate::args::target::TargetArgs;
use crate::cold_log::ColdLog;
use crate::driver::{Load, Timing};
use crate::environment::Environment;
use crate::error::BenchError;
use crate::limits;
use crate::measure::Measured;
use crate::produce;
use crate::readers;
use crate::record::tally::{LogTime, Tally};
use crate::report::outcome::Outcome;
use crate::target::Target;
use crate::target::caller::Caller;
use crate::versus::asked::Asked;
use crate::versus::catch_up::CatchUpSends;
use crate::versus::contestant::Running;
use crate::versus::costs::{Watch, Watched};
use crate::versus::figures::Figures;
use crate::versus::loads::first_message;
use crate::versus::native::keep;
use crate::wire;
use crate::workload::pull::{PullPlan, Reading};

/// The topic that is read cold.
const TOPIC: &str = "BenchCold";

/// Length of the log files that [`crate::versus::scenario::Scenario::keys`] asks for.
const LOG_FILE_BYTES: u64 = 64 << 20;

/// Messages of the other topic: more than the three files that Apache's broker checks at its start.
pub const OTHER_MESSAGES: u64 = 220_000;

/// Smallest stored size of a message with a body of 1 KiB.
const STORED_MIN_BYTES: u64 = 1_024;

/// A catch-up is as long as it takes, up to this.
pub const ONE_READ: Timing = Timing { warm_up: Duration::ZERO, duration: Duration::from_secs(600) };

/// From here on before the end of its time a read has had all of it.
const TIME_IS_UP: Duration = Duration::from_secs(1);

/// How the cold topic is read.
struct Reads {
    /// Messages of it.
    messages: u64,
    connections: u32,
    batch: u32,
}

/// A broker with a cold topic.
pub struct Cold {
    /// That topic.
    pub target: Rc<Target>,
    /// Another one.
    pub other: Rc<Target>,
    /// Memory of the broker before anything.
    pub rss_idle_bytes: u64,
    log: ColdLog,
    reads: Reads,
    pace: PaceArgs,
}

/// Puts the words of `bench consume` or `bench mixed` on cold messages.
///
/// # Errors
/// The broker cannot be reached or does not start again, a tool is missing, or what should be cold
/// is not.
pub async fn run(running: &mut Running, asked: &Asked<'_>) -> Result<Figures, BenchError> {
    let (load, fill, batch, beside) = match asked.command(Some(running.namesrv())) {
        Command::Consume(args) => (args.load, args.fill.unwrap_or(0), args.pull_batch, None),
        Command::Mixed(args) => (args.load, args.fill, args.pull_batch, Some(args.readers)),
        _ => unreachable!("cold scenarios name no other command"),
    };
    let connections = beside.unwrap_or(load.pace.connections);
    let reads = Reads { messages: asked.share_of(fill), connections, batch };
    let cold = Cold::prepare(running, &load, reads, asked).await?;
    cold.warm_up(asked.timing.warm_up).await?;
    let sends = match beside {
        Some(_) => Some(CatchUpSends::alone(&cold, &load, asked).await?),
        None => None,
    };
    cold.log.check().await?;
    match sends {
        None => catch_up(running, &cold, asked).await,
        Some(sends) => sends.beside(running, &cold, asked).await,
    }
}

impl Cold {
    /// Fills the topics, and starts the broker again on a cold store.
    async fn prepare(
        running: &mut Running,
        load: &LoadArgs,
        reads: Reads,
        asked: &Asked<'_>,
    ) -> Result<Self, BenchError> {
        let rss_idle_bytes = running.usage().rss_bytes;
        let LoadArgs { target: place, pace, message, .. } = load;
        let cold = TargetArgs { topic: TOPIC.to_owned(), ..place.clone() };
        let target = Rc::new(Target::open(&cold).await?);
        let other = Rc::new(target.beside(&place.topic, place.queues).await?);
        first_message(&target, pace, message).await?;
        produce::fill(&target, pace, message, reads.messages).await?;
        produce::fill(&other, pace, message, OTHER_MESSAGES).await?;
        running.end().await?;
        let all_cold = reads.messages * STORED_MIN_BYTES / LOG_FILE_BYTES;
        let files = usize::try_from(all_cold).unwrap_or(0).max(1);
        let log = ColdLog::drop_of(running.home(), files, asked.prefix).await?;
        running.start_again(&target).await?;
        Ok(Self { target, other, rss_idle_bytes, log, reads, pace: pace.clone() })
    }

    /// Reads the other topic over and over.
    async fn warm_up(&self, length: Duration) -> Result<(), BenchError> {
        let load = self.readers(&self.other, None).await?;
        let timing = Timing { warm_up: length, duration: Duration::ZERO };
        load.run_unseen(timing).await;
        Ok(())
    }

    /// Connections that read a topic a number of times, or until the run ends.
    async fn readers(&self, target: &Target, passes: Option<u32>) -> Result<Rc<Load>, BenchError> {
        let (pace, plan) = self.reading(passes);
        readers::connect(target, &pace, &plan, None).await
    }

    /// Connections that read the cold topic once, apart from producers.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn readers_apart(&self) -> Result<Rc<Load>, BenchError> {
        let (pace, plan) = self.reading(Some(1));
        readers::connect_apart(&self.target, &pace, &plan).await
    }

    fn reading(&self, passes: Option<u32>) -> (PaceArgs, PullPlan) {
        let connections = self.reads.connections;
        let pace = PaceArgs { connections, depth: 1, rate: Vec::new(), ..self.pace.clone() };
        let plan = PullPlan::replay(self.reads.batch, pace.header.serialize());
        (pace, PullPlan { reading: Reading::Replay(passes), ..plan })
    }

    /// Demands that a read of the cold topic has come to its end.
    ///
    /// # Errors
    /// See [`demand_whole`].
    pub fn demand_whole(&self, read: &Tally) -> Result<(), BenchError> {
        demand_whole(self.reads.messages, read)
    }
}

/// Demands `messages` of a read that did not take all the time there is: one that lost a
/// connection on its way, or was told too early that nothing is left, was another load.
///
/// # Errors
/// It has fewer.
fn demand_whole(messages: u64, read: &Tally) -> Result<(), BenchError> {
    let found = read.total.messages;
    if found >= messages || read.elapsed() + TIME_IS_UP >= ONE_READ.duration {
        return Ok(());
    }
    Err(BenchError::Race(format!("a catch-up ended after {found} of {messages} messages")))
}

/// Reads the cold topic once, as fast as it comes.
async fn catch_up(
    running: &Running,
    cold: &Cold,
    asked: &Asked<'_>,
) -> Result<Figures, BenchError> {
    let stored_bytes = stored_bytes(&cold.target).await?;
    let load = cold.readers(&cold.target, Some(1)).await?;
    let watch = Watch::start(Watched::of(running), &load, ONE_READ, asked.prefix);
    // The watch looks before the first pull.
    task::yield_now().await;
    let tally = Tally::with_interval_log(LogTime::now());
    let tally = load.run(ONE_READ, tally, |_, _| ()).await;
    let spent = watch.finish().await;
    let whole = cold.demand_whole(&tally);
    let measured = Measured::of(tally);
    let of_load = Figures::of_load(&Outcome::of_run(&measured)).with(spent);
    keep(asked, limits::PULLS, measured, Environment::of(&cold.target).await).await?;
    whole?;
    let share = of_load.messages_per_second * stored_bytes / cold.log.bytes_per_s;
    Ok(Figures {
        device_percent: Some(100.0 * share),
        rss_idle_bytes: cold.rss_idle_bytes,
        rss_bytes: running.usage().rss_bytes,
        ..of_load
    })
}

/// Mean stored size of the first messages of a topic.
async fn stored_bytes(target: &Target) -> Result<f64, BenchError> {
    let queue = target.queues().into_iter().next().expect("a topic has a queue");
    let mut caller = Caller::connect(target.broker_addr(queue.broker)).await?;
    let queue_id = i32::try_from(queue.queue_id).expect("queue ids are small");
    let pull = wire::pull(target.topic(queue.topic), queue_id, 0, 32);
    let counted = |answer: &ringmq_protocol::Command<'_>| {
        (answer.body.len(), records(answer.body).filter(Result::is_ok).count())
    };
    let (bytes, messages) =
        caller.expect("first messages", request::PULL_MESSAGE, &pull, counted).await?;
    Ok(bytes as f64 / messages.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::window::Window;

    #[test]
    fn a_catch_up_that_ends_before_its_topic_has_no_figure() {
        let is_whole = |messages, seconds| {
            let window = Window { messages, ..Window::default() };
            let mut read = Tally::default();
            read.add(&window, Duration::ZERO, Duration::from_secs(seconds), 0);
            demand_whole(1_000, &read).is_ok()
        };
        assert!(is_whole(1_000, 2) && is_whole(1_001, 2));
        assert!(!is_whole(999, 2));
        assert!(is_whole(999, ONE_READ.duration.as_secs()), "it was slow, and is told so");
    }
}
