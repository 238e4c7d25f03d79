//! The store on a real directory: io_uring, direct I/O, real files.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

mod common;

use std::path::PathBuf;
use std::time::Duration;

use ringmq_runtime::disk::Disk;
use ringmq_runtime::shards::block_on;
use ringmq_store::{
    Appended, FlushPolicy, KeyQuery, Log, LogId, LogOptions, QueueOffset, ReadLimits, ReadNow,
    ReadQuery, ReadStatus, TimeBoundary,
};

use common::{WIDE, WIDE_SEARCH, consume, message, tiny_options};

/// An empty directory of this test.
fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{name}"));
    match std::fs::remove_dir_all(&path) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
    }
    path
}

async fn open(disk: &Disk, options: &LogOptions) -> (Log, ringmq_store::RecoveryReport) {
    Log::open(disk, "log", LogId(1), options.clone()).await.expect("the log opens")
}

async fn append(log: &Log, queue: i32, body: &[u8], now_ms: i64) -> Appended {
    let keys = format!("UNIQ_KEY\u{1}u{now_ms}\u{2}KEYS\u{1}k{queue} common\u{2}TAGS\u{1}t\u{2}");
    log.append(&message("topic", queue, body, &keys), now_ms).expect("room")
}

/// A log of small files that holds 200 messages of each of three queues, and where they are.
async fn filled(disk: &Disk) -> (Log, Vec<Appended>) {
    let (log, _) = open(disk, &tiny_options(FlushPolicy::Sync)).await;
    let mut appended = Vec::new();
    for number in 0..600_i64 {
        let body = vec![number as u8; 900];
        log.room().await;
        appended.push(append(&log, (number % 3) as i32, &body, 10_000 + number / 2).await);
    }
    let end = appended.last().expect("appended").end;
    while log.acknowledged_beyond(log.acknowledged()).await.expect("no fault") < end {}
    assert!(log.stats().segments > 8, "{:?}", log.stats());
    (log, appended)
}

fn messages(from: u64, limits: ReadLimits) -> ReadQuery<'static> {
    ReadQuery { topic: "topic", queue_id: 0, from: QueueOffset(from), limits }
}

#[test]
fn appended_messages_become_visible_when_they_are_safe_and_survive_a_clean_restart() {
    let disk = Disk::live(directory("restart")).expect("a disk");
    for flush in
        [FlushPolicy::Sync, FlushPolicy::Async { interval: std::time::Duration::from_millis(20) }]
    {
        block_on(async {
            let options =
                LogOptions { segment_size_bytes: 16 << 20, flush, ..LogOptions::default() };
            let (log, report) = open(&disk, &options).await;
            assert!(report.was_clean, "{report:?}");
            let first = log.next_offset("topic", 0).0;
            let mut last = None;
            for number in 0..500 {
                let body = vec![number as u8; 1000];
                last = Some(append(&log, 0, &body, 1000 + i64::from(number)).await);
            }
            let last = last.expect("appended");
            assert_eq!(last.queue_offset, QueueOffset(first + 499));
            assert!(log.acknowledged() < last.end, "nothing is acknowledged before it is written");
            let before = log.queue_range("topic", 0).map_or(0, |(_, max)| max.0);
            assert_eq!(before, first);
            while log.acknowledged_beyond(log.acknowledged()).await.expect("no fault") < last.end {}
            assert_eq!(log.queue_range("topic", 0).map(|range| range.1.0), Some(first + 500));

            let mut pieces = Vec::new();
            let query = messages(first, WIDE);
            let now = log.read_now(&query, &mut |_| true, &mut pieces);
            let ReadNow::Done(result) = now else { panic!("the tail holds it") };
            assert_eq!((result.count, result.from_memory), (500, true));
            assert!(pieces.len() <= 2, "neighbours are one piece, not {}", pieces.len());
            let stats = log.stats();
            assert!(stats.counters.groups < 500, "{stats:?}");
            log.close().await.expect("a clean stop");
        });
    }
    block_on(async {
        let options = LogOptions { segment_size_bytes: 16 << 20, ..LogOptions::default() };
        let (log, report) = open(&disk, &options).await;
        assert_eq!((report.was_clean, report.scanned_records), (true, 0));
        let limits = ReadLimits { count: 20, ..ReadLimits::asked(20) };
        let (query, mut pieces) = (messages(0, limits), Vec::new());
        let now = log.read_now(&query, &mut |_| true, &mut pieces);
        assert_eq!(now, ReadNow::Later);
        let read = log.read(&query, &mut |_| true, &mut pieces).await;
        let result = read.expect("a readable log");
        assert_eq!((result.status, result.count), (ReadStatus::Found, 8));
        assert_eq!(common::parse_all(&common::memory_bytes(&pieces)).len(), 8);
        log.close().await.expect("a clean stop");
    });
}

