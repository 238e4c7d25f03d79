//! Snapshots of the indexes: when one is written, and what is known of the two that there are.
//!
//! A snapshot says what the index stream holds up to a place, so that a start reads only the rest
//! of the stream. Two files take turns: while one is replaced the other is whole, and the stream
//! behind the *older* of them is kept. Nothing else is promised by a snapshot. One that cannot be
//! written, or would be longer than a start reads, leaves the older ones as they are and costs the
//! next start time.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ringmq_runtime::task;

use crate::log::{INDEX_DIR, Inner, State};
use crate::position::QueueKey;
use crate::snapshot::{self, SnapshotHead, SnapshotWriter};

/// Index stream after which a new snapshot is due: a start replays this much in about 30 ms.
const STREAM_GROWTH_BYTES: u64 = 32 << 20;

/// Queues written to a snapshot before other tasks get a turn.
const STEP_QUEUES: usize = 256;

/// What is known of the snapshot files.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Snapshots {
    pub(crate) generation: u64,
    /// Place of the stream at the newest snapshot, and at the one before.
    pub(crate) stream_at: u64,
    pub(crate) previous_stream_at: u64,
    pub(crate) len: u64,
    /// Place of the stream when the newest one turned out too long.
    pub(crate) refused_at: u64,
}

/// Path of the snapshot file of a generation.
pub(crate) fn snapshot_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(INDEX_DIR).join(format!("snapshot.{}", generation % 2))
}

/// Whether the stream has grown enough since the newest snapshot, or since the last attempt.
pub(crate) fn is_due(inner: &Inner) -> bool {
    let snapshots = inner.snapshots.borrow();
    let tried_at = snapshots.stream_at.max(snapshots.refused_at);
    let grown = inner.index_files.borrow().end - tried_at;
    grown >= STREAM_GROWTH_BYTES.max(2 * snapshots.len)
}

/// Writes a snapshot of what the stream holds, unless it would be longer than a start reads.
///
/// # Errors
/// As the file system says; the older snapshot is still there then.
pub(crate) async fn write(inner: &Inner) -> io::Result<()> {
    let head = {
        let files = inner.index_files.borrow();
        SnapshotHead {
            log: Some(inner.id),
            generation: inner.snapshots.borrow().generation + 1,
            stream_at: files.end,
            chain: files.chain,
            log_byte: inner.indexed.get(),
            last_stored_at_ms: inner.state.borrow().last_stored_at_ms,
        }
    };
    let Some(bytes) = encode(inner, head).await else {
        refuse(inner, head);
        return Ok(());
    };
    let bytes = snapshot::seal(bytes).await;
    let len = bytes.len() as u64;
    inner.disk.replace(snapshot_path(&inner.dir, head.generation), bytes).await?;
    let mut snapshots = inner.snapshots.borrow_mut();
    *snapshots = Snapshots {
        generation: head.generation,
        previous_stream_at: snapshots.stream_at,
        stream_at: head.stream_at,
        len,
        ..*snapshots
    };
    Ok(())
}

/// The bytes of a snapshot; `None` when it gets longer than a start reads.
async fn encode(inner: &Inner, head: SnapshotHead) -> Option<Vec<u8>> {
    let max_bytes = inner.options.snapshot_max_bytes;
    let mut writer = SnapshotWriter::new(head);
    let slots = inner.state.borrow().queues.slots();
    for from in (0..slots).step_by(STEP_QUEUES) {
        write_queues(&mut writer, &inner.state, from..slots.min(from + STEP_QUEUES), head);
        if writer.len() > max_bytes {
            return None;
        }
        task::yield_if_needed().await;
    }
    let bytes = writer.finish(&inner.state.borrow().keys, head.log_byte);
    (bytes.len() <= max_bytes).then_some(bytes)
}

/// Keeps the snapshots that are there: their part of the stream stays with them.
fn refuse(inner: &Inner, head: SnapshotHead) {
    let limit = inner.options.snapshot_max_bytes;
    tracing::warn!(
        log = inner.id.0,
        "a snapshot of the indexes would be longer than {limit} bytes, so none is written: the \
         next start reads the index from the one before on, and takes longer"
    );
    inner.snapshots.borrow_mut().refused_at = head.stream_at;
}

fn write_queues(
    writer: &mut SnapshotWriter,
    state: &RefCell<State>,
    slots: Range<usize>,
    head: SnapshotHead,
) {
    let state = state.borrow();
    for slot in slots {
        let key = QueueKey(slot as u32);
        // Queues that the stream does not know yet follow in its next frames.
        if let Some(queue) = state.queues.get(key).filter(|queue| queue.is_announced) {
            writer.queue(key.0, queue, head.log_byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::sim::World;

    use super::*;
    use crate::append::tests::message;
    use crate::checkpoint;
    use crate::log::Log;
    use crate::options::{FlushPolicy, LogOptions};
    use crate::position::LogId;

    async fn send(log: &Log) {
        log.append(&message("topic", 0, b"body"), 1).expect("room");
        while log.acknowledged() < log.end_position() {
            log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
        }
    }

    #[test]
    fn after_a_start_the_stream_of_the_older_snapshot_is_still_wanted() {
        let world = World::new(1);
        let disk = world.disk(0);
        let options = LogOptions { flush: FlushPolicy::Sync, ..LogOptions::default() };
        let open = || Log::open(&disk, "log", LogId(0), options.clone());
        let wanted_from = |log: &Log| log.inner.snapshots.borrow().previous_stream_at;
        let before = world.run(async {
            let (log, _) = open().await.expect("the log opens");
            for _ in 0..2 {
                send(&log).await;
                let durable = log.inner.state.borrow().marks.durable();
                checkpoint::save(&log.inner, durable).await.expect("saved");
                write(&log.inner).await.expect("written");
            }
            wanted_from(&log)
        });
        assert!(before > 0);
        world.kill(0);
        world.run(async {
            let (log, _) = open().await.expect("the log opens");
            assert_eq!(wanted_from(&log), before);
        });
    }
}
