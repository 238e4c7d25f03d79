//! Pulls that wait for a message they want.
//!
//! What they wait for is in a [`HoldTable`]; here is which of them find a place in it. What becomes
//! of those that leave it is in `leaving`.

mod leaving;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::response;
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;
use ringmq_store::ReadResult;

use super::check::Pulling;
use super::{Attempt, grid};
use crate::filter::TagFilter;
use crate::hold::{HoldTable, LineLimits, Wish};
use crate::link::ConnectionKey;
use crate::outcome::PullOutcome;
use crate::peer::Peer;
use crate::router::HashedQueue;
use crate::services::kept::Kept;
use crate::shard::DataPlane;
use crate::shares::Shares;

pub(crate) use leaving::{Waited, answer_taken, take_topic};
pub use leaving::{disturb, release_all, run_deadlines, wake};

/// Pulls held on a shard; one takes about 600 bytes, so all of them 80 MB.
const HELD_MAX: usize = 1 << 17;

/// Pulls of one queue that its messages find. Each message takes 8 ns for every one that does not
/// want it, so 8 us for those that want certain tags; with [`HELD_MAX`] it would be a millisecond.
/// One that wants every message is woken, which takes 0.1 us, so 1.6 ms for all. Consumers of one
/// queue are a handful, except for large broadcasting groups.
const LINE_LIMITS: LineLimits = LineLimits { pulls: 1 << 14, choosy: 1 << 10 };

/// Longest hold of a pull that messages do not find: it looks for itself once a second.
const HOLD_OUTSIDE_MAX: Duration = Duration::from_secs(1);

/// Time between two searches for pulls that make way: 2 ms each, and about 100 ms to answer the
/// 32,768 that a crowd may lose. Those of connections of this shard that end are kept for so long,
/// and searched for together.
const SEARCH_PAUSE: Duration = Duration::from_secs(1);

/// Bytes that held pulls keep, all together ([`HeldPull::new`]). Connections have [`Shares`] of
/// them: one alone may have half, 65,536 pulls of the usual size. Those beyond it are answered at
/// once, and so are held ones of the connections with the most, when others find no place.
const HELD_MAX_BYTES: usize = 256 << 20;

/// What a held pull counts for at least.
const HELD_MIN_BYTES: usize = HELD_MAX_BYTES / HELD_MAX;

/// Longest hold, whatever the client asks for: beyond its own time limit of 30 s nobody listens.
const HOLD_MAX: Duration = Duration::from_secs(120);

/// A held pull.
pub(crate) struct HeldPull {
    kept: Kept,
    counted_bytes: usize,
}

impl HeldPull {
    /// It counts for its frame and for what it wants, even where that is shared with its group: a
    /// newer subscription of the group leaves the older one to the held pulls.
    fn new(kept: Kept, filter: &TagFilter) -> Self {
        let bytes = kept.frame_bytes() + filter.shared_bytes();
        Self { kept, counted_bytes: bytes.max(HELD_MIN_BYTES) }
    }

    fn peer(&self) -> &Peer {
        self.kept.peer()
    }
}

/// The held pulls of one shard.
pub(super) struct Held {
    table: RefCell<HoldTable<HeldPull>>,
    /// Which connections they are of, by the bytes they count for.
    shares: RefCell<Shares>,
    /// An earlier deadline than the one that the timer sleeps for.
    earlier: Notify,
    sleeps_until: Cell<Option<Instant>>,
    /// When pulls that make way were last searched for.
    searched_at: Cell<Option<Instant>>,
    /// Pulls of connections that ended will be searched for.
    is_search_due: Cell<bool>,
    /// Those that a wake-up takes out, while they are executed.
    woken: RefCell<Vec<HeldPull>>,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            table: RefCell::new(HoldTable::new(LINE_LIMITS)),
            shares: RefCell::new(Shares::new(HELD_MAX_BYTES, 1)),
            earlier: Notify::default(),
            sleeps_until: Cell::new(None),
            searched_at: Cell::new(None),
            is_search_due: Cell::new(false),
            woken: RefCell::default(),
        }
    }
}

impl Held {
    fn take_place(&self, of: ConnectionKey, bytes: usize) -> bool {
        self.shares.borrow_mut().take(of, bytes)
    }

