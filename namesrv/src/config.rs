//! Configuration of the name server: one row per key, Apache's file and keys.
//!
//! Order, later wins: defaults, the file given with `-c`, changes made while running (318, kept
//! beside the key-value file in `namesrv.overrides.properties`), the command line. The user's file
//! is read and never written.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use ringmq_settings::{Allowed, Class, Rules, settings, template, tls};

use crate::routes::RouteRules;

/// Keys of Apache's that are accepted and have nothing to configure here: thread pools, queues in
/// front of them, Netty.
const WITHOUT_EFFECT: &[&str] = &[
    "clientCallbackExecutorThreads",
    "clientRequestThreadPoolNums",
    "clientRequestThreadPoolQueueCapacity",
    "clusterTest",
    "configStorePath",
    "defaultThreadPoolNums",
    "defaultThreadPoolQueueCapacity",
    "enableShutdownGracefully",
    "productEnvName",
    "rocketmqHome",
    "serverAsyncSemaphoreValue",
    "serverCallbackExecutorThreads",
    "serverNettyWorkerGroupEnable",
    "serverOnewaySemaphoreValue",
    "serverPooledByteBufAllocatorEnable",
    "serverSelectorThreads",
    "serverSocketBacklog",
    "serverSocketRcvBufSize",
    "serverSocketSndBufSize",
    "serverWorkerThreads",
    "shutdownWaitTimeSeconds",
    "unRegisterBrokerQueueCapacity",
    "useEpollNativeSelector",
    "writeBufferHighWaterMark",
    "writeBufferLowWaterMark",
];

/// Keys that no request may change (318), besides those of `configBlackList`.
const FORBIDDEN_BY_REQUEST: &[&str] =
    &["configBlackList", "configStorePath", "kvConfigPath", "rocketmqHome"];

/// Switches on a controller in this process, which is not there.
const CONTROLLER: &str = "enableControllerInNamesrv";

settings! {
    /// All values, typed.
    Config {
        ["Addresses"]
        listen_port: u16 = 9876, "listenPort", Allowed::number(1, 65535, "port"), Restart, true,
            "Port for brokers, clients and tools.";
        bind_address: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED), "bindAddress", Allowed::Address,
            Restart, false,
            "Address that the port is opened on.";

        ["Files"]
        kv_config_path: String = default_path("kvConfig.json"), "kvConfigPath", Allowed::Path,
            Restart, true,
            "File of the key-value configuration; changes made by requests are kept beside it.";

        ["Brokers"]
        scan_interval_ms: u64 = 5000, "scanNotActiveBrokerInterval",
            Allowed::number(100, 3_600_000, "ms"), Live, false,
            "How often brokers that were not heard of in time are looked for.";
        idle_seconds: u64 = 120, "serverChannelMaxIdleTimeSeconds",
            Allowed::number(1, 86_400, "s"), Restart, false,
            "Connections on which nothing moves for so long are closed.";
        delete_topics: bool = false, "deleteTopicWithBrokerRegistration", Allowed::Flag, Live, false,
            "A topic that a broker's registration of several lacks leaves its routes; not for RingMQ brokers, which register in parts.";
        return_order_topics: bool = true, "returnOrderTopicConfigToBroker", Allowed::Flag, Live,
            false,
            "Brokers get the queue lists of ordered topics when they register.";
        support_acting_master: bool = false, "supportActingMaster", Allowed::Flag, Live, false,
            "Routes show the smallest slave as master where there is none.";
        notify_min_broker_id: bool = false, "notifyMinBrokerIdChanged", Allowed::Flag, Live, false,
            "Brokers of a group are told when its smallest id changes.";

        ["Clients and tools"]
        order_message_enable: bool = false, "orderMessageEnable", Allowed::Flag, Live, false,
            "Routes carry the queue list of ordered topics.";
        enable_all_topic_list: bool = true, "enableAllTopicList", Allowed::Flag, Live, false,
            "The list of all topics is given out.";
        enable_topic_list: bool = true, "enableTopicList", Allowed::Flag, Live, false,
            "Lists of topics by cluster and of unit topics are given out.";
        need_wait_for_service: bool = false, "needWaitForService", Allowed::Flag, Live, false,
            "No routes are given out for a while after the start.";
        wait_seconds: u64 = 45, "waitSecondsForService", Allowed::number(0, 3600, "s"), Live, false,
            "How long needWaitForService waits.";
        config_black_list: String = FORBIDDEN_BY_REQUEST[..3].join(";"), "configBlackList",
            Allowed::Text, Restart, false,
            "Keys that no request may change, with ; between them.";
    }
}

/// Apache's default place: `namesrv` in the home directory.
fn default_path(file: &str) -> String {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    home.join("namesrv").join(file).to_string_lossy().into_owned()
}

