//! Getting the bytes of records that are not all in memory.
//!
//! | where, how | piece |
//! |---|---|
//! | in the tail | slice of the tail |
//! | neighbours of [`FILE_RUN_BYTES_MIN`] and more | range of the file, sent from the page cache |
//! | others, close to each other | copies from cached chunks: one read serves later ones too |
//! | others, far apart | a read of their own |

use ringmq_runtime::buffer::Shared;

use crate::error::ReadError;
use crate::log::Inner;
use crate::read::{Piece, Wanted};

/// From here on a range leaves by `sendfile`. Measured with the example `sendfile_crossover` of
/// `broker/runtime`, CPU of both ends per KiB, ext4 and loopback on a busy machine: at 32 KiB 0.4
/// us from a chunk that is cached, 2.0 us from one that has to be read, and 0.55 us by `sendfile`,
/// 0.68 if the page cache has to read. So above this nothing is gained by chunks that may not be
/// cached; below, cached ones win by more (at 8 KiB 0.54 to 0.92 us), and a cold range is not worth
/// one of the two helper threads, which flushes need too.
const FILE_RUN_BYTES_MIN: u64 = 32 << 10;

/// Unit of the read cache: one read of this size takes 80 us, one of 4 KiB 28 us.
const CHUNK_BYTES: u64 = 128 << 10;

/// Records farther apart than this are read one by one: most of a chunk would be for nobody.
const SPARSE_GAP_BYTES: u64 = 64 << 10;

/// Adds the bytes of all wanted records to `out`.
///
/// # Errors
/// When the device fails or a segment is gone.
pub(crate) async fn fetch(
    inner: &Inner,
    wanted: &[Wanted],
    out: &mut Vec<Piece>,
) -> Result<(), ReadError> {
    let span = wanted.last().map_or(0, |last| last.byte + last.len) - wanted[0].byte;
    let is_sparse = span / wanted.len() as u64 > SPARSE_GAP_BYTES;
    for run in runs(wanted) {
        if let Some(shared) = inner.state.borrow().tail.share(run.byte, run.len as usize) {
            out.push(Piece::Memory(shared));
        } else if run.len >= FILE_RUN_BYTES_MIN && is_written(inner, run) {
            out.push(file_piece(inner, run)?);
        } else if is_sparse || run.len > CHUNK_BYTES {
            out.push(Piece::Memory(bytes(inner, run.byte, run.len).await?));
        } else {
            from_chunks(inner, run, out).await?;
        }
    }
    Ok(())
}

/// Joins neighbours. A run that begins before the tail and ends in it stays whole: its bytes are in
/// the file, or it is cut by [`bytes`].
fn runs(wanted: &[Wanted]) -> impl Iterator<Item = Wanted> + '_ {
    wanted
        .chunk_by(|a, b| a.byte + a.len == b.byte)
        .map(|run| Wanted { byte: run[0].byte, len: run.iter().map(|record| record.len).sum() })
}

fn is_written(inner: &Inner, run: Wanted) -> bool {
    run.byte + run.len <= inner.state.borrow().marks.written()
}

fn file_piece(inner: &Inner, run: Wanted) -> Result<Piece, ReadError> {
    let state = inner.state.borrow();
    let segment = state.segments.find(run.byte).ok_or_else(|| gone(inner, run.byte))?;
    Ok(Piece::File { view: segment.file.view(), pos: run.byte - segment.base, len: run.len })
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

/// Adds a run from chunks of the read cache, which it may cross.
///
/// Copies: a slice would keep a chunk of 128 KiB for a slow reader of one small record, and what is
/// larger than [`FILE_RUN_BYTES_MIN`] goes another way.
async fn from_chunks(inner: &Inner, run: Wanted, out: &mut Vec<Piece>) -> Result<(), ReadError> {
    let (mut at, end) = (run.byte, run.byte + run.len);
    while at < end {
        let chunk_at = at - at % CHUNK_BYTES;
        let Some(chunk) = chunk(inner, chunk_at, at).await? else {
            out.push(Piece::Memory(bytes(inner, at, end - at).await?));
            return Ok(());
        };
        let stop = end.min(chunk_at + CHUNK_BYTES);
        let range = (at - chunk_at) as usize..(stop - chunk_at) as usize;
        out.push(Piece::Memory(Shared::copy_of(&chunk[range])));
        at = stop;
    }
    Ok(())
}

/// The chunk of the log that holds byte `at`; `None` when it is not written to its end, crosses
/// segments or has none, so that it cannot be kept.
async fn chunk(inner: &Inner, chunk_at: u64, at: u64) -> Result<Option<Shared>, ReadError> {
    if let Some(chunk) = inner.caches.borrow_mut().chunks.get(chunk_at) {
        return Ok(Some(chunk));
    }
    let segment = {
        let state = inner.state.borrow();
        // What is in memory only may lie in a segment that is not made yet.
        let Some(segment) = state.segments.find(at) else { return Ok(None) };
        let chunk_end = chunk_at + CHUNK_BYTES;
        let is_whole = chunk_at >= segment.base
            && chunk_end <= state.marks.written()
            && chunk_end <= segment.base + state.segments.size;
        if !is_whole {
            return Ok(None);
        }
        segment.clone()
    };
    let read = segment
        .file
        .read_at(chunk_at - segment.base, CHUNK_BYTES as usize)
        .await
        .map_err(|source| ReadError::Io { log: inner.id, what: "a segment", source })?;
    if read.len() as u64 != CHUNK_BYTES {
        return Ok(None);
    }
    inner.caches.borrow_mut().chunks.put(chunk_at, read.clone(), CHUNK_BYTES as usize);
    Ok(Some(read))
}

fn gone(inner: &Inner, byte: u64) -> ReadError {
    let what = format!("the log at byte {byte}: its segment is gone");
    ReadError::Damaged { log: inner.id, what }
}
