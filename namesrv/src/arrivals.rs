//! How brokers join the route table, and say again that they are in it.

use std::collections::BTreeMap;

use ringmq_protocol::bodies::topic::TopicConfig;
use ringmq_protocol::names::{MASTER_ID, perm};
use ringmq_runtime::clock::Instant;

use crate::admission::name_in_mapping;
use crate::registration::{MasterAddresses, MinIdChange, RegisterError, Registered, Registration};
use crate::routes::{BROKER_EXPIRY, BrokerGroup, BrokerKey, LiveBroker, Queues, RouteTable};

/// What joining its group told about a broker.
struct Joined {
    is_new_id: bool,
    previous_min: Option<i64>,
}

impl RouteTable {
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
        // Of one topic it is a change of that topic: every broker has several. Apache removes all
        // others.
        if self.rules.delete_topic_with_registration
            && broker.topics.len() != 1
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
}
