//! Pulls that wait for a message they want.
//!
//! What they wait for is in a [`HoldTable`]; here is what becomes of those that leave it. A held
//! pull is executed once more when a message it wants becomes visible ([`wake`]), something else
//! concerns its queue ([`disturb`], [`answer_taken`]), its time is up ([`run_deadlines`]), or the
//! shard stops ([`release_all`]); then it is answered whatever it finds.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::Header;
use ringmq_protocol::codes::response;
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;
use ringmq_store::{QueueOffset, ReadResult};

use super::check::Pulling;
use super::{Attempt, Pass, grid};
use crate::filter::TagFilter;
use crate::hold::{HoldTable, LineLimits, Wish};
use crate::link::ConnectionKey;
use crate::outcome::PullOutcome;
use crate::peer::Peer;
use crate::router::{HashedQueue, topic_hash};
use crate::services::kept::Kept;
use crate::shard::DataPlane;
use crate::shares::Shares;

/// Pulls held on a shard; one takes about 600 bytes, so all of them 80 MB.
const HELD_MAX: usize = 1 << 17;

/// Pulls of one queue that its messages find. Each message takes 8 ns for every one that does not
/// want it, so 8 us for those that want certain tags; with [`HELD_MAX`] it would be a millisecond.
/// One that wants every message is woken, which takes 0.1 us, so 1.6 ms for all. Consumers of one
/// queue are a handful, except for large broadcasting groups.
const LINE_LIMITS: LineLimits = LineLimits { pulls: 1 << 14, choosy: 1 << 10 };

/// Longest hold of a pull that messages do not find: it looks for itself once a second.
const HOLD_OUTSIDE_MAX: Duration = Duration::from_secs(1);

/// Woken pulls that are executed at once, by what they count for, about 2 ms: 256 of the usual
/// size, or five that name 13,000 tags each, which are read anew. More let others have a turn
/// between.
const WOKEN_AT_ONCE_MAX_BYTES: usize = 256 * HELD_MIN_BYTES;

/// Pulls that are taken out at once when their time is up, 0.2 ms; all of them may end together.
const EXPIRED_AT_ONCE_MAX: usize = 1 << 10;

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
        let answer = answer_all(Rc::clone(data), displaced);
        task::spawn("pulls that make way", answer).detach();
    }
    held.take_place(of, bytes)
}

async fn answer_all(data: Rc<DataPlane>, displaced: Vec<HeldPull>) {
    for pull in displaced {
        execute(&data, &pull.kept);
        task::yield_if_needed().await;
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

/// Looks again at the pulls that are held for a queue, because something else than a message
/// concerns them.
pub fn disturb(data: &Rc<DataPlane>, queue: HashedQueue) {
    let mut woken = Vec::new();
    data.services().pull.held.table.borrow_mut().disturb(queue, &mut woken);
    all_again(data, &mut woken);
}

/// Takes the pulls that are held for a topic which is deleted: no message of the next topic of that
/// name may wake them at their old position.
pub(crate) fn take_topic(data: &DataPlane, topic: &str) -> Vec<HeldPull> {
    let mut taken = Vec::new();
    data.services().pull.held.table.borrow_mut().take_topic(topic_hash(topic), &mut taken);
    taken
}

/// Whose pull waited in a queue of a deleted topic, beyond its first message.
pub(crate) struct Waited {
    pub group: String,
    pub queue_id: i32,
}

/// Answers what [`take_topic`] took; tells whose they were. Groups that have not committed anything
/// yet are known from nothing else.
pub(crate) async fn answer_taken(
    data: &Rc<DataPlane>,
    topic: &str,
    taken: Vec<HeldPull>,
) -> Vec<Waited> {
    let mut waited = Vec::new();
    for pull in taken {
        pull.kept.lend(|request| {
            let Ok(header) = PullRequest::decode(&request.command.fields) else { return };
            // Two names may have one hash.
            if header.topic == topic && header.queue_offset > 0 {
                let group = header.consumer_group.to_owned();
                waited.push(Waited { group, queue_id: header.queue_id });
            }
        });
        again(data, pull);
        task::yield_if_needed().await;
    }
    waited
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

/// Pulls that are held on this shard.
pub fn count(data: &DataPlane) -> usize {
    data.services().pull.held.table.borrow().len()
}
