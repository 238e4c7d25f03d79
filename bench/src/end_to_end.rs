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
    let producers = Producers::new(&target, &args.load.message, args.load.pace.header.serialize());
    let mut received = Vec::new();
    let mut sent = Vec::new();
    let clock = measure::Clock::start(&args.load.output);
    stop::table_follows();
    for again in 0..args.load.pace.repeat {
        if stop::is_requested() {
            break;
        }
        let consumers = consumers(args, &target, producers.run).await?;
        let load = producers.connect(&target, &args.load.pace, again, None).await?;
        if let Some(messages) = args.load.pace.messages {
            load.stop_after(messages);
        }
        let timing = args.load.pace.timing();
        let steps = Tally::default().with_steps(&args.load.pace.steps());
        let sending =
            task::spawn("bench producers", async move { load.run(timing, steps, |_, _| ()).await });
        profile.record(&target, timing);
        let tally = clock.tally(&args.load.pace);
        let mut measured = measure::once(&target, &args.load.pace, &consumers, tally).await;
        let sends = sending.await;
        measured.tally.take_backlogs(&sends);
        received.push(measured);
        sent.push(Measured { tally: sends, ..Measured::default() });
    }
    let workload =
        format!("end to end: {}; {} consuming connections", args.load.describe(), args.consumers);
    let mut report = Report::new(workload, LATENCY_OF, &received);
    report.limits = limits;
    report.add_beside("sends", limits::SENDS, &sent);
    report.finish(&args.load.output, &target, &received).await?;
    report.note_if_too_short(&args.load.output);
    profile.finish().await?;
    target.ended_well();
    Ok(report.ending())
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
    let plan = Rc::new(pull_plan(args, run));
    let pace = PaceArgs { connections: args.consumers, ..args.load.pace.clone() };
    let load = Load::on(target.clients(), None);
    readers::connect(target, &pace, &plan, &load).await?;
    Ok(load)
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
