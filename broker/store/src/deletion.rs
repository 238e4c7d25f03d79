//! Topics that are deleted, and until when a crash could bring them back.
//!
//! A deletion is a step in memory. Two things can undo it: the index stream, which still has the
//! queues, and the log behind the last checkpoint, from which a start indexes their newest messages
//! once more. So it lasts when everything that was appended before it is durable and a checkpoint
//! has been written since.

use std::cell::Cell;

use crate::error::Fenced;
use crate::log::{Inner, Log};
use crate::position::QueueKey;

/// Deletions of one log.
#[derive(Debug, Default)]
pub(crate) struct Deletions {
    made: Cell<u64>,
    /// Those that the index stream knows of.
    saved: Cell<u64>,
    /// End of the log at the last one.
    end: Cell<u64>,
}

impl Deletions {
    fn note(&self, end: u64) {
        self.made.set(self.made.get() + 1);
        self.end.set(end);
    }

    /// How many there were: a checkpoint that begins now saves them.
    pub(crate) fn made(&self) -> u64 {
        self.made.get()
    }

    /// Notes that a checkpoint is durable which began when `made` deletions had been made.
    pub(crate) fn saved(&self, made: u64) {
        self.saved.set(made);
    }

    /// Whether one waits for the flush of what was appended before it.
    pub(crate) fn wants_flush(&self, durable: u64) -> bool {
        durable < self.end.get()
    }

    /// Whether all of them last.
    fn are_lasting(&self, indexed: u64) -> bool {
        self.made.get() == self.saved.get() && indexed >= self.end.get()
    }
}

impl Log {
    /// Forgets all queues of a topic; a new queue of the same name starts at offset 0. Returns how
    /// many there were. A crash may undo it until [`Log::deletions_last`] has returned. Their slots
    /// are given out again after the next start: see
    /// [`AppendError::OutOfSlots`](crate::AppendError::OutOfSlots).
    pub fn delete_topic(&self, topic: &str) -> usize {
        let inner = &self.inner;
        let mut state = inner.state.borrow_mut();
        let of_topic = state.queues.iter().filter(|(_, queue)| *queue.topic == *topic);
        let keys: Vec<QueueKey> = of_topic.map(|(key, _)| key).collect();
        keys.iter().for_each(|key| state.queues.delete(*key));
        if !keys.is_empty() {
            inner.deletions.note(state.marks.appended());
            inner.signals.unflushed.notify_one();
            inner.signals.unsaved.notify_one();
        }
        keys.len()
    }

    /// Waits until no crash brings back what was deleted so far. It does not wait for the pauses
    /// between flushes and between checkpoints.
    ///
    /// # Errors
    /// [`Fenced`] when a write or flush failed, or the log was closed before.
    pub async fn deletions_last(&self) -> Result<(), Fenced> {
        let inner = &self.inner;
        let outcome = || match inner.deletions.are_lasting(inner.indexed.get()) {
            true => Some(Ok(())),
            false => inner.state.borrow().fenced.clone().map(Err),
        };
        inner.signals.saved.until(outcome).await
    }
}

impl Inner {
    /// Whether a checkpoint, written now, would make deletions last.
    pub(crate) fn is_deletion_waiting(&self) -> bool {
        let durable = self.state.borrow().marks.durable();
        !self.deletions.wants_flush(durable) && !self.deletions.are_lasting(self.indexed.get())
    }
}
