//! Saves a queue index to the index stream, in two phases with the log going on between them.
//!
//! 1. *Write*: [`QueueIndex::begin_save`], [`QueueIndex::save_next`] until none is left, and
//!    [`QueueIndex::save_deletions`] put frames into a checkpoint. A [`Saving`] remembers which
//!    queues are still to come, and what was written of the others.
//! 2. *Note*: when the checkpoint is durable, [`QueueIndex::saved`] takes over what was written. A
//!    checkpoint that fails never comes here: its log is fenced.
//!
//! States of an entry, which the write leaves as they are and the note changes:
//! - *unsaved*: in memory only (`Queue::recent`, at or above `Queue::saved`);
//! - *saved*: in the stream, and in memory too (below `Queue::saved`), since there are too few of
//!   them for a block;
//! - *in a block*: in the stream, where `Queue::directory` finds it, and not in memory. From either
//!   of the others, as soon as the queue has a block of them.
//!
//! Invariants:
//! - One save at a time, only of records that end at or below its `below`, all of which are
//!   durable.
//! - A queue that is dirty is either on the list of the next save or still to come in this one:
//!   never on both, never on neither.
//! - The write changes no queue but for its marks (`is_dirty`, `is_announced`), so what is read and
//!   appended meanwhile finds every entry where it was. What retention or a deletion takes away
//!   before the note is passed over by it.
//! - A queue is announced in front of its first entry and not before it has one to save.
//! - Deletions made during the write are in the same checkpoint.

use super::QueueIndex;
use crate::entry::{ENTRY_SIZE, Entry};
use crate::frame::{FrameKind, FrameWriter};
use crate::queue::{BlockRef, Queue};

/// What one checkpoint wrote of one queue, to be applied when it is durable.
#[derive(Debug)]
pub(crate) struct QueueSaved {
    slot: u32,
    /// Blocks written, with their numbers of entries.
    blocks: Vec<(BlockRef, usize)>,
    saved: u64,
    saved_min: u64,
}

/// A checkpoint of the queues that is being written. Those it has not come to are marked dirty and
/// on no list.
pub(crate) struct Saving {
    slots: std::vec::IntoIter<u32>,
    below: u64,
    block_limit: usize,
    saved: Vec<QueueSaved>,
}

impl Saving {
    /// What was written, for [`QueueIndex::saved`].
    pub(crate) fn into_saved(self) -> Vec<QueueSaved> {
        assert!(self.slots.as_slice().is_empty(), "all queues were written");
        self.saved
    }
}

impl QueueIndex {
    /// The smallest block that a checkpoint should make so that at most `budget` entries stay in
    /// memory.
    ///
    /// Powers of two are fine enough: a queue's entries are then written in blocks of at least half
    /// the possible size.
    pub(crate) fn block_limit(&self, budget: usize) -> usize {
        if self.recent_entries <= budget {
            return self.block_entries;
        }
        let mut held_by_size = [0_usize; usize::BITS as usize];
        for (_, queue) in self.iter() {
            held_by_size[queue.recent.len().max(1).ilog2() as usize] += queue.recent.len();
        }
        let mut held = 0;
        let keeps = |held_here: &&usize| {
            held += **held_here;
            held <= budget / 2
        };
        let bits = held_by_size.iter().take_while(keeps).count();
        self.block_entries.min(1_usize.checked_shl(bits as u32).unwrap_or(usize::MAX))
    }

    /// Begins to write everything about records that end at or below `below` and is not on disk
    /// yet: deletions at once, queues by [`QueueIndex::save_next`].
    ///
    /// Queues with `block_limit` entries or more in memory give them up in blocks.
    pub(crate) fn begin_save(
        &mut self,
        out: &mut FrameWriter,
        below: u64,
        block_limit: usize,
    ) -> Saving {
        self.save_deletions(out);
        let mut slots = std::mem::take(&mut self.dirty);
        if block_limit < self.block_entries {
            let crowded = self.crowded(block_limit);
            for slot in &crowded {
                // Or an append in between would list it a second time.
                self.slots[*slot as usize].as_mut().expect("listed just now").is_dirty = true;
            }
            slots.extend(crowded);
        }
        let saved = Vec::with_capacity(slots.len());
        Saving { slots: slots.into_iter(), below, block_limit, saved }
    }

    /// Writes which queues were deleted. Before the mark of a checkpoint once more: those that were
    /// deleted before their turn came are not in it, and a start that knew them as they were before
    /// would take their next records in the log for damage.
    pub(crate) fn save_deletions(&mut self, out: &mut FrameWriter) {
        for slot in self.deleted.drain(..) {
            out.put(FrameKind::QueueDeleted, slot, 0, &[]);
        }
    }

