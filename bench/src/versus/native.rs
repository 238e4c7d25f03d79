//! Bench's own client, the same for all brokers: it runs what `bench produce` and `bench consume`
//! run, and counts what the broker uses from the end of the warm-up on.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::disk::Disk;

use crate::args::commands::{ConsumeArgs, ProduceArgs};
use crate::args::load::PaceArgs;
use crate::args::{Cli, Command};
use crate::consume;
use crate::driver::{Load, Timing};
use crate::environment::Environment;
use crate::error::BenchError;
use crate::measure::{Measured, Used};
use crate::produce::Producers;
use crate::record::archive::{Archive, LogTime};
use crate::report::{Outcome, Report, files};
use crate::target::Target;
use crate::versus::contestant::Running;
use crate::versus::figures::Figures;
use crate::workload::pull::{HOLD, PullPlan, Reading};

/// Space that a run leaves: Apache's broker has always two log files of 1 GiB in hand, and nobody's
/// disk shall be filled by a race.
const SPACE_LEFT_BYTES: u64 = 3 << 30;

/// What a message of 1 KiB takes at most, with its share of the indexes of either broker.
const MESSAGE_STORED_BYTES: u64 = 1_536;

/// Puts the load of `words` on the broker and writes the raw data to files that begin with
/// `prefix`.
///
/// # Errors
/// The broker cannot be reached, or there is no space for the run.
pub async fn run(
    running: &Running,
    words: &str,
    timing: Timing,
    prefix: &Path,
) -> Result<Figures, BenchError> {
    let seconds = |time: Duration| format!("{}", time.as_secs_f64());
    let (warm_up, duration) = (seconds(timing.warm_up), seconds(timing.duration));
    let more = ["-n", running.namesrv(), "--warm-up", &warm_up, "--duration", &duration];
    let words: Vec<String> = words.split(' ').chain(more).map(str::to_owned).collect();
    let target = Rc::new(running.target().await?);
    let (pace, latency_of, load) =
        match Cli::from_words(&words).unwrap_or_else(|error| error.exit()).command {
            Command::Produce(args) => {
                let load = produce(&target, &args, running.home()).await?;
                (args.load.pace, "send us", load)
            }
            Command::Consume(args) => {
                let load = pull(&target, &args).await?;
                (args.load.pace, "pull us", load)
            }
            _ => unreachable!("scenarios produce or consume"),
        };
    let measured = measure(running, &pace, &load).await;
    let outcome = Outcome::of_run(&measured);
    if outcome.seconds * 2.0 < timing.duration.as_secs_f64() {
        let what = format!(
            "the space for messages was used up after {:.1} counted seconds: name another \
             --directory, or shorten --duration and --jvm-warm-up",
            outcome.seconds
        );
        return Err(BenchError::Race(what));
    }
    let mut report = Report::new(words.join(" "), latency_of, std::slice::from_ref(&measured));
    report.environment = Environment::of(&target).await;
    files::write(prefix, &report, &[measured]).await?;
    Ok(figures(&outcome))
}

async fn produce(target: &Target, args: &ProduceArgs, home: &Path) -> Result<Rc<Load>, BenchError> {
    let producers = Producers::new(target, &args.load.message, args.load.pace.header.serialize());
    let load = producers.connect(target, &args.load.pace, 0, None).await?;
    let space = match Disk::live(home) {
        Ok(disk) => disk.free_space().await,
        Err(error) => Err(error),
    };
    let space = space.map_err(|error| BenchError::file(home, error))?;
    load.stop_after(space.available.saturating_sub(SPACE_LEFT_BYTES) / MESSAGE_STORED_BYTES);
    Ok(load)
}

async fn pull(target: &Target, args: &ConsumeArgs) -> Result<Rc<Load>, BenchError> {
    consume::fill(target, &args.load.pace, &args.load.message, args.fill.unwrap_or(0)).await?;
    let plan = Rc::new(PullPlan {
        reading: Reading::Replay(None),
        batch: args.pull_batch,
        subscription: args.subscription.clone(),
        hold: HOLD,
        serialize: args.load.pace.header.serialize(),
    });
    let load = Load::new(args.load.pace.schedule(0));
    consume::connect(target, &args.load.pace, &plan, &load).await?;
    Ok(load)
}

/// Runs the load. The broker's use counts from the end of the warm-up, which ends with a second.
async fn measure(running: &Running, pace: &PaceArgs, load: &Rc<Load>) -> Measured {
    let look = || (running.usage().cpu, load.messages());
    let before = Cell::new(look());
    let archive = Archive::with_interval_log(LogTime::now());
    let archive = load
        .run(pace.timing(), archive, |_, warming_up| {
            if warming_up {
                before.set(look());
            }
        })
        .await;
    let (cpu_before, messages_before) = before.get();
    let after = running.usage();
    let messages = load.messages().saturating_sub(messages_before);
    let used =
        Used { cpu: after.cpu.saturating_sub(cpu_before), ..Used::between(after, after, messages) };
    Measured { archive, used: Some(used), meanwhile: None }
}

fn figures(outcome: &Outcome) -> Figures {
    let percentile = |name: &str| outcome.response.percentiles_us.get(name).copied();
    let broker = outcome.broker.expect("a run here has looked at the broker");
    Figures {
        seconds: outcome.seconds,
        messages: outcome.messages,
        messages_per_second: outcome.messages_per_second,
        p50_us: percentile("p50"),
        p99_us: percentile("p99"),
        p999_us: percentile("p99.9"),
        cpu_us_per_message: broker.cpu_us_per_message,
        rss_bytes: broker.rss_bytes,
        failures: outcome.failures(),
        backlog: outcome.backlog,
    }
}
