//! A topic that is deleted and used again, under crashes.

mod common;

use std::time::Duration;

use common::{consume, message, tiny_options};
use ringmq_runtime::sim::World;
use ringmq_runtime::task;
use ringmq_store::{FlushPolicy, Log, LogId, LogOptions, QueueOffset};

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
                log.progress(log.acknowledged()).await.expect("no fault");
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
