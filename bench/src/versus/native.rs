//! Bench's own client, the same for all brokers: it runs what the measuring commands of bench run,
//! and counts what the broker uses from the end of the warm-up on.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::SerializeType;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use crate::args::commands::{ConsumeArgs, EndToEndArgs, IdleArgs, ProduceArgs};
use crate::args::load::{MessageArgs, PaceArgs};
use crate::args::{Cli, Command};
use crate::consume;
use crate::driver::{Load, Timing};
use crate::end_to_end;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::limits;
use crate::measure::Measured;
use crate::produce::Producers;
use crate::record::archive::{Archive, LogTime};
use crate::report::{Outcome, Report, files};
use crate::target::Target;
use crate::versus::contestant::{Running, last_range};
use crate::versus::costs::{Spent, Watch};
use crate::versus::figures::Figures;
use crate::versus::mappings;
use crate::workload::pull::{HOLD, PullPlan, Reading};

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
struct Work {
    target: Rc<Target>,
    load: Rc<Load>,
    /// Producers whose messages `load` waits for.
    beside: Option<Rc<Load>>,
    timing: Timing,
    latency_of: &'static str,
}

/// The command of these words on a name server, none for the null broker.
pub fn command(words: &str, namesrv: Option<&str>) -> Command {
    let place = namesrv.map(|namesrv| ["-n".to_owned(), namesrv.to_owned()]);
    let words = words.split(' ').map(str::to_owned).chain(place.into_iter().flatten());
    let words: Vec<String> = words.collect();
    Cli::from_words(&words).unwrap_or_else(|error| error.exit()).command
}

/// Puts the load of `words` on the broker and writes the raw data to files that begin with
/// `prefix`.
///
/// # Errors
/// The broker cannot be reached, or there is no space for the run.
pub async fn run(
    running: &Running,
    words: &str,
    (timing, fill_share): (Timing, f64),
    prefix: &Path,
) -> Result<(Figures, Rc<Target>), BenchError> {
    let rss_idle_bytes = running.usage().rss_bytes;
    let work = match command(words, Some(running.namesrv())) {
        Command::Produce(args) => produce(&args, running.home(), timing).await?,
        Command::Consume(args) => pull(&args, timing, fill_share).await?,
        Command::EndToEnd(args) => tail(&args, timing).await?,
        Command::Idle(args) => wait(&args, timing).await?,
        _ => unreachable!("scenarios name no other command"),
    };
    let (measured, failures, spent) = measure(running, &work, prefix).await;
    let outcome = Outcome::of_run(&measured);
    if outcome.seconds * 2.0 < work.timing.duration.as_secs_f64() {
        let what = format!(
            "the space for messages was used up after {:.1} counted seconds: name another \
             --directory, or shorten --duration and --jvm-warm-up",
            outcome.seconds
        );
        return Err(BenchError::Race(what));
    }
    keep(prefix, words, work.latency_of, measured, &work.target).await?;
    let of_load = Figures::of_load(&outcome).with(spent);
    let figures = Figures {
        rss_idle_bytes,
        rss_bytes: running.usage().rss_bytes,
        failures: of_load.failures + failures,
        ..of_load
    };
    Ok((figures, work.target))
}

/// Writes what a load came to.
///
/// # Errors
/// A file cannot be written.
pub async fn keep(
    prefix: &Path,
    words: &str,
    latency_of: &'static str,
    measured: Measured,
    target: &Target,
) -> Result<(), BenchError> {
    let mut report = Report::new(words.to_owned(), latency_of, std::slice::from_ref(&measured));
    report.environment = Environment::of(target).await;
    files::write(prefix, &report, &[measured]).await?;
    Ok(())
}

/// Ends the broker and starts it again: how long that took until it answered.
///
/// # Errors
/// It does not end or start, or lacks what it had stored; or the kernel allows fewer mappings than
/// it needs, and nothing is tried.
pub async fn restart(running: &mut Running, target: &Target) -> Result<Duration, BenchError> {
    if running.is_apache() {
        mappings::check(target.queues().len()).await?;
    }
    let stored = last_range(target).await?;
    running.end().await?;
    let took = running.start_again(target).await?;
    match last_range(target).await? == stored {
        true => Ok(took),
        false => Err(BenchError::Race("a queue is not what it was before the end".to_owned())),
    }
}

