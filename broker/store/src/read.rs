//! Reading a queue: from memory at once, else from the device.
//!
//! Statuses and next offsets are those of Apache's broker. A read walks the entries of the queue
//! from the asked offset on, lets the caller's filter skip by tag hash, and stops at the limits;
//! the first message always passes.

use ringmq_runtime::buffer::Shared;
use ringmq_runtime::disk::FileView;

use crate::blocks;
use crate::entry::{ENTRY_SIZE, Entry};
use crate::error::ReadError;
use crate::fetch;
use crate::log::{Inner, Log, State};
use crate::position::{QueueKey, QueueOffset};
use crate::queue::{BlockRef, Found};

/// Entries that a filtered read looks at, at least (Apache's `maxFilterMessageSize` of 16000, in
/// units of 20 bytes).
const SCAN_ENTRIES_MIN: usize = 800;

/// Hard limit of one answer.
const READ_BYTES_MAX: u64 = 128 << 20;

/// How many messages an answer may hold, and how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimit {
    /// Messages.
    pub count: usize,
    /// Bytes of records.
    pub bytes: u64,
}

/// The limits of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Messages the consumer asked for.
    pub count: usize,
    /// Messages that lie at most so far behind the end of the log count as in memory, because the
    /// page cache is expected to hold them; 0 leaves it at what this log keeps itself.
    pub near_bytes: u64,
    /// Limit when the messages are in memory (`maxTransfer...OnMessageInMemory`, 32 and 256 KiB).
    pub in_memory: BatchLimit,
    /// Limit when they are not (`maxTransfer...OnMessageInDisk`, 8 and 64 KiB).
    pub on_disk: BatchLimit,
}

impl ReadLimits {
    /// Apache's limits for a consumer that asks for `count` messages.
    pub fn asked(count: usize) -> Self {
        Self {
            count,
            near_bytes: 0,
            in_memory: BatchLimit { count: 32, bytes: 256 << 10 },
            on_disk: BatchLimit { count: 8, bytes: 64 << 10 },
        }
    }
}

/// Which messages a read is to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadQuery<'a> {
    /// Topic of the queue.
    pub topic: &'a str,
    /// Its number in the topic.
    pub queue_id: i32,
    /// The first offset.
    pub from: QueueOffset,
    /// How many.
    pub limits: ReadLimits,
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStatus {
    /// At least one message.
    Found,
    /// Messages were there, but the filter took none of them.
    NoMatchedMessage,
    /// The queue never had a message.
    NoMatchedQueue,
    /// The queue exists and holds nothing yet.
    NoMessageInQueue,
    /// The offset lies before the oldest message.
    OffsetTooSmall,
    /// The offset is the end of the queue.
    OffsetOverflowOne,
    /// The offset lies behind the end of the queue.
    OffsetOverflowBadly,
    /// The messages are being deleted.
    MessageWasRemoving,
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadResult {
    /// How it ended.
    pub status: ReadStatus,
    /// Where the consumer goes on.
    pub next_offset: QueueOffset,
    /// Oldest offset of the queue.
    pub min_offset: QueueOffset,
    /// Visible end of the queue.
    pub max_offset: QueueOffset,
    /// Messages found.
    pub count: usize,
    /// Bytes of their records.
    pub bytes: u64,
    /// All bytes came from memory.
    pub from_memory: bool,
    /// Bytes of the log behind the last message that was looked at: far behind means that another
    /// replica should serve this consumer.
    pub behind_bytes: u64,
}

/// A part of an answer, in the order of the queue.
#[derive(Clone)]
pub enum Piece {
    /// Bytes in memory.
    Memory(Shared),
    /// Bytes of a file, to be sent from there.
    File {
        /// The file, as `send_file` wants it; it stays readable after the segment has been deleted.
        view: FileView,
        /// First byte in the file.
        pos: u64,
        /// Bytes.
        len: u64,
    },
}

/// The answer of [`Log::read_now`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadNow {
    /// It is complete; the pieces are in place.
    Done(ReadResult),
    /// The device is needed: use [`Log::read`].
    Cold,
}

