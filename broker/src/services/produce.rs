//! Sends: SEND_MESSAGE, SEND_MESSAGE_V2, SEND_BATCH_MESSAGE.
//!
//! [`destination`] decides where a send goes, from the view alone; it runs where the request arrives and again
//! on the owner of the queue. [`serve`] runs there: it checks, places the message in the log and leaves its
//! answer with the log's waiters, in one synchronous step. A refused message leaves no trace.
//!
//! Delayed and transactional messages are refused: delivering them at once would be wrong.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::send::{SendRequest, SendResponse};
use ringmq_protocol::ids::{IdText, OffsetMessageId, UniqueKeys, since_month_start_ms};
use ringmq_protocol::properties::PROPERTIES_SIZE_MAX_BYTES;
use ringmq_protocol::record::{NewRecord, sys_flag};
use ringmq_protocol::{Command, Header, ResponseHead, batch, write_response};
use ringmq_remoting::ReplyTo;
use ringmq_runtime::clock::{self, Instant};
use ringmq_runtime::process;
use ringmq_store::{AppendError, Appended};

use super::stamp::{self, Added, Facts};
use crate::config::Settings;
use crate::control::TopicWanted;
use crate::logs::{OwnedLog, Sender};
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

const DELAYED_REMARK: &str =
    "delayed messages (DELAY, TIMER_*) are not supported by this broker yet; send without a delay";
const TRANSACTION_REMARK: &str =
    "transactional messages are not supported by this broker yet; send an ordinary message";

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
        }
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

/// Where a send goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To this queue of this topic.
    Queue(Arc<Topic>, i32),
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
    let Ok(number) = u32::try_from(queue_id) else {
        return Ok(Destination::AnyQueueOf(Arc::clone(topic)));
    };
    let queues = topic.write_queues.max(topic.read_queues);
    if number >= queues {
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
        return Ok(wanted(name, "", RETRY_QUEUES));
    }
    if !view.settings().auto_create_topic_enable {
        return Err(Refusal::no_topic(name));
    }
    let header = decode(command)?;
    let queues = u32::try_from(header.default_topic_queue_nums).unwrap_or(1).max(1);
    Ok(wanted(name, header.default_topic, queues))
}

fn wanted(name: &str, template: &str, queues: u32) -> Destination {
    Destination::NewTopic(TopicWanted {
        name: name.to_owned(),
        template: template.to_owned(),
        queues,
        wanted_by: String::new(),
    })
}

