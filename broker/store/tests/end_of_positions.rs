//! The last positions that a log can give out: 32 TiB, of which it gets none back.

mod common;

use std::time::Duration;

use ringmq_runtime::sim::World;
use ringmq_runtime::task;
use ringmq_store::{
    AppendError, FlushPolicy, KeyQuery, LOG_MAX_BYTES, Log, LogId, LogOptions, OpenError,
};

use common::{TINY_SEGMENT_BYTES, WIDE_SEARCH, consume, message, tiny_options};

fn options() -> LogOptions {
    tiny_options(FlushPolicy::Sync)
}

async fn try_open(world: &World, options: LogOptions) -> Result<Log, OpenError> {
    Log::open(&world.disk(0), "log", LogId(3), options).await.map(|(log, _)| log)
}

async fn open(world: &World) -> Log {
    try_open(world, options()).await.expect("the log opens")
}

/// The file of the log whose first byte is `base`.
fn segment(base: u64) -> String {
    format!("log/commitlog/{:020}", LogId(3).at(base).wire())
}

/// A log whose oldest segment is the last but one that it can have.
async fn old_log(world: &World) -> Log {
    let disk = world.disk(0);
    disk.create_dir_all("log/commitlog").await.expect("made");
    let path = segment(LOG_MAX_BYTES - 2 * TINY_SEGMENT_BYTES);
    disk.create_zeroed(path, TINY_SEGMENT_BYTES).await.expect("made");
    open(world).await
}

fn append(log: &Log, number: u64) -> Result<(), AppendError> {
    let (body, properties) = ([7; 4000], format!("UNIQ_KEY\u{1}key{number}\u{2}"));
    log.append(&message("topic", 0, &body, &properties), 1000).map(|_| ())
}

/// Appends until the log refuses; how many it took.
async fn fill(log: &Log) -> u64 {
    let mut taken = 0;
    loop {
        match append(log, taken) {
            Ok(()) => taken += 1,
            Err(error) => {
                assert!(error.to_string().contains("32 TiB"), "{error}");
                break;
            }
        }
        while log.acknowledged() < log.end_position() {
            log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
        }
    }
    // The maker of segments has looked at the end more than once.
    task::sleep(Duration::from_secs(10)).await;
    taken
}

async fn check_full(log: &Log, taken: u64) {
    assert!(append(log, taken).is_err());
    assert_eq!(log.stats().fenced, None);
    let seen = consume(log, "topic", 0).await;
    assert_eq!(seen.len() as u64, taken);
    let key = format!("key{}", taken - 1);
    let query = KeyQuery {
        topic: "topic",
        key: &key,
        from_ms: 0,
        until_ms: i64::MAX,
        count: 10,
        limits: WIDE_SEARCH,
    };
    assert_eq!(log.query_by_key(query).await.expect("readable").records.len(), 1);
}

#[test]
fn a_log_at_its_last_position_refuses_messages_and_serves_what_it_holds_however_it_starts() {
    let world = World::new(1);
    let taken = world.run(async {
        let log = old_log(&world).await;
        let taken = fill(&log).await;
        assert!(taken > 2 * (TINY_SEGMENT_BYTES / 4500), "{taken}");
        assert!(log.end_position().byte() > LOG_MAX_BYTES - 8000);
        check_full(&log, taken).await;
        log.close().await.expect("a clean stop");
        drop(log);
        check_full(&open(&world).await, taken).await;
        taken
    });
    world.kill(0);
    world.run(async {
        let log = open(&world).await;
        check_full(&log, taken).await;
        // The segment that the log is in stays; what left it gives no position back.
        log.expire(1 << 40, Duration::from_millis(1)).await.expect("removable");
        assert_eq!(log.stats().segments, 1);
        let left = consume(&log, "topic", 0).await.len() as u64;
        assert!((1..taken).contains(&left), "{left} of {taken}");
        assert!(append(&log, 0).is_err());
        log.close().await.expect("a clean stop");
    });
}

#[test]
fn an_index_that_is_lost_is_built_anew_at_the_last_positions() {
    let world = World::new(2);
    world.run(async {
        let log = old_log(&world).await;
        let taken = fill(&log).await;
        log.close().await.expect("a clean stop");
        let disk = world.disk(0);
        for entry in disk.list("log/queueindex").await.expect("a directory") {
            disk.remove_file(format!("log/queueindex/{}", entry.name)).await.expect("removable");
        }
        check_full(&open(&world).await, taken).await;
    });
}

#[test]
fn files_that_reach_beyond_the_last_position_are_refused() {
    let world = World::new(3);
    world.run(async {
        let disk = world.disk(0);
        disk.create_dir_all("log/commitlog").await.expect("made");
        // No divisor of 32 TiB.
        let size = 3 * TINY_SEGMENT_BYTES;
        let path = segment(LOG_MAX_BYTES / size * size);
        disk.create_zeroed(path, 4096).await.expect("made");
        let options = LogOptions { segment_size_bytes: size, ..options() };
        let refused = try_open(&world, options).await.err().expect("there is no such segment");
        assert!(matches!(refused, OpenError::Layout { .. }), "{refused}");
    });
}

#[test]
fn an_end_mark_behind_which_there_can_be_no_segment_is_damage() {
    let world = World::new(4);
    world.run(async {
        let log = old_log(&world).await;
        let taken = fill(&log).await;
        let end = log.end_position().byte();
        log.close().await.expect("a clean stop");
        let base = LOG_MAX_BYTES - TINY_SEGMENT_BYTES;
        let bytes = world.disk(0).read_all(segment(base), 1 << 20).await.expect("readable");
        let mut forged = bytes.clone();
        let mark = &mut forged[(end - base) as usize..][..8];
        mark[..4].copy_from_slice(&((LOG_MAX_BYTES - end) as u32).to_be_bytes());
        mark[4..].copy_from_slice(&0xCBD4_3194_u32.to_be_bytes());
        world.disk(0).replace(segment(base), forged).await.expect("room");
        check_full(&open(&world).await, taken).await;
    });
}