/// A record that will be part of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) byte: u64,
    pub(crate) len: u64,
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
    /// The batch is full, the queue ended, or the scan limit was reached.
    is_done: bool,
}

/// Why a walk stopped.
enum Stop {
    Done,
    /// This block is needed.
    Block(BlockRef, usize),
}

impl Log {
    /// Reads if everything needed is in memory, and adds the messages to `out`.
    ///
    /// `wants` decides by tag hash. Allocates nothing unless `out` has to grow.
    pub fn read_now(
        &self,
        query: &ReadQuery<'_>,
        wants: &mut dyn FnMut(i64) -> bool,
        out: &mut Vec<Piece>,
    ) -> ReadNow {
        let state = self.inner.state.borrow();
        let mut walk = match start(&state, query) {
            Ok(walk) => walk,
            Err(result) => return ReadNow::Done(result),
        };
        let pieces_before = out.len();
        let mut is_cold = false;
        let mut source = Run::default();
        while !walk.is_done {
            let Some(entry) = near_entry(&self.inner, &state, &walk) else {
                is_cold = true;
                break;
            };
            if !wants(entry.tag_hash) {
                walk.skip(entry);
                continue;
            }
            if entry.byte() < state.tail.start() {
                is_cold = true;
                break;
            }
            if !walk.admits(entry, query.limits.in_memory) {
                break;
            }
            walk.take(entry);
            source.add(&state, entry, out);
        }
        source.flush(&state, out);
        // What was found before the cold part is an answer; the next read will ask for the rest.
        if is_cold && walk.count == 0 {
            out.truncate(pieces_before);
            return ReadNow::Cold;
        }
        ReadNow::Done(walk.result(&state, true))
    }

    /// Reads, from the device where needed, and adds the messages to `out`.
    ///
    /// # Errors
    /// When the device fails or the index is damaged there; `out` is as before then.
    pub async fn read(
        &self,
        query: &ReadQuery<'_>,
        wants: &mut dyn FnMut(i64) -> bool,
        out: &mut Vec<Piece>,
    ) -> Result<ReadResult, ReadError> {
        let inner = &*self.inner;
        let start = start(&inner.state.borrow(), query);
        let mut walk = match start {
            Ok(walk) => walk,
            Err(result) => return Ok(result),
        };
        let mut wanted = Vec::new();
        loop {
            match collect(inner, &mut walk, wants, &mut wanted) {
                Stop::Done => break,
                // A second block would mean a second wait: what there is will do.
                Stop::Block(..) if !wanted.is_empty() => break,
                Stop::Block(block, count) => drop(blocks::load(inner, block, count).await?),
            }
        }
        let is_near = walk.begins_in_tail(&inner.state.borrow());
        if wanted.is_empty() {
            return Ok(walk.result(&inner.state.borrow(), is_near));
        }
        let pieces_before = out.len();
        let fetched = fetch::fetch(inner, &wanted, out).await;
        if let Err(error) = fetched {
            out.truncate(pieces_before);
            // Retention was faster.
            if wanted[0].byte < inner.state.borrow().segments.min() {
                return Ok(walk.removed(&inner.state.borrow()));
            }
            return Err(error);
        }
        Ok(walk.result(&inner.state.borrow(), is_near))
    }
}

