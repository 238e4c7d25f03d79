//! The connections of one shard: those that others answer, and what goes to others.
//!
//! While a read of a connection is handled, its frames for other shards gather, one buffer per
//! shard, and leave as one message each at the end of the read. What one connection has under way
//! to other shards is bounded ([`UNDER_WAY_MAX_BYTES`]), so that it cannot keep them busy for long.
//! When the mesh is full, the *gate* closes: nothing is read from any connection of this shard
//! until there is room again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ringmq_remoting::{Connection, Permit};
use ringmq_runtime::random::HashMap;
use ringmq_runtime::task;

use crate::dispatch::HOPS_FROM_HOME;
use crate::link::Link;
use crate::peer::Peer;
use crate::stages::Stages;

/// Bytes that a closed gate takes: more than any limit of a server.
const GATE_BYTES: usize = 1 << 40;

/// Requests of one connection that other shards have not handled yet, past which nothing more is
/// read from it: one full read. They are handled long before they are answered, so a producer with
/// a deep pipeline stays below.
const UNDER_WAY_MAX_BYTES: usize = 256 << 10;

/// The connections of one shard.
pub(crate) struct Inbound {
    link: Rc<Link>,
    /// Connections that other shards know of.
    connections: RefCell<HashMap<u64, Served>>,
    /// Frames of the connection that is being read, by the shard that they go to.
    outgoing: RefCell<Vec<Vec<u8>>>,
    /// Held while the mesh is full.
    gate: RefCell<Option<Permit>>,
}

/// A connection of this shard that others know of.
struct Served {
    connection: Rc<Connection>,
    /// It sent a heartbeat: shard 0 wants to know when it closes.
    is_registered: Cell<bool>,
    /// Bytes of its requests that other shards have not handled yet.
    under_way_bytes: Cell<usize>,
}

impl Inbound {
    /// No connections yet.
    pub(crate) fn new(link: Rc<Link>) -> Rc<Self> {
        let outgoing = RefCell::new(vec![Vec::new(); link.shards()]);
        let (connections, gate) = (RefCell::default(), RefCell::default());
        Rc::new(Self { link, connections, outgoing, gate })
    }

    /// Remembers a connection that other shards will answer.
    pub(crate) fn remember(&self, connection: &Rc<Connection>, is_registering: bool) {
        let mut connections = self.connections.borrow_mut();
        let served = connections.entry(connection.id()).or_insert_with(|| Served {
            connection: Rc::clone(connection),
            is_registered: Cell::new(false),
            under_way_bytes: Cell::new(0),
        });
        if is_registering {
            served.is_registered.set(true);
        }
    }

    /// Forgets a connection that is closed; `true` when shard 0 wants to know.
    pub(crate) fn forget(&self, id: u64) -> bool {
        let served = self.connections.borrow_mut().remove(&id);
        served.is_some_and(|served| served.is_registered.get())
    }

    /// A connection of this shard that other shards know of, while it is open.
    pub(crate) fn connection(&self, id: u64) -> Option<Rc<Connection>> {
        self.connections.borrow().get(&id).map(|served| Rc::clone(&served.connection))
    }

    /// Keeps a frame of the read that is being handled for another shard.
    pub(crate) fn gather(&self, shard: usize, frame: &[u8]) {
        self.outgoing.borrow_mut()[shard].extend_from_slice(frame);
    }

    /// Sends what one read of a connection had for other shards.
    pub(crate) fn flush(self: &Rc<Self>, peer: &Peer, stages: &Stages) {
        let mut outgoing = self.outgoing.borrow_mut();
        for (shard, pending) in outgoing.iter_mut().enumerate() {
            if pending.is_empty() {
                continue;
            }
            let frames = std::mem::replace(pending, self.link.pools.buffer());
            self.sent(peer.key().id, frames.len());
            let (connection, arrival) = (peer.to_remote(), stages.passing_on(peer));
            self.link.send_requests(shard, connection, frames, HOPS_FROM_HOME, arrival);
            if self.link.is_congested(shard) {
                self.close_gate(peer);
            }
        }
    }

    /// Takes note that requests of a connection are on their way to another shard.
    fn sent(&self, id: u64, bytes: usize) {
        let connections = self.connections.borrow();
        let served = connections.get(&id).expect("remembered when its first frame came");
        let under_way_bytes = served.under_way_bytes.get() + bytes;
        served.under_way_bytes.set(under_way_bytes);
        if under_way_bytes >= UNDER_WAY_MAX_BYTES {
            served.connection.pause_reading();
        }
    }

    /// Takes note that another shard has handled requests of a connection.
    pub(crate) fn handled(&self, id: u64, bytes: usize) {
        let connections = self.connections.borrow();
        let Some(served) = connections.get(&id) else { return };
        let before = served.under_way_bytes.get();
        assert!(before >= bytes, "{before} bytes under way, {bytes} handled");
        served.under_way_bytes.set(before - bytes);
        if before - bytes < UNDER_WAY_MAX_BYTES {
            served.connection.resume_reading();
        }
    }

    /// Stops reading from all connections of this shard until the mesh has room.
    fn close_gate(self: &Rc<Self>, peer: &Peer) {
        let mut gate = self.gate.borrow_mut();
        if gate.is_some() {
            return;
        }
        *gate = peer.admit(GATE_BYTES);
        let inbound = Rc::clone(self);
        let open = async move {
            inbound.link.wait_for_room().await;
            inbound.gate.borrow_mut().take();
        };
        task::spawn("wait for room in the mesh", open).detach();
    }
}
