//! Rolling from segment to segment: the zeros stay ahead of the log.

mod common;

use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;
use ringmq_store::{FlushPolicy, Log, LogId, LogOptions};

use common::{message, tiny_options};

const SEGMENT_BYTES: u64 = 1 << 20;

fn options() -> LogOptions {
    LogOptions {
        segment_size_bytes: SEGMENT_BYTES,
        fill_step_bytes: 64 << 10,
        // Too low for the busiest logs of these tests.
        fill_rate_bytes_per_s: 8 << 20,
        unwritten_max_bytes: 1 << 20,
        unflushed_max_bytes: 8 << 20,
        tail_window_bytes: 4 << 20,
        tail_block_bytes: 1 << 20,
        key_run_entries: 40_000,
        index_segment_size_bytes: 1 << 20,
        // Hours pass here, in which a scrubber would read megabytes again and again.
        scrub_bytes_per_s: 0,
        ..tiny_options(FlushPolicy::Async { interval: Duration::from_millis(20) })
    }
}

async fn open(world: &World, options: LogOptions) -> Log {
    let opened = Log::open(&world.disk(0), "log", LogId(0), options).await;
    opened.expect("the log opens").0
}

/// Appends messages of about 4 KiB, one each `pause`, until the log has `until` bytes.
async fn fill(log: &Log, until: u64, pause: Duration) {
    let body = vec![7; 4000];
    while log.end_position().byte() < until {
        log.room().await;
        log.append(&message("topic", 0, &body, ""), 1000).expect("room");
        task::sleep(pause).await;
    }
}

#[test]
fn a_log_that_rolls_at_any_steady_rate_never_waits_for_a_segment() {
    // 2, 8 and 40 MB/s.
    for pause_us in [2000, 500, 100] {
        let world = World::new(pause_us);
        world.run(async {
            let log = open(&world, options()).await;
            fill(&log, 12 * SEGMENT_BYTES, Duration::from_micros(pause_us)).await;
            let stats = log.stats();
            assert_eq!(stats.counters.segment_waits, 0, "one message in {pause_us} us: {stats:?}");
            log.close().await.expect("a clean stop");
        });
    }
}

#[test]
fn a_burst_after_a_quiet_time_finds_the_zeros_ahead() {
    let world = World::new(5);
    world.run(async {
        let log = open(&world, options()).await;
        for burst in 1..=8 {
            fill(&log, burst * SEGMENT_BYTES * 3 / 2, Duration::from_micros(100)).await;
            task::sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(log.stats().counters.segment_waits, 0, "{:?}", log.stats());
        log.close().await.expect("a clean stop");
    });
}

#[test]
fn a_log_that_outruns_the_device_waits_for_a_step_and_never_for_a_file() {
    let world = World::new(6);
    world.run(async {
        let options = LogOptions { segment_size_bytes: 4 << 20, ..options() };
        let log = open(&world, options).await;
        let watched = log.clone();
        let watch = task::spawn("watch", async move {
            let mut longest = Duration::ZERO;
            while watched.acknowledged().byte() < 15 * SEGMENT_BYTES {
                let start = Instant::now();
                watched.acknowledged_beyond(watched.acknowledged()).await.expect("no fault");
                longest = longest.max(start.elapsed());
            }
            longest
        });
        fill(&log, 16 * SEGMENT_BYTES, Duration::ZERO).await;
        let longest = watch.await;
        assert!(log.stats().counters.segment_waits > 0, "the log did not outrun the device");
        // A group needs up to 16 steps of 0.1 to 0.8 ms, a file 64.
        assert!(longest < Duration::from_millis(8), "{longest:?}");
        log.close().await.expect("a clean stop");
    });
}
