//! What readers are told: statuses, limits, filters, deletion, against plain expectations.
//! Simulated disk, no faults.

mod common;

use std::time::Duration;

use ringmq_runtime::disk::Disk;
use ringmq_runtime::sim::World;
use ringmq_store::metadata::Document;
use ringmq_store::offsets::{OffsetSnapshot, OffsetTable};
use ringmq_store::{
    BatchLimit, FlushPolicy, KeyQuery, Log, LogId, LogOptions, Piece, QueueOffset, ReadLimits,
    ReadNow, ReadQuery, ReadResult, ReadStatus,
};

use common::{WIDE, WIDE_SEARCH, consume, memory_bytes, message, parse_all, tiny_options};

async fn open(disk: &Disk, options: &LogOptions) -> Log {
    let opened = Log::open(disk, "log", LogId(0), options.clone()).await;
    opened.expect("the log opens").0
}

async fn send(log: &Log, topic: &str, queue_id: i32, body: &[u8], properties: &str) {
    log.room().await;
    let end = log.append(&message(topic, queue_id, body, properties), 5000).expect("room").end;
    while log.acknowledged() < end {
        log.acknowledged_beyond(log.acknowledged()).await.expect("a healthy disk");
    }
}

/// Reads as the broker does: from memory, else from the device.
async fn read(
    log: &Log,
    from: u64,
    limits: ReadLimits,
    mut wants: impl FnMut(i64) -> bool,
) -> (ReadResult, Vec<Piece>) {
    let mut pieces = Vec::new();
    let query = ReadQuery { topic: "t", queue_id: 0, from: QueueOffset(from), limits };
    match log.read_now(&query, &mut wants, &mut pieces) {
        ReadNow::Done(result) => (result, pieces),
        ReadNow::Later => {
            let read = log.read(&query, &mut wants, &mut pieces).await;
            (read.expect("a readable log"), pieces)
        }
    }
}

fn in_world(test: impl AsyncFnOnce(Disk)) {
    let world = World::new(7);
    let disk = world.disk(0);
    world.run(test(disk));
}

#[test]
fn offsets_outside_of_a_queue_get_apaches_statuses() {
    in_world(async |disk| {
        let log = open(&disk, &tiny_options(FlushPolicy::Sync)).await;
        let (nothing, _) = read(&log, 3, WIDE, |_| true).await;
        assert_eq!((nothing.status, nothing.next_offset.0), (ReadStatus::NoMatchedQueue, 0));
        for _ in 0..4 {
            send(&log, "t", 0, b"x", "").await;
        }
        for (from, status, next) in [
            (0, ReadStatus::Found, 4),
            (3, ReadStatus::Found, 4),
            (4, ReadStatus::OffsetOverflowOne, 4),
            (5, ReadStatus::OffsetOverflowBadly, 4),
            (900, ReadStatus::OffsetOverflowBadly, 4),
        ] {
            let (result, _) = read(&log, from, WIDE, |_| true).await;
            assert_eq!((result.status, result.next_offset.0), (status, next), "from {from}");
            assert_eq!((result.min_offset.0, result.max_offset.0), (0, 4));
        }
    });
}

#[test]
fn what_is_not_safe_yet_is_not_shown() {
    in_world(async |disk| {
        let log = open(&disk, &tiny_options(FlushPolicy::Sync)).await;
        send(&log, "t", 0, b"safe", "").await;
        log.append(&message("t", 0, b"on its way", ""), 5001).expect("room");
        log.append(&message("t", 1, b"on its way", "UNIQ_KEY\u{1}k\u{2}"), 5001).expect("room");
        assert_eq!(log.queue_range("t", 0).map(|(_, max)| max.0), Some(1));
        assert_eq!(log.next_offset("t", 0).0, 2);
        let (result, _) = read(&log, 1, WIDE, |_| true).await;
        assert_eq!(result.status, ReadStatus::OffsetOverflowOne);
        assert_eq!(log.queue_range("t", 1).map(|(_, max)| max.0), Some(0));
        let query = KeyQuery {
            topic: "t",
            key: "k",
            from_ms: 0,
            until_ms: 9999,
            count: 1,
            limits: WIDE_SEARCH,
        };
        assert!(log.query_by_key(query).await.expect("readable").records.is_empty());
    });
}

