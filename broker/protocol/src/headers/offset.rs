//! Offsets: 14, 15, 29, 30, 31, 32.

use crate::header::headers;

headers! {
    /// QUERY_CONSUMER_OFFSET (14).
    pub struct QueryOffsetRequest<'h> {
        required consumer_group: &'h str = "consumerGroup",
        required topic: &'h str = "topic",
        required queue_id: i32 = "queueId",
        /// `false`: an offset that is not stored is code 22, never 0.
        optional set_zero_if_not_found: bool = "setZeroIfNotFound",
        optional broker_name: &'h str = "bname",
    }

    /// UPDATE_CONSUMER_OFFSET (15).
    pub struct UpdateOffsetRequest<'h> {
        required consumer_group: &'h str = "consumerGroup",
        required topic: &'h str = "topic",
        required queue_id: i32 = "queueId",
        required commit_offset: i64 = "commitOffset",
        optional broker_name: &'h str = "bname",
    }

    /// SEARCH_OFFSET_BY_TIMESTAMP (29).
    pub struct SearchOffsetRequest<'h> {
        required topic: &'h str = "topic",
        required queue_id: i32 = "queueId",
        /// Unix ms.
        required timestamp_ms: i64 = "timestamp",
        /// `LOWER` (when absent) or `UPPER`, in any case.
        optional boundary_type: &'h str = "boundaryType",
        optional lite_topic: &'h str = "liteTopic",
        optional broker_name: &'h str = "bname",
    }

    /// GET_MAX_OFFSET (30).
    pub struct MaxOffsetRequest<'h> {
        required topic: &'h str = "topic",
        required queue_id: i32 = "queueId",
        default committed: bool = "committed" or true,
        optional broker_name: &'h str = "bname",
    }

    /// GET_MIN_OFFSET (31) and GET_EARLIEST_MSG_STORETIME (32).
    pub struct QueueRequest<'h> {
        required topic: &'h str = "topic",
        required queue_id: i32 = "queueId",
        optional broker_name: &'h str = "bname",
    }

    /// Answer of 14, 29, 30, 31.
    pub struct OffsetResponse {
        required offset: i64 = "offset",
    }

    /// Answer of 32.
    pub struct TimestampResponse {
        /// Unix ms; -1 when the queue is empty.
        required timestamp_ms: i64 = "timestamp",
    }
}
