//! What one shard says to another, and how it is sent without ever waiting.
//!
//! A mesh channel is bounded and pushes back; a service that is in the middle of a synchronous step
//! cannot wait for room. [`Link::send`] therefore queues behind a full channel, in order, and a
//! task moves the queue on. Nothing is dropped. While a queue is not empty the shard is *congested*
//! towards that peer, and stops reading the connections whose requests go there
//! ([`Link::is_congested`]), so a queue holds no more than one read of every connection that was
//! already being served.
//!
//! Answers to a connection of another shard gather in one [`Reply`] per connection until the end of
//! the executor's turn, so a group commit costs one message per connection.

mod answered;
mod pools;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringmq_remoting::OUT_COPIED_MAX_BYTES;
use ringmq_runtime::mesh::Port;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::sync::{Notify, Sender, oneshot};
use ringmq_runtime::task::{self, LocalFuture};
use ringmq_store::Piece;
use slab::Slab;
use smallvec::SmallVec;

use self::answered::AnsweredBytes;
use self::pools::Pools;
use crate::shard::DataPlane;
use crate::stages::{Answered, Arrival};
use crate::view::Change;

/// Messages in flight from one shard to another before the sender queues: about 1 MiB of small
/// frames.
pub const MESH_CAPACITY: usize = 1024;

/// Bytes of requests on their way to one shard, from all others together, before senders stop
/// reading: four times what a shard handles in the millisecond that it may be busy with something
/// else.
const BACKLOG_MAX_BYTES: usize = 64 << 20;

/// Pause before a look whether a shard has worked off its backlog.
const BACKLOG_PAUSE: Duration = Duration::from_millis(1);

/// Bytes of requests that wait for each shard; all shards share it.
#[derive(Clone)]
pub struct Backlog(Arc<[AtomicUsize]>);

impl Backlog {
    /// For so many shards.
    pub fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| AtomicUsize::new(0)).collect())
    }

    fn add(&self, shard: usize, bytes: usize) {
        self.0[shard].fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, shard: usize, bytes: usize) {
        self.0[shard].fetch_sub(bytes, Ordering::Relaxed);
    }

    fn is_full(&self, shard: usize) -> bool {
        self.0[shard].load(Ordering::Relaxed) >= BACKLOG_MAX_BYTES
    }
}

/// Names a connection in the whole broker, for as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionKey {
    /// The shard that accepted it.
    pub shard: usize,
    /// Its id there; never used twice.
    pub id: u64,
}

/// A connection as another shard knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteConnection {
    /// Its name.
    pub key: ConnectionKey,
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address that it connected to.
    pub local: SocketAddr,
}

/// Pieces of answers, each with the number of encoded bytes that go before it; ascending.
pub type Pieces = Vec<(usize, Piece)>;

/// Answers for one connection: encoded frames, with message bytes to be put in between.
#[derive(Default)]
pub struct Reply {
    /// Encoded bytes.
    pub bytes: Vec<u8>,
    /// What goes in between.
    pub pieces: Pieces,
    /// Bytes of all pieces.
    pub piece_bytes: u64,
    /// Bytes of requests of this connection that were handled: its shard may send more.
    pub handled_bytes: usize,
    /// The answers to sends among them whose leaving is timed: most often those of one or two turns
    /// of reading.
    pub answered: SmallVec<[Answered; 2]>,
    /// More was answered in one turn than a connection may have copied for it: nothing of it is
    /// kept, and its shard closes the connection.
    pub is_overfull: bool,
}

type Job = Box<dyn FnOnce(Rc<DataPlane>) -> LocalFuture<Box<dyn Any + Send>> + Send>;

