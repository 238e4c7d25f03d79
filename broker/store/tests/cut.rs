//! What a start cuts off the end of a log after a crash: said, counted and kept.

mod common;

use std::path::Path;
use std::time::Duration;

use ringmq_runtime::sim::{Chance, World};
use ringmq_runtime::task;
use ringmq_store::{FlushPolicy, Log, LogId, LogOptions, RecoveryReport};

use common::{consume, message, parse_all, tiny_options};

const MESSAGES: u8 = 20;
const DAMAGED: u8 = 12;
const BODY_BYTES: usize = 700;

/// No checkpoint shall know the messages: the scan is what finds the damage.
fn options() -> LogOptions {
    LogOptions { checkpoint_interval: Duration::from_secs(1000), ..tiny_options(FlushPolicy::Sync) }
}

async fn open(world: &World) -> (Log, RecoveryReport) {
    Log::open(&world.disk(0), "log", LogId(0), options()).await.expect("the log opens")
}

/// A log that was killed, and one bit in a message near its end is wrong since: the log byte at
/// which that message begins.
fn killed_and_damaged(world: &World) -> u64 {
    let at = world.run(async {
        let (log, _) = open(world).await;
        let mut positions = Vec::new();
        for number in 0..MESSAGES {
            let sent = log.append(&message("topic", 0, &[number + 1; BODY_BYTES], ""), 1000);
            let sent = sent.expect("room");
            positions.push(sent.position.byte());
            while log.acknowledged() < sent.end {
                log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
            }
        }
        positions[usize::from(DAMAGED)]
    });
    world.kill(0);
    world.flip_bit(0, "log/commitlog/00000000000000000000", at + 100, 3);
    at
}

/// The messages behind the damaged one, as the file that keeps them has them.
async fn bodies_kept(world: &World, path: &Path, at: u64) -> Vec<u8> {
    let bytes = world.disk(0).read_all(path, 1 << 20).await.expect("readable");
    assert_eq!(path, Path::new("log/commitlog-cut").join(format!("{at:020}")));
    let damaged = u32::from_be_bytes(*bytes.first_chunk().expect("a message")) as usize;
    parse_all(&bytes[damaged..]).iter().map(|seen| seen.body[0]).collect()
}

#[test]
fn a_further_cut_at_the_same_place_leaves_what_the_first_one_kept() {
    let world = World::new(1);
    let at = killed_and_damaged(&world);
    let first = world.run(async { open(&world).await.1.kept_in.expect("there were messages") });
    world.kill(0);
    world.flip_bit(0, "log/commitlog/00000000000000000000", at + 100, 3);
    world.run(async {
        let (_, report) = open(&world).await;
        assert_ne!(report.kept_in.expect("there was a bit"), first);
        assert!(!bodies_kept(&world, &first, at).await.is_empty());
    });
}

#[test]
fn many_cuts_at_one_place_leave_the_newest_files_and_no_name_comes_twice() {
    let world = World::new(1);
    let at = killed_and_damaged(&world);
    let mut names = vec![world.run(async { open(&world).await.1.kept_in.expect("there were") })];
    for _ in 0..12 {
        world.kill(0);
        world.flip_bit(0, "log/commitlog/00000000000000000000", at + 100, 3);
        let kept_in = world.run(async { open(&world).await.1.kept_in.expect("there was a bit") });
        assert!(!names.contains(&kept_in), "{} after {names:?}", kept_in.display());
        names.push(kept_in);
        let kept = world.run(world.disk(0).list("log/commitlog-cut")).expect("a directory");
        let mut kept: Vec<_> =
            kept.iter().map(|entry| Path::new("log/commitlog-cut").join(&entry.name)).collect();
        let mut newest = names[names.len().saturating_sub(4)..].to_vec();
        kept.sort();
        newest.sort();
        assert_eq!(kept, newest);
    }
}

#[test]
fn messages_behind_damage_near_the_end_are_counted_named_and_kept() {
    let world = World::new(1);
    let at = killed_and_damaged(&world);
    world.run(async {
        let (log, report) = open(&world).await;
        assert_eq!(report.end.byte(), at);
        assert_eq!(report.cut_heads, u64::from(MESSAGES - DAMAGED));
        let path = report.kept_in.clone().expect("a file");
        let behind: Vec<u8> = (DAMAGED + 2..=MESSAGES).collect();
        assert_eq!(bodies_kept(&world, &path, at).await, behind);
        let warning = report.warning().expect("something was lost");
        for part in [path.to_str().expect("a name"), "8 messages", "body crc"] {
            assert!(warning.to_lowercase().contains(part), "{part}: {warning}");
        }
        assert_eq!(consume(&log, "topic", 0).await.len(), usize::from(DAMAGED));
        log.close().await.expect("a clean stop");
        drop(log);
        let (_, report) = open(&world).await;
        assert_eq!((report.warning(), report.kept_in), (None, None));
    });
}

#[test]
fn what_is_kept_is_whole_whenever_the_start_is_killed() {
    for seed in 0..40 {
        let world = World::new(seed);
        let at = killed_and_damaged(&world);
        let mut random = world.sequence();
        let report = loop {
            let limit = Duration::from_micros(random.below(6000));
            if let Ok((_, report)) = world.run(task::timeout(limit, open(&world))) {
                break report;
            }
            world.kill(0);
        };
        // A start that had cut everything and was killed then leaves no sign of it but the file.
        let path = format!("log/commitlog-cut/{at:020}");
        let kept = world.run(bodies_kept(&world, Path::new(&path), at));
        assert_eq!(kept.len(), usize::from(MESSAGES - DAMAGED) - 1, "seed {seed}: {report:?}");
    }
}

#[test]
fn a_log_starts_though_nothing_can_be_kept_and_keeps_few_files() {
    let world = World::new(3);
    let at = killed_and_damaged(&world);
    world.run(async {
        let space = world.disk(0).free_space().await.expect("known");
        let used = space.total - space.available;
        world.disk_faults(0, |faults| faults.capacity_bytes = used + (150 << 10));
        let (log, report) = open(&world).await;
        assert_eq!((report.end.byte(), &report.kept_in), (at, &None));
        assert!(report.warning().is_some_and(|warning| warning.contains("not kept")));
        world.disk_faults(0, |faults| faults.capacity_bytes = 1 << 40);
        drop(log);
    });
    for _ in 0..8 {
        world.kill(0);
        let end = world.run(async {
            let (log, _) = open(&world).await;
            let sent = log.append(&message("topic", 0, &[9; BODY_BYTES], ""), 1000).expect("room");
            while log.acknowledged() < sent.end {
                log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
            }
            sent
        });
        world.kill(0);
        world.flip_bit(0, "log/commitlog/00000000000000000000", end.position.byte() + 100, 0);
    }
    world.run(async {
        world.disk_faults(0, |faults| faults.remove_error = Chance::NEVER);
        let (_, report) = open(&world).await;
        assert!(report.kept_in.is_some());
        let kept = world.disk(0).list("log/commitlog-cut").await.expect("a directory");
        assert!(kept.len() <= 4, "{kept:?}");
    });
}
