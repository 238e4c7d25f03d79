//! Consumer groups and their tables: 200, 201, 225, 300, 345, 352, 353.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::heartbeat::SubscriptionData;
use super::topic::DataVersion;
use super::wire_enum;

wire_enum! {
    /// How delays grow between deliveries.
    GroupRetryPolicyType {
        /// By growing steps.
        Exponential = "EXPONENTIAL",
        /// By a list of steps.
        #[default]
        Customized = "CUSTOMIZED",
    }
}

/// How a group's messages are delivered again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupRetryPolicy {
    /// By a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customized_retry_policy: Option<CustomizedRetryPolicy>,
    /// By growth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential_retry_policy: Option<ExponentialRetryPolicy>,
    /// Which of them.
    #[serde(rename = "type")]
    pub policy_type: GroupRetryPolicyType,
}

/// Delays by growing steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExponentialRetryPolicy {
    /// First delay, ms.
    pub initial: i64,
    /// Longest delay, ms.
    pub max: i64,
    /// Factor between two delays.
    pub multiplier: i64,
}

/// Delays by a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomizedRetryPolicy {
    /// Delays, ms.
    pub next: Vec<i64>,
}

/// Settings of one consumer group: body of 200 and of the answer to 352.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupConfig {
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Broker to read from.
    pub broker_id: i64,
    /// Broadcasting is allowed.
    pub consume_broadcast_enable: bool,
    /// Consuming is allowed.
    pub consume_enable: bool,
    /// May begin at the first offset.
    pub consume_from_min_enable: bool,
    /// Consumes in order.
    pub consume_message_orderly: bool,
    /// Consume time-out, minutes.
    pub consume_timeout_minute: i32,
    /// Name.
    pub group_name: String,
    /// How messages are delivered again.
    pub group_retry_policy: GroupRetryPolicy,
    /// System flag.
    pub group_sys_flag: i32,
    /// Members are told of changes.
    pub notify_consumer_ids_changed_enable: bool,
    /// Deliveries again before a message is dead.
    pub retry_max_times: i32,
    /// Queues of the retry topic.
    pub retry_queue_nums: i32,
    /// Subscriptions set by an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data_set: Option<Vec<SimpleSubscription>>,
    /// Broker to read from when far behind.
    pub which_broker_when_consume_slowly: i64,
}

impl Default for SubscriptionGroupConfig {
    /// Java's defaults.
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: GroupRetryPolicy::default(),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: 1,
        }
    }
}

/// A subscription set by an administrator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SimpleSubscription {
    /// The expression.
    pub expression: String,
    /// `TAG` or `SQL92`.
    pub expression_type: String,
    /// Topic.
    pub topic: String,
    /// Version.
    pub version: i64,
}

/// Body of the answer to GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201). Groups may be lent to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupTable<C = SubscriptionGroupConfig> {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Group to topic to forbidden bits.
    pub forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
    /// Name to group.
    pub subscription_group_table: BTreeMap<String, C>,
}

/// Body of UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (225).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupList {
    /// The groups.
    pub group_config_list: Vec<SubscriptionGroupConfig>,
}

/// Body of the answer to QUERY_TOPIC_CONSUME_BY_WHO (300).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupList {
    /// Names.
    pub group_list: Vec<String>,
}

/// Body of the answer to QUERY_SUBSCRIPTION_BY_CONSUMER (345).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionOfGroup {
    /// Group.
    pub group: String,
    /// Its subscription, absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    /// Topic.
    pub topic: String,
}

/// Body of the answer to UPDATE_AND_GET_GROUP_FORBIDDEN (353).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupForbidden {
    /// Group.
    pub group: String,
    /// Whether the group may read.
    pub readable: bool,
    /// Topic.
    pub topic: String,
}
