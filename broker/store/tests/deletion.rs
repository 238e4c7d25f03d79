//! A topic that is deleted and used again, under crashes.

mod common;

use std::time::Duration;

use ringmq_runtime::sim::World;
use ringmq_runtime::task;
use ringmq_store::{FlushPolicy, Log, LogId, LogOptions, QueueOffset};

use common::{consume, message, tiny_options};

/// The index is saved while neither the last message before the deletion nor the first one after it
/// is flushed. The start after the kill then meets both in the log, in that order.
#[test]
fn a_checkpoint_between_a_deletion_and_its_flush_costs_no_acknowledged_message() {
    let world = World::new(7);
    let disk = world.disk(0);
    let flush = FlushPolicy::Async { interval: Duration::from_secs(10) };
    let options = LogOptions { checkpoint_interval: Duration::from_secs(1), ..tiny_options(flush) };
    let (log, _) = world.run(Log::open(&disk, "log", LogId(0), options.clone())).expect("opens");
    let send = |body: &[u8]| {
        let appended = log.append(&message("topic", 0, body, ""), 1000).expect("room");
        world.run(async {
            while log.acknowledged() < appended.end {
                log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
            }
        });
        appended
    };
    send(b"flushed");
    while log.stats().durable < log.end_position() {
        world.run(async { task::sleep(Duration::from_millis(50)).await });
    }
    // The checkpoint of the first message is due and waits for more.
    let checkpoints = log.stats().counters.checkpoints;
    assert_eq!(send(b"old").queue_offset, QueueOffset(1));
    assert_eq!(log.delete_topic("topic"), 1);
    assert_eq!(send(b"new").queue_offset, QueueOffset(0));
    while log.stats().counters.checkpoints == checkpoints {
        world.run(async { task::sleep(Duration::from_millis(50)).await });
    }
    assert!(log.stats().durable < log.end_position(), "the flush came too early for this test");
    let end = log.end_position();
    drop(log);
    world.kill(0);

    let (log, report) = world.run(Log::open(&disk, "log", LogId(0), options)).expect("opens");
    assert_eq!((report.end, report.damage), (end, None));
    let seen = world.run(consume(&log, "topic", 0));
    assert_eq!(
        seen.iter().map(|seen| (seen.offset, &*seen.body)).collect::<Vec<_>>(),
        [(0, &b"new"[..])]
    );
}

/// Topics in every state a deletion can meet: saved in the index, flushed, only written; and other
/// messages that keep coming.
#[test]
fn a_deletion_that_was_waited_for_outlives_every_crash() {
    for seed in 0..24 {
        let world = World::new(seed);
        let disk = world.disk(0);
        let mut random = world.sequence();
        // Longer than the test: a deletion does not wait for them.
        let flush = FlushPolicy::Async { interval: Duration::from_secs(1000) };
        let options =
            LogOptions { checkpoint_interval: Duration::from_secs(1000), ..tiny_options(flush) };
        let opened = world.run(Log::open(&disk, "log", LogId(0), options.clone()));
        let (log, _) = opened.expect("opens");
        let send = |topic: &str| log.append(&message(topic, 0, b"old", ""), 1000).expect("room");
        let pause =
            |ms: u64| world.run(async move { task::sleep(Duration::from_millis(ms)).await });
        for _ in 0..random.next_u64() % 4 {
            send("topic");
            pause(random.next_u64() % 2);
        }
        if seed.is_multiple_of(3) {
            send("first to go");
            log.delete_topic("first to go");
            world.run(log.deletions_last()).expect("no fault");
            send("topic");
        }
        send("topic");
        send("other");
        assert_eq!(log.delete_topic("topic"), 1, "seed {seed}");
        send("other");
        let began = world.age();
        world.run(log.deletions_last()).expect("no fault");
        assert!(world.age() - began < Duration::from_secs(1), "seed {seed}: it waited for a pause");
        drop(log);
        if random.next_u64().is_multiple_of(2) {
            world.kill(0)
        } else {
            world.crash(0)
        }

        let (log, _) = world.run(Log::open(&disk, "log", LogId(0), options)).expect("opens");
        assert_eq!(log.queue_range("topic", 0), None, "seed {seed}");
        assert!(log.queue_range("other", 0).is_some(), "seed {seed}");
        let anew = log.append(&message("topic", 0, b"new", ""), 1000).expect("room");
        assert_eq!(anew.queue_offset, QueueOffset(0), "seed {seed}");
    }
}
