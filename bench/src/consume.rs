//! `bench consume`: pulls a topic from its first message and measures how fast it arrives.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::{random, task};

use crate::args::{ConsumeArgs, HeaderForm, LoadArgs};
use crate::driver::Timing;
use crate::error::BenchError;
use crate::produce::{self, Ending};
use crate::proof::journal::QueueNumber;
use crate::proof::read_back;
use crate::report::{self, BrokerUse, Report};
use crate::stats::Window;
use crate::target::Target;
use crate::target::caller::Caller;

/// Connections and depth that fill the topic of a broker that bench starts.
const FILL_LANES: (u32, u32) = (16, 32);

/// Longest time to fill it.
const FILL_LIMIT: Duration = Duration::from_secs(300);

/// Runs the workload and prints one report per pass.
///
/// # Errors
/// The broker cannot be started or reached, or refuses a pull.
pub async fn run(args: &ConsumeArgs) -> Result<Ending, BenchError> {
    let target = Rc::new(Target::open(&args.target).await?);
    if target.store().is_some() {
        fill(args, &target).await?;
    }
    for pass in 1..=args.passes {
        let usage = target.usage();
        let started = Instant::now();
        let window = read_once(args, &target).await?;
        let elapsed = started.elapsed();
        report::live_line(u64::from(pass), &window, false);
        let title = format!(
            "consume: {} connections, up to {} messages a pull, pass {pass}; latency is that of a pull",
            args.connections, args.batch
        );
        let mut report = Report::new(title, &window, elapsed);
        let usage = usage.zip(target.usage());
        report.broker =
            usage.map(|(before, after)| BrokerUse::between(before, after, window.messages));
        report.print(args.json);
    }
    target.ended_well();
    Ok(Ending::Good)
}

/// Puts messages into the topic until it holds as many as asked.
async fn fill(args: &ConsumeArgs, target: &Target) -> Result<(), BenchError> {
    let load_args = LoadArgs {
        connections: FILL_LANES.0,
        depth: FILL_LANES.1,
        size: args.size,
        rate: None,
        warm_up: Duration::ZERO,
        duration: FILL_LIMIT,
        header: HeaderForm::Binary,
    };
    eprintln!("filling the topic with {} messages", args.fill);
    let load = produce::connect(&load_args, target, random::seed_u64(), None).await?;
    load.stop_after(args.fill);
    load.run(Timing { warm_up: Duration::ZERO, duration: FILL_LIMIT }, false).await?;
    Ok(())
}

/// Reads every queue once; the connections share the queues.
async fn read_once(args: &ConsumeArgs, target: &Rc<Target>) -> Result<Window, BenchError> {
    let window = Rc::new(RefCell::new(Window::default()));
    let mut shares: Vec<Vec<QueueNumber>> = vec![Vec::new(); args.connections as usize];
    for (index, queue) in target.queues().into_iter().enumerate() {
        shares[index % args.connections as usize].push(queue);
    }
    let readers: Vec<_> = shares
        .into_iter()
        .filter(|share| !share.is_empty())
        .map(|share| {
            task::spawn(
                "bench reader",
                read_share(args.batch, target.clone(), share, window.clone()),
            )
        })
        .collect();
    for reader in readers {
        reader.await?;
    }
    Ok(window.take())
}

async fn read_share(
    batch: u32,
    target: Rc<Target>,
    share: Vec<QueueNumber>,
    window: Rc<RefCell<Window>>,
) -> Result<(), BenchError> {
    for queue in share {
        let mut caller = Caller::connect(target.broker_addr(queue.broker)).await?;
        let take = |_offset: u64, body: &[u8]| {
            let mut window = window.borrow_mut();
            window.messages += 1;
            window.bytes += body.len() as u64;
        };
        let pulled = |took: Duration| {
            let mut window = window.borrow_mut();
            window.response.record(took);
            window.service.record(took);
        };
        read_back::read_queue(&mut caller, &target.topic, queue, batch, take, pulled).await?;
    }
    Ok(())
}
