//! Names of the properties that RocketMQ gives a meaning.

/// Index keys, separated by blanks; set by the user.
pub const KEYS: &str = "KEYS";
/// The tag; set by the user.
pub const TAGS: &str = "TAGS";
/// `false`: do not wait for disk and replicas.
pub const WAIT_STORE_MSG_OK: &str = "WAIT";
/// Delay level 1..=18.
pub const DELAY_TIME_LEVEL: &str = "DELAY";
/// The client's message id.
pub const UNIQUE_KEY: &str = "UNIQ_KEY";
/// Cluster name, added by the broker.
pub const CLUSTER: &str = "CLUSTER";
/// Region, added by the broker.
pub const MSG_REGION: &str = "MSG_REGION";
/// Whether clients may trace, added by the broker.
pub const TRACE_SWITCH: &str = "TRACE_ON";
/// Original topic of a message sent back.
pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
/// Original offset message id of a message sent back.
pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
/// Deliveries so far, set by a consumer that sends back by itself.
pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
/// Most deliveries, set by a consumer that sends back by itself.
pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
/// `true` on a half message.
pub const TRANSACTION_PREPARED: &str = "TRAN_MSG";
/// Id of a request and of its reply, set by the requester.
pub const CORRELATION_ID: &str = "CORRELATION_ID";
/// Client id of the requester.
pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
/// How long who requests waits for the reply, ms.
pub const REPLY_TTL: &str = "TTL";
/// Handle of a popped message.
pub const POP_CK: &str = "POP_CK";
/// Messages inside an inner batch, added by the broker.
pub const INNER_NUM: &str = "INNER_NUM";
/// Delay in s.
pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
/// Delay in ms.
pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
/// Unix time of delivery, ms.
pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
/// Priority 0 and up (5.4).
pub const PRIORITY: &str = "_SYS_MSG_PRIORITY_";
/// Checksum of the stored record in front of it; see [`crate::record`].
pub const CRC32: &str = "__CRC32#";
