//! Index files that are missing: the log is enough to make the index again.

mod common;

use std::time::Duration;

use ringmq_runtime::disk::Disk;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;
use ringmq_store::{FlushPolicy, Log, LogId, LogOptions, RecoveryReport};

use common::{consume, message, tiny_options};

const SENT: usize = 8000;

async fn open(disk: &Disk) -> (Log, RecoveryReport) {
    let options = tiny_options(FlushPolicy::Sync);
    Log::open(disk, "log", LogId(0), options).await.expect("the log opens")
}

async fn send(log: &Log, count: usize) {
    for _ in 0..count {
        log.append(&message("topic", 0, &[7; 40], ""), 1000).expect("room");
        while log.stats().unwritten_bytes > 8000 {
            log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
        }
    }
    while log.acknowledged() < log.end_position() {
        log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
    }
}

/// The files of the index stream of a log with many messages that was closed.
async fn index_of_a_long_log(disk: &Disk) -> Vec<String> {
    let (log, _) = open(disk).await;
    send(&log, SENT).await;
    log.close().await.expect("a clean stop");
    let listed = disk.list("log/queueindex").await.expect("listed");
    let files: Vec<_> =
        listed.into_iter().map(|file| file.name).filter(|name| is_of_stream(name)).collect();
    assert!(files.len() >= 3, "{files:?}");
    files
}

fn is_of_stream(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn a_missing_index_file_costs_a_scan_and_no_message() {
    for missing in 0..3 {
        let world = World::new(3);
        let disk = world.disk(0);
        world.run(async {
            let files = index_of_a_long_log(&disk).await;
            let missing = &files[missing * (files.len() - 1) / 2];
            disk.remove_file(format!("log/queueindex/{missing}")).await.expect("removed");

            let (log, report) = open(&disk).await;
            assert!(report.scanned_records > 0, "without {missing}: {report:?}");
            assert_eq!(consume(&log, "topic", 0).await.len(), SENT);
            send(&log, SENT / 4).await;
            task::sleep(Duration::from_secs(2)).await;
            log.close().await.expect("a clean stop");

            let (log, report) = open(&disk).await;
            assert_eq!(report.scanned_records, 0, "{report:?}");
            assert_eq!(consume(&log, "topic", 0).await.len(), SENT + SENT / 4);
        });
    }
}

/// How long the snapshots of the index are, by their names.
async fn snapshots(disk: &Disk) -> Vec<(String, u64)> {
    let listed = disk.list("log/queueindex").await.expect("listed").into_iter();
    let snapshots = listed.filter(|file| file.name.starts_with("snapshot."));
    snapshots.map(|file| (file.name, file.len)).collect()
}

#[test]
fn a_snapshot_longer_than_a_start_reads_is_neither_written_nor_believed() {
    let world = World::new(3);
    let disk = world.disk(0);
    world.run(async {
        index_of_a_long_log(&disk).await;
        let before = snapshots(&disk).await;
        let shortest = before.iter().map(|(_, len)| *len).min().expect("a snapshot");
        // As if they had been written before there was a limit.
        let limits = LogOptions {
            snapshot_max_bytes: usize::try_from(shortest).expect("short") - 1,
            ..tiny_options(FlushPolicy::Sync)
        };
        let opened = Log::open(&disk, "log", LogId(0), limits.clone()).await;
        let (log, _) = opened.expect("the log opens");
        assert_eq!(consume(&log, "topic", 0).await.len(), SENT);
        send(&log, SENT / 4).await;
        task::sleep(Duration::from_secs(2)).await;
        log.close().await.expect("a clean stop");
        assert_eq!(snapshots(&disk).await, [], "what is too long is not written");

        // The index stream alone tells everything then.
        let opened = Log::open(&disk, "log", LogId(0), limits).await;
        let (log, report) = opened.expect("the log opens");
        assert_eq!(report.scanned_records, 0, "{report:?}");
        assert_eq!(consume(&log, "topic", 0).await.len(), SENT + SENT / 4);
    });
}

#[test]
fn damage_in_an_old_message_is_no_matter_of_a_start_whose_index_stream_is_whole() {
    let world = World::new(3);
    let disk = world.disk(0);
    world.run(async {
        index_of_a_long_log(&disk).await;
        for (name, _) in snapshots(&disk).await {
            world.flip_bit(0, &format!("log/queueindex/{name}"), 20, 1);
        }
        world.flip_bit(0, &format!("log/commitlog/{:020}", 0), 100, 1);
        let (_, report) = open(&disk).await;
        assert_eq!(report.scanned_records, 0, "{report:?}");
    });
}
