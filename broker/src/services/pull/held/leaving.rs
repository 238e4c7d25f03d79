//! Held pulls leave.
//!
//! A held pull is executed once more when a message it wants becomes visible ([`wake`]), something
//! else concerns its queue ([`disturb`], [`answer_taken`]), its time is up ([`run_deadlines`]), it
//! makes way for others ([`answer_all`]), or the shard stops ([`release_all`]); then it is answered
//! whatever it finds.

use std::rc::Rc;

use ringmq_protocol::Header;
use ringmq_protocol::headers::pull::PullRequest;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;
use ringmq_store::QueueOffset;

use super::{HELD_MIN_BYTES, HeldPull};
use crate::router::{HashedQueue, topic_hash};
use crate::services::kept::Kept;
use crate::services::pull::{Attempt, Pass};
use crate::shard::DataPlane;

/// Woken pulls that are executed at once, by what they count for, about 2 ms: 256 of the usual
/// size, or five that name 13,000 tags each, which are read anew. More let others have a turn
/// between.
const WOKEN_AT_ONCE_MAX_BYTES: usize = 256 * HELD_MIN_BYTES;

/// Pulls that are taken out at once when their time is up, 0.2 ms; all of them may end together.
const EXPIRED_AT_ONCE_MAX: usize = 1 << 10;

/// Wakes the pulls that want one of the messages that became visible. `each` names them to its
/// argument: queue, queue offset, tag hash.
pub fn wake(
    data: &Rc<DataPlane>,
    each: impl FnOnce(&mut dyn FnMut(HashedQueue, QueueOffset, i64)),
) {
    let held = &data.services().pull.held;
    let mut woken = std::mem::take(&mut *held.woken.borrow_mut());
    {
        let mut table = held.table.borrow_mut();
        each(&mut |queue, offset, tag_hash| {
            if !table.is_empty() {
                table.arrived(queue, offset, tag_hash, &mut woken);
            }
        });
    }
    all_again(data, &mut woken);
    *held.woken.borrow_mut() = woken;
}

/// Looks again at the pulls that are held for a queue, because something else than a message
/// concerns them.
pub fn disturb(data: &Rc<DataPlane>, queue: HashedQueue) {
    let mut woken = Vec::new();
    data.services().pull.held.table.borrow_mut().disturb(queue, &mut woken);
    all_again(data, &mut woken);
}

/// The pulls of a topic that is deleted.
pub(crate) struct Taken {
    held: Vec<HeldPull>,
    /// Those that wait for the device answer for themselves.
    late: Vec<Rc<Kept>>,
}

/// Takes the pulls that are held for a topic which is deleted: no message of the next topic of that
/// name may wake them at their old position.
pub(crate) fn take_topic(data: &DataPlane, topic: &str) -> Taken {
    let (pull, mut held) = (&data.services().pull, Vec::new());
    pull.held.table.borrow_mut().take_topic(topic_hash(topic), &mut held);
    Taken { held, late: pull.late.of_topic(topic) }
}

/// Whose pull waited in a queue of a deleted topic, beyond its first message.
pub(crate) struct Waited {
    pub group: String,
    pub queue_id: i32,
}

/// Answers the held pulls that [`take_topic`] took; tells whose all of them were. Groups that have
/// not committed anything yet are known from nothing else.
pub(crate) async fn answer_taken(data: &Rc<DataPlane>, topic: &str, taken: Taken) -> Vec<Waited> {
    let mut waited = Vec::new();
    for pull in taken.held {
        waited.extend(waited_with(&pull.kept, topic));
        again(data, pull);
        task::yield_if_needed().await;
    }
    for kept in taken.late {
        waited.extend(waited_with(&kept, topic));
        task::yield_if_needed().await;
    }
    waited
}

fn waited_with(kept: &Kept, topic: &str) -> Option<Waited> {
    kept.lend(|request| {
        let header = PullRequest::decode(&request.command.fields).ok()?;
        // Two names may have one hash.
        let has_waited = header.topic == topic && header.queue_offset > 0;
        let group = header.consumer_group;
        has_waited.then(|| Waited { group: group.to_owned(), queue_id: header.queue_id })
    })
}

/// Answers pulls whose time is up, until the shard stops. One timer for all.
pub async fn run_deadlines(data: Rc<DataPlane>) {
    let held = &data.services().pull.held;
    let mut expired = Vec::new();
    loop {
        let now = Instant::now();
        let mut are_all = false;
        while !are_all {
            are_all = held.table.borrow_mut().expire(now, EXPIRED_AT_ONCE_MAX, &mut expired);
            for pull in expired.drain(..) {
                again(&data, pull);
                // A hundred thousand may have the same deadline.
                task::yield_if_needed().await;
            }
        }
        let next = held.table.borrow().next_deadline();
        held.sleeps_until.set(next);
        match next {
            None => held.earlier.notified().await,
            Some(next) => {
                let time = next.saturating_since(Instant::now());
                // Either way there is something to look at.
                let _ = task::timeout(time, held.earlier.notified()).await;
            }
        }
    }
}

/// Answers everything that is held, for the end of the shard: clients ask again elsewhere.
pub fn release_all(data: &Rc<DataPlane>) {
    let mut drained = Vec::new();
    data.services().pull.held.table.borrow_mut().drain(&mut drained);
    for pull in drained {
        again(data, pull);
    }
}

/// Answers pulls that make way for others, whose places were given back.
pub(super) async fn answer_all(data: Rc<DataPlane>, displaced: Vec<HeldPull>) {
    for pull in displaced {
        execute(&data, &pull.kept);
        task::yield_if_needed().await;
    }
}

/// Executes pulls that were woken: a few at once, more in a task that lets others have a turn.
fn all_again(data: &Rc<DataPlane>, woken: &mut Vec<HeldPull>) {
    let mut bytes = 0;
    let fits = |pull: &&HeldPull| {
        bytes += pull.counted_bytes;
        bytes <= WOKEN_AT_ONCE_MAX_BYTES
    };
    let at_once = woken.iter().take_while(fits).count();
    if at_once < woken.len() {
        let (data, later) = (Rc::clone(data), woken.split_off(at_once));
        let rest = async move {
            for pull in later {
                again(&data, pull);
                task::yield_if_needed().await;
            }
        };
        task::spawn("woken pulls", rest).detach();
    }
    for pull in woken.drain(..) {
        again(data, pull);
    }
}

/// Executes a pull again that was held. Nothing found is answered now.
fn again(data: &Rc<DataPlane>, pull: HeldPull) {
    data.services().pull.held.give_back(&pull);
    execute(data, &pull.kept);
}

fn execute(data: &Rc<DataPlane>, kept: &Kept) {
    if kept.peer().is_closed() {
        return;
    }
    kept.lend(|request| {
        let header = PullRequest::decode(&request.command.fields).ok();
        let owned = header.and_then(|header| data.local.log_of(header.topic, header.queue_id));
        if let Some(owned) = owned {
            Attempt::start(data, request).run(owned, Pass::Again);
        }
    });
}
