//! Files of the log that cannot be deleted, that are still read, and that somebody else cut short.

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ringmq_runtime::clock::unix_ms;
use ringmq_runtime::disk::FileView;
use ringmq_runtime::net::{Listener, Reuse, Stream};
use ringmq_runtime::sim::{Chance, World};
use ringmq_runtime::task;
use ringmq_store::{
    AppendError, FlushPolicy, Log, LogId, LogOptions, OpenError, Piece, QueueOffset, ReadQuery,
};

use common::{TINY_SEGMENT_BYTES, WIDE, consume, message, tiny_options};

const NOW_MS: i64 = 10_000_000;

fn options() -> LogOptions {
    tiny_options(FlushPolicy::Sync)
}

/// Whatever is older than the last moment may go.
const MOMENT: Duration = Duration::from_millis(1);

async fn try_open(world: &World) -> Result<Log, OpenError> {
    Log::open(&world.disk(0), "log", LogId(0), options()).await.map(|(log, _)| log)
}

async fn open(world: &World) -> Log {
    try_open(world).await.expect("the log opens")
}

/// Appends messages of about `size` bytes until the log has `until` bytes, and waits until the
/// indexes on disk know them.
async fn fill(log: &Log, size: usize, until: u64) {
    fill_at(log, size, until, 1000).await;
}

/// As [`fill`], with messages stored at `now_ms`.
async fn fill_at(log: &Log, size: usize, until: u64, now_ms: i64) {
    let body = vec![7; size];
    while log.end_position().byte() < until {
        log.room().await;
        match log.append(&message("topic", 0, &body, "KEYS\u{1}a b c\u{2}"), now_ms) {
            // Keys that are not saved have a limit of their own.
            Err(AppendError::Full { .. }) => task::sleep(Duration::from_millis(1)).await,
            appended => drop(appended.expect("room")),
        }
    }
    while log.acknowledged() < log.end_position() {
        log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
    }
    task::sleep(Duration::from_secs(1)).await;
}

/// Names of the files in a directory of the log, as numbers.
async fn files(world: &World, dir: &str) -> Vec<u64> {
    let entries = world.disk(0).list(Path::new("log").join(dir)).await.expect("a directory");
    entries.iter().filter_map(|entry| entry.name.parse().ok()).collect()
}

/// Bytes that the log may still use.
async fn available(world: &World) -> u64 {
    world.disk(0).free_space().await.expect("known").available
}

fn has_holes(files: &[u64], size: u64) -> bool {
    files.windows(2).any(|pair| pair[1] - pair[0] != size)
}

#[test]
fn a_segment_that_cannot_be_removed_is_tried_again_before_any_behind_it() {
    for seed in 0..8 {
        let world = World::new(seed);
        world.run(async {
            let log = open(&world).await;
            fill(&log, 4000, 6 * TINY_SEGMENT_BYTES + 5000).await;
            world.disk_faults(0, |faults| faults.remove_error = Chance::ALWAYS);
            for _ in 0..3 {
                let failed = log.expire(NOW_MS, MOMENT).await;
                if failed.is_ok_and(|done| done.segments > 1) {
                    panic!("seed {seed}: deleted behind a file that is there");
                }
                assert!(!has_holes(&files(&world, "commitlog").await, TINY_SEGMENT_BYTES));
            }
            let seen = consume(&log, "topic", 0).await;
            assert!(seen[0].position >= TINY_SEGMENT_BYTES as i64, "its messages have expired");

            world.disk_faults(0, |faults| faults.remove_error = Chance::NEVER);
            log.expire(NOW_MS, MOMENT).await.expect("removable again");
            let left = files(&world, "commitlog").await;
            assert!(left[0] >= 5 * TINY_SEGMENT_BYTES && left.len() <= 2, "seed {seed}: {left:?}");
            assert_eq!(log.stats().min.byte(), left[0]);
            log.close().await.expect("a clean stop");
            let log = open(&world).await;
            assert_eq!(log.stats().min.byte(), left[0]);
        });
    }
}

#[test]
fn no_file_is_left_behind_or_missing_however_many_removals_fail() {
    for seed in 0..8 {
        let world = World::new(seed);
        world.run(async {
            let log = open(&world).await;
            fill(&log, 10, 14 * TINY_SEGMENT_BYTES + 5000).await;
            assert!(files(&world, "queueindex").await.len() > 2, "the index has several files");
            world.disk_faults(0, |faults| faults.remove_error = Chance::per_mille(500));
            let mut quiet = 0;
            while quiet < 4 {
                let expired = log.expire(NOW_MS, MOMENT).await;
                quiet = if expired.is_ok_and(|done| done.segments == 0) { quiet + 1 } else { 0 };
                assert!(!has_holes(&files(&world, "commitlog").await, TINY_SEGMENT_BYTES));
            }
            world.disk_faults(0, |faults| faults.remove_error = Chance::NEVER);
            // Index files go with the next segments.
            fill(&log, 4000, 17 * TINY_SEGMENT_BYTES).await;
            log.expire(NOW_MS, MOMENT).await.expect("removable again");
            let index = files(&world, "queueindex").await;
            assert!(!has_holes(&index, 128 << 10), "seed {seed}: {index:?}");
            assert_eq!(files(&world, "commitlog").await[0], log.stats().min.byte());
            let seen = consume(&log, "topic", 0).await;
            world.kill(0);
            let log = open(&world).await;
            assert_eq!(consume(&log, "topic", 0).await, seen);
        });
    }
}

