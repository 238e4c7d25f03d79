//! Sends: SEND_MESSAGE, SEND_MESSAGE_V2, SEND_BATCH_MESSAGE.
//!
//! [`destination`] decides where a send goes, from the view alone; it runs where the request arrives and again
//! on the owner of the queue. [`serve`] runs there: it checks, places the message in the log and leaves its
//! answer with the log's waiters, in one synchronous step. A refused message leaves no trace.
//!
//! Delayed and transactional messages are refused: delivering them at once would be wrong.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::{SendMessage, SendMessageResponse, SendMessageV2};
use ringmq_protocol::ids::{OffsetMessageId, UniqueKeys};
use ringmq_protocol::{Command, Header, ResponseHead, batch, write_response};
use ringmq_remoting::ReplyTo;
use ringmq_runtime::clock;
use ringmq_store::{AppendError, Appended, NewMessage};

use super::stamp::{self, Added, Facts};
use crate::config::Settings;
use crate::control::TopicWanted;
use crate::logs::OwnedLog;
use crate::names;
use crate::outcome::Refusal;
use crate::peer::Peer;
use crate::router::HashedQueue;
use crate::shard::DataPlane;
use crate::view::{Topic, View, permission};
use crate::waiters::Placed;

/// Queues of a retry or dead-letter topic that is created on the way.
const RETRY_QUEUES: u32 = 1;

/// Senders below this version put their group's limit of retries nowhere: the group's own counts.
const RETRIES_IN_HEADER_SINCE: i32 = 121;

/// Releases before this one may send the property text without its last byte; all are read alike.
const DELAYED_REMARK: &str =
    "delayed messages (DELAY, TIMER_*) are not supported by this broker yet; send without a delay";
const TRANSACTION_REMARK: &str =
    "transactional messages are not supported by this broker yet; send an ordinary message";

/// State of sending on one shard.
pub struct Produce {
    store_host: SocketAddr,
    unique_keys: RefCell<UniqueKeys>,
    /// Properties text of the message at hand, when it has to differ from the sender's.
    cleaned: RefCell<String>,
    /// Message ids of the answer at hand.
    ids: RefCell<String>,
    /// Turns the choice of a queue that senders leave to the broker.
    turn: Cell<u32>,
}

impl Produce {
    /// The state of a broker that clients reach at `store_host`.
    pub fn new(store_host: SocketAddr) -> Self {
        Self {
            store_host,
            unique_keys: RefCell::new(UniqueKeys::new(store_host.ip())),
            cleaned: RefCell::default(),
            ids: RefCell::default(),
            turn: Cell::new(0),
        }
    }
}

/// Whether a code is a send.
pub fn is_send(code: i32) -> bool {
    matches!(
        code,
        request::SEND_MESSAGE | request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE
    )
}

/// Where a send goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To this queue of this topic.
    Queue(Arc<Topic>, u32),
    /// To a queue of this topic that the broker chooses.
    AnyQueueOf(Arc<Topic>),
    /// To a topic that has to be created first.
    NewTopic(TopicWanted),
}

/// Decides where a send to `topic` goes. Allocates only for topics that do not exist.
///
/// # Errors
/// The topic's name is not allowed, is not for clients, or nobody may create it; the queue does not exist.
pub fn destination(
    view: &View,
    command: &Command<'_>,
    topic: &str,
    queue_id: i32,
) -> Result<Destination, Refusal> {
    let Some(group) = names::group_of_retry_topic(topic) else {
        return in_topic(view, command, topic, queue_id);
    };
    if retries_end(view, command, &decode(command)?, group)? {
        return in_topic(view, command, &names::dead_letter_topic(group), 0);
    }
    in_topic(view, command, topic, queue_id)
}

fn in_topic(
    view: &View,
    command: &Command<'_>,
    name: &str,
    queue_id: i32,
) -> Result<Destination, Refusal> {
    let Some(topic) = view.topic(name) else { return new_topic(view, command, name) };
    if names::is_closed_to_clients(name) {
        return Err(Refusal::no_permission(format!("topic {name} is written by the broker only")));
    }
    let Ok(queue_id) = u32::try_from(queue_id) else {
        return Ok(Destination::AnyQueueOf(Arc::clone(topic)));
    };
    let queues = topic.write_queues.max(topic.read_queues);
    if queue_id >= queues {
        return Err(Refusal::invalid_parameter(format!(
            "queueId {queue_id} does not exist, topic {name} has queues 0 to {}",
            queues.saturating_sub(1)
        )));
    }
    Ok(Destination::Queue(Arc::clone(topic), queue_id))
}