async fn produce(args: &ProduceArgs, home: &Path, timing: Timing) -> Result<Work, BenchError> {
    let (pace, message) = (&args.load.pace, &args.load.message);
    let target = Rc::new(Target::open(&args.load.target).await?);
    first_message(&target, pace, message).await?;
    let producers = Producers::new(&target, message, pace.header.serialize());
    let pace = PaceArgs { warm_up: timing.warm_up, duration: timing.duration, ..pace.clone() };
    let load = producers.connect(&target, &pace, 0, None).await?;
    let space = files::free_space(home).await?;
    load.stop_after(space.available.saturating_sub(SPACE_LEFT_BYTES) / MESSAGE_STORED_BYTES);
    Ok(Work { target, load, beside: None, timing, latency_of: limits::SENDS })
}

async fn pull(args: &ConsumeArgs, timing: Timing, fill_share: f64) -> Result<Work, BenchError> {
    let (pace, message) = (&args.load.pace, &args.load.message);
    let target = Rc::new(Target::open(&args.load.target).await?);
    first_message(&target, pace, message).await?;
    let messages = share_of(args.fill.unwrap_or(0), fill_share);
    consume::fill(&target, pace, message, messages).await?;
    let load = Load::new(None);
    let plan = plan(Reading::Replay(None), args.pull_batch, HOLD, pace.header.serialize());
    consume::connect(&target, pace, &plan, &load).await?;
    Ok(Work { target, load, beside: None, timing, latency_of: limits::PULLS })
}

async fn tail(args: &EndToEndArgs, timing: Timing) -> Result<Work, BenchError> {
    let (pace, message) = (&args.load.pace, &args.load.message);
    let target = Rc::new(Target::open(&args.load.target).await?);
    first_message(&target, pace, message).await?;
    let producers = Producers::new(&target, message, pace.header.serialize());
    let load = end_to_end::consumers(args, &target, producers.run).await?;
    let pace = PaceArgs { warm_up: timing.warm_up, duration: timing.duration, ..pace.clone() };
    let sends = producers.connect(&target, &pace, 0, None).await?;
    Ok(Work { target, load, beside: Some(sends), timing, latency_of: "end to end us" })
}

/// Pulls that wait `hold` all begin at the same time and so end together: what is counted is whole
/// rounds, and its ends lie between two of them.
pub fn idle_timing(hold: Duration, warm_up: Duration, duration: Duration) -> Timing {
    let rounds = |time: Duration| time.as_secs_f64() / hold.as_secs_f64();
    Timing {
        warm_up: hold.mul_f64(rounds(warm_up).floor() + 0.5),
        duration: hold.mul_f64(rounds(duration).ceil()),
    }
}

/// Pulls that wait.
async fn wait(args: &IdleArgs, timing: Timing) -> Result<Work, BenchError> {
    let target = Rc::new(Target::open(&args.target).await?);
    let serialize = args.header.serialize();
    let load = Load::new(None);
    let plan = plan(Reading::Tail, 32, args.hold, serialize);
    consume::connect_waiting(&target, args.connections, args.depth, &plan, &load).await?;
    let timing = idle_timing(args.hold, timing.warm_up, timing.duration);
    Ok(Work { target, load, beside: None, timing, latency_of: "wait us" })
}

/// A plan of pulls of any tag.
pub fn plan(
    reading: Reading,
    batch: u32,
    hold: Duration,
    serialize: SerializeType,
) -> Rc<PullPlan> {
    Rc::new(PullPlan { reading, batch, subscription: "*".to_owned(), hold, serialize })
}

/// So much of a number of messages; not less than 1.
pub fn share_of(messages: u64, share: f64) -> u64 {
    ((messages as f64 * share) as u64).max(1)
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
        let archive = load.run(timing, Archive::default(), |_, _| ()).await;
        if load.messages() > 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            let said = archive.total.errors.lines().next().unwrap_or_default();
            let what = format!("the broker took no message in {FIRST_MESSAGE_LIMIT:?}: {said}");
            return Err(BenchError::Race(what));
        }
        tries += 1;
    }
}

/// Runs the load; also gives the failures of what ran beside, and what was spent.
async fn measure(running: &Running, work: &Work, prefix: &Path) -> (Measured, u64, Spent) {
    let timing = work.timing;
    let watch = Watch::start(running, &work.load, timing, prefix);
    let beside = work.beside.clone().map(|load| {
        let sending = async move { load.run(timing, Archive::default(), |_, _| ()).await };
        task::spawn("bench producers", sending)
    });
    let archive = Archive::with_interval_log(LogTime::now());
    let archive = work.load.run(timing, archive, |_, _| ()).await;
    let failures = match beside {
        Some(sending) => sending.await.total.errors.total(),
        None => 0,
    };
    (Measured { archive, ..Measured::default() }, failures, watch.finish().await)
}
