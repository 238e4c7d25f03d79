//! Which chunks of a log are brought into the page cache next. Pure: `cold.rs` asks what to begin
//! and tells what has ended.
//!
//! | the log | chunks on their way at the same time | ahead of its readers |
//! |---|---|---|
//! | is quiet (`tempo.rs`) | [`CHUNKS_QUIET`] | twice what they want now |
//! | takes messages | [`CHUNKS_BUSY`] | nothing |
//!
//! Never more than [`AHEAD_MAX_BYTES`] ahead. What goes past the page cache (below) is read in one
//! go with its neighbours behind it, up to [`READ_CHUNKS_MAX`] of them.
//!
//! What is far behind the end of the log is read straight into memory of the log the first time
//! ([`Way::Past`]), and so is what follows it up to the end; into the page cache after that
//! (`first_reads.rs`), as is what lies near the end, where most groups catch up. So a long catch-up
//! does not push out what others find in the page cache, and costs no copy out of it.
//!
//! All readers of the log share these reads, and what several of them want is read once. Readers
//! that go on where they, or others, have ended make a *run*: in front of it the log reads ahead,
//! so that the device works while answers travel.

use std::collections::VecDeque;

use ringmq_runtime::clock::Instant;

use crate::extents::Extents;
use crate::first_reads::FirstReads;
use crate::segments::Segments;
use crate::tempo::Tempo;

/// What is read at once: one read of this size takes 80 us, one of 4 KiB 28 us.
pub(crate) const CHUNK_BYTES: u64 = 128 << 10;

/// Neighbours that one read past the page cache takes: 4 reads of 512 KiB at the same time give
/// 1,523 MB/s where 16 of 128 KiB give 1,383 (`bench/NOTES.md`).
const READ_CHUNKS_MAX: usize = 4;

/// Chunks on their way of a quiet log, 4 MiB: they keep the device busy for 2 to 3 ms, while the
/// shard makes answers of a megabyte and does not look at what has ended. Half as many were on
/// their way 99 % of the time, too, and gave 6 and 18 % less (`bench/NOTES.md`).
const CHUNKS_QUIET: usize = 32;

/// The same of a log that takes messages: its own writes wait behind them.
const CHUNKS_BUSY: usize = 1;

/// Most that is read ahead of a run; all runs together have no more than half of the extents, so
/// that what was read for one is still there when its readers come.
const AHEAD_MAX_BYTES: u64 = 16 << 20;

/// Runs of a log: of topics that are read at different places.
const RUNS_MAX: usize = 8;

/// Chunks that are remembered as brought, so that they are not brought again: 32 MiB.
const BROUGHT_MAX: usize = 256;

/// Chunks that one reader asks for before it waits; others stand behind them.
const ASKED_MAX: usize = 16;

/// Bytes of the log that are read at once, all of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Chunk {
    /// The chunk that byte `byte` lies in.
    pub(crate) fn of(segments: &Segments, byte: u64) -> Self {
        let base = segments.base_of(byte);
        let from = byte - (byte - base) % CHUNK_BYTES;
        Self { from, to: (from + CHUNK_BYTES).min(base + segments.size) }
    }
}

/// How chunks are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Into the page cache.
    Through,
    /// Past it, into extents of the log.
    Past,
}

/// What a plan has to know of its log.
pub(crate) struct LogFacts<'a> {
    /// End of the log.
    pub(crate) appended: u64,
    /// End of what is written.
    pub(crate) written: u64,
    /// End of what does not change any more: what goes past the page cache ends before it.
    pub(crate) settled: u64,
    pub(crate) segments: &'a Segments,
    /// So far behind the end and farther, first reads go past the page cache.
    pub(crate) uncached_behind_bytes: u64,
    /// Room of its extents.
    pub(crate) extents_bytes: u64,
}

/// Which chunks come next. Pure.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Somebody waits for these.
    asked: VecDeque<Chunk>,
    on_the_way: Vec<Chunk>,
    /// Brought into the page cache lately, oldest first. What went past it is in the extents, or
    /// has to be read again.
    brought: VecDeque<Chunk>,
    /// The one that was followed last comes last.
    runs: Vec<Run>,
    tempo: Tempo,
    first_reads: FirstReads,
}

/// Readers that go along the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// How far they have come.
    reach: u64,
    /// First byte that was not read ahead.
    next: u64,
    /// How far to read ahead.
    until: u64,
}

impl Plan {
    /// Puts the first [`ASKED_MAX`] of `chunks` in line that are not there; `is_here` tells of
    /// those that the log has itself.
    pub(crate) fn ask(
        &mut self,
        chunks: impl Iterator<Item = Chunk>,
        is_here: impl Fn(Chunk) -> bool,
    ) {
        let mut last = None;
        let distinct = chunks.filter(|&chunk| last.replace(chunk) != Some(chunk));
        for chunk in distinct.take(ASKED_MAX) {
            if !self.is_known(chunk) && !is_here(chunk) {
                self.asked.push_back(chunk);
            }
        }
    }