/// Whether a message that a consumer sends back has been tried often enough, or belongs to an ordered group,
/// which must not have it delivered out of turn.
fn retries_end(
    view: &View,
    command: &Command<'_>,
    header: &SendRequest<'_>,
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
    Ok(holds_locks || header.reconsume_times > retries_max)
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
pub fn serve(
    data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    peer: &Peer,
    command: &Command<'_>,
    frame: &[u8],
) {
    if owned.must_stall() || !retry(data, owned, peer, command) {
        owned.stall(peer, command, frame);
    }
}

/// Serves a send that may have waited; `false` when the log has no room (again).
pub fn retry(
    data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    peer: &Peer,
    command: &Command<'_>,
) -> bool {
    let to = ReplyTo::of(command);
    match store(data, owned, peer, command, to) {
        Ok(()) => {}
        Err(Failure::Refused(refusal)) => {
            data.counters().send_failed();
            peer.refuse(&to, &refusal);
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
    let received_at = Instant::now();
    let body = command.body;
    let incoming = Incoming { header, topic: &topic, queue_id, facts, body, peer, to, received_at };
    let produce = &data.services().produce;
    if incoming.header.batch {
        incoming.store_batch(produce, owned, settings)
    } else {
        incoming.store_single(produce, owned, settings)
    }
}

/// One of the topic's queues that lie in this log, in turn.
fn choose_queue(data: &DataPlane, owned: &OwnedLog, topic: &Topic) -> i32 {
    let turn = &data.services().produce.turn;
    turn.set(turn.get().wrapping_add(1));
    let queues = topic.write_queues.max(1);
    (0..queues)
        .map(|step| (turn.get().wrapping_add(step) % queues) as i32)
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

fn check_size(settings: &Settings, header: &SendRequest<'_>, body: &[u8]) -> Result<(), Refusal> {
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

fn check_kind(header: &SendRequest<'_>, topic: &Topic, facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.is_prepared {
        return Err(Refusal::no_permission(TRANSACTION_REMARK));
    }
    if facts.is_delayed {
        return Err(Refusal::illegal_message(DELAYED_REMARK));
    }
    if !header.batch {
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
    header: SendRequest<'a>,
    topic: &'a Topic,
    queue_id: i32,
    facts: Facts<'a>,
    body: &'a [u8],
    peer: &'a Peer,
    to: ReplyTo,
    received_at: Instant,
}

impl Incoming<'_> {
    fn store_single(
        &self,
        produce: &Produce,
        owned: &OwnedLog,
        settings: &Settings,
    ) -> Result<(), Failure> {
        let now_ms = clock::unix_ms();
        let mut made = produce.made_key.borrow_mut();
        let made = match self.facts.unique_key {
            Some(_) => None,
            None => {
                let mut keys = produce.unique_keys.borrow_mut();
                keys.next_into(since_month_start_ms(now_ms), &mut made);
                Some(made.as_str())
            }
        };
        let (region, cluster) = (&settings.region_id, &settings.broker_cluster_name);
        let added = Added::new(region, settings.trace_on, cluster, made);
        let mut cleaned = produce.cleaned.borrow_mut();
        let sent = self.header.properties.unwrap_or("");
        let properties = if self.facts.needs_cleaning {
            stamp::clean(sent, &mut cleaned);
            cleaned.as_str()
        } else {
            sent
        };
        let record = self.record(produce, self.body, properties, added.entries());
        let appended = owned.log.append(&record, now_ms)?;
        let id = produce.message_id(&appended);
        let placed = self.placed(&appended, self.facts.tag_hash());
        let unique_key = self.facts.unique_key.or(made);
        self.acknowledge(owned, placed, 1, |out| {
            self.write_answer(out, settings, id.as_str(), &appended, unique_key);
        });
        Ok(())
    }

    /// Stores every item of the body as a message of its own, all or none. Items keep their properties as
    /// they are; everything else comes from the header.
    fn store_batch(
        &self,
        produce: &Produce,
        owned: &OwnedLog,
        settings: &Settings,
    ) -> Result<(), Failure> {
        let items: Vec<_> = batch::items(self.body).collect::<Result<_, _>>().map_err(|error| {
            Refusal::illegal_message(format!("the batch is malformed: {error}"))
        })?;
        let facts: Vec<_> =
            items.iter().map(|item| Facts::read(item.properties.as_text())).collect();
        if facts.iter().any(|facts| facts.is_delayed || facts.is_prepared) {
            return Err(Refusal::illegal_message(DELAYED_REMARK).into());
        }
        let records: Vec<_> = items
            .iter()
            .map(|item| NewRecord {
                flag: item.flag,
                ..self.record(produce, item.body, item.properties.as_text(), &[])
            })
            .collect();
        let mut places = produce.places.borrow_mut();
        places.clear();
        owned.log.append_batch(&records, clock::unix_ms(), &mut places)?;
        let Some((last, before)) = places.split_last() else {
            return Err(Refusal::illegal_message("the batch has no messages").into());
        };
        let mut ids = produce.ids.borrow_mut();
        ids.clear();
        for appended in places.iter() {
            if !ids.is_empty() {
                ids.push(',');
            }
            ids.push_str(produce.message_id(appended).as_str());
        }
        let placed =
            |(appended, facts): (&Appended, &Facts<'_>)| self.placed(appended, facts.tag_hash());
        owned.waiters.borrow_mut().extend(before.iter().zip(&facts).map(placed));
        let placed = placed((last, &facts[facts.len() - 1]));
        self.acknowledge(owned, placed, places.len(), |out| {
            self.write_answer(out, settings, &ids, &places[0], self.facts.unique_key);
        });
        Ok(())
    }

    fn record<'r>(
        &'r self,
        produce: &Produce,
        body: &'r [u8],
        properties: &'r str,
        extra: &'r [(&'r str, &'r str)],
    ) -> NewRecord<'r> {
        NewRecord {
            topic: &self.topic.name,
            queue_id: self.queue_id,
            flag: self.header.flag,
            sys_flag: self.header.sys_flag & !sys_flag::TRANSACTION_MASK,
            born_at_ms: self.header.born_at_ms,
            born_host: canonical(self.peer.peer_addr()),
            store_host: produce.store_host,
            reconsume_times: self.header.reconsume_times,
            prepared_transaction_offset: 0,
            body,
            properties,
            extra,
            // The log decides.
            with_record_crc: false,
        }
    }

    fn placed(&self, appended: &Appended, tag_hash: i64) -> Placed {
        Placed {
            end: appended.end,
            queue: HashedQueue::new(&self.topic.name, self.queue_id),
            offset: appended.queue_offset,
            tag_hash,
        }
    }

    /// Leaves the answer with the log's waiters, or gives it at once to a sender that does not wait.
    fn acknowledge(
        &self,
        owned: &OwnedLog,
        placed: Placed,
        messages: usize,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut waiters = owned.waiters.borrow_mut();
        if self.to.oneway {
            waiters.push(placed);
        } else if self.facts.is_impatient {
            waiters.push(placed);
            self.peer.write(encode);
        } else {
            let sender = Sender {
                peer: self.peer.clone(),
                to: self.to,
                received_at: self.received_at,
                messages,
                bytes: self.body.len(),
            };
            waiters.push_with_answer(placed, sender, encode);
        }
    }

    fn write_answer(
        &self,
        out: &mut Vec<u8>,
        settings: &Settings,
        ids: &str,
        first: &Appended,
        unique_key: Option<&str>,
    ) {
        let header = SendResponse {
            msg_id: ids,
            queue_id: self.queue_id,
            queue_offset: first.queue_offset.wire(),
            transaction_id: unique_key,
            batch_uniq_id: None,
            recall_handle: None,
            msg_region: Some(&settings.region_id),
            trace_on: Some(if settings.trace_on { "true" } else { "false" }),
        };
        let (serialize, opaque) = (self.to.serialize, self.to.opaque);
        let head = ResponseHead { serialize, opaque, code: response::SUCCESS, remark: None };
        write_response(out, head, &header, &[]);
    }
}

/// An IPv4 client that came through an IPv6 socket is an IPv4 client: old clients read IPv4 hosts only.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
