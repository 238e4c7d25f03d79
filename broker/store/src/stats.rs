//! What a log tells about itself: how far it is, which queues it has, and its numbers.
//!
//! All of it is one look at the state of this moment; nothing here changes or waits.

use crate::entry::ENTRY_SIZE;
use crate::error::Fenced;
use crate::log::Log;
use crate::position::{LogPosition, QueueKey, QueueOffset};

/// What was done since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records appended.
    pub records: u64,
    /// Groups written: one or more writes, acknowledged together.
    pub groups: u64,
    /// Flushes.
    pub flushes: u64,
    /// Bytes written to segments, padding and repeated pages included.
    pub bytes_written: u64,
    /// Checkpoints of the index.
    pub checkpoints: u64,
    /// Bytes that the scrubber has checked.
    pub scrubbed_bytes: u64,
    /// Places that it found damaged, once per pass.
    pub damages: u64,
    /// Groups that waited for a segment to be made or to grow.
    pub segment_waits: u64,
}

/// Numbers about an open log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// First byte that the log still has.
    pub min: LogPosition,
    /// First byte behind the newest record.
    pub end: LogPosition,
    /// First byte that is not known to survive a power loss.
    pub durable: LogPosition,
    /// Files of the log.
    pub segments: usize,
    /// Queues.
    pub queues: usize,
    /// Memory of the tail, what readers hold of its former blocks, extents of what came before, the
    /// cached and the newest index entries, in bytes.
    pub memory_bytes: usize,
    /// Bytes not written yet.
    pub unwritten_bytes: u64,
    /// What was done since the log was opened.
    pub counters: Counters,
    /// Why appends are refused, if they are.
    pub fenced: Option<Fenced>,
    /// Why the next segment could not be made, while that is so.
    pub no_space: Option<String>,
}

impl Log {
    /// Store time of the newest message there ever was, Unix milliseconds: store times never fall.
    pub fn newest_stored_at_ms(&self) -> Option<i64> {
        let stored_at_ms = self.inner.state.borrow().last_stored_at_ms;
        i64::try_from(stored_at_ms).ok().filter(|stored_at_ms| *stored_at_ms > 0)
    }

    /// Oldest offset of a queue, and the offset behind the newest message that consumers may see.
    /// `None` for a queue that never had a message.
    pub fn queue_range(&self, topic: &str, queue_id: i32) -> Option<(QueueOffset, QueueOffset)> {
        let state = self.inner.state.borrow();
        let queue = state.queues.get(state.queues.find(topic, queue_id)?)?;
        Some((QueueOffset(queue.min), QueueOffset(queue.visible)))
    }

    /// The offset that the next message of a queue will get; 0 for a queue that never had one.
    pub fn next_offset(&self, topic: &str, queue_id: i32) -> QueueOffset {
        let state = self.inner.state.borrow();
        let queue = state.queues.find(topic, queue_id).and_then(|key| state.queues.get(key));
        QueueOffset(queue.map_or(0, |queue| queue.next()))
    }

    /// Where a queue ended when the log was opened: what lies behind it came since. 0 for a queue
    /// that was not there.
    pub fn offset_at_start(&self, topic: &str, queue_id: i32) -> QueueOffset {
        let state = self.inner.state.borrow();
        let queue = state.queues.find(topic, queue_id).and_then(|key| state.queues.get(key));
        QueueOffset(queue.map_or(0, |queue| queue.at_start))
    }

    /// Calls `visit` with topic, queue id, oldest and visible end offset of queues: of those in the
    /// next `count` slots. Begin with a `slot` of 0; it moves behind them. False when those were
    /// the last.
    pub fn visit_queues(
        &self,
        slot: &mut u32,
        count: u32,
        mut visit: impl FnMut(&str, i32, QueueOffset, QueueOffset),
    ) -> bool {
        let queues = &self.inner.state.borrow().queues;
        let slots = u32::try_from(queues.slots()).expect("slots are numbered in 32 bits");
        let end = slot.saturating_add(count).min(slots);
        for queue in (*slot..end).filter_map(|slot| queues.get(QueueKey(slot))) {
            visit(&queue.topic, queue.queue_id, QueueOffset(queue.min), QueueOffset(queue.visible));
        }
        *slot = end;
        end < slots
    }

    /// Numbers about this log.
    pub fn stats(&self) -> Stats {
        let state = self.inner.state.borrow();
        let entries = state.queues.recent_entries() + state.keys.recent_entries();
        Stats {
            min: self.inner.id.at(state.segments.min()),
            end: self.inner.id.at(state.marks.appended()),
            durable: self.inner.id.at(state.marks.durable()),
            segments: state.segments.len(),
            queues: state.queues.len(),
            memory_bytes: state.tail.capacity_bytes()
                + state.tail.lent_bytes()
                + self.inner.extents.borrow().memory_bytes()
                + self.inner.blocks.borrow().weight()
                + entries * ENTRY_SIZE,
            unwritten_bytes: state.marks.unwritten(),
            counters: state.counters,
            fenced: state.fenced.clone(),
            no_space: state.no_space.clone(),
        }
    }
}
