//! One connection that speaks the protocol, used in both directions.

use core::net::SocketAddr;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringmq_protocol::codes::response;
use ringmq_protocol::{Command, RequestHead, ResponseHead, SerializeType, WriteHeader};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::{ReadHalf, Stream};

use crate::calls::{Call, CallError, Calls};
use crate::limits::{ConnectionLimits, Growth, InFlight, Permit};
use crate::out::OutQueue;
use crate::timekeeper::Timekeeper;
use crate::writer::{Flusher, WriterState};

/// Handles the requests that arrive on a connection. All methods run on the connection's shard and
/// must not block; what takes longer continues in a task and answers later.
pub trait Service: 'static {
    /// One request: `frame` is all of it with its length word, `command` borrows from it. Answer
    /// with [`Connection::reply`] now, later or, as all one-way ones are, never: nothing is kept
    /// until then.
    fn on_request(&self, conn: &Rc<Connection>, command: &Command<'_>, frame: &[u8]);

    /// All frames of one read were handed over: flush work that was batched. Replies made so far
    /// leave in one write after this returns.
    fn on_read_end(&self, _conn: &Rc<Connection>) {}

    /// The connection is gone, for whatever reason; called once, after the last request.
    fn on_close(&self, _conn: &Rc<Connection>) {}
}

/// A service for connections on which only answers are expected: every request is answered
/// "not supported".
pub struct NoService;

impl Service for NoService {
    fn on_request(&self, conn: &Rc<Connection>, command: &Command<'_>, _frame: &[u8]) {
        conn.reply_unsupported(command);
    }
}

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
    draining: Cell<bool>,
    /// The service wants nothing more from this peer for a while.
    paused: Cell<bool>,
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

/// What a client reads whose request no service handles, as Apache words it.
pub fn unsupported_remark(code: i32) -> String {
    format!(" request type {code} not supported")
}

/// Where an answer goes: what must be remembered of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The request's correlation id.
    pub opaque: i32,
    /// The request's header encoding, which the answer echoes.
    pub serialize: SerializeType,
    /// One-way requests are never answered.
    pub oneway: bool,
}

impl ReplyTo {
    /// Remembers `request`.
    pub fn of(request: &Command<'_>) -> Self {
        let oneway = request.is_oneway();
        Self { opaque: request.opaque, serialize: request.serialize, oneway }
    }
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
        let conn = Rc::new_cyclic(|me| Self {
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
            draining: Cell::new(false),
            paused: Cell::new(false),
            unfinished_bytes: Cell::new(0),
            read_at: Cell::new(now),
            turn_at: Cell::new(now),
            written_at: Cell::new(now),
            out: RefCell::default(),
            writer: WriterState::new(stream, write_half, flusher),
            timekeeper: Timekeeper::default(),
        });
        (conn, read_half)
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
    /// [`Service::on_close`] runs soon, not within this call. Closing twice does nothing.
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

    /// A call has come to its end: it may be the last one that a retired connection waits for.
    pub(crate) fn call_ended(&self) {
        if let Some(reason) = self.retired.get()
            && self.calls.borrow().are_answered()
        {
            self.close(reason);
        }
    }

    /// Takes the bytes of a request that will be answered later: past the server's limit reading
    /// stops until permits are dropped.
    pub fn admit(&self, bytes: usize) -> Permit {
        self.in_flight.admit(bytes)
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

    /// Sends a request and gives the future of its answer; the request leaves soon, whether the
    /// future is polled or not. Dropping the future forgets the answer.
    pub fn call(
        self: &Rc<Self>,
        code: i32,
        header: &impl WriteHeader,
        body: &[u8],
        timeout: Duration,
    ) -> Call {
        let now = Instant::now();
        let opened = self.open_check().and_then(|()| self.calls.borrow_mut().open(now, timeout));
        match opened {
            Ok(opaque) => {
                self.send_request(code, opaque, false, header, body);
                self.timekeeper.watch_until(self, now + timeout);
                Call::open(Rc::clone(self), opaque)
            }
            Err(error) => Call::failed(error),
        }
    }

    /// Sends a request whose answer, or the lack of one, `callback` gets while the answer is still
    /// in the receive buffer: no task and no copy. It must not block.
    pub fn call_with(
        self: &Rc<Self>,
        code: i32,
        header: &impl WriteHeader,
        body: &[u8],
        timeout: Duration,
        callback: impl FnOnce(Result<&Command<'_>, CallError>) + 'static,
    ) {
        if let Err(error) = self.open_check().and_then(|()| self.calls.borrow().check_room()) {
            return callback(Err(error));
        }
        let now = Instant::now();
        let opaque = self.calls.borrow_mut().open_with(now, timeout, Box::new(callback));
        self.send_request(code, opaque, false, header, body);
        self.timekeeper.watch_until(self, now + timeout);
    }

    /// Sends a request that nobody answers. Nothing tells whether it arrives.
    pub fn send_oneway(&self, code: i32, header: &impl WriteHeader, body: &[u8]) {
        let opaque = self.calls.borrow_mut().next_oneway_opaque();
        self.send_request(code, opaque, true, header, body);
    }

    fn open_check(&self) -> Result<(), CallError> {
        self.closed.get().map_or(Ok(()), |reason| Err(CallError::Closed { reason }))
    }

    fn send_request(
        &self,
        code: i32,
        opaque: i32,
        oneway: bool,
        header: &impl WriteHeader,
        body: &[u8],
    ) {
        let serialize = SerializeType::Json;
        let head = RequestHead { serialize, code, opaque, oneway, remark: None };
        self.out(|out| {
            out.append(|out| ringmq_protocol::write_request(out, head, header, body));
        });
        self.flush_soon();
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

    /// Whether requests may be read now; the reader waits otherwise.
    pub(crate) fn may_read(&self) -> bool {
        !self.draining.get()
            && !self.paused.get()
            && self.in_flight.has_room()
            && !self.is_out_full()
    }

    /// Reads nothing more from the peer until [`Connection::resume_reading`]; what was read of the
    /// turn under way waits too.
    pub fn pause_reading(&self) {
        self.paused.set(true);
    }

    /// Ends a pause; without one it does nothing.
    pub fn resume_reading(&self) {
        if self.paused.replace(false) {
            self.writer.wake_reader();
        }
    }

    /// Waits until requests may be read, or the connection is closed.
    pub(crate) async fn wait_to_read(&self) {
        while !self.is_closed() && !self.may_read() {
            if self.in_flight.has_room() || self.draining.get() || self.paused.get() {
                self.writer.room().await;
            } else {
                self.in_flight.room().await;
            }
        }
    }

    /// Reads nothing more; answers still leave. For a stop without losses.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
    }

    /// Whether nothing more is taken from the peer.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
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

    /// Ends a call without an answer. The borrow of the table ends before foreign code runs.
    pub(crate) fn fail_call(&self, opaque: i32, error: CallError) {
        let finished = self.calls.borrow_mut().finish(opaque, || Err(error.clone()));
        finished.run(Err(error));
        self.call_ended();
    }
}
