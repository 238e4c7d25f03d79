use super::*;
use crate::position::LogId;

const MIB: u64 = 1 << 20;
const END: u64 = 1 << 40;

/// A log that ends far away, of which nothing is so far behind the end.
fn log(segments: &Segments, appended: u64) -> LogFacts<'_> {
    let extents_bytes = 96 * MIB;
    let (written, settled) = (END, END);
    LogFacts {
        appended,
        written,
        settled,
        segments,
        uncached_behind_bytes: u64::MAX,
        extents_bytes,
    }
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
fn far(segments: &Segments) -> LogFacts<'_> {
    LogFacts { uncached_behind_bytes: 0, ..log(segments, END) }
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
    let far = LogFacts { uncached_behind_bytes: 4 * MIB, settled, ..log(&segments, 5 * MIB) };
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
    assert_eq!(way(3 * MIB / 2, 3 * MIB / 2 + CHUNK_BYTES, false), Way::Through, "near the end");
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
    let ahead = [(12, 16), (16, 18), (18, 19), (20, 24), (24, 28), (28, 30), (30, 34), (34, 36)];
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
    let log = LogFacts { extents_bytes: 32 * MIB, ..log(&segments, 0) };
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
