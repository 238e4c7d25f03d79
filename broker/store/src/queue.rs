//! One queue of the queue index: where its messages lie in the log.
//!
//! A queue costs no file. Its newest entries are in memory (`recent`); when there are enough of
//! them and the log below them is durable, a checkpoint writes them as one block into the index
//! stream and the queue keeps 24 bytes about it (`directory`). So a billion messages in blocks of
//! 1024 need 24 MB of directories. With so many queues that blocks of that size would not fit into
//! memory they are smaller (`QueueIndex::block_limit`), and stay so: 200,000 queues take 5 bytes a
//! message.
//!
//! Invariants: `min <= visible <= next`; offsets in `directory` and `recent` are dense and in log
//! order; entries below `saved` are on disk; a block holds only entries of durable records.

use std::collections::VecDeque;

use crate::entry::Entry;

/// One block of entries in the index stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRef {
    /// Queue offset of its first entry.
    pub(crate) first: u64,
    /// Place of its frame in the index stream.
    pub(crate) at: u64,
    /// Log byte of its first entry.
    pub(crate) byte: u64,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// In memory.
    Here(Entry),
    /// In this block of the index stream, which holds `count` entries.
    Block { block: BlockRef, count: usize },
}

/// One queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) topic: Box<str>,
    pub(crate) queue_id: i32,
    /// Oldest offset that can be read.
    pub(crate) min: u64,
    /// First offset that consumers must not see yet.
    pub(crate) visible: u64,
    pub(crate) directory: VecDeque<BlockRef>,
    pub(crate) recent: VecDeque<Entry>,
    /// Offset of `recent[0]`.
    pub(crate) recent_first: u64,
    pub(crate) saved: u64,
    pub(crate) saved_min: u64,
    pub(crate) is_announced: bool,
    pub(crate) is_dirty: bool,
    /// End of the queue when the log was opened; 0 for a queue that came since.
    pub(crate) at_start: u64,
}

impl Queue {
    pub(crate) fn new(topic: &str, queue_id: i32, first: u64) -> Self {
        Self {
            topic: topic.into(),
            queue_id,
            min: first,
            visible: first,
            directory: VecDeque::new(),
            recent: VecDeque::new(),
            recent_first: first,
            saved: first,
            saved_min: first,
            is_announced: false,
            is_dirty: false,
            at_start: 0,
        }
    }

    /// The offset that the next message gets.
    pub(crate) fn next(&self) -> u64 {
        self.recent_first + self.recent.len() as u64
    }

    /// Where the entry of `offset` is; `None` outside of `min..next`.
    pub(crate) fn find(&self, offset: u64) -> Option<Found> {
        if offset < self.min || offset >= self.next() {
            return None;
        }
        if let Some(index) = offset.checked_sub(self.recent_first) {
            return self.recent.get(index as usize).copied().map(Found::Here);
        }
        let behind = self.directory.partition_point(|block| block.first <= offset);
        let index = behind.checked_sub(1)?;
        let end = self.directory.get(behind).map_or(self.recent_first, |next| next.first);
        let block = self.directory[index];
        Some(Found::Block { block, count: (end - block.first) as usize })
    }

    /// Takes over a block: from disk at start, or after a checkpoint wrote entries that are in
    /// `recent`.
    ///
    /// False when it leaves a hole or holds nothing new: then the index files contradict each
    /// other.
    pub(crate) fn adopt_block(&mut self, block: BlockRef, count: usize) -> bool {
        let end = block.first + count as u64;
        if block.first > self.recent_first || end <= self.recent_first {
            return false;
        }
        let here = ((end - self.recent_first) as usize).min(self.recent.len());
        self.recent.drain(..here);
        self.recent_first = end;
        self.directory.push_back(block);
        self.saved = self.saved.max(end);
        self.visible = self.visible.max(end);
        true
    }

    /// Takes over entries from disk at start; false when they leave a hole.
    pub(crate) fn adopt_entries(
        &mut self,
        first: u64,
        entries: impl ExactSizeIterator<Item = Entry>,
    ) -> bool {
        if first != self.next() {
            return false;
        }
        self.recent.extend(entries);
        (self.saved, self.visible) = (self.next(), self.next());
        true
    }

    /// How many entries in memory are of records that end at or below log byte `end`.
    pub(crate) fn count_up_to(&self, end: u64) -> usize {
        self.recent.partition_point(|entry| entry.end() <= end)
    }

    /// Raises `min`; blocks that are wholly below leave the directory.
    ///
    /// From disk it may pass `next`: entries can expire before they were ever saved.
    pub(crate) fn raise_min(&mut self, min: u64) {
        self.min = self.min.max(min);
        let behind = self.directory.partition_point(|block| block.first <= self.min);
        // The last of these still counts while it holds entries from `min` on.
        let last_end = self.directory.get(behind).map_or(self.recent_first, |next| next.first);
        let dead = if self.min < last_end { behind.saturating_sub(1) } else { behind };
        self.directory.drain(..dead);
        if let Some(passed) = self.min.checked_sub(self.recent_first) {
            self.recent.drain(..(passed as usize).min(self.recent.len()));
            self.recent_first = self.min;
        }
        self.saved = self.saved.max(self.recent_first);
        self.visible = self.visible.max(self.min);
    }

    /// What expires when the log loses its bytes below `byte`: either an exact minimum, or the
    /// block to look into.
    pub(crate) fn expiry(&self, byte: u64) -> Expiry {
        let behind = self.directory.partition_point(|block| block.byte < byte);
        if behind == 0 && !self.directory.is_empty() {
            return Expiry::Exact(self.min);
        }
        let is_in_recent = self.recent.front().is_some_and(|first| first.byte() < byte);
        if behind == self.directory.len() && is_in_recent {
            let dead = self.recent.partition_point(|entry| entry.byte() < byte);
            return Expiry::Exact(self.recent_first + dead as u64);
        }
        match behind.checked_sub(1) {
            Some(index) => {
                let block = self.directory[index];
                let end = self.directory.get(behind).map_or(self.recent_first, |next| next.first);
                Expiry::Inside { block, count: (end - block.first) as usize }
            }
            None => Expiry::Exact(self.min),
        }
    }
}

/// See [`Queue::expiry`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Exact(u64),
    Inside { block: BlockRef, count: usize },
}
