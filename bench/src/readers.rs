//! Connections that pull: what each of them reads, and where it begins.

use std::rc::Rc;

use crate::args::load::PaceArgs;
use crate::driver::Load;
use crate::driver::schedule::Schedule;
use crate::error::BenchError;
use crate::proof::journal::QueueNumber;
use crate::target::Target;
use crate::target::caller::Caller;
use crate::workload::pull::{Position, PullPlan, PullWork, Reading};

/// Opens the connections of a load with this schedule; none: closed loop. Each broker gets its
/// share of them, and its queues are spread over the slots of those.
///
/// # Errors
/// A broker cannot be reached, or there is nothing to read.
pub async fn connect(
    target: &Target,
    pace: &PaceArgs,
    plan: &PullPlan,
    schedule: Option<Schedule>,
) -> Result<Rc<Load>, BenchError> {
    let load = Load::on(target.clients(), schedule);
    open(load, target, (pace.connections, pace.depth), Cursors::of(plan), plan).await
}

/// As [`connect`], of a closed loop that runs beside producers: apart from them.
///
/// # Errors
/// As for [`connect`], or the machine has no thread for it.
pub async fn connect_apart(
    target: &Target,
    pace: &PaceArgs,
    plan: &PullPlan,
) -> Result<Rc<Load>, BenchError> {
    let load = Load::on(&target.clients().apart()?, None);
    open(load, target, (pace.connections, pace.depth), Cursors::of(plan), plan).await
}

/// As [`connect`], with `connections x depth` pulls that wait, however few queues there are.
///
/// # Errors
/// A broker cannot be reached.
pub async fn connect_waiting(
    target: &Target,
    connections: u32,
    depth: u32,
    plan: &PullPlan,
) -> Result<Rc<Load>, BenchError> {
    let load = Load::on(target.clients(), None);
    open(load, target, (connections, depth), Cursors::Exactly, plan).await
}

async fn open(
    load: Rc<Load>,
    target: &Target,
    (connections, depth): (u32, u32),
    count: Cursors,
    plan: &PullPlan,
) -> Result<Rc<Load>, BenchError> {
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
            let plan = plan.clone();
            let work = move || PullWork::new(Rc::new(plan), cursors);
            load.connect(target.broker_addr(broker), slots, work).await?;
        }
    }
    if found { Ok(load) } else { Err(BenchError::EmptyTopic(target.topic(0).to_string())) }
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

impl Cursors {
    fn of(plan: &PullPlan) -> Self {
        match plan.reading {
            Reading::Replay(_) => Self::Exactly,
            Reading::Tail | Reading::TailOf(_) | Reading::EndToEnd(_) => Self::PerQueue,
        }
    }
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
