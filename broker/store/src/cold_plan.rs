//! Which chunks of a log are brought into the page cache next. Pure: `cold.rs` asks what to begin
//! and tells what has ended.
//!
//! | the log | reads at the same time | ahead of its readers |
//! |---|---|---|
//! | is quiet (`tempo.rs`) | [`READS_QUIET`] | as much as they want now |
//! | takes messages | [`READS_BUSY`] | nothing |
//!
//! Never more than [`AHEAD_MAX_BYTES`] ahead.
//!
//! What is far behind the end of the log is read straight into memory of the log the first time
//! ([`Way::Past`]), and into the page cache after that (`first_reads.rs`), as is what lies near the
//! end, where most groups catch up. So a long catch-up does not push out what others find in the
//! page cache, and costs no copy out of it.
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

/// Reads of a quiet log: they keep the device busy.
const READS_QUIET: usize = 16;

/// Reads of a log that takes messages: its own writes wait behind them.
const READS_BUSY: usize = 1;

/// Most that is read ahead of a run.
const AHEAD_MAX_BYTES: u64 = 8 << 20;

/// Runs of a log: of topics that are read at different places.
const RUNS_MAX: usize = 8;

/// Chunks that are remembered as brought, so that they are not brought again: 16 MiB.
const BROUGHT_MAX: usize = 128;

/// Chunks that one reader asks for before it waits.
const ASKED_MAX: usize = READS_QUIET;

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

/// How a chunk is read.
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
    pub(crate) segments: &'a Segments,
    /// From here on behind the end, first reads go past the page cache.
    pub(crate) uncached_behind: u64,
}

/// Which chunks come next. Pure.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Somebody waits for these.
    asked: VecDeque<Chunk>,
    on_the_way: Vec<Chunk>,
    /// Oldest first.
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
        let ahead = (to - from).clamp(CHUNK_BYTES, AHEAD_MAX_BYTES);
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

    /// The chunk to be read now, if there is one, and how. What `is_cached` is not read ahead: a
    /// run goes on for as long as it is followed, also where the page cache has all.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        log: &View<'_>,
        is_cached: impl Fn(Chunk) -> bool,
    ) -> Option<(Chunk, Way)> {
        let is_quiet = self.tempo.is_quiet(now, log.appended);
        let reads_max = if is_quiet { READS_QUIET } else { READS_BUSY };
        if self.on_the_way.len() >= reads_max {
            return None;
        }
        let (chunk, may_be_cached) = match self.asked.pop_front() {
            None if is_quiet => (self.ahead(log, &is_cached)?, false),
            asked => (asked?, true),
        };
        self.on_the_way.push(chunk);
        let is_far = log.appended.saturating_sub(chunk.to) >= log.uncached_behind;
        let goes_past = is_far
            && Extents::are_whole(&(chunk.from..chunk.to))
            && self.first_reads.is_first(chunk.from / CHUNK_BYTES)
            && !(may_be_cached && is_cached(chunk));
        Some((chunk, if goes_past { Way::Past } else { Way::Through }))
    }

    /// The next chunk in front of the run that was followed last, or of another.
    fn ahead(&mut self, log: &View<'_>, is_cached: impl Fn(Chunk) -> bool) -> Option<Chunk> {
        for index in (0..self.runs.len()).rev() {
            while self.runs[index].next < self.runs[index].until.min(log.written) {
                let chunk = Chunk::of(log.segments, self.runs[index].next);
                self.runs[index].next = chunk.to;
                if !self.is_known(chunk) && !is_cached(chunk) {
                    return Some(chunk);
                }
            }
        }
        None
    }

    pub(crate) fn end(&mut self, chunk: Chunk) {
        self.on_the_way.retain(|&other| other != chunk);
        if self.brought.len() == BROUGHT_MAX {
            self.brought.pop_front();
        }
        self.brought.push_back(chunk);
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
        View { appended, written: END, segments, uncached_behind: u64::MAX }
    }

    /// All that is read of a log that has ended there for a while, one after the other.
    fn read_all(plan: &mut Plan) -> Vec<Chunk> {
        let segments = Segments::new(LogId(0), "log".into(), 1 << 30);
        let mut read = Vec::new();
        let now = Instant::from_nanos(1 << 40);
        while let Some((chunk, way)) = plan.next(now, &log(&segments, 0), |_| false) {
            assert_eq!(way, Way::Through);
            plan.end(chunk);
            read.push(chunk);
        }
        read
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
    fn a_second_read_at_the_same_place_is_read_ahead_of_as_far_as_it_reached() {
        let mut plan = Plan::default();
        assert!(!plan.follow(0, MIB, false), "the page cache had it");
        assert!(!plan.follow(0, MIB, true));
        assert_eq!(read_all(&mut plan), []);
        assert!(plan.follow(MIB, 3 * MIB, false));
        assert_eq!(read_all(&mut plan), chunks(MIB, 16 + 16));
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
        let far = View { uncached_behind: 4 * MIB, ..log(&segments, 5 * MIB) };
        let mut way = |from, to, is_cached: bool| {
            plan.ask([Chunk { from, to }].into_iter(), |_| false);
            let (chunk, way) = plan.next(now, &far, |_| is_cached).expect("asked for");
            assert_eq!((chunk.from, chunk.to), (from, to));
            plan.end(chunk);
            plan.forget(from);
            way
        };
        assert_eq!(way(0, CHUNK_BYTES, false), Way::Past);
        assert_eq!(way(0, CHUNK_BYTES, false), Way::Through, "a second time");
        assert_eq!(way(CHUNK_BYTES, 2 * CHUNK_BYTES, true), Way::Through, "it is there");
        assert_eq!(way(MIB - CHUNK_BYTES, MIB, false), Way::Past);
        assert_eq!(way(MIB, MIB + CHUNK_BYTES, false), Way::Through, "near the end");
        assert_eq!(way(MIB / 2, MIB / 2 + 100, false), Way::Through, "a lone record");
    }

    #[test]
    fn a_log_that_takes_messages_has_few_reads_and_none_ahead() {
        let segments = Segments::new(LogId(0), "log".into(), 1 << 30);
        let mut plan = Plan::default();
        plan.follow(0, MIB, true);
        plan.follow(MIB, 2 * MIB, true);
        plan.ask(chunks(0, ASKED_MAX as u64).into_iter(), |_| false);
        assert!(plan.tempo.is_quiet(Instant::from_nanos(0), 4));
        let mut begin = |ms: u64, appended| {
            let now = Instant::from_nanos(ms * 1_000_000);
            let next = || plan.next(now, &log(&segments, appended), |_| false);
            let count = std::iter::from_fn(next).count();
            plan.on_the_way.clear();
            count
        };
        assert_eq!(begin(1000, 5), READS_BUSY);
        assert_eq!(begin(1099, 5), READS_BUSY);
        assert_eq!(begin(1100, 6), READS_BUSY);
        assert_eq!(begin(1199, 6), READS_BUSY);
        assert_eq!(begin(1200, 6), READS_QUIET, "what was asked for, and then ahead");
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
