//! A device that gives what it reads in parts: a start takes none of them for the end of a file.

mod common;

use std::time::Duration;

use ringmq_runtime::disk::Disk;
use ringmq_runtime::sim::World;
use ringmq_store::{FlushPolicy, Log, LogId, LogOptions, OpenError, RecoveryReport};

use common::{Seen, consume, message, tiny_options};

const MESSAGES: u8 = 30;
const BODY_BYTES: usize = 700;

/// No checkpoint shall know the messages of a log that is killed: the scan has to find them.
fn options() -> LogOptions {
    LogOptions { checkpoint_interval: Duration::from_secs(1000), ..tiny_options(FlushPolicy::Sync) }
}

async fn open(disk: &Disk) -> Result<(Log, RecoveryReport), OpenError> {
    Log::open(disk, "log", LogId(0), options()).await
}

/// Opens a log and has all messages acknowledged: the log, and what a consumer gets of it.
async fn send_all(disk: &Disk) -> (Log, Vec<Seen>) {
    let (log, _) = open(disk).await.expect("the log opens");
    for number in 0..MESSAGES {
        let sent = log.append(&message("topic", 0, &[number + 1; BODY_BYTES], ""), 1000);
        let sent = sent.expect("room");
        while log.acknowledged() < sent.end {
            log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
        }
    }
    let seen = consume(&log, "topic", 0).await;
    assert_eq!(seen.len(), usize::from(MESSAGES));
    (log, seen)
}

/// What a consumer of a log got that was killed then.
fn send_all_and_kill(world: &World) -> Vec<Seen> {
    let (log, sent) = world.run(send_all(&world.disk(0)));
    drop(log);
    world.kill(0);
    sent
}

/// Opens the log while each read gives at most so many bytes, and consumes it on a sound device.
fn check_all_is_there(world: &World, read_bytes_max: usize, sent: &[Seen]) -> RecoveryReport {
    world.run(async {
        world.disk_faults(0, |faults| faults.read_bytes_max = read_bytes_max);
        let opened = open(&world.disk(0)).await;
        world.disk_faults(0, |faults| faults.read_bytes_max = usize::MAX);
        let (log, report) = opened.expect("the log opens");
        let seen = consume(&log, "topic", 0).await;
        assert_eq!(seen, sent, "{read_bytes_max} bytes a read: {report:?}");
        log.close().await.expect("a clean stop");
        report
    })
}

#[test]
fn a_start_after_a_crash_that_reads_in_parts_finds_every_message() {
    for read_bytes_max in [500, 4096, 10_000] {
        let world = World::new(11);
        let sent = send_all_and_kill(&world);
        check_all_is_there(&world, read_bytes_max, &sent);
    }
}

#[test]
fn an_index_stream_that_is_read_in_parts_is_whole() {
    let world = World::new(12);
    let disk = world.disk(0);
    let sent = world.run(async {
        let (log, sent) = send_all(&disk).await;
        log.close().await.expect("a clean stop");
        for file in disk.list("log/queueindex").await.expect("listed") {
            if file.name.starts_with("snapshot.") {
                world.flip_bit(0, &format!("log/queueindex/{}", file.name), 20, 1);
            }
        }
        sent
    });
    // A block of eight entries takes more than one read.
    let report = check_all_is_there(&world, 100, &sent);
    assert!(!report.rebuilt_index, "{report:?}");
}

#[test]
fn a_start_that_is_given_nothing_of_a_file_is_refused_and_cuts_nothing() {
    let world = World::new(13);
    let sent = send_all_and_kill(&world);
    world.disk_faults(0, |faults| faults.read_bytes_max = 0);
    assert!(world.run(open(&world.disk(0))).is_err(), "nothing can be read");
    world.kill(0);
    check_all_is_there(&world, usize::MAX, &sent);
}
