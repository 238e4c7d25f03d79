//! Configuration of the name server: one row per key, Apache's file and keys.
//!
//! Order, later wins: defaults, the file given with `-c`, changes made while running (318, kept
//! beside the key-value file in `namesrv.overrides.properties`), the command line. The user's file
//! is read and never written.

use std::path::PathBuf;
use std::time::Duration;

use crate::properties::{Entry, Properties, ValueError, write_entry};
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

/// When a change of a key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// At once, also through a request (318).
    Live,
    /// At the next start.
    Restart,
}

/// One key, for people and for `conf/namesrv.conf`.
#[derive(Debug)]
pub struct Row {
    /// The key, in Apache's spelling.
    pub key: &'static str,
    /// Type, unit and range.
    pub allowed: &'static str,
    /// When a change takes effect.
    pub scope: Scope,
    /// What it does.
    pub sentence: &'static str,
}

/// Reads a value of one type and writes it back.
trait Value: Sized {
    fn read(entry: &Entry, min: i64, max: i64) -> Result<Self, ValueError>;
    fn write(&self) -> String;
}

impl Value for bool {
    fn read(entry: &Entry, _: i64, _: i64) -> Result<Self, ValueError> {
        entry.boolean()
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    fn read(entry: &Entry, _: i64, _: i64) -> Result<Self, ValueError> {
        match entry.value.trim() {
            "" => Err(entry.refused("some text")),
            text => Ok(text.to_owned()),
        }
    }

    fn write(&self) -> String {
        self.clone()
    }
}

impl Value for i64 {
    fn read(entry: &Entry, min: i64, max: i64) -> Result<Self, ValueError> {
        entry.number(min..=max)
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// Turns the rows into [`Config`] and [`ROWS`].
macro_rules! config {
    ($( $field:ident: $type:ty = $default:expr, $key:literal,
        $allowed:literal $(($min:literal to $max:literal))?,
        $scope:ident, $sentence:literal; )*) => {
        /// All values, typed.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $( #[doc = concat!("`", $key, "`: ", $sentence)] pub $field: $type, )*
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        /// Every key that the name server acts on.
        pub static ROWS: &[Row] = &[ $( Row {
            key: $key,
            allowed: $allowed,
            scope: Scope::$scope,
            sentence: $sentence,
        }, )* ];

        impl Config {
            /// Sets one key; false when there is no such row.
            fn assign(&mut self, entry: &Entry) -> Result<bool, ValueError> {
                match entry.key.as_str() {
                    $( $key => self.$field = range!(entry $(, $min, $max)?)?, )*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            /// Keys and values in the order of the rows.
            pub fn entries(&self) -> Vec<(&'static str, String)> {
                vec![ $( ($key, self.$field.write()), )* ]
            }
        }
    };
}

macro_rules! range {
    ($entry:ident) => {
        Value::read($entry, i64::MIN, i64::MAX)
    };
    ($entry:ident, $min:literal, $max:literal) => {
        Value::read($entry, $min, $max)
    };
}

config! {
    listen_port: i64 = 9876, "listenPort", "port, 1 to 65535" (1 to 65535), Restart,
        "Port for brokers, clients and tools.";
    bind_address: String = "0.0.0.0".to_owned(), "bindAddress", "IP address", Restart,
        "Address that the port is opened on.";
    kv_config_path: String = default_path("kvConfig.json"), "kvConfigPath", "path", Restart,
        "File of the key-value configuration; changes made by requests are kept beside it.";
    scan_interval_ms: i64 = 5000, "scanNotActiveBrokerInterval",
        "number of ms, 100 to 3600000" (100 to 3_600_000), Live,
        "How often brokers that were not heard of in time are looked for.";
    idle_seconds: i64 = 120, "serverChannelMaxIdleTimeSeconds",
        "number of seconds, 1 to 86400" (1 to 86_400), Restart,
        "Connections on which nothing moves for so long are closed.";
    order_message_enable: bool = false, "orderMessageEnable", "true or false", Live,
        "Routes carry the queue list of ordered topics.";
    return_order_topics: bool = true, "returnOrderTopicConfigToBroker", "true or false", Live,
        "Brokers get the queue lists of ordered topics when they register.";
    support_acting_master: bool = false, "supportActingMaster", "true or false", Live,
        "Routes show the smallest slave as master where there is none.";
    notify_min_broker_id: bool = false, "notifyMinBrokerIdChanged", "true or false", Live,
        "Brokers of a group are told when its smallest id changes.";
    enable_all_topic_list: bool = true, "enableAllTopicList", "true or false", Live,
        "The list of all topics is given out.";
    enable_topic_list: bool = true, "enableTopicList", "true or false", Live,
        "Lists of topics by cluster and of unit topics are given out.";
    delete_topics: bool = false, "deleteTopicWithBrokerRegistration", "true or false", Live,
        "A topic that a broker's full registration lacks is removed from its routes.";
    need_wait_for_service: bool = false, "needWaitForService", "true or false", Live,
        "No routes are given out for a while after the start.";
    wait_seconds: i64 = 45, "waitSecondsForService",
        "number of seconds, 0 to 3600" (0 to 3600), Live,
        "How long needWaitForService waits.";
    config_black_list: String = FORBIDDEN_BY_REQUEST[..3].join(";"), "configBlackList",
        "keys separated by ;", Restart,
        "Keys that no request may change.";
}

/// Apache's default place: `namesrv` in the home directory.
fn default_path(file: &str) -> String {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    home.join("namesrv").join(file).to_string_lossy().into_owned()
}

/// What reading a file had to say besides the values.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Unknown keys, each with its line.
    pub unknown: Vec<String>,
    /// Keys of Apache's that have no effect here.
    pub without_effect: Vec<String>,
}

/// Why a change by a request was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The key is on the black list.
    #[error("the key {0} cannot be changed by a request")]
    Forbidden(String),
    /// The value does not fit.
    #[error(transparent)]
    Value(#[from] ValueError),
}

impl Config {
    /// Applies a file.
    ///
    /// # Errors
    /// The first value that does not fit: its key, its line, what is allowed.
    pub fn apply(&mut self, file: &Properties) -> Result<Notes, ValueError> {
        let mut notes = Notes::default();
        for entry in file.entries() {
            if self.assign(entry)? {
                continue;
            }
            if WITHOUT_EFFECT.contains(&entry.key.as_str()) {
                notes.without_effect.push(entry.key.clone());
            } else if entry.key == "enableControllerInNamesrv" {
                if entry.boolean()? {
                    return Err(entry.refused("false: this name server has no controller"));
                }
            } else {
                notes.unknown.push(format!("line {}: {}", entry.line, entry.key));
            }
        }
        self.check_address(file)?;
        Ok(notes)
    }

    fn check_address(&self, file: &Properties) -> Result<(), ValueError> {
        match file.get("bindAddress") {
            Some(entry) if self.bind_address.parse::<core::net::IpAddr>().is_err() => {
                Err(entry.refused("an IP address such as 0.0.0.0 or ::"))
            }
            _ => Ok(()),
        }
    }

    /// Applies a change made by a request, whole or not at all; unknown keys are ignored, as in
    /// Apache. Returns the entries that changed something.
    ///
    /// # Errors
    /// A forbidden key, or a value that does not fit.
    pub fn update(&mut self, change: &Properties) -> Result<Vec<Entry>, UpdateError> {
        let black_list: Vec<&str> = self.config_black_list.split(';').map(str::trim).collect();
        let is_forbidden =
            |key: &str| FORBIDDEN_BY_REQUEST.contains(&key) || black_list.contains(&key);
        if let Some(entry) = change.entries().iter().find(|entry| is_forbidden(&entry.key)) {
            return Err(UpdateError::Forbidden(entry.key.clone()));
        }
        let mut next = self.clone();
        let mut applied = Vec::new();
        for entry in change.entries() {
            if next.assign(entry)? {
                applied.push(entry.clone());
            }
        }
        next.check_address(change)?;
        *self = next;
        Ok(applied)
    }

    /// All keys with their values as a properties text (319, `-p`).
    pub fn to_properties(&self) -> String {
        let mut text = String::new();
        for (key, value) in self.entries() {
            write_entry(&mut text, key, &value);
        }
        text
    }

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
        Duration::from_secs(seconds.unsigned_abs())
    }

    /// A sample file: every key commented out with its default, range and meaning.
    pub fn sample_file() -> String {
        let mut text = String::from(
            "# Settings of mqnamesrv, Java properties. Every key with its default.\n\
             # Start it with: mqnamesrv -c FILE\n",
        );
        let defaults = Self { kv_config_path: "~/namesrv/kvConfig.json".into(), ..Self::default() };
        for (row, (key, value)) in ROWS.iter().zip(defaults.entries()) {
            let scope = match row.scope {
                Scope::Live => "at once",
                Scope::Restart => "at the next start",
            };
            let (sentence, allowed) = (row.sentence, row.allowed);
            text.push_str(&format!("\n# {sentence}\n# {allowed}; changes take effect {scope}\n#"));
            write_entry(&mut text, key, &value);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(text: &str) -> Properties {
        Properties::parse(text.as_bytes()).expect("readable")
    }

    #[test]
    fn a_file_sets_values_and_names_what_it_does_not_know() {
        let mut config = Config::default();
        let file = "listenPort=19876\nserverWorkerThreads=8\n\nlistenProt=1\nenableTopicList=FALSE";
        let notes = config.apply(&properties(file)).expect("valid");
        assert_eq!((config.listen_port, config.enable_topic_list), (19876, false));
        assert_eq!(notes.unknown, ["line 4: listenProt"]);
        assert_eq!(notes.without_effect, ["serverWorkerThreads"]);
    }

    #[test]
    fn wrong_values_are_refused_with_their_line() {
        for (file, expected) in [
            ("a=1\nlistenPort=0", "line 2: listenPort = \"0\": expected a whole number from 1"),
            ("orderMessageEnable=1", "line 1: orderMessageEnable = \"1\": expected true or false"),
            ("bindAddress=here", "expected an IP address such as"),
            ("enableControllerInNamesrv=true", "this name server has no controller"),
        ] {
            let error = Config::default().apply(&properties(file)).expect_err("refused");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn requests_change_all_their_keys_or_none() {
        let mut config = Config::default();
        let applied = config.update(&properties("waitSecondsForService=5\nnoSuchKey=1"));
        assert_eq!(applied.expect("valid").len(), 1);
        assert_eq!(config.wait_seconds, 5);
        let change = properties("waitSecondsForService=6\nenableTopicList=maybe");
        assert!(matches!(config.update(&change), Err(UpdateError::Value(_))));
        for key in FORBIDDEN_BY_REQUEST {
            let change = properties(&format!("waitSecondsForService=7\n{key}=x"));
            assert_eq!(config.update(&change), Err(UpdateError::Forbidden((*key).to_owned())));
        }
        assert_eq!(config.wait_seconds, 5);
    }

    #[test]
    fn the_printed_configuration_reads_back_the_same() {
        let config = Config { listen_port: 1234, ..Config::default() };
        let mut again = Config::default();
        again.apply(&properties(&config.to_properties())).expect("valid");
        assert_eq!(again, config);
        assert_eq!(properties(&Config::sample_file()).entries(), []);
    }

    #[test]
    fn the_sample_file_in_the_tree_is_the_one_made_from_the_rows() {
        let in_tree = include_str!("../../conf/namesrv.conf");
        assert!(
            in_tree == Config::sample_file(),
            "conf/namesrv.conf is old; run: cargo xtask conf"
        );
    }
}
