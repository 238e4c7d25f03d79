//! Who produces and consumes: heartbeat (34), members of a group (38), check of a filter (46).

use serde::{Deserialize, Serialize};

use super::wire_enum;

wire_enum! {
    /// How a consumer gets its messages.
    ConsumeType {
        /// Pull consumers.
        Actively = "CONSUME_ACTIVELY",
        /// Push consumers.
        #[default]
        Passively = "CONSUME_PASSIVELY",
        /// Pop consumers.
        Pop = "CONSUME_POP",
    }
}

wire_enum! {
    /// How the members of a group share a topic.
    MessageModel {
        /// Each member gets everything.
        Broadcasting = "BROADCASTING",
        /// Each message goes to one member.
        #[default]
        Clustering = "CLUSTERING",
        /// Lite topics (5.5), seen from proxies only.
        LiteSelective = "LITE_SELECTIVE",
    }
}

wire_enum! {
    /// Where a group without offsets begins.
    ConsumeFromWhere {
        /// At the end.
        #[default]
        LastOffset = "CONSUME_FROM_LAST_OFFSET",
        /// Old spelling of "at the end".
        LastOffsetAndMinWhenBootFirst = "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
        /// Old spelling of "at the beginning".
        MinOffset = "CONSUME_FROM_MIN_OFFSET",
        /// Old spelling of "at the end".
        MaxOffset = "CONSUME_FROM_MAX_OFFSET",
        /// At the beginning.
        FirstOffset = "CONSUME_FROM_FIRST_OFFSET",
        /// At a time.
        Timestamp = "CONSUME_FROM_TIMESTAMP",
    }
}

/// Body of HEART_BEAT (34).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatData {
    /// Client id.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// Groups it consumes in.
    pub consumer_data_set: Vec<ConsumerData>,
    /// Hash of the subscriptions; 0 for clients without the short form.
    pub heartbeat_fingerprint: i32,
    /// Groups it produces in.
    pub producer_data_set: Vec<ProducerData>,
    /// The short form: subscriptions as before.
    #[serde(alias = "isWithoutSub")]
    pub without_sub: bool,
}

/// A producer group of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    /// Producer group.
    pub group_name: String,
}

/// A consumer group of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    /// Where a new group begins.
    pub consume_from_where: ConsumeFromWhere,
    /// How it gets its messages.
    pub consume_type: ConsumeType,
    /// Consumer group.
    pub group_name: String,
    /// How members share a topic.
    pub message_model: MessageModel,
    /// What it subscribed to.
    pub subscription_data_set: Vec<SubscriptionData>,
    /// Unit mode.
    pub unit_mode: bool,
}

/// `TAG`: filter by tag; the default where the type is not given.
pub const EXPRESSION_TAG: &str = "TAG";

/// Whether an expression of this type filters by tag. Clients that have it from nobody leave it
/// empty, such as the Go client's pull consumer.
pub fn is_tag_type(expression_type: &str) -> bool {
    expression_type.is_empty() || expression_type == EXPRESSION_TAG
}

/// `SQL92`: filter by an expression over properties.
pub const EXPRESSION_SQL92: &str = "SQL92";

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    /// Old filter server.
    pub class_filter_mode: bool,
    /// Hashes of the tags; Go sends them as text.
    pub code_set: Vec<i32>,
    /// [`EXPRESSION_TAG`] or [`EXPRESSION_SQL92`].
    pub expression_type: String,
    /// The expression.
    pub sub_string: String,
    /// Grows with each change: ms in Java, ns in Go.
    pub sub_version: i64,
    /// The tags.
    pub tags_set: Vec<String>,
    /// Topic.
    pub topic: String,
}

impl Default for SubscriptionData {
    fn default() -> Self {
        Self {
            class_filter_mode: false,
            code_set: Vec::new(),
            expression_type: EXPRESSION_TAG.to_owned(),
            sub_string: String::new(),
            sub_version: 0,
            tags_set: Vec::new(),
            topic: String::new(),
        }
    }
}

impl SubscriptionData {
    /// A subscription by tags, with their hashes.
    pub fn tags(topic: &str, expression: &str, sub_version: i64) -> Self {
        let tags = crate::tags::TagExpression::parse(expression);
        Self {
            code_set: tags.codes().to_vec(),
            sub_string: if tags.is_everything() { "*" } else { expression }.to_owned(),
            sub_version,
            tags_set: tags.tags().map(str::to_owned).collect(),
            topic: topic.to_owned(),
            ..Self::default()
        }
    }
}

/// Body of the answer to GET_CONSUMER_LIST_BY_GROUP (38).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerList {
    /// Client ids.
    pub consumer_id_list: Vec<String>,
}

/// Body of CHECK_CLIENT_CONFIG (46).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckClientRequest {
    /// Client id.
    pub client_id: String,
    /// Consumer group.
    pub group: String,
    /// Namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The subscription to check.
    pub subscription_data: SubscriptionData,
}
