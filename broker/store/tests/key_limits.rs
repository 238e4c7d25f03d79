//! What a lookup by key may cost.

mod common;

use std::time::Duration;

use ringmq_runtime::sim::World;
use ringmq_runtime::task;
use ringmq_store::{FlushPolicy, KeyFound, KeyLimits, KeyQuery, Log, LogId};

use common::{WIDE_SEARCH, message, parse_all, tiny_options};

const MESSAGES: u64 = 400;

/// A log with one key that every message carries, and many runs of the key index on disk. A
/// message a millisecond.
async fn filled(world: &World) -> Log {
    let options = tiny_options(FlushPolicy::Sync);
    let (log, _) = Log::open(&world.disk(0), "log", LogId(0), options).await.expect("it opens");
    for number in 0..MESSAGES {
        let properties = format!("KEYS\u{1}all k{number}\u{2}");
        let sent = log.append(&message("t", 0, &[7; 500], &properties), 1000 + number as i64);
        let sent = sent.expect("room");
        while log.acknowledged() < sent.end {
            log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
        }
    }
    task::sleep(Duration::from_secs(1)).await;
    log
}

async fn find(log: &Log, key: &str, until_ms: i64, limits: KeyLimits) -> KeyFound {
    let query = KeyQuery { topic: "t", key, from_ms: 0, until_ms, count: 1000, limits };
    log.query_by_key(query).await.expect("readable")
}

#[test]
fn a_lookup_ends_with_the_last_message_that_fits() {
    let world = World::new(1);
    world.run(async {
        let log = filled(&world).await;
        let all = find(&log, "all", 9999, WIDE_SEARCH).await;
        assert_eq!((all.records.len() as u64, all.unread_ms), (MESSAGES, None));
        let bytes = |count: usize| all.records[..count].iter().map(|one| one.len()).sum();
        for (limit, fit) in [(0, 1), (1, 1), (bytes(7) - 1, 6), (bytes(7), 7), (bytes(7) + 1, 7)] {
            let limits = KeyLimits { bytes: limit, ..WIDE_SEARCH };
            let found = find(&log, "all", 9999, limits).await;
            assert_eq!(found.records, all.records[..fit], "{limit} bytes");
            assert!(found.reads <= fit + 8, "{limit} bytes: {} reads", found.reads);
        }
    });
}

#[test]
fn a_lookup_makes_no_more_reads_than_it_may_and_tells_where_another_one_goes_on() {
    let world = World::new(1);
    world.run(async {
        let log = filled(&world).await;
        let missing = find(&log, "missing", 9999, WIDE_SEARCH).await;
        assert_eq!((missing.records.len(), missing.unread_ms), (0, None));
        assert!(missing.reads > 10, "a run each: {}", missing.reads);
        let enough = KeyLimits { reads: missing.reads, ..WIDE_SEARCH };
        assert_eq!(find(&log, "missing", 9999, enough).await, missing);

        let few = KeyLimits { reads: 3, ..WIDE_SEARCH };
        let (mut until_ms, mut steps) = (9999, 0);
        let oldest = loop {
            let found = find(&log, "k0", until_ms, few).await;
            assert!(found.reads <= 3);
            steps += 1;
            if let Some(record) = found.records.first() {
                break parse_all(record)[0].offset;
            }
            let unread_ms = found.unread_ms.expect("there is an older one");
            assert!(unread_ms < until_ms, "{unread_ms} after {until_ms}");
            until_ms = unread_ms;
        };
        assert_eq!(oldest, 0);
        assert!(steps > 3, "{steps} steps");
        let none = find(&log, "k0", 9999, KeyLimits { reads: 0, ..WIDE_SEARCH }).await;
        assert!(none.reads == 0 && none.unread_ms.is_some(), "{none:?}");
    });
}
