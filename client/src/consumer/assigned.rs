//! One queue that a member has: what is pulled of it and not consumed, and what its loops wait for.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ringmq_protocol::names::MASTER_ID;
use ringmq_runtime::clock;
use ringmq_runtime::sync::Notify;

use super::locks::QueueLock;
use super::poll_state::PollState;
use super::process_queue::ProcessQueue;
use crate::queue::MessageQueue;

/// One queue that is ours.
pub(crate) struct Assigned {
    pub(crate) queue: MessageQueue,
    pub(crate) held: RefCell<ProcessQueue>,
    /// Offset of the next pull.
    pub(crate) next_offset: Cell<i64>,
    /// Broker id that the last answer suggested.
    pub(crate) source: Cell<i64>,
    /// Tells results of this assignment from those of an earlier one.
    pub(crate) id: u64,
    pub(crate) is_given_up: Cell<bool>,
    /// Read by listener threads: work that has not begun is skipped.
    pub(crate) skip: Arc<AtomicBool>,
    /// Of use where it is consumed in order.
    pub(crate) lock: QueueLock,
    /// Of use where it is polled.
    pub(super) poll: PollState,
    pub(crate) pulled_at_ms: Cell<i64>,
    pub(crate) consumed_at_ms: Cell<i64>,
    /// Ends a long poll.
    pub(crate) given_up: Notify,
    /// Wakes the pull loop: there may be room.
    pub(crate) room: Notify,
}

impl Assigned {
    pub(crate) fn new(queue: MessageQueue, next_offset: i64, lock: QueueLock) -> Rc<Self> {
        let now_ms = clock::unix_ms();
        Rc::new(Self {
            queue,
            held: RefCell::default(),
            next_offset: Cell::new(next_offset),
            source: Cell::new(MASTER_ID),
            id: next_id(),
            is_given_up: Cell::new(false),
            skip: Arc::default(),
            lock,
            poll: PollState::default(),
            pulled_at_ms: Cell::new(now_ms),
            consumed_at_ms: Cell::new(now_ms),
            given_up: Notify::new(),
            room: Notify::new(),
        })
    }

    /// Ends its loops.
    pub(crate) fn give_up(&self) {
        self.is_given_up.set(true);
        self.skip.store(true, Ordering::Relaxed);
        self.given_up.notify_one();
        self.room.notify_one();
        self.lock.ready.notify_one();
    }
}

/// Tells one of ours from those that had its place before.
pub(super) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
