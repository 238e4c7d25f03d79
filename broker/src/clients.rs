//! Connected clients: who they are, how to reach them, which queues they hold.
//!
//! Joins the pure tables of [`crate::groups`] and [`crate::locks`] with the connections behind
//! them. A [`Peer`] is kept for a connection exactly as long as a member is registered through it.

use std::cell::{Ref, RefCell, RefMut};
use std::ops::Bound;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::codes::request;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::{clock, task};

use crate::groups::{Left, LiveGroups};
use crate::link::ConnectionKey;
use crate::locks::QueueLocks;
use crate::peer::Peer;
use crate::view;

/// Members that are told of a change in one step, about 1 ms.
const TOLD_AT_ONCE_MAX: usize = 200;

/// The connected half of the control plane.
#[derive(Default)]
pub struct Clients {
    groups: RefCell<LiveGroups>,
    peers: RefCell<HashMap<ConnectionKey, Peer>>,
    locks: RefCell<QueueLocks<MessageQueue>>,
    /// Groups whose members are being told that it changed.
    changed: RefCell<HashMap<String, IsNew>>,
}

/// Whether a group changed since its members were last told.
struct IsNew(bool);

impl Clients {
    /// The groups that have members; not to be held across an await.
    pub fn groups(&self) -> Ref<'_, LiveGroups> {
        self.groups.borrow()
    }

    /// The groups that have members, to change them; [`Clients::remember`] or [`Clients::forget`]
    /// the connection afterwards.
    pub fn groups_mut(&self) -> RefMut<'_, LiveGroups> {
        self.groups.borrow_mut()
    }

    /// The lock table.
    pub fn locks(&self) -> RefMut<'_, QueueLocks<MessageQueue>> {
        self.locks.borrow_mut()
    }

    /// Keeps the way to a client that sent a heartbeat.
    pub fn remember(&self, peer: &Peer) {
        self.peers.borrow_mut().entry(peer.key()).or_insert_with(|| peer.clone());
    }

    /// Drops the ways to clients that are not registered any more.
    pub fn forget(&self, connection: ConnectionKey) {
        if !self.groups.borrow().is_registered(connection) {
            self.peers.borrow_mut().remove(&connection);
        }
    }

    /// A connection was closed: its clients are gone, some at a time, until nobody left.
    pub fn connection_closed(&self, connection: ConnectionKey) -> Left {
        self.peers.borrow_mut().remove(&connection);
        self.groups.borrow_mut().connection_closed(connection)
    }

    /// Removes clients that were silent for longer than `limit`, some at a time, until nobody left;
    /// their connections are closed.
    pub fn expire(&self, limit: Duration) -> Left {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let (left, silent) =
            self.groups.borrow_mut().expire(clock::monotonic_ms().saturating_sub(limit_ms));
        for connection in silent {
            if let Some(peer) = self.peers.borrow_mut().remove(&connection) {
                peer.close("no heartbeat");
            }
        }
        left
    }

    /// Drops locks that lapsed; names the groups that hold some for less long than was said.
    pub fn expire_locks(&self) -> Vec<String> {
        self.locks.borrow_mut().expire(clock::monotonic_ms())
    }

    /// How to reach a member of a consumer group.
    pub fn consumer(&self, group: &str, client_id: &str) -> Option<(Peer, i32)> {
        let groups = self.groups.borrow();
        let member = groups.consumers(group)?.members.get(client_id)?;
        let peer = self.peers.borrow().get(&member.client.connection)?.clone();
        Some((peer, member.client.version))
    }

    /// How to reach all members of a consumer group, with their client ids and versions.
    pub fn consumers(&self, group: &str) -> Vec<(String, Peer, i32)> {
        let groups = self.groups.borrow();
        let peers = self.peers.borrow();
        let consumers = groups.consumers(group).into_iter().flat_map(|g| g.members.values());
        let reachable = consumers.filter_map(|member| {
            let peer = peers.get(&member.client.connection)?.clone();
            Some((member.client.id.clone(), peer, member.client.version))
        });
        reachable.collect()
    }

    /// Tells all members of a group to share the queues out again, soon and some at a time, once
    /// for all changes until then. Broadcasting members share nothing.
    pub fn notify_changed(self: &Rc<Self>, group: &str) {
        if self.changed.borrow_mut().insert(group.to_owned(), IsNew(true)).is_none() {
            let tell = Rc::clone(self).tell_members(group.to_owned());
            task::spawn("members of a changed group", tell).detach();
        }
    }

    async fn tell_members(self: Rc<Self>, group: String) {
        while self.is_changed(&group) {
            let mut told_to = Some(String::new());
            while let Some(last) = told_to {
                told_to = self.tell_some(&group, &last);
                task::yield_if_needed().await;
            }
        }
    }

    /// Whether a group changed since its members were last told; they are to be told then.
    fn is_changed(&self, group: &str) -> bool {
        let mut changed = self.changed.borrow_mut();
        let is_changed = changed.get_mut(group).is_some_and(|is_new| std::mem::take(&mut is_new.0));
        if !is_changed {
            changed.remove(group);
        }
        is_changed
    }

    /// Tells the next members behind the client id `last`; to whom, if there may be more.
    fn tell_some(&self, group: &str, last: &str) -> Option<String> {
        let behind = (Bound::Excluded(last), Bound::Unbounded);
        let (peers, told_to) = {
            let groups = self.groups.borrow();
            let consumers = groups.consumers(group).filter(|group| !group.is_broadcasting())?;
            let peers = self.peers.borrow();
            let some = || consumers.members.range::<str, _>(behind).take(TOLD_AT_ONCE_MAX);
            let peers = some().filter_map(|(_, member)| peers.get(&member.client.connection));
            (peers.cloned().collect::<Vec<_>>(), some().last().map(|(id, _)| id.clone()))
        };
        for peer in peers {
            let fields = [("consumerGroup", group)];
            peer.send_oneway(request::NOTIFY_CONSUMER_IDS_CHANGED, &fields, &[]);
        }
        told_to
    }

    /// What the members of a group asked for, as pulls look at it.
    pub fn live(&self, group: &str) -> Option<view::LiveGroup> {
        let groups = self.groups.borrow();
        let consumers = groups.consumers(group)?;
        Some(view::LiveGroup {
            is_broadcasting: consumers.is_broadcasting(),
            locked_until_ms: self.locked_until_ms(group),
            subscriptions: consumers.subscriptions.for_pulls(),
        })
    }

    /// Unix time in milliseconds until which a group holds a lock; 0: it holds none.
    pub fn locked_until_ms(&self, group: &str) -> i64 {
        match self.locks.borrow().held_for_ms(group, clock::monotonic_ms()) {
            0 => 0,
            held_ms => clock::unix_ms().saturating_add_unsigned(held_ms),
        }
    }
}
