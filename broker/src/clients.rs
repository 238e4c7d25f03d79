//! Connected clients: who they are, how to reach them, which queues they hold.
//!
//! Joins the pure tables of [`crate::groups`] and [`crate::locks`] with the connections behind
//! them. A [`Peer`] is kept for a connection exactly as long as a member is registered through it.

use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::codes::request;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::{clock, task};

use crate::groups::{Left, LiveGroups, Look, behind};
use crate::link::ConnectionKey;
use crate::locks::{Expiry, QueueLocks};
use crate::peer::Peer;
use crate::view;

/// Members that are told of a change in one step, about 1 ms.
const TOLD_AT_ONCE_MAX: usize = 200;

/// Members that are noted as to be asked for their subscriptions in one step, about 0.1 ms.
const ASKED_AT_ONCE_MAX: usize = 2_000;

/// Locks that are looked at in one step, about 0.1 ms.
const LOCKS_AT_ONCE_MAX: usize = 1_000;

/// The connected half of the control plane.
#[derive(Default)]
pub struct Clients {
    groups: RefCell<LiveGroups>,
    peers: RefCell<HashMap<ConnectionKey, Peer>>,
    locks: RefCell<QueueLocks<MessageQueue>>,
    /// Groups whose members are being told that it changed.
    changed: Visits,
    /// Groups whose members are to be asked for their subscriptions.
    outdated: Visits,
}

/// Groups that have all members visited, some at a time, and whether there was a further reason
/// since that began.
#[derive(Default)]
struct Visits(RefCell<HashMap<String, IsNew>>);

struct IsNew(bool);

impl Visits {
    /// Notes a reason to visit the members of a group; false when that is under way: it will begin
    /// anew.
    fn begin(&self, group: &str) -> bool {
        self.0.borrow_mut().insert(group.to_owned(), IsNew(true)).is_none()
    }

    /// Visits the members behind a client id by `visit_some`, which says who was the last, until
    /// all were since the last reason.
    async fn run(&self, group: &str, visit_some: impl Fn(&str) -> Option<String>) {
        while self.is_due(group) {
            let mut visited = Some(String::new());
            while let Some(last) = visited {
                visited = visit_some(&last);
                task::yield_if_needed().await;
            }
        }
    }

