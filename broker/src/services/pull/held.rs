//! Pulls that wait for a message they want.
//!
//! What they wait for is in a [`HoldTable`]; here is what becomes of those that leave it. A held
//! pull is executed once more when a message it wants becomes visible ([`wake`]), something else
//! concerns its queue ([`disturb`]), its time is up ([`run_deadlines`]), or the shard stops
//! ([`release_all`]); then it is answered whatever it finds.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::Header;
use ringmq_protocol::codes::response;
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;
use ringmq_store::{QueueOffset, ReadResult};

use super::check::Pulling;
use super::{Attempt, Pass, grid};
use crate::hold::{HoldTable, LineLimits, Wish};
use crate::outcome::PullOutcome;
use crate::peer::Peer;
use crate::router::HashedQueue;
use crate::services::with_request;
use crate::shard::DataPlane;

/// Pulls held on a shard; one takes about 600 bytes, so all of them 80 MB. Further ones are
/// answered at once.
const HELD_MAX: usize = 1 << 17;

/// Pulls of one queue that its messages find. Each message takes 8 ns for every one that does not
/// want it, so 8 us for those that want certain tags; with [`HELD_MAX`] it would be a millisecond.
/// One that wants every message is woken, which takes 0.1 us, so 1.6 ms for all. Consumers of one
/// queue are a handful, except for large broadcasting groups.
const LINE_LIMITS: LineLimits = LineLimits { pulls: 1 << 14, choosy: 1 << 10 };

/// Longest hold of a pull that messages do not find: it looks for itself once a second.
const HOLD_OUTSIDE_MAX: Duration = Duration::from_secs(1);

/// Woken pulls that are executed at once, about 2 ms; more of them let others have a turn between.
const WOKEN_AT_ONCE_MAX: usize = 256;

/// Pulls that are taken out at once when their time is up, 0.2 ms; all of them may end together.
const EXPIRED_AT_ONCE_MAX: usize = 1 << 10;

/// Time between two searches for held pulls of connections that are gone: 2 ms each. They are kept
/// until their place is needed, since a client that stops leaves a few for seconds only.
const GONE_SEARCH_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of the frames that held pulls keep, all together.
const HELD_MAX_BYTES: usize = 256 << 20;

/// Longest hold, whatever the client asks for: beyond its own time limit of 30 s nobody listens.
const HOLD_MAX: Duration = Duration::from_secs(120);

/// A pull that is answered later.
pub(super) struct Waiting {
    pub(super) peer: Peer,
    pub(super) frame: Box<[u8]>,
}

/// The held pulls of one shard.
pub(super) struct Held {
    table: RefCell<HoldTable<Waiting>>,
    /// Bytes of their frames.
    bytes: Cell<usize>,
    /// An earlier deadline than the one that the timer sleeps for.
    earlier: Notify,
    sleeps_until: Cell<Option<Instant>>,
    /// When pulls of connections that are gone were last searched for.
    searched_at: Cell<Option<Instant>>,
    /// Those that a wake-up takes out, while they are executed.
    woken: RefCell<Vec<Waiting>>,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            table: RefCell::new(HoldTable::new(HELD_MAX, LINE_LIMITS)),
            bytes: Cell::new(0),
            earlier: Notify::default(),
            sleeps_until: Cell::new(None),
            searched_at: Cell::new(None),
            woken: RefCell::default(),
        }
    }
}

impl Held {
    /// Drops the pulls of connections of this shard that are gone, when there are as many as may
    /// be: clients that lost the broker, and come back together, find their former pulls here.
    fn make_room(&self, now: Instant) {
        let is_full = self.table.borrow().len() >= HELD_MAX || self.bytes.get() >= HELD_MAX_BYTES;
        let is_due = |at: Instant| now.saturating_since(at) >= GONE_SEARCH_PAUSE;
        if is_full && self.searched_at.get().is_none_or(is_due) {
            self.searched_at.set(Some(now));
            let mut gone = Vec::new();
            self.table.borrow_mut().take_gone(|waiting| waiting.peer.is_closed(), &mut gone);
            let bytes: usize = gone.iter().map(|waiting| waiting.frame.len()).sum();
            self.bytes.set(self.bytes.get() - bytes);
        }
    }
}