const SAMPLE_HEAD: &str = "\
# Settings of the RingMQ name server, with their defaults. Generated by `cargo xtask conf`; do not
# edit.
#
# Format: Java properties with Apache RocketMQ's keys. Uncomment a line to change it and start with
# `mqnamesrv -c FILE`. Keys marked 'live' can also be changed while the name server runs, with
# Apache's `mqadmin updateNamesrvConfig -n IP:PORT -k KEY -v VALUE`.
";

/// The whole of `conf/namesrv.conf`.
pub fn sample_file() -> String {
    let kv_config_path = "~/namesrv/kvConfig.json".to_owned();
    template::sample(SAMPLE_HEAD, &Config { kv_config_path, ..Config::default() })
}

impl Rules for Config {
    fn accepted() -> impl Iterator<Item = &'static str> {
        WITHOUT_EFFECT.iter().copied().chain([CONTROLLER]).chain(tls::all())
    }

    fn class(key: &str) -> Option<Class> {
        if key == CONTROLLER {
            return Some(Class::Promise(&["false"]));
        }
        let is_without_effect = WITHOUT_EFFECT.contains(&key);
        is_without_effect.then_some(Class::NothingToConfigure).or_else(|| tls::class(key))
    }

    fn is_forbidden(&self, key: &str) -> bool {
        let mut black_list = self.config_black_list.split(';').map(str::trim);
        FORBIDDEN_BY_REQUEST.contains(&key) || black_list.any(|listed| listed == key)
    }
}

impl Config {
    /// Where changes made by requests are kept.
    pub fn overrides_path(&self) -> PathBuf {
        PathBuf::from(&self.kv_config_path).with_file_name("namesrv.overrides.properties")
    }

    /// The settings that change the rules of the route table.
    pub fn route_rules(&self) -> RouteRules {
        RouteRules {
            delete_topic_with_registration: self.delete_topics,
            support_acting_master: self.support_acting_master,
        }
    }

    /// `needWaitForService` as the time after the start in which no routes are given out.
    pub fn silent_time(&self) -> Duration {
        let seconds = if self.need_wait_for_service { self.wait_seconds } else { 0 };
        Duration::from_secs(seconds)
    }
}

#[cfg(test)]
mod tests {
    use ringmq_settings::{Notes, Properties};

    use super::*;

    fn properties(text: &str) -> Properties {
        Properties::parse(text.as_bytes()).expect("readable")
    }

    #[test]
    fn a_file_sets_values_and_names_what_it_does_not_know() {
        let (mut config, mut notes) = (Config::default(), Notes::default());
        let file = "listenPort=19876\nserverWorkerThreads=8\n\nlistenProt=1\nenableTopicList=FALSE";
        config.apply(&properties(file), &mut notes).expect("valid");
        assert_eq!((config.listen_port, config.enable_topic_list), (19876, false));
        let warning = "line 4: unknown key listenProt, ignored; did you mean listenPort?";
        assert_eq!(notes, Notes { warnings: vec![warning.into()], unknown: 1, ..Notes::default() });
    }

    #[test]
    fn wrong_values_are_refused_with_their_line() {
        for (file, expected) in [
            ("a=1\nlistenPort=0", "line 2: listenPort = \"0\": expected a whole number from 1"),
            ("bindAddress=here", "line 1: bindAddress = \"here\": expected an IP address such as"),
            ("kvConfigPath=", "line 1: kvConfigPath = \"\": expected path"),
            ("enableControllerInNamesrv=true", "this version does not have it"),
            ("tls.server.mode=enforcing", "expected disabled: this version does not have it"),
        ] {
            let mut notes = Notes::default();
            let error =
                Config::default().apply(&properties(file), &mut notes).expect_err("refused");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn keys_of_the_black_list_are_not_for_requests() {
        let config = Config { config_black_list: "a; b".into(), ..Config::default() };
        for key in FORBIDDEN_BY_REQUEST.iter().chain(&["a", "b"]) {
            assert!(config.is_forbidden(key), "{key}");
        }
        assert!(!config.is_forbidden("waitSecondsForService"));
    }

    #[test]
    fn the_printed_configuration_reads_back_the_same() {
        let (config, mut again) =
            (Config { listen_port: 1234, ..Config::default() }, Config::default());
        again.apply(&properties(&config.to_properties()), &mut Notes::default()).expect("valid");
        assert_eq!(again, config);
        assert_eq!(properties(&sample_file()).entries(), []);
    }

    #[test]
    fn the_sample_file_in_the_tree_is_the_one_made_from_the_rows() {
        let in_tree = include_str!("../../conf/namesrv.conf");
        assert!(in_tree == sample_file(), "conf/namesrv.conf is old; run: cargo xtask conf");
    }
}
