//! Answers to connections of other shards.
//!
//! They gather in one [`Reply`] per connection until the end of the executor's turn, so a group
//! commit costs one message per connection. What asks for more than a connection may have copied
//! for it makes its reply *overfull*: it is emptied, takes no more answers in this turn, and the
//! connection's shard closes it.

use std::cell::RefCell;
use std::rc::Rc;

use ringmq_remoting::OUT_COPIED_MAX_BYTES;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::sync::Notify;

use super::answered::AnsweredBytes;
use super::{ConnectionKey, Link, Reply, ShardMessage};

/// The answers of a shard that other shards are to write.
#[derive(Default)]
pub(super) struct Replies {
    of_turn: RefCell<HashMap<ConnectionKey, Reply>>,
    ready: Notify,
    /// Message bytes of answers that have left for other shards.
    answered: RefCell<AnsweredBytes>,
}

impl Replies {
    /// Whether all of them have left.
    pub(super) fn are_empty(&self) -> bool {
        self.of_turn.borrow().is_empty()
    }
}

impl Link {
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

    /// Tells the shard of a connection that `handled_bytes` of its requests are handled, together
    /// with the answers of this turn.
    pub fn credit(&self, to: ConnectionKey, handled_bytes: usize) {
        self.with_reply(to, |reply| reply.handled_bytes += handled_bytes);
    }

    /// Whether a connection asked for more in this turn than it may have: it will be closed.
    pub fn is_overfull(&self, to: ConnectionKey) -> bool {
        self.replies.of_turn.borrow().get(&to).is_some_and(|reply| reply.is_overfull)
    }

    /// Whether a connection was answered so much that its shard must be asked whether that has left
    /// before more is answered.
    pub fn has_answered_much(&self, to: ConnectionKey) -> bool {
        let replies = self.replies.of_turn.borrow();
        let this_turn =
            replies.get(&to).map_or(0, |reply| reply.bytes.len() as u64 + reply.piece_bytes);
        self.replies.answered.borrow().is_much(to, this_turn)
    }

    /// Takes note that a connection was found to have room for more.
    pub fn found_room(&self, to: ConnectionKey) {
        self.replies.answered.borrow_mut().forget(to);
    }

    fn with_reply(&self, to: ConnectionKey, change: impl FnOnce(&mut Reply)) {
        let mut replies = self.replies.of_turn.borrow_mut();
        if replies.is_empty() {
            self.replies.ready.notify_one();
        }
        change(replies.entry(to).or_default());
    }

    /// Sends what a turn has gathered, for ever.
    pub(super) async fn run_replies(self: Rc<Self>) {
        loop {
            self.replies.ready.notified().await;
            for (key, reply) in self.replies.of_turn.borrow_mut().drain() {
                self.replies.answered.borrow_mut().add(key, reply.piece_bytes);
                self.send(key.shard, ShardMessage::Reply { connection: key.id, reply });
            }
        }
    }
}
