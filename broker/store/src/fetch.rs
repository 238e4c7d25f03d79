//! Getting the bytes of records.
//!
//! | where, how | piece |
//! |---|---|
//! | in the tail | slice of the tail |
//! | neighbours of [`FILE_RUN_BYTES_MIN`] and more | range of the file, sent from the page cache |
//! | others, in the page cache | copies, several in one block (`chunks.rs`) |
//! | others | brought into the page cache first, close ones with what lies around them |
//!
//! The log is written past the page cache, so that its readers have that to themselves.

use ringmq_runtime::buffer::{Block, Shared};
use ringmq_runtime::task;

use crate::error::ReadError;
use crate::log::{Inner, State};
use crate::read::Piece;
use crate::walk::Wanted;

/// From here on a range leaves by `sendfile`. Measured with the example `sendfile_crossover` of
/// `broker/runtime`, CPU of both ends per KiB, ext4 and loopback on a busy machine: at 32 KiB 0.4
/// us from memory and 0.55 us by `sendfile`, 0.68 if the page cache has to read; at 8 KiB 0.54 to
/// 0.92 us.
const FILE_RUN_BYTES_MIN: u64 = 32 << 10;

/// Most bytes of a block of copies: an answer of 32 messages of 1 KiB takes half of it.
const COPY_BLOCK_BYTES: usize = 64 << 10;

/// What is brought into the page cache at once: one read of this size takes 80 us, one of 4 KiB
/// 28 us.
const CHUNK_BYTES: u64 = 128 << 10;

/// Reads of one answer that are with the device at the same time: enough to keep it busy, and few
/// enough that the log's own writes do not wait long behind them. The 16 requests of a shard that
/// may wait for the device have 4 MiB on their way.
const READS_AT_ONCE: usize = 2;

/// Records farther apart than this are read one by one: most of a chunk would be for nobody.
const SPARSE_GAP_BYTES: u64 = 64 << 10;

/// Adds the bytes of the first of the wanted records to `out`, as many as are in memory or in the
/// page cache, or leave from there; tells how many. Never waits for the device.
pub(crate) fn fetch_now(
    inner: &Inner,
    state: &State,
    wanted: &[Wanted],
    out: &mut Vec<Piece>,
) -> usize {
    let mut copies = Copies::default();
    let mut chunks = inner.chunks.borrow_mut();
    let mut fetched = 0;
    for run in runs(state, wanted) {
        let Wanted { byte, len, .. } = Wanted::all_of(run);
        if let Some(shared) = state.tail.share(byte, len as usize) {
            out.extend(copies.take());
            out.push(Piece::Memory(shared));
        } else {
            // What lies before the tail is written.
            assert!(byte < state.tail.start(), "records of the tail lie in one block");
            let Some(segment) = state.segments.find(byte) else { break };
            let pos = byte - segment.base;
            if len >= FILE_RUN_BYTES_MIN {
                out.extend(copies.take());
                out.push(Piece::File { view: segment.file.view(), pos, len });
            } else {
                let room = copies.room(len as usize, &wanted[fetched..], out);
                let end = segment.base + state.segments.size;
                let settled = segment.base..end.min(state.tail.start());
                if !chunks.copy(segment, settled, byte, room) {
                    break;
                }
                copies.advance(len as usize);
            }
        }
        fetched += run.len();
    }
    out.extend(copies.finish());
    fetched
}

/// Adds the bytes of all wanted records to `out`.
///
/// # Errors
/// When the device fails or a segment is gone.
pub(crate) async fn fetch(
    inner: &Inner,
    wanted: &[Wanted],
    out: &mut Vec<Piece>,
) -> Result<(), ReadError> {
    let is_sparse = Wanted::span(wanted) / wanted.len() as u64 > SPARSE_GAP_BYTES;
    let mut rest = wanted;
    // Whether the first of the rest was brought into the page cache just now.
    let mut was_brought = false;
    loop {
        let (fetched, cold) = {
            let state = inner.state.borrow();
            let fetched = fetch_now(inner, &state, rest, out);
            rest = &rest[fetched..];
            let Some(run) = runs(&state, rest).next() else { return Ok(()) };
            (fetched, run.len())
        };
        if fetched == 0 && was_brought {
            // The page cache has lost it again.
            let run = Wanted::all_of(&rest[..cold]);
            out.push(Piece::Memory(bytes(inner, run.byte, run.len).await?));
            rest = &rest[cold..];
            was_brought = false;
        } else {
            bring_into_cache(inner, rest, is_sparse).await?;
            was_brought = true;
        }
    }
}

/// Neighbours, of which each group becomes one piece: all in one block of the tail, or none in it.
fn runs<'a>(state: &'a State, wanted: &'a [Wanted]) -> impl Iterator<Item = &'a [Wanted]> {
    wanted.chunk_by(|a, b| {
        let is_together = match state.tail.bytes_from(a.byte) {
            Some(bytes) => a.len + b.len <= bytes.len() as u64,
            None => b.byte < state.tail.start(),
        };
        a.byte + a.len == b.byte && is_together
    })
}