fn new_topic(view: &View, command: &Command<'_>, name: &str) -> Result<Destination, Refusal> {
    names::check_topic(name).map_err(Refusal::invalid_parameter)?;
    if names::is_closed_to_clients(name) {
        return Err(Refusal::no_permission(format!("topic {name} is written by the broker only")));
    }
    if names::is_for_retries(name) {
        let (template, queues) = (String::new(), RETRY_QUEUES);
        return Ok(Destination::NewTopic(TopicWanted { name: name.to_owned(), template, queues }));
    }
    if !view.settings().auto_create_topic_enable {
        return Err(Refusal::no_topic(name));
    }
    let header = decode(command)?;
    Ok(Destination::NewTopic(TopicWanted {
        name: name.to_owned(),
        template: header.default_topic.to_owned(),
        queues: u32::try_from(header.default_topic_queues).unwrap_or(1).max(1),
    }))
}

/// Whether a message that a consumer sends back has been tried often enough, or belongs to an ordered group,
/// which must not have it delivered out of turn.
fn retries_end(
    view: &View,
    command: &Command<'_>,
    header: &SendMessage<'_>,
    group_name: &str,
) -> Result<bool, Refusal> {
    let Some(group) = view.group(group_name) else {
        return Err(Refusal::new(
            response::SUBSCRIPTION_GROUP_NOT_EXIST,
            format!("consumer group {group_name} does not exist on this broker"),
        ));
    };
    let retries_max = match header.max_reconsume_times {
        Some(retries_max) if command.version >= RETRIES_IN_HEADER_SINCE => retries_max,
        _ => group.retries_max,
    };
    let holds_locks =
        group.live.as_ref().is_some_and(|live| live.locked_until_ms > clock::unix_ms());
    Ok(holds_locks || header.reconsume_times.unwrap_or(0) > retries_max)
}

/// Reads the header of any send.
pub fn decode<'c>(command: &'c Command<'_>) -> Result<SendMessage<'c>, Refusal> {
    let decoded = match command.code {
        request::SEND_MESSAGE => SendMessage::decode(&command.fields),
        _ => SendMessageV2::decode(&command.fields).map(SendMessage::from),
    };
    decoded.map_err(Refusal::malformed)
}

/// Why a send does not say which queue it is for.
pub fn explain_malformed(command: &Command<'_>) -> Refusal {
    super::malformed(decode(command).map_err(|refusal| refusal.remark))
}

/// Serves a send whose queue lies in `owned`.
pub fn serve(
    data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    peer: &Peer,
    command: &Command<'_>,
    frame: &[u8],
) {
    if owned.must_stall() {
        return data.stall(owned, peer, command, frame);
    }
    let to = ReplyTo::of(command);
    match store(data, owned, peer, command, to) {
        Ok(()) => {}
        Err(Failure::Refused(refusal)) => peer.refuse(&to, &refusal),
        Err(Failure::NoRoom) => data.stall(owned, peer, command, frame),
    }
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
    data: &Rc<DataPlane>,
    owned: &OwnedLog,
    peer: &Peer,
    command: &Command<'_>,
    to: ReplyTo,
) -> Result<(), Failure> {
    let header = decode(command)?;
    let view = data.view();
    let settings = view.settings();
    let (topic, queue_id) = match destination(&view, command, header.topic, header.queue_id)? {
        Destination::Queue(topic, queue_id) => (topic, queue_id),
        Destination::AnyQueueOf(topic) => {
            let queue_id = choose_queue(data, owned, &topic);
            (topic, queue_id)
        }
        // The view lost the topic since the request was routed.
        Destination::NewTopic(_) => return Err(Refusal::no_topic(header.topic).into()),
    };
    let facts = Facts::read(header.properties.unwrap_or(""));
    check_broker(settings, &topic)?;
    check_size(settings, &header, command.body)?;
    check_kind(&header, &topic, &facts)?;
    let incoming = Incoming { header, topic: &topic, queue_id, facts, body: command.body, peer, to };
    if incoming.header.batch.unwrap_or(false) {
        incoming.store_batch(data, owned, settings)
    } else {
        incoming.store_single(data, owned, settings)
    }
}

