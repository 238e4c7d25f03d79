//! Shares that follow machine rooms (zones, data centres).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::{AllocationStrategy, place};
use crate::queue::MessageQueue;

/// Equal shares of the queues whose broker is called `room@name`, for configured rooms only.
#[derive(Debug, Clone, Default)]
pub struct MachineRoom {
    rooms: BTreeSet<String>,
}

impl MachineRoom {
    /// Consumes from brokers of these rooms; queues of other brokers belong to nobody.
    pub fn new(rooms: impl IntoIterator<Item = String>) -> Self {
        Self { rooms: rooms.into_iter().collect() }
    }

    fn is_ours(&self, queue: &MessageQueue) -> bool {
        let mut parts = queue.broker_name.split('@');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(room), Some(name), None) => !name.is_empty() && self.rooms.contains(room),
            _ => false,
        }
    }
}

impl AllocationStrategy for MachineRoom {
    fn name(&self) -> String {
        "MACHINE_ROOM".into()
    }

    fn allocate(
        &self,
        member: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Vec<MessageQueue> {
        let Some(index) = place(member, members) else { return Vec::new() };
        let ours: Vec<_> = queues.iter().filter(|queue| self.is_ours(queue)).collect();
        let each = ours.len() / members.len();
        let block = ours.iter().skip(each * index).take(each);
        // What does not divide is dealt out from the end, one each, unlike `Averagely`.
        let rest = ours.iter().skip(each * members.len()).skip(index).take(1);
        block.chain(rest).map(|queue| (*queue).clone()).collect()
    }
}

/// Says in which room a broker and a member stand.
pub trait RoomOf: Send + Sync {
    /// Room of the broker that holds `queue`, `None` when unknown.
    fn broker(&self, queue: &MessageQueue) -> Option<String>;
    /// Room of the member with this client id, `None` when unknown.
    fn member(&self, client_id: &str) -> Option<String>;
}

/// Queues go to members of their own room, by an inner strategy; queues of a room without living
/// members are shared by all.
#[derive(Clone)]
pub struct Nearby {
    inner: Arc<dyn AllocationStrategy>,
    rooms: Arc<dyn RoomOf>,
}

impl Nearby {
    /// Divides inside each room with `inner`.
    pub fn new(inner: Arc<dyn AllocationStrategy>, rooms: Arc<dyn RoomOf>) -> Self {
        Self { inner, rooms }
    }
}

impl fmt::Debug for Nearby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nearby").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl AllocationStrategy for Nearby {
    fn name(&self) -> String {
        format!("MACHINE_ROOM_NEARBY-{}", self.inner.name())
    }

    /// A broker or a member whose room is unknown stands in the room with the empty name.
    fn allocate(
        &self,
        member: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Vec<MessageQueue> {
        if place(member, members).is_none() {
            return Vec::new();
        }
        let mut queues_by_room: BTreeMap<String, Vec<MessageQueue>> = BTreeMap::new();
        for queue in queues {
            let room = self.rooms.broker(queue).unwrap_or_default();
            queues_by_room.entry(room).or_default().push(queue.clone());
        }
        let mut members_by_room: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in members {
            let room = self.rooms.member(name).unwrap_or_default();
            members_by_room.entry(room).or_default().push(name.clone());
        }
        let own_room = self.rooms.member(member).unwrap_or_default();
        let mut share = Vec::new();
        if let Some(near) = queues_by_room.remove(&own_room) {
            share.extend(self.inner.allocate(member, &near, &members_by_room[&own_room]));
        }
        for (room, far) in &queues_by_room {
            if !members_by_room.contains_key(room) {
                share.extend(self.inner.allocate(member, far, members));
            }
        }
        share
    }
}
