//! Live clients of a broker: 203, 204, 328.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::heartbeat::{ConsumeFromWhere, ConsumeType, MessageModel, SubscriptionData};

/// One connected client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientConnection {
    /// `ip:port`.
    pub client_addr: String,
    /// Client id.
    pub client_id: String,
    /// Name of its language, see [`crate::Language::name`].
    pub language: String,
    /// Its release number.
    pub version: i32,
}

/// Body of the answer to GET_CONSUMER_CONNECTION_LIST (203).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerConnection {
    /// Members.
    pub connection_set: Vec<ClientConnection>,
    /// Where a new group begins.
    pub consume_from_where: ConsumeFromWhere,
    /// How members get messages.
    pub consume_type: ConsumeType,
    /// How members share a topic.
    pub message_model: MessageModel,
    /// Topic to subscription.
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

/// Body of the answer to GET_PRODUCER_CONNECTION_LIST (204).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerConnection {
    /// Members.
    pub connection_set: Vec<ClientConnection>,
}

/// Body of the answer to GET_ALL_PRODUCER_INFO (328).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProducerTable {
    /// Group to its members.
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}

/// A member of a producer group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerInfo {
    /// Client id.
    pub client_id: String,
    /// Name of its language.
    pub language: String,
    /// Last heartbeat, Unix ms.
    pub last_update_timestamp: i64,
    /// `/ip:port`, as Java prints it.
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    /// Its release number.
    pub version: i32,
}