#[test]
fn the_first_message_passes_every_limit_and_the_next_ones_do_not() {
    in_world(async |disk| {
        let log = open(&disk, &tiny_options(FlushPolicy::Sync)).await;
        for _ in 0..10 {
            send(&log, "t", 0, &[7; 900], "").await;
        }
        let limit = |count, bytes| ReadLimits { in_memory: BatchLimit { count, bytes }, ..WIDE };
        for (limits, count) in [
            (limit(100, 1), 1),
            (limit(100, 2500), 2),
            (limit(3, 1 << 20), 3),
            (ReadLimits { count: 4, ..WIDE }, 4),
            (ReadLimits { count: 0, ..WIDE }, 1),
            (WIDE, 10),
        ] {
            let (result, pieces) = read(&log, 0, limits, |_| true).await;
            assert_eq!(result.count, count, "{limits:?}");
            assert_eq!(result.next_offset.0, count as u64);
            let bytes = memory_bytes(&pieces);
            assert_eq!(bytes.len() as u64, result.bytes);
            assert_eq!(parse_all(&bytes).len(), count);
        }
    });
}

#[test]
fn the_filter_sees_java_hashes_and_skipped_messages_count_as_read() {
    in_world(async |disk| {
        let log = open(&disk, &tiny_options(FlushPolicy::Sync)).await;
        for number in 0..30 {
            let tag = if number % 3 == 0 { "TAGS\u{1}TagA\u{2}" } else { "TAGS\u{1}TagB\u{2}" };
            send(&log, "t", 0, &[number], tag).await;
        }
        // "TagA".hashCode() in Java.
        let (found, pieces) = read(&log, 0, WIDE, |hash| hash == 2_598_919).await;
        let bodies: Vec<u8> =
            parse_all(&memory_bytes(&pieces)).iter().map(|seen| seen.body[0]).collect();
        assert_eq!(bodies, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27]);
        assert_eq!((found.status, found.next_offset.0), (ReadStatus::Found, 30));
        let (none, _) = read(&log, 0, WIDE, |_| false).await;
        assert_eq!((none.status, none.next_offset.0), (ReadStatus::NoMatchedMessage, 30));
    });
}

#[test]
fn a_filtered_read_stops_after_800_entries() {
    in_world(async |disk| {
        let options = LogOptions {
            tail_window_bytes: 1 << 20,
            queue_block_entries: 4096,
            ..tiny_options(FlushPolicy::Memory { interval: Duration::from_millis(10) })
        };
        let options = LogOptions { queue_recent_entries_max: 1 << 20, ..options };
        let log = open(&disk, &options).await;
        for _ in 0..900 {
            send(&log, "t", 0, b"", "").await;
        }
        let limits = ReadLimits { count: 32, ..WIDE };
        let (result, _) = read(&log, 0, limits, |_| false).await;
        assert_eq!(result.next_offset.0, 800);
    });
}

#[test]
fn neighbours_far_behind_are_sent_from_the_file() {
    in_world(async |disk| {
        // All blocks of the index have room: an answer ends before one that is not in memory.
        let options = LogOptions { index_cache_bytes: 16 << 10, ..tiny_options(FlushPolicy::Sync) };
        let log = open(&disk, &options).await;
        for number in 0..200_u8 {
            send(&log, "t", 0, &[number; 1000], "").await;
        }
        let (result, pieces) = read(&log, 0, ReadLimits { count: 40, ..WIDE }, |_| true).await;
        assert!(!result.from_memory && result.behind_bytes > 100_000, "{result:?}");
        let in_files: u64 = pieces
            .iter()
            .map(|piece| if let Piece::File { len, .. } = piece { *len } else { 0 })
            .sum();
        assert!(in_files >= 32 << 10, "{in_files} of {} bytes", result.bytes);
        let seen = consume(&log, "t", 0).await;
        assert!(seen.iter().enumerate().all(|(n, seen)| seen.body == [n as u8; 1000]));
        assert_eq!(seen.len(), 200);
    });
}

#[test]
fn a_deleted_topic_is_gone_and_begins_anew_also_after_a_restart() {
    let world = World::new(11);
    let disk = world.disk(0);
    let options = tiny_options(FlushPolicy::Sync);
    world.run(async {
        let log = open(&disk, &options).await;
        for _ in 0..30 {
            send(&log, "t", 0, b"old", "").await;
        }
        send(&log, "other", 0, b"stays", "").await;
        assert_eq!(log.delete_topic("t"), 1);
        assert_eq!((log.queue_range("t", 0), log.delete_topic("t")), (None, 0));
        send(&log, "t", 0, b"new", "").await;
        assert_eq!(log.queue_range("t", 0).map(|(min, max)| (min.0, max.0)), Some((0, 1)));
    });
    world.kill(0);
    world.run(async {
        let log = open(&disk, &options).await;
        assert_eq!(consume(&log, "t", 0).await[0].body, b"new");
        assert_eq!(log.queue_range("t", 0).map(|(min, max)| (min.0, max.0)), Some((0, 1)));
        assert_eq!(consume(&log, "other", 0).await.len(), 1);
        log.close().await.expect("a clean stop");
        assert!(log.append(&message("t", 0, b"late", ""), 1).is_err());
    });
}

