//! Indexes and logs that do not belong together, as copies by hand leave them.

mod common;

use std::time::Duration;

use ringmq_protocol::record::{NewRecord, Placement, encode};
use ringmq_runtime::buffer::DmaBuffer;
use ringmq_runtime::disk::Access;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;
use ringmq_store::{FlushPolicy, Log, LogId, LogOptions, OpenError, QueueOffset, RecoveryReport};

use common::{consume, message, tiny_options};

const SEGMENT: &str = "log/commitlog/00000000000000000000";

async fn try_open(world: &World, dir: &str, id: u8) -> Result<(Log, RecoveryReport), OpenError> {
    let options = tiny_options(FlushPolicy::Sync);
    Log::open(&world.disk(0), dir, LogId(id), options).await
}

/// One life of a log, from open to a clean stop, in which `count` messages come.
async fn live(world: &World, dir: &str, id: u8, count: usize) {
    let (log, _) = try_open(world, dir, id).await.expect("the log opens");
    for _ in 0..count {
        let sent = log.append(&message("topic", id.into(), &[7; 400], ""), 1000).expect("room");
        while log.acknowledged() < sent.end {
            log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
        }
    }
    // The file gets its full length.
    task::sleep(Duration::from_secs(1)).await;
    log.close().await.expect("a clean stop");
}

async fn remove_index(world: &World) {
    let disk = world.disk(0);
    for entry in disk.list("log/queueindex").await.expect("a directory") {
        disk.remove_file(format!("log/queueindex/{}", entry.name)).await.expect("removable");
    }
}

