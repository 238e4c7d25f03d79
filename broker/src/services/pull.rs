//! Pulls: PULL_MESSAGE and LITE_PULL_MESSAGE.
//!
//! A pull is checked, its progress committed, and the queue read, in one synchronous step when the
//! messages are in memory. From there it is *answered*; *held* until a message it wants becomes
//! visible or its time is up, when the client allows that and nothing was found; or *cold*: what it
//! wants lies on the device, and is read in the slow lane.
//!
//! A pull that was held is executed once more, from its frame, and is not held again.

mod check;
mod cold;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::response;
use ringmq_protocol::headers::pull::{PullRequest, PullResponse, pull_flag};
use ringmq_protocol::{Command, Header};
use ringmq_remoting::ReplyTo;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::{process, task};
use ringmq_store::{Piece, QueueOffset, ReadNow, ReadResult, ReadStatus};

use check::{Denied, Pulling, check};

use crate::hold::{HoldTable, Wish};
use crate::logs::OwnedLog;
use crate::outcome::{PullOutcome, Refusal};
use crate::peer::Peer;
use crate::router::HashedQueue;
use crate::shard::DataPlane;

/// Pulls held on a shard; one takes about 600 bytes, so all of them 80 MB. Further ones are
/// answered at once.
const HELD_MAX: usize = 1 << 17;

/// Bytes of the frames that held pulls keep, all together.
const HELD_MAX_BYTES: usize = 256 << 20;

/// Longest frame of a pull: its subscription alone can be long, some thousand tags.
const FRAME_MAX_BYTES: usize = 64 << 10;

/// Longest hold, whatever the client asks for: beyond its own time limit of 30 s nobody listens.
const HOLD_MAX: Duration = Duration::from_secs(120);

/// A pull that is answered later.
pub struct Waiting {
    peer: Peer,
    frame: Box<[u8]>,
}

/// State of pulling on one shard.
pub struct Pull {
    /// Memory of the machine, or of the container.
    memory_bytes: u64,
    holds: RefCell<HoldTable<Waiting>>,
    /// Bytes of the frames of held pulls.
    held_bytes: Cell<usize>,
    /// An earlier deadline than the one that the timer sleeps for.
    earlier: Notify,
    sleeps_until: Cell<Option<Instant>>,
    pieces: RefCell<Vec<Piece>>,
    woken: RefCell<Vec<Waiting>>,
}

impl Default for Pull {
    fn default() -> Self {
        Self {
            memory_bytes: process::memory_bytes(),
            holds: RefCell::new(HoldTable::new(HELD_MAX)),
            held_bytes: Cell::new(0),
            earlier: Notify::default(),
            sleeps_until: Cell::new(None),
            pieces: RefCell::default(),
            woken: RefCell::default(),
        }
    }
}

/// Why a pull does not say which queue it is for.
pub fn explain_malformed(command: &Command<'_>) -> Refusal {
    super::malformed(PullRequest::decode(&command.fields))
}

/// Serves a pull from a queue of `owned`.
pub fn serve(
    data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    peer: &Peer,
    command: &Command<'_>,
    frame: &[u8],
) {
    if frame.len() > FRAME_MAX_BYTES {
        let remark =
            format!("a pull of {} bytes, at most {FRAME_MAX_BYTES} are allowed", frame.len());
        return peer.refuse(&ReplyTo::of(command), &Refusal::invalid_parameter(remark));
    }
    attempt(data, owned, peer, command, frame, Pass::First);
}

/// Which time a pull is executed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// It has just arrived: progress is committed, and it may be held.
    First,
    /// It was held.
    Again,
}

