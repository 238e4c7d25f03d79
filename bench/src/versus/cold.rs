//! Catch-up on messages that are in no cache.
//!
//! A cold topic is filled, then another one, and the broker ends. What it wrote is dropped from the
//! page cache while nobody has it mapped, the device is measured, and the broker starts again: what
//! it looks at then is the end of its log, which is the other topic's. That one also warms the
//! readers up. Before the cold topic is read, once, the kernel is asked whether its files are still
//! in no cache; if they are, the run counts for nothing.
//!
//! Both brokers get small log files, so that their ends are small.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::request;
use ringmq_protocol::record::records;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use crate::args::Command;
use crate::args::commands::MixedArgs;
use crate::args::load::PaceArgs;
use crate::args::target::TargetArgs;
use crate::consume;
use crate::driver::{Load, Timing};
use crate::error::BenchError;
use crate::limits::{self, device};
use crate::measure::Measured;
use crate::observe::Machine;
use crate::page_cache;
use crate::produce::Producers;
use crate::record::archive::{Archive, LogTime};
use crate::report::Outcome;
use crate::report::files::with_extension;
use crate::target::Target;
use crate::target::caller::Caller;
use crate::versus::contestant::Running;
use crate::versus::costs::Watch;
use crate::versus::figures::Figures;
use crate::versus::native::{command, first_message, keep, plan, share_of};
use crate::wire;
use crate::workload::pull::{HOLD, Reading};

/// The topic that is read cold.
const TOPIC: &str = "BenchCold";

/// Length of the log files that [`crate::versus::scenario::Scenario::keys`] asks for.
const LOG_FILE_BYTES: u64 = 64 << 20;

/// Messages of the other topic: more than the three files that Apache's broker checks at its start.
pub const OTHER_MESSAGES: u64 = 220_000;

/// Smallest stored size of a message with a body of 1 KiB.
const STORED_MIN_BYTES: u64 = 1_024;

/// Longest catch-up.
const READ_LIMIT: Duration = Duration::from_secs(600);

/// What is asked of a run.
struct Asked {
    pace: PaceArgs,
    batch: u32,
    /// The sends beside the readers, if there are any.
    sends: Option<MixedArgs>,
}

/// A broker with a cold topic.
struct Cold {
    asked: Asked,
    target: Rc<Target>,
    /// The other topic.
    other: Rc<Target>,
    files: Vec<PathBuf>,
    device_bytes_per_s: f64,
    rss_idle_bytes: u64,
}

/// Puts the words of `bench consume` or `bench mixed` on cold messages.
///
/// # Errors
/// The broker cannot be reached or does not start again, a tool is missing, or what should be cold
/// is not.
pub async fn run(
    running: &mut Running,
    words: &str,
    (timing, fill_share): (Timing, f64),
    prefix: &Path,
) -> Result<Figures, BenchError> {
    let rss_idle_bytes = running.usage().rss_bytes;
    let cold = prepare(running, words, (fill_share, rss_idle_bytes), prefix).await?;
    warm_up(&cold, timing.warm_up).await?;
    let sends = match &cold.asked.sends {
        Some(args) => Some(Sends::warm(&cold, args, timing).await?),
        None => None,
    };
    page_cache::refuse_cached(&cold.files, &with_extension(prefix, "cached.log")).await?;
    match sends {
        None => catch_up(running, &cold, words, prefix).await,
        Some(sends) => beside(running, &cold, sends, words, prefix).await,
    }
}

/// Fills the topics, and starts the broker again on a cold store.
async fn prepare(
    running: &mut Running,
    words: &str,
    (fill_share, rss_idle_bytes): (f64, u64),
    prefix: &Path,
) -> Result<Cold, BenchError> {
    let (load, fill, batch, sends) = match command(words, Some(running.namesrv())) {
        Command::Consume(args) => (args.load, args.fill.unwrap_or(0), args.pull_batch, None),
        Command::Mixed(args) => (args.load.clone(), args.fill, args.pull_batch, Some(args)),
        _ => unreachable!("cold scenarios name no other command"),
    };
    let (pace, message) = (&load.pace, &load.message);
    let place = TargetArgs { topic: TOPIC.to_owned(), ..load.target.clone() };
    let target = Rc::new(Target::open(&place).await?);
    let other = Rc::new(Target::open(&load.target).await?);
    first_message(&target, pace, message).await?;
    let messages = share_of(fill, fill_share);
    consume::fill(&target, pace, message, messages).await?;
    consume::fill(&other, pace, message, OTHER_MESSAGES).await?;
    running.end().await?;
    let files = page_cache::log_files(running.home()).await?;
    page_cache::drop_files(&files, &with_extension(prefix, "drop.log")).await?;
    let all_cold = usize::try_from(messages * STORED_MIN_BYTES / LOG_FILE_BYTES).unwrap_or(0);
    let files = files.into_iter().take(all_cold.max(1)).collect::<Vec<_>>();
    let read = device::files_bytes_per_s(&files).await;
    let device_bytes_per_s = read.map_err(|error| BenchError::file(running.home(), error))?;
    running.start_again(&target).await?;
    let asked = Asked { pace: load.pace, batch, sends };
    Ok(Cold { asked, target, other, files, device_bytes_per_s, rss_idle_bytes })
}

