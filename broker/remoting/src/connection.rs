//! One connection that speaks the protocol, used in both directions.
//!
//! It is *open*; it may be *retired*, and then closes when the last of its calls has ended, or
//! *draining*, and then reads nothing more while answers still leave; it is *closed* once, with a
//! reason that stays, and *finished* when its reader has seen that: its socket and its output go,
//! and its calls fail. Output that gathers for a peer has a limit, past which the connection
//! closes.

mod reading;
mod requests;

use core::net::SocketAddr;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};

use ringmq_protocol::codes::response;
use ringmq_protocol::{Command, ResponseHead, WriteHeader};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::{ReadHalf, Stream};

use crate::calls::{CallError, Calls};
use crate::limits::{ConnectionLimits, Growth, InFlight};
use crate::out::OutQueue;
use crate::service::{ReplyTo, unsupported_remark};
use crate::timekeeper::Timekeeper;
use crate::writer::{Flusher, WriterState};

/// A connection of one shard, in either direction.
pub struct Connection {
    /// Itself, for whoever is to keep it.
    pub(crate) me: Weak<Self>,
    id: u64,
    peer: Cell<SocketAddr>,
    local: SocketAddr,
    limits: ConnectionLimits,
    in_flight: Rc<InFlight>,
    growth: Rc<Growth>,
    closed: Cell<Option<&'static str>>,
    /// Why it is to be closed when its calls have ended.
    retired: Cell<Option<&'static str>>,
    is_draining: Cell<bool>,
    /// The service wants nothing more from this peer for a while.
    is_paused: Cell<bool>,
    /// The turn of handling frames ends with the one at hand.
    has_given_way: Cell<bool>,
    /// Memory that holds what was read and could not be handled yet.
    unfinished_bytes: Cell<usize>,
    /// When bytes were last read.
    read_at: Cell<Instant>,
    /// When the handling of frames last began: after a read, or of what a former turn left.
    turn_at: Cell<Instant>,
    /// When output last left.
    written_at: Cell<Instant>,
    pub(crate) out: RefCell<OutQueue>,
    pub(crate) calls: RefCell<Calls>,
    pub(crate) writer: WriterState,
    pub(crate) timekeeper: Timekeeper,
}

