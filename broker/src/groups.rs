//! Who is connected: producers and consumers, by group and client id.
//!
//! Pure tables; the caller gives connections, heartbeats and the time, and sends what follows from
//! the answers. States of a client: absent, a member (after a heartbeat), absent again
//! (unregistered, its connection closed, or silent for longer than the expiry).
//!
//! Invariants:
//! - A client id is at most once in a group. A client that reconnects takes over its own entry, so
//!   its old connection may close later without removing it (Apache lists such a client twice for a
//!   while, and every member then computes a wrong share of the queues).
//! - `by_connection` names exactly the entries whose `connection` it is.
//! - A consumer group exists while it has members; its subscriptions are those of the newest full
//!   heartbeat (last writer wins, as in Apache: members of one group must subscribe alike).
//!
//! Times are monotonic milliseconds.

use crate::link::ConnectionKey;
use ringmq_protocol::bodies::heartbeat::{
    ConsumeFromWhere, ConsumeType, ConsumerData, MessageModel, SubscriptionData,
};
use ringmq_runtime::random::{HashMap, HashSet};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Group entries of all clients together; a heartbeat beyond it is refused. About 300 MiB.
pub const MEMBERS_MAX: usize = 1_000_000;

/// A client as its heartbeats describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name, unique among clients.
    pub id: String,
    /// The connection of its last heartbeat.
    pub connection: ConnectionKey,
    /// Its address.
    pub address: SocketAddr,
    /// Its language, as the wire names it.
    pub language: &'static str,
    /// Its version ordinal.
    pub version: i32,
}

/// One client in one group.
#[derive(Debug)]
pub struct Member {
    /// Who.
    pub client: Client,
    /// When it was last heard of.
    pub seen_at_ms: u64,
    /// Fingerprint of the subscriptions it last sent in full; 0 when it sends them each time.
    fingerprint: i32,
}

/// A consumer group with members.
#[derive(Debug, Default)]
pub struct Consumers {
    /// How members get messages.
    pub consume_type: ConsumeType,
    /// How members share a topic.
    pub message_model: MessageModel,
    /// Where members start without progress.
    pub consume_from_where: ConsumeFromWhere,
    /// By client id.
    pub members: BTreeMap<String, Member>,
    /// By topic.
    pub subscriptions: BTreeMap<String, Arc<SubscriptionData>>,
}

impl Consumers {
    /// Every member reads every queue.
    pub fn is_broadcasting(&self) -> bool {
        self.message_model == MessageModel::Broadcasting
    }
}

/// A producer group with members, by client id.
pub type Producers = BTreeMap<String, Member>;

/// What a consumer heartbeat changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Members or subscribed topics changed: the other members must rebalance.
    pub must_notify: bool,
    /// Something that pulls look at changed: subscriptions, model, or the group appeared.
    pub must_publish: bool,
    /// The broker lacks the subscriptions behind this heartbeat's fingerprint: ask for the full
    /// form.
    pub wants_full: bool,
}

/// All members of all groups.
#[derive(Debug, Default)]
pub struct Members {
    consumers: HashMap<String, Consumers>,
    producers: HashMap<String, Producers>,
    by_connection: HashMap<ConnectionKey, Groups>,
    count: usize,
}

#[derive(Debug, Default)]
struct Groups {
    consumers: HashSet<String>,
    producers: HashSet<String>,
}

/// No room for a further entry: [`MEMBERS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Groups that lost members.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Consumer groups, sorted; those without members left are gone from the table.
    pub consumers: Vec<String>,
    /// Producer groups, sorted.
    pub producers: Vec<String>,
}

impl Members {
    /// A producer group of a heartbeat.
    ///
    /// # Errors
    /// The table is full.
    pub fn producer_beat(&mut self, group: &str, client: &Client, now_ms: u64) -> Result<(), Full> {
        let members = self.producers.entry(group.to_owned()).or_default();
        if let Some(member) = members.get_mut(&client.id) {
            if member.client.connection != client.connection {
                forget(&mut self.by_connection, member.client.connection, |groups| {
                    groups.producers.remove(group);
                });
            }
            member.client.clone_from(client);
            member.seen_at_ms = now_ms;
        } else if self.count < MEMBERS_MAX {
            members.insert(client.id.clone(), Member::new(client, now_ms));
            self.count += 1;
        } else {
            if members.is_empty() {
                self.producers.remove(group);
            }
            return Err(Full);
        }
        let groups = self.by_connection.entry(client.connection).or_default();
        groups.producers.insert(group.to_owned());
        Ok(())
    }

