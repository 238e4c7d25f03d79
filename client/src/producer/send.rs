//! One send from what the caller gave to what travels.

use bytes::Bytes;
use ringmq_protocol::compression;
use ringmq_protocol::headers::send::SendRequest;
use ringmq_protocol::properties::keys;

use super::QueueSelector;
use super::batch;
use crate::config::ProducerConfig;
use crate::error::ClientError;
use crate::instance::Identity;
use crate::message::Message;
use crate::queue::MessageQueue;

/// What a caller wants sent, and where.
pub(crate) struct Outgoing {
    pub(crate) payload: Payload,
    pub(crate) target: Target,
}

pub(crate) enum Payload {
    Single(Message),
    /// At least one; they may share a batch.
    Batch(Vec<Message>),
}

/// Which queue.
pub(crate) enum Target {
    /// The next one, and another broker's after a failure.
    Any,
    /// This one.
    Queue(MessageQueue),
    /// The one that the caller picks from the route.
    Selected(QueueSelector),
}

impl Payload {
    pub(crate) fn topic(&self) -> &str {
        match self {
            Self::Single(message) => message.topic(),
            Self::Batch(messages) => messages[0].topic(),
        }
    }
}

impl Outgoing {
    pub(crate) fn any(message: Message) -> Self {
        Self { payload: Payload::Single(message), target: Target::Any }
    }

    pub(crate) fn to(message: Message, queue: MessageQueue) -> Self {
        Self { payload: Payload::Single(message), target: Target::Queue(queue) }
    }

    pub(crate) fn selected(message: Message, selector: QueueSelector) -> Self {
        Self { payload: Payload::Single(message), target: Target::Selected(selector) }
    }

    pub(crate) fn topic(&self) -> &str {
        self.payload.topic()
    }
}

/// A message ready to travel: the same in every attempt, so that a message stored twice has the
/// same unique key twice.
pub(crate) struct Prepared {
    pub(crate) topic: String,
    pub(crate) body: Bytes,
    pub(crate) message_id: String,
    pub(crate) properties: String,
    flag: i32,
    sys_flag: i32,
    born_at_ms: i64,
    reconsume_times: i32,
    max_reconsume_times: Option<i32>,
    pub(crate) is_batch: bool,
}

impl Prepared {
    /// Checks and encodes a payload.
    ///
    /// # Errors
    /// `Invalid`: what no broker would take.
    pub(crate) fn new(
        payload: Payload,
        config: &ProducerConfig,
        identity: &Identity,
        now_ms: i64,
    ) -> Result<Self, ClientError> {
        match payload {
            Payload::Single(message) => Self::single(message, config, identity, now_ms),
            Payload::Batch(messages) => batch::prepare(messages, config, identity, now_ms),
        }
    }

    fn single(
        mut message: Message,
        config: &ProducerConfig,
        identity: &Identity,
        now_ms: i64,
    ) -> Result<Self, ClientError> {
        message.check(config.message_size_max_bytes)?;
        let (reconsume_times, max_reconsume_times) = take_counters(&mut message);
        let message_id = ensure_key(&mut message, identity, now_ms);
        let (body, sys_flag) = compress(&message.body, config);
        Ok(Self {
            properties: message.properties_text(),
            topic: message.topic,
            body,
            message_id,
            flag: message.flag,
            sys_flag,
            born_at_ms: now_ms,
            reconsume_times,
            max_reconsume_times,
            is_batch: false,
        })
    }

    pub(super) fn batch(
        topic: String,
        body: Bytes,
        message_id: String,
        properties: String,
        born_at_ms: i64,
    ) -> Self {
        Self {
            topic,
            body,
            message_id,
            properties,
            flag: 0,
            sys_flag: 0,
            born_at_ms,
            reconsume_times: 0,
            max_reconsume_times: None,
            is_batch: true,
        }
    }

    /// The header of an attempt at `queue`.
    pub(crate) fn header<'a>(
        &'a self,
        queue: &'a MessageQueue,
        config: &'a ProducerConfig,
    ) -> SendRequest<'a> {
        SendRequest {
            producer_group: &config.group,
            topic: &self.topic,
            default_topic: &config.create_topic_key,
            default_topic_queue_nums: config.default_topic_queues,
            queue_id: queue.queue_id,
            sys_flag: self.sys_flag,
            born_at_ms: self.born_at_ms,
            flag: self.flag,
            properties: Some(&self.properties),
            reconsume_times: self.reconsume_times,
            unit_mode: false,
            max_reconsume_times: self.max_reconsume_times,
            batch: self.is_batch,
            broker_name: Some(&queue.broker_name),
        }
    }
}

/// Gives the message a unique key unless it has one, and returns it.
pub(super) fn ensure_key(message: &mut Message, identity: &Identity, now_ms: i64) -> String {
    if let Some(key) = message.get(keys::UNIQUE_KEY) {
        return key.to_owned();
    }
    let key = identity.next_key(now_ms);
    message.set(keys::UNIQUE_KEY.to_owned(), key.clone());
    key
}

/// The counters of a message that a consumer sends to its retry topic travel in the header.
fn take_counters(message: &mut Message) -> (i32, Option<i32>) {
    let mut take = |name: &str| {
        let value = message.get(name).and_then(|text| text.parse().ok());
        message.set(name.to_owned(), String::new());
        value
    };
    (take(keys::RECONSUME_TIME).unwrap_or(0), take(keys::MAX_RECONSUME_TIMES))
}

fn compress(body: &Bytes, config: &ProducerConfig) -> (Bytes, i32) {
    if body.len() < config.compress_from_bytes {
        return (body.clone(), 0);
    }
    let packed = compression::compress(config.compression, body);
    if packed.len() >= body.len() {
        // Random bytes only grow; nobody gains from unpacking them.
        return (body.clone(), 0);
    }
    (packed.into(), config.compression.flags())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(message: Message) -> Prepared {
        let identity = Identity::sample();
        let config = ProducerConfig::new("p");
        Prepared::new(Payload::Single(message), &config, &identity, 5).expect("fine")
    }

    #[test]
    fn a_message_gets_a_key_unless_it_has_one() {
        let own = prepare(Message::new("T", "x").property(keys::UNIQUE_KEY, "mine"));
        assert_eq!(
            (own.message_id.as_str(), own.properties.as_str()),
            ("mine", "UNIQ_KEY\u{1}mine\u{2}")
        );
        let made = prepare(Message::new("T", "x"));
        assert_eq!(made.properties, format!("UNIQ_KEY\u{1}{}\u{2}", made.message_id));
    }

    #[test]
    fn large_bodies_are_compressed_if_that_makes_them_smaller() {
        let large = prepare(Message::new("T", vec![7; 4096]));
        assert_eq!(large.sys_flag, 0x301);
        assert!(large.body.len() < 100);
        assert_eq!(prepare(Message::new("T", vec![7; 4095])).sys_flag, 0);
        let mut seed = 1u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        let random: Vec<u8> = (0..5000).map(|_| noise()).collect();
        assert_eq!(prepare(Message::new("T", random)).sys_flag, 0);
    }

    #[test]
    fn counters_of_a_retried_message_travel_in_the_header() {
        let message = Message::new("%RETRY%g", "x")
            .property(keys::RECONSUME_TIME, "3")
            .property(keys::MAX_RECONSUME_TIMES, "16");
        let prepared = prepare(message);
        assert_eq!((prepared.reconsume_times, prepared.max_reconsume_times), (3, Some(16)));
        assert!(!prepared.properties.contains("RECONSUME"));
    }
}
