//! `bench consume`: pulls topics and measures how fast messages arrive.

mod cold;
mod sends;

use std::rc::Rc;
use std::time::Duration;

use crate::args::commands::{Begin, ConsumeArgs};
use crate::args::load::{MessageArgs, PaceArgs};
use crate::cold_log::ColdLog;
use crate::consume::sends::Sends;
use crate::driver::{Load, Timing};
use crate::ending::Ending;
use crate::error::BenchError;
use crate::limits::{self, Limits};
use crate::measure::{self, Measured};
use crate::produce::Producers;
use crate::profile::Profile;
use crate::proof::journal::QueueNumber;
use crate::record::tally::Tally;
use crate::report::Report;
use crate::target::Target;
use crate::target::caller::Caller;
use crate::target::embedded::Pulls;
use crate::workload::pull::{HOLD, Position, PullPlan, PullWork, Reading};

/// Messages that a broker of our own gets when nothing is said.
const FILL_DEFAULT: u64 = 500_000;

/// Messages per second that a tail of a broker of our own gets when nothing is said.
const PRODUCE_DEFAULT: f64 = 5_000.0;

/// Connections and depth that fill topics.
const FILL_LANES: (u32, u32) = (16, 32);

/// Longest time to fill them.
const FILL_LIMIT: Duration = Duration::from_secs(3_600);

/// Runs the workload and prints its report.
///
/// # Errors
/// The broker cannot be started or reached, or there is nothing to read.
pub async fn run(args: &ConsumeArgs) -> Result<Ending, BenchError> {
    let prepared = prepare(args).await?;
    let target = &prepared.target;
    let rate = args.produce.or(target.store().is_some().then_some(PRODUCE_DEFAULT));
    let rate = rate.filter(|_| args.from == Begin::Last);
    let sends = rate.map(|rate| Sends::new(target, &args.load, rate));
    let plan = Rc::new(plan(args, sends.as_ref()));
    let limits = match &sends {
        Some(sends) => Limits::of_sends(target, &sends.load(&args.load)).await?,
        None => None,
    };
    let mut runs = repeat(args, &prepared, &plan, sends.as_ref()).await?;
    let sent = match sends {
        Some(sends) => Some(sends.finish().await),
        None => None,
    };
    // Consuming flushes nothing; what is flushed meanwhile is not its doing.
    for used in runs.iter_mut().filter_map(|run| run.used.as_mut()) {
        (used.flushes, used.device) = (None, None);
    }
    let latency_of = if args.from == Begin::First { limits::PULLS } else { limits::AGES };
    let limits = match limits {
        Some(limits) => Some(limits),
        None => Limits::of_pulls(target, &args.load, &plan, &runs, args.cold).await?,
    };
    let mut report = Report::new(describe(args), latency_of, &runs);
    report.limits = limits;
    if let Some(sent) = sent {
        report.add_beside("sends", limits::SENDS, &sent);
    }
    report.finish(&args.load.output, target, &runs).await?;
    if !args.cold {
        report.note_if_too_short(&args.load.output);
    }
    prepared.profile.finish().await?;
    target.ended_well();
    Ok(report.ending())
}

/// What is read from, and how it is looked at.
struct Prepared {
    target: Rc<Target>,
    profile: Profile,
    cold: Option<ColdLog>,
}

/// Opens the target and gives it what is to be read.
async fn prepare(args: &ConsumeArgs) -> Result<Prepared, BenchError> {
    let profile = Profile::prepare(&args.load).await?;
    let pulls = Pulls { batch: args.pull_batch, body_max_bytes: args.load.message.size.max };
    let mut target = Target::open_for(&args.load.target, pulls).await?;
    let is_filled = target.store().is_some() && args.from == Begin::First;
    let messages = args.fill.unwrap_or(if is_filled { FILL_DEFAULT } else { 0 });
    fill(&target, &args.load.pace, &args.load.message, messages).await?;
    let cold = if args.cold { Some(cold::make(&mut target, &args.load.pace).await?) } else { None };
    Ok(Prepared { target: Rc::new(target), profile, cold })
}