/// A message between two shards.
pub enum ShardMessage {
    /// Whole frames of one connection, back to back, for queues of the receiver.
    Requests {
        /// Where they came from and the answers go.
        connection: RemoteConnection,
        /// The frames.
        frames: Vec<u8>,
        /// How often they were passed on already.
        hops: u8,
        /// When they came, while stages of sends are timed.
        arrival: Option<Arrival>,
        /// An empty list for the answers, of which the sender gets filled ones: without it each
        /// answer with pieces would take memory here that is given back there.
        spare: Pieces,
    },
    /// Answers for a connection of the receiver.
    Reply {
        /// Id of the connection.
        connection: u64,
        /// What to write.
        reply: Reply,
    },
    /// To shard 0: a connection with a registered client was closed.
    Closed(ConnectionKey),
    /// From shard 0: the view changed.
    Change(Change),
    /// Run this and send what it returns.
    Run {
        /// Names the waiting caller on the sender's shard.
        call: usize,
        /// What to run.
        job: Job,
    },
    /// What a job returned.
    Returned {
        /// The waiting caller.
        call: usize,
        /// The value, of the type the caller knows.
        value: Box<dyn Any + Send>,
    },
}

#[derive(Default)]
struct Lane {
    queue: RefCell<VecDeque<ShardMessage>>,
    /// A message left the queue and waits for room in the channel: nothing may overtake it.
    is_moving: Cell<bool>,
    work: Notify,
}

impl Lane {
    fn is_congested(&self) -> bool {
        self.is_moving.get() || !self.queue.borrow().is_empty()
    }
}

/// The sending side of one shard towards all others.
pub struct Link {
    port: Port<ShardMessage>,
    backlog: Backlog,
    lanes: Vec<Lane>,
    room: Notify,
    calls: RefCell<Slab<Sender<Box<dyn Any + Send>>>>,
    replies: RefCell<HashMap<ConnectionKey, Reply>>,
    replies_ready: Notify,
    /// Message bytes of answers that have left for other shards.
    answered: RefCell<AnsweredBytes>,
    /// Memory for what is sent.
    pub(crate) pools: Pools,
}

impl Link {
    /// Takes over the shard's port and starts its tasks.
    pub fn new(port: Port<ShardMessage>, backlog: Backlog) -> Rc<Self> {
        let lanes = (0..port.shards()).map(|_| Lane::default()).collect();
        let link = Rc::new(Self {
            port,
            backlog,
            lanes,
            room: Notify::default(),
            calls: RefCell::default(),
            replies: RefCell::default(),
            replies_ready: Notify::default(),
            answered: RefCell::default(),
            pools: Pools::default(),
        });
        for to in 0..link.shards() {
            task::spawn("mesh lane", Rc::clone(&link).run_lane(to)).detach();
        }
        task::spawn("mesh replies", Rc::clone(&link).run_replies()).detach();
        link
    }

    /// This shard.
    pub fn shard(&self) -> usize {
        self.port.shard()
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.port.shards()
    }

    /// The next message for this shard, and who sent it.
    pub async fn receive(&self) -> (usize, ShardMessage) {
        self.port.recv().await
    }

    /// Passes frames of a connection on.
    pub fn send_requests(
        &self,
        to: usize,
        connection: RemoteConnection,
        frames: Vec<u8>,
        hops: u8,
        arrival: Option<Arrival>,
    ) {
        self.backlog.add(to, frames.len());
        let spare = self.pools.list();
        self.send(to, ShardMessage::Requests { connection, frames, hops, arrival, spare });
    }

    /// Takes note that frames which were passed on to this shard are handled, and keeps their
    /// buffer.
    pub fn handled(&self, frames: Vec<u8>) {
        self.backlog.remove(self.shard(), frames.len());
        self.pools.recycle(frames);
    }

    /// Sends, in order and without waiting.
    pub fn send(&self, to: usize, message: ShardMessage) {
        let lane = &self.lanes[to];
        let refused =
            if lane.is_congested() { Err(message) } else { self.port.try_send(to, message) };
        if let Err(message) = refused {
            lane.queue.borrow_mut().push_back(message);
            lane.work.notify_one();
        }
    }

    /// Whether messages to this shard have to wait, or should not become more.
    pub fn is_congested(&self, to: usize) -> bool {
        self.lanes[to].is_congested() || self.backlog.is_full(to)
    }

    /// Waits until no shard is congested.
    pub async fn wait_for_room(&self) {
        while (0..self.shards()).any(|to| self.is_congested(to)) {
            // Other threads work the backlog off and wake nobody for it.
            let _ = task::timeout(BACKLOG_PAUSE, self.room.notified()).await;
        }
    }