/// Reads the other topic over and over.
async fn warm_up(cold: &Cold, length: Duration) -> Result<(), BenchError> {
    let load = readers(cold, &cold.other, None).await?;
    let timing = Timing { warm_up: length, duration: Duration::ZERO };
    load.run(timing, Archive::default(), |_, _| ()).await;
    Ok(())
}

/// Connections that read a topic so often, or until the run ends.
async fn readers(
    cold: &Cold,
    target: &Target,
    passes: Option<u32>,
) -> Result<Rc<Load>, BenchError> {
    let Asked { pace, batch, sends, .. } = &cold.asked;
    let connections = sends.as_ref().map_or(pace.connections, |args| args.readers);
    let pace = PaceArgs { connections, depth: 1, rate: Vec::new(), ..pace.clone() };
    let plan = plan(Reading::Replay(passes), *batch, HOLD, pace.header.serialize());
    let load = Load::new(None);
    consume::connect(target, &pace, &plan, &load).await?;
    Ok(load)
}

/// Reads the cold topic once, as fast as it comes.
async fn catch_up(
    running: &Running,
    cold: &Cold,
    words: &str,
    prefix: &Path,
) -> Result<Figures, BenchError> {
    let stored_bytes = stored_bytes(&cold.target).await?;
    let load = readers(cold, &cold.target, Some(1)).await?;
    let timing = Timing { warm_up: Duration::ZERO, duration: READ_LIMIT };
    let watch = Watch::start(running, &load, timing, prefix);
    // The watch looks before the first pull.
    task::yield_now().await;
    let archive = load.run(timing, Archive::with_interval_log(LogTime::now()), |_, _| ()).await;
    let spent = watch.finish().await;
    let measured = Measured { archive, ..Measured::default() };
    let of_load = Figures::of_load(&Outcome::of_run(&measured)).with(spent);
    keep(prefix, words, limits::PULLS, measured, &cold.target).await?;
    let share = of_load.messages_per_second * stored_bytes / cold.device_bytes_per_s;
    Ok(Figures {
        device_percent: Some(100.0 * share),
        rss_idle_bytes: cold.rss_idle_bytes,
        rss_bytes: running.usage().rss_bytes,
        ..of_load
    })
}

/// Sends at a fixed rate to the other topic.
struct Sends {
    producers: Producers,
    pace: PaceArgs,
    alone_us: f64,
    /// What the host took meanwhile.
    stolen_percent: Option<f64>,
}

impl Sends {
    /// Runs them alone, for the warm-up and the counted time.
    async fn warm(cold: &Cold, args: &MixedArgs, timing: Timing) -> Result<Self, BenchError> {
        let serialize = cold.asked.pace.header.serialize();
        let producers = Producers::new(&cold.other, &args.load.message, serialize);
        let pace = PaceArgs {
            warm_up: timing.warm_up,
            duration: timing.duration,
            ..cold.asked.pace.clone()
        };
        let load = producers.connect(&cold.other, &pace, 0, None).await?;
        let before = Machine::look().await;
        let archive = load.run(timing, Archive::default(), |_, _| ()).await;
        let stolen_percent = Machine::look().await.since(&before).strain().steal_percent;
        let alone_us = archive.total.response.percentile_us(99.0);
        Ok(Self { producers, pace, alone_us, stolen_percent })
    }
}

/// The same sends as long as the cold topic is read beside them, once.
async fn beside(
    running: &Running,
    cold: &Cold,
    sends: Sends,
    words: &str,
    prefix: &Path,
) -> Result<Figures, BenchError> {
    let pace = PaceArgs { warm_up: Duration::ZERO, duration: READ_LIMIT, ..sends.pace };
    let load = sends.producers.connect(&cold.other, &pace, 1, None).await?;
    let timing = Timing { warm_up: Duration::ZERO, duration: READ_LIMIT };
    let readers = readers(cold, &cold.target, Some(1)).await?;
    let sending = load.clone();
    let reading = task::spawn("bench readers", async move {
        let begun = Instant::now();
        let archive = readers.run(timing, Archive::default(), |_, _| ()).await;
        // Nothing more is sent when everything is read.
        sending.stop_after(0);
        (archive, begun.elapsed())
    });
    let watch = Watch::start(running, &load, timing, prefix);
    let archive = load.run(timing, Archive::with_interval_log(LogTime::now()), |_, _| ()).await;
    let (read, took) = reading.await;
    let spent = watch.finish().await;
    let megabytes = read.total.bytes as f64 / 1e6;
    eprintln!("  read {megabytes:.0} MB of bodies beside, in {:.1} s", took.as_secs_f64());
    let measured = Measured { archive, ..Measured::default() };
    let of_load = Figures::of_load(&Outcome::of_run(&measured)).with(spent);
    keep(prefix, words, limits::SENDS, measured, &cold.target).await?;
    Ok(Figures {
        p99_alone_us: Some(sends.alone_us),
        // Its p99 stands beside that of the sends alone, so both must be without pauses.
        stolen_percent: larger(of_load.stolen_percent, sends.stolen_percent),
        rss_idle_bytes: cold.rss_idle_bytes,
        rss_bytes: running.usage().rss_bytes,
        failures: of_load.failures + read.total.errors.total(),
        ..of_load
    })
}

/// The larger of those that are known.
fn larger(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
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
