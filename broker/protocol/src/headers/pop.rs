//! Pop: 200050..=200055.

use crate::header::headers;

headers! {
    /// POP_MESSAGE (200050).
    pub struct PopRequest<'h> {
        required consumer_group: &'h str = "consumerGroup",
        required topic: &'h str = "topic",
        /// -1 is any queue.
        required queue_id: i32 = "queueId",
        /// At most 32.
        required max_msg_nums: i32 = "maxMsgNums",
        required invisible_time_ms: i64 = "invisibleTime",
        /// Longest hold, ms; 0 and below for none.
        required poll_time_ms: i64 = "pollTime",
        /// The client's clock, Unix ms; 0 or absent: take the broker's.
        default born_at_ms: i64 = "bornTime" or 0,
        /// Where a new group starts: 0 first, 1 last.
        required init_mode: i32 = "initMode",
        optional expression_type: &'h str = "expType",
        optional expression: &'h str = "exp",
        default order: bool = "order" or false,
        /// Names one attempt of an ordered pop.
        optional attempt_id: &'h str = "attemptId",
        optional broker_name: &'h str = "bname",
    }

    /// Answer of a pop.
    pub struct PopResponse<'h> {
        /// Unix ms.
        required pop_time_ms: i64 = "popTime",
        required invisible_time_ms: i64 = "invisibleTime",
        /// Revive queue; 999 is an ordered pop.
        required revive_queue_id: i32 = "reviveQid",
        /// Messages left.
        required rest_num: i64 = "restNum",
        /// `r queueId startOffset` joined by `;`.
        optional start_offset_info: &'h str = "startOffsetInfo",
        /// `r queueId o1,o2,...` joined by `;`.
        optional msg_offset_info: &'h str = "msgOffsetInfo",
        /// `r queueId count` or `r qo<queueId>%<offset> count` joined by `;`.
        optional order_count_info: &'h str = "orderCountInfo",
    }

    /// ACK_MESSAGE (200051).
    pub struct AckRequest<'h> {
        required consumer_group: &'h str = "consumerGroup",
        required topic: &'h str = "topic",
        required queue_id: i32 = "queueId",
        /// The handle (`POP_CK`).
        required extra_info: &'h str = "extraInfo",
        required offset: i64 = "offset",
        optional lite_topic: &'h str = "liteTopic",
        optional broker_name: &'h str = "bname",
    }

    /// PEEK_MESSAGE (200052).
    pub struct PeekRequest<'h> {
        required topic: &'h str = "topic",
        required queue_id: i32 = "queueId",
        required max_msg_nums: i32 = "maxMsgNums",
        required consumer_group: &'h str = "consumerGroup",
    }

    /// CHANGE_MESSAGE_INVISIBLETIME (200053).
    pub struct ChangeInvisibleRequest<'h> {
        required consumer_group: &'h str = "consumerGroup",
        required topic: &'h str = "topic",
        required queue_id: i32 = "queueId",
        /// The handle (`POP_CK`).
        required extra_info: &'h str = "extraInfo",
        required offset: i64 = "offset",
        /// From now, ms.
        required invisible_time_ms: i64 = "invisibleTime",
        optional lite_topic: &'h str = "liteTopic",
        /// This return is not counted as a delivery (5.5).
        default suspend: bool = "suspend" or false,
        optional broker_name: &'h str = "bname",
    }

    /// Answer of 200053.
    pub struct ChangeInvisibleResponse {
        /// Unix ms.
        required pop_time_ms: i64 = "popTime",
        required invisible_time_ms: i64 = "invisibleTime",
        required revive_queue_id: i32 = "reviveQid",
    }

    /// NOTIFICATION (200054).
    pub struct NotificationRequest<'h> {
        required consumer_group: &'h str = "consumerGroup",
        required topic: &'h str = "topic",
        /// -1 is any queue.
        required queue_id: i32 = "queueId",
        required poll_time_ms: i64 = "pollTime",
        /// Unix ms.
        required born_at_ms: i64 = "bornTime",
        default order: bool = "order" or false,
        optional attempt_id: &'h str = "attemptId",
        optional expression_type: &'h str = "expType",
        optional expression: &'h str = "exp",
    }

    /// Answer of 200054.
    pub struct NotificationResponse {
        required has_msg: bool = "hasMsg",
        optional polling_full: bool = "pollingFull",
    }

    /// POLLING_INFO (200055).
    pub struct PollingInfoRequest<'h> {
        required consumer_group: &'h str = "consumerGroup",
        required topic: &'h str = "topic",
        required queue_id: i32 = "queueId",
    }

    /// Answer of 200055.
    pub struct PollingInfoResponse {
        required polling_num: i32 = "pollingNum",
    }
}