    /// A consumer group of a heartbeat. `is_short`: its subscriptions were left out because
    /// `fingerprint` says that they are the same as before.
    ///
    /// # Errors
    /// The table is full.
    pub fn consumer_beat(
        &mut self,
        data: &ConsumerData,
        client: &Client,
        fingerprint: i32,
        is_short: bool,
        now_ms: u64,
    ) -> Result<Registered, Full> {
        let name = &data.group_name;
        let is_new_group = !self.consumers.contains_key(name);
        let is_known = self.consumers.get(name).is_some_and(|g| g.members.contains_key(&client.id));
        if !is_known && self.count >= MEMBERS_MAX {
            return Err(Full);
        }
        let group = self.consumers.entry(name.clone()).or_default();
        if let Some(member) = group.members.get(&client.id)
            && member.client.connection != client.connection
        {
            forget(&mut self.by_connection, member.client.connection, |groups| {
                groups.consumers.remove(name);
            });
        }
        let groups = self.by_connection.entry(client.connection).or_default();
        groups.consumers.insert(name.clone());
        self.count += usize::from(!is_known);

        let mut registered = group.beat(data, client, fingerprint, is_short, now_ms);
        registered.must_notify |= !is_known;
        registered.must_publish |= is_new_group;
        Ok(registered)
    }

    /// Makes the next short heartbeat of each member be answered with the wish for a full one.
    ///
    /// The fingerprint leaves out versions of subscriptions. A Java client that changes nothing but
    /// a version (after each rebalance) sends one full heartbeat for it; when that one is skipped
    /// because another was under way, the version would never come and all its pulls be refused.
    pub fn want_full_beats(&mut self, group: &str) {
        let Some(consumers) = self.consumers.get_mut(group) else { return };
        for member in consumers.members.values_mut() {
            member.fingerprint = 0;
        }
    }

    /// Removes a client from one group of each kind, as `UNREGISTER_CLIENT` asks.
    pub fn unregister(
        &mut self,
        client_id: &str,
        producer: Option<&str>,
        consumer: Option<&str>,
    ) -> Left {
        let mut left = Left::default();
        if let Some(group) = producer
            && let Some(member) = self.producers.get_mut(group).and_then(|g| g.remove(client_id))
        {
            forget(&mut self.by_connection, member.client.connection, |groups| {
                groups.producers.remove(group);
            });
            left.producers.push(group.to_owned());
        }
        if let Some(group) = consumer
            && let Some(member) =
                self.consumers.get_mut(group).and_then(|g| g.members.remove(client_id))
        {
            forget(&mut self.by_connection, member.client.connection, |groups| {
                groups.consumers.remove(group);
            });
            left.consumers.push(group.to_owned());
        }
        self.count -= left.producers.len() + left.consumers.len();
        self.drop_empty(&left);
        left
    }

    /// Removes everyone who was last heard of on this connection.
    pub fn connection_closed(&mut self, connection: ConnectionKey) -> Left {
        let Some(groups) = self.by_connection.remove(&connection) else { return Left::default() };
        let mut left = Left::default();
        for group in groups.consumers {
            let Some(consumers) = self.consumers.get_mut(&group) else { continue };
            let before = consumers.members.len();
            consumers.members.retain(|_, member| member.client.connection != connection);
            self.count -= before - consumers.members.len();
            left.consumers.push(group);
        }
        for group in groups.producers {
            let Some(producers) = self.producers.get_mut(&group) else { continue };
            let before = producers.len();
            producers.retain(|_, member| member.client.connection != connection);
            self.count -= before - producers.len();
            left.producers.push(group);
        }
        left.consumers.sort_unstable();
        left.producers.sort_unstable();
        self.drop_empty(&left);
        left
    }

    /// Removes entries that were not heard of since `before_ms`, and names the connections that
    /// carried nothing else: their owner closes them.
    pub fn expire(&mut self, before_ms: u64) -> (Left, Vec<ConnectionKey>) {
        let mut gone = Vec::new();
        for (group, consumers) in &self.consumers {
            for member in consumers.members.values().filter(|m| m.seen_at_ms < before_ms) {
                gone.push((member.client.clone(), None, Some(group.clone())));
            }
        }
        for (group, members) in &self.producers {
            for member in members.values().filter(|member| member.seen_at_ms < before_ms) {
                gone.push((member.client.clone(), Some(group.clone()), None));
            }
        }
        let (mut left, mut silent) = (Left::default(), HashSet::default());
        for (client, producer, consumer) in gone {
            let one = self.unregister(&client.id, producer.as_deref(), consumer.as_deref());
            left.consumers.extend(one.consumers);
            left.producers.extend(one.producers);
            silent.insert(client.connection);
        }
        for groups in [&mut left.consumers, &mut left.producers] {
            groups.sort_unstable();
            groups.dedup();
        }
        let mut silent: Vec<_> =
            silent.into_iter().filter(|key| !self.is_registered(*key)).collect();
        silent.sort_unstable();
        (left, silent)
    }