/// A range of a file that a reader of the oldest messages was given.
async fn file_piece(log: &Log) -> (FileView, u64, u64) {
    let query = ReadQuery { topic: "topic", queue_id: 0, from: QueueOffset(0), limits: WIDE };
    let mut pieces = Vec::new();
    log.read(&query, &mut |_| true, &mut pieces).await.expect("readable");
    let ranges = pieces.into_iter().find_map(|piece| match piece {
        Piece::File { view, pos, len } => Some((view, pos, len)),
        Piece::Memory(_) => None,
    });
    ranges.expect("a long range goes by sendfile")
}

async fn pair(world: &World) -> (Stream, Stream) {
    let address = SocketAddr::new(world.ip(0), 1234);
    let listener = Listener::bind(address, Reuse::No).expect("a free port");
    let client = Stream::connect(address, Duration::from_secs(1)).await.expect("it listens");
    (client, listener.accept().await.expect("a connection").0)
}

/// Checks that a file that was just deleted can be sent for a minute, and not after that.
async fn may_be_read_for_a_minute(world: &World, log: &Log, view: &FileView, pos: u64) {
    let (_client, server) = pair(world).await;
    let (_, mut to_client) = server.split();
    for _ in 0..5 {
        task::sleep(Duration::from_secs(10)).await;
        log.expire(NOW_MS, MOMENT).await.expect("nothing to do");
        to_client.send_file(view, pos, 100).await.expect("it may still be read");
    }
    task::sleep(Duration::from_secs(11)).await;
    log.expire(NOW_MS, MOMENT).await.expect("nothing to do");
    let cut = to_client.send_file(view, pos, 100).await.expect_err("its time is over");
    assert_eq!(cut.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn who_reads_a_deleted_segment_has_a_minute_and_is_cut_off_then() {
    let world = World::new(1);
    world.run(async {
        let log = open(&world).await;
        fill(&log, 4000, 4 * TINY_SEGMENT_BYTES).await;
        let (view, pos, _) = file_piece(&log).await;
        log.expire(NOW_MS, MOMENT).await.expect("removable");
        may_be_read_for_a_minute(&world, &log, &view, pos).await;
    });
}

#[test]
fn who_got_a_file_while_it_grew_has_a_minute_as_others_do() {
    const SEGMENT_BYTES: u64 = 2 << 20;
    let world = World::new(1);
    world.run(async {
        let options = LogOptions { segment_size_bytes: SEGMENT_BYTES, ..options() };
        let opened = Log::open(&world.disk(0), "log", LogId(0), options).await;
        let (log, _) = opened.expect("the log opens");
        // Read long before the file is whole; while it grows it is opened anew.
        fill(&log, 20_000, SEGMENT_BYTES / 8).await;
        let (view, pos, _) = file_piece(&log).await;
        fill(&log, 20_000, 5 * SEGMENT_BYTES / 2).await;
        log.expire(NOW_MS, MOMENT).await.expect("removable");
        may_be_read_for_a_minute(&world, &log, &view, pos).await;
    });
}

#[test]
fn who_reads_a_deleted_segment_is_cut_off_when_its_space_is_needed() {
    let world = World::new(1);
    world.run(async {
        let log = open(&world).await;
        fill(&log, 4000, 4 * TINY_SEGMENT_BYTES).await;
        let (view, pos, _) = file_piece(&log).await;
        let (_client, server) = pair(&world).await;
        let (_, mut to_client) = server.split();
        log.expire(NOW_MS, MOMENT).await.expect("removable");
        fill(&log, 4000, 8 * TINY_SEGMENT_BYTES).await;
        to_client.send_file(&view, pos, 100).await.expect("it may still be read");
        let (min, left) = (log.stats().min, files(&world, "commitlog").await);

        let before = available(&world).await;
        assert!(log.reclaim().await > 0);
        let freed = available(&world).await - before;
        assert!(freed >= TINY_SEGMENT_BYTES / 2, "{freed} bytes");
        let cut = to_client.send_file(&view, pos, 100).await.expect_err("the space is needed");
        assert_eq!(cut.kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(log.stats().min, min, "no message had to go");
        assert_eq!(files(&world, "commitlog").await, left);
    });
}

/// Cuts the newest file of the closed log to `len` bytes, or makes it longer.
async fn resize_newest(world: &World, len: usize) {
    let disk = world.disk(0);
    let base = *files(world, "commitlog").await.last().expect("a file");
    let path = format!("log/commitlog/{base:020}");
    let mut contents = disk.read_all(&path, 1 << 20).await.expect("a file");
    contents.resize(len, 0);
    disk.replace(&path, contents).await.expect("space");
}

#[test]
fn a_newest_segment_that_ends_within_a_page_keeps_its_messages_when_it_grows() {
    for behind_the_end in [0, 1, 100] {
        let world = World::new(3);
        world.run(async {
            let log = open(&world).await;
            fill(&log, 900, TINY_SEGMENT_BYTES + 5000).await;
            let seen = consume(&log, "topic", 0).await;
            let end = log.end_position().byte();
            log.close().await.expect("a clean stop");
            resize_newest(&world, (end - TINY_SEGMENT_BYTES) as usize + behind_the_end).await;

            let log = open(&world).await;
            // Time to grow, and no message that would write the page once more.
            task::sleep(Duration::from_secs(1)).await;
            drop(log);
            world.kill(0);
            let log = open(&world).await;
            assert_eq!(consume(&log, "topic", 0).await, seen);
            fill(&log, 900, 3 * TINY_SEGMENT_BYTES).await;
            assert_eq!(consume(&log, "topic", 0).await[..seen.len()], seen);
        });
    }
}

#[test]
fn a_segment_of_any_length_is_refused_in_words_or_read_as_far_as_it_goes() {
    let segment = TINY_SEGMENT_BYTES as usize;
    for has_index in [true, false] {
        for len in [0, 1, 511, 3000, 4095, 4096, 4097, 5200, segment - 1, segment + 1, 2 * segment]
        {
            let world = World::new(len as u64);
            world.run(async {
                let log = open(&world).await;
                fill(&log, 900, TINY_SEGMENT_BYTES + 5000).await;
                let (seen, end) = (consume(&log, "topic", 0).await, log.end_position().byte());
                log.close().await.expect("a clean stop");
                resize_newest(&world, len).await;
                if !has_index {
                    for entry in world.disk(0).list("log/queueindex").await.expect("a directory") {
                        let path = format!("log/queueindex/{}", entry.name);
                        world.disk(0).remove_file(path).await.expect("it is there");
                    }
                }
                let is_whole = len <= segment && TINY_SEGMENT_BYTES + len as u64 >= end;
                match try_open(&world).await {
                    Ok(log) => {
                        assert!(is_whole || !has_index, "{len} bytes: the index knew more");
                        let left = consume(&log, "topic", 0).await;
                        assert_eq!(left, seen[..left.len()], "{len} bytes");
                        fill(&log, 900, 2 * TINY_SEGMENT_BYTES).await;
                        assert_eq!(consume(&log, "topic", 0).await[..left.len()], left);
                    }
                    Err(error) => {
                        assert!(!is_whole, "{len} bytes: {error}");
                        println!("{len} bytes: {error}");
                    }
                }
            });
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MS: i64 = HOUR.as_millis() as i64;

/// Where a record has the time at which it was stored, when its hosts are of IPv4.
const STORED_AT: u64 = 56;

#[test]
fn a_damaged_time_behind_a_segment_does_not_let_it_go_early_and_does_not_keep_it() {
    // Decades less; the magic; the body.
    for at in [STORED_AT + 2, 4, 100] {
        let world = World::new(1);
        world.run(async {
            let log = open(&world).await;
            fill_at(&log, 4000, 4 * TINY_SEGMENT_BYTES, unix_ms()).await;
            world.flip_bit(0, &format!("log/commitlog/{TINY_SEGMENT_BYTES:020}"), at, 0);
            let early = log.expire(unix_ms(), HOUR).await.expect("no fault");
            assert_eq!(early.segments, 0, "byte {at}");
            let expired = log.expire(unix_ms() + 2 * HOUR_MS, HOUR).await;
            assert!(expired.expect("no fault").segments > 0, "byte {at}");
        });
    }
}

#[test]
fn a_bad_sector_behind_a_segment_keeps_no_space_for_ever() {
    let world = World::new(1);
    world.run(async {
        let log = open(&world).await;
        fill_at(&log, 4000, 4 * TINY_SEGMENT_BYTES, unix_ms()).await;
        world.disk_faults(0, |faults| faults.read_error = Chance::ALWAYS);
        assert_eq!(log.expire(unix_ms(), HOUR).await.expect("no fault").segments, 0);
        let forced = log.delete_oldest(unix_ms(), HOUR).await.expect("no fault");
        assert_eq!((forced.segments, forced.early), (1, 1));
        let expired = log.expire(unix_ms() + 2 * HOUR_MS, HOUR).await.expect("no fault");
        assert!(expired.segments > 0 && expired.early == 0, "{expired:?}");
    });
}

#[test]
fn the_oldest_segment_goes_alone_for_lack_of_space_and_its_space_is_free_then() {
    let world = World::new(1);
    world.run(async {
        let log = open(&world).await;
        fill_at(&log, 4000, 6 * TINY_SEGMENT_BYTES, unix_ms()).await;
        // Who read a file while it grew is not known; after a start nobody does.
        log.close().await.expect("a clean stop");
        let log = open(&world).await;
        let before = available(&world).await;
        let expired = log.delete_oldest(unix_ms(), HOUR).await.expect("no fault");
        assert_eq!((expired.segments, expired.early), (1, 1));
        let freed = available(&world).await - before;
        assert!(freed >= TINY_SEGMENT_BYTES / 2, "{freed} bytes");
    });
}
