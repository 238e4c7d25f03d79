//! Offsets of groups: 43, 220..=223, 308, 303.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MessageQueue;
use super::topic::DataVersion;
use crate::json::object_keys;

/// Body of the answer to GET_ALL_CONSUMER_OFFSET (43).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerOffsetTable {
    /// Version of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
    /// `topic@group` to queue to offset.
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// Body of RESET_CONSUMER_CLIENT_OFFSET (220) and of the answer to 222.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsetBody {
    /// Queue to its new offset.
    #[serde(with = "object_keys")]
    pub offset_table: BTreeMap<MessageQueue, i64>,
}

/// Queue to offset, as an object-keyed map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueueOffsets(
    /// The map.
    #[serde(with = "object_keys")]
    pub BTreeMap<MessageQueue, i64>,
);

/// Body of the answers to 221 and 223.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerStatus {
    /// Client id to its offsets; of a broker.
    pub consumer_table: BTreeMap<String, QueueOffsets>,
    /// Offsets of one client.
    #[serde(with = "object_keys")]
    pub message_queue_table: BTreeMap<MessageQueue, i64>,
}
