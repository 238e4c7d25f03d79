//! Cold reads on a simulated disk: what is read once, how much at a time, and how far ahead.

mod common;

use std::ops::Range;
use std::time::Duration;

use ringmq_runtime::sim::{Chance, DiskReads, PageCache, World};
use ringmq_runtime::task;
use ringmq_store::{
    BatchLimit, FlushPolicy, Log, LogId, LogOptions, Piece, QueueOffset, ReadLimits, ReadNow,
    ReadQuery,
};

use common::{WIDE, memory_bytes, message, parse_all, tiny_options};

const QUEUES: i32 = 4;
const MESSAGES_OF_QUEUE: u64 = 4000;
const BODY_BYTES: usize = 1000;
const BLOCK_ENTRIES: u64 = 500;

/// Longer than a log has to be quiet.
const QUIET: Duration = Duration::from_millis(300);

fn options() -> LogOptions {
    LogOptions {
        segment_size_bytes: 8 << 20,
        fill_step_bytes: 1 << 20,
        unwritten_max_bytes: 4 << 20,
        unflushed_max_bytes: 16 << 20,
        queue_block_entries: BLOCK_ENTRIES as usize,
        index_cache_bytes: 1 << 20,
        extents_bytes: 32 << 20,
        key_run_entries: 40_000,
        index_segment_size_bytes: 1 << 20,
        scrub_bytes_per_s: 0,
        uncached_behind_bytes: u64::MAX,
        ..tiny_options(FlushPolicy::Async { interval: Duration::from_millis(20) })
    }
}

/// A world with a log of 16 MiB in four interleaved queues.
fn world_with_log(page_cache: PageCache) -> (World, Log) {
    world_with(page_cache, options(), BODY_BYTES)
}

/// The same with other bodies.
fn world_with(page_cache: PageCache, options: LogOptions, body_bytes: usize) -> (World, Log) {
    let world = World::new(21);
    let disk = world.disk(0);
    world.disk_faults(0, |faults| faults.page_cache = page_cache);
    let log = world.run(async {
        let opened = Log::open(&disk, "log", LogId(0), options).await;
        let (log, _) = opened.expect("the log opens");
        for number in 0..MESSAGES_OF_QUEUE * QUEUES as u64 {
            append_body(&log, (number % QUEUES as u64) as i32, number, body_bytes).await;
        }
        while log.acknowledged() < log.end_position() {
            log.acknowledged_beyond(log.acknowledged()).await.expect("a healthy disk");
        }
        task::sleep(QUIET).await;
        log
    });
    (world, log)
}

async fn append(log: &Log, queue_id: i32, number: u64) {
    append_body(log, queue_id, number, BODY_BYTES).await;
}

async fn append_body(log: &Log, queue_id: i32, number: u64, body_bytes: usize) {
    log.room().await;
    let mut body = vec![7; body_bytes];
    body[..8].copy_from_slice(&number.to_be_bytes());
    log.append(&message("t", queue_id, &body, ""), 5000).expect("room");
}

/// Pulls `count` messages from `from` on; tells how many came, and whether at once.
async fn pull(log: &Log, queue_id: i32, from: u64, count: usize) -> (u64, bool) {
    try_pull(log, queue_id, from, count).await.expect("a readable log")
}

/// The same, of a device that may fail.
async fn try_pull(log: &Log, queue_id: i32, from: u64, count: usize) -> Option<(u64, bool)> {
    let wide = BatchLimit { count, bytes: 8 << 20 };
    let limits = ReadLimits { count, in_memory: wide, on_disk: wide, ..WIDE };
    let query = ReadQuery { topic: "t", queue_id, from: QueueOffset(from), limits };
    let mut pieces = Vec::new();
    let (result, was_at_once) = match log.read_now(&query, &mut |_| true, &mut pieces) {
        ReadNow::Done(result) => (result, true),
        ReadNow::Later => (log.read(&query, &mut |_| true, &mut pieces).await.ok()?, false),
    };
    check_messages(&pieces, queue_id, from, result.count);
    Some((result.count as u64, was_at_once))
}

fn check_messages(pieces: &[Piece], queue_id: i32, from: u64, count: usize) {
    let seen = parse_all(&memory_bytes(pieces));
    assert_eq!(seen.len(), count);
    for (seen, offset) in seen.iter().zip(from..) {
        let number = offset * QUEUES as u64 + queue_id as u64;
        assert_eq!((seen.offset, &seen.body[..8]), (offset, &number.to_be_bytes()[..]));
    }
}