#[test]
fn a_lost_index_is_rebuilt_from_the_log() {
    let world = World::new(12);
    let disk = world.disk(0);
    let options = tiny_options(FlushPolicy::Sync);
    world.run(async {
        let log = open(&disk, &options).await;
        for number in 0..150_u8 {
            send(&log, "t", i32::from(number % 2), &[number; 900], "KEYS\u{1}word\u{2}").await;
        }
        log.close().await.expect("a clean stop");
        for entry in disk.list("log/queueindex").await.expect("a directory") {
            disk.remove_file(format!("log/queueindex/{}", entry.name)).await.expect("removed");
        }
        let opened = Log::open(&disk, "log", LogId(0), options.clone()).await;
        let (log, report) = opened.expect("the log opens");
        assert_eq!((report.rebuilt_index, report.scanned_records), (true, 150));
        assert_eq!(consume(&log, "t", 1).await.len(), 75);
        let query = KeyQuery {
            topic: "t",
            key: "word",
            from_ms: 0,
            until_ms: 9999,
            count: usize::MAX,
            limits: WIDE_SEARCH,
        };
        assert_eq!(log.query_by_key(query).await.expect("readable").records.len(), 150);
    });
}

#[test]
fn documents_survive_crashes_with_their_old_or_new_content() {
    for seed in 0..40 {
        let world = World::new(seed);
        let disk = world.disk(0);
        let mut table = OffsetTable::default();
        table.commit("group", "topic", 0, QueueOffset(1));
        let old = table.snapshot();
        table.commit("group", "topic", 0, QueueOffset(2));
        let new = table.snapshot();
        let document = || Document::<OffsetSnapshot>::new(&disk, "consumerOffset.json");
        world.run(async { document().save(old.clone()).await.expect("saved") });
        let limit = Duration::from_micros(world.sequence().below(2000));
        let saved = world.run(async {
            ringmq_runtime::task::timeout(limit, document().save(new.clone())).await.is_ok()
        });
        world.crash(0);
        let loaded = world.run(document().load()).expect("readable").expect("a document");
        assert!(loaded == new || (!saved && loaded == old), "seed {seed}: {loaded:?}");
        if saved {
            let length = world.run(disk.read_all("consumerOffset.json", 4096)).expect("read").len();
            world.flip_bit(0, "consumerOffset.json", length as u64 / 2, 3);
            let loaded = world.run(document().load()).expect("readable");
            assert_eq!(loaded, Some(old.clone()), "the previous version steps in");
        }
    }
}

#[test]
fn answers_that_nobody_takes_hold_no_more_memory_than_the_limit() {
    in_world(async |disk| {
        let options = LogOptions { lent_max_bytes: 64 << 10, ..tiny_options(FlushPolicy::Sync) };
        let log = open(&disk, &options).await;
        let mut held = Vec::new();
        for number in 0..250_u64 {
            send(&log, "t", 0, &[number as u8; 2000], "").await;
            let limits = ReadLimits { count: 1, ..WIDE };
            let (result, pieces) = read(&log, number, limits, |_| true).await;
            assert!(result.from_memory && result.count == 1, "{result:?}");
            held.push(pieces);
        }
        // 31 blocks of 16 KiB were filled, and each has readers.
        let limit = options.lent_max_bytes + 2 * options.tail_window_bytes + 64 * 1024;
        let held_bytes = log.stats().memory_bytes;
        assert!(held_bytes <= limit, "{held_bytes} bytes are held");
        for (number, pieces) in held.iter().enumerate() {
            assert_eq!(parse_all(&memory_bytes(pieces))[0].body, [number as u8; 2000]);
        }
    });
}