/// One of the topic's queues that lie in this log, in turn.
fn choose_queue(data: &DataPlane, owned: &OwnedLog, topic: &Topic) -> u32 {
    let turn = &data.services().produce.turn;
    turn.set(turn.get().wrapping_add(1));
    let queues = topic.write_queues.max(1);
    (0..queues)
        .map(|step| turn.get().wrapping_add(step) % queues)
        .find(|queue_id| data.owns_queue(owned, HashedQueue::new(&topic.name, *queue_id)))
        .unwrap_or(0)
}

fn check_broker(settings: &Settings, topic: &Topic) -> Result<(), Refusal> {
    if settings.start_accept_send_request_at_ms > clock::unix_ms() {
        return Err(Refusal::new(
            response::SYSTEM_ERROR,
            "the broker takes no messages before the time set in startAcceptSendRequestTimeStamp",
        ));
    }
    let is_writable = settings.broker_permission & permission::WRITE != 0;
    if topic.is_ordered && !is_writable {
        return Err(Refusal::no_permission("sending to ordered topics is off: brokerPermission"));
    }
    Ok(())
}

fn check_size(settings: &Settings, header: &SendMessage<'_>, body: &[u8]) -> Result<(), Refusal> {
    let body_max = settings.max_message_size as usize;
    if body.is_empty() {
        return Err(Refusal::illegal_message("the message has no body"));
    }
    if body.len() > body_max {
        return Err(Refusal::illegal_message(format!(
            "the body has {} bytes, maxMessageSize allows {body_max}",
            body.len()
        )));
    }
    let properties = header.properties.map_or(0, str::len);
    if properties > PROPERTIES_SIZE_MAX_BYTES {
        return Err(Refusal::illegal_message(format!(
            "the properties have {properties} bytes, at most {PROPERTIES_SIZE_MAX_BYTES} are allowed"
        )));
    }
    Ok(())
}

fn check_kind(
    header: &SendMessage<'_>,
    topic: &Topic,
    facts: &Facts<'_>,
) -> Result<(), Refusal> {
    if facts.is_prepared {
        return Err(Refusal::no_permission(TRANSACTION_REMARK));
    }
    if facts.is_delayed {
        return Err(Refusal::illegal_message(DELAYED_REMARK));
    }
    if !header.batch.unwrap_or(false) {
        return Ok(());
    }
    if names::group_of_retry_topic(header.topic).is_some() {
        return Err(Refusal::illegal_message("a batch can not be sent to a retry topic"));
    }
    if topic.name.len() > names::TOPIC_MAX_BYTES {
        return Err(Refusal::illegal_message(format!(
            "the topic of a batch has at most {} bytes, this one {}",
            names::TOPIC_MAX_BYTES,
            topic.name.len()
        )));
    }
    Ok(())
}

/// A send that passed all checks, on its way into a log.
struct Incoming<'a> {
    header: SendMessage<'a>,
    topic: &'a Topic,
    queue_id: u32,
    facts: Facts<'a>,
    body: &'a [u8],
    peer: &'a Peer,
    to: ReplyTo,
}

impl Incoming<'_> {
    fn store_single(
        &self,
        data: &DataPlane,
        owned: &OwnedLog,
        settings: &Settings,
    ) -> Result<(), Failure> {
        let produce = &data.services().produce;
        let mut made = None;
        let unique_key = self.facts.unique_key.unwrap_or_else(|| {
            made.insert(produce.unique_keys.borrow_mut().next(clock::unix_ms())).as_str()
        });
        let added_key = self.facts.unique_key.is_none().then_some(unique_key);
        let (region, cluster) = (&settings.region_id, &settings.broker_cluster_name);
        let added = Added::new(region, settings.trace_on, cluster, added_key);
        let mut cleaned = produce.cleaned.borrow_mut();
        let sent = self.header.properties.unwrap_or("");
        let properties = if self.facts.needs_cleaning {
            stamp::clean(sent, &mut cleaned);
            cleaned.as_str()
        } else {
            sent
        };
        let message = NewMessage {
            properties,
            extra: added.entries(),
            tag_hash: self.facts.tag_hash(),
            keys: self.facts.keys,
            unique_key: Some(unique_key),
            ..self.message(produce.store_host, self.body)
        };
        let appended = owned.log.append(&message, clock::unix_ms())?;
        let placed = self.placed(&appended, message.tag_hash);
        self.acknowledge(owned, placed, |out| {
            let mut id = MessageIdText::new();
            let id = id.write(produce.store_host, appended.position);
            self.write_answer(out, settings, id, appended.queue_offset, Some(unique_key));
        });
        Ok(())
    }
