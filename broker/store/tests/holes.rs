//! Holes in a log that was closed: messages that were lost in front of others.

mod common;

use ringmq_protocol::record::{NewRecord, encoded_len};
use ringmq_runtime::buffer::DmaBuffer;
use ringmq_runtime::disk::Access;
use ringmq_runtime::sim::World;
use ringmq_store::{FlushPolicy, Log, LogId, OpenError, PAGE_BYTES, RecoveryReport};

use common::{TINY_SEGMENT_BYTES, message, tiny_options};

async fn try_open(world: &World) -> Result<(Log, RecoveryReport), OpenError> {
    Log::open(&world.disk(0), "log", LogId(0), tiny_options(FlushPolicy::Sync)).await
}

/// A log of so many segments, closed and without its index, of which the pages in `lost` are zeros.
/// All its messages have the size of a page.
async fn log_with_a_hole(world: &World, segments: u64, lost: std::ops::Range<u64>) {
    let (log, _) = try_open(world).await.expect("the log opens");
    let empty = NewRecord { with_record_crc: true, ..message("topic", 0, b"", "") };
    let body = vec![7; PAGE_BYTES as usize - encoded_len(&empty).expect("legal")];
    while log.end_position().byte() < segments * TINY_SEGMENT_BYTES - 2 * PAGE_BYTES {
        let sent = log.append(&message("topic", 0, &body, ""), 1000).expect("room");
        assert_eq!(sent.end.byte() - sent.position.byte(), PAGE_BYTES);
        while log.acknowledged() < sent.end {
            log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
        }
    }
    log.close().await.expect("a clean stop");
    let disk = world.disk(0);
    for entry in disk.list("log/queueindex").await.expect("a directory") {
        disk.remove_file(format!("log/queueindex/{}", entry.name)).await.expect("removable");
    }
    for page in lost {
        let at = page * PAGE_BYTES;
        let base = at - at % TINY_SEGMENT_BYTES;
        let file = disk.open(format!("log/commitlog/{base:020}"), Access::ReadWrite).await;
        let file = file.expect("a segment");
        let zeros = DmaBuffer::alloc(PAGE_BYTES as usize);
        file.write_at(at - base, zeros).await.expect("written");
        file.sync_data().await.expect("flushed");
    }
}

/// Pages of a segment; the last one holds the end mark.
const PAGES: u64 = TINY_SEGMENT_BYTES / PAGE_BYTES;

#[test]
fn messages_of_any_later_segment_prove_that_a_hole_is_damage() {
    let holes = [
        ("the end of a segment", PAGES - 2..PAGES),
        ("a whole segment", PAGES..2 * PAGES),
        ("the end of a segment and the next one", PAGES - 3..2 * PAGES),
        ("two segments", PAGES..3 * PAGES),
    ];
    for (name, lost) in holes {
        for segments in lost.end / PAGES + 1..6 {
            let world = World::new(1);
            world.run(async {
                log_with_a_hole(&world, segments, lost.clone()).await;
                let (at, next) = (lost.start * PAGE_BYTES, lost.end * PAGE_BYTES);
                match try_open(&world).await {
                    Err(OpenError::Corrupt { at: found, valid_at, .. }) => {
                        assert_eq!((found.byte(), valid_at.byte()), (at, next), "{name}");
                    }
                    Err(error) => panic!("{name}, {segments} segments: {error}"),
                    Ok((_, report)) => panic!("{name}, {segments} segments: {report:?}"),
                }
            });
        }
    }
}

#[test]
fn what_cannot_be_read_behind_a_hole_is_not_taken_for_nothing() {
    let world = World::new(1);
    world.run(async {
        log_with_a_hole(&world, 2, PAGES - 2..PAGES).await;
        let later = format!("log/commitlog/{TINY_SEGMENT_BYTES:020}");
        world.make_unreadable(0, &later, 0, 1);
        let refused = try_open(&world).await.err().expect("messages may stand there");
        assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
        assert!(refused.to_string().contains(&later), "{refused}");
        world.make_readable(0, &later);
        let refused = try_open(&world).await.err().expect("they do");
        assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
    });
}

#[test]
fn what_cannot_be_read_behind_damage_of_a_closed_log_is_not_cut_off() {
    let world = World::new(1);
    world.run(async {
        log_with_a_hole(&world, 1, 0..0).await;
        let segment = format!("log/commitlog/{:020}", 0);
        let damaged = 3 * PAGE_BYTES;
        // The magic: the head shows no longer.
        world.flip_bit(0, &segment, damaged + 4, 1);
        let rest = (TINY_SEGMENT_BYTES - damaged - PAGE_BYTES) as usize;
        world.make_unreadable(0, &segment, damaged + PAGE_BYTES, rest);
        let refused = try_open(&world).await.err().expect("messages may stand there");
        assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
        world.make_readable(0, &segment);
        let refused = try_open(&world).await.err().expect("they do");
        assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
    });
}
