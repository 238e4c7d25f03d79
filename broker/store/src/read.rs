//! Reading a queue: at once from memory and the page cache, else from the device.
//!
//! Statuses and next offsets are those of Apache's broker. A read collects the records it wants
//! (`walk.rs`) and then their bytes (`fetch.rs`), and gives way to those behind (`followers.rs`).

use ringmq_runtime::buffer::Shared;
use ringmq_runtime::disk::FileView;

use crate::blocks;
use crate::cold;
use crate::error::ReadError;
use crate::fetch;
use crate::followers;
use crate::log::Log;
use crate::position::QueueOffset;
use crate::walk::{Stop, Walk};

/// Records that a read from files makes room for at once.
const WANTED_ROOM: usize = 1024;

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
    /// Messages that lie at most this far behind the end of the log count as in memory, because the
    /// page cache is expected to hold them; with 0 only what this log keeps itself does.
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
    /// All bytes came from memory that this log keeps itself.
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
    /// It has to wait, for the device or for readers behind it: use [`Log::read`].
    Later,
}

impl Log {
    /// Reads if all that is needed is in memory or in the page cache, and adds the messages to
    /// `out`.
    ///
    /// `wants` decides by tag hash. A read from memory allocates nothing, unless it is larger than
    /// all before it or `out` has to grow; one from the page cache allocates for its copies, and
    /// for an extent that it takes from there.
    pub fn read_now(
        &self,
        query: &ReadQuery<'_>,
        wants: &mut dyn FnMut(i64) -> bool,
        out: &mut Vec<Piece>,
    ) -> ReadNow {
        self.try_read(query, wants, out, false)
    }

    /// As [`Log::read_now`], but lets readers behind it go first (`followers.rs`), for callers that
    /// can wait for their turn.
    pub fn read_in_turn(
        &self,
        query: &ReadQuery<'_>,
        wants: &mut dyn FnMut(i64) -> bool,
        out: &mut Vec<Piece>,
    ) -> ReadNow {
        self.try_read(query, wants, out, true)
    }

    fn try_read(
        &self,
        query: &ReadQuery<'_>,
        wants: &mut dyn FnMut(i64) -> bool,
        out: &mut Vec<Piece>,
        may_wait: bool,
    ) -> ReadNow {
        let inner = &self.inner;
        let state = inner.state.borrow();
        let mut walk = match Walk::start(&state, query) {
            Ok(walk) => walk,
            Err(result) => return ReadNow::Done(result),
        };
        let mut wanted = inner.wanted.borrow_mut();
        wanted.clear();
        let stop = walk.collect(inner, wants, &mut wanted);
        if followers::is_ahead(inner, &state, &wanted) && may_wait {
            return ReadNow::Later;
        }
        let fetched = fetch::fetch_now(inner, &state, &wanted, out);
        match (stop, wanted.len()) {
            (Stop::Block(..), 0) => return ReadNow::Later,
            (_, wanted) if fetched == 0 && wanted > 0 => return ReadNow::Later,
            _ => {}
        }
        // What was found before the cold part is an answer; the next read will ask for the rest.
        walk.end_before(&wanted, fetched);
        let is_in_file = wanted.first().is_some_and(|first| first.byte < state.tail.start());
        if is_in_file {
            cold::follow(inner, &wanted, false);
            blocks::load_ahead(inner, walk.blocks_ahead(inner));
        }
        ReadNow::Done(walk.result(&state))
    }

    /// Reads, from the device where needed, and puts the messages into `out`, which is empty. Ends
    /// before a message that the device cannot read, and leaves out what has been unreadable for
    /// long (`unreadable.rs`).
    ///
    /// # Errors
    /// When the device cannot read the first message or the index is damaged there; `out` is empty
    /// then.
    ///
    /// # Panics
    /// When there is something in `out`: what is read may become a part of its last piece, and
    /// could not be taken out again.
    pub async fn read(
        &self,
        query: &ReadQuery<'_>,
        wants: &mut dyn FnMut(i64) -> bool,
        out: &mut Vec<Piece>,
    ) -> Result<ReadResult, ReadError> {
        assert!(out.is_empty(), "{} pieces of another answer", out.len());
        let inner = &self.inner;
        let start = Walk::start(&inner.state.borrow(), query);
        let mut walk = match start {
            Ok(walk) => walk,
            Err(result) => return Ok(result),
        };
        let mut wanted = Vec::with_capacity(query.limits.count.min(WANTED_ROOM));
        loop {
            match walk.collect(inner, wants, &mut wanted) {
                Stop::Done => break,
                // A second block would mean a second wait: what there is will do.
                Stop::Block(..) if !wanted.is_empty() => break,
                Stop::Block(block, count) => drop(blocks::load(inner, block, count).await?),
            }
        }
        // By what is in memory now: the device takes its time.
        let result = walk.result(&inner.state.borrow());
        if wanted.is_empty() {
            return Ok(result);
        }
        blocks::load_ahead(inner, walk.blocks_ahead(inner));
        followers::give_way(inner, &wanted).await;
        match fetch::fetch(inner, &wanted, out).await {
            Ok(fetched) if fetched.done == wanted.len() && fetched.lost.is_empty() => Ok(result),
            Ok(fetched) => {
                walk.end_before(&wanted, fetched.done);
                walk.leave_out(&fetched.lost);
                Ok(walk.result(&inner.state.borrow()))
            }
            Err(error) => {
                out.clear();
                // Retention was faster.
                if wanted[0].byte < inner.state.borrow().segments.min() {
                    return Ok(walk.removed(&inner.state.borrow()));
                }
                Err(error)
            }
        }
    }
}