#[test]
fn a_log_of_small_files_is_consumed_in_order() {
    let disk = Disk::live(directory("small-files")).expect("a disk");
    block_on(async {
        let (log, _) = filled(&disk).await;
        for queue in 0..3 {
            let seen = consume(&log, "topic", queue).await;
            let offsets: Vec<u64> = seen.iter().map(|seen| seen.offset).collect();
            assert_eq!(offsets, (0..200).collect::<Vec<u64>>());
            assert!(seen.iter().all(|seen| seen.body.len() == 900));
        }
        log.close().await.expect("a clean stop");
    });
}

#[test]
fn messages_are_found_by_position_time_and_key() {
    let disk = Disk::live(directory("lookups")).expect("a disk");
    block_on(async {
        let (log, appended) = filled(&disk).await;
        let middle = &appended[301];
        let record = log.record_at(middle.position).await.expect("readable").expect("a record");
        assert_eq!(record.len() as u64, middle.end.byte() - middle.position.byte());
        let inside = LogId(1).at(middle.position.byte() + 1);
        assert_eq!(log.record_at(inside).await.expect("readable"), None);

        let by_time = |time, boundary| log.offset_by_time("topic", 0, time, boundary);
        let lower = by_time(10_150, TimeBoundary::Lower).await.expect("readable");
        assert_eq!(lower, Some(QueueOffset(100)));
        assert_eq!(by_time(0, TimeBoundary::Lower).await.expect("readable"), Some(QueueOffset(0)));
        let behind = by_time(99_999, TimeBoundary::Lower).await.expect("readable");
        assert_eq!(behind, Some(QueueOffset(200)));
        let last = by_time(99_999, TimeBoundary::Upper).await.expect("readable");
        assert_eq!(last, Some(QueueOffset(199)));

        let query = KeyQuery {
            topic: "topic",
            key: "k1",
            from_ms: 0,
            until_ms: 99_999,
            count: 64,
            limits: WIDE_SEARCH,
        };
        let found = log.query_by_key(query).await.expect("readable").records;
        assert_eq!(found.len(), 64);
        let newest = common::parse_all(&found[0]);
        assert_eq!(newest[0].offset, 199);
        let none = KeyQuery { key: "k9", ..query };
        assert!(log.query_by_key(none).await.expect("readable").records.is_empty());
        log.close().await.expect("a clean stop");
    });
}

#[test]
fn what_expired_is_gone_after_a_restart_too() {
    let disk = Disk::live(directory("expired")).expect("a disk");
    block_on(async {
        let (log, appended) = filled(&disk).await;
        log.close().await.expect("a clean stop");
        // The index knows all of it now: a file goes when its messages are known there.
        let options = tiny_options(FlushPolicy::Sync);
        let (log, _) = open(&disk, &options).await;
        let an_hour = Duration::from_secs(3600);
        let expired = log.expire(10_000 + 3_600_000 + 150, an_hour).await.expect("deleted");
        assert!(expired.segments > 0, "{expired:?}");
        let (min, max) = log.queue_range("topic", 0).expect("a queue");
        assert!(min.0 > 0 && max.0 == 200);
        let mut pieces = Vec::new();
        let now = log.read_now(&messages(0, WIDE), &mut |_| true, &mut pieces);
        let ReadNow::Done(result) = now else { panic!("statuses need no device") };
        assert_eq!((result.status, result.next_offset), (ReadStatus::OffsetTooSmall, min));
        assert_eq!(log.record_at(appended[0].position).await.expect("readable"), None);
        assert_eq!(consume(&log, "topic", 0).await.len() as u64, max.0 - min.0);
        log.close().await.expect("a clean stop");

        let (log, report) = open(&disk, &options).await;
        assert_eq!((report.was_clean, report.rebuilt_index), (true, false));
        assert_eq!(log.queue_range("topic", 0), Some((min, max)));
        assert_eq!(consume(&log, "topic", 0).await.len() as u64, max.0 - min.0);
        log.close().await.expect("a clean stop");
    });
}

#[test]
fn a_new_log_opens_at_once_with_segments_of_full_size() {
    let disk = Disk::live(directory("new")).expect("a disk");
    block_on(async {
        let (log, report) = open(&disk, &LogOptions::default()).await;
        assert!(report.is_new && report.took.as_millis() < 500, "{report:?}");
        assert!(log.stats().memory_bytes <= 2 << 20, "{:?}", log.stats());
        append(&log, 0, b"x", 1).await;
        log.close().await.expect("a clean stop");
        disk.remove_file("log/commitlog/00000035184372088832").await.expect("1 << 45");
    });
}
