//! What a log has the device read for its readers: into the page cache, or past it into extents of
//! the log.
//!
//! A reader asks for chunks and waits for the first; which of them are read when, and which way, is
//! the rule of `cold_plan.rs`. What a read fails to bring, or what made way again before its reader
//! came, the reader that needs it reads past the page cache for itself, and is told why if that
//! fails.
//!
//! Past the page cache goes only what does not change any more: whole extents of one segment that
//! lie before the tail, and so were written. Their memory is that of the extents (`extents.rs`) and
//! its limits are theirs; where that has none left, the page cache has to do.

use std::cell::RefCell;
use std::rc::Rc;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::File;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

use crate::blocks;
use crate::cold_plan::{Chunk, LogFacts, Plan, Way};
use crate::extents::Extents;
use crate::log::{Inner, State};
use crate::walk::Wanted;

/// Records farther apart than this are read one by one: most of a chunk would be for nobody.
const SPARSE_GAP_BYTES: u64 = 64 << 10;

/// The cold reads of one log.
#[derive(Default)]
pub(crate) struct ColdReads {
    plan: RefCell<Plan>,
    /// A read has ended.
    ended: Notify,
    /// Blocks of the index that are read ahead.
    pub(crate) blocks: blocks::Ahead,
}

/// Whether the records of a read are so far from each other that each is read on its own.
pub(crate) fn are_sparse(records: &[Wanted]) -> bool {
    Wanted::span(records) > SPARSE_GAP_BYTES * records.len() as u64
}

/// Has the device read the records, as many as may be in line; ends when the first `count` of them
/// should be in the page cache. `are_sparse`: each is read on its own.
pub(crate) async fn bring(inner: &Rc<Inner>, records: &[Wanted], count: usize, are_sparse: bool) {
    let first: Vec<Chunk> = {
        let state = inner.state.borrow();
        let segments = &state.segments;
        let chunks = |record: &Wanted| match are_sparse {
            true => [Chunk { from: record.byte, to: record.byte + record.len }; 2],
            false => [record.byte, record.byte + record.len - 1].map(|at| Chunk::of(segments, at)),
        };
        let in_files = records.iter().take_while(|record| record.byte < state.tail.start());
        let mut plan = inner.cold.plan.borrow_mut();
        let extents = inner.extents.borrow();
        plan.ask(in_files.flat_map(chunks), |chunk| is_taken(&extents, chunk));
        records[..count].iter().flat_map(chunks).collect()
    };
    begin_reads(inner);
    let are_read = || {
        let plan = inner.cold.plan.borrow();
        (!first.iter().any(|&chunk| plan.is_pending(chunk))).then_some(())
    };
    inner.cold.ended.until(are_read).await;
}

/// Notes that somebody reads these records and will probably go on behind them. `are_cold`: the
/// page cache does not have them.
pub(crate) fn follow(inner: &Rc<Inner>, records: &[Wanted], are_cold: bool) {
    let is_known = {
        let mut plan = inner.cold.plan.borrow_mut();
        if (!plan.has_runs() && !are_cold) || are_sparse(records) {
            return;
        }
        plan.follow(records[0].byte, records[0].byte + Wanted::span(records), are_cold)
    };
    if is_known {
        begin_reads(inner);
    }
}

/// Begins as many reads as there may be now.
fn begin_reads(inner: &Rc<Inner>) {
    loop {
        let (chunk, way, place) = {
            let state = inner.state.borrow();
            let mut plan = inner.cold.plan.borrow_mut();
            let log = LogFacts {
                appended: state.marks.appended(),
                written: state.marks.written(),
                settled: state.tail.start(),
                segments: &state.segments,
                uncached_behind_bytes: inner.options.uncached_behind_bytes,
                extents_bytes: inner.options.extents_bytes,
            };
            let is_here = |chunk: Chunk| is_here(inner, &state, chunk);
            let Some((chunk, way)) = plan.next(Instant::now(), &log, is_here) else { return };
            (chunk, way, place(&state, chunk))
        };
        match place {
            None => end(inner, chunk, way),
            Some(place) => {
                let inner = inner.clone();
                let read = async move {
                    if let Err(error) = read(&inner, chunk, way, place).await {
                        tracing::debug!(log = inner.id.0, at = chunk.from, "cold read: {error}");
                    }
                    end(&inner, chunk, way);
                    begin_reads(&inner);
                };
                task::spawn("cold read", read).detach();
            }
        }
    }
}

/// Reads a chunk.
///
/// # Errors
/// As the device says.
async fn read(inner: &Inner, chunk: Chunk, way: Way, place: Place) -> std::io::Result<()> {
    let Place { file, pos, len } = place;
    let bytes = chunk.from..chunk.to;
    let room = match way {
        Way::Past => inner.extents.borrow_mut().room(&bytes),
        Way::Through => None,
    };
    let Some(room) = room else { return file.bring_into_cache(pos, len).await };
    let (read, blocks) = file.read_into(pos, room).await;
    let mut extents = inner.extents.borrow_mut();
    match read {
        Ok(()) => extents.keep(chunk.from, blocks),
        Err(_) => extents.give_back(blocks),
    }
    read
}

/// Where the part of a chunk lies that is written.
struct Place {
    file: File,
    pos: u64,
    len: usize,
}

/// None if the segment of the chunk is gone.
fn place(state: &State, chunk: Chunk) -> Option<Place> {
    let segment = state.segments.find(chunk.from)?;
    let len = chunk.to.min(state.marks.written()).checked_sub(chunk.from)?;
    let (file, pos) = (segment.file.clone(), chunk.from - segment.base);
    Some(Place { file, pos, len: usize::try_from(len).ok()? })
}

/// Whether a chunk need not be read: the log has its extents, or the page cache its last byte, and
/// so probably all of it. The latter costs 0.3 us, where bringing it costs some 20.
fn is_here(inner: &Inner, state: &State, chunk: Chunk) -> bool {
    if is_taken(&inner.extents.borrow(), chunk) {
        return true;
    }
    place(state, chunk).is_some_and(|Place { file, pos, len }| {
        len > 0 && file.read_cached(pos + len as u64 - 1, &mut [0])
    })
}

/// Whether the log has the extents of a chunk.
fn is_taken(extents: &Extents, chunk: Chunk) -> bool {
    let bytes = chunk.from..chunk.to;
    Extents::are_whole(&bytes) && extents.has(&bytes)
}

fn end(inner: &Inner, chunk: Chunk, way: Way) {
    inner.cold.plan.borrow_mut().end(chunk, way);
    inner.cold.ended.notify_all();
}

/// Notes that the page cache does not have the bytes at `byte`, whatever was brought.
pub(crate) fn forget(inner: &Inner, byte: u64) {
    inner.cold.plan.borrow_mut().forget(byte);
}
