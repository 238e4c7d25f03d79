//! How one shard speaks to another without ever waiting.
//!
//! A mesh channel is bounded and pushes back; a service that is in the middle of a synchronous step
//! cannot wait for room. [`Link::send`] therefore queues behind a full channel, in order, and a
//! task moves the queue on. Nothing is dropped. While a queue is not empty the shard is *congested*
//! towards that peer, and stops reading the connections whose requests go there
//! ([`Link::is_congested`]), so a queue holds no more than one read of every connection that was
//! already being served.
//!
//! What is said is in [`message`]; how the answers of a turn are gathered in [`replies`], and how a
//! shard has another one do something in [`calls`].

mod answered;
mod backlog;
mod calls;
mod message;
mod pools;
mod replies;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::mesh::Port;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

pub use self::backlog::Backlog;
use self::calls::Calls;
pub use self::message::{ConnectionKey, Pieces, RemoteConnection, Reply, ShardMessage};
use self::pools::Pools;
use self::replies::Replies;
use crate::stages::Arrival;

/// Messages in flight from one shard to another before the sender queues: about 1 MiB of small
/// frames.
pub const MESH_CAPACITY: usize = 1024;

/// Pause before a look whether a shard has worked off its backlog.
const BACKLOG_PAUSE: Duration = Duration::from_millis(1);

/// The way from this shard to one other.
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
    calls: Calls,
    replies: Replies,
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
            calls: Calls::default(),
            replies: Replies::default(),
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

    /// The next message for this shard, if one is there, and who sent it.
    pub fn try_receive(&self) -> Option<(usize, ShardMessage)> {
        self.port.try_recv()
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

    /// Waits until all that was sent to these shards, answers of this turn included, lies in their
    /// inboxes. They take it before anything that somebody sends them later.
    pub async fn drained(&self, shards: Range<usize>) {
        while !self.replies.are_empty() {
            // They leave at the end of the turn.
            task::yield_now().await;
        }
        while shards.clone().any(|to| self.lanes[to].is_congested()) {
            self.room.notified().await;
        }
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
}

#[cfg(test)]
mod tests;