async fn refused(world: &World) -> bool {
    match try_open(world, "log", 0).await {
        Ok(_) => false,
        Err(OpenError::Layout { advice, .. }) => advice.contains("queueindex"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn an_older_copy_of_the_log_is_refused_until_its_index_is_gone() {
    let world = World::new(1);
    world.run(async {
        live(&world, "log", 0, 20).await;
        let disk = world.disk(0);
        let older = disk.read_all(SEGMENT, 1 << 20).await.expect("readable");
        live(&world, "log", 0, 30).await;
        disk.replace(SEGMENT, older).await.expect("room");
        assert!(refused(&world).await);
        assert!(refused(&world).await, "asking changed nothing");

        remove_index(&world).await;
        live(&world, "log", 0, 5).await;
        let (log, _) = try_open(&world, "log", 0).await.expect("the log opens");
        assert_eq!(consume(&log, "topic", 0).await.len(), 25);
    });
}

#[test]
fn a_log_whose_end_was_zeroed_is_refused_and_a_sound_one_is_not() {
    // Blocks have 8 entries, so the newest is now in one, now in memory.
    for count in 1..=18 {
        let world = World::new(count);
        world.run(async {
            live(&world, "log", 0, count as usize).await;
            live(&world, "log", 0, 0).await;
            let file = world.disk(0).open(SEGMENT, Access::ReadWrite).await.expect("there");
            let len = file.len().expect("known") as usize;
            let mut zeros = DmaBuffer::alloc(len);
            zeros.as_mut_slice().fill(0);
            file.write_at(0, zeros).await.expect("writable");
            assert!(refused(&world).await, "{count} messages");
        });
    }
}

#[test]
fn a_damaged_newest_message_keeps_no_log_from_starting() {
    // More than a page, so that another page has messages, in blocks or in memory.
    for count in 10..=26 {
        let world = World::new(count);
        world.run(async {
            live(&world, "log", 0, count as usize).await;
            let disk = world.disk(0);
            let mut log = disk.read_all(SEGMENT, 1 << 20).await.expect("readable");
            let record = u32::from_be_bytes(log[..4].try_into().expect("four bytes")) as usize;
            let newest = record * (count as usize - 1);
            assert_eq!(log[newest + 4..newest + 8], log[4..8], "all are of one size");
            log[newest + 5] ^= 1;
            disk.replace(SEGMENT, log).await.expect("room");
            live(&world, "log", 0, 3).await;
            let (log, _) = try_open(&world, "log", 0).await.expect("the log opens");
            let range = log.queue_range("topic", 0).expect("the queue");
            assert_eq!(range.1, QueueOffset(count + 3), "what came after it is there");
        });
    }
}

#[test]
fn the_snapshot_of_another_log_is_not_used() {
    let world = World::new(1);
    world.run(async {
        live(&world, "log", 0, 40).await;
        live(&world, "other", 1, 33).await;
        let disk = world.disk(0);
        let mut swapped = 0;
        for slot in ["snapshot.0", "snapshot.1"] {
            let other = disk.read_all(format!("other/queueindex/{slot}"), 1 << 20).await;
            let Ok(other) = other else { continue };
            disk.replace(format!("log/queueindex/{slot}"), other).await.expect("room");
            swapped += 1;
        }
        assert!(swapped > 0, "a clean stop leaves a snapshot");
        let (log, _) = try_open(&world, "log", 0).await.expect("the log opens");
        assert_eq!(consume(&log, "topic", 0).await.len(), 40);
    });
}

/// Names and contents of the files of the index.
async fn index(world: &World) -> Vec<(String, Vec<u8>)> {
    let disk = world.disk(0);
    let mut files = Vec::new();
    for entry in disk.list("log/queueindex").await.expect("a directory") {
        let path = format!("log/queueindex/{}", entry.name);
        files.push((entry.name, disk.read_all(path, 1 << 20).await.expect("readable")));
    }
    files
}

/// Makes the snapshots useless: by those of another log, where it has them, or by damage.
async fn spoil_snapshots(world: &World, by_others: bool) {
    let disk = world.disk(0);
    for slot in ["snapshot.0", "snapshot.1"] {
        let path = format!("log/queueindex/{slot}");
        let other = disk.read_all(format!("other/queueindex/{slot}"), 1 << 20).await;
        match other {
            Ok(other) if by_others => disk.replace(path, other).await.expect("room"),
            _ if disk.exists(&path).await.expect("known") => world.flip_bit(0, &path, 30, 1),
            _ => {}
        }
    }
}

#[test]
fn an_index_that_is_of_no_use_stays_where_it_is_when_the_log_is_refused() {
    let cases: [(bool, Option<Change>); 4] = [
        (false, None),
        (true, None),
        (true, Some(|_, placement| placement.queue_offset = 30)),
        (true, Some(|_, placement| placement.stored_at_ms = -1)),
    ];
    for (is_foreign, forgery) in cases {
        let world = World::new(1);
        world.run(async {
            live(&world, "log", 0, 40).await;
            live(&world, "other", 1, 33).await;
            spoil_snapshots(&world, is_foreign).await;
            // Its stream has to begin with a whole frame.
            world.flip_bit(0, "log/queueindex/00000000000000000000", 20, 1);
            let disk = world.disk(0);
            let mut log = disk.read_all(SEGMENT, 1 << 20).await.expect("readable");
            let len = u32::from_be_bytes(*log.first_chunk().expect("a message")) as usize;
            match forgery {
                Some(change) => forge(&mut log, len, 12, change),
                None => log[12 * len + 200] ^= 1,
            }
            disk.replace(SEGMENT, log).await.expect("room");
            let before = index(&world).await;
            assert!(before.len() > 1, "a stream and a snapshot");
            for _ in 0..2 {
                assert!(try_open(&world, "log", 0).await.is_err());
                let names: Vec<_> = index(&world).await.into_iter().map(|file| file.0).collect();
                assert!(index(&world).await == before, "foreign: {is_foreign}, left: {names:?}");
            }
        });
    }
}

/// Makes another message of the one at this offset, sound and of the same length, as they all are.
fn forge(log: &mut [u8], len: usize, offset: usize, change: Change) {
    let at = offset * len;
    let mut other = NewRecord { with_record_crc: true, ..message("topic", 0, &[7; 400], "") };
    let mut placement = Placement {
        queue_offset: offset as i64,
        physical_offset: LogId(0).at(at as u64).wire(),
        stored_at_ms: 1000,
    };
    change(&mut other, &mut placement);
    assert_eq!(encode(&mut log[at..at + len], &other, placement), Ok(len), "it takes its place");
}

type Change = fn(&mut NewRecord<'_>, &mut Placement);

/// A log that was killed before its index knew of its messages, after a sound message of the same
/// length has taken the place of one in the middle.
fn killed_with(change: Change) -> World {
    const MESSAGES: usize = 20;
    let world = World::new(1);
    let body = [7; 400];
    world.run(async {
        let (log, _) = open_rarely_saved(&world).await.expect("the log opens");
        for _ in 0..MESSAGES {
            let sent = log.append(&message("topic", 0, &body, ""), 1000).expect("room");
            while log.acknowledged() < sent.end {
                log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
            }
        }
    });
    world.kill(0);
    world.run(async {
        let disk = world.disk(0);
        let mut log = disk.read_all(SEGMENT, 1 << 20).await.expect("readable");
        let len = u32::from_be_bytes(*log.first_chunk().expect("a message")) as usize;
        forge(&mut log, len, MESSAGES / 2, change);
        disk.replace(SEGMENT, log).await.expect("room");
    });
    world
}

async fn open_rarely_saved(world: &World) -> Result<(Log, RecoveryReport), OpenError> {
    let rare = Duration::from_secs(1000);
    let options = tiny_options(FlushPolicy::Sync);
    let options = LogOptions { checkpoint_interval: rare, checkpoint_bytes: 1 << 20, ..options };
    Log::open(&world.disk(0), "log", LogId(0), options).await
}

#[test]
fn a_sound_message_that_its_queue_cannot_have_there_is_no_torn_tail() {
    let changes: [(&str, Change); 3] = [
        ("offset 12 where 10 was expected", |_, placement| placement.queue_offset = 12),
        ("negative queue offset", |_, placement| placement.queue_offset = -1),
        ("offset 11 where 10 was expected", |other, _| other.queue_id = 1),
    ];
    for (problem, change) in changes {
        let world = killed_with(change);
        world.run(async {
            let read = async || world.disk(0).read_all(SEGMENT, 1 << 20).await.expect("readable");
            let before = read().await;
            for _ in 0..2 {
                let refused = open_rarely_saved(&world).await.err();
                let error = refused.expect("acknowledged messages follow").to_string();
                assert!(error.contains(problem), "{error}");
                assert!(read().await == before, "nothing was cut: {problem}");
            }
        });
    }
    let world = killed_with(|_, _| {});
    world.run(async { open_rarely_saved(&world).await.expect("the same message, in its place") });
}
