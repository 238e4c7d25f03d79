//! The logs of one shard, each with those who wait for it.
//!
//! Life of an append: the record is placed and an entry joins [`Waiters`], in one synchronous step; the log's
//! watermark passes the record; answers leave and held pulls wake. When the log is *fenced* (a write or flush
//! failed) everybody who waits is refused, and so is every later send, with the reason: nothing that may be
//! lost is acknowledged.
//!
//! When the log has no room for a record, the request is *stalled* with everything that follows it for the
//! same log, in order, and the shard reads nothing more until the log has room again.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use ringmq_remoting::ReplyTo;
use ringmq_runtime::sync::Notify;
use ringmq_store::Log;

use crate::peer::Peer;
use crate::waiters::Waiters;

/// Whom to answer when a message is acknowledged.
pub type Sender = (Peer, ReplyTo);

/// A request that waits for room in its log: its sender and its frame.
pub struct Stalled {
    /// Who sent it.
    pub peer: Peer,
    /// The whole frame.
    pub frame: Vec<u8>,
}

/// A log and what the shard keeps for it.
pub struct OwnedLog {
    /// The store of messages.
    pub log: Log,
    /// Appended and not acknowledged.
    pub waiters: RefCell<Waiters<Sender>>,
    /// Sends that found the log full, oldest first.
    pub stalled: RefCell<VecDeque<Stalled>>,
    /// Wakes the task that retries stalled sends.
    pub stall: Notify,
    /// A stalled send is being retried: it must not queue behind itself.
    pub is_retrying: Cell<bool>,
    fenced: RefCell<Option<Rc<str>>>,
}

impl OwnedLog {
    /// Wraps an open log.
    pub fn new(log: Log) -> Rc<Self> {
        Rc::new(Self {
            log,
            waiters: RefCell::default(),
            stalled: RefCell::default(),
            stall: Notify::default(),
            is_retrying: Cell::new(false),
            fenced: RefCell::default(),
        })
    }

    /// Why the log refuses sends, once it does.
    pub fn fenced(&self) -> Option<Rc<str>> {
        self.fenced.borrow().clone()
    }

    /// Refuses sends from now on.
    pub fn fence(&self, reason: &str) {
        self.fenced.borrow_mut().get_or_insert_with(|| reason.into());
    }

    /// Whether a new send has to queue behind others.
    pub fn must_stall(&self) -> bool {
        !self.is_retrying.get() && !self.stalled.borrow().is_empty()
    }
}