/// Checks the offset against the queue.
fn start(state: &State, query: &ReadQuery<'_>) -> Result<Walk, ReadResult> {
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
    Ok(Walk {
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
        is_done: false,
    })
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

/// The entry that a walk looks at next, if it is in memory.
fn near_entry(inner: &Inner, state: &State, walk: &Walk) -> Option<Entry> {
    match state.queues.get(walk.key)?.find(walk.next)? {
        Found::Here(entry) => Some(entry),
        Found::Block { block, .. } => {
            let entries = blocks::cached(inner, block)?;
            entries.get((walk.next - block.first) as usize).copied()
        }
    }
}

/// Walks as far as entries are in memory. The limits are those of the first record: a batch does
/// not shrink on its way.
fn collect(
    inner: &Inner,
    walk: &mut Walk,
    wants: &mut dyn FnMut(i64) -> bool,
    wanted: &mut Vec<Wanted>,
) -> Stop {
    let state = inner.state.borrow();
    while !walk.is_done {
        let Some(entry) = near_entry(inner, &state, walk) else {
            let found = state.queues.get(walk.key).and_then(|queue| queue.find(walk.next));
            return match found {
                Some(Found::Block { block, count }) => Stop::Block(block, count),
                // The queue was deleted, or its minimum passed this walk.
                _ => Stop::Done,
            };
        };
        if entry.byte() < state.segments.min() || !wants(entry.tag_hash) {
            walk.skip(entry);
            continue;
        }
        let first_byte = walk.first_byte.unwrap_or(entry.byte());
        let is_cached = state.marks.appended() - first_byte <= walk.limits.near_bytes;
        let is_near = is_cached || first_byte >= state.tail.start();
        let limit = if is_near { walk.limits.in_memory } else { walk.limits.on_disk };
        if !walk.admits(entry, limit) {
            break;
        }
        walk.take(entry);
        wanted.push(Wanted { byte: entry.byte(), len: u64::from(entry.size()) });
    }
    Stop::Done
}

impl Walk {
    /// Whether one more record fits; the first one always does.
    fn admits(&self, entry: Entry, limit: BatchLimit) -> bool {
        let bytes = self.bytes + u64::from(entry.size());
        self.count == 0
            || (self.count < self.limits.count
                && self.count < limit.count
                && bytes <= limit.bytes
                && bytes <= READ_BYTES_MAX)
    }

    /// Whether the first record that was taken is in the tail.
    fn begins_in_tail(&self, state: &State) -> bool {
        self.first_byte.is_some_and(|first| first >= state.tail.start())
    }

    fn take(&mut self, entry: Entry) {
        self.first_byte.get_or_insert(entry.byte());
        self.count += 1;
        self.bytes += u64::from(entry.size());
        self.step(entry);
    }

    fn skip(&mut self, entry: Entry) {
        self.step(entry);
    }

    fn step(&mut self, entry: Entry) {
        self.next += 1;
        self.scanned += 1;
        self.last_byte = entry.byte();
        self.is_done = self.next >= self.max
            || self.count >= self.limits.count.max(1)
            || self.scanned >= SCAN_ENTRIES_MIN.max(self.limits.count);
    }

    fn result(&self, state: &State, from_memory: bool) -> ReadResult {
        let status = match self.count {
            0 if self.last_byte < state.segments.min() => ReadStatus::MessageWasRemoving,
            0 => ReadStatus::NoMatchedMessage,
            _ => ReadStatus::Found,
        };
        ReadResult {
            count: self.count,
            bytes: self.bytes,
            from_memory,
            behind_bytes: state.marks.appended() - self.last_byte,
            ..answer(status, self.next, self.min, self.max)
        }
    }

    fn removed(&self, state: &State) -> ReadResult {
        let min = state.queues.get(self.key).map_or(self.next, |queue| queue.min);
        answer(ReadStatus::MessageWasRemoving, min.max(self.min), min, self.max)
    }
}

/// Neighbouring records of the tail, which become one piece.
#[derive(Default)]
struct Run {
    byte: u64,
    len: u64,
}

impl Run {
    fn add(&mut self, state: &State, entry: Entry, out: &mut Vec<Piece>) {
        let size = u64::from(entry.size());
        let joined = (self.len + size) as usize;
        let is_next = self.len > 0 && entry.byte() == self.byte + self.len;
        if is_next && state.tail.bytes_from(self.byte).is_some_and(|bytes| bytes.len() >= joined) {
            self.len += size;
            return;
        }
        self.flush(state, out);
        *self = Self { byte: entry.byte(), len: size };
    }

    fn flush(&mut self, state: &State, out: &mut Vec<Piece>) {
        if self.len > 0 {
            let shared = state.tail.share(self.byte, self.len as usize);
            out.push(Piece::Memory(shared.expect("records of the tail lie in one block")));
            self.len = 0;
        }
    }
}

/// Bytes that the entries of a full scan take: stated here because the index cache should hold some
/// of them.
const _: () = assert!(SCAN_ENTRIES_MIN * ENTRY_SIZE < 32 << 10);
