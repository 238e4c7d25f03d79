//! Pulls: 11 and 361.

use crate::header::headers;

/// Bits of [`PullRequest::sys_flag`].
pub mod pull_flag {
    /// Store `commit_offset`.
    pub const COMMIT_OFFSET: i32 = 1;
    /// The request may be held.
    pub const SUSPEND: i32 = 2;
    /// The subscription expression travels with the request.
    pub const SUBSCRIPTION: i32 = 4;
    /// Lite pull.
    pub const LITE_PULL: i32 = 16;
}

headers! {
    /// PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361).
    pub struct PullRequest<'h> {
        required consumer_group: &'h str = "consumerGroup",
        required topic: &'h str = "topic",
        required queue_id: i32 = "queueId",
        /// First wanted offset in the queue.
        required queue_offset: i64 = "queueOffset",
        /// Most messages wanted.
        required max_msg_nums: i32 = "maxMsgNums",
        /// See [`pull_flag`].
        required sys_flag: i32 = "sysFlag",
        /// Offset to store if the flag says so; Go and Node send -1 for none.
        required commit_offset: i64 = "commitOffset",
        /// Longest hold, ms.
        required suspend_timeout_ms: i64 = "suspendTimeoutMillis",
        optional subscription: &'h str = "subscription",
        /// Version of the subscription.
        required sub_version: i64 = "subVersion",
        /// `TAG` when absent, or `SQL92`.
        optional expression_type: &'h str = "expressionType",
        optional max_msg_bytes: i32 = "maxMsgBytes",
        optional request_source: i32 = "requestSource",
        /// Client id behind a proxy.
        optional proxy_forward_client_id: &'h str = "proxyFrowardClientId",
        optional lite_topic: &'h str = "liteTopic",
        optional broker_name: &'h str = "bname",
    }

    /// Answer of a pull; the four offsets must be there for codes 0, 19, 20, 21.
    pub struct PullResponse {
        /// Broker to pull from next time, 0 is the master.
        required suggest_which_broker_id: i64 = "suggestWhichBrokerId",
        /// Next offset to ask for.
        required next_begin_offset: i64 = "nextBeginOffset",
        required min_offset: i64 = "minOffset",
        required max_offset: i64 = "maxOffset",
        optional offset_delta: i64 = "offsetDelta",
        optional topic_sys_flag: i32 = "topicSysFlag",
        optional group_sys_flag: i32 = "groupSysFlag",
        /// With code 16: 1 broker, 2 group, 3 topic, 4 broadcast, 5 subscription.
        optional forbidden_type: i32 = "forbiddenType",
    }
}
