//! Groups of one kind, and which of them each connection speaks for.

use ringmq_runtime::random::{HashMap, HashSet};

use super::{Client, GroupMembers, HeartbeatError, Member};
use crate::link::ConnectionKey;

/// A group: whatever else it keeps, it has members.
pub(super) trait HasMembers: Default {
    fn members(&self) -> &GroupMembers;
    fn members_mut(&mut self) -> &mut GroupMembers;
    /// Bytes of what it keeps besides.
    fn weight(&self) -> usize;
}

/// The groups of one kind that have members.
#[derive(Debug)]
pub(super) struct Table<G> {
    groups: HashMap<String, G>,
    by_connection: HashMap<ConnectionKey, Carried>,
    len: usize,
    weight: usize,
}

/// Whom a connection speaks for.
#[derive(Debug, Default)]
struct Carried {
    /// How many members of which groups were last heard of on it.
    groups: HashMap<String, usize>,
    members: usize,
}

impl<G> Default for Table<G> {
    fn default() -> Self {
        Self { groups: HashMap::default(), by_connection: HashMap::default(), len: 0, weight: 0 }
    }
}

impl<G: HasMembers> Table<G> {
    /// Entries of all groups.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of what all groups keep besides members.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// A group changed what it keeps.
    pub(super) fn weighs(&mut self, before: usize, after: usize) {
        self.weight = self.weight - before + after;
    }

    pub(super) fn get(&self, group: &str) -> Option<&G> {
        self.groups.get(group)
    }

    pub(super) fn get_mut(&mut self, group: &str) -> Option<&mut G> {
        self.groups.get_mut(group)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &G)> {
        self.groups.iter()
    }

    /// Whether a member was last heard of on this connection.
    pub(super) fn has(&self, connection: ConnectionKey) -> bool {
        self.by_connection.contains_key(&connection)
    }

    /// How many members were last heard of on this connection.
    pub(super) fn members_of(&self, connection: ConnectionKey) -> usize {
        self.by_connection.get(&connection).map_or(0, |carried| carried.members)
    }

    /// Enters a client into a group, or takes note that it lives, maybe on another connection.
    /// Returns the group, and whether the client is new there.
    pub(super) fn heartbeat(
        &mut self,
        group: &str,
        client: &Client,
        clock_ms: u64,
        has_room: bool,
    ) -> Result<(&mut G, bool), HeartbeatError> {
        let known = self.groups.get_mut(group).and_then(|of| of.members_mut().get_mut(&client.id));
        let former = match known {
            Some(member) => {
                let former = member.client.connection;
                member.client.clone_from(client);
                member.seen_at_clock_ms = clock_ms;
                Some(former)
            }
            None if has_room => None,
            None => return Err(HeartbeatError::Members),
        };
        if former != Some(client.connection) {
            former.into_iter().for_each(|former| self.forget(former, group));
            let carried = self.by_connection.entry(client.connection).or_default();
            *carried.groups.entry(group.to_owned()).or_default() += 1;
            carried.members += 1;
        }
        // Twice looked up rather than copied: the name is in the table nearly always.
        if !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), G::default());
        }
        let of = self.groups.get_mut(group).expect("it was put there");
        if former.is_none() {
            let member =
                Member { client: client.clone(), seen_at_clock_ms: clock_ms, fingerprint: 0 };
            of.members_mut().insert(client.id.clone(), member);
            self.len += 1;
        }
        Ok((of, former.is_none()))
    }

    /// Removes a client from a group, and the group with its last member; `false` when the client
    /// was not in it.
    pub(super) fn remove(&mut self, group: &str, client_id: &str) -> bool {
        let Some(of) = self.groups.get_mut(group) else { return false };
        let Some(member) = of.members_mut().remove(client_id) else { return false };
        self.len -= 1;
        if of.members().is_empty() {
            self.weight -= of.weight();
            self.groups.remove(group);
        }
        self.forget(member.client.connection, group);
        true
    }

    /// Removes those who were last heard of on a connection, whole groups, until `members_max`
    /// members were looked at; returns their groups, sorted.
    pub(super) fn remove_connection(
        &mut self,
        connection: ConnectionKey,
        members_max: usize,
    ) -> Vec<String> {
        let carried = self.by_connection.get(&connection);
        let (mut gone, mut looked_at) = (Vec::new(), 0);
        for group in carried.into_iter().flat_map(|carried| carried.groups.keys()) {
            let members = self.groups.get(group).map(HasMembers::members).expect("it has members");
            looked_at += members.len();
            let leave = members.values().filter(|member| member.client.connection == connection);
            gone.extend(leave.map(|member| (group.clone(), member.client.id.clone())));
            if looked_at >= members_max {
                break;
            }
        }
        self.remove_all(gone)
    }

    /// Removes those who were not heard of since `before_clock_ms`, whole groups, until there are
    /// `members_max`; returns their groups, sorted, and adds their connections to `silent`.
    pub(super) fn expire(
        &mut self,
        before_clock_ms: u64,
        members_max: usize,
        silent: &mut HashSet<ConnectionKey>,
    ) -> Vec<String> {
        let mut gone = Vec::new();
        for (group, of) in &self.groups {
            let members = of.members().values();
            for member in members.filter(|member| member.seen_at_clock_ms < before_clock_ms) {
                silent.insert(member.client.connection);
                gone.push((group.clone(), member.client.id.clone()));
            }
            if gone.len() >= members_max {
                break;
            }
        }
        self.remove_all(gone)
    }

    fn remove_all(&mut self, gone: Vec<(String, String)>) -> Vec<String> {
        let mut groups = Vec::with_capacity(gone.len());
        for (group, client_id) in gone {
            self.remove(&group, &client_id);
            groups.push(group);
        }
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// A connection speaks for one member less of a group.
    fn forget(&mut self, connection: ConnectionKey, group: &str) {
        let carried = self.by_connection.get_mut(&connection).expect("a member was heard of on it");
        let members = carried.groups.get_mut(group).expect("a member of this group was");
        *members -= 1;
        if *members == 0 {
            carried.groups.remove(group);
        }
        carried.members -= 1;
        if carried.members == 0 {
            self.by_connection.remove(&connection);
        }
    }
}