fn attempt(
    data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    peer: &Peer,
    command: &Command<'_>,
    frame: &[u8],
    pass: Pass,
) {
    let started = Instant::now();
    let to = ReplyTo::of(command);
    let pull = &data.services().pull;
    let pulling = match check(&data.view(), pull.memory_bytes, command) {
        Ok(pulling) => pulling,
        Err(denied) => {
            if denied.refusal.code == response::SUBSCRIPTION_NOT_LATEST {
                data.tell_old_subscription(command.fields.get("consumerGroup").unwrap_or_default());
            }
            return deny(peer, &to, &denied);
        }
    };
    if pass == Pass::First {
        commit(owned, &pulling);
        if data.view().group(pulling.header.consumer_group).is_none() {
            data.want_group(pulling.header.consumer_group);
        }
    }
    let mut pieces = pull.pieces.borrow_mut();
    pieces.clear();
    let header = &pulling.header;
    let (topic, queue_id) = (header.topic, header.queue_id);
    let accepts = &mut |tag_hash| pulling.filter.accepts(tag_hash);
    // A consumer that began at the new offset needs no telling.
    let reset = owned
        .take_reset(header.consumer_group, topic, queue_id)
        .filter(|offset| offset.wire() != header.queue_offset);
    let read = match from(header) {
        _ if reset.is_some() => ReadNow::Done(moved(owned, &pulling, reset)),
        Ok(from) => owned.log.read_now(topic, queue_id, from, pulling.limits, accepts, &mut pieces),
        Err(TooSmall) => ReadNow::Done(moved(owned, &pulling, None)),
    };
    match read {
        ReadNow::Done(result) => {
            if pass == Pass::First && is_held(data, peer, &pulling, &result, frame, started) {
                return;
            }
            answer(data, peer, &to, &pulling, &result, &mut pieces, started);
        }
        ReadNow::Cold => cold::read(data, &to, Waiting { peer: peer.clone(), frame: frame.into() }),
    }
}

fn commit(owned: &OwnedLog, pulling: &Pulling<'_>) {
    let header = &pulling.header;
    if header.sys_flag & pull_flag::COMMIT_OFFSET != 0 {
        owned.commit(
            header.consumer_group,
            header.topic,
            pulling.header.queue_id,
            header.commit_offset,
        );
    }
}

/// Parks the pull if it may wait; `true` when it was.
fn is_held(
    data: &Rc<DataPlane>,
    peer: &Peer,
    pulling: &Pulling<'_>,
    result: &ReadResult,
    frame: &[u8],
    now: Instant,
) -> bool {
    let header = &pulling.header;
    let wants_to_wait = header.sys_flag & pull_flag::SUSPEND != 0;
    if !wants_to_wait
        || PullOutcome::of(result.status, header.queue_offset).code != response::PULL_NOT_FOUND
    {
        return false;
    }
    let time = {
        let view = data.view();
        let settings = view.settings();
        if settings.long_polling_enable {
            Duration::from_millis(u64::try_from(header.suspend_timeout_ms).unwrap_or(0))
        } else {
            Duration::from_millis(settings.short_polling_time_ms.into())
        }
    };
    let deadline = now + time.min(HOLD_MAX);
    let wish = Wish {
        queue: HashedQueue::new(header.topic, pulling.header.queue_id),
        offset: result.next_offset,
        filter: pulling.filter.clone(),
        deadline,
    };
    let pull = &data.services().pull;
    let waiting = Waiting { peer: peer.clone(), frame: frame.into() };
    let held_bytes = pull.held_bytes.get() + frame.len();
    if held_bytes > HELD_MAX_BYTES || pull.holds.borrow_mut().park(wish, waiting).is_err() {
        return false;
    }
    pull.held_bytes.set(held_bytes);
    data.counters().pull_missed();
    if pull.sleeps_until.get().is_none_or(|until| deadline < until) {
        pull.earlier.notify_one();
    }
    true
}

/// The offset lies before every queue: some clients pull from -1 after an error.
struct TooSmall;

fn from(header: &PullRequest<'_>) -> Result<QueueOffset, TooSmall> {
    u64::try_from(header.queue_offset).map(QueueOffset).map_err(|_| TooSmall)
}

/// Sends the consumer to another offset: where a reset says, or the beginning of the queue.
fn moved(owned: &OwnedLog, pulling: &Pulling<'_>, reset: Option<QueueOffset>) -> ReadResult {
    let (min, max) = owned.range(pulling.header.topic, pulling.header.queue_id);
    ReadResult {
        status: ReadStatus::OffsetTooSmall,
        next_offset: reset.unwrap_or(min),
        min_offset: min,
        max_offset: max,
        count: 0,
        bytes: 0,
        from_memory: true,
        behind_bytes: 0,
    }
}

