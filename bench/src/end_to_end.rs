//! `bench end-to-end`: how long a message takes from its producer to a waiting consumer.
//!
//! Both sides run in this process, so one monotonic clock dates both ends.

use std::rc::Rc;

use ringmq_runtime::task;

use crate::args::commands::EndToEndArgs;
use crate::args::load::PaceArgs;
use crate::driver::Load;
use crate::ending::Ending;
use crate::error::BenchError;
use crate::limits::{self, Limits};
use crate::measure::{self, Measured};
use crate::produce::Producers;
use crate::profile::Profile;
use crate::readers;
use crate::record::tally::Tally;
use crate::report::Report;
use crate::stop;
use crate::target::Target;
use crate::target::embedded::Pulls;
use crate::workload::pull::{HOLD, PullPlan, Reading};

/// What the latencies of this command are of.
pub const LATENCY_OF: &str = "end to end us";

/// Runs the workload and prints its report.
///
/// # Errors
/// The broker cannot be started or reached.
pub async fn run(args: &EndToEndArgs) -> Result<Ending, BenchError> {
    let profile = Profile::prepare(&args.load).await?;
    let pulls = Pulls { batch: args.pull_batch, body_max_bytes: args.load.message.size.max };
    let target = Rc::new(Target::open_for(&args.load.target, pulls).await?);
    let limits = Limits::of_deliveries(&target, args).await?;
    let Runs { received, sent } = repeat(args, &target, &profile).await?;
    let workload =
        format!("end to end: {}; {} consuming connections", args.load.describe(), args.consumers);
    let mut report = Report::new(workload, LATENCY_OF, &received);
    report.limits = limits;
    report.add_beside("sends", limits::SENDS, &sent);
    report.conclude(&args.load.output, &target, &received, profile).await
}

/// What the repetitions came to.
#[derive(Default)]
struct Runs {
    /// At the consumers.
    received: Vec<Measured>,
    /// At the producers.
    sent: Vec<Measured>,
}

/// Sends to consumers that wait, as often as was asked for.
async fn repeat(
    args: &EndToEndArgs,
    target: &Target,
    profile: &Profile,
) -> Result<Runs, BenchError> {
    let (pace, message) = (&args.load.pace, &args.load.message);
    let producers = Producers::new(target, message, pace.header.serialize());
    let clock = measure::Clock::start(&args.load.output);
    let mut runs = Runs::default();
    stop::table_follows();
    for again in 0..pace.repeat {
        if stop::is_requested() {
            break;
        }
        let consumers = consumers(args, target, producers.run).await?;
        let load = producers.connect(target, pace, again, None).await?;
        if let Some(messages) = pace.messages {
            load.stop_after(messages);
        }
        let (timing, steps) = (pace.timing(), Tally::default().with_steps(&pace.steps()));
        let sending =
            task::spawn("bench producers", async move { load.run(timing, steps, |_, _| ()).await });
        profile.record(target, timing);
        let mut measured = measure::once(target, pace, &consumers, clock.tally(pace)).await;
        let sends = sending.await;
        measured.tally.take_backlogs(&sends);
        runs.received.push(measured);
        runs.sent.push(Measured::of(sends));
    }
    Ok(runs)
}

/// Connections that wait at the end of every queue.
///
/// # Errors
/// A broker cannot be reached.
pub async fn consumers(
    args: &EndToEndArgs,
    target: &Target,
    run: u64,
) -> Result<Rc<Load>, BenchError> {
    let pace = PaceArgs { connections: args.consumers, ..args.load.pace.clone() };
    readers::connect(target, &pace, &pull_plan(args, run), None).await
}

/// What they have in common: they count the messages of `run`.
pub fn pull_plan(args: &EndToEndArgs, run: u64) -> PullPlan {
    PullPlan {
        reading: Reading::EndToEnd(run),
        batch: args.pull_batch,
        subscription: "*".to_owned(),
        hold: HOLD,
        serialize: args.load.pace.header.serialize(),
    }
}