fn plan(args: &ConsumeArgs, sends: Option<&Sends>) -> PullPlan {
    PullPlan {
        reading: match args.from {
            Begin::First => Reading::Replay(args.passes.or(args.cold.then_some(1))),
            Begin::Last => sends.map_or(Reading::Tail, |sends| Reading::TailOf(sends.run())),
        },
        batch: args.pull_batch,
        subscription: args.subscription.clone(),
        hold: HOLD,
        serialize: args.load.pace.header.serialize(),
    }
}

/// Reads as often as was asked for; what is cold is looked at before, and sends begin with it.
async fn repeat(
    args: &ConsumeArgs,
    Prepared { target, profile, cold }: &Prepared,
    plan: &Rc<PullPlan>,
    sends: Option<&Sends>,
) -> Result<Vec<Measured>, BenchError> {
    let seed = ringmq_runtime::random::seed_u64();
    let warm_up = if args.cold { Duration::ZERO } else { args.load.pace.warm_up };
    let pace = &PaceArgs { warm_up, ..args.load.pace.clone() };
    measure::repeat(target, pace, &args.load.output, false, async |again| {
        let schedule = pace.schedule(seed.wrapping_add(u64::from(again)));
        let load = Load::on(target.clients(), schedule);
        connect(target, pace, plan, &load).await?;
        if let Some(cold) = cold {
            cold.check().await?;
        }
        if let Some(sends) = sends {
            sends.start(target, again).await?;
        }
        profile.record(target, pace.timing());
        Ok(load)
    })
    .await
}

/// The workload in words.
fn describe(args: &ConsumeArgs) -> String {
    format!(
        "consume: {}, up to {} messages a pull, from the {} message",
        args.load.pace.describe(),
        args.pull_batch,
        match (args.cold, args.from) {
            (true, _) => "first, cold",
            (false, Begin::First) => "first",
            (false, Begin::Last) => "next",
        },
    )
}

/// Puts so many messages into the topics.
///
/// # Errors
/// A broker cannot be reached.
pub async fn fill(
    target: &Target,
    pace: &PaceArgs,
    message: &MessageArgs,
    messages: u64,
) -> Result<(), BenchError> {
    if messages == 0 {
        return Ok(());
    }
    eprintln!("filling with {messages} messages");
    let producers = Producers::new(target, message, pace.header.serialize());
    let (connections, depth) = FILL_LANES;
    let pace = PaceArgs { connections, depth, rate: Vec::new(), ..pace.clone() };
    let load = producers.connect(target, &pace, 0, None).await?;
    load.stop_after(messages);
    let timing = Timing { warm_up: Duration::ZERO, duration: FILL_LIMIT };
    let tally = load.run(timing, Tally::default(), |_, _| ()).await;
    tally.total.errors.lines().for_each(|line| eprintln!("while filling, {line}"));
    Ok(())
}

/// Opens the connections: each broker gets its share of them, and its queues are spread over the
/// slots of those.
///
/// # Errors
/// A broker cannot be reached, or there is nothing to read.
pub async fn connect(
    target: &Target,
    pace: &PaceArgs,
    plan: &Rc<PullPlan>,
    load: &Rc<Load>,
) -> Result<(), BenchError> {
    let cursors = match plan.reading {
        Reading::Replay(_) => Cursors::Exactly,
        Reading::Tail | Reading::TailOf(_) | Reading::EndToEnd(_) => Cursors::PerQueue,
    };
    open(target, (pace.connections, pace.depth), cursors, plan, load).await
}

/// As [`connect`], with `connections x depth` pulls that wait, however few queues there are.
///
/// # Errors
/// A broker cannot be reached.
pub async fn connect_waiting(
    target: &Target,
    connections: u32,
    depth: u32,
    plan: &Rc<PullPlan>,
    load: &Rc<Load>,
) -> Result<(), BenchError> {
    open(target, (connections, depth), Cursors::Exactly, plan, load).await
}

