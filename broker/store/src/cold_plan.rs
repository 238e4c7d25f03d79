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
pub(crate) struct View<'a> {
    /// End of the log.
    pub(crate) appended: u64,
    /// End of what is written.
    pub(crate) written: u64,
    /// End of what does not change any more: what goes past the page cache ends before it.
    pub(crate) settled: u64,
    pub(crate) segments: &'a Segments,
    /// So far behind the end and farther, first reads go past the page cache.
    pub(crate) uncached_behind: u64,
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
        log: &View<'_>,
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
        log: &View<'_>,
        is_cached: impl Fn(Chunk) -> bool,
    ) -> Option<Chunk> {
        match self.asked.pop_front() {
            None if is_quiet => self.ahead(log, is_cached),
            asked => asked,
        }
    }

    /// Whether a chunk is read past the page cache.
    fn goes_past(&self, chunk: Chunk, log: &View<'_>, is_cached: impl Fn(Chunk) -> bool) -> bool {
        let number = chunk.from / CHUNK_BYTES;
        let is_far = log.appended.saturating_sub(chunk.to) >= log.uncached_behind;
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
    fn ahead(&mut self, log: &View<'_>, is_cached: impl Fn(Chunk) -> bool) -> Option<Chunk> {
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
mod tests {
    use super::*;
    use crate::position::LogId;

    const MIB: u64 = 1 << 20;
    const END: u64 = 1 << 40;

    /// A log that ends far away, of which nothing is so far behind the end.
    fn log(segments: &Segments, appended: u64) -> View<'_> {
        let extents_bytes = 96 * MIB;
        let (written, settled) = (END, END);
        View { appended, written, settled, segments, uncached_behind: u64::MAX, extents_bytes }
    }

    /// All that is read of a log that has ended there for a while, one after the other.
    fn read_all(plan: &mut Plan) -> Vec<Chunk> {
        let segments = Segments::new(LogId(0), "log".into(), 1 << 30);
        let mut read = Vec::new();
        let now = Instant::from_nanos(1 << 40);
        while let Some((chunk, way)) = plan.next(now, &log(&segments, 0), |_| false) {
            assert_eq!(way, Way::Through);
            plan.end(chunk, way);
            read.push(chunk);
        }
        read
    }

    /// A log all of which is far behind its end, and takes nothing.
    fn far(segments: &Segments) -> View<'_> {
        View { uncached_behind: 0, ..log(segments, END) }
    }

    fn chunks(from: u64, count: u64) -> Vec<Chunk> {
        let chunk = |number| from + number * CHUNK_BYTES;
        (0..count).map(|number| Chunk { from: chunk(number), to: chunk(number + 1) }).collect()
    }

    #[test]
    fn chunks_are_those_of_their_segment() {
        let segments = Segments::new(LogId(0), "log".into(), 3 * CHUNK_BYTES / 2);
        let half = CHUNK_BYTES / 2;
        for (byte, from, to) in [
            (0, 0, 2 * half),
            (2 * half, 2 * half, 3 * half),
            (3 * half + 5, 3 * half, 5 * half),
            (6 * half - 1, 5 * half, 6 * half),
        ] {
            assert_eq!(Chunk::of(&segments, byte), Chunk { from, to }, "byte {byte}");
        }
    }

    #[test]
    fn what_two_readers_want_is_in_line_once_and_one_reader_does_not_fill_the_line() {
        let mut plan = Plan::default();
        plan.ask(chunks(0, 4).into_iter(), |_| false);
        plan.ask(chunks(2 * CHUNK_BYTES, 100).into_iter(), |_| false);
        assert_eq!(plan.asked, chunks(0, 2 + ASKED_MAX as u64));
        plan.ask(chunks(MIB * 100, 1).into_iter(), |_| true);
        assert_eq!(plan.asked.len(), 2 + ASKED_MAX, "the log has it");
    }

    #[test]
    fn a_second_read_at_the_same_place_is_read_ahead_of_twice_as_far_as_it_reached() {
        let mut plan = Plan::default();
        assert!(!plan.follow(0, MIB, false), "the page cache had it");
        assert!(!plan.follow(0, MIB, true));
        assert_eq!(read_all(&mut plan), []);
        assert!(plan.follow(MIB, 3 * MIB, false));
        assert_eq!(read_all(&mut plan), chunks(MIB, 16 + 32));
        assert!(plan.follow(2 * MIB, 3 * MIB, true), "another queue");
        assert_eq!(read_all(&mut plan), []);
        assert!(!plan.follow(100 * MIB, 101 * MIB, true), "elsewhere");
        assert!(plan.follow(101 * MIB, 121 * MIB, false));
        let ahead = (20 * MIB + AHEAD_MAX_BYTES) / CHUNK_BYTES;
        assert_eq!(read_all(&mut plan), chunks(101 * MIB, ahead));
    }

    #[test]
    fn what_the_page_cache_has_is_not_read_ahead_but_whoever_asks_for_it_gets_it() {
        let segments = Segments::new(LogId(0), "log".into(), 1 << 30);
        let (mut plan, now) = (Plan::default(), Instant::from_nanos(1 << 40));
        plan.follow(0, MIB, true);
        plan.follow(MIB, 3 * MIB, false);
        let is_cached = |chunk: Chunk| chunk.from < 4 * MIB;
        let next = |plan: &mut Plan| plan.next(now, &log(&segments, 0), is_cached);
        let (first, _) = next(&mut plan).expect("the rest is not cached");
        assert_eq!(first.from, 4 * MIB);
        plan.ask(chunks(MIB, 1).into_iter(), |_| false);
        assert_eq!(next(&mut plan), Some((chunks(MIB, 1)[0], Way::Through)));
    }

    #[test]
    fn what_is_far_behind_goes_past_the_page_cache_once_unless_that_has_it() {
        let segments = Segments::new(LogId(0), "log".into(), 1 << 30);
        let (mut plan, now) = (Plan::default(), Instant::from_nanos(1 << 40));
        let settled = MIB + CHUNK_BYTES;
        let far = View { uncached_behind: 4 * MIB, settled, ..log(&segments, 5 * MIB) };
        let mut way = |from, to, is_cached: bool| {
            plan.ask([Chunk { from, to }].into_iter(), |_| false);
            let (chunk, way) = plan.next(now, &far, |_| is_cached).expect("asked for");
            assert_eq!((chunk.from, chunk.to), (from, to));
            plan.end(chunk, way);
            plan.forget(from);
            way
        };
        assert_eq!(way(0, CHUNK_BYTES, false), Way::Past);
        assert_eq!(way(0, CHUNK_BYTES, false), Way::Through, "a second time");
        assert_eq!(way(CHUNK_BYTES, 2 * CHUNK_BYTES, true), Way::Through, "it is there");
        assert_eq!(way(MIB - CHUNK_BYTES, MIB, false), Way::Past);
        assert_eq!(way(MIB, MIB + CHUNK_BYTES, false), Way::Past, "near the end, from afar");
        assert_eq!(way(MIB, MIB + CHUNK_BYTES, false), Way::Through, "a second time, there too");
        assert_eq!(way(settled, settled + CHUNK_BYTES, false), Way::Through, "it may change");
        assert_eq!(
            way(3 * MIB / 2, 3 * MIB / 2 + CHUNK_BYTES, false),
            Way::Through,
            "near the end"
        );
        assert_eq!(way(MIB / 2, MIB / 2 + 100, false), Way::Through, "a lone record");
    }

    #[test]
    fn what_went_past_the_page_cache_is_read_again_when_the_log_lacks_it_again() {
        let segments = Segments::new(LogId(0), "log".into(), 1 << 30);
        let (mut plan, now) = (Plan::default(), Instant::from_nanos(1 << 40));
        let mut read = || {
            plan.ask(chunks(0, 1).into_iter(), |_| false);
            let (chunk, way) = plan.next(now, &far(&segments), |_| false)?;
            plan.end(chunk, way);
            Some(way)
        };
        assert_eq!(read(), Some(Way::Past));
        assert_eq!(read(), Some(Way::Through));
        assert_eq!(read(), None, "the page cache has it");
    }

    #[test]
    fn neighbours_that_go_past_the_page_cache_are_read_in_one_go() {
        let segments = Segments::new(LogId(0), "log".into(), 6 * CHUNK_BYTES);
        let (mut plan, now) = (Plan::default(), Instant::from_nanos(1 << 40));
        let reads = |plan: &mut Plan| -> Vec<(u64, u64)> {
            let next = || plan.next(now, &far(&segments), |chunk| chunk.from == 19 * CHUNK_BYTES);
            let reads: Vec<_> = std::iter::from_fn(next).collect();
            reads.iter().map(|(read, _)| (read.from / CHUNK_BYTES, read.to / CHUNK_BYTES)).collect()
        };
        plan.ask(chunks(0, 8).into_iter().chain(chunks(10 * CHUNK_BYTES, 1)), |_| false);
        plan.follow(11 * CHUNK_BYTES, 12 * CHUNK_BYTES, true);
        plan.follow(12 * CHUNK_BYTES, 26 * CHUNK_BYTES, true);
        let first = reads(&mut plan);
        // Segments end behind 6, 12, 18, ...; 19 is in the page cache; 32 chunks in all.
        let ahead =
            [(12, 16), (16, 18), (18, 19), (20, 24), (24, 28), (28, 30), (30, 34), (34, 36)];
        assert_eq!(first[..4], [(0, 4), (4, 6), (6, 8), (10, 11)]);
        assert_eq!(first[4..], ahead);
        assert_eq!(plan.on_the_way.len(), CHUNKS_QUIET);
        assert!((0..8).all(|number| plan.is_pending(chunks(number * CHUNK_BYTES, 1)[0])));
        plan.end(Chunk { from: 0, to: 4 * CHUNK_BYTES }, Way::Past);
        assert!(!plan.is_pending(chunks(3 * CHUNK_BYTES, 1)[0]), "it was read");
        assert!(plan.is_pending(chunks(4 * CHUNK_BYTES, 1)[0]));
        assert_eq!(reads(&mut plan), [(36, 40)], "the room that there is again");
    }

    #[test]
    fn all_runs_together_are_half_of_the_extents_ahead() {
        let segments = Segments::new(LogId(0), "log".into(), 1 << 30);
        let log = View { extents_bytes: 32 * MIB, ..log(&segments, 0) };
        let now = Instant::from_nanos(1 << 40);
        let mut plan = Plan::default();
        let begin = |plan: &mut Plan, from: u64| {
            plan.follow(from, from + 5 * MIB, true);
            plan.follow(from + 5 * MIB, from + 15 * MIB, true);
        };
        let read_to = |plan: &mut Plan, from: u64| {
            let mut to = 0;
            while let Some((chunk, way)) = plan.next(now, &log, |_| false) {
                plan.end(chunk, way);
                to = if chunk.from < from { to } else { to.max(chunk.to) };
            }
            to - from
        };
        begin(&mut plan, 0);
        assert_eq!(read_to(&mut plan, 0), (15 + 16) * MIB, "one run");
        begin(&mut plan, 200 * MIB);
        assert_eq!(read_to(&mut plan, 200 * MIB), (15 + 8) * MIB, "the second of two");
    }

    #[test]
    fn beside_messages_one_chunk_is_read_at_a_time_whichever_way() {
        let segments = Segments::new(LogId(0), "log".into(), 1 << 30);
        let (mut plan, now) = (Plan::default(), Instant::from_nanos(1 << 40));
        assert!(plan.tempo.is_quiet(now, END - 1));
        plan.ask(chunks(0, 8).into_iter(), |_| false);
        let mut next = || plan.next(now, &far(&segments), |_| false);
        assert_eq!(next(), Some((chunks(0, 1)[0], Way::Past)));
        assert_eq!(next(), None);
    }

    #[test]
    fn a_log_that_takes_messages_has_few_reads_and_none_ahead() {
        let segments = Segments::new(LogId(0), "log".into(), 1 << 30);
        let mut plan = Plan::default();
        plan.follow(0, MIB, true);
        plan.follow(MIB, 4 * MIB, true);
        plan.ask(chunks(0, ASKED_MAX as u64).into_iter(), |_| false);
        assert!(plan.tempo.is_quiet(Instant::from_nanos(0), 4));
        let mut begin = |ms: u64, appended| {
            let now = Instant::from_nanos(ms * 1_000_000);
            let next = || plan.next(now, &log(&segments, appended), |_| false);
            let count = std::iter::from_fn(next).count();
            plan.on_the_way.clear();
            count
        };
        assert_eq!(begin(1000, 5), CHUNKS_BUSY);
        assert_eq!(begin(1099, 5), CHUNKS_BUSY);
        assert_eq!(begin(1100, 6), CHUNKS_BUSY);
        assert_eq!(begin(1199, 6), CHUNKS_BUSY);
        assert_eq!(begin(1200, 6), CHUNKS_QUIET, "what was asked for, and then ahead");
    }

    #[test]
    fn the_number_of_runs_is_bounded_and_the_oldest_makes_way() {
        let mut plan = Plan::default();
        for number in 0..=RUNS_MAX as u64 {
            plan.follow(number * 1000 * MIB, number * 1000 * MIB + MIB, true);
        }
        assert_eq!(plan.runs.len(), RUNS_MAX);
        assert!(!plan.follow(MIB, 2 * MIB, false));
        assert!(plan.follow(1001 * MIB, 1002 * MIB, false));
    }
}