fn deny(peer: &Peer, to: &ReplyTo, denied: &Denied) {
    let header = denied.forbidden_by.map(|forbidden_by| PullResponse {
        suggest_which_broker_id: 0,
        next_begin_offset: 0,
        min_offset: 0,
        max_offset: 0,
        offset_delta: None,
        topic_sys_flag: None,
        group_sys_flag: None,
        forbidden_type: Some(forbidden_by),
    });
    peer.reply(to, denied.refusal.code, Some(&denied.refusal.remark), &header, &[]);
}

fn answer(
    data: &DataPlane,
    peer: &Peer,
    to: &ReplyTo,
    pulling: &Pulling<'_>,
    result: &ReadResult,
    pieces: &mut Vec<Piece>,
    started: Instant,
) {
    if result.count == 0 {
        data.counters().pull_missed();
    } else {
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        data.counters().pulled(result.count as u64, result.bytes, micros);
    }
    let outcome = PullOutcome::of(result.status, pulling.header.queue_offset);
    let header = PullResponse {
        suggest_which_broker_id: 0,
        next_begin_offset: result.next_offset.wire(),
        min_offset: result.min_offset.wire(),
        max_offset: result.max_offset.wire(),
        offset_delta: None,
        topic_sys_flag: Some(pulling.flags.0),
        group_sys_flag: Some(pulling.flags.1),
        forbidden_type: None,
    };
    peer.reply_pieces(to, outcome.code, Some(outcome.remark), &header, pieces);
}

/// Executes a pull again that was held. Nothing found is answered now.
fn again(data: &Rc<DataPlane>, waiting: Waiting) {
    let held_bytes = &data.services().pull.held_bytes;
    held_bytes.set(held_bytes.get() - waiting.frame.len());
    super::with_command(&waiting.frame, |command| {
        let header = PullRequest::decode(&command.fields).ok();
        let owned = header.and_then(|header| data.log_of(header.topic, header.queue_id));
        if let Some(owned) = owned.filter(|_| !waiting.peer.is_closed()) {
            attempt(data, owned, &waiting.peer, command, &waiting.frame, Pass::Again);
        }
    });
}

/// Wakes the pulls that want one of the messages that became visible. `each` names them to its
/// argument: queue, queue offset, tag hash.
pub fn wake(
    data: &Rc<DataPlane>,
    each: impl FnOnce(&mut dyn FnMut(HashedQueue, QueueOffset, i64)),
) {
    let pull = &data.services().pull;
    let mut woken = std::mem::take(&mut *pull.woken.borrow_mut());
    {
        let mut holds = pull.holds.borrow_mut();
        each(&mut |queue, offset, tag_hash| {
            if !holds.is_empty() {
                holds.arrived(queue, offset, tag_hash, &mut woken);
            }
        });
    }
    for waiting in woken.drain(..) {
        again(data, waiting);
    }
    *pull.woken.borrow_mut() = woken;
}

/// Looks again at the pulls that are held for a queue, because something else than a message
/// concerns them.
pub fn disturb(data: &Rc<DataPlane>, queue: HashedQueue) {
    let pull = &data.services().pull;
    let mut woken = Vec::new();
    pull.holds.borrow_mut().disturb(queue, &mut woken);
    for waiting in woken {
        again(data, waiting);
    }
}

/// Answers pulls whose time is up, until the shard stops. One timer for all.
pub async fn run_deadlines(data: Rc<DataPlane>) {
    let pull = &data.services().pull;
    loop {
        let now = Instant::now();
        let mut expired = Vec::new();
        pull.holds.borrow_mut().expire(now, &mut expired);
        for waiting in expired {
            again(&data, waiting);
            // A hundred thousand may have the same deadline.
            task::yield_if_needed().await;
        }
        let next = pull.holds.borrow().next_deadline();
        pull.sleeps_until.set(next);
        match next {
            None => pull.earlier.notified().await,
            Some(next) => {
                let time = next.saturating_since(Instant::now());
                // Either way there is something to look at.
                let _ = task::timeout(time, pull.earlier.notified()).await;
            }
        }
    }
}

/// Answers everything that is held, for the end of the shard: clients ask again elsewhere.
pub fn release_all(data: &Rc<DataPlane>) {
    let mut held = Vec::new();
    data.services().pull.holds.borrow_mut().drain(&mut held);
    for waiting in held {
        again(data, waiting);
    }
}

/// Pulls that are held on this shard.
pub fn held(data: &DataPlane) -> usize {
    data.services().pull.holds.borrow().len()
}
