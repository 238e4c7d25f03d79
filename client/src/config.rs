//! Every setting of the client, with the Java client's name, unit and default.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ringmq_protocol::compression::{COMPRESS_FROM_BYTES, Compression};
use ringmq_protocol::names::{self, TEMPLATE_TOPIC};

use crate::consumer::allocation::{AllocationStrategy, Averagely};
use crate::consumer::process_queue::FlowLimits;
use crate::producer::RetryPolicy;

/// Settings of one client: its executor, connections and clocks.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Name servers as `host:port`; several hold the same data, one at a time is asked
    /// (`namesrvAddr`).
    pub name_servers: Vec<String>,
    /// Tells clients of one machine apart (`instanceName`). `DEFAULT` becomes process id and start
    /// time in the client id; local offset files keep the name as it is.
    pub instance_name: String,
    /// Appended to the client id when set (`unitName`).
    pub unit_name: Option<String>,
    /// How often routes are asked for again (`pollNameServerInterval`, 30 s).
    pub route_refresh: Duration,
    /// How often brokers hear that we live (`heartbeatBrokerInterval`, 30 s; they forget after
    /// 120 s).
    pub heartbeat: Duration,
    /// How often consumed offsets are stored (`persistConsumerOffsetInterval`, 5 s).
    pub offset_persist: Duration,
    /// How often queues are divided anew without being told (20 s).
    pub rebalance: Duration,
    /// Longest wait for a TCP connection (3 s).
    pub connect_timeout: Duration,
    /// Longest wait for an answer to anything but sends and pulls (`mqClientApiTimeout`, 3 s).
    pub call_timeout: Duration,
    /// Sends go to the broker's port minus 2 (`vipChannelEnabled`, off).
    pub vip_channel: bool,
    /// Directory of broadcasting groups' offset files (`rocketmq.client.localOffsetStoreDir`).
    pub local_offset_dir: PathBuf,
}

impl ClientConfig {
    /// Defaults, with these name servers: `host:port`, several separated by `;` or `,`.
    pub fn new(name_servers: &str) -> Self {
        Self {
            name_servers: names::name_servers(name_servers),
            instance_name: "DEFAULT".into(),
            unit_name: None,
            route_refresh: Duration::from_secs(30),
            heartbeat: Duration::from_secs(30),
            offset_persist: Duration::from_secs(5),
            rebalance: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_secs(3),
            vip_channel: false,
            local_offset_dir: default_offset_dir(),
        }
    }
}

fn default_offset_dir() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    home.join(".ringmq_offsets")
}

/// Settings of one producer group.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// Name of the group (`producerGroup`).
    pub group: String,
    /// Time for a send with all its retries (`sendMsgTimeout`, 3 s).
    pub send_timeout: Duration,
    /// Attempts after the first, and for which failures (`retryTimesWhenSendFailed`, 2).
    pub retry: RetryPolicy,
    /// Bodies of this size and more are compressed (`compressMsgBodyOverHowmuch`, 4096 bytes).
    pub compress_from_bytes: usize,
    /// How bodies are compressed (`rocketmq.message.compressType`, zlib: every client reads it).
    pub compression: Compression,
    /// Larger bodies are refused before they are sent (`maxMessageSize`, 4 MiB).
    pub message_size_max_bytes: usize,
    /// Queues that a topic created by a send gets per broker (`defaultTopicQueueNums`, 4).
    pub default_topic_queues: i32,
    /// Template of such topics (`createTopicKey`).
    pub create_topic_key: String,
    /// Sends in flight; past it, the next send waits for one to end (`SENDS_IN_FLIGHT_MAX`).
    pub in_flight_max: usize,
}

/// 1024 sends in flight of 1 KiB over a round trip of 1 ms are a million messages a second, and
/// 4 GiB of the largest ones are still to be feared: lower it for large bodies.
pub const SENDS_IN_FLIGHT_MAX: usize = 1024;

impl ProducerConfig {
    /// The Java producer's defaults.
    pub fn new(group: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            send_timeout: Duration::from_secs(3),
            retry: RetryPolicy::default(),
            compress_from_bytes: COMPRESS_FROM_BYTES,
            compression: Compression::Zlib,
            message_size_max_bytes: 4 << 20,
            default_topic_queues: 4,
            create_topic_key: TEMPLATE_TOPIC.into(),
            in_flight_max: SENDS_IN_FLIGHT_MAX,
        }
    }
}

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageModel {
    /// One member of the group; offsets live on the broker.
    #[default]
    Clustering,
    /// Every member; offsets live in a local file, and failed messages are not sent back.
    Broadcasting,
}

/// Where a group begins in a queue for which no offset is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsumeFrom {
    /// Behind the newest message.
    #[default]
    LastOffset,
    /// At the oldest message.
    FirstOffset,
    /// At the first message stored at or after this Unix time in milliseconds.
    Timestamp(i64),
}

/// Settings of one consumer group, push or lite pull.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// Name of the group (`consumerGroup`).
    pub group: String,
    /// Who gets a message (`messageModel`).
    pub model: MessageModel,
    /// Where a new group begins (`consumeFromWhere`).
    pub consume_from: ConsumeFrom,
    /// How queues are divided (`allocateMessageQueueStrategy`, AVG). The same in all members.
    pub allocation: Arc<dyn AllocationStrategy>,
    /// Messages asked for in one pull (`pullBatchSize`, 32).
    pub pull_batch: i32,
    /// How long the broker may hold a pull that finds nothing (15 s; the call waits twice that).
    pub pull_hold: Duration,
    /// When to stop pulling a queue.
    pub flow: FlowLimits,
    /// Messages handed to a listener at once (`consumeMessageBatchMaxSize`, 1).
    pub consume_batch: usize,
    /// Threads that run listeners (`consumeThreadMin` = `consumeThreadMax`, 20).
    pub consume_threads: usize,
    /// Deliveries before a message goes to the dead letters (`maxReconsumeTimes`). -1: 16 for
    /// concurrent listeners, no bound for orderly ones.
    pub reconsume_times_max: i32,
    /// Pause before an orderly queue is tried again (`suspendCurrentQueueTimeMillis`, 1 s).
    pub orderly_suspend: Duration,
    /// How long a queue that was given up stays locked for its batch at work
    /// (`rocketmq.client.unlockDelayTimeMills`, 20 s). More than 40 s makes no difference: the
    /// broker grants a minute from the last confirmation, which may be 20 s old by then.
    pub orderly_unlock_delay: Duration,
    /// Lite pull: store by itself what polls returned, once there was another poll after them
    /// (`autoCommit`, on).
    pub auto_commit: bool,
    /// Lite pull: messages buffered over all queues before pulling stops (10,000).
    pub buffered_max: usize,
}

impl ConsumerConfig {
    /// The Java consumer's defaults.
    pub fn new(group: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            model: MessageModel::default(),
            consume_from: ConsumeFrom::default(),
            allocation: Arc::new(Averagely),
            pull_batch: 32,
            pull_hold: Duration::from_secs(15),
            flow: FlowLimits::default(),
            consume_batch: 1,
            consume_threads: 20,
            reconsume_times_max: -1,
            orderly_suspend: Duration::from_secs(1),
            orderly_unlock_delay: Duration::from_secs(20),
            auto_commit: true,
            buffered_max: 10_000,
        }
    }
}
