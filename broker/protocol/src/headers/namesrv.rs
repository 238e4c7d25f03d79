//! The name server: 100..=106, 205, 216, 217, 219, 224, 322, 327, 901, 904, 905.

use crate::header::headers;

headers! {
    /// GET_ROUTEINFO_BY_TOPIC (105), and 216 and 217 without their own fields.
    pub struct RouteRequest<'h> {
        required topic: &'h str = "topic",
        optional accept_standard_json_only: bool = "acceptStandardJsonOnly",
        optional zone_mode: bool = "__ZONE_MODE",
        optional zone_name: &'h str = "__ZONE_NAME",
    }

    /// REGISTER_BROKER (103).
    pub struct RegisterBrokerRequest<'h> {
        required broker_name: &'h str = "brokerName",
        required broker_addr: &'h str = "brokerAddr",
        required cluster_name: &'h str = "clusterName",
        required ha_server_addr: &'h str = "haServerAddr",
        /// 0 is the master.
        required broker_id: i64 = "brokerId",
        /// Own expiry in place of 120 s.
        optional heartbeat_timeout_ms: i64 = "heartbeatTimeoutMillis",
        optional enable_acting_master: bool = "enableActingMaster",
        default compressed: bool = "compressed" or false,
        /// CRC-32 of the body without the sign bit; 0 is no check.
        default body_crc32: i32 = "bodyCrc32" or 0,
        optional zone_name: &'h str = "__ZONE_NAME",
    }

    /// Answer of 103.
    pub struct RegisterBrokerResponse<'h> {
        optional ha_server_addr: &'h str = "haServerAddr",
        optional master_addr: &'h str = "masterAddr",
    }

    /// UNREGISTER_BROKER (104) and QUERY_DATA_VERSION (322).
    pub struct BrokerRequest<'h> {
        required broker_name: &'h str = "brokerName",
        required broker_addr: &'h str = "brokerAddr",
        required cluster_name: &'h str = "clusterName",
        required broker_id: i64 = "brokerId",
    }

    /// Answer of 322.
    pub struct QueryDataVersionResponse {
        required changed: bool = "changed",
    }

    /// BROKER_HEARTBEAT (904), one-way.
    pub struct BrokerHeartbeatRequest<'h> {
        required cluster_name: &'h str = "clusterName",
        required broker_addr: &'h str = "brokerAddr",
        required broker_name: &'h str = "brokerName",
        optional broker_id: i64 = "brokerId",
        optional epoch: i32 = "epoch",
        optional max_offset: i64 = "maxOffset",
        optional confirm_offset: i64 = "confirmOffset",
        optional heartbeat_timeout_ms: i64 = "heartbeatTimeoutMills",
        optional election_priority: i32 = "electionPriority",
    }

    /// GET_BROKER_MEMBER_GROUP (901).
    pub struct BrokerMemberGroupRequest<'h> {
        required cluster_name: &'h str = "clusterName",
        required broker_name: &'h str = "brokerName",
    }

    /// NOTIFY_MIN_BROKER_ID_CHANGE (905), one-way from the name server.
    pub struct MinBrokerIdChange<'h> {
        optional min_broker_id: i64 = "minBrokerId",
        optional broker_name: &'h str = "brokerName",
        optional min_broker_addr: &'h str = "minBrokerAddr",
        optional offline_broker_addr: &'h str = "offlineBrokerAddr",
        optional ha_broker_addr: &'h str = "haBrokerAddr",
    }

    /// WIPE_WRITE_PERM_OF_BROKER (205) and ADD_WRITE_PERM_OF_BROKER (327).
    pub struct WritePermRequest<'h> {
        required broker_name: &'h str = "brokerName",
    }

    /// Answer of 205.
    pub struct WipeWritePermResponse {
        required wipe_topic_count: i32 = "wipeTopicCount",
    }

    /// Answer of 327.
    pub struct AddWritePermResponse {
        required add_topic_count: i32 = "addTopicCount",
    }

    /// DELETE_TOPIC_IN_NAMESRV (216).
    pub struct DeleteTopicInNamesrvRequest<'h> {
        required topic: &'h str = "topic",
        /// Only in this cluster.
        optional cluster_name: &'h str = "clusterName",
    }

    /// REGISTER_TOPIC_IN_NAMESRV (217).
    pub struct RegisterTopicRequest<'h> {
        required topic: &'h str = "topic",
    }

    /// GET_TOPICS_BY_CLUSTER (224).
    pub struct TopicsByClusterRequest<'h> {
        required cluster: &'h str = "cluster",
    }

    /// PUT_KV_CONFIG (100).
    pub struct PutKvRequest<'h> {
        required namespace: &'h str = "namespace",
        required key: &'h str = "key",
        required value: &'h str = "value",
    }

    /// GET_KV_CONFIG (101) and DELETE_KV_CONFIG (102).
    pub struct KvRequest<'h> {
        required namespace: &'h str = "namespace",
        required key: &'h str = "key",
    }

    /// Answer of 101.
    pub struct GetKvResponse<'h> {
        optional value: &'h str = "value",
    }

    /// GET_KVLIST_BY_NAMESPACE (219).
    pub struct KvListRequest<'h> {
        required namespace: &'h str = "namespace",
    }
}
