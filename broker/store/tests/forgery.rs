//! What hostile clients send: bodies that look like records, lookups and reads of everything.

mod common;

use std::time::Duration;

use ringmq_protocol::record::{Placement, encode, encoded_len};
use ringmq_runtime::sim::World;
use ringmq_store::{
    FlushPolicy, KeyQuery, Log, LogId, LogOptions, QueueOffset, ReadLimits, ReadNow, ReadQuery,
    ReadStatus,
};

use common::{WIDE_SEARCH, message, tiny_options};

/// Bytes of a record with IPv4 hosts in front of its body.
const BODY_AT: u64 = 88;

#[test]
fn a_record_inside_of_a_message_is_not_found_by_its_position() {
    let world = World::new(3);
    let disk = world.disk(0);
    let options = tiny_options(FlushPolicy::Async { interval: Duration::from_millis(20) });
    let (log, _) = world.run(Log::open(&disk, "log", LogId(0), options)).expect("opens");
    let forged = message("topic", 0, b"forged", "KEYS\u{1}k\u{2}");
    let place = log.id().at(log.end_position().byte() + BODY_AT);
    let mut body = vec![0; encoded_len(&forged).expect("fits")];
    let physical_offset = place.wire();
    let placement = Placement { queue_offset: 0, physical_offset, stored_at_ms: 1000 };
    encode(&mut body, &forged, placement).expect("fits");
    let appended = log.append(&message("topic", 0, &body, ""), 1000).expect("room");
    world.run(log.acknowledged_beyond(appended.position)).expect("no fault");
    let found = world.run(log.record_at(place)).expect("readable");
    assert_eq!(found.map(|bytes| bytes.len()), None);
    let found = world.run(log.record_at(appended.position)).expect("readable");
    assert!(found.is_some(), "the message itself is found");
}

#[test]
fn a_message_is_shown_by_its_position_when_it_is_acknowledged_and_not_before() {
    for flush in [FlushPolicy::Sync, FlushPolicy::Async { interval: Duration::from_millis(20) }] {
        let world = World::new(3);
        let disk = world.disk(0);
        let opened = world.run(Log::open(&disk, "log", LogId(0), tiny_options(flush)));
        let (log, _) = opened.expect("opens");
        let appended = log.append(&message("topic", 0, b"body", ""), 1000).expect("room");
        world.run(async {
            let found = log.record_at(appended.position).await.expect("readable");
            assert_eq!(found, None, "it may be lost yet");
            log.acknowledged_beyond(appended.position).await.expect("no fault");
            let found = log.record_at(appended.position).await.expect("readable");
            assert!(found.is_some(), "it is acknowledged");
        });
    }
}

#[test]
fn a_lookup_by_key_takes_no_more_memory_than_an_answer() {
    let world = World::new(3);
    let disk = world.disk(0);
    let mut options = tiny_options(FlushPolicy::Async { interval: Duration::from_millis(20) });
    options.segment_size_bytes = 64 << 20;
    options.record_size_max_bytes = 5 << 20;
    options.unwritten_max_bytes = 64 << 20;
    options.unflushed_max_bytes = 64 << 20;
    let (log, _) = world.run(Log::open(&disk, "log", LogId(0), options)).expect("opens");
    let body = vec![7; 4 << 20];
    for now_ms in 1..=8 {
        let sent = message("topic", 0, &body, "KEYS\u{1}k\u{2}");
        let appended = log.append(&sent, now_ms).expect("room");
        world.run(async {
            while log.acknowledged() < appended.end {
                log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
            }
        });
    }
    let query = KeyQuery {
        topic: "topic",
        key: "k",
        from_ms: 0,
        until_ms: 99,
        count: 1000,
        limits: WIDE_SEARCH,
    };
    let found = world.run(log.query_by_key(query)).expect("readable").records;
    assert!((4..8).contains(&found.len()), "{} messages of 4 MiB", found.len());
}

#[test]
fn a_read_that_wants_nothing_and_asks_for_everything_ends_soon() {
    const MESSAGES: u64 = 40_000;
    let world = World::new(3);
    let disk = world.disk(0);
    let options = LogOptions { segment_size_bytes: 64 << 20, ..LogOptions::default() };
    let (log, _) = world.run(Log::open(&disk, "log", LogId(0), options)).expect("opens");
    for _ in 0..MESSAGES {
        log.append(&message("topic", 0, b"x", ""), 1000).expect("room");
    }
    world.run(async {
        while log.acknowledged() < log.end_position() {
            log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
        }
    });
    let limits = ReadLimits::asked(i32::MAX as usize);
    let query = ReadQuery { topic: "topic", queue_id: 0, from: QueueOffset(0), limits };
    let mut looked_at = 0;
    let mut wants = |_| {
        looked_at += 1;
        false
    };
    let read = log.read_now(&query, &mut wants, &mut Vec::new());
    let ReadNow::Done(result) = read else { panic!("all entries are in memory") };
    assert_eq!(result.status, ReadStatus::NoMatchedMessage);
    assert_eq!(result.next_offset.0, looked_at);
    assert!(looked_at < MESSAGES / 2, "{looked_at} entries in one step");
}
