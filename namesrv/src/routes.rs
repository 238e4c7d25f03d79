//! The route table: which broker has which queues of which topic, and who is alive.
//!
//! Pure: time and connections are passed in, what has to be told to brokers is handed back. The
//! rules are those of Apache's name server (its `RouteInfoManager`); where it loses or leaks
//! something, a comment says what we do instead. How brokers join is in `arrivals`, how they leave
//! in `departures`; what clients ask of the table is in [`crate::views`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ringmq_protocol::bodies::route::QueueData;
use ringmq_protocol::bodies::topic::{DataVersion, TopicConfig, TopicQueueMappingInfo};
use ringmq_protocol::names::{MASTER_ID, perm};
use ringmq_runtime::clock::Instant;

use crate::admission::{TOPICS_MAX, check_names};
use crate::by_broker::ByBroker;
use crate::registration::RegisterError;

/// Time after which a broker that does not register again is gone, unless it asked for another.
pub const BROKER_EXPIRY: Duration = Duration::from_secs(120);

/// Settings that change the rules; the name server's configuration sets them, also while it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteRules {
    /// `deleteTopicWithBrokerRegistration`: a topic that a registration lacks is removed, unless
    /// that is of one topic, and so of a change.
    pub delete_topic_with_registration: bool,
    /// `supportActingMaster`: routes show the smallest slave as master where there is none.
    pub support_acting_master: bool,
}

/// A broker address within its cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BrokerKey {
    pub cluster: String,
    pub address: String,
}

/// A broker name: a master and its slaves.
#[derive(Debug, Default)]
pub(crate) struct BrokerGroup {
    pub cluster: String,
    pub addresses: BTreeMap<i64, String>,
    pub enable_acting_master: bool,
    pub zone: Option<String>,
}

/// Queues of one topic on one broker name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queues {
    pub read: i32,
    pub write: i32,
    pub perm: i32,
    pub sys_flag: i32,
}

/// What is known of a live broker address.
#[derive(Debug)]
pub(crate) struct LiveBroker {
    pub last_seen: Instant,
    pub timeout: Duration,
    pub data_version: DataVersion,
    pub connection: u64,
    pub ha_address: String,
}

/// The table. All maps are ordered, so answers are the same for the same registrations.
#[derive(Default)]
pub struct RouteTable {
    pub(crate) rules: RouteRules,
    /// Topic, then broker name.
    pub(crate) topics: ByBroker<Queues>,
    pub(crate) groups: BTreeMap<String, BrokerGroup>,
    /// Cluster, then broker names.
    pub(crate) clusters: BTreeMap<String, BTreeSet<String>>,
    pub(crate) live: BTreeMap<BrokerKey, LiveBroker>,
    pub(crate) filter_servers: BTreeMap<BrokerKey, Vec<String>>,
    /// Topic, then broker name, of static topics.
    pub(crate) mappings: ByBroker<TopicQueueMappingInfo>,
}

impl BrokerGroup {
    pub(crate) fn min(&self) -> Option<(i64, &String)> {
        self.addresses.first_key_value().map(|(id, address)| (*id, address))
    }

    pub(crate) fn has_master(&self) -> bool {
        self.addresses.contains_key(&MASTER_ID)
    }
}

impl RouteTable {
    /// Replaces the settings; they apply from the next registration or answer on.
    pub fn set_rules(&mut self, rules: RouteRules) {
        self.rules = rules;
    }

    /// Whether a broker's topic table differs from the one it registered last.
    pub fn is_changed(&self, cluster: &str, address: &str, version: &DataVersion) -> bool {
        self.data_version(cluster, address) != Some(version)
    }

    /// The version of the table that a broker registered last.
    pub fn data_version(&self, cluster: &str, address: &str) -> Option<&DataVersion> {
        let key = BrokerKey { cluster: cluster.to_owned(), address: address.to_owned() };
        self.live.get(&key).map(|broker| &broker.data_version)
    }

    /// A sign of life: postpones the expiry of a registered broker.
    pub fn heartbeat(&mut self, cluster: &str, address: &str, now: Instant) {
        let key = BrokerKey { cluster: cluster.to_owned(), address: address.to_owned() };
        if let Some(broker) = self.live.get_mut(&key) {
            broker.last_seen = now;
        }
    }

    /// Takes the write permission from all queues of a broker name; returns how many topics.
    pub fn wipe_write_permission(&mut self, broker_name: &str) -> i32 {
        self.change_permission(|name| name == broker_name, |perm| perm & !perm::WRITE)
    }

    /// Makes all queues of a broker name readable and writable; returns how many topics.
    pub fn add_write_permission(&mut self, broker_name: &str) -> i32 {
        self.change_permission(|name| name == broker_name, |_| perm::READ_WRITE)
    }

    /// Changes the permission of the brokers that are `wanted`; returns of how many topics, counted
    /// once for each of them.
    pub(crate) fn change_permission(
        &mut self,
        wanted: impl Fn(&str) -> bool,
        change: impl Fn(i32) -> i32,
    ) -> i32 {
        let count = self.topics.change(wanted, |queues| queues.perm = change(queues.perm));
        i32::try_from(count).unwrap_or(i32::MAX)
    }

    /// Adds the queues of one topic (217). A broker that is not registered ends the list: nothing
    /// of a new topic is kept then, of a known one what came before.
    ///
    /// # Errors
    /// `TooManyTopics`, `TooManyRoutes`, `NameTooLong`; nothing has changed then.
    pub fn register_topic(
        &mut self,
        topic: &str,
        queues: &[QueueData],
    ) -> Result<(), RegisterError> {
        check_names([topic])?;
        let is_known = self.topics.contains(topic);
        if !is_known && self.topics.len() >= TOPICS_MAX {
            return Err(RegisterError::TooManyTopics);
        }
        let mut accepted = BTreeMap::new();
        for queues in queues {
            let broker_name = queues.broker_name.as_str();
            if !self.groups.contains_key(broker_name) {
                tracing::warn!(topic, broker_name, "queues of an unknown broker ignored");
                if !is_known {
                    return Ok(());
                }
                break;
            }
            accepted.insert(broker_name, Queues::of_data(queues));
        }
        self.check_growth(accepted.iter().map(|(name, queues)| (topic, *name, *queues)))?;
        for (broker_name, queues) in accepted {
            self.topics.insert(topic, broker_name, queues);
        }
        Ok(())
    }

    /// Removes a topic, everywhere or from one cluster.
    pub fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let Some(cluster) = cluster else {
            return self.topics.retain_of(topic, |_| false);
        };
        if let Some(names) = self.clusters.get(cluster) {
            self.topics.retain_of(topic, |name| !names.contains(name));
        }
    }
}

impl Queues {
    fn of_data(data: &QueueData) -> Self {
        Self {
            read: data.read_queue_nums,
            write: data.write_queue_nums,
            perm: data.perm,
            sys_flag: data.topic_sys_flag,
        }
    }

    pub(crate) fn of(config: &TopicConfig) -> Self {
        Self {
            read: config.read_queue_nums,
            write: config.write_queue_nums,
            perm: config.perm,
            sys_flag: config.topic_sys_flag,
        }
    }
}

#[cfg(test)]
mod tests;