    fn give_back(&self, pull: &HeldPull) {
        self.shares.borrow_mut().give_back(pull.peer().key(), pull.counted_bytes);
    }

    /// Takes out pulls so that others find places: those of connections of this shard that are gone
    /// (clients that lost the broker, and come back together, find their former pulls here), and
    /// what the connections with the most have above the level. The latter are to be answered.
    fn make_room(&self, now: Instant) -> Vec<HeldPull> {
        let is_due = |at: Instant| now.saturating_since(at) >= SEARCH_PAUSE;
        if !self.searched_at.get().is_none_or(is_due) {
            return Vec::new();
        }
        self.searched_at.set(Some(now));
        let mut above: HashMap<ConnectionKey, usize> = {
            let shares = self.shares.borrow();
            shares.above(shares.level()).collect()
        };
        let is_chosen = |pull: &HeldPull| {
            pull.peer().is_closed()
                || above.get_mut(&pull.peer().key()).is_some_and(|excess| {
                    let is_above = *excess > 0;
                    *excess = excess.saturating_sub(pull.counted_bytes);
                    is_above
                })
        };
        let mut taken = self.take_chosen(is_chosen);
        taken.retain(|pull| !pull.peer().is_closed());
        taken
    }

    fn take_chosen(&self, is_chosen: impl FnMut(&HeldPull) -> bool) -> Vec<HeldPull> {
        let mut taken = Vec::new();
        self.table.borrow_mut().take_chosen(is_chosen, &mut taken);
        taken.iter().for_each(|pull| self.give_back(pull));
        taken
    }
}

/// A connection of this shard has ended: nobody will take the answers to its pulls, which keep it
/// in memory, so they leave within [`SEARCH_PAUSE`].
pub fn connection_closed(data: &Rc<DataPlane>, connection: ConnectionKey) {
    let held = &data.services().pull.held;
    if held.shares.borrow().of(connection) == 0 || held.is_search_due.replace(true) {
        return;
    }
    let data = Rc::clone(data);
    let search = async move {
        task::sleep(SEARCH_PAUSE).await;
        let held = &data.services().pull.held;
        held.is_search_due.set(false);
        for gone in held.take_chosen(|pull| pull.peer().is_closed()) {
            drop(gone);
            // A hundred thousand may have gone, each with its connection.
            task::yield_if_needed().await;
        }
    };
    task::spawn("pulls of closed connections", search).detach();
}

/// Takes a place for one more pull of a connection, if it may have one.
fn take_place(data: &Rc<DataPlane>, of: ConnectionKey, bytes: usize, now: Instant) -> bool {
    let held = &data.services().pull.held;
    if held.take_place(of, bytes) {
        return true;
    }
    let displaced = held.make_room(now);
    if !displaced.is_empty() {
        tracing::debug!(pulls = displaced.len(), "held pulls make way for other connections");
        // Not at once: a pull is being executed.
        let answer = leaving::answer_all(Rc::clone(data), displaced);
        task::spawn("pulls that make way", answer).detach();
    }
    held.take_place(of, bytes)
}

/// Parks a pull that found nothing, if it may wait; `true` when it was.
pub(super) fn park(attempt: &Attempt<'_, '_>, pulling: &Pulling<'_>, result: &ReadResult) -> bool {
    let (data, header) = (attempt.data, &pulling.header);
    let outcome = PullOutcome::of(result.status, header.queue_offset);
    if header.sys_flag & pull_flag::SUSPEND == 0 || outcome.code != response::PULL_NOT_FOUND {
        return false;
    }
    let held = &data.services().pull.held;
    let pull = HeldPull::new(Kept::aside(attempt.request), &pulling.filter);
    if !take_place(data, pull.peer().key(), pull.counted_bytes, attempt.started) {
        return false;
    }
    let wish = Wish {
        queue: HashedQueue::new(header.topic, header.queue_id),
        offset: result.next_offset,
        filter: pulling.filter.clone(),
        deadline: grid::end_of_wait(attempt.started, hold_time(data, header).min(HOLD_MAX)),
        deadline_outside: grid::end_of_wait(attempt.started, HOLD_OUTSIDE_MAX),
    };
    let deadline = held.table.borrow_mut().park(wish, pull);
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

/// Pulls that are held on this shard.
pub fn count(data: &DataPlane) -> usize {
    data.services().pull.held.table.borrow().len()
}
