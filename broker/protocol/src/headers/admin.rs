//! Administration of brokers: topics, groups, statistics.

use crate::header::headers;

headers! {
    /// UPDATE_AND_CREATE_TOPIC (17).
    pub struct CreateTopicRequest<'h> {
        required topic: &'h str = "topic",
        required default_topic: &'h str = "defaultTopic",
        required read_queue_nums: i32 = "readQueueNums",
        required write_queue_nums: i32 = "writeQueueNums",
        required perm: i32 = "perm",
        /// `SINGLE_TAG` or `MULTI_TAG`.
        required topic_filter_type: &'h str = "topicFilterType",
        optional topic_sys_flag: i32 = "topicSysFlag",
        default order: bool = "order" or false,
        /// `+k=v,-k`.
        optional attributes: &'h str = "attributes",
        optional force: bool = "force",
    }

    /// A request that names a topic: 202, 215, 300, 351.
    pub struct TopicRequest<'h> {
        required topic: &'h str = "topic",
        optional lo: bool = "lo",
    }

    /// A request that names a group: 343, 352.
    pub struct GroupRequest<'h> {
        required group: &'h str = "group",
    }

    /// A request that names both: 303, 345.
    pub struct TopicGroupRequest<'h> {
        required topic: &'h str = "topic",
        required group: &'h str = "group",
    }

    /// GET_ALL_TOPIC_CONFIG (21), paged since 5.3.
    pub struct AllTopicConfigRequest<'h> {
        /// First entry of the page.
        optional topic_seq: i32 = "topicSeq",
        /// JSON of the version the client pages through; empty at first.
        optional data_version: &'h str = "dataVersion",
        optional max_topic_num: i32 = "maxTopicNum",
    }

    /// GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201), paged since 5.3.
    pub struct AllGroupConfigRequest<'h> {
        /// First entry of the page.
        optional group_seq: i32 = "groupSeq",
        /// JSON of the version the client pages through; empty at first.
        optional data_version: &'h str = "dataVersion",
        optional max_group_num: i32 = "maxGroupNum",
    }

    /// GET_PRODUCER_CONNECTION_LIST (204).
    pub struct ProducerGroupRequest<'h> {
        required producer_group: &'h str = "producerGroup",
    }

    /// DELETE_SUBSCRIPTIONGROUP (207).
    pub struct DeleteGroupRequest<'h> {
        required group_name: &'h str = "groupName",
        default clean_offset: bool = "cleanOffset" or false,
    }

    /// GET_CONSUME_STATS (208).
    pub struct ConsumeStatsRequest<'h> {
        required consumer_group: &'h str = "consumerGroup",
        optional topic: &'h str = "topic",
        /// Several topics, separated by `;` (5.x).
        optional topic_list: &'h str = "topicList",
    }

    /// VIEW_BROKER_STATS_DATA (315).
    pub struct BrokerStatsRequest<'h> {
        required stats_name: &'h str = "statsName",
        required stats_key: &'h str = "statsKey",
    }

    /// GET_BROKER_CONSUME_STATS (317).
    pub struct BrokerConsumeStatsRequest {
        required is_order: bool = "isOrder",
    }

    /// UPDATE_AND_GET_GROUP_FORBIDDEN (353).
    pub struct GroupForbiddenRequest<'h> {
        required group: &'h str = "group",
        required topic: &'h str = "topic",
        optional readable: bool = "readable",
    }
}
