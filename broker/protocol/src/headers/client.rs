//! Client life and the requests a broker sends to clients: 34, 35, 38, 40, 220..=223, 307, 309.

use crate::header::headers;

headers! {
    /// Answer of HEART_BEAT (34).
    pub struct HeartbeatResponse {
        /// The broker understands fingerprints.
        optional supports_heartbeat_v2: bool = "IS_SUPPORT_HEART_BEAT_V2",
        /// The client must send its subscriptions again.
        optional subscription_changed: bool = "IS_SUB_CHANGE",
    }

    /// UNREGISTER_CLIENT (35).
    pub struct UnregisterClientRequest<'h> {
        required client_id: &'h str = "clientID",
        optional producer_group: &'h str = "producerGroup",
        optional consumer_group: &'h str = "consumerGroup",
    }

    /// GET_CONSUMER_LIST_BY_GROUP (38), NOTIFY_CONSUMER_IDS_CHANGED (40), and 203.
    pub struct ConsumerGroupRequest<'h> {
        required consumer_group: &'h str = "consumerGroup",
    }

    /// RESET_CONSUMER_CLIENT_OFFSET (220) and INVOKE_BROKER_TO_RESET_OFFSET (222).
    pub struct ResetOffsetRequest<'h> {
        required topic: &'h str = "topic",
        required group: &'h str = "group",
        /// -1 is every queue.
        default queue_id: i32 = "queueId" or -1,
        /// Target; wins over the timestamp. Java writes -1 for none.
        optional offset: i64 = "offset",
        /// Unix ms, -1 is the end.
        required timestamp_ms: i64 = "timestamp",
        required is_force: bool = "isForce",
    }

    /// GET_CONSUMER_STATUS_FROM_CLIENT (221) and INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223).
    pub struct ConsumerStatusRequest<'h> {
        required topic: &'h str = "topic",
        required group: &'h str = "group",
        optional client_addr: &'h str = "clientAddr",
    }

    /// GET_CONSUMER_RUNNING_INFO (307).
    pub struct ConsumerRunningInfoRequest<'h> {
        required consumer_group: &'h str = "consumerGroup",
        required client_id: &'h str = "clientId",
        default jstack_enable: bool = "jstackEnable" or false,
    }

    /// CONSUME_MESSAGE_DIRECTLY (309).
    pub struct ConsumeDirectlyRequest<'h> {
        required consumer_group: &'h str = "consumerGroup",
        optional client_id: &'h str = "clientId",
        /// Offset message id.
        optional msg_id: &'h str = "msgId",
        optional broker_name: &'h str = "brokerName",
        optional topic: &'h str = "topic",
        optional topic_sys_flag: i32 = "topicSysFlag",
        optional group_sys_flag: i32 = "groupSysFlag",
    }
}