async fn open(
    target: &Target,
    (connections, depth): (u32, u32),
    count: Cursors,
    plan: &Rc<PullPlan>,
    load: &Rc<Load>,
) -> Result<(), BenchError> {
    let replays = matches!(plan.reading, Reading::Replay(_));
    let mut found = false;
    for broker in 0..target.broker_count() {
        let positions = positions(target, broker, replays).await?;
        if positions.is_empty() {
            continue;
        }
        found = true;
        // A broker without a connection would not be read at all.
        let connections = connections.div_ceil(target.broker_count());
        for cursors in cursors(positions, connections, depth, count) {
            let slots = u32::try_from(cursors.len()).expect("bounded by the command line");
            let plan = PullPlan::clone(plan);
            let work = move || PullWork::new(Rc::new(plan), cursors);
            load.connect(target.broker_addr(broker), slots, work).await?;
        }
    }
    if found { Ok(()) } else { Err(BenchError::EmptyTopic(target.topic(0).to_string())) }
}

/// How many cursors a reader has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cursors {
    /// `connections x depth`: with more queues than cursors a cursor has several; with fewer,
    /// several cursors read the same queue, as the members of several groups would.
    Exactly,
    /// One for each queue, since a pull that waits at the end of one queue would keep the others
    /// waiting.
    PerQueue,
}

/// Where the queues of a broker begin for a reader; a replaying one leaves empty queues out.
async fn positions(
    target: &Target,
    broker: u32,
    replays: bool,
) -> Result<Vec<Position>, BenchError> {
    let mut caller = Caller::connect(target.broker_addr(broker)).await?;
    let mut positions = Vec::new();
    let on_it = |queue: &QueueNumber| queue.broker == broker;
    for queue in target.queues().into_iter().filter(on_it) {
        let (first, next) = target.range_of(&mut caller, queue).await?;
        if replays && first == next {
            continue;
        }
        let start = if replays { first } else { next };
        positions.push(Position {
            topic: target.topic(queue.topic).clone(),
            queue_id: i32::try_from(queue.queue_id).expect("queue ids are small"),
            first: start,
            next: start,
            passes: 0,
        });
    }
    Ok(positions)
}

/// The cursors of each connection of a reader that waits at the end of every queue.
pub fn per_queue(positions: Vec<Position>, connections: u32) -> Vec<Vec<Vec<Position>>> {
    cursors(positions, connections, 1, Cursors::PerQueue)
}

/// Gives each slot of each connection its queues.
fn cursors(
    positions: Vec<Position>,
    connections: u32,
    depth: u32,
    count: Cursors,
) -> Vec<Vec<Vec<Position>>> {
    let count = match count {
        Cursors::Exactly => (connections * depth) as usize,
        Cursors::PerQueue => positions.len(),
    };
    let mut cursors = vec![Vec::new(); count];
    for index in 0..count.max(positions.len()) {
        cursors[index % count].push(positions[index % positions.len()].clone());
    }
    let mut lanes = vec![Vec::new(); (connections as usize).min(count)];
    for (index, cursor) in cursors.into_iter().enumerate() {
        let lane = index % lanes.len();
        lanes[lane].push(cursor);
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queue ids by lane and cursor.
    fn check(queues: i32, connections: u32, depth: u32, count: Cursors, expected: &[&[&[i32]]]) {
        let position =
            |queue_id| Position { topic: "T".into(), queue_id, first: 0, next: 0, passes: 0 };
        let lanes = cursors((0..queues).map(position).collect(), connections, depth, count);
        let ids: Vec<Vec<Vec<i32>>> = lanes
            .iter()
            .map(|lane| {
                let ids = |cursor: &Vec<Position>| cursor.iter().map(|at| at.queue_id).collect();
                lane.iter().map(ids).collect()
            })
            .collect();
        assert_eq!(ids, expected);
    }

    #[test]
    fn queues_are_shared_when_there_are_more_of_them_than_cursors() {
        check(5, 2, 1, Cursors::Exactly, &[&[&[0, 2, 4]], &[&[1, 3]]]);
    }

    #[test]
    fn queues_are_read_several_times_when_there_are_fewer() {
        check(2, 2, 2, Cursors::Exactly, &[&[&[0], &[0]], &[&[1], &[1]]]);
    }

    #[test]
    fn a_tailing_run_has_a_cursor_for_each_queue() {
        check(3, 2, 1, Cursors::PerQueue, &[&[&[0], &[2]], &[&[1]]]);
        check(1, 4, 4, Cursors::PerQueue, &[&[&[0]]]);
    }
}
