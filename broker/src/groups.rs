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
//! - A table's `by_connection` names exactly the members whose `connection` it is, by group.
//! - A consumer group exists while it has members; its subscriptions are those of the newest full
//!   heartbeat (last writer wins, as in Apache: members of one group must subscribe alike).
//! - What a heartbeat would take beyond a limit is found before anything of its group changes.
//!
//! Producers and consumers are in two tables of one type. Times are milliseconds of the
//! monotonic clock.

use std::ops::Bound;

use ringmq_protocol::bodies::heartbeat::ConsumerData;
use ringmq_runtime::random::HashSet;

use crate::link::ConnectionKey;
use crate::shares::is_fair;
use subscriptions::Subscriptions;
use table::{Place, Table};

mod member;
pub mod subscriptions;
mod table;

pub use member::{Client, ConsumerGroup, GroupMembers, Member};

/// Group entries of all clients together; a heartbeat beyond it is refused. About 400 MiB.
pub const MEMBERS_MAX: usize = 1_000_000;

/// The part of the free entries that the clients of one connection may have: alone 111,111.
const MEMBERS_PART: usize = 8;

/// Members of a table that leave in one step, about 1 ms, and that a look for the silent has at
/// once, about 0.1 ms.
const LEAVING_AT_ONCE_MAX: usize = 1 << 10;

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

/// The groups that have members, with these.
#[derive(Debug, Default)]
pub struct LiveGroups {
    consumers: Table<ConsumerGroup>,
    producers: Table<GroupMembers>,
}

/// Why a heartbeat's group was not taken; nothing of the group has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeartbeatError {
    /// No room for a further member of this connection: [`MEMBERS_MAX`].
    #[error(
        "of {MEMBERS_MAX} members of groups that this broker has room for, one connection may have \
         one part in {MEMBERS_PART} of what is free"
    )]
    Members,
    /// The group subscribes to more than [`subscriptions::TOPICS_MAX`] topics.
    #[error(
        "a group subscribes to at most {max} topics, this one to {0}",
        max = subscriptions::TOPICS_MAX
    )]
    Topics(usize),
    /// A subscription names more than [`subscriptions::TAGS_MAX`] tags.
    #[error(
        "a subscription names at most {max} tags, this one {0}: subscribe to more of them with *",
        max = subscriptions::TAGS_MAX
    )]
    Tags(usize),
    /// No room for larger subscriptions: [`subscriptions::ALL_MAX_BYTES`].
    #[error(
        "the subscriptions of all groups may take {max} MiB, {0} bytes more do not fit",
        max = subscriptions::ALL_MAX_BYTES >> 20
    )]
    Subscriptions(usize),
}

/// How far a look for silent clients has come; begin with the default.
#[derive(Debug, Default)]
pub struct Look {
    consumers: Place,
    producers: Place,
}

impl Look {
    /// Whether all were looked at.
    pub fn is_over(&self) -> bool {
        self.consumers.is_end && self.producers.is_end
    }
}

/// Groups that lost members.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Consumer groups, sorted; those without members left are gone from the table.
    pub consumers: Vec<String>,
    /// Producer groups, sorted.
    pub producers: Vec<String>,
}

impl Left {
    /// Whether nobody left.
    pub fn is_empty(&self) -> bool {
        self.consumers.is_empty() && self.producers.is_empty()
    }
}

impl LiveGroups {
    /// A producer group of a heartbeat.
    ///
    /// # Errors
    /// The table is full.
    pub fn producer_heartbeat(
        &mut self,
        group: &str,
        client: &Client,
        clock_ms: u64,
    ) -> Result<(), HeartbeatError> {
        let has_room = self.has_room(client.connection);
        self.producers.heartbeat(group, client, clock_ms, has_room).map(drop)
    }

    /// A consumer group of a heartbeat. `is_short`: its subscriptions were left out because
    /// `fingerprint` says that they are the same as before.
    ///
    /// # Errors
    /// The table is full, or the subscriptions are too large.
    pub fn consumer_heartbeat(
        &mut self,
        data: &ConsumerData,
        client: &Client,
        fingerprint: i32,
        is_short: bool,
        clock_ms: u64,
    ) -> Result<Registered, HeartbeatError> {
        let has_room = self.has_room(client.connection);
        let wanted = if is_short { None } else { Some(self.subscriptions_after(data)?) };
        let (group, is_new) =
            self.consumers.heartbeat(&data.group_name, client, clock_ms, has_room)?;
        // A group exists while it has members.
        let is_new_group = is_new && group.members.len() == 1;
        let before_bytes = group.subscriptions.bytes();
        let mut registered = group.take(data, &client.id, fingerprint, wanted);
        registered.must_notify |= is_new;
        registered.must_publish |= is_new_group;
        let after_bytes = group.subscriptions.bytes();
        self.consumers.bytes_changed(before_bytes, after_bytes);
        Ok(registered)
    }

