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
/// Namespace.
pub const INSTANCE_ID: &str = "INSTANCE_ID";
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
/// Group of a revived retry copy (5.4).
pub const ORIGIN_GROUP: &str = "ORIGIN_GROUP";
/// Deliveries so far, set by a consumer that sends back by itself.
pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
/// Most deliveries, set by a consumer that sends back by itself.
pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
/// When a consumer began with the message, ms; local to it.
pub const CONSUME_START_TIME: &str = "CONSUME_START_TIME";
/// Smallest offset of the queue; local to a consumer.
pub const MIN_OFFSET: &str = "MIN_OFFSET";
/// Largest offset of the queue; local to a consumer.
pub const MAX_OFFSET: &str = "MAX_OFFSET";
/// `true` on a half message.
pub const TRANSACTION_PREPARED: &str = "TRAN_MSG";
/// Producer group that is asked about a half message.
pub const PRODUCER_GROUP: &str = "PGROUP";
/// True topic of a rerouted message.
pub const REAL_TOPIC: &str = "REAL_TOPIC";
/// True queue of a rerouted message.
pub const REAL_QUEUE_ID: &str = "REAL_QID";
/// How often the producer was asked.
pub const TRANSACTION_CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
/// No question before this age, s.
pub const CHECK_IMMUNITY_TIME_IN_SECONDS: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
/// Offset of a half message that was put again.
pub const TRANSACTION_PREPARED_QUEUE_OFFSET: &str = "TRAN_PREPARED_QUEUE_OFFSET";
/// Transaction id.
pub const TRANSACTION_ID: &str = "__transactionId__";
/// Ties a reply to its request.
pub const CORRELATION_ID: &str = "CORRELATION_ID";
/// Client id that waits for the reply.
pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
/// How long a requester waits, ms.
pub const MESSAGE_TTL: &str = "TTL";
/// `reply` on a reply.
pub const MESSAGE_TYPE: &str = "MSG_TYPE";
/// When a reply came, ms.
pub const ARRIVE_TIME: &str = "ARRIVE_TIME";
/// When the broker pushed a reply, ms.
pub const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";
/// Handle of a popped message.
pub const POP_CK: &str = "POP_CK";
/// Offset of a pop checkpoint.
pub const POP_CK_OFFSET: &str = "POP_CK_OFFSET";
/// When a message was popped first, ms.
pub const FIRST_POP_TIME: &str = "1ST_POP_TIME";
/// Order key; set by the user.
pub const SHARDING_KEY: &str = "__SHARDINGKEY";
/// Messages in an inner batch.
pub const INNER_NUM: &str = "INNER_NUM";
/// First offset of an inner batch.
pub const INNER_BASE: &str = "INNER_BASE";
/// Light queues a message also goes to, separated by commas.
pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
/// Its offsets there, separated by commas.
pub const INNER_MULTI_QUEUE_OFFSET: &str = "INNER_MULTI_QUEUE_OFFSET";
/// Delay in s.
pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
/// Delay in ms.
pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
/// Unix time of delivery, ms.
pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
/// When a timed message is due, ms.
pub const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
/// When it entered the timer, ms.
pub const TIMER_ENQUEUE_MS: &str = "TIMER_ENQUEUE_MS";
/// When it left the timer, ms.
pub const TIMER_DEQUEUE_MS: &str = "TIMER_DEQUEUE_MS";
/// How often it was put again.
pub const TIMER_ROLL_TIMES: &str = "TIMER_ROLL_TIMES";
/// Level of a timed message that came as a delayed one.
pub const TIMER_DELAY_LEVEL: &str = "TIMER_DELAY_LEVEL";
/// Unique key of a recalled message.
pub const TIMER_DEL_UNIQUE_KEY: &str = "TIMER_DEL_UNIQKEY";
/// Priority 0 and up (5.4).
pub const PRIORITY: &str = "_SYS_MSG_PRIORITY_";
/// Lite topic (5.5).
pub const LITE_TOPIC: &str = "__LITE_TOPIC";
/// Trace context of the client.
pub const TRACE_CONTEXT: &str = "TRACE_CONTEXT";
/// Original topic of a dead letter.
pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
/// Original id of a dead letter.
pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
/// True sender behind a proxy.
pub const BORN_HOST: &str = "__BORNHOST";
/// True birth behind a proxy, ms.
pub const BORN_TIMESTAMP: &str = "BORN_TIMESTAMP";
/// Checksum of the stored record in front of it; see [`crate::record`].
pub const CRC32: &str = "__CRC32#";
