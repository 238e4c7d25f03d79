//! The route table: which broker has which queues of which topic, and who is alive.
//!
//! Pure: time and connections are passed in, what has to be told to brokers is handed back. The
//! rules are those of Apache's name server (its `RouteInfoManager`); where it loses or leaks
//! something, a comment says what we do instead. How brokers leave is in `departures`; what clients
//! ask of the table is in [`crate::views`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ringmq_protocol::bodies::route::QueueData;
use ringmq_protocol::bodies::topic::{DataVersion, TopicConfig, TopicQueueMappingInfo};
use ringmq_protocol::names::{MASTER_ID, perm};
use ringmq_runtime::clock::Instant;

use crate::admission::{TOPICS_MAX, check_names, name_in_mapping};
use crate::by_broker::ByBroker;
use crate::registration::{MasterAddresses, MinIdChange, RegisterError, Registered, Registration};

/// Time after which a broker that does not register again is gone, unless it asked for another.
pub const BROKER_EXPIRY: Duration = Duration::from_secs(120);

/// Settings that change the rules; the name server's configuration sets them, also while it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteRules {
    /// `deleteTopicWithBrokerRegistration`: a topic that a full registration lacks is removed.
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

    /// Takes a registration, full or incremental, at `now`.
    ///
    /// # Errors
    /// See [`RegisterError`]; nothing has changed then.
    pub fn register(
        &mut self,
        broker: &Registration<'_>,
        now: Instant,
    ) -> Result<Registered, RegisterError> {
        self.check_admission(broker)?;
        if self.is_superseded(broker) {
            // Apache's answer to the loser of a master switch: success, but nothing happens, and
            // its live record goes, so that its connection no longer stands for the address.
            self.live.remove(&broker.key());
            return Ok(Registered::default());
        }
        let joined = self.join_group(broker);
        self.take_topics(broker, joined.is_new_id);
        self.refresh(broker, now);
        Ok(Registered {
            master: self.master_of(broker),
            min_id_change: self.joined_as_min(broker, joined.previous_min),
        })
    }

    /// Another address holds the id with a higher state version: the newcomer lost a switch.
    fn is_superseded(&self, broker: &Registration<'_>) -> bool {
        let group = self.groups.get(broker.broker_name);
        let Some(holder) = group.and_then(|group| group.addresses.get(&broker.broker_id)) else {
            return false;
        };
        if holder == broker.address {
            return false;
        }
        let key = BrokerKey { cluster: broker.cluster.to_owned(), address: holder.clone() };
        self.live.get(&key).is_some_and(|holder| {
            holder.data_version.state_version > broker.data_version.state_version
        })
    }

    fn join_group(&mut self, broker: &Registration<'_>) -> Joined {
        let names = self.clusters.entry(broker.cluster.to_owned()).or_default();
        names.insert(broker.broker_name.to_owned());
        let group = self.groups.entry(broker.broker_name.to_owned()).or_insert_with(|| {
            BrokerGroup { cluster: broker.cluster.to_owned(), ..BrokerGroup::default() }
        });
        group.enable_acting_master = broker.enable_acting_master.unwrap_or(false);
        group.zone = broker.zone.map(str::to_owned);
        let previous_min = group.min().map(|(id, _)| id);
        // A slave that became master, or the other way round: one address, one id.
        group.addresses.retain(|id, address| *id == broker.broker_id || address != broker.address);
        let replaced = group.addresses.insert(broker.broker_id, broker.address.to_owned());
        Joined { is_new_id: replaced.is_none(), previous_min }
    }

    /// Writes the topic table, from a master or from the slave that stands in for one.
    fn take_topics(&mut self, broker: &Registration<'_>, is_new_id: bool) {
        let group = &self.groups[broker.broker_name];
        let is_master = broker.broker_id == MASTER_ID;
        let is_prime_slave = !is_master
            && broker.enable_acting_master.is_some()
            && group.min().is_some_and(|(id, _)| id == broker.broker_id);
        if !is_master && !is_prime_slave {
            return;
        }
        let is_acting_master = is_prime_slave && group.enable_acting_master;
        if self.rules.delete_topic_with_registration
            && broker.mappings.is_none_or(BTreeMap::is_empty)
        {
            self.remove_topics_not_in(broker.broker_name, broker.topics);
        }
        let is_changed =
            is_new_id || self.is_changed(broker.cluster, broker.address, &broker.data_version);
        for (topic, config) in broker.topics {
            let mut queues = Queues::of(config);
            if is_acting_master {
                queues.perm &= !perm::WRITE;
            }
            // Same version: what an administrator changed here (wiped write permission) stays.
            let known = self.topics.get(topic);
            let is_known = known.is_some_and(|known| known.contains_key(broker.broker_name));
            if is_changed || !is_known {
                self.topics.insert(topic, broker.broker_name, queues);
            }
        }
        if is_changed {
            for (topic, mapping) in broker.mappings.into_iter().flatten() {
                self.mappings.insert(topic, name_in_mapping(broker, mapping), mapping.clone());
            }
        }
    }

    fn remove_topics_not_in(&mut self, broker_name: &str, keep: &BTreeMap<String, TopicConfig>) {
        self.topics.retain(|topic, name| name != broker_name || keep.contains_key(topic));
    }

    fn refresh(&mut self, broker: &Registration<'_>, now: Instant) {
        let key = broker.key();
        if let Some(servers) = broker.filter_servers {
            match servers.is_empty() {
                true => self.filter_servers.remove(&key),
                false => self.filter_servers.insert(key.clone(), servers.to_vec()),
            };
        }
        let live = LiveBroker {
            last_seen: now,
            timeout: broker.timeout.unwrap_or(BROKER_EXPIRY),
            data_version: broker.data_version,
            connection: broker.connection,
            ha_address: broker.ha_address.to_owned(),
        };
        if self.live.insert(key, live).is_none() {
            let (name, id, address) = (broker.broker_name, broker.broker_id, broker.address);
            tracing::info!(cluster = broker.cluster, name, id, address, "broker registered");
        }
    }

    fn master_of(&self, broker: &Registration<'_>) -> Option<MasterAddresses> {
        if broker.broker_id == MASTER_ID {
            return None;
        }
        let address = self.groups[broker.broker_name].addresses.get(&MASTER_ID)?.clone();
        let key = BrokerKey { cluster: broker.cluster.to_owned(), address };
        let ha_address = self.live.get(&key)?.ha_address.clone();
        Some(MasterAddresses { address: key.address, ha_address })
    }

    fn joined_as_min(
        &self,
        broker: &Registration<'_>,
        previous_min: Option<i64>,
    ) -> Option<MinIdChange> {
        if broker.broker_id >= previous_min? {
            return None;
        }
        let addresses = &self.groups[broker.broker_name].addresses;
        // Alone it hears of it itself, otherwise the others do.
        let others = addresses.values().filter(|address| *address != broker.address);
        let mut recipients: Vec<_> = others.cloned().collect();
        if recipients.is_empty() {
            recipients.push(broker.address.to_owned());
        }
        Some(MinIdChange {
            broker_name: broker.broker_name.to_owned(),
            min_broker_id: broker.broker_id,
            min_broker_address: broker.address.to_owned(),
            offline_address: None,
            ha_address: Some(broker.ha_address.to_owned()),
            recipients,
        })
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

/// What joining its group told about a broker.
struct Joined {
    is_new_id: bool,
    previous_min: Option<i64>,
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
