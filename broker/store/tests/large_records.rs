//! Messages of a time when larger ones were allowed.

mod common;

use std::time::Duration;

use ringmq_runtime::sim::World;
use ringmq_runtime::task;
use ringmq_store::{FlushPolicy, KeyQuery, Log, LogId, LogOptions};

use common::{WIDE_SEARCH, message, tiny_options};

const SEGMENT_BYTES: u64 = 48 << 20;

fn options(record_size_max_bytes: usize) -> LogOptions {
    LogOptions {
        segment_size_bytes: SEGMENT_BYTES,
        record_size_max_bytes,
        fill_step_bytes: 8 << 20,
        unwritten_max_bytes: 64 << 20,
        unflushed_max_bytes: 64 << 20,
        scrub_bytes_per_s: 0,
        ..tiny_options(FlushPolicy::Sync)
    }
}

async fn open(world: &World, record_size_max_bytes: usize) -> Log {
    let options = options(record_size_max_bytes);
    Log::open(&world.disk(0), "log", LogId(0), options).await.expect("the log opens").0
}

#[test]
fn what_is_larger_than_the_settings_allow_now_is_found_and_tells_its_age() {
    let world = World::new(1);
    world.run(async {
        let log = open(&world, 40 << 20).await;
        let body = vec![7; 33 << 20];
        let mut second = None;
        for _ in 0..2 {
            let sent = log.append(&message("topic", 0, &body, "KEYS\u{1}k\u{2}"), 1000);
            let sent = sent.expect("room");
            while log.acknowledged() < sent.end {
                log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
            }
            second = Some(sent.position);
        }
        let second = second.expect("two were sent");
        assert_eq!(second.byte(), SEGMENT_BYTES, "a segment begins with it");
        log.close().await.expect("a clean stop");
        drop(log);

        let log = open(&world, 24 << 10).await;
        assert!(log.record_at(second).await.expect("readable").is_some());
        let query = KeyQuery {
            topic: "topic",
            key: "k",
            from_ms: 0,
            until_ms: 9999,
            count: 1,
            limits: WIDE_SEARCH,
        };
        assert_eq!(log.query_by_key(query).await.expect("readable").records.len(), 1);
        task::sleep(Duration::from_secs(1)).await;
        let expired = log.expire(5000, Duration::from_secs(1)).await;
        assert_eq!(expired.expect("removable").segments, 1, "by the age of its messages");
        log.close().await.expect("a clean stop");
    });
}