    /// The subscriptions of a group once a full heartbeat was taken over.
    fn subscriptions_after(&self, data: &ConsumerData) -> Result<Subscriptions, HeartbeatError> {
        let mut tags = data.subscription_data_set.iter().map(subscriptions::tags_in);
        if let Some(tags) = tags.find(|tags| *tags > subscriptions::TAGS_MAX) {
            return Err(HeartbeatError::Tags(tags));
        }
        let before = self.consumers.get(&data.group_name).map(|group| &group.subscriptions);
        let after = Subscriptions::merge(before, &data.subscription_data_set);
        if after.len() > subscriptions::TOPICS_MAX {
            return Err(HeartbeatError::Topics(after.len()));
        }
        // Never refused to those who grow nothing.
        let more = after.bytes().saturating_sub(before.map_or(0, Subscriptions::bytes));
        if more > 0 && self.consumers.bytes() + more > subscriptions::ALL_MAX_BYTES {
            return Err(HeartbeatError::Subscriptions(more));
        }
        Ok(after)
    }

    fn has_room(&self, of: ConnectionKey) -> bool {
        let has = self.consumers.members_of(of) + self.producers.members_of(of);
        is_fair(has + 1, MEMBERS_PART, self.len() + 1, MEMBERS_MAX)
    }

    /// Entries of all groups.
    pub fn len(&self) -> usize {
        self.consumers.len() + self.producers.len()
    }

    /// Whether nobody is a member of anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has the next short heartbeat of members answered with the wish for a full one: of at most
    /// `count` behind the client id `last`. Says who was the last of them, if there may be more.
    ///
    /// The fingerprint leaves out versions of subscriptions. A Java client that changes nothing but
    /// a version (after each rebalance) sends one full heartbeat for it; when that one is skipped
    /// because another was under way, the version would never come and all its pulls be refused.
    pub fn want_full_heartbeats(
        &mut self,
        group: &str,
        last: &str,
        count: usize,
    ) -> Option<String> {
        let members = &mut self.consumers.get_mut(group)?.members;
        let mut asked = None;
        for (id, member) in members.range_mut::<str, _>(behind(last)).take(count) {
            member.fingerprint = 0;
            asked = Some(id);
        }
        asked.cloned()
    }

    /// Removes a client from one group of each kind, as `UNREGISTER_CLIENT` asks.
    pub fn unregister(
        &mut self,
        client_id: &str,
        producer: Option<&str>,
        consumer: Option<&str>,
    ) -> Left {
        let producers = producer.filter(|group| self.producers.remove(group, client_id));
        let consumers = consumer.filter(|group| self.consumers.remove(group, client_id));
        let names = |group: Option<&str>| group.map(str::to_owned).into_iter().collect();
        Left { consumers: names(consumers), producers: names(producers) }
    }

    /// Removes those who were last heard of on this connection, some at a time: until nobody was.
    /// How many others their groups have does not matter.
    pub fn connection_closed(&mut self, connection: ConnectionKey) -> Left {
        let consumers = self.consumers.remove_connection(connection, LEAVING_AT_ONCE_MAX);
        let producers = self.producers.remove_connection(connection, LEAVING_AT_ONCE_MAX);
        Left { consumers, producers }
    }

    /// Looks at the next entries, and removes those that were not heard of since `before_clock_ms`.
    /// Names the connections that carried nothing else: their owner closes them.
    ///
    /// Also where nobody is silent there may be a million to look at. Who joins behind the look is
    /// not silent.
    pub fn expire_next(
        &mut self,
        look: &mut Look,
        before_clock_ms: u64,
    ) -> (Left, Vec<ConnectionKey>) {
        let mut silent = HashSet::default();
        let (count, before_ms) = (LEAVING_AT_ONCE_MAX, before_clock_ms);
        let Look { consumers, producers } = look;
        let consumers = self.consumers.expire_next(consumers, count, before_ms, &mut silent);
        let producers = self.producers.expire_next(producers, count, before_ms, &mut silent);
        let left = Left { consumers, producers };
        let mut silent: Vec<_> =
            silent.into_iter().filter(|connection| !self.is_registered(*connection)).collect();
        silent.sort_unstable();
        (left, silent)
    }

    /// A consumer group that has members.
    pub fn consumers(&self, group: &str) -> Option<&ConsumerGroup> {
        self.consumers.get(group)
    }

    /// Consumer groups that have members, sorted.
    pub fn all_consumers(&self) -> impl Iterator<Item = (&String, &ConsumerGroup)> {
        self.consumers.iter()
    }

    /// A producer group that has members.
    pub fn producers(&self, group: &str) -> Option<&GroupMembers> {
        self.producers.get(group)
    }

    /// Producer groups that have members, sorted.
    pub fn all_producers(&self) -> impl Iterator<Item = (&String, &GroupMembers)> {
        self.producers.iter()
    }

    /// Whether anyone was registered through this connection.
    pub fn is_registered(&self, connection: ConnectionKey) -> bool {
        self.consumers.has(connection) || self.producers.has(connection)
    }
}

/// The members behind a client id, as a range; the empty one is behind none.
pub fn behind(id: &str) -> (Bound<&str>, Bound<&str>) {
    (Bound::Excluded(id), Bound::Unbounded)
}

#[cfg(test)]
mod tests;
