//! Sends: SEND_MESSAGE, SEND_MESSAGE_V2, SEND_BATCH_MESSAGE.
//!
//! [`destination`] decides where a send goes, from the view alone; it runs where the request
//! arrives and again on the owner of the queue. [`serve`] runs there: it [checks](check), places
//! the message in the log and leaves its answer with the log's waiters, in one synchronous step. A
//! refused message leaves no trace.

mod check;
mod destination;
mod incoming;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::Duration;

use ringmq_protocol::codes::request;
use ringmq_protocol::headers::send::SendRequest;
use ringmq_protocol::ids::{IdText, OffsetMessageId, UniqueKeys};
use ringmq_protocol::{Command, Header};
use ringmq_runtime::clock::{self, Instant};
use ringmq_runtime::process;
use ringmq_store::{AppendError, Appended};

use self::check::{check_broker, check_kind, check_size};
pub use self::destination::{Destination, destination};
use self::incoming::Incoming;
use super::stamp::Facts;
use crate::logs::OwnedLog;
use crate::outcome::Refusal;
use crate::router::HashedQueue;
use crate::services::Request;
use crate::shard::Local;
use crate::view::Topic;

/// How much older than its turn the store time of a message may be. Times are in milliseconds, and
/// a look at the clock takes as long as the hashes of a message's queue.
const WALL_AGE_MAX: Duration = Duration::from_micros(100);

/// State of sending on one shard.
pub struct Produce {
    store_host: SocketAddr,
    unique_keys: RefCell<UniqueKeys>,
    /// Key of the message at hand, when its sender gave none.
    made_key: RefCell<String>,
    /// Properties text of the message at hand, when it has to differ from the sender's.
    cleaned: RefCell<String>,
    /// Message ids of the batch at hand.
    ids: RefCell<String>,
    /// Places of the batch at hand.
    places: RefCell<Vec<Appended>>,
    /// Turns the choice of a queue that senders leave to the broker.
    turn: Cell<u32>,
    /// The wall clock as it was read last, and when that was.
    wall: Cell<Option<(Instant, i64)>>,
}

impl Produce {
    /// The state of a broker that clients reach at `store_host`.
    pub fn new(store_host: SocketAddr, shard: usize) -> Self {
        Self {
            store_host,
            unique_keys: RefCell::new(UniqueKeys::new(
                store_host.ip(),
                process::pid(),
                shard as u32,
            )),
            made_key: RefCell::default(),
            cleaned: RefCell::default(),
            ids: RefCell::default(),
            places: RefCell::default(),
            turn: Cell::new(0),
            wall: Cell::new(None),
        }
    }

    /// Unix time in milliseconds for a message that was received at `now`: read for the first one
    /// within [`WALL_AGE_MAX`].
    fn unix_ms(&self, now: Instant) -> i64 {
        if let Some((read_at, unix_ms)) = self.wall.get()
            && (read_at..read_at + WALL_AGE_MAX).contains(&now)
        {
            return unix_ms;
        }
        let unix_ms = clock::unix_ms();
        self.wall.set(Some((now, unix_ms)));
        unix_ms
    }

    /// Has the clock read for the next message, whenever that was received: it has waited.
    pub fn forget_time(&self) {
        self.wall.set(None);
    }

    /// One of the topic's queues that lie in this log, in turn.
    fn choose_queue(&self, local: &Local, owned: &OwnedLog, topic: &Topic) -> i32 {
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        (0..topic.write_queues)
            .map(|step| (turn.wrapping_add(step) % topic.write_queues) as i32)
            .find(|queue_id| local.owns_queue(owned, HashedQueue::new(&topic.name, *queue_id)))
            .unwrap_or(0)
    }

    fn message_id(&self, appended: &Appended) -> IdText {
        let physical_offset = appended.position.wire();
        OffsetMessageId { host: self.store_host, physical_offset }.text()
    }
}

/// Whether a code is a send.
pub fn is_send(code: i32) -> bool {
    matches!(code, request::SEND_MESSAGE | request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE)
}

/// Reads the header of any send.
pub fn decode<'c>(command: &'c Command<'_>) -> Result<SendRequest<'c>, Refusal> {
    SendRequest::decode(&command.fields).map_err(Refusal::malformed)
}

/// Why a send does not say which queue it is for.
pub fn explain_malformed(command: &Command<'_>) -> Refusal {
    super::malformed(decode(command).map_err(|refusal| refusal.remark))
}

/// Serves a send whose queue lies in `owned`.
pub fn serve(local: &Local, produce: &Produce, owned: &OwnedLog, request: Request<'_, '_>) {
    let received_at = local.stages.received_at(request.peer);
    if owned.must_stall() || !retry(local, produce, owned, request, received_at) {
        let arrival = local.stages.arrival_of(request.peer);
        owned.stall(&local.stalled_shares, request, received_at, arrival);
    }
}

/// Serves a send that may have waited; `false` when the log has no room (again).
pub fn retry(
    local: &Local,
    produce: &Produce,
    owned: &OwnedLog,
    request: Request<'_, '_>,
    received_at: Instant,
) -> bool {
    match store(local, produce, owned, request, received_at) {
        Ok(()) => {}
        Err(Failure::Refused(refusal)) => {
            local.counters.send_failed();
            request.refuse(&refusal);
        }
        Err(Failure::NoRoom) => return false,
    }
    true
}

/// Why a message was not stored.
enum Failure {
    /// Tell the sender.
    Refused(Refusal),
    /// Try again when the log has room.
    NoRoom,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full { .. } => Self::NoRoom,
            error => Self::Refused(Refusal::from(error)),
        }
    }
}

fn store(
    local: &Local,
    produce: &Produce,
    owned: &OwnedLog,
    request: Request<'_, '_>,
    received_at: Instant,
) -> Result<(), Failure> {
    let command = request.command;
    let header = decode(command)?;
    let view = local.view();
    let settings = view.settings();
    let (topic, queue_id) = match destination(&view, command, header.topic, header.queue_id)? {
        Destination::Queue(topic, queue_id) => (topic, queue_id),
        Destination::AnyQueueOf(topic) => {
            let queue_id = produce.choose_queue(local, owned, &topic);
            (topic, queue_id)
        }
        // The view lost the topic since the request was routed.
        Destination::NewTopic(_) => return Err(Refusal::no_topic(header.topic).into()),
    };
    let queue = HashedQueue::new(&topic.name, queue_id);
    if !local.owns_queue(owned, queue) {
        // The view changed while the send waited, or its fields name two queues.
        let remark = "the queue of this message belongs to another shard now; send it again";
        return Err(Refusal::unavailable(remark).into());
    }
    let mut facts = Facts::read(header.properties.unwrap_or(""));
    check_broker(settings, &topic)?;
    check_size(settings, &header, command.body)?;
    check_kind(&header, &topic, &facts)?;
    // Only a dead letter still has one, and loses it.
    facts.needs_cleaning |= facts.is_delayed;
    let topic = &*topic;
    let incoming = Incoming { header, topic, queue, facts, request, received_at, local };
    if incoming.header.batch {
        incoming.store_batch(produce, owned, settings)
    } else {
        incoming.store_single(produce, owned, settings)
    }
}