    /// A consumer group that has members.
    pub fn consumers(&self, group: &str) -> Option<&Consumers> {
        self.consumers.get(group)
    }

    /// Consumer groups that have members, in no order.
    pub fn all_consumers(&self) -> impl Iterator<Item = (&String, &Consumers)> {
        self.consumers.iter()
    }

    /// A producer group that has members.
    pub fn producers(&self, group: &str) -> Option<&Producers> {
        self.producers.get(group)
    }

    /// Producer groups that have members, in no order.
    pub fn all_producers(&self) -> impl Iterator<Item = (&String, &Producers)> {
        self.producers.iter()
    }

    /// Whether anyone was registered through this connection.
    pub fn is_registered(&self, connection: ConnectionKey) -> bool {
        self.by_connection.contains_key(&connection)
    }

    fn drop_empty(&mut self, left: &Left) {
        for group in &left.consumers {
            if self.consumers.get(group).is_some_and(|consumers| consumers.members.is_empty()) {
                self.consumers.remove(group);
            }
        }
        for group in &left.producers {
            if self.producers.get(group).is_some_and(BTreeMap::is_empty) {
                self.producers.remove(group);
            }
        }
    }
}

impl Member {
    fn new(client: &Client, now_ms: u64) -> Self {
        Self { client: client.clone(), seen_at_ms: now_ms, fingerprint: 0 }
    }
}

impl Consumers {
    fn beat(
        &mut self,
        data: &ConsumerData,
        client: &Client,
        fingerprint: i32,
        is_short: bool,
        now_ms: u64,
    ) -> Registered {
        let member =
            self.members.entry(client.id.clone()).or_insert_with(|| Member::new(client, now_ms));
        member.client.clone_from(client);
        member.seen_at_ms = now_ms;
        if is_short {
            let wants_full = member.fingerprint != fingerprint;
            return Registered { wants_full, ..Registered::default() };
        }
        // A full form under another fingerprint than the stored one is news to the client too
        // (Apache's rule).
        let wants_full = member.fingerprint != 0 && member.fingerprint != fingerprint;
        member.fingerprint = fingerprint;

        let mut must_publish =
            self.consume_type != data.consume_type || self.message_model != data.message_model;
        self.consume_type = data.consume_type;
        self.message_model = data.message_model;
        self.consume_from_where = data.consume_from_where;
        let (topics_changed, versions_changed) = self.subscribe(&data.subscription_data_set);
        must_publish |= topics_changed || versions_changed;
        Registered { must_notify: topics_changed, must_publish, wants_full }
    }

    /// Takes over the subscriptions of a full heartbeat; says whether topics, or only expressions,
    /// changed.
    fn subscribe(&mut self, wanted: &[SubscriptionData]) -> (bool, bool) {
        let (mut topics_changed, mut versions_changed) = (false, false);
        for subscription in wanted {
            match self.subscriptions.get(&subscription.topic) {
                None => topics_changed = true,
                Some(known) if subscription.sub_version > known.sub_version => {
                    versions_changed = true;
                }
                Some(_) => continue,
            }
            self.subscriptions.insert(subscription.topic.clone(), Arc::new(subscription.clone()));
        }
        let before = self.subscriptions.len();
        let topics: HashSet<&str> = wanted.iter().map(|one| one.topic.as_str()).collect();
        self.subscriptions.retain(|topic, _| topics.contains(topic.as_str()));
        topics_changed |= self.subscriptions.len() != before;
        (topics_changed, versions_changed)
    }
}

fn forget(
    by_connection: &mut HashMap<ConnectionKey, Groups>,
    connection: ConnectionKey,
    remove: impl FnOnce(&mut Groups),
) {
    let Some(groups) = by_connection.get_mut(&connection) else { return };
    remove(groups);
    if groups.consumers.is_empty() && groups.producers.is_empty() {
        by_connection.remove(&connection);
    }
}

#[cfg(test)]
mod tests;
