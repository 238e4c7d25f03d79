//! Assignment by the broker and batch acknowledgement: 400..=402, 200151.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use serde::{Deserialize, Serialize};

use super::MessageQueue;
use super::heartbeat::MessageModel;
use super::wire_enum;

wire_enum! {
    /// How a client gets the messages of a queue.
    MessageRequestMode {
        /// By offset.
        #[default]
        Pull = "PULL",
        /// By pop.
        Pop = "POP",
    }
}

/// Body of QUERY_ASSIGNMENT (400).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryAssignmentRequest {
    /// Client id.
    pub client_id: String,
    /// Consumer group.
    pub consumer_group: String,
    /// How members share a topic.
    pub message_model: MessageModel,
    /// `AVG` or `AVG_BY_CIRCLE`.
    pub strategy_name: String,
    /// Topic.
    pub topic: String,
}

/// Body of the answer to 400; without a list the client keeps what it has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryAssignmentResponse {
    /// The client's queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_queue_assignments: Option<Vec<QueueAssignment>>,
}

/// One assigned queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueAssignment {
    /// Reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachments: Option<BTreeMap<String, String>>,
    /// The queue; id -1 is any of the broker's.
    pub message_queue: MessageQueue,
    /// Pull or pop.
    pub mode: MessageRequestMode,
}

/// Body of SET_MESSAGE_REQUEST_MODE (401), and an entry of 402.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SetMessageRequestMode {
    /// Consumer group.
    pub consumer_group: String,
    /// Pull or pop.
    pub mode: MessageRequestMode,
    /// Clients whose queues each client also pops; 0 and below: all of them.
    pub pop_share_queue_num: i32,
    /// Topic.
    pub topic: String,
}

/// Body of BATCH_ACK_MESSAGE (200151).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchAckRequest {
    /// One per checkpoint.
    pub acks: Vec<BatchAck>,
    /// Broker name.
    pub broker_name: String,
}

/// Acknowledges several messages of one pop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchAck {
    /// Bit i set: the message at `start_offset + i` is done.
    #[serde(rename = "b", alias = "bitSet")]
    pub bits: BitSet,
    /// Consumer group.
    #[serde(rename = "c", alias = "consumerGroup")]
    pub consumer_group: String,
    /// Invisible time, ms.
    #[serde(rename = "it", alias = "invisibleTime")]
    pub invisible_time_ms: i64,
    /// Pop time, Unix ms.
    #[serde(rename = "pt", alias = "popTime")]
    pub pop_time_ms: i64,
    /// Queue of the topic.
    #[serde(rename = "q", alias = "queueId")]
    pub queue_id: i32,
    /// `0` the topic itself, `1` and `2` its retry topic.
    #[serde(rename = "r", alias = "retry")]
    pub retry: String,
    /// Revive queue.
    #[serde(rename = "rq", alias = "reviveQueueId")]
    pub revive_queue_id: i32,
    /// First offset of the pop.
    #[serde(rename = "so", alias = "startOffset")]
    pub start_offset: i64,
    /// Topic.
    #[serde(rename = "t", alias = "topic")]
    pub topic: String,
}

/// Java's `BitSet`: travels as Base64 of its bytes, lowest bit first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BitSet {
    bytes: Vec<u8>,
}

impl BitSet {
    /// Most bits we set: a pop returns at most 32 messages.
    pub const BITS_MAX: usize = 1 << 16;

    /// Sets a bit. Bits from [`Self::BITS_MAX`] on are out of reach: returns false.
    pub fn insert(&mut self, bit: usize) -> bool {
        if bit >= Self::BITS_MAX {
            return false;
        }
        if self.bytes.len() <= bit / 8 {
            self.bytes.resize(bit / 8 + 1, 0);
        }
        self.bytes[bit / 8] |= 1 << (bit % 8);
        true
    }

    /// Whether a bit is set.
    pub fn contains(&self, bit: usize) -> bool {
        self.bytes.get(bit / 8).is_some_and(|byte| byte & 1 << (bit % 8) != 0)
    }

    /// The set bits, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.bytes.len() * 8).filter(|bit| self.contains(*bit))
    }
}

impl Serialize for BitSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.bytes))
    }
}

impl<'de> Deserialize<'de> for BitSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = STANDARD
            .decode(&text)
            .ok()
            .filter(|bytes| bytes.len() <= Self::BITS_MAX / 8)
            .ok_or_else(|| serde::de::Error::custom("a bit set is Base64 of up to 8 KiB"))?;
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(Self { bytes })
    }
}