#[test]
fn a_start_after_a_crash_keeps_a_bounded_number_of_keys_in_memory() {
    let world = World::new(13);
    let disk = world.disk(0);
    let never = Duration::from_secs(3600);
    let options = LogOptions {
        // Nothing is saved before the crash, and nothing in time order by the start after it.
        checkpoint_interval: never,
        checkpoint_bytes: 1 << 40,
        key_run_entries: 4,
        unwritten_max_bytes: 4 << 20,
        unflushed_max_bytes: 4 << 20,
        ..tiny_options(FlushPolicy::Async { interval: never })
    };
    world.run(async {
        // Room for the keys while they are written.
        let log = open(&disk, &LogOptions { key_run_entries: 4000, ..options.clone() }).await;
        for number in 0..500 {
            let words = format!("KEYS\u{1}a{number} b{number} c\u{2}");
            send(&log, "t", 0, b"x", &words).await;
        }
    });
    world.kill(0);
    world.run(async {
        let log = open(&disk, &options).await;
        let saves = log.stats().counters.checkpoints;
        assert!(saves >= 5, "{saves} checkpoints for 1500 keys, of which 256 may be in memory");
        for key in ["a0", "b250", "a499"] {
            let query = KeyQuery {
                topic: "t",
                key,
                from_ms: 0,
                until_ms: 9999,
                count: 9,
                limits: WIDE_SEARCH,
            };
            assert_eq!(log.query_by_key(query).await.expect("readable").records.len(), 1, "{key}");
        }
        assert_eq!(consume(&log, "t", 0).await.len(), 500);
    });
}

#[test]
fn segments_written_while_the_clock_was_ahead_expire_in_their_time() {
    const AHEAD_MS: i64 = 10 * 365 * 24 * 3_600_000;
    let world = World::new(14);
    let disk = world.disk(0);
    // Hours pass here, in which a scrubber would read megabytes again and again.
    let options = LogOptions { scrub_bytes_per_s: 0, ..tiny_options(FlushPolicy::Sync) };
    world.run(async {
        let log = open(&disk, &options).await;
        let fill = async |segments: u64| {
            let until = log.end_position().byte() + segments * common::TINY_SEGMENT_BYTES;
            while log.end_position().byte() < until {
                let now_ms = ringmq_runtime::clock::unix_ms();
                let end = log.append(&message("t", 0, &[7; 2000], ""), now_ms).expect("room").end;
                while log.acknowledged() < end {
                    log.acknowledged_beyond(log.acknowledged()).await.expect("a healthy disk");
                }
            }
        };
        let expire = async || {
            // Retention deletes what the index knows.
            ringmq_runtime::task::sleep(Duration::from_secs(1)).await;
            let an_hour = Duration::from_secs(3600);
            let expired = log.expire(ringmq_runtime::clock::unix_ms(), an_hour).await;
            expired.expect("a healthy disk").segments
        };
        world.step_wall_clock(AHEAD_MS);
        fill(3).await;
        world.step_wall_clock(-AHEAD_MS);
        assert_eq!(expire().await, 0);
        ringmq_runtime::task::sleep(Duration::from_secs(1800)).await;
        fill(3).await;
        assert_eq!(expire().await, 0, "the reserved time is an hour");
        ringmq_runtime::task::sleep(Duration::from_secs(1900)).await;
        assert_eq!(expire().await, 3, "those that were there when the first call came");
        ringmq_runtime::task::sleep(Duration::from_secs(1900)).await;
        assert!(expire().await >= 2, "those whose files have a right time");
    });
}

#[test]
fn properties_may_hold_zeros_where_records_have_no_checksum() {
    let world = World::new(15);
    let disk = world.disk(0);
    let options = LogOptions { record_checksum: false, ..tiny_options(FlushPolicy::Sync) };
    world.run(async {
        let log = open(&disk, &options).await;
        for _ in 0..40 {
            send(&log, "t", 0, &[7; 300], "name\u{1}a\0b\u{2}").await;
        }
    });
    world.kill(0);
    world.run(async {
        let log = open(&disk, &options).await;
        assert_eq!(consume(&log, "t", 0).await.len(), 40);
    });
}

#[test]
fn the_scrubber_finds_a_flipped_bit_that_nobody_reads() {
    let world = World::new(16);
    let disk = world.disk(0);
    world.run(async {
        let log = open(&disk, &tiny_options(FlushPolicy::Sync)).await;
        for number in 0..200_u8 {
            send(&log, "t", 0, &[number; 1000], "").await;
        }
        let end = log.end_position().byte();
        ringmq_runtime::task::sleep(Duration::from_millis(500)).await;
        let counters = log.stats().counters;
        assert!(counters.scrubbed_bytes >= 2 * end && counters.damages == 0, "{counters:?}");
        // The second segment.
        world.flip_bit(0, &format!("log/commitlog/{:020}", common::TINY_SEGMENT_BYTES), 5000, 3);
        ringmq_runtime::task::sleep(Duration::from_millis(500)).await;
        assert!(log.stats().counters.damages > 0);
        log.close().await.expect("a clean stop");
    });
}
