//! Named limits of connections and servers, and the gate that bounds requests in flight.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::sync::Notify;

/// Output that one peer can have copied for it, however well it reads: half of what all peers of a
/// server may. Whoever makes answers waits long before, when a peer has 4 MiB to read; what is made
/// at the same moment comes on top, 16 of the largest frames at most.
pub const OUT_COPIED_MAX_BYTES: u64 = 256 << 20;

/// Default of [`ServerLimits::in_flight_max_bytes`]: what services hold for long has to stay below.
pub const IN_FLIGHT_MAX_BYTES: u64 = 256 << 20;

/// Limits of one connection, in either direction. The defaults follow Apache where it has one.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Largest frame with its length word, in bytes. A larger one closes the connection. Default
    /// 16 MiB, as in Apache (`com.rocketmq.remoting.frameMaxLength`).
    pub frame_size_max_bytes: usize,
    /// Output waiting for the peer past which nothing more is read from it, until half of that
    /// has left. Default 4 MiB: some hundred answers of pulls.
    pub out_limit_bytes: u64,
    /// Output past which a peer that takes nothing for `write_timeout` is disconnected. Answers to
    /// requests read before the first limit, and pushes, can grow the queue up to here. Default
    /// 64 MiB.
    pub out_hard_limit_bytes: u64,
    /// Output copied for this one peer at which the connection is closed at once, though the peer
    /// may be reading: the end of what it can make us keep with requests that it had sent before it
    /// was not read any more. Slices of what others hold too and file ranges do not count, they
    /// live elsewhere within bounds of their own; slices that were copied do.
    /// [`OUT_COPIED_MAX_BYTES`] for connections that a server accepts; none by default for those
    /// that we open, where what is sent is our own to bound.
    pub out_copied_max_bytes: u64,
    /// See `out_hard_limit_bytes`. Default 10 s.
    pub write_timeout: Duration,
    /// Calls of ours awaiting an answer on one connection; more fail at once with
    /// [`crate::CallError::TooMany`]. At most and by default 65,535, Apache's client semaphore.
    pub calls_max: usize,
    /// Whether a PROXY header (version 1 or 2) at the start of a connection is believed: it
    /// replaces the peer address. Default true, as in Apache.
    pub proxy_protocol: bool,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            frame_size_max_bytes: 16 << 20,
            out_limit_bytes: 4 << 20,
            out_hard_limit_bytes: 64 << 20,
            out_copied_max_bytes: u64::MAX,
            write_timeout: Duration::from_secs(10),
            calls_max: crate::calls::CALLS_MAX,
            proxy_protocol: true,
        }
    }
}

/// Limits of a server on one shard.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Limits of each accepted connection.
    pub connection: ConnectionLimits,
    /// Connections at once; past it a new one is accepted and closed, with a line in the log.
    /// Default 20,000.
    pub connections_max: usize,
    /// Bytes of requests that were read and not answered yet, all connections together, as far
    /// as services hold a [`Permit`] for them. Past it reading stops until answers have left; one
    /// read (256 KiB) per connection can come on top. [`IN_FLIGHT_MAX_BYTES`] by default.
    pub in_flight_max_bytes: u64,
    /// Output copied for all peers together. Past it those that have the most are closed, looked at
    /// whenever an eighth of it was added, and every 5 s: many peers that take nothing must not add
    /// up to more than the machine has. Default 512 MiB.
    pub out_copied_total_max_bytes: u64,
    /// Memory that the frames of all peers take which have begun and not ended. Past it the
    /// connections that have the most are closed, looked at as above: no permit counts a request
    /// before it is whole. Default 512 MiB: 128 peers in the middle of Apache's largest message.
    pub unfinished_total_max_bytes: u64,
    /// Time after which a connection is closed on which neither direction moved. Default 120 s, as
    /// in Apache (`serverChannelMaxIdleTimeSeconds`).
    pub idle_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        let out_copied_max_bytes = OUT_COPIED_MAX_BYTES;
        Self {
            connection: ConnectionLimits { out_copied_max_bytes, ..ConnectionLimits::default() },
            connections_max: 20_000,
            in_flight_max_bytes: IN_FLIGHT_MAX_BYTES,
            out_copied_total_max_bytes: 512 << 20,
            unfinished_total_max_bytes: 512 << 20,
            idle_timeout: Duration::from_secs(120),
        }
    }
}

/// Says when memory that no permit counts may have passed its limits: what was added is counted,
/// and what became of it is looked at once in a while. A look takes 10 ns for each connection.
pub(crate) struct Growth {
    look_after_bytes: u64,
    added_bytes: Cell<u64>,
    look: Notify,
}

impl Growth {
    /// Wants a look for every eighth of the smaller limit.
    pub(crate) fn new(limits: &ServerLimits) -> Rc<Self> {
        let limit = limits.out_copied_total_max_bytes.min(limits.unfinished_total_max_bytes);
        Self::every(limit / 8)
    }

    /// Wants no look.
    pub(crate) fn unwatched() -> Rc<Self> {
        Self::every(u64::MAX)
    }

    fn every(look_after_bytes: u64) -> Rc<Self> {
        Rc::new(Self { look_after_bytes, added_bytes: Cell::new(0), look: Notify::new() })
    }

    pub(crate) fn add(&self, bytes: u64) {
        let added_bytes = self.added_bytes.get().saturating_add(bytes);
        self.added_bytes.set(added_bytes);
        if added_bytes > self.look_after_bytes {
            self.added_bytes.set(0);
            self.look.notify_one();
        }
    }

    /// Waits until it is time to look.
    pub(crate) async fn look(&self) {
        self.look.notified().await;
    }
}

/// Counts the bytes of requests that wait for their answer on one shard.
pub struct InFlight {
    limit_bytes: u64,
    used_bytes: Cell<u64>,
    room: Notify,
}

impl InFlight {
    /// A gate that closes at `limit_bytes`.
    pub fn new(limit_bytes: u64) -> Rc<Self> {
        Rc::new(Self { limit_bytes, used_bytes: Cell::new(0), room: Notify::new() })
    }

    /// Bytes in flight now.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.get()
    }

    /// Whether more requests may be read.
    pub fn has_room(&self) -> bool {
        self.used_bytes.get() < self.limit_bytes
    }

    /// Takes `bytes` until the permit is dropped. Always succeeds: the bytes are in memory
    /// already; it is the next read that waits.
    pub fn admit(self: &Rc<Self>, bytes: usize) -> Permit {
        self.used_bytes.set(self.used_bytes.get() + bytes as u64);
        Permit { gate: Rc::clone(self), bytes: bytes as u64 }
    }

    /// Waits until permits were dropped, or someone wants readers to look again.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    /// Lets all waiting readers look again.
    pub(crate) fn wake_readers(&self) {
        self.room.notify_all();
    }
}

/// The bytes of one request in flight; held until it is answered.
pub struct Permit {
    gate: Rc<InFlight>,
    bytes: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let was_full = !self.gate.has_room();
        let before = self.gate.used_bytes.get();
        assert!(before >= self.bytes, "in flight {before}, released {}", self.bytes);
        self.gate.used_bytes.set(before - self.bytes);
        if was_full && self.gate.has_room() {
            self.gate.room.notify_all();
        }
    }
}
