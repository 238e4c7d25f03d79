//! When requests are read from a peer, and when it waits.
//!
//! Reading stops while any of these holds: the connection drains, which it does to its end; its
//! service has paused it; too many bytes of requests wait for answers in the whole server; too much
//! output waits for this peer. Whatever ends one of them wakes the reader, which looks at all of
//! them again.

use super::Connection;
use crate::limits::Permit;

impl Connection {
    /// Takes the bytes of a request that will be answered later: past the server's limit reading
    /// stops until permits are dropped.
    pub fn admit(&self, bytes: usize) -> Permit {
        self.in_flight.admit(bytes)
    }

    /// Whether requests may be read now; the reader waits otherwise.
    pub(crate) fn may_read(&self) -> bool {
        !self.is_draining.get()
            && !self.is_paused.get()
            && self.in_flight.has_room()
            && !self.is_out_full()
    }

    /// Reads nothing more from the peer until [`Connection::resume_reading`]; what was read of the
    /// turn under way waits too.
    pub fn pause_reading(&self) {
        self.is_paused.set(true);
    }

    /// Ends a pause; without one it does nothing.
    pub fn resume_reading(&self) {
        if self.is_paused.replace(false) {
            self.writer.wake_reader();
        }
    }

    /// Ends the turn with the request at hand, which took long or may have: others have theirs
    /// before the next request of this peer is handled. A turn has many requests, whose number is
    /// right for short ones.
    pub fn give_way(&self) {
        self.has_given_way.set(true);
    }

    /// Whether the turn is to end; the next one asks anew.
    pub(crate) fn take_given_way(&self) -> bool {
        self.has_given_way.replace(false)
    }

    /// Waits until requests may be read, or the connection is closed.
    pub(crate) async fn wait_to_read(&self) {
        while !self.is_closed() && !self.may_read() {
            if self.in_flight.has_room() || self.is_draining.get() || self.is_paused.get() {
                self.writer.room().await;
            } else {
                self.in_flight.room().await;
            }
        }
    }

    /// Reads nothing more; answers still leave. For a stop without losses.
    pub(crate) fn drain(&self) {
        self.is_draining.set(true);
    }

    /// Whether nothing more is taken from the peer.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }
}