    /// Whether there was a reason since the visit of all began; the next one begins then.
    fn is_due(&self, group: &str) -> bool {
        let mut groups = self.0.borrow_mut();
        let is_due = groups.get_mut(group).is_some_and(|is_new| std::mem::take(&mut is_new.0));
        if !is_due {
            groups.remove(group);
        }
        is_due
    }
}

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

    /// Removes those of the next clients that were silent for longer than `limit`; their
    /// connections are closed.
    pub fn expire_next(&self, look: &mut Look, limit: Duration) -> Left {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let before_clock_ms = clock::monotonic_ms().saturating_sub(limit_ms);
        let (left, silent) = self.groups.borrow_mut().expire_next(look, before_clock_ms);
        for connection in silent {
            if let Some(peer) = self.peers.borrow_mut().remove(&connection) {
                peer.close("no heartbeat");
            }
        }
        left
    }

    /// Drops locks that lapsed; names the groups that hold some for less long than was said.
    pub async fn expire_locks(&self) -> Vec<String> {
        let mut expiry = Expiry::default();
        while self.locks().expire_next(&mut expiry, LOCKS_AT_ONCE_MAX, clock::monotonic_ms()) {
            task::yield_if_needed().await;
        }
        expiry.shortened
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
        if self.changed.begin(group) {
            let (clients, group) = (Rc::clone(self), group.to_owned());
            let tell = async move {
                clients.changed.run(&group, |last| clients.tell_some(&group, last)).await;
            };
            task::spawn("members of a changed group", tell).detach();
        }
    }

    /// Has the members of a group send their subscriptions in full, soon: see
    /// [`LiveGroups::want_full_heartbeats`].
    pub fn want_full_heartbeats(self: &Rc<Self>, group: &str) {
        let has_members = self.groups.borrow().consumers(group).is_some();
        if has_members && self.outdated.begin(group) {
            let ask = Rc::clone(self).ask_members(group.to_owned());
            task::spawn("members of an outdated group", ask).detach();
        }
    }

    async fn ask_members(self: Rc<Self>, group: String) {
        let ask_some = |last: &str| {
            self.groups.borrow_mut().want_full_heartbeats(&group, last, ASKED_AT_ONCE_MAX)
        };
        self.outdated.run(&group, ask_some).await;
    }

    /// Tells the next members behind the client id `last`; to whom, if there may be more.
    fn tell_some(&self, group: &str, last: &str) -> Option<String> {
        let (peers, told_to) = {
            let groups = self.groups.borrow();
            let consumers = groups.consumers(group).filter(|group| !group.is_broadcasting())?;
            let peers = self.peers.borrow();
            let some = || consumers.members.range::<str, _>(behind(last)).take(TOLD_AT_ONCE_MAX);
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::net::SocketAddr;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use ringmq_protocol::bodies::heartbeat::ConsumerData;
    use ringmq_runtime::sim::World;

    use super::*;
    use crate::groups::Client;
    use crate::locks::LOCK_HELD_MS;

    const MEMBERS: usize = 32 * ASKED_AT_ONCE_MAX;
    const FINGERPRINT: i32 = 7;

    /// Has every member send a heartbeat; how many are asked for a full one.
    fn beat(clients: &Clients, is_short: bool) -> usize {
        let connection = ConnectionKey { shard: 0, id: 1 };
        let address = SocketAddr::from(([127, 0, 0, 1], 1000));
        let data = ConsumerData { group_name: "g".into(), ..ConsumerData::default() };
        let is_asked = |number: &usize| {
            let id = format!("c{number}");
            let client = Client { id, connection, address, language: "JAVA", version: 513 };
            let mut groups = clients.groups_mut();
            let taken = groups.consumer_heartbeat(&data, &client, FINGERPRINT, is_short, 0);
            taken.expect("room").wants_full
        };
        (0..MEMBERS).filter(is_asked).count()
    }

    #[test]
    fn a_newer_subscription_has_the_members_of_a_group_asked_some_at_a_time() {
        let world = World::new(1);
        world.run(async {
            let clients = Rc::new(Clients::default());
            assert_eq!((beat(&clients, false), beat(&clients, true)), (0, 0));
            assert!(clients.outdated.begin("g"));
            let mut asking = pin!(Rc::clone(&clients).ask_members("g".into()));
            let mut context = Context::from_waker(Waker::noop());
            assert!(asking.as_mut().poll(&mut context).is_pending());
            let asked = beat(&clients, true);
            assert!((1..MEMBERS).contains(&asked), "{asked} in one step");
            asking.await;
            assert_eq!(beat(&clients, true), MEMBERS);
            assert!(clients.outdated.begin("g"), "nothing is left of it");
        });
    }

    #[test]
    fn locks_that_lapse_together_leave_some_at_a_time() {
        const LOCKS: usize = 32 * LOCKS_AT_ONCE_MAX;
        let world = World::new(1);
        world.run(async {
            let clients = Clients::default();
            let connection = ConnectionKey { shard: 0, id: 1 };
            let queue = |queue_id| MessageQueue { queue_id, ..MessageQueue::default() };
            let queues: Vec<_> = (0..LOCKS as i32).map(queue).collect();
            let taken = clients.locks().lock(connection, "g", "c", &queues, clock::monotonic_ms());
            assert_eq!(taken.len(), LOCKS);
            task::sleep(Duration::from_millis(LOCK_HELD_MS + 1)).await;
            let mut expiring = pin!(clients.expire_locks());
            let mut context = Context::from_waker(Waker::noop());
            assert!(expiring.as_mut().poll(&mut context).is_pending());
            let left = clients.locks().len();
            assert!((1..LOCKS).contains(&left), "{left} are left after one step");
            assert!(expiring.await.is_empty());
            assert!(clients.locks().is_empty());
        });
    }
}
