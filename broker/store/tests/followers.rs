//! Readers near each other: who takes extents from the page cache, and who waits until when.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::sim::{PageCache, World};
use ringmq_runtime::task;
use ringmq_store::{
    BatchLimit, FlushPolicy, Log, LogId, LogOptions, QueueOffset, ReadLimits, ReadNow, ReadQuery,
};

use common::{WIDE, memory_bytes, message, parse_all, tiny_options};

const QUEUES: i32 = 4;
const MESSAGES_OF_QUEUE: u64 = 2000;

/// What the readers keep in memory: a quarter of the log.
const EXTENTS_BYTES: u64 = 2 << 20;

/// A log of 8 MiB in four interleaved queues, all of it in the page cache.
fn world_with_log(seed: u64) -> (World, Log) {
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
    let world = World::new(seed);
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
            log.acknowledged_beyond(log.acknowledged()).await.expect("a healthy disk");
        }
        for from in (0..MESSAGES_OF_QUEUE).step_by(100) {
            read(&log, 0, from, 100).await;
        }
        // Nobody follows this reader any more.
        task::sleep(Duration::from_millis(10)).await;
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
    match log.read_in_turn(&query(queue_id, from, count), &mut |_| true, &mut pieces) {
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
    let (world, log) = world_with_log(8);
    world.run(async {
        assert!(read_at_once(&log, 0, 0, 100), "nobody else reads");
        assert!(read_at_once(&log, 1, 0, 50), "it finds what the first has taken");
        assert!(!read_at_once(&log, 0, 100, 50), "only the extent that it begins in is here");
        assert!(!read_at_once(&log, 0, 200, 50), "there is one behind it");
        assert!(!read_at_once(&log, 0, 400, 50), "there is one behind it");
        assert!(read_at_once(&log, 0, 1000, 50), "by then what it takes may be gone");
        // Nobody reads, so it goes on; others find what it took.
        read(&log, 0, 200, 50).await;
        assert!(read_at_once(&log, 2, 201, 40));
    });
}

/// One that reads the first messages of queue 1 over and over; `reads` tells how often it did.
struct Follower {
    reads: Rc<Cell<u64>>,
    task: task::Task<()>,
}

impl Follower {
    fn start(log: &Log) -> Self {
        let (log, reads) = (log.clone(), Rc::new(Cell::new(0)));
        let counted = reads.clone();
        let task = task::spawn("follower", async move {
            loop {
                assert!(read_at_once(&log, 1, 0, 50));
                counted.set(counted.get() + 1);
                task::yield_now().await;
            }
        });
        Self { reads, task }
    }
}

#[test]
fn a_reader_that_is_ahead_lets_others_read_first_and_goes_on_though_they_never_stop() {
    let (mut let_go_first, mut waits_max) = (0, 0);
    for seed in 1..=10 {
        let (world, log) = world_with_log(seed);
        world.run(async {
            assert!(read_at_once(&log, 0, 0, 100));
            let follower = Follower::start(&log);
            for from in [300, 400] {
                while !read_at_once(&log, 1, 0, 50) {}
                let (log, reads) = (log.clone(), follower.reads.clone());
                let ahead = task::spawn("ahead", async move {
                    let before = reads.get();
                    read(&log, 0, from, 50).await;
                    reads.get() - before
                });
                let during = ahead.await;
                let_go_first += u64::from(during > 0);
                waits_max = waits_max.max(during);
            }
            drop(follower.task);
        });
    }
    // The simulator draws who is next, so now and then nobody had a turn between two of ours.
    assert!(let_go_first >= 5, "{let_go_first} of 20 reads let others read first");
    assert!(waits_max <= 64, "a read waited for {waits_max} others");
}

#[test]
fn one_that_may_not_wait_reads_at_once() {
    let (world, log) = world_with_log(8);
    world.run(async {
        assert!(read_at_once(&log, 0, 0, 100));
        assert!(read_at_once(&log, 1, 0, 50));
        assert!(!read_at_once(&log, 0, 200, 50));
        let mut pieces = Vec::new();
        let now = log.read_now(&query(0, 200, 50), &mut |_| true, &mut pieces);
        assert!(matches!(now, ReadNow::Done(result) if result.count == 50), "{now:?}");
    });
}
