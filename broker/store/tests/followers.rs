//! Readers near each other: who takes extents from the page cache, and who waits until when.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{WIDE, memory_bytes, message, parse_all, tiny_options};
use ringmq_runtime::sim::{PageCache, World};
use ringmq_runtime::task;
use ringmq_store::{
    BatchLimit, FlushPolicy, Log, LogId, LogOptions, QueueOffset, ReadLimits, ReadNow, ReadQuery,
};

const QUEUES: i32 = 4;
const MESSAGES_OF_QUEUE: u64 = 2000;

/// What the readers keep in memory: a quarter of the log.
const EXTENTS_BYTES: u64 = 2 << 20;

/// A log of 8 MiB in four interleaved queues, all of it in the page cache.
fn world_with_log() -> (World, Log) {
    let options = LogOptions {
        segment_size_bytes: 16 << 20,
        fill_step_bytes: 1 << 20,
        unwritten_max_bytes: 4 << 20,
        unflushed_max_bytes: 16 << 20,
        queue_block_entries: 500,
        index_cache_bytes: 1 << 20,
        extents_bytes: EXTENTS_BYTES,
        uncached_behind_bytes: u64::MAX,
        scrub_bytes_per_s: 0,
        ..tiny_options(FlushPolicy::Sync)
    };
    let world = World::new(8);
    let disk = world.disk(0);
    world.disk_faults(0, |faults| faults.page_cache = PageCache::Brought);
    let log = world.run(async {
        let opened = Log::open(&disk, "log", LogId(0), options).await;
        let (log, _) = opened.expect("the log opens");
        for number in 0..MESSAGES_OF_QUEUE * QUEUES as u64 {
            log.room().await;
            let queue_id = (number % QUEUES as u64) as i32;
            log.append(&message("t", queue_id, &[7; 1000], ""), 5000).expect("room");
        }
        while log.acknowledged() < log.end_position() {
            log.progress(log.acknowledged()).await.expect("a healthy disk");
        }
        for from in (0..MESSAGES_OF_QUEUE).step_by(100) {
            read(&log, 0, from, 100).await;
        }
        log
    });
    (world, log)
}

fn query(queue_id: i32, from: u64, count: usize) -> ReadQuery<'static> {
    let wide = BatchLimit { count, bytes: 8 << 20 };
    let limits = ReadLimits { count, in_memory: wide, on_disk: wide, ..WIDE };
    ReadQuery { topic: "t", queue_id, from: QueueOffset(from), limits }
}

/// Reads if it need not wait; whether it did.
fn read_at_once(log: &Log, queue_id: i32, from: u64, count: usize) -> bool {
    let mut pieces = Vec::new();
    match log.read_now(&query(queue_id, from, count), &mut |_| true, &mut pieces) {
        ReadNow::Done(result) => {
            assert_eq!(parse_all(&memory_bytes(&pieces)).len(), result.count);
            result.count > 0
        }
        ReadNow::Later => false,
    }
}

/// Reads, however long that takes.
async fn read(log: &Log, queue_id: i32, from: u64, count: usize) {
    let mut pieces = Vec::new();
    let read = log.read(&query(queue_id, from, count), &mut |_| true, &mut pieces).await;
    let offsets = parse_all(&memory_bytes(&pieces)).iter().map(|it| it.offset).collect::<Vec<_>>();
    assert_eq!(read.expect("a readable log").count, count);
    assert_eq!(offsets, (from..from + count as u64).collect::<Vec<_>>());
}

#[test]
fn a_reader_waits_for_those_close_behind_it_alone() {
    let (world, log) = world_with_log();
    world.run(async {
        assert!(read_at_once(&log, 0, 0, 100), "nobody else reads");
        assert!(read_at_once(&log, 1, 0, 50), "it finds what the first has taken");
        assert!(!read_at_once(&log, 0, 200, 50), "there is one behind it");
        assert!(!read_at_once(&log, 0, 400, 50), "there is one behind it");
        assert!(read_at_once(&log, 0, 1000, 50), "by then what it takes may be gone");
        // Nobody reads, so it goes on; others find what it took.
        read(&log, 0, 200, 50).await;
        assert!(read_at_once(&log, 2, 201, 40));
    });
}

#[test]
fn a_reader_that_others_follow_for_ever_goes_on() {
    let (world, log) = world_with_log();
    world.run(async {
        assert!(read_at_once(&log, 0, 0, 100));
        let is_over = Rc::new(Cell::new(false));
        let follower = {
            let (log, is_over) = (log.clone(), is_over.clone());
            task::spawn("follower", async move {
                let mut reads = 0;
                while !is_over.get() {
                    assert!(read_at_once(&log, 1, 0, 50));
                    reads += 1;
                    task::yield_now().await;
                }
                reads
            })
        };
        for from in [300, 400] {
            read(&log, 0, from, 50).await;
        }
        is_over.set(true);
        assert!(follower.await > 0);
    });
}
