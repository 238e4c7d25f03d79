//! Queue locks of ordered consumers: 41 and 42.

use serde::{Deserialize, Serialize};

use super::MessageQueue;

/// Body of LOCK_BATCH_MQ (41) and UNLOCK_BATCH_MQ (42).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatchRequest {
    /// Who wants the locks.
    pub client_id: String,
    /// Consumer group.
    pub consumer_group: String,
    /// The queues.
    pub mq_set: Vec<MessageQueue>,
    /// Do not ask the replicas.
    pub only_this_broker: bool,
}

/// Body of the answer to 41: the queues that the client now owns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockBatchResponse {
    /// Locked queues.
    #[serde(rename = "lockOKMQSet")]
    pub locked: Vec<MessageQueue>,
}
