//! Getting the bytes of records.
//!
//! | where, how | piece |
//! |---|---|
//! | in the tail | slice of the tail |
//! | in extents of the log that are in memory | slices of the extents (`extents.rs`) |
//! | neighbours of [`FILE_RUN_MIN_BYTES`] and more | range of the file, sent from the page cache |
//! | others, in the page cache | copies, several in one block |
//! | others | brought into an extent or the page cache first (`cold.rs`) |
//! | others, where nobody can tell what that holds | copies of what lies around them |
//! | what lies beside a bad sector | copies, one for each record (`unreadable.rs`) |
//!
//! The log is written past the page cache, so that its readers have that to themselves.

mod copies;

use std::ops::Range;
use std::rc::Rc;

use ringmq_runtime::buffer::{Block, Shared};
use ringmq_runtime::clock::Instant;

use self::copies::Copies;
use crate::cold;
use crate::cold_plan::Chunk;
use crate::error::ReadError;
use crate::log::{Inner, State};
use crate::read::Piece;
use crate::segment::Segment;
use crate::unreadable::Apart;
use crate::walk::Wanted;

/// From here on a range leaves by `sendfile`. Measured with the example `sendfile_crossover` of
/// `broker/runtime`, CPU of both ends per KiB, ext4 and loopback on a busy machine: at 32 KiB 0.4
/// us from memory and 0.55 us by `sendfile`, 0.68 if the page cache has to read; at 8 KiB 0.54 to
/// 0.92 us.
pub(crate) const FILE_RUN_MIN_BYTES: u64 = 32 << 10;

/// Adds the bytes of the first of the wanted records to `out`, as many as are in memory or in the
/// page cache, or leave from there; tells how many. Never waits for the device.
pub(crate) fn fetch_now(
    inner: &Inner,
    state: &State,
    wanted: &[Wanted],
    out: &mut Vec<Piece>,
) -> usize {
    let mut copies = Copies::default();
    let mut extents = inner.extents.borrow_mut();
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
            let settled = settled(state, segment);
            let next = wanted.get(fetched + run.len()).map(|next| next.byte);
            if len >= FILE_RUN_MIN_BYTES && !segment.file.failed_to_send() {
                out.extend(copies.take());
                // What was read past the page cache would be read a second time from the file.
                if !extents.share_all(byte..byte + len, |part| out.push(Piece::Memory(part))) {
                    out.push(Piece::File { view: segment.file.view(), pos, len });
                }
            } else if let Some(shared) = extents.share(segment, &settled, byte..byte + len, next) {
                out.extend(copies.take());
                push_joined(out, shared);
                inner.unreadable.borrow_mut().forget(byte..byte + len);
            } else {
                let room = copies.room(len as usize, &wanted[fetched..], extents.pool(), out);
                if !extents.copy(segment, &settled, byte, next, room) {
                    break;
                }
                copies.advance(len as usize);
                inner.unreadable.borrow_mut().forget(byte..byte + len);
            }
        }
        fetched += run.len();
    }
    out.extend(copies.finish(extents.pool()));
    fetched
}

/// Bytes of a segment that do not change any more.
pub(crate) fn settled(state: &State, segment: &Segment) -> Range<u64> {
    segment.base..state.tail.start().min(segment.base + state.segments.size)
}

/// Adds a slice, as a part of the last one where it follows that in memory.
fn push_joined(out: &mut Vec<Piece>, shared: Shared) {
    let own = match out.last_mut() {
        Some(Piece::Memory(last)) => last.join(shared),
        _ => Err(shared),
    };
    out.extend(own.err().map(Piece::Memory));
}

/// What came of the records that a read wanted.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// How many of the front are settled: fetched or lost. Those behind them may be read later.
    pub(crate) settled: usize,
    /// Those of them that are lost.
    pub(crate) lost: Vec<Wanted>,
}

/// Adds the bytes of the wanted records to `out`: of all of them, unless the device cannot read
/// some.
///
/// # Errors
/// When the device cannot read the first of them, or a segment is gone.
pub(crate) async fn fetch(
    inner: &Rc<Inner>,
    wanted: &[Wanted],
    out: &mut Vec<Piece>,
) -> Result<Fetched, ReadError> {
    let mut apart = Apart::default();
    let are_sparse = cold::are_sparse(wanted);
    let mut rest = wanted;
    let mut is_followed = false;
    // Whether the first of the rest was brought into the page cache just now.
    let mut was_brought = false;
    loop {
        let (fetched, first, tells_cached) = {
            let state = inner.state.borrow();
            let fetched = fetch_now(inner, &state, rest, out);
            rest = &rest[fetched..];
            let Some(first) = runs(&state, rest).next() else { break };
            let byte = first[0].byte;
            let segment = state.segments.find(byte).ok_or_else(|| gone(inner, byte))?;
            (fetched, first.len(), segment.file.tells_cached())
        };
        let sound = count_sound(inner, rest, are_sparse);
        if sound > 0 && tells_cached && (fetched > 0 || !was_brought) {
            if !std::mem::replace(&mut is_followed, true) {
                cold::follow(inner, wanted, true);
            }
            cold::bring(inner, &rest[..sound], first.min(sound), are_sparse).await;
            was_brought = true;
            continue;
        }
        // The page cache has lost it again, or nobody can tell.
        cold::forget(inner, rest[0].byte);
        let together = &rest[..count_together(inner, rest, are_sparse)];
        let read = match sound {
            // The device is not asked for all of a place where it has failed.
            0 => None,
            _ => Some(read_together(inner, together, out).await),
        };
        let (read, problem) = match read {
            Some(Ok(())) => (together.len(), None),
            None | Some(Err(ReadError::Io { .. })) => {
                apart.read(inner, rest, together.len(), out).await
            }
            Some(Err(error)) => (0, Some(error)),
        };
        rest = &rest[read..];
        match problem {
            Some(ReadError::Io { .. }) if rest.len() < wanted.len() => break,
            Some(error) => return Err(error),
            None => was_brought = false,
        }
    }
    if !is_followed {
        cold::follow(inner, wanted, false);
    }
    Ok(Fetched { settled: wanted.len() - rest.len(), lost: apart.lost })
}

/// Neighbours, of which each group becomes one piece: all in one block of the tail, or none in it.
pub(crate) fn runs<'a>(
    state: &'a State,
    wanted: &'a [Wanted],
) -> impl Iterator<Item = &'a [Wanted]> {
    wanted.chunk_by(|a, b| {
        let is_together = match state.tail.bytes_from(a.byte) {
            Some(bytes) => a.len + b.len <= bytes.len() as u64,
            None => b.byte < state.tail.start(),
        };
        a.byte + a.len == b.byte && is_together
    })
}

/// How many of the front lie where the device has not failed lately: a read of their chunks asks it
/// for no record that it could not read.
fn count_sound(inner: &Inner, wanted: &[Wanted], are_sparse: bool) -> usize {
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
async fn read_together(
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

fn gone(inner: &Inner, byte: u64) -> ReadError {
    let what = format!("the segment with byte {byte}");
    ReadError::Gone { log: inner.id, what }
}
