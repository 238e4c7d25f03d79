//! Groups of one kind, and which of them each connection speaks for.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;

use ringmq_runtime::random::{HashMap, HashSet};

use super::{Client, GroupMembers, HeartbeatError, Member, behind};
use crate::link::ConnectionKey;

/// A group: whatever else it keeps, it has members.
pub(super) trait HasMembers: Default {
    fn members(&self) -> &GroupMembers;
    fn members_mut(&mut self) -> &mut GroupMembers;
    /// Bytes of what it keeps besides.
    fn bytes(&self) -> usize;
}

/// The groups of one kind that have members.
#[derive(Debug)]
pub(super) struct Table<G> {
    /// Sorted, so that a look at all of them can be interrupted.
    groups: BTreeMap<String, G>,
    by_connection: HashMap<ConnectionKey, Carried>,
    len: usize,
    bytes: usize,
}

/// Where a look at all members of a table has come to.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The member that was looked at last.
    group: String,
    client_id: String,
    pub(super) is_end: bool,
}

/// Whom a connection speaks for.
#[derive(Debug, Default)]
struct Carried {
    /// Which members of which groups were last heard of on it.
    groups: HashMap<String, Ids>,
    members: usize,
}

/// Client ids of one connection, nearly always one.
#[derive(Debug)]
enum Ids {
    One(String),
    Many(Box<HashSet<String>>),
}

impl Ids {
    fn add(&mut self, id: &str) {
        match self {
            Self::One(first) => {
                let both = [mem::take(first), id.to_owned()];
                *self = Self::Many(Box::new(both.into_iter().collect()));
            }
            Self::Many(ids) => {
                ids.insert(id.to_owned());
            }
        }
    }

    /// Whether none is left.
    fn remove(&mut self, id: &str) -> bool {
        match self {
            Self::One(_) => true,
            Self::Many(ids) => {
                ids.remove(id);
                ids.is_empty()
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &String> {
        let (one, many) = match self {
            Self::One(only) => (Some(only), None),
            Self::Many(ids) => (None, Some(ids.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl<G> Default for Table<G> {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), by_connection: HashMap::default(), len: 0, bytes: 0 }
    }
}

impl<G: HasMembers> Table<G> {
    /// Entries of all groups.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of what all groups keep besides members.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A group changed what it keeps.
    pub(super) fn bytes_changed(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes - before + after;
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
            former.into_iter().for_each(|former| self.forget(former, group, &client.id));
            self.by_connection.entry(client.connection).or_default().add(group, &client.id);
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
            self.bytes -= of.bytes();
            self.groups.remove(group);
        }
        self.forget(member.client.connection, group, client_id);
        true
    }

    /// Removes those who were last heard of on a connection, `members_max` at most; returns their
    /// groups, sorted.
    pub(super) fn remove_connection(
        &mut self,
        connection: ConnectionKey,
        members_max: usize,
    ) -> Vec<String> {
        let carried = self.by_connection.get(&connection);
        let members =
            carried.into_iter().flat_map(|carried| &carried.groups).flat_map(|(group, ids)| {
                ids.iter().map(move |client_id| (group.clone(), client_id.clone()))
            });
        let gone = members.take(members_max).collect();
        self.remove_all(gone)
    }

    /// Looks at the next `count` members, and removes those who were not heard of since
    /// `before_clock_ms`; returns their groups, sorted, and adds their connections to `silent`.
    pub(super) fn expire_next(
        &mut self,
        place: &mut Place,
        count: usize,
        before_clock_ms: u64,
        silent: &mut HashSet<ConnectionKey>,
    ) -> Vec<String> {
        let (mut gone, mut looked_at, mut last) = (Vec::new(), 0, None);
        let from = Bound::Included(place.group.as_str());
        let groups = self.groups.range::<str, _>((from, Bound::Unbounded));
        let members = groups.flat_map(|(group, of)| {
            let before = if *group == place.group { place.client_id.as_str() } else { "" };
            let rest = of.members().range::<str, _>(behind(before));
            rest.map(move |(id, member)| (group, id, member))
        });
        for (group, id, member) in members.take(count) {
            if member.seen_at_clock_ms < before_clock_ms {
                silent.insert(member.client.connection);
                gone.push((group.clone(), id.clone()));
            }
            looked_at += 1;
            last = Some((group, id));
        }
        let last = last.map(|(group, id)| (group.clone(), id.clone()));
        place.is_end = looked_at < count;
        if let Some((group, client_id)) = last {
            (place.group, place.client_id) = (group, client_id);
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

    /// A connection does not speak for this member of a group any more.
    fn forget(&mut self, connection: ConnectionKey, group: &str, client_id: &str) {
        let carried = self.by_connection.get_mut(&connection).expect("a member was heard of on it");
        let ids = carried.groups.get_mut(group).expect("a member of this group was");
        if ids.remove(client_id) {
            carried.groups.remove(group);
        }
        carried.members -= 1;
        if carried.members == 0 {
            self.by_connection.remove(&connection);
        }
    }
}

impl Carried {
    /// A member of a group, who is not known here.
    fn add(&mut self, group: &str, client_id: &str) {
        match self.groups.get_mut(group) {
            Some(ids) => ids.add(client_id),
            None => {
                self.groups.insert(group.to_owned(), Ids::One(client_id.to_owned()));
            }
        }
        self.members += 1;
    }
}
