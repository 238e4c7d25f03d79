//! A message as a consumer gets it.

use std::net::SocketAddr;
use std::ops::Range;

use bytes::Bytes;
use ringmq_protocol::compression::{self, Compression, CompressionError};
use ringmq_protocol::error::LayoutError;
use ringmq_protocol::ids::OffsetMessageId;
use ringmq_protocol::properties::{Properties, keys};
use ringmq_protocol::record::{self, Record, Replaced};

use crate::queue::MessageQueue;

/// One message, decoded and decompressed.
///
/// The body shares the memory of the answer that brought it (up to 256 KiB): copy it to keep it for
/// long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Topic it was sent to; of a message that comes again, its first topic.
    pub topic: String,
    /// Queue that it was pulled from.
    pub queue: MessageQueue,
    /// Its number in that queue.
    pub queue_offset: i64,
    /// Where it lies in the broker's log.
    pub physical_offset: i64,
    /// Body as the producer gave it.
    pub body: Bytes,
    /// The producer's number.
    pub flag: i32,
    /// Flags of the protocol, among them how the body was compressed.
    pub sys_flag: i32,
    /// When the producer sent it, Unix time in milliseconds.
    pub born_at_ms: i64,
    /// Who sent it.
    pub born_host: SocketAddr,
    /// When the broker stored it, Unix time in milliseconds.
    pub stored_at_ms: i64,
    /// Broker that stored it.
    pub store_host: SocketAddr,
    /// How often it was sent back.
    pub reconsume_times: i32,
    properties: Box<str>,
}

/// A message that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not a message by its layout.
    #[error("message {number} of the answer: {error}")]
    Layout {
        /// Its place in the answer, from 0.
        number: usize,
        /// What is wrong.
        error: LayoutError,
    },
    /// The compressed body is damaged.
    #[error("body of the message at offset {queue_offset}: {error}")]
    Body {
        /// Its number in the queue.
        queue_offset: i64,
        /// What is wrong.
        error: CompressionError,
    },
    /// A message of another place than those that were asked for. Bytes inside a message look like
    /// one where the size of a damaged record leads to them.
    #[error("message {queue_offset} of queue {queue_id} was not asked for")]
    NotAsked {
        /// The queue that it names.
        queue_id: i32,
        /// The number in that queue that it names.
        queue_offset: i64,
    },
}

/// The answer of a look-up that is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoundError {
    /// One of its messages cannot be read.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    /// Its bodies unfold to more than is taken.
    #[error("the bodies of the answer unfold to more than {max_bytes} bytes")]
    TooMuch {
        /// Most bytes that are taken.
        max_bytes: usize,
    },
}

/// A body that unfolds to more is refused: it comes from a peer, and 4 MiB of zlib can claim 4 GiB.
/// Sixteen times the largest body that a broker takes by default.
const BODY_SIZE_MAX_BYTES: usize = 64 << 20;

/// What all bodies of one answer may unfold to: four of the largest. By default an answer has
/// 256 KiB, and zlib makes at most 1,032 times as much of it; one of 16 MiB can claim 16 GiB.
const BODIES_MAX_BYTES: usize = 256 << 20;

// The first message of an answer is always taken, so that pulls go on.
const _: () = assert!(BODY_SIZE_MAX_BYTES <= BODIES_MAX_BYTES);

/// The messages of a pull's answer.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) messages: Vec<ReceivedMessage>,
    /// Queue offset of the first message that is not among them, since its body and those before it
    /// unfold to too much: it is to be pulled again.
    pub(crate) left_from: Option<i64>,
}

impl Pulled {
    /// Takes what can be read of an answer for these offsets of `queue`, until its bodies unfold to
    /// too much; what cannot be read is told.
    pub(crate) fn take(
        body: &Bytes,
        queue: &MessageQueue,
        offsets: Range<i64>,
        tell: impl Fn(&DecodeError),
    ) -> Self {
        Self::take_within(BODIES_MAX_BYTES, body, queue, offsets, tell)
    }

    fn take_within(
        max_bytes: usize,
        body: &Bytes,
        queue: &MessageQueue,
        offsets: Range<i64>,
        tell: impl Fn(&DecodeError),
    ) -> Self {
        let (mut messages, mut bytes_left) = (Vec::new(), max_bytes);
        let decoded = ReceivedMessage::decode_all(body, queue, offsets);
        for message in decoded.filter_map(|message| message.inspect_err(&tell).ok()) {
            match bytes_left.checked_sub(message.body.len()) {
                Some(left) => bytes_left = left,
                None => return Self { messages, left_from: Some(message.queue_offset) },
            }
            messages.push(message);
        }
        Self { messages, left_from: None }
    }
}

