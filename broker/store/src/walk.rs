//! The walk of a read along its queue: which records it wants, and where the consumer goes on.
//!
//! It ends when the batch is full, the queue ended or the scan limit is reached, or before an entry
//! that is not in memory.

use std::rc::Rc;

use crate::blocks;
use crate::entry::{ENTRY_SIZE, Entry};
use crate::log::{Inner, State};
use crate::position::{QueueKey, QueueOffset};
use crate::queue::{BlockRef, Found};
use crate::read::{BatchLimit, ReadLimits, ReadQuery, ReadResult, ReadStatus};

/// Entries that a filtered read looks at, at least (Apache's `maxFilterMessageSize` of 16000, in
/// units of 20 bytes).
const SCAN_ENTRIES_MIN: usize = 800;

/// The same, at most, however many messages are asked for: 0.2 ms when all entries are in memory,
/// and 16 blocks of the index when they are not. Where nothing matches, the client goes on behind
/// them.
const SCAN_ENTRIES_MAX: usize = 16 << 10;

/// Bytes that the entries of the longest scan take: stated here because the index cache should hold
/// some of them.
const _: () = assert!(SCAN_ENTRIES_MAX * ENTRY_SIZE < 512 << 10);

/// Hard limit of one answer.
const READ_MAX_BYTES: u64 = 128 << 20;

/// A record that will be part of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its offset in the queue.
    pub(crate) offset: u64,
    pub(crate) byte: u64,
    pub(crate) len: u64,
}

impl Wanted {
    /// Neighbours as one.
    pub(crate) fn all_of(run: &[Self]) -> Self {
        Self { len: run.iter().map(|record| record.len).sum(), ..run[0] }
    }

    /// Bytes of the log from the first to the end of the last.
    pub(crate) fn span(wanted: &[Self]) -> u64 {
        wanted.last().map_or(0, |last| last.byte + last.len - wanted[0].byte)
    }
}

/// The state of one read: what was taken, and how far it looked.
pub(crate) struct Walk {
    limits: ReadLimits,
    key: QueueKey,
    min: u64,
    max: u64,
    next: u64,
    count: usize,
    bytes: u64,
    scanned: usize,
    /// First byte of the first record that was taken.
    first_byte: Option<u64>,
    last_byte: u64,
    /// The block of entries that the last one was in, and the offset of its first.
    block: Option<(u64, Rc<[Entry]>)>,
    /// The batch is full, the queue ended, or the scan limit was reached.
    is_done: bool,
}

/// Why a walk stopped.
pub(crate) enum Stop {
    Done,
    /// This block is needed; the number of its entries.
    Block(BlockRef, usize),
}

impl Walk {
    /// Checks the offset against the queue.
    ///
    /// # Errors
    /// The answer, when there is nothing to walk along.
    pub(crate) fn start(state: &State, query: &ReadQuery<'_>) -> Result<Self, ReadResult> {
        let found = state.queues.find(query.topic, query.queue_id);
        let Some((key, queue)) = found.and_then(|key| Some((key, state.queues.get(key)?))) else {
            return Err(answer(ReadStatus::NoMatchedQueue, 0, 0, 0));
        };
        let (min, max, from) = (queue.min, queue.visible, query.from.0);
        let refused = |status, next| Err(answer(status, next, min, max));
        if max == 0 {
            return refused(ReadStatus::NoMessageInQueue, 0);
        }
        if from < min {
            return refused(ReadStatus::OffsetTooSmall, min);
        }
        if from == max {
            return refused(ReadStatus::OffsetOverflowOne, from);
        }
        if from > max {
            return refused(ReadStatus::OffsetOverflowBadly, max);
        }
        Ok(Self {
            limits: query.limits,
            key,
            min,
            max,
            next: from,
            count: 0,
            bytes: 0,
            scanned: 0,
            first_byte: None,
            last_byte: 0,
            block: None,
            is_done: false,
        })
    }

    /// Walks as far as entries are in memory. The limits are those of the first record: a batch
    /// does not shrink on its way.
    pub(crate) fn collect(
        &mut self,
        inner: &Inner,
        wants: &mut dyn FnMut(i64) -> bool,
        wanted: &mut Vec<Wanted>,
    ) -> Stop {
        let state = inner.state.borrow();
        while !self.is_done {
            let entry = match self.near_entry(inner, &state) {
                Near::Here(entry) => entry,
                Near::Block(block, count) => return Stop::Block(block, count),
                Near::Gone => return Stop::Done,
            };
            if entry.byte() < state.segments.min() || !wants(entry.tag_hash) {
                self.step(entry);
                continue;
            }
            let first_byte = *self.first_byte.get_or_insert(entry.byte());
            let is_cached = state.marks.appended() - first_byte <= self.limits.near_bytes;
            let is_near = is_cached || first_byte >= state.tail.start();
            let limit = if is_near { self.limits.in_memory } else { self.limits.on_disk };
            if !self.admits(entry, limit) {
                break;
            }
            let (offset, byte, len) = (self.next, entry.byte(), u64::from(entry.size()));
            wanted.push(Wanted { offset, byte, len });
            self.count += 1;
            self.bytes += len;
            self.step(entry);
        }
        Stop::Done
    }

