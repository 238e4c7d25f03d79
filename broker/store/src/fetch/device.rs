//! Records that are read past the page cache: how many in one go, and their bytes.

use std::rc::Rc;

use ringmq_runtime::buffer::{Block, Shared};
use ringmq_runtime::clock::Instant;

use crate::cold;
use crate::cold_plan::Chunk;
use crate::error::ReadError;
use crate::log::Inner;
use crate::read::Piece;
use crate::unreadable::Apart;
use crate::walk::Wanted;

/// How many of the front lie where the device has not failed lately: a read of their chunks asks it
/// for no record that it could not read.
pub(super) fn count_sound(inner: &Inner, wanted: &[Wanted], are_sparse: bool) -> usize {
    let (state, unreadable) = (inner.state.borrow(), inner.unreadable.borrow());
    if unreadable.is_empty() {
        return wanted.len(); // Nearly always, and the chunks of 1,024 records are not free.
    }
    let now = Instant::now();
    let is_unsound = |record: &Wanted| {
        let end = record.byte + record.len;
        let bytes = match are_sparse {
            true => record.byte..end,
            false => {
                let chunk_of = |byte| Chunk::of(&state.segments, byte);
                chunk_of(record.byte).from..chunk_of(end - 1).to
            }
        };
        unreadable.touches(&bytes, now)
    };
    wanted.iter().position(is_unsound).unwrap_or(wanted.len())
}

/// Reads the first of the records, which the page cache has lost again or nobody can tell, and
/// those that are read with it: one by one unless `in_one_go`, or where that fails. How many of
/// them were done, and why it is not all.
pub(super) async fn read(
    inner: &Rc<Inner>,
    records: &[Wanted],
    are_sparse: bool,
    in_one_go: bool,
    apart: &mut Apart,
    out: &mut Vec<Piece>,
) -> (usize, Option<ReadError>) {
    cold::forget(inner, records[0].byte);
    let count = count_together(inner, records, are_sparse);
    if in_one_go {
        match read_span(inner, &records[..count], out).await {
            Ok(()) => return (count, None),
            Err(ReadError::Io { .. }) => {}
            Err(error) => return (0, Some(error)),
        }
    }
    apart.read(inner, records, count, out).await
}

/// How many of the records, the first at least, are read in one go: unless they are sparse, all
/// that lie in its chunk.
fn count_together(inner: &Inner, wanted: &[Wanted], are_sparse: bool) -> usize {
    let first = wanted[0];
    let until = match are_sparse {
        true => first.byte + first.len,
        false => Chunk::of(&inner.state.borrow().segments, first.byte).to,
    };
    let behind = |record: &Wanted| record.byte + record.len > until;
    wanted.iter().position(behind).unwrap_or(wanted.len()).max(1)
}

/// Reads the records, and what lies between them, in one go.
///
/// # Errors
/// When the device fails or the segment is gone.
async fn read_span(
    inner: &Inner,
    wanted: &[Wanted],
    out: &mut Vec<Piece>,
) -> Result<(), ReadError> {
    let first = wanted[0];
    let read = bytes(inner, first.byte, Wanted::span(wanted)).await?;
    let len = Wanted::all_of(wanted).len as usize;
    if len == read.len() {
        out.push(Piece::Memory(read));
        return Ok(());
    }
    // A slice would keep all of it.
    let mut block = Block::unaligned(len);
    for record in wanted {
        let (at, len) = ((record.byte - first.byte) as usize, record.len as usize);
        block.spare()[..len].copy_from_slice(&read[at..at + len]);
        block.advance(len);
    }
    out.push(Piece::Memory(block.share(0..len)));
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
        let what = format!("the end of the segment at {}", segment.base);
        return Err(ReadError::Gone { log: inner.id, what });
    }
    if in_file == len {
        return Ok(read);
    }
    // The tail may have moved on meanwhile, but then the file holds the rest too.
    let rest = Box::pin(bytes(inner, byte + in_file, len - in_file)).await?;
    Ok(Shared::from([&read[..], &rest[..]].concat()))
}

/// The segment of `byte` was deleted.
pub(super) fn gone(inner: &Inner, byte: u64) -> ReadError {
    let what = format!("the segment with byte {byte}");
    ReadError::Gone { log: inner.id, what }
}