impl ReceivedMessage {
    /// Decodes the messages of a pull's answer for these offsets of `queue`, each by itself: behind
    /// one that cannot be read come those after it, as long as sizes tell where they begin. What is
    /// not UTF-8 in topic and properties reads as U+FFFD.
    pub fn decode_all<'a>(
        body: &'a Bytes,
        queue: &'a MessageQueue,
        offsets: Range<i64>,
    ) -> impl Iterator<Item = Result<Self, DecodeError>> + 'a {
        let decode = move |record: &Record<'_>| {
            let (queue_id, queue_offset) = (record.queue_id, record.queue_offset);
            if queue_id != queue.queue_id || !offsets.contains(&queue_offset) {
                return Err(DecodeError::NotAsked { queue_id, queue_offset });
            }
            Self::decode(record, body, queue)
        };
        readable(body).map(move |readable| readable.read(&decode))
    }

    /// Decodes all messages of a look-up's answer from the broker of this name.
    ///
    /// # Errors
    /// The first message that cannot be read or is too much; none is returned then: who looks for
    /// one shall know that there is more than what can be shown.
    pub(crate) fn decode_found(body: &Bytes, broker_name: &str) -> Result<Vec<Self>, FoundError> {
        let max_bytes = BODIES_MAX_BYTES;
        let mut bytes_left = max_bytes;
        let mut decode = |record: &Record<'_>| {
            let queue = MessageQueue::new(record.topic, broker_name, record.queue_id);
            let message = Self::decode(record, body, &queue)?;
            let left = bytes_left.checked_sub(message.body.len());
            bytes_left = left.ok_or(FoundError::TooMuch { max_bytes })?;
            Ok(message)
        };
        readable(body).map(|readable| readable.read(&mut decode)).collect()
    }

    /// `memory` is what `record` borrows from.
    fn decode(
        record: &Record<'_>,
        memory: &Bytes,
        queue: &MessageQueue,
    ) -> Result<Self, DecodeError> {
        let (queue_offset, flags) = (record.queue_offset, record.sys_flag);
        let broken = |error| DecodeError::Body { queue_offset, error };
        let body = match Compression::of(flags).map_err(broken)? {
            None => memory.slice_ref(record.body),
            Some(format) => compression::decompress(format, record.body, BODY_SIZE_MAX_BYTES)
                .map_err(broken)?
                .into(),
        };
        let first_topic = record.properties.get(keys::RETRY_TOPIC);
        Ok(Self {
            topic: first_topic.unwrap_or(record.topic).to_owned(),
            queue: queue.clone(),
            queue_offset,
            physical_offset: record.physical_offset,
            body,
            flag: record.flag,
            sys_flag: flags,
            born_at_ms: record.born_at_ms,
            born_host: record.born_host,
            stored_at_ms: record.stored_at_ms,
            store_host: record.store_host,
            reconsume_times: record.reconsume_times,
            properties: record.properties.as_text().into(),
        })
    }

    /// All properties, the application's and RocketMQ's.
    pub fn properties(&self) -> Properties<'_> {
        Properties::new(&self.properties)
    }

    /// Value of a property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties().get(name)
    }

    /// Its tag.
    pub fn tag(&self) -> Option<&str> {
        self.property(keys::TAGS)
    }

    /// Its keys, separated by blanks.
    pub fn keys(&self) -> Option<&str> {
        self.property(keys::KEYS)
    }

    /// Its unique key, or where it is stored if its producer gave it none.
    pub fn message_id(&self) -> String {
        self.property(keys::UNIQUE_KEY).map_or_else(|| self.offset_message_id(), str::to_owned)
    }

    /// The id that says where it is stored.
    pub fn offset_message_id(&self) -> String {
        let (host, physical_offset) = (self.store_host, self.physical_offset);
        OffsetMessageId { host, physical_offset }.text().as_str().to_owned()
    }
}

/// The bytes of one record of an answer, numbered for the case that it is none.
struct Readable<'a> {
    number: usize,
    frame: Result<&'a [u8], LayoutError>,
}

impl Readable<'_> {
    fn read<T, E: From<DecodeError>>(
        self,
        decode: impl FnOnce(&Record<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let number = self.number;
        let broken = |error| DecodeError::Layout { number, error };
        let replaced = Replaced::default();
        let record = Record::parse_lossy(self.frame.map_err(broken)?, &replaced).map_err(broken)?;
        decode(&record)
    }
}

/// The records of an answer.
fn readable(body: &[u8]) -> impl Iterator<Item = Readable<'_>> {
    record::frames(body).enumerate().map(|(number, frame)| Readable { number, frame })
}

#[cfg(test)]
impl ReceivedMessage {
    /// A message for tests of what only looks at offsets and sizes.
    pub(crate) fn sample(queue_offset: i64, body: &[u8]) -> Self {
        let host = SocketAddr::from(([127, 0, 0, 1], 10911));
        Self {
            topic: "T".into(),
            queue: MessageQueue::new("T", "b", 0),
            queue_offset,
            physical_offset: queue_offset * 100,
            body: Bytes::copy_from_slice(body),
            flag: 0,
            sys_flag: 0,
            born_at_ms: 1,
            born_host: host,
            stored_at_ms: 2,
            store_host: host,
            reconsume_times: 0,
            properties: "".into(),
        }
    }
}

#[cfg(test)]
mod tests;
