//! Sends: 10, 310, 320, replies 324, 325; messages sent back 36; recall 370; pushed replies 326.

use crate::error::HeaderError;
use crate::fields::{FieldWriter, Fields};
use crate::header::{FieldValue, Header, WriteHeader, headers, optional, required};

/// Names of the fields as 10 and 324 spell them, in the order of the letters `a`..=`n`.
const LONG_NAMES: [&str; 14] = [
    "producerGroup",
    "topic",
    "defaultTopic",
    "defaultTopicQueueNums",
    "queueId",
    "sysFlag",
    "bornTimestamp",
    "flag",
    "properties",
    "reconsumeTimes",
    "unitMode",
    "maxReconsumeTimes",
    "batch",
    "bname",
];

/// Names of the fields as 310, 320 and 325 spell them.
const LETTERS: [&str; 14] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"];

/// The header of a send in either spelling.
///
/// Reading accepts long names and letters alike; writing spells letters, as Java does. Wrap it in
/// [`LongNames`] for codes 10 and 324.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendRequest<'h> {
    /// Producer group; owns the transactions.
    pub producer_group: &'h str,
    /// Target topic.
    pub topic: &'h str,
    /// Template for creating the topic, normally `TBW102`.
    pub default_topic: &'h str,
    /// Queues wanted when the topic is created.
    pub default_topic_queue_nums: i32,
    /// Target queue; negative lets the broker pick one.
    pub queue_id: i32,
    /// See [`crate::record::sys_flag`].
    pub sys_flag: i32,
    /// When the producer made the message, Unix ms; stored as given.
    pub born_at_ms: i64,
    /// The user's flag.
    pub flag: i32,
    /// Properties text.
    pub properties: Option<&'h str>,
    /// How often a consumer gave the message back; 0 when absent.
    pub reconsume_times: i32,
    /// Unit mode; false when absent.
    pub unit_mode: bool,
    /// Bound of deliveries for sends to retry topics.
    pub max_reconsume_times: Option<i32>,
    /// Whether the body is a batch; false when absent.
    pub batch: bool,
    /// Broker that is meant.
    pub broker_name: Option<&'h str>,
}

impl<'h> Header<'h> for SendRequest<'h> {
    fn decode(fields: &'h Fields<'_>) -> Result<Self, HeaderError> {
        let mut texts: [Option<&str>; 14] = [None; 14];
        for (name, value) in fields.iter() {
            if let Some(index) = index_of(name) {
                texts[index] = Some(value);
            }
        }
        let name = |index: usize| LONG_NAMES[index];
        Ok(Self {
            producer_group: required(texts[0], name(0))?,
            topic: required(texts[1], name(1))?,
            default_topic: required(texts[2], name(2))?,
            default_topic_queue_nums: required(texts[3], name(3))?,
            queue_id: required(texts[4], name(4))?,
            sys_flag: required(texts[5], name(5))?,
            born_at_ms: required(texts[6], name(6))?,
            flag: required(texts[7], name(7))?,
            properties: texts[8],
            reconsume_times: optional(texts[9], name(9))?.unwrap_or(0),
            unit_mode: optional(texts[10], name(10))?.unwrap_or(false),
            max_reconsume_times: optional(texts[11], name(11))?,
            batch: optional(texts[12], name(12))?.unwrap_or(false),
            broker_name: texts[13],
        })
    }
}

impl WriteHeader for SendRequest<'_> {
    fn write_to(&self, out: &mut FieldWriter<'_>) {
        self.write_named(&LETTERS, out);
    }
}

impl SendRequest<'_> {
    fn write_named(&self, names: &[&str; 14], out: &mut FieldWriter<'_>) {
        out.text(names[0], self.producer_group);
        out.text(names[1], self.topic);
        out.text(names[2], self.default_topic);
        self.default_topic_queue_nums.write(names[3], out);
        self.queue_id.write(names[4], out);
        self.sys_flag.write(names[5], out);
        self.born_at_ms.write(names[6], out);
        self.flag.write(names[7], out);
        if let Some(properties) = self.properties {
            out.text(names[8], properties);
        }
        self.reconsume_times.write(names[9], out);
        self.unit_mode.write(names[10], out);
        if let Some(max) = self.max_reconsume_times {
            max.write(names[11], out);
        }
        self.batch.write(names[12], out);
        if let Some(broker_name) = self.broker_name {
            out.text(names[13], broker_name);
        }
    }
}

/// Writes a send with the long field names of 10 and 324.
#[derive(Debug)]
pub struct LongNames<'s, 'h>(pub &'s SendRequest<'h>);

impl WriteHeader for LongNames<'_, '_> {
    fn write_to(&self, out: &mut FieldWriter<'_>) {
        self.0.write_named(&LONG_NAMES, out);
    }
}

/// Place of a field in [`LONG_NAMES`] and [`LETTERS`].
fn index_of(name: &str) -> Option<usize> {
    match name.as_bytes() {
        [letter @ b'a'..=b'n'] => Some(usize::from(letter - b'a')),
        [_] => None,
        _ => LONG_NAMES.iter().position(|known| *known == name),
    }
}

headers! {
    /// Answer of a send.
    pub struct SendResponse<'h> {
        /// Offset message id; of a batch a list joined by commas.
        required msg_id: &'h str = "msgId",
        /// Queue that was used.
        required queue_id: i32 = "queueId",
        /// Number of the (first) message in its queue.
        required queue_offset: i64 = "queueOffset",
        /// Echo of the unique key.
        optional transaction_id: &'h str = "transactionId",
        optional batch_uniq_id: &'h str = "batchUniqId",
        /// Handle to recall a timed message.
        optional recall_handle: &'h str = "recallHandle",
        optional msg_region: &'h str = "MSG_REGION",
        /// `false` switches the client's trace off.
        optional trace_on: &'h str = "TRACE_ON",
    }

    /// CONSUMER_SEND_MSG_BACK (36): a consumer sends a message back.
    pub struct SendBackRequest<'h> {
        /// Physical offset of the message.
        required offset: i64 = "offset",
        required group: &'h str = "group",
        /// -1 straight to the dead letters, 0 the broker decides, else the level.
        required delay_level: i32 = "delayLevel",
        optional origin_msg_id: &'h str = "originMsgId",
        optional origin_topic: &'h str = "originTopic",
        default unit_mode: bool = "unitMode" or false,
        optional max_reconsume_times: i32 = "maxReconsumeTimes",
        optional broker_name: &'h str = "bname",
    }
}
