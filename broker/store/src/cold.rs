//! What a log has the device bring into the page cache for its readers.
//!
//! A reader asks for chunks and waits for the first; which of them are read when is the rule of
//! `cold_plan.rs`. What a read fails to bring, the reader that needs it reads past the page cache,
//! and is told why.

use std::cell::RefCell;
use std::rc::Rc;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::File;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

use crate::cold_plan::{Chunk, Plan};
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
    /// Places of blocks of the index that are read ahead.
    pub(crate) blocks: RefCell<Vec<u64>>,
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
        plan.ask(in_files.flat_map(chunks));
        records[..count].iter().flat_map(chunks).collect()
    };
    begin_reads(inner);
    loop {
        let ended = inner.cold.ended.notified();
        if !first.iter().any(|&chunk| inner.cold.plan.borrow().is_pending(chunk)) {
            return;
        }
        ended.await;
    }
}

/// Notes that somebody reads these records and will probably go on behind them; tells whether
/// others have read there. `are_cold`: the page cache does not have them.
pub(crate) fn follow(inner: &Rc<Inner>, records: &[Wanted], are_cold: bool) -> bool {
    let is_known = {
        let mut plan = inner.cold.plan.borrow_mut();
        if (!plan.has_runs() && !are_cold) || are_sparse(records) {
            return false;
        }
        plan.follow(records[0].byte, records[0].byte + Wanted::span(records), are_cold)
    };
    if is_known {
        begin_reads(inner);
    }
    is_known
}

/// Begins as many reads as there may be now.
fn begin_reads(inner: &Rc<Inner>) {
    loop {
        let (chunk, place) = {
            let state = inner.state.borrow();
            let mut plan = inner.cold.plan.borrow_mut();
            let ends = (state.marks.appended(), state.marks.written());
            let is_cached = |chunk: Chunk| ends_in_cache(&state, chunk);
            let next = plan.next(Instant::now(), ends, &state.segments, is_cached);
            let Some(chunk) = next else { return };
            (chunk, place(&state, chunk))
        };
        match place {
            None => end(inner, chunk),
            Some((file, pos, len)) => {
                let inner = inner.clone();
                let read = async move {
                    if let Err(error) = file.bring_into_cache(pos, len).await {
                        tracing::debug!(log = inner.id.0, at = chunk.from, "cold read: {error}");
                    }
                    end(&inner, chunk);
                    begin_reads(&inner);
                };
                task::spawn("cold read", read).detach();
            }
        }
    }
}

/// The part of a chunk that is written: its file, and the place there. None if its segment is gone.
fn place(state: &State, chunk: Chunk) -> Option<(File, u64, usize)> {
    let segment = state.segments.find(chunk.from)?;
    let len = chunk.to.min(state.marks.written()).checked_sub(chunk.from)?;
    Some((segment.file.clone(), chunk.from - segment.base, usize::try_from(len).ok()?))
}

/// Whether the page cache has the last byte of a chunk, and so probably all of it: 0.3 us, where
/// bringing it costs some 20.
fn ends_in_cache(state: &State, chunk: Chunk) -> bool {
    place(state, chunk)
        .is_some_and(|(file, pos, len)| len > 0 && file.read_cached(pos + len as u64 - 1, &mut [0]))
}

fn end(inner: &Inner, chunk: Chunk) {
    inner.cold.plan.borrow_mut().end(chunk);
    inner.cold.ended.notify_all();
}

/// Notes that the page cache does not have the bytes at `byte`, whatever was brought.
pub(crate) fn forget(inner: &Inner, byte: u64) {
    inner.cold.plan.borrow_mut().forget(byte);
}