impl Connection {
    /// Wraps a stream; the halves go to [`crate::reader`] and [`crate::writer`].
    pub(crate) fn new(
        stream: Stream,
        limits: ConnectionLimits,
        in_flight: Rc<InFlight>,
        growth: Rc<Growth>,
        flusher: Weak<Flusher>,
    ) -> (Rc<Self>, ReadHalf) {
        // Unique in the process, so that shards can name each other's connections. One atomic add
        // per connection.
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let (peer, local) = (stream.peer_addr(), stream.local_addr());
        let (read_half, write_half) = stream.clone().split();
        let now = Instant::now();
        let connection = Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            id,
            peer: Cell::new(peer),
            local,
            calls: RefCell::new(Calls::new(limits.calls_max)),
            limits,
            in_flight,
            growth,
            closed: Cell::new(None),
            retired: Cell::new(None),
            is_draining: Cell::new(false),
            is_paused: Cell::new(false),
            has_given_way: Cell::new(false),
            unfinished_bytes: Cell::new(0),
            read_at: Cell::new(now),
            turn_at: Cell::new(now),
            written_at: Cell::new(now),
            out: RefCell::default(),
            writer: WriterState::new(stream, write_half, flusher),
            timekeeper: Timekeeper::default(),
        });
        (connection, read_half)
    }

    /// Number of this connection, unique in the process and never used again.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The peer, or whom a PROXY header speaks for.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer.get()
    }

    /// Our end.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Whether the connection was closed, by whichever side.
    pub fn is_closed(&self) -> bool {
        self.closed.get().is_some()
    }

    /// Why the connection was closed.
    pub fn close_reason(&self) -> Option<&'static str> {
        self.closed.get()
    }

    /// The limits of this connection.
    pub fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    /// Closes the connection now; output that has not left is lost. Calls fail, and
    /// [`on_close`](crate::Service::on_close) runs soon, not within this call. Closing twice does
    /// nothing.
    pub fn close(&self, reason: &'static str) {
        if self.is_closed() {
            return;
        }
        self.closed.set(Some(reason));
        tracing::debug!(connection = self.id, peer = %self.peer_addr(), reason, "closed");
        self.writer.end();
        self.timekeeper.wake();
        self.in_flight.wake_readers();
    }

    /// Closes the connection when the calls made over it have ended, which their timeouts bound.
    /// Who makes further ones puts that off.
    pub(crate) fn retire(&self, reason: &'static str) {
        self.retired.set(Some(reason));
        self.call_ended();
    }

    /// Appends output without a copy: reply bytes, shared slices, file ranges, all of one or more
    /// whole frames. Follow it with [`Connection::flush_soon`] or [`Connection::flush`]. Output
    /// for a closed connection is dropped, and more than it may keep closes it.
    pub fn out(&self, append: impl FnOnce(&mut OutQueue)) {
        if self.is_closed() {
            return;
        }
        let before = self.out.borrow().copied_bytes();
        append(&mut self.out.borrow_mut());
        self.growth.add(self.out.borrow().copied_bytes() - before);
        if self.out_copied_bytes() > self.limits.out_copied_max_bytes {
            self.close_overfull();
        }
    }

    /// Bytes of output that were copied for this peer alone and have not left.
    pub(crate) fn out_copied_bytes(&self) -> u64 {
        self.out.borrow().copied_bytes() + self.writer.taken_copied_bytes()
    }

    /// Bytes of memory that unfinished frames of this peer take.
    pub(crate) fn unfinished_bytes(&self) -> u64 {
        self.unfinished_bytes.get() as u64
    }

    pub(crate) fn set_unfinished_bytes(&self, bytes: usize) {
        let before = self.unfinished_bytes.replace(bytes);
        self.growth.add(bytes.saturating_sub(before) as u64);
    }

    /// Closes a connection that has the most of too many unfinished bytes.
    #[cold]
    pub(crate) fn close_unfinished(&self) {
        let (peer, unfinished_bytes) = (self.peer_addr(), self.unfinished_bytes());
        tracing::warn!(%peer, unfinished_bytes, "unfinished frames take too much memory: closed");
        self.close("unfinished frames take too much memory");
    }

    /// Closes a connection whose peer had more output made for it than it may have.
    #[cold]
    pub fn close_overfull(&self) {
        let (peer, waiting_bytes) = (self.peer_addr(), self.out_copied_bytes());
        tracing::warn!(%peer, waiting_bytes, "the peer asks for more than it takes: closed");
        self.close("the peer asks for more than it takes");
    }

    /// Answers a request; one-way requests get nothing. The answer leaves with the others of this
    /// read, or soon.
    pub fn reply(
        &self,
        to: &ReplyTo,
        code: i32,
        remark: Option<&str>,
        header: &impl WriteHeader,
        body: &[u8],
    ) {
        if to.oneway {
            return;
        }
        let head = ResponseHead { serialize: to.serialize, opaque: to.opaque, code, remark };
        self.out(|out| {
            out.append(|out| ringmq_protocol::write_response(out, head, header, body));
        });
        self.flush_soon();
    }

    /// Answers that no service handles this code.
    pub fn reply_unsupported(&self, command: &Command<'_>) {
        let (to, remark) = (ReplyTo::of(command), unsupported_remark(command.code));
        self.reply(&to, response::REQUEST_CODE_NOT_SUPPORTED, Some(&remark), &(), &[]);
    }

    /// Bytes of output that have not left.
    pub fn out_bytes(&self) -> u64 {
        self.out.borrow().len_bytes() + self.writer.taken_bytes()
    }

    /// Whether so much output waits that nothing more is read from the peer. Whoever pushes to a
    /// peer unasked should wait too.
    pub fn is_out_full(&self) -> bool {
        self.out_bytes() >= self.limits.out_limit_bytes
    }

    pub(crate) fn set_peer(&self, peer: SocketAddr) {
        self.peer.set(peer);
    }

    pub(crate) fn note_turn(&self) {
        self.turn_at.set(Instant::now());
    }

    /// The turn that has begun is about bytes that were read just now.
    pub(crate) fn note_read(&self) {
        self.read_at.set(self.turn_at.get());
    }

    pub(crate) fn note_written(&self) {
        self.written_at.set(Instant::now());
    }

    /// When the bytes came out of the socket that are handled in this turn.
    pub fn read_at(&self) -> Instant {
        self.read_at.get()
    }

    /// When this turn of handling what was read began.
    pub fn turn_at(&self) -> Instant {
        self.turn_at.get()
    }

    /// When the socket last took output.
    pub fn written_at(&self) -> Instant {
        self.written_at.get()
    }

    /// When a byte last moved in either direction.
    pub(crate) fn last_progress(&self) -> Instant {
        self.turn_at.get().max(self.written_at.get())
    }

    /// Gives back buffers of a connection that has been quiet.
    pub(crate) fn release_memory(&self) {
        self.out.borrow_mut().release_memory();
    }

    /// Ends what a closed connection still holds: its socket, calls, which fail, and output.
    pub(crate) fn finish(&self) {
        let reason = self.closed.get().expect("finished after it was closed");
        self.writer.release_socket();
        self.out.borrow_mut().clear();
        let open = self.calls.borrow().opaques();
        for opaque in open {
            self.fail_call(opaque, CallError::Closed { reason });
        }
    }
}
