//! How brokers leave the route table: one that says so, those of a closed connection, those that
//! were not heard of in time.
//!
//! Many can leave at once, and topics are many: what their going does to the topics is gathered
//! ([`Departures`]) and done in one pass over the table, however many they are.

use std::collections::{BTreeMap, BTreeSet};

use ringmq_protocol::names::perm;
use ringmq_runtime::clock::Instant;

use crate::registration::MinIdChange;
use crate::routes::{BrokerGroup, BrokerKey, LiveBroker, RouteTable};

/// Broker names whose topics are to be changed since addresses left.
#[derive(Default)]
struct Departures {
    /// Without any address: their topics go.
    emptied: BTreeSet<String>,
    /// Without a master, and a slave stands in: their topics are read-only.
    read_only: BTreeSet<String>,
}

impl RouteTable {
    /// Removes one address; with the last one the broker name and its topics go.
    pub fn unregister(&mut self, cluster: &str, name: &str, address: &str) -> Option<MinIdChange> {
        let key = BrokerKey { cluster: cluster.to_owned(), address: address.to_owned() };
        let mut departures = Departures::default();
        let change = self.remove_address(&key, name, &mut departures);
        self.change_topics_after(&departures);
        change
    }

    /// The connection is gone, and with it every broker that registered on it last.
    pub fn connection_closed(&mut self, connection: u64) -> Vec<MinIdChange> {
        let gone = |broker: &LiveBroker| broker.connection == connection;
        self.remove_where(gone).1
    }

    /// Removes brokers that were not heard of in time. Returns their connections, which should be
    /// closed, and what changed.
    pub fn expire(&mut self, now: Instant) -> (Vec<u64>, Vec<MinIdChange>) {
        self.remove_where(|broker| now.saturating_since(broker.last_seen) > broker.timeout)
    }

    fn remove_where(&mut self, gone: impl Fn(&LiveBroker) -> bool) -> (Vec<u64>, Vec<MinIdChange>) {
        let gone = self.live.iter().filter(|(_, broker)| gone(broker));
        let gone: Vec<_> = gone.map(|(key, broker)| (key.clone(), broker.connection)).collect();
        if gone.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let connections = gone.iter().map(|(_, connection)| *connection).collect();
        let names = self.names_by_address();
        let mut departures = Departures::default();
        let changes = gone.iter().filter_map(|(key, _)| match names.get(key) {
            Some(name) => self.remove_address(key, name, &mut departures),
            None => {
                // Its name went with another cluster's registration of the address.
                self.forget(key);
                None
            }
        });
        let changes = changes.collect();
        self.change_topics_after(&departures);
        (connections, changes)
    }

    /// The broker name of each address; the first one where it has several.
    fn names_by_address(&self) -> BTreeMap<BrokerKey, String> {
        let mut by_address = BTreeMap::new();
        for (cluster, names) in &self.clusters {
            for name in names {
                for address in self.groups[name].addresses.values() {
                    let key = BrokerKey { cluster: cluster.clone(), address: address.clone() };
                    by_address.entry(key).or_insert_with(|| name.clone());
                }
            }
        }
        by_address
    }

    fn forget(&mut self, key: &BrokerKey) {
        self.live.remove(key);
        self.filter_servers.remove(key);
    }

    /// Takes an address from its group. What that means for topics goes to `departures`; whom to
    /// tell of a new smallest id is returned.
    fn remove_address(
        &mut self,
        key: &BrokerKey,
        name: &str,
        departures: &mut Departures,
    ) -> Option<MinIdChange> {
        self.forget(key);
        let group = self.groups.get_mut(name)?;
        let previous_min = group.min().map(|(id, _)| id);
        let before = group.addresses.len();
        group.addresses.retain(|_, member| *member != key.address);
        if group.addresses.len() == before {
            return None;
        }
        tracing::info!(cluster = key.cluster, name, address = key.address, "broker gone");
        let Some((min_broker_id, _)) = group.min() else {
            departures.emptied.insert(name.to_owned());
            return None;
        };
        if !group.enable_acting_master {
            return None;
        }
        if !group.has_master() {
            departures.read_only.insert(name.to_owned());
        }
        (previous_min != Some(min_broker_id)).then(|| left_as_min(name, group, &key.address))
    }

    fn change_topics_after(&mut self, Departures { emptied, read_only }: &Departures) {
        if !emptied.is_empty() {
            self.remove_groups(emptied);
        }
        if read_only.iter().any(|name| !emptied.contains(name)) {
            self.change_permission(|name| read_only.contains(name), |perm| perm & !perm::WRITE);
        }
    }

    fn remove_groups(&mut self, gone: &BTreeSet<String>) {
        self.groups.retain(|name, _| !gone.contains(name));
        self.clusters.retain(|_, names| {
            names.retain(|name| !gone.contains(name));
            !names.is_empty()
        });
        self.topics.retain(|_, broker| !gone.contains(broker));
        // Apache keeps the mappings for ever.
        self.mappings.retain(|_, broker| !gone.contains(broker));
    }
}

/// What the members of a group hear when its smallest id, at `offline`, left.
fn left_as_min(name: &str, group: &BrokerGroup, offline: &str) -> MinIdChange {
    let (min_broker_id, min_address) = group.min().expect("members are left");
    MinIdChange {
        broker_name: name.to_owned(),
        min_broker_id,
        min_broker_address: min_address.clone(),
        offline_address: Some(offline.to_owned()),
        ha_address: None,
        recipients: group.addresses.values().cloned().collect(),
    }
}