/// Reads the first `until` messages of each queue, `count` at a time and all queues at once; tells
/// what the
/// device was asked for.
fn catch_up(world: &World, log: &Log, until: u64, count: usize) -> DiskReads {
    let before = world.disk_reads(0);
    world.run(async {
        let readers: Vec<_> = (0..QUEUES)
            .map(|queue_id| {
                let log = log.clone();
                task::spawn("reader", async move {
                    let mut from = 0;
                    while from < until {
                        from += pull(&log, queue_id, from, count).await.0;
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.await;
        }
    });
    let after = world.disk_reads(0);
    let (count, bytes) = (after.count - before.count, after.bytes - before.bytes);
    DiskReads { count, bytes, at_once_max: after.at_once_max }
}

const CHUNK_BYTES: u64 = 128 << 10;

#[test]
fn what_several_queues_want_is_read_once() {
    let (world, log) = world_with_log(PageCache::Brought);
    let reads = catch_up(&world, &log, MESSAGES_OF_QUEUE - 500, 100);
    let log_bytes = log.end_position().byte();
    assert!(reads.bytes <= log_bytes * 11 / 10, "{reads:?} for {log_bytes} bytes");
    // And the blocks of the index.
    let blocks = QUEUES as u64 * MESSAGES_OF_QUEUE / BLOCK_ENTRIES;
    assert!(reads.count <= log_bytes / CHUNK_BYTES + blocks + 32, "{reads:?}");
}

#[test]
fn blocks_of_the_index_are_read_ahead_once_though_few_of_them_have_room() {
    // Three for each reader: one that it reads, and the two behind that.
    let index_cache_bytes = 3 * QUEUES as usize * BLOCK_ENTRIES as usize * 24;
    let (world, log) =
        world_with(PageCache::Brought, LogOptions { index_cache_bytes, ..options() }, BODY_BYTES);
    let reads = catch_up(&world, &log, MESSAGES_OF_QUEUE - 500, BLOCK_ENTRIES as usize);
    let chunks = log.end_position().byte() / CHUNK_BYTES;
    let blocks = QUEUES as u64 * MESSAGES_OF_QUEUE / BLOCK_ENTRIES;
    assert!(reads.count <= chunks + blocks + 1, "{reads:?}: {chunks} chunks, {blocks} blocks");
}

#[test]
fn a_quiet_log_keeps_the_device_busy_and_one_that_takes_messages_does_not() {
    let (world, log) = world_with_log(PageCache::Brought);
    let busy = world.run(async {
        let sender = {
            let log = log.clone();
            task::spawn("sender", async move {
                let mut number = MESSAGES_OF_QUEUE * QUEUES as u64;
                loop {
                    append(&log, (number % QUEUES as u64) as i32, number).await;
                    number += 1;
                    task::sleep(Duration::from_millis(5)).await;
                }
            })
        };
        // The log learns that it grows.
        let mut from = pull(&log, 0, 0, 10).await.0;
        task::sleep(Duration::from_millis(20)).await;
        pull(&log, 0, 2000, 10).await;
        world.disk_reads(0);
        while from < 1000 {
            from += pull(&log, 0, from, 100).await.0;
        }
        drop(sender);
        world.disk_reads(0).at_once_max
    });
    // One chunk, and a block of the index or two.
    assert!(busy <= 3, "{busy} reads at the same time beside messages");
    world.run(async { task::sleep(QUIET).await });
    let quiet = catch_up(&world, &log, 3000, 400).at_once_max;
    assert!((8..=32).contains(&quiet), "{quiet} reads at the same time");
}

#[test]
fn a_consumer_that_goes_on_finds_its_messages_in_the_page_cache() {
    let (world, log) = world_with_log(PageCache::Brought);
    world.run(async {
        let mut from = 1000;
        let mut at_once = Vec::new();
        for _ in 0..10 {
            let (count, was_at_once) = pull(&log, 1, from, 100).await;
            from += count;
            at_once.push((count, was_at_once));
            // The answer travels, and the consumer works.
            task::sleep(Duration::from_millis(5)).await;
        }
        assert!(at_once[2..].iter().all(|pull| *pull == (100, true)), "{at_once:?}");
        let ahead = world.disk_reads(0).bytes;
        task::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.disk_reads(0).bytes, ahead, "nothing is read for nobody");
    });
}

#[test]
fn where_nobody_can_tell_what_is_cached_cold_records_are_read_once() {
    let (world, log) = world_with_log(PageCache::Untold);
    let before = world.disk_reads(0);
    let wanted_bytes = world.run(async {
        let mut from = 0;
        while from < 1000 {
            let (count, was_at_once) = pull(&log, 2, from, 100).await;
            assert!(!was_at_once);
            from += count;
        }
        from * QUEUES as u64 * (BODY_BYTES as u64 + 200)
    });
    let bytes = world.disk_reads(0).bytes - before.bytes;
    assert!(bytes <= wanted_bytes * 12 / 10, "{bytes} bytes read, {wanted_bytes} in all");
}

#[test]
fn a_read_that_fails_is_told_to_who_needs_it_and_to_nobody_else() {
    let (world, log) = world_with_log(PageCache::Brought);
    let fails = |chance| world.disk_faults(0, |faults| faults.read_error = chance);
    world.run(async {
        pull(&log, 0, 0, 100).await;
        fails(Chance::ALWAYS);
        let limits = ReadLimits { count: 100, ..WIDE };
        let query = ReadQuery { topic: "t", queue_id: 0, from: QueueOffset(1500), limits };
        let mut pieces = Vec::new();
        assert!(log.read(&query, &mut |_| true, &mut pieces).await.is_err());
        assert!(pieces.is_empty());
        fails(Chance::NEVER);
        // So long it is not asked again for what it did not read.
        task::sleep(Duration::from_secs(5)).await;
        assert_eq!(pull(&log, 0, 1500, 100).await.0, 100);
    });
}

/// A log of 64 MiB, so that its own extents are half of it, all of which is far behind its end but
/// for the last MiB.
fn world_with_far_log() -> (World, Log) {
    let far = LogOptions { uncached_behind_bytes: 1 << 20, ..options() };
    world_with(PageCache::Brought, far, 4 * BODY_BYTES)
}

#[test]
fn what_is_far_behind_is_in_the_page_cache_from_the_second_time_on() {
    let (world, log) = world_with_far_log();
    let all = MESSAGES_OF_QUEUE - 500;
    let read_bytes = all * QUEUES as u64 * 4 * BODY_BYTES as u64;
    let pass = || catch_up(&world, &log, all, 100);
    let first = pass();
    let once = read_bytes * 9 / 10..=read_bytes * 13 / 10;
    assert!(once.contains(&first.bytes), "{first:?} for {read_bytes} bytes");
    // 32 chunks, mostly several in one read, and a block of the index for each queue.
    assert!((4..=20).contains(&first.at_once_max), "{first:?}");
    let blocks = QUEUES as u64 * MESSAGES_OF_QUEUE / BLOCK_ENTRIES;
    assert!(first.count <= first.bytes / (2 * CHUNK_BYTES) + blocks + 32, "{first:?}");
    let second = pass();
    assert!(once.contains(&second.bytes), "{second:?} for {read_bytes} bytes");
    let third = pass();
    assert!(third.bytes <= read_bytes / 20, "{third:?} for {read_bytes} bytes");
}

#[test]
fn reads_past_the_page_cache_that_fail_are_told_and_leave_nothing_wrong() {
    let (world, log) = world_with_far_log();
    world.disk_faults(0, |faults| faults.read_error = Chance::per_mille(500));
    let failures = world.run(async {
        let (mut from, mut failures) = (0, 0);
        while from < MESSAGES_OF_QUEUE / 2 {
            match try_pull(&log, 3, from, 100).await {
                Some((count, _)) => from += count,
                None => {
                    failures += 1;
                    task::sleep(Duration::from_secs(3)).await;
                }
            }
        }
        failures
    });
    assert!(failures > 0);
    world.disk_faults(0, |faults| faults.read_error = Chance::NEVER);
    world.run(async { task::sleep(Duration::from_secs(5)).await });
    catch_up(&world, &log, MESSAGES_OF_QUEUE, 400);
}

#[test]
fn messages_that_are_taken_leave_the_device_to_one_read_past_the_page_cache_too() {
    let (world, log) = world_with_far_log();
    let busy = world.run(async {
        let mut number = MESSAGES_OF_QUEUE * QUEUES as u64;
        let mut from = pull(&log, 0, 0, 10).await.0;
        world.disk_reads(0);
        while from < 600 {
            append(&log, (number % QUEUES as u64) as i32, number).await;
            number += 1;
            from += pull(&log, 0, from, 20).await.0;
        }
        world.disk_reads(0).at_once_max
    });
    assert!(busy <= 3, "{busy} reads at the same time beside messages");
}

#[test]
fn a_catch_up_uses_the_same_memory_again_and_again() {
    let (world, log) = world_with_far_log();
    let before = log.stats().memory_bytes;
    catch_up(&world, &log, MESSAGES_OF_QUEUE - 500, 100);
    let extents = log.stats().memory_bytes - before;
    // 8 MiB that were read, and what lies before the readers; all places have 32 MiB.
    assert!(extents <= 20 << 20, "{extents} bytes");
}

#[test]
fn of_two_groups_that_catch_up_the_second_finds_most_of_what_the_first_had_read() {
    let (world, log) = world_with_far_log();
    let before = world.disk_reads(0).bytes;
    let until = MESSAGES_OF_QUEUE - 500;
    // 17 MB: twice as much as stays for it at first, half of what may.
    let lag = 1000;
    world.run(async {
        for from in (0..until).step_by(100) {
            for queue_id in 0..QUEUES {
                pull_all(&log, queue_id, from..from + 100).await;
                if let Some(from) = from.checked_sub(lag) {
                    pull_all(&log, queue_id, from..from + 100).await;
                }
            }
        }
    });
    let read = world.disk_reads(0).bytes - before;
    let once = until * QUEUES as u64 * 4 * BODY_BYTES as u64;
    assert!(read <= once * 14 / 10, "{read} bytes read of {once}");
}

/// Pulls these messages, however many pulls that takes.
async fn pull_all(log: &Log, queue_id: i32, wanted: Range<u64>) {
    let mut from = wanted.start;
    while from < wanted.end {
        from += pull(log, queue_id, from, (wanted.end - from) as usize).await.0;
    }
}
