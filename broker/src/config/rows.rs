//! The table: every key this broker acts on, one row each.
//!
//! Defaults and spellings are Apache's (5.5.0) unless the sentence says otherwise; numbers of ours
//! carry their reason.

use std::net::{IpAddr, Ipv4Addr};

use ringmq_settings::value::ShardCores;
use ringmq_settings::{Allowed, settings};

use super::value::{BrokerRole, EmbeddedNamesrv, FlushDiskType};

const MS_MAX: i64 = i32::MAX as i64;
const KIB: u32 = 1 << 10;
const MIB: u32 = 1 << 20;

settings! {
    /// All values, typed. A clone is taken for each change and published to every shard.
    Settings {
        ["Identity and addresses"]
        broker_cluster_name: String = "DefaultCluster".into(), "brokerClusterName", Allowed::Text, Restart, true,
            "Name of the cluster; also the name of a topic that tools look the cluster up with.";
        broker_name: String = String::new(), "brokerName", Allowed::Text, Restart, true,
            "Name of this broker within the cluster; empty takes the host name.";
        broker_id: i64 = 0, "brokerId", Allowed::number(0, i64::MAX, "id"), Restart, true,
            "Id within the broker's name: 0, the master; this version runs as a master only and refuses others.";
        broker_role: BrokerRole = BrokerRole::AsyncMaster, "brokerRole", Allowed::Words(BrokerRole::TAKEN), Restart, true,
            "Part in replication; this version has no slaves, so SYNC_MASTER behaves as ASYNC_MASTER.";
        namesrv_addr: String = String::new(), "namesrvAddr", Allowed::Text, Restart, true,
            "Name servers as ip:port;ip:port; the environment's NAMESRV_ADDR when empty.";
        listen_port: u16 = 10911, "listenPort", Allowed::number(3, 65535, "port"), Restart, true,
            "Port for clients; two below it the same service listens for clients that use the VIP channel.";
        bind_address: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED), "bindAddress", Allowed::Address, Restart, false,
            "Address that the ports are opened on.";
        broker_ip1: String = String::new(), "brokerIP1", Allowed::Text, Restart, true,
            "Address that clients are told; empty takes the first IPv4 address that is not loopback.";
        broker_ip2: String = String::new(), "brokerIP2", Allowed::Text, Restart, false,
            "Address that slaves are told; empty takes brokerIP1.";
        region_id: String = "DefaultRegion".into(), "regionId", Allowed::Text, Restart, false,
            "Region written into each message and each answer to a send, at most 255 bytes.";
        embedded_namesrv: EmbeddedNamesrv = EmbeddedNamesrv::Auto, "embeddedNamesrv",
            Allowed::Words(EmbeddedNamesrv::WORDS), Restart, true,
            "RingMQ: also run a name server in this process; auto does so when namesrvAddr is empty.";
        embedded_namesrv_port: u16 = 9876, "embeddedNamesrvPort", Allowed::number(1, 65535, "port"), Restart, false,
            "RingMQ: port of that name server.";

        ["Cores"]
        shard_cores: ShardCores = ShardCores::Auto, "shardCores", Allowed::Cores, Restart, true,
            "RingMQ: cores that run shards; auto takes up to 8 of the cores this process may use.";
        poll_micros: u32 = 0, "shardPollMicros", Allowed::number(0, 1_000_000, "us"), Restart, false,
            "RingMQ: how long an idle shard spins before it sleeps; 0 saves the core, 300 the wake-ups while messages come.";

        ["Store"]
        store_path_root_dir: String = "data".into(), "storePathRootDir", Allowed::Path, Restart, true,
            "Directory of all data, relative to the working directory (Apache: store in the home directory).";
        commit_log_count: u16 = 0, "commitLogCount", Allowed::number(0, 256, "logs"), Restart, true,
            "RingMQ: number of message logs, fixed when the store is created; 0 takes one per shard.";
        mapped_file_size_commit_log: u32 = 1 << 30, "mappedFileSizeCommitLog",
            Allowed::number(64 << 10, i32::MAX as i64, "bytes"), Restart, true,
            "Size of one file of the message log; a new log takes 256 MiB of it within seconds, the rest as messages come.";
        flush_disk_type: FlushDiskType = FlushDiskType::Async, "flushDiskType", Allowed::Words(FlushDiskType::WORDS),
            Restart, true,
            "SYNC_FLUSH answers a send when it survives power loss, ASYNC_FLUSH when it survives kill -9.";
        flush_interval_commit_log_ms: u32 = 500, "flushIntervalCommitLog", Allowed::number(1, MS_MAX, "ms"), Restart, false,
            "ASYNC_FLUSH: longest time between a write and the flush of the device.";
        transient_store_pool_enable: bool = false, "transientStorePoolEnable", Allowed::Flag, Restart, false,
            "With ASYNC_FLUSH: answer a send when it is in memory; kill -9 may lose it.";
        tail_memory_bytes: u32 = 64 * MIB, "tailMemory", Allowed::number(2 * MIB as i64, MS_MAX, "bytes"), Restart, false,
            "RingMQ: newest messages of one log kept in memory for consumers that keep up.";
        max_message_size: u32 = 4 * MIB, "maxMessageSize", Allowed::number(1, 64 << 20, "bytes"), Restart, true,
            "Largest message body.";
        file_reserved_time_hours: u32 = 72, "fileReservedTime", Allowed::number(1, 876_000, "hours"), Live, true,
            "Age at which whole files of the message log are removed, at any hour (Apache: at deleteWhen, or above diskMaxUsedSpaceRatio), up to 10 per log in 10 s.";
        disk_space_clean_forcibly_ratio: u8 = 85, "diskSpaceCleanForciblyRatio",
            Allowed::number(10, 100, "percent"), Live, true,
            "Share of the disk above which the oldest files go before their age.";
        flush_consumer_offset_interval_ms: u32 = 5000, "flushConsumerOffsetInterval", Allowed::number(10, MS_MAX, "ms"),
            Live, false,
            "Time between two writes of the consumers' progress.";

        ["Topics and groups"]
        auto_create_topic_enable: bool = true, "autoCreateTopicEnable", Allowed::Flag, Live, true,
            "Whether a send to an unknown topic creates it from the template TBW102.";
        default_topic_queue_nums: u32 = 8, "defaultTopicQueueNums", Allowed::number(1, 65535, "queues"), Restart, true,
            "Queues of the template TBW102; a client asks for at most 4 of them unless told otherwise.";
        auto_create_subscription_group: bool = true, "autoCreateSubscriptionGroup", Allowed::Flag, Live, true,
            "Whether an unknown consumer group is created when it first appears.";
        system_groups_by_use: bool = true, "enableCreateSysGroup", Allowed::Flag, Live, false,
            "Whether a consumer group CID_RMQ_SYS_... is created then even with autoCreateSubscriptionGroup=false.";
        cluster_topic_enable: bool = true, "clusterTopicEnable", Allowed::Flag, Restart, false,
            "Whether the topic with the cluster's name may be read and written.";
        broker_topic_enable: bool = true, "brokerTopicEnable", Allowed::Flag, Restart, false,
            "Whether the topic with the broker's name may be read and written.";
        trace_topic_enable: bool = false, "traceTopicEnable", Allowed::Flag, Restart, false,
            "Whether the topic for message traces exists from the start.";
        msg_trace_topic_name: String = "RMQ_SYS_TRACE_TOPIC".into(), "msgTraceTopicName", Allowed::Text, Restart, false,
            "Name of the topic for message traces.";
        validate_system_topic_when_update_topic: bool = true, "validateSystemTopicWhenUpdateTopic", Allowed::Flag,
            Live, false,
            "Whether tools are refused changes of system topics.";
        topics_max: u32 = 200_000, "topicsMax", Allowed::number(1_000, 10_000_000, "topics"), Live, false,
            "RingMQ: no further topic is created above this number; one takes about 300 bytes of memory.";
        groups_max: u32 = 200_000, "subscriptionGroupsMax", Allowed::number(1_000, 10_000_000, "groups"), Live, false,
            "RingMQ: no further consumer group is created above this number.";

        ["Sending"]
        broker_permission: i32 = 6, "brokerPermission", Allowed::number(0, 7, "bits (4 read, 2 write)"), Live, true,
            "What routes allow of all topics; 4 drains the broker: producers turn to others with their next route, and sends to ordered topics are refused.";
        trace_on: bool = true, "traceOn", Allowed::Flag, Live, false,
            "What answers to sends tell the client about tracing.";
        start_accept_send_request_at_ms: i64 = 0, "startAcceptSendRequestTimeStamp", Allowed::number(0, i64::MAX, "ms since 1970"),
            Live, false,
            "Sends before this time are refused.";
        send_stage_tracing: bool = false, "sendStageTracing", Allowed::Flag, Live, false,
            "RingMQ: time the stages of sends; getBrokerRuntimeInfo then shows them as sendStage.*, from zero each time it is turned on.";

        ["Consuming"]
        long_polling_enable: bool = true, "longPollingEnable", Allowed::Flag, Live, true,
            "Whether a pull that finds nothing waits for a message as long as the client allows.";
        short_polling_time_ms: u32 = 1000, "shortPollingTimeMills", Allowed::number(0, MS_MAX, "ms"), Live, false,
            "How long it waits when longPollingEnable is false.";
        lite_pull_message_enable: bool = true, "litePullMessageEnable", Allowed::Flag, Live, false,
            "Whether lite pull consumers are served.";
        max_transfer_bytes_in_memory: u32 = 256 * KIB, "maxTransferBytesOnMessageInMemory",
            Allowed::number(1, 64 << 20, "bytes"), Live, false,
            "Size of one pull answer from memory; at least one message goes out whatever its size.";
        max_transfer_count_in_memory: u32 = 32, "maxTransferCountOnMessageInMemory", Allowed::number(1, 65535, "messages"),
            Live, false,
            "Messages of one pull answer from memory.";
        access_message_in_memory_max_ratio: u32 = 40, "accessMessageInMemoryMaxRatio",
            Allowed::number(0, 100, "percent"), Live, false,
            "Share of the machine's memory behind the end of a log up to which messages count as in memory.";
        max_transfer_bytes_on_disk: u32 = 64 * KIB, "maxTransferBytesOnMessageInDisk", Allowed::number(1, 64 << 20, "bytes"),
            Live, false,
            "Size of one pull answer from disk.";
        max_transfer_count_on_disk: u32 = 8, "maxTransferCountOnMessageInDisk", Allowed::number(1, 65535, "messages"), Live, false,
            "Messages of one pull answer from disk.";
        default_query_max_num: u32 = 32, "defaultQueryMaxNum", Allowed::number(1, 1024, "messages"), Live, false,
            "Messages of one answer to a query by unique key.";
        notify_consumer_ids_changed_enable: bool = true, "notifyConsumerIdsChangedEnable", Allowed::Flag, Live, true,
            "Whether the members of a group are told at once when it changes.";

        ["Connections and timers"]
        channel_expired_timeout_ms: u64 = 120_000, "channelExpiredTimeout", Allowed::number(1_000, MS_MAX, "ms"), Live, false,
            "A client without heartbeat for this time is forgotten.";
        server_channel_max_idle_seconds: u32 = 120, "serverChannelMaxIdleTimeSeconds", Allowed::number(1, 86_400, "s"),
            Restart, false,
            "A connection without traffic for this time is closed.";
        register_namesrv_period_ms: u32 = 30_000, "registerNameServerPeriod", Allowed::number(10_000, 60_000, "ms"), Live, false,
            "Time between two registrations with the name servers.";
        register_broker_timeout_ms: u32 = 24_000, "registerBrokerTimeoutMills", Allowed::number(100, MS_MAX, "ms"), Live, false,
            "Longest wait for a name server's answer.";
        force_register: bool = true, "forceRegister", Allowed::Flag, Live, false,
            "Whether the periodic registration is sent even when the name server has everything.";
    }
}
