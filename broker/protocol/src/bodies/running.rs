//! The state of a consumer: 307 and 309.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MessageQueue;
use super::heartbeat::SubscriptionData;
use crate::json::object_keys;

/// Body of the answer to GET_CONSUMER_RUNNING_INFO (307).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerRunningInfo {
    /// Stacks of all threads, if asked for.
    pub jstack: String,
    /// Popped queues.
    #[serde(with = "object_keys")]
    pub mq_pop_table: BTreeMap<MessageQueue, PopQueueInfo>,
    /// Pulled queues.
    #[serde(with = "object_keys")]
    pub mq_table: BTreeMap<MessageQueue, ProcessQueueInfo>,
    /// `PROP_...` settings.
    pub properties: BTreeMap<String, String>,
    /// Topic to rates.
    pub status_table: BTreeMap<String, ConsumeStatus>,
    /// Subscriptions.
    pub subscription_set: Vec<SubscriptionData>,
    /// What the application adds.
    pub user_consumer_info: BTreeMap<String, String>,
}

/// What a consumer holds of a queue; times in Unix ms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessQueueInfo {
    /// Messages held.
    pub cached_msg_count: i32,
    /// Largest offset held.
    pub cached_msg_max_offset: i64,
    /// Smallest offset held.
    pub cached_msg_min_offset: i64,
    /// MiB held.
    pub cached_msg_size_in_mi_b: i32,
    /// Committed offset.
    pub commit_offset: i64,
    /// Queue was taken away (Java's spelling; Go writes `dropped`).
    #[serde(alias = "dropped")]
    pub droped: bool,
    /// Last message consumed.
    pub last_consume_timestamp: i64,
    /// Last lock.
    pub last_lock_timestamp: i64,
    /// Last pull.
    pub last_pull_timestamp: i64,
    /// Holds the queue's lock.
    pub locked: bool,
    /// Messages being consumed in order.
    pub transaction_msg_count: i32,
    /// Largest offset of them.
    pub transaction_msg_max_offset: i64,
    /// Smallest offset of them.
    pub transaction_msg_min_offset: i64,
    /// Failed unlocks.
    pub try_unlock_times: i64,
}

/// What a pop consumer holds of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PopQueueInfo {
    /// Queue was taken away.
    pub droped: bool,
    /// Last pop, Unix ms.
    pub last_pop_timestamp: i64,
    /// Messages not acknowledged.
    pub wait_ack_count: i32,
}

/// Rates of a consumer; times in ms.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumeStatus {
    /// Failures in the last hour.
    #[serde(rename = "consumeFailedMsgs")]
    pub consume_failed_msgs: i64,
    /// Failures per second.
    #[serde(rename = "consumeFailedTPS")]
    pub consume_failed_tps: f64,
    /// Successes per second.
    #[serde(rename = "consumeOKTPS")]
    pub consume_ok_tps: f64,
    /// Time of one message.
    #[serde(rename = "consumeRT")]
    pub consume_rt: f64,
    /// Time of one pull.
    #[serde(rename = "pullRT")]
    pub pull_rt: f64,
    /// Messages pulled per second.
    #[serde(rename = "pullTPS")]
    pub pull_tps: f64,
}
