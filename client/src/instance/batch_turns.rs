//! Turns of orderly batches, by group and queue.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use ringmq_runtime::sync::Turn;

use crate::queue::MessageQueue;

/// Whose batch of a queue is at work, as long as anybody has to do with the queue.
///
/// All assignments of a queue to a group of this client share its turn: also those of a member that
/// stopped while its listener was at work and of the one that joined after it. Brokers cannot tell
/// them apart and grant both its lock.
#[derive(Default)]
pub(crate) struct BatchTurns {
    turns: RefCell<BTreeMap<(String, MessageQueue), Weak<Turn>>>,
}

impl BatchTurns {
    /// The turn of a queue's batches: one that an earlier assignment still holds, or a new one.
    pub(crate) fn of(&self, group: &str, queue: &MessageQueue) -> Rc<Turn> {
        let mut turns = self.turns.borrow_mut();
        let key = (group.to_owned(), queue.clone());
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Rc::new(Turn::default());
        turns.insert(key, Rc::downgrade(&turn));
        turn
    }
}
