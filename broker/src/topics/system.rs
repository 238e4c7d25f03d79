//! Topics that exist without anyone asking, and names that belong to the system.

use ringmq_protocol::bodies::topic::TopicConfig;
use ringmq_protocol::names::{TEMPLATE_TOPIC, perm, system_topic};

use crate::config::Settings;

/// Queues of the topic with the cluster's name (Apache's class default).
const CLUSTER_TOPIC_QUEUES: i32 = 16;
/// Queues of the benchmark topic, as Apache's benchmark programs expect them.
const BENCHMARK_QUEUES: i32 = 1024;
/// One queue for each of the 18 delay levels.
const SCHEDULE_QUEUES: i32 = 18;
/// Queues of the pop revive log.
const REVIVE_QUEUES: i32 = 8;

/// The topic of Apache's benchmark programs.
const BENCHMARK_TOPIC: &str = "BenchmarkTest";

/// Fixed names beside [`system_topic::ALL`]: those of [`topics`], and names that only a client or
/// another part makes.
const NAMES: &[&str] = &[
    TEMPLATE_TOPIC,
    BENCHMARK_TOPIC,
    "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC",
    "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
    "RMQ_SYS_TRACE_TOPIC",
    "CHECKPOINT_TOPIC",
];

/// Every name that starts so is the system's.
const PREFIX: &str = "rmq_sys_";

fn topic(name: impl Into<String>, queues: i32, perm: i32) -> TopicConfig {
    TopicConfig {
        topic_name: name.into(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm,
        ..TopicConfig::default()
    }
}

/// The template for unknown topics.
pub fn template(settings: &Settings) -> TopicConfig {
    let queues = i32::try_from(settings.default_topic_queue_nums).unwrap_or(i32::MAX);
    topic(TEMPLATE_TOPIC, queues, perm::READ_WRITE | perm::INHERIT)
}

/// The topics that this configuration has from its first start.
pub fn topics(settings: &Settings, broker_name: &str) -> Vec<TopicConfig> {
    let cluster = &settings.broker_cluster_name;
    let cluster_perm =
        perm::INHERIT + if settings.cluster_topic_enable { perm::READ_WRITE } else { 0 };
    let broker_perm =
        perm::INHERIT + if settings.broker_topic_enable { perm::READ_WRITE } else { 0 };
    let mut topics = vec![
        topic(system_topic::SELF_TEST, 1, perm::READ_WRITE),
        topic(BENCHMARK_TOPIC, BENCHMARK_QUEUES, perm::READ_WRITE),
        topic(cluster.as_str(), CLUSTER_TOPIC_QUEUES, cluster_perm),
        topic(broker_name, 1, broker_perm),
        topic(system_topic::OFFSET_MOVED, 1, perm::READ_WRITE),
        topic(system_topic::SCHEDULE, SCHEDULE_QUEUES, perm::READ_WRITE),
        topic(format!("{cluster}_REPLY_TOPIC"), 1, perm::READ_WRITE),
        topic(format!("{PREFIX}REVIVE_LOG_{cluster}"), REVIVE_QUEUES, perm::READ_WRITE),
        topic(format!("{PREFIX}SYNC_BROKER_MEMBER_{broker_name}"), 1, perm::INHERIT),
        topic(system_topic::TRANSACTION_HALF, 1, perm::READ_WRITE),
        topic(system_topic::TRANSACTION_OPERATION, 1, perm::READ_WRITE),
        topic(format!("{PREFIX}wheel_timer"), 1, perm::READ_WRITE),
    ];
    if settings.auto_create_topic_enable {
        topics.push(template(settings));
    }
    if settings.trace_topic_enable {
        topics.push(topic(settings.msg_trace_topic_name.as_str(), 1, perm::READ_WRITE));
    }
    topics
}

/// Whether tools are kept from changing the topic of that name.
pub fn is_system(name: &str, settings: &Settings, broker_name: &str) -> bool {
    let is_reply =
        |name: &str| name.strip_suffix("_REPLY_TOPIC") == Some(&settings.broker_cluster_name);
    NAMES.contains(&name)
        || system_topic::ALL.contains(&name)
        || name.starts_with(PREFIX)
        || name == settings.broker_cluster_name
        || name == broker_name
        || is_reply(name)
}

/// All system names of this configuration, sorted: the answer to
/// `GET_SYSTEM_TOPIC_LIST_FROM_BROKER`.
pub fn names(settings: &Settings, broker_name: &str) -> Vec<String> {
    let fixed = NAMES.iter().chain(&system_topic::ALL).map(|name| (*name).to_owned());
    let made = topics(settings, broker_name).into_iter().map(|topic| topic.topic_name);
    let mut names: Vec<_> = fixed.chain(made).collect();
    names.sort_unstable();
    names.dedup();
    names
}
