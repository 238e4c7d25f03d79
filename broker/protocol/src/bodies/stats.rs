//! Statistics: 202, 208, 315, 317, 321.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MessageQueue;
use crate::json::object_keys;

/// Body of the answer to GET_TOPIC_STATS_INFO (202).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatsTable {
    /// Every queue of the topic.
    #[serde(with = "object_keys")]
    pub offset_table: BTreeMap<MessageQueue, TopicOffset>,
    /// Messages put per second (5.3).
    pub topic_put_tps: f64,
}

/// The range of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicOffset {
    /// Store time of the last message, Unix ms.
    pub last_update_timestamp: i64,
    /// Offset after the last message.
    pub max_offset: i64,
    /// Offset of the first message.
    pub min_offset: i64,
}

/// Body of the answer to GET_CONSUME_STATS (208).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    /// Messages consumed per second.
    pub consume_tps: f64,
    /// Progress by queue.
    #[serde(with = "object_keys")]
    pub offset_table: BTreeMap<MessageQueue, OffsetWrapper>,
}

/// Progress of a group in a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetWrapper {
    /// Offset after the last message.
    pub broker_offset: i64,
    /// Committed offset.
    pub consumer_offset: i64,
    /// Store time of the message consumed last, Unix ms.
    pub last_timestamp: i64,
    /// Offset pulled last.
    pub pull_offset: i64,
}

/// Body of the answer to GET_BROKER_CONSUME_STATS (317).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStatsList {
    /// `ip:port`.
    pub broker_addr: String,
    /// Group to the statistics of its topics.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    /// Messages behind.
    pub total_diff: i64,
    /// Messages pulled and not committed.
    pub total_inflight_diff: i64,
}

/// Body of the answer to VIEW_BROKER_STATS_DATA (315).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsData {
    /// The last day.
    pub stats_day: BrokerStatsItem,
    /// The last hour.
    pub stats_hour: BrokerStatsItem,
    /// The last minute.
    pub stats_minute: BrokerStatsItem,
}

/// One span of a statistic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsItem {
    /// Average per call.
    pub avgpt: f64,
    /// Total.
    pub sum: i64,
    /// Calls per second.
    pub tps: f64,
}
