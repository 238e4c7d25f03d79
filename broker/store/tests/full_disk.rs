//! A disk without space: what was acknowledged stays, and a person can stop, start and go on.

mod common;

use std::time::Duration;

use ringmq_runtime::disk::Access;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;
use ringmq_store::{AppendError, FlushPolicy, Log, LogId, LogOptions, OpenError};

use common::{consume, message, tiny_options};

const SYNC: FlushPolicy = FlushPolicy::Sync;

/// Longer than anything takes that does not wait for space.
const LONG: Duration = Duration::from_secs(60);

async fn open(world: &World, options: &LogOptions) -> Log {
    let disk = world.disk(0);
    let opened = Log::open(&disk, "log", LogId(0), options.clone());
    task::timeout(LONG, opened).await.expect("it ends").expect("the log opens").0
}

fn append(log: &Log) -> Result<(), AppendError> {
    log.append(&message("topic", 0, &[7; 2000], ""), 1000).map(drop)
}

async fn acknowledge(log: &Log) {
    while log.acknowledged() < log.end_position() {
        log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
    }
}

/// Leaves so many bytes of the disk free.
async fn leave_free(world: &World, bytes: u64) {
    let space = world.disk(0).free_space().await.expect("known");
    let used = space.total - space.available;
    world.disk_faults(0, |faults| faults.capacity_bytes = used + bytes);
}

#[test]
fn a_log_whose_last_messages_have_no_space_can_be_closed() {
    let world = World::new(1);
    let options = LogOptions { segment_size_bytes: 1 << 20, ..tiny_options(SYNC) };
    world.run(async {
        let log = open(&world, &options).await;
        leave_free(&world, 0).await;
        while append(&log).is_ok() {}
        let closed = task::timeout(LONG, log.close()).await;
        assert!(closed.expect("it ends").is_err(), "messages were not written");
        let acknowledged = log.acknowledged();
        assert!(acknowledged < log.end_position(), "nothing waited for space");

        leave_free(&world, 1 << 30).await;
        let log = open(&world, &options).await;
        assert!(log.end_position() >= acknowledged);
        append(&log).expect("room");
        acknowledge(&log).await;
    });
}

/// A log of one message whose only segment has not grown to its size for want of space, on a disk
/// that has space again. The next attempt comes within a second.
async fn log_about_to_grow(world: &World) -> Log {
    let options = LogOptions { segment_size_bytes: 1 << 20, ..tiny_options(SYNC) };
    leave_free(world, 600 << 10).await;
    let log = open(world, &options).await;
    append(&log).expect("room");
    acknowledge(&log).await;
    task::sleep(LONG).await;
    assert!(log.stats().no_space.is_some(), "it is whole");
    leave_free(world, 1 << 30).await;
    log
}

#[test]
fn zeros_that_cannot_be_written_say_nothing_about_messages() {
    let world = World::new(4);
    world.run(async {
        let log = log_about_to_grow(&world).await;
        world.disk_faults(0, |faults| faults.fail_next_write = true);
        task::sleep(LONG).await;
        world.disk_faults(0, |faults| assert!(!faults.fail_next_write, "it grew in vain"));
        assert_eq!((log.stats().fenced, log.stats().no_space), (None, None));
        while log.end_position().byte() < 1 << 20 {
            append(&log).expect("room");
            acknowledge(&log).await;
        }
    });
}

#[test]
fn a_flush_of_zeros_that_fails_for_want_of_space_is_a_failed_flush_too() {
    let world = World::new(5);
    world.run(async {
        let log = log_about_to_grow(&world).await;
        world.disk_faults(0, |faults| {
            faults.sync_error_kind = std::io::ErrorKind::StorageFull;
            faults.fail_next_sync = true;
        });
        task::sleep(LONG).await;
        assert!(log.stats().fenced.is_some(), "{:?}", log.stats());
    });
}

#[test]
fn zeros_ahead_of_the_log_leave_the_space_that_the_next_start_needs() {
    let world = World::new(2);
    let options = LogOptions { segment_size_bytes: 1 << 20, ..tiny_options(SYNC) };
    world.run(async {
        leave_free(&world, 600 << 10).await;
        let log = open(&world, &options).await;
        append(&log).expect("room");
        acknowledge(&log).await;
        // Longer than a whole segment takes.
        task::sleep(LONG).await;
    });
    world.kill(0);
    world.run(async {
        let log = open(&world, &options).await;
        assert_eq!(consume(&log, "topic", 0).await.len(), 1);
        append(&log).expect("room");
        acknowledge(&log).await;
    });
}

#[test]
fn a_start_without_any_space_ends_and_says_why() {
    let world = World::new(3);
    let options = tiny_options(SYNC);
    world.run(async {
        let log = open(&world, &options).await;
        append(&log).expect("room");
        acknowledge(&log).await;
    });
    world.kill(0);
    world.run(async {
        leave_free(&world, 0).await;
        let disk = world.disk(0);
        let opened = Log::open(&disk, "log", LogId(0), options.clone());
        let opened = task::timeout(LONG, opened).await.expect("it ends").map(drop);
        assert!(matches!(opened, Err(OpenError::Io { .. })), "{opened:?}");

        leave_free(&world, 1 << 30).await;
        let log = open(&world, &options).await;
        assert_eq!(consume(&log, "topic", 0).await.len(), 1);
    });
}

/// The length of its file may be gone with the kernel, and all that stands behind it.
#[test]
fn zeros_whose_flush_failed_before_a_clean_stop_hold_nothing_that_a_kernel_crash_takes() {
    for seed in 0..8 {
        let world = World::new(seed);
        let options = LogOptions {
            // Nobody but the maker of segments syncs anything.
            checkpoint_interval: 10 * LONG,
            checkpoint_bytes: 1 << 20,
            unflushed_max_bytes: 1 << 20,
            ..tiny_options(FlushPolicy::Async { interval: 10 * LONG })
        };
        let acknowledged = world.run(async {
            let log = open(&world, &options).await;
            let (disk, next) = (world.disk(0), format!("{:020}", options.segment_size_bytes));
            let next = std::path::Path::new("log").join("commitlog").join(next);
            // An eighth of the first segment.
            while !disk.exists(&next).await.expect("a healthy disk") {
                append(&log).expect("room");
                acknowledge(&log).await;
            }
            // The zeros of its second step are written, and their flush follows.
            let next = disk.open(&next, Access::Read).await.expect("it is there");
            while next.len().expect("known") == options.fill_step_bytes {
                task::sleep(Duration::from_micros(10)).await;
            }
            world.disk_faults(0, |faults| faults.fail_next_write = true);
            let mut is_due = true;
            while is_due {
                task::sleep(Duration::from_micros(10)).await;
                world.disk_faults(0, |faults| is_due = faults.fail_next_write);
            }
            log.close().await.expect("nothing that was promised is concerned");

            // No further growth: the log uses what it finds.
            leave_free(&world, options.space_kept_bytes).await;
            let log = open(&world, &options).await;
            while append(&log).is_ok() && task::timeout(LONG, acknowledge(&log)).await.is_ok() {}
            log.acknowledged()
        });
        world.crash_kernel(0);
        world.run(async {
            leave_free(&world, 1 << 30).await;
            let log = open(&world, &options).await;
            assert!(log.end_position() >= acknowledged, "seed {seed}: acknowledged messages");
        });
    }
}