    /// The blocks of entries that the next two reads as long as this one begin with, and how many
    /// each has; none of those that are in memory. The first alone would come too late for a reader
    /// that catches up: the device gives it behind all that was asked of it before.
    pub(crate) fn blocks_ahead(&self, inner: &Inner) -> [Option<(BlockRef, usize)>; 2] {
        let state = inner.state.borrow();
        [self.next, self.next + self.scanned as u64].map(|offset| {
            if self.in_block(offset).is_some() {
                return None;
            }
            match state.queues.get(self.key)?.find(offset)? {
                Found::Here(_) => None,
                Found::Block { block, count } => {
                    blocks::cached(inner, block).is_none().then_some((block, count))
                }
            }
        })
    }

    /// The entry of `offset`, if it is in the block of the last one.
    fn in_block(&self, offset: u64) -> Option<Entry> {
        let (first, entries) = self.block.as_ref()?;
        entries.get(usize::try_from(offset.checked_sub(*first)?).ok()?).copied()
    }

    /// The entry that comes next, if it is in memory.
    fn near_entry(&mut self, inner: &Inner, state: &State) -> Near {
        // Neighbours are nearly always in one block: one look-up for all of them.
        if let Some(entry) = self.in_block(self.next) {
            return Near::Here(entry);
        }
        match state.queues.get(self.key).and_then(|queue| queue.find(self.next)) {
            // The queue was deleted, or its minimum passed this walk.
            None => Near::Gone,
            Some(Found::Here(entry)) => Near::Here(entry),
            Some(Found::Block { block, count }) => {
                let Some(entries) = blocks::cached(inner, block) else {
                    return Near::Block(block, count);
                };
                let entry = entries[(self.next - block.first) as usize];
                self.block = Some((block.first, entries));
                Near::Here(entry)
            }
        }
    }

    /// Whether one more record fits; the first one always does.
    fn admits(&self, entry: Entry, limit: BatchLimit) -> bool {
        let bytes = self.bytes + u64::from(entry.size());
        self.count == 0
            || (self.count < self.limits.count
                && self.count < limit.count
                && bytes <= limit.bytes
                && bytes <= READ_MAX_BYTES)
    }

    fn step(&mut self, entry: Entry) {
        self.next += 1;
        self.scanned += 1;
        self.last_byte = entry.byte();
        self.is_done = self.next >= self.max
            || self.count >= self.limits.count.max(1)
            || self.scanned >= self.limits.count.clamp(SCAN_ENTRIES_MIN, SCAN_ENTRIES_MAX);
    }

    /// Goes back to before the first record of `wanted`, all that was taken, that is left out: the
    /// answer has only `fetched` of them.
    pub(crate) fn end_before(&mut self, wanted: &[Wanted], fetched: usize) {
        let (taken, left) = wanted.split_at(fetched);
        if let (Some(last), Some(first_left)) = (taken.last(), left.first()) {
            self.next = first_left.offset;
            self.last_byte = last.byte;
            self.count = fetched;
            self.bytes = taken.iter().map(|record| record.len).sum();
        }
    }

    /// Takes these out of what was taken; the walk has still come behind them.
    pub(crate) fn leave_out(&mut self, lost: &[Wanted]) {
        self.count -= lost.len();
        self.bytes -= lost.iter().map(|record| record.len).sum::<u64>();
    }

    /// What the walk came to.
    pub(crate) fn result(&self, state: &State) -> ReadResult {
        let status = match self.count {
            0 if self.last_byte < state.segments.min() => ReadStatus::MessageWasRemoving,
            0 => ReadStatus::NoMatchedMessage,
            _ => ReadStatus::Found,
        };
        ReadResult {
            count: self.count,
            bytes: self.bytes,
            from_memory: self.first_byte.is_none_or(|first| first >= state.tail.start()),
            behind_bytes: state.marks.appended() - self.last_byte,
            ..answer(status, self.next, self.min, self.max)
        }
    }

    /// The answer when retention took what was found.
    pub(crate) fn removed(&self, state: &State) -> ReadResult {
        let min = state.queues.get(self.key).map_or(self.next, |queue| queue.min);
        answer(ReadStatus::MessageWasRemoving, min.max(self.min), min, self.max)
    }
}

/// Where the next entry of a walk is.
enum Near {
    Here(Entry),
    /// On the device, in this block; the number of its entries.
    Block(BlockRef, usize),
    Gone,
}

fn answer(status: ReadStatus, next: u64, min: u64, max: u64) -> ReadResult {
    ReadResult {
        status,
        next_offset: QueueOffset(next),
        min_offset: QueueOffset(min),
        max_offset: QueueOffset(max),
        count: 0,
        bytes: 0,
        from_memory: true,
        behind_bytes: 0,
    }
}