/// The runs of an answer that are copied: into blocks, since one for each would cost more than the
/// copy.
#[derive(Default)]
struct Copies {
    block: Option<Block>,
    /// Bytes of the block that are in a piece.
    taken: usize,
}

impl Copies {
    /// Room for a run, the first of the `rest` of the answer. A block that is full goes to `out`.
    fn room(&mut self, len: usize, rest: &[Wanted], out: &mut Vec<Piece>) -> &mut [u8] {
        let fits = |block: &Block| block.capacity() - block.len() >= len;
        if !self.block.as_ref().is_some_and(fits) {
            out.extend(self.take());
            let left = Wanted::all_of(rest).len as usize;
            self.block = Some(Block::unaligned(left.min(COPY_BLOCK_BYTES).max(len)));
            self.taken = 0;
        }
        &mut self.block.as_mut().expect("made above").spare()[..len]
    }

    /// The room was filled.
    fn advance(&mut self, len: usize) {
        self.block.as_mut().expect("it gave room").advance(len);
    }

    /// What was copied since the last call, as one piece.
    fn take(&mut self) -> Option<Piece> {
        let block = self.block.as_ref().filter(|block| block.len() > self.taken)?;
        let from = std::mem::replace(&mut self.taken, block.len());
        Some(Piece::Memory(block.share(from..block.len())))
    }

    /// The last piece. A block that has stayed nearly empty is not kept for it.
    fn finish(mut self) -> Option<Piece> {
        match &self.block {
            Some(block) if self.taken == 0 && (1..block.capacity() / 2).contains(&block.len()) => {
                Some(Piece::Memory(Shared::copy_of(block.as_slice())))
            }
            _ => self.take(),
        }
    }
}

/// Has the device read the first of the records, and unless others would hardly want it, what lies
/// around them: several reads at a time.
///
/// # Errors
/// When the device fails or a segment is gone.
async fn bring_into_cache(
    inner: &Inner,
    wanted: &[Wanted],
    is_sparse: bool,
) -> Result<(), ReadError> {
    let mut reads = Vec::with_capacity(READS_AT_ONCE);
    {
        let state = inner.state.borrow();
        let mut until = 0;
        for run in runs(&state, wanted).map(Wanted::all_of) {
            // Had with the one before, or sent from the file.
            if run.byte + run.len <= until || run.len >= FILE_RUN_BYTES_MIN {
                continue;
            }
            if reads.len() == READS_AT_ONCE || run.byte >= state.tail.start() {
                break;
            }
            let segment = state.segments.find(run.byte).ok_or_else(|| gone(inner, run.byte))?;
            let chunk = run.byte - run.byte % CHUNK_BYTES;
            let (from, to) = match is_sparse {
                true => (run.byte, run.byte + run.len),
                false => (chunk.max(segment.base), chunk + CHUNK_BYTES),
            };
            let end = state.marks.written().min(segment.base + state.segments.size);
            until = to.max(run.byte + run.len).min(end);
            let (file, pos, len) = (segment.file.clone(), from - segment.base, until - from);
            let read = async move { file.bring_into_cache(pos, len as usize).await };
            reads.push(task::spawn("cold read", read));
        }
    }
    for read in reads {
        let failed = |source| ReadError::Io { log: inner.id, what: "a segment", source };
        read.await.map_err(failed)?;
    }
    Ok(())
}

/// `len` bytes of one segment from wherever they are: the tail, the file, or both.
///
/// # Errors
/// When the device fails or the segment is gone.
pub(crate) async fn bytes(inner: &Inner, byte: u64, len: u64) -> Result<Shared, ReadError> {
    let (segment, tail_start) = {
        let state = inner.state.borrow();
        if let Some(shared) = state.tail.share(byte, len as usize) {
            return Ok(shared);
        }
        if byte >= state.tail.start() {
            // Neighbours in different blocks of the tail.
            let mut copy = vec![0; len as usize];
            state.tail.copy(byte, &mut copy);
            return Ok(Shared::from(copy));
        }
        let segment = state.segments.find(byte).ok_or_else(|| gone(inner, byte))?;
        (segment.clone(), state.tail.start())
    };
    // What lies before the tail is written; the rest is in memory.
    let in_file = len.min(tail_start - byte);
    let read = segment
        .file
        .read_at(byte - segment.base, in_file as usize)
        .await
        .map_err(|source| ReadError::Io { log: inner.id, what: "a segment", source })?;
    if read.len() as u64 != in_file {
        let what = format!("the segment at {}: it ends early", segment.base);
        return Err(ReadError::Damaged { log: inner.id, what });
    }
    if in_file == len {
        return Ok(read);
    }
    // The tail may have moved on meanwhile, but then the file holds the rest too.
    let rest = Box::pin(bytes(inner, byte + in_file, len - in_file)).await?;
    Ok(Shared::from([&read[..], &rest[..]].concat()))
}

fn gone(inner: &Inner, byte: u64) -> ReadError {
    let what = format!("the log at byte {byte}: its segment is gone");
    ReadError::Damaged { log: inner.id, what }
}
