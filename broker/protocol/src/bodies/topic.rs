//! Topics and their tables: 18, 21, 351, and part of a registration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wire_enum;
use crate::names::perm;

wire_enum! {
    /// Whether messages of a topic have one tag or several.
    TopicFilterType {
        /// One tag.
        #[default]
        SingleTag = "SINGLE_TAG",
        /// Several tags.
        MultiTag = "MULTI_TAG",
    }
}

/// One topic of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// Attributes, such as `message.type`.
    pub attributes: BTreeMap<String, String>,
    /// Whether queues are ordered.
    pub order: bool,
    /// See [`perm`].
    pub perm: i32,
    /// Queues that are read.
    pub read_queue_nums: i32,
    /// One tag or several.
    pub topic_filter_type: TopicFilterType,
    /// Name.
    pub topic_name: String,
    /// 1 unit, 2 unit subscription.
    pub topic_sys_flag: i32,
    /// Queues that are written.
    pub write_queue_nums: i32,
}

impl Default for TopicConfig {
    /// Java's defaults: 16 queues, read and write.
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            order: false,
            perm: perm::READ_WRITE,
            read_queue_nums: 16,
            topic_filter_type: TopicFilterType::SingleTag,
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

/// The version of a table; two tables are the same when all three numbers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// Counts changes.
    pub counter: i64,
    /// Epoch of the broker's state; 4.x has none.
    pub state_version: i64,
    /// Time of the last change, Unix ms.
    pub timestamp: i64,
}

/// Body of the answer to GET_ALL_TOPIC_CONFIG (21), and the topics of a registration. Topics may be
/// lent to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigTable<C = TopicConfig> {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Version of the static-topic mappings (5.x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping_data_version: Option<DataVersion>,
    /// Name to topic.
    pub topic_config_table: BTreeMap<String, C>,
    /// Static topics: name to mapping with its queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_detail_map: Option<BTreeMap<String, serde_json::Value>>,
    /// Static topics: name to mapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_info_map: Option<BTreeMap<String, TopicQueueMappingInfo>>,
}

/// The queues of a static topic on one broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicQueueMappingInfo {
    /// Broker name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bname: Option<String>,
    /// Logical to physical queue.
    pub curr_id_map: BTreeMap<i32, i32>,
    /// Being moved.
    pub dirty: bool,
    /// Version of the mapping.
    pub epoch: i64,
    /// Scope, `__global__`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Queues of the static topic.
    pub total_queues: i32,
}

/// Body of UPDATE_AND_CREATE_TOPIC_LIST (18).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigList {
    /// The topics.
    pub topic_config_list: Vec<TopicConfig>,
}

/// Body of the answers to 206, 224, 304, 305, 311..=313 and 343.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicList<N = String> {
    /// One broker address, in 304 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<N>,
    /// Names, which may be lent to be written.
    pub topic_list: Vec<N>,
}

/// `{"table":{name:value}}`: runtime information (28) and KV lists (219, 103).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KvTable {
    /// Name to value.
    pub table: BTreeMap<String, String>,
}
