//! `bench mixed`: what a catch-up costs the producers. The same sends run twice, first alone, then
//! beside readers that pull what is there over and over.

use std::rc::Rc;

use crate::args::commands::MixedArgs;
use crate::args::load::PaceArgs;
use crate::driver::Load;
use crate::ending::Ending;
use crate::error::BenchError;
use crate::limits::{self, Limits};
use crate::measure::{self, Clock, Measured};
use crate::produce::{self, Producers};
use crate::profile::Profile;
use crate::readers;
use crate::record::tally::Tally;
use crate::report::Report;
use crate::stop;
use crate::target::Target;
use crate::target::embedded::Pulls;
use crate::workload::pull::PullPlan;

/// Runs the workload and prints its report.
///
/// # Errors
/// The broker cannot be started or reached, or there is nothing to read.
pub async fn run(args: &MixedArgs) -> Result<Ending, BenchError> {
    let profile = Profile::prepare(&args.load).await?;
    let pulls = Pulls { batch: args.pull_batch, body_max_bytes: args.load.message.size.max };
    let target = Rc::new(Target::open_for(&args.load.target, pulls).await?);
    let limits = Limits::of_sends(&target, &args.load).await?;
    produce::fill(&target, &args.load.pace, &args.load.message, args.fill).await?;
    let Runs { alone, sends, reads } = repeat(args, &target, &profile).await?;
    let workload = format!(
        "mixed: {}; beside {} readers with up to {} messages a pull",
        args.load.describe(),
        args.readers,
        args.pull_batch
    );
    let limits = match limits {
        Some(limits) => {
            let plan = plan(args);
            Some(limits.with_reads(&target, &args.load, args.readers, &plan, &reads).await?)
        }
        None => None,
    };
    let mut report = Report::new(workload, limits::SENDS, &sends);
    report.limits = limits;
    report.add_beside("reads", limits::PULLS, &reads);
    report.add_beside("sends alone", limits::SENDS, &alone);
    report.conclude(&args.load.output, &target, &sends, profile).await
}

/// What the repetitions came to.
#[derive(Default)]
struct Runs {
    /// Sends without readers.
    alone: Vec<Measured>,
    /// The same beside the readers.
    sends: Vec<Measured>,
    reads: Vec<Measured>,
}

/// Sends alone and beside readers, as often as was asked for.
async fn repeat(args: &MixedArgs, target: &Target, profile: &Profile) -> Result<Runs, BenchError> {
    let (pace, message) = (&args.load.pace, &args.load.message);
    let producers = Producers::new(target, message, pace.header.serialize());
    let clock = Clock::start(&args.load.output);
    let mut runs = Runs::default();
    stop::table_follows();
    for again in 0..pace.repeat {
        if stop::is_requested() {
            break;
        }
        eprintln!("sends alone");
        let load = producers.connect(target, pace, again * 2, None).await?;
        runs.alone.push(measure::once(target, pace, &load, Tally::default()).await);
        eprintln!("sends beside {} readers", args.readers);
        let load = producers.connect(target, pace, again * 2 + 1, None).await?;
        let readers = readers(args, target).await?;
        let reading = readers.run_beside("bench readers", pace.timing());
        profile.record(target, pace.timing());
        runs.sends.push(measure::once(target, pace, &load, clock.tally(pace)).await);
        runs.reads.push(Measured::of(reading.await));
    }
    Ok(runs)
}

/// Reads what there is, from the first message to the end and again.
fn plan(args: &MixedArgs) -> PullPlan {
    PullPlan::replay(args.pull_batch, args.load.pace.header.serialize())
}

/// Connections that do so.
async fn readers(args: &MixedArgs, target: &Target) -> Result<Rc<Load>, BenchError> {
    let pace = PaceArgs { connections: args.readers, depth: 1, ..args.load.pace.clone() };
    readers::connect_apart(target, &pace, &plan(args)).await
}