    /// Writes the next queues of a checkpoint, `count` at most; false when there were none left.
    pub(crate) fn save_next(
        &mut self,
        saving: &mut Saving,
        count: usize,
        out: &mut FrameWriter,
    ) -> bool {
        let Saving { slots, below, block_limit, saved } = saving;
        let is_over = slots.as_slice().is_empty();
        for slot in slots.take(count) {
            let Some(queue) = self.slots[slot as usize].as_mut() else { continue };
            let settled = queue.count_up_to(*below);
            // Entries above `below` wait for the next checkpoint.
            queue.is_dirty = settled < queue.recent.len();
            if queue.is_dirty {
                self.dirty.push(slot);
            }
            // So does the name of a queue all of whose entries do. A deleted queue of this name may
            // have records above `below` too, which a start meets in the log before those of this
            // one: it must not know this one by then.
            if !queue.is_announced {
                if settled == 0 {
                    continue;
                }
                announce(queue, slot, out);
            }
            saved.push(save_queue(queue, slot, out, *below, self.block_entries, *block_limit));
        }
        !is_over
    }

    /// Queues that are not dirty but hold at least `limit` entries.
    fn crowded(&self, limit: usize) -> Vec<u32> {
        self.iter()
            .filter(|(_, queue)| !queue.is_dirty && queue.recent.len() >= limit)
            .map(|(key, _)| key.0)
            .collect()
    }

    /// Notes that a checkpoint is durable. `forget` receives the entries that leave memory, by
    /// block.
    pub(crate) fn saved(
        &mut self,
        saved: Vec<QueueSaved>,
        mut forget: impl FnMut(BlockRef, Box<[Entry]>),
    ) {
        for QueueSaved { slot, blocks, saved, saved_min } in saved {
            let Some(queue) = self.slots[slot as usize].as_mut() else { continue };
            (queue.saved, queue.saved_min) = (queue.saved.max(saved), saved_min);
            for (block, count) in blocks {
                // Retention may have passed the beginning of the block, or all of it, meanwhile.
                let end = block.first + count as u64;
                let here = end.saturating_sub(queue.recent_first) as usize;
                if here == 0 {
                    continue;
                }
                if here == count {
                    forget(block, queue.recent.iter().take(count).copied().collect());
                }
                self.recent_entries -= here;
                assert!(queue.adopt_block(block, count), "block {block:?} follows the directory");
            }
            // An idle queue should not keep the room of its busiest second.
            if !queue.is_dirty && queue.recent.capacity() > 4 * (queue.recent.len() + 16) {
                queue.recent.shrink_to(queue.recent.len() + 16);
            }
        }
    }
}

fn announce(queue: &mut Queue, slot: u32, out: &mut FrameWriter) {
    let mut payload = Vec::with_capacity(4 + queue.topic.len());
    payload.extend_from_slice(&queue.queue_id.to_be_bytes());
    payload.extend_from_slice(queue.topic.as_bytes());
    out.put(FrameKind::QueueOpened, slot, queue.recent_first, &payload);
    queue.is_announced = true;
}

fn save_queue(
    queue: &Queue,
    slot: u32,
    out: &mut FrameWriter,
    below: u64,
    block_entries: usize,
    block_limit: usize,
) -> QueueSaved {
    if queue.saved_min < queue.min {
        out.put(FrameKind::Expired, slot, queue.min, &[]);
    }
    let mut done =
        QueueSaved { slot, blocks: Vec::new(), saved: queue.saved, saved_min: queue.min };
    let settled = queue.count_up_to(below);
    let mut from = 0;
    while settled - from >= block_limit {
        let count = (settled - from).min(block_entries);
        let first = queue.recent_first + from as u64;
        let at = put_entries(queue, slot, out, FrameKind::Block, from..from + count);
        done.blocks.push((BlockRef { first, at, byte: queue.recent[from].byte() }, count));
        from += count;
    }
    let unsaved = (queue.saved.saturating_sub(queue.recent_first) as usize).max(from);
    if unsaved < settled {
        put_entries(queue, slot, out, FrameKind::Entries, unsaved..settled);
    }
    done.saved = done.saved.max(queue.recent_first + settled as u64);
    done
}

fn put_entries(
    queue: &Queue,
    slot: u32,
    out: &mut FrameWriter,
    kind: FrameKind,
    range: std::ops::Range<usize>,
) -> u64 {
    let first = queue.recent_first + range.start as u64;
    let frame = out.open(range.len() * ENTRY_SIZE);
    queue.recent.range(range).for_each(|entry| entry.write(out.payload()));
    out.close(frame, kind, slot, first)
}

#[cfg(test)]
mod tests;