    /// Whether anything is followed.
    pub(crate) fn has_runs(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Notes that the page cache does not have the byte, whatever was brought.
    pub(crate) fn forget(&mut self, byte: u64) {
        self.brought.retain(|chunk| !(chunk.from..chunk.to).contains(&byte));
    }

    fn is_known(&self, chunk: Chunk) -> bool {
        self.is_pending(chunk) || self.brought.contains(&chunk)
    }

    pub(crate) fn is_pending(&self, chunk: Chunk) -> bool {
        self.on_the_way.contains(&chunk) || self.asked.contains(&chunk)
    }

    /// Whether this belongs to a run that others have begun. A run begins with a cold read, and is
    /// read ahead from the second read on.
    pub(crate) fn follow(&mut self, from: u64, to: u64, are_cold: bool) -> bool {
        let is_near =
            |run: &Run| from <= run.reach + CHUNK_BYTES && run.reach <= to + 2 * AHEAD_MAX_BYTES;
        let ahead = (2 * (to - from)).clamp(CHUNK_BYTES, AHEAD_MAX_BYTES);
        if let Some(index) = self.runs.iter().position(is_near) {
            let run = self.runs.remove(index);
            let (reach, next) = (run.reach.max(to), run.next.max(from));
            self.runs.push(Run { reach, next, until: run.until.max(to + ahead) });
            return true;
        }
        if are_cold {
            if self.runs.len() == RUNS_MAX {
                self.runs.remove(0);
            }
            self.runs.push(Run { reach: to, next: to, until: to });
        }
        false
    }

    /// What is to be read now, if there is anything, and how: a chunk, or several neighbours of one
    /// segment. What `is_cached` is not read ahead: a run goes on for as long as it is followed,
    /// also where the page cache has all.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        log: &LogFacts<'_>,
        is_cached: impl Fn(Chunk) -> bool,
    ) -> Option<(Chunk, Way)> {
        let is_quiet = self.tempo.is_quiet(now, log.appended);
        let chunks_max = if is_quiet { CHUNKS_QUIET } else { CHUNKS_BUSY };
        let room = chunks_max.checked_sub(self.on_the_way.len()).filter(|room| *room > 0)?;
        let mut read = self.wanted(is_quiet, log, &is_cached)?;
        self.on_the_way.push(read);
        if !self.goes_past(read, log, &is_cached) {
            return Some((read, Way::Through));
        }
        self.first_reads.note(read.from / CHUNK_BYTES);
        for _ in 1..room.min(READ_CHUNKS_MAX) {
            let Some(chunk) = self.wanted(is_quiet, log, &is_cached) else { break };
            let are_neighbours = chunk.from == read.to
                && log.segments.base_of(chunk.from) == log.segments.base_of(read.from);
            if !are_neighbours || !self.goes_past(chunk, log, &is_cached) {
                // It is the next to be read.
                self.asked.push_front(chunk);
                break;
            }
            self.first_reads.note(chunk.from / CHUNK_BYTES);
            self.on_the_way.push(chunk);
            read.to = chunk.to;
        }
        Some((read, Way::Past))
    }

    /// The chunk that is wanted most: somebody waits for it, or will want it.
    fn wanted(
        &mut self,
        is_quiet: bool,
        log: &LogFacts<'_>,
        is_cached: impl Fn(Chunk) -> bool,
    ) -> Option<Chunk> {
        match self.asked.pop_front() {
            None if is_quiet => self.ahead(log, is_cached),
            asked => asked,
        }
    }

    /// Whether a chunk is read past the page cache.
    fn goes_past(
        &self,
        chunk: Chunk,
        log: &LogFacts<'_>,
        is_cached: impl Fn(Chunk) -> bool,
    ) -> bool {
        let number = chunk.from / CHUNK_BYTES;
        let is_far = log.appended.saturating_sub(chunk.to) >= log.uncached_behind_bytes;
        let comes_from_far = || {
            let before = number.checked_sub(1);
            before.is_some_and(|before| !self.first_reads.would_be_first(before))
        };
        (is_far || comes_from_far())
            && chunk.to <= log.settled
            && Extents::are_whole(&(chunk.from..chunk.to))
            && self.first_reads.would_be_first(number)
            && !is_cached(chunk)
    }

    /// The next chunk in front of the run that was followed last, or of another.
    fn ahead(&mut self, log: &LogFacts<'_>, is_cached: impl Fn(Chunk) -> bool) -> Option<Chunk> {
        let room = log.extents_bytes / 2 / self.runs.len().max(1) as u64;
        for index in (0..self.runs.len()).rev() {
            let Run { reach, until, .. } = self.runs[index];
            while self.runs[index].next < until.min(reach + room).min(log.written) {
                let chunk = Chunk::of(log.segments, self.runs[index].next);
                self.runs[index].next = chunk.to;
                if !self.is_known(chunk) && !is_cached(chunk) {
                    return Some(chunk);
                }
            }
        }
        None
    }

    /// Notes that what [`Plan::next`] said was read.
    pub(crate) fn end(&mut self, read: Chunk, way: Way) {
        let is_of_it = |chunk: &mut Chunk| read.from <= chunk.from && chunk.to <= read.to;
        let ended = self.on_the_way.extract_if(.., is_of_it);
        match way {
            Way::Through => self.brought.extend(ended),
            Way::Past => ended.for_each(drop),
        }
        let too_many = self.brought.len().saturating_sub(BROUGHT_MAX);
        self.brought.drain(..too_many);
    }
}

#[cfg(test)]
mod tests;