    /// Adds to what is written to a connection of another shard at the end of this turn.
    pub fn reply(&self, to: ConnectionKey, write: impl FnOnce(&mut Reply)) {
        self.with_reply(to, |reply| {
            if reply.is_overfull {
                return;
            }
            if reply.bytes.capacity() == 0 {
                reply.bytes = self.pools.buffer();
                reply.pieces = self.pools.list();
            }
            write(reply);
            if reply.bytes.len() as u64 > OUT_COPIED_MAX_BYTES {
                *reply = Reply { is_overfull: true, ..Reply::default() };
            }
        });
    }

    /// Tells the shard of a connection that so many bytes of its requests are handled, together
    /// with the answers of this turn.
    pub fn credit(&self, to: ConnectionKey, handled_bytes: usize) {
        self.with_reply(to, |reply| reply.handled_bytes += handled_bytes);
    }

    /// Whether a connection asked for more in this turn than it may have: it will be closed.
    pub fn is_overfull(&self, to: ConnectionKey) -> bool {
        self.replies.borrow().get(&to).is_some_and(|reply| reply.is_overfull)
    }

    /// Whether so much was answered to a connection that its shard is to be asked, before it is
    /// answered more, whether that has left.
    pub fn has_answered_much(&self, to: ConnectionKey) -> bool {
        let replies = self.replies.borrow();
        let this_turn =
            replies.get(&to).map_or(0, |reply| reply.bytes.len() as u64 + reply.piece_bytes);
        self.answered.borrow().is_much(to, this_turn)
    }

    /// Takes note that a connection was found to have room for more.
    pub fn found_room(&self, to: ConnectionKey) {
        self.answered.borrow_mut().forget(to);
    }

    fn with_reply(&self, to: ConnectionKey, change: impl FnOnce(&mut Reply)) {
        let mut replies = self.replies.borrow_mut();
        if replies.is_empty() {
            self.replies_ready.notify_one();
        }
        change(replies.entry(to).or_default());
    }

    /// Waits until all that was sent to these shards, answers of this turn included, lies in their
    /// inboxes. They take it before anything that somebody sends them later.
    pub async fn drained(&self, shards: Range<usize>) {
        while !self.replies.borrow().is_empty() {
            // They leave at the end of the turn.
            task::yield_now().await;
        }
        while shards.clone().any(|to| self.lanes[to].is_congested()) {
            self.room.notified().await;
        }
    }

    /// Runs `job` on another shard and waits for what it returns.
    ///
    /// A call to a shard that has ended would wait for ever. Shards end when shard 0 tells them to
    /// (`start.rs`), all at once: each stays until its answer to that has left, so shard 0 has it,
    /// and the calls of the others end with their executors.
    pub async fn call<T, F, Fut>(&self, shard: usize, job: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(Rc<DataPlane>) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
    {
        let (sender, receiver) = oneshot();
        let call = self.calls.borrow_mut().insert(sender);
        let job: Job = Box::new(move |data| {
            Box::pin(async move { Box::new(job(data).await) as Box<dyn Any + Send> })
        });
        self.send(shard, ShardMessage::Run { call, job });
        let value = receiver.await.expect("its sender is in `calls` until the value comes");
        *value.downcast().expect("a job returns the type its caller asked for")
    }

    /// Hands a returned value to its caller.
    pub fn returned(&self, call: usize, value: Box<dyn Any + Send>) {
        let sender = self.calls.borrow_mut().remove(call);
        // The caller may have gone away meanwhile; then nobody wants the value.
        drop(sender.send(value));
    }

    async fn run_lane(self: Rc<Self>, to: usize) {
        let lane = &self.lanes[to];
        loop {
            lane.work.notified().await;
            loop {
                let Some(message) = lane.queue.borrow_mut().pop_front() else { break };
                lane.is_moving.set(true);
                self.port.send(to, message).await;
            }
            lane.is_moving.set(false);
            self.room.notify_all();
        }
    }

    async fn run_replies(self: Rc<Self>) {
        loop {
            self.replies_ready.notified().await;
            for (key, reply) in self.replies.borrow_mut().drain() {
                self.answered.borrow_mut().add(key, reply.piece_bytes);
                self.send(key.shard, ShardMessage::Reply { connection: key.id, reply });
            }
        }
    }
}

#[cfg(test)]
mod tests;