/// Parks a pull that found nothing, if it may wait; `true` when it was.
pub(super) fn park(attempt: &Attempt<'_, '_>, pulling: &Pulling<'_>, result: &ReadResult) -> bool {
    let (data, header) = (attempt.data, &pulling.header);
    let outcome = PullOutcome::of(result.status, header.queue_offset);
    if header.sys_flag & pull_flag::SUSPEND == 0 || outcome.code != response::PULL_NOT_FOUND {
        return false;
    }
    let held = &data.services().pull.held;
    held.make_room(attempt.started);
    let frame: Box<[u8]> = attempt.request.frame.into();
    let bytes = held.bytes.get() + frame.len();
    if bytes > HELD_MAX_BYTES {
        return false;
    }
    let wish = Wish {
        queue: HashedQueue::new(header.topic, header.queue_id),
        offset: result.next_offset,
        filter: pulling.filter.clone(),
        deadline: grid::end_of_wait(attempt.started, hold_time(data, header).min(HOLD_MAX)),
        deadline_outside: grid::end_of_wait(attempt.started, HOLD_OUTSIDE_MAX),
    };
    let waiting = Waiting { peer: attempt.request.peer.clone(), frame };
    let Ok(deadline) = held.table.borrow_mut().park(wish, waiting) else { return false };
    held.bytes.set(bytes);
    data.local.counters.pull_missed();
    if held.sleeps_until.get().is_none_or(|until| deadline < until) {
        held.earlier.notify_one();
    }
    true
}

/// How long the client wants to wait, or may.
fn hold_time(data: &DataPlane, header: &PullRequest<'_>) -> Duration {
    let view = data.local.view();
    let settings = view.settings();
    if settings.long_polling_enable {
        Duration::from_millis(u64::try_from(header.suspend_timeout_ms).unwrap_or(0))
    } else {
        Duration::from_millis(settings.short_polling_time_ms.into())
    }
}

/// Executes a pull again that was held. Nothing found is answered now.
fn again(data: &Rc<DataPlane>, waiting: Waiting) {
    let bytes = &data.services().pull.held.bytes;
    bytes.set(bytes.get() - waiting.frame.len());
    if waiting.peer.is_closed() {
        return;
    }
    with_request(&waiting.peer, &waiting.frame, |request| {
        let header = PullRequest::decode(&request.command.fields).ok();
        let owned = header.and_then(|header| data.local.log_of(header.topic, header.queue_id));
        if let Some(owned) = owned {
            Attempt::start(data, request).run(owned, Pass::Again);
        }
    });
}

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

/// Executes pulls that were woken: a few at once, more in a task that lets others have a turn.
fn all_again(data: &Rc<DataPlane>, woken: &mut Vec<Waiting>) {
    if woken.len() > WOKEN_AT_ONCE_MAX {
        let (data, later) = (Rc::clone(data), woken.split_off(WOKEN_AT_ONCE_MAX));
        let rest = async move {
            for waiting in later {
                again(&data, waiting);
                task::yield_if_needed().await;
            }
        };
        task::spawn("woken pulls", rest).detach();
    }
    for waiting in woken.drain(..) {
        again(data, waiting);
    }
}

/// Looks again at the pulls that are held for a queue, because something else than a message
/// concerns them.
pub fn disturb(data: &Rc<DataPlane>, queue: HashedQueue) {
    let mut woken = Vec::new();
    data.services().pull.held.table.borrow_mut().disturb(queue, &mut woken);
    all_again(data, &mut woken);
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
            for waiting in expired.drain(..) {
                again(&data, waiting);
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
    for waiting in drained {
        again(data, waiting);
    }
}

/// Pulls that are held on this shard.
pub fn count(data: &DataPlane) -> usize {
    data.services().pull.held.table.borrow().len()
}
