//! Pulls: PULL_MESSAGE and LITE_PULL_MESSAGE.
//!
//! A pull is checked, its progress committed, and the queue read, in one synchronous step when the
//! messages are in memory or in the page cache. From there it is *answered*; *held* until a
//! message it wants becomes visible or its time is up, when the client allows that and nothing was
//! found; or read *later*, in the slow lane: what it wants lies on the device, readers behind it go
//! first, or its connection has much to send.
//!
//! A pull that was held is executed once more, from its frame, and is not held again.

mod check;
mod grid;
pub mod held;
mod later;

use std::cell::RefCell;
use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_protocol::headers::pull::{PullRequest, PullResponse, pull_flag};
use ringmq_protocol::{Command, Header};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::process;
use ringmq_store::{Piece, QueueOffset, ReadNow, ReadResult, ReadStatus};

use self::check::{Denied, Pulling, check};
use self::held::Held;
use self::later::LatePulls;
use crate::logs::OwnedLog;
use crate::outcome::{PullOutcome, Refusal};
use crate::services::Request;
use crate::shard::DataPlane;
use crate::survivors::MemberQueue;

/// Longest frame of a pull: its subscription alone can be long, some thousand tags.
const FRAME_MAX_BYTES: usize = 64 << 10;

/// State of pulling on one shard.
pub struct Pull {
    /// Memory of the machine, or of the container.
    memory_bytes: u64,
    held: Held,
    late: LatePulls,
    /// Parts of the answer at hand.
    pieces: RefCell<Vec<Piece>>,
}

impl Default for Pull {
    fn default() -> Self {
        let memory_bytes = process::memory_bytes();
        let (held, late) = (Held::default(), LatePulls::default());
        Self { memory_bytes, held, late, pieces: RefCell::default() }
    }
}

/// Why a pull does not say which queue it is for.
pub fn explain_malformed(command: &Command<'_>) -> Refusal {
    super::malformed(PullRequest::decode(&command.fields))
}

/// Serves a pull from a queue of `owned`.
pub fn serve(data: &Rc<DataPlane>, owned: &Rc<OwnedLog>, request: Request<'_, '_>) {
    let frame_bytes = request.frame.len();
    if frame_bytes > FRAME_MAX_BYTES {
        let remark =
            format!("a pull of {frame_bytes} bytes, at most {FRAME_MAX_BYTES} are allowed");
        return request.refuse(&Refusal::invalid_parameter(remark));
    }
    Attempt::start(data, request).run(owned, Pass::First);
}

/// Which time a pull is executed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// It has just arrived: progress is committed, and it may be held.
    First,
    /// It was held, or its topic changed while it waited for its turn.
    Again,
}

/// One execution of a pull.
struct Attempt<'a, 'f> {
    data: &'a Rc<DataPlane>,
    request: Request<'a, 'f>,
    started: Instant,
}

impl<'a, 'f> Attempt<'a, 'f> {
    fn start(data: &'a Rc<DataPlane>, request: Request<'a, 'f>) -> Self {
        Self { data, request, started: Instant::now() }
    }

    /// What is pulled, when it may be; otherwise the pull is answered.
    fn checked(&self) -> Option<Pulling<'a>> {
        let memory_bytes = self.data.services().pull.memory_bytes;
        match check(&self.data.local.view(), memory_bytes, self.request.command) {
            Ok(pulling) => Some(pulling),
            Err(denied) => {
                self.deny(&denied);
                None
            }
        }
    }

    fn run(&self, owned: &Rc<OwnedLog>, pass: Pass) {
        let Some(pulling) = self.checked() else { return };
        if pass == Pass::First {
            self.commit(owned, &pulling.header);
        }
        let header = &pulling.header;
        if let Some(to) = owned.moved_by_reset(self.queue_of(header), header.queue_offset) {
            let result = moved(owned, &pulling, Some(to));
            return self.answer(owned, &pulling, &result, &mut Vec::new());
        }
        // A message can wake all the pulls that a connection has ever sent, each with an answer of
        // its own, and a shard serves a whole read of another shard's connection at once.
        if self.request.peer.has_much_to_send() {
            return later::read(self.data, self.request, header.topic);
        }
        let mut pieces = self.data.services().pull.pieces.borrow_mut();
        pieces.clear();
        match read_now(self.data, owned, &pulling, &mut pieces) {
            ReadNow::Done(result) => {
                if pass == Pass::Again || !held::park(self, &pulling, &result) {
                    self.answer(owned, &pulling, &result, &mut pieces);
                }
            }
            ReadNow::Later => later::read(self.data, self.request, header.topic),
        }
    }

    fn queue_of<'h>(&self, header: &PullRequest<'h>) -> MemberQueue<'h> {
        let PullRequest { consumer_group: group, topic, queue_id, .. } = *header;
        MemberQueue { host: self.request.peer.peer_addr().ip(), group, topic, queue_id }
    }

    /// Stores the progress that comes along, and makes the group known.
    fn commit(&self, owned: &OwnedLog, header: &PullRequest<'_>) {
        let group = header.consumer_group;
        if header.sys_flag & pull_flag::COMMIT_OFFSET != 0 {
            owned.commit_or_warn(self.queue_of(header), header.commit_offset);
        }
        if self.data.local.view().group(group).is_none() {
            self.data.want_group(group);
        }
    }

    fn deny(&self, denied: &Denied) {
        let (request, refusal) = (self.request, &denied.refusal);
        if refusal.code == response::SUBSCRIPTION_NOT_LATEST {
            let group = request.command.fields.get("consumerGroup");
            self.data.tell_old_subscription(group.unwrap_or_default());
        }
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
        request.peer.reply(&request.to(), refusal.code, Some(&refusal.remark), &header, &[]);
    }

    fn answer(
        &self,
        owned: &OwnedLog,
        pulling: &Pulling<'_>,
        result: &ReadResult,
        pieces: &mut Vec<Piece>,
    ) {
        owned.give(self.queue_of(&pulling.header), result.next_offset);
        let counters = &self.data.local.counters;
        if result.count == 0 {
            counters.pull_missed();
        } else {
            let time_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
            counters.pulled(result.count as u64, result.bytes, time_us);
        }
        let outcome = PullOutcome::of(result.status, pulling.header.queue_offset);
        let header = PullResponse {
            suggest_which_broker_id: 0,
            next_begin_offset: result.next_offset.wire(),
            min_offset: result.min_offset.wire(),
            max_offset: result.max_offset.wire(),
            offset_delta: None,
            topic_sys_flag: Some(pulling.topic_sys_flag),
            group_sys_flag: Some(pulling.group_sys_flag),
            forbidden_type: None,
        };
        let (peer, to) = (self.request.peer, self.request.to());
        peer.reply_pieces(&to, outcome.code, Some(outcome.remark), &header, pieces);
    }
}

/// Reads what is in memory or in the page cache; a pull that has to move elsewhere is told where.
/// Others go first only where that costs no place in line behind the device.
fn read_now(
    data: &DataPlane,
    owned: &OwnedLog,
    pulling: &Pulling<'_>,
    pieces: &mut Vec<Piece>,
) -> ReadNow {
    let header = &pulling.header;
    let accepts = &mut |tag_hash| pulling.filter.accepts(tag_hash);
    let log = &owned.log;
    match from(header) {
        Ok(from) if data.services().slow.is_free() => {
            log.read_in_turn(&pulling.query(from), accepts, pieces)
        }
        Ok(from) => log.read_now(&pulling.query(from), accepts, pieces),
        Err(TooSmall) => ReadNow::Done(moved(owned, pulling, None)),
    }
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
