//! Checkpoints: bring the indexes of durable records to the index stream, so that a start scans
//! only the log behind.
//!
//! A checkpoint contains nothing about records that a power loss could take back, so no index entry
//! ever outlives its record. It is written in one go and counts when its mark is durable. Snapshots
//! bound the part of the stream that a start reads.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::task::{self, Task};

use crate::abort;
use crate::entry::ENTRY_SIZE;
use crate::frame::{FrameKind, FrameWriter};
use crate::index_files;
use crate::keys::{self, KeyRun};
use crate::log::{INDEX_DIR, Inner, State};
use crate::position::QueueKey;
use crate::snapshot::{self, SnapshotHead, SnapshotWriter};

/// Index stream after which a new snapshot is due: a start replays this much in about 30 ms.
const SNAPSHOT_STREAM_BYTES: u64 = 32 << 20;

/// Pause after an attempt to make an index file failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Queues written to a snapshot before other tasks get a turn.
const SNAPSHOT_STEP: usize = 256;

/// Queues written to a checkpoint before other tasks get a turn: mostly a block each, 1 ms in all.
const CHECKPOINT_STEP: usize = 32;

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

/// Starts the checkpoints of a log.
pub(crate) fn start(inner: &Rc<Inner>) -> Task<()> {
    let inner = inner.clone();
    task::spawn("index-checkpoint", async move {
        loop {
            let unsaved = inner.signals.unsaved.notified();
            if inner.is_closing() || inner.is_fenced() {
                return;
            }
            if !is_due(&inner) {
                unsaved.await;
                continue;
            }
            drop(unsaved);
            pause(&inner).await;
            if let Err(error) = checkpoint(&inner).await {
                return inner.fail("a checkpoint of the indexes", &error);
            }
        }
    })
}

fn is_due(inner: &Inner) -> bool {
    let state = inner.state.borrow();
    let all_durable = state.marks.durable() == state.marks.appended();
    state.marks.durable() > inner.indexed.get()
        || (all_durable && state.queues.is_dirty())
        || inner.is_deletion_waiting()
}

/// Lets entries collect, but not more than a start should scan or a run should hold.
async fn pause(inner: &Inner) {
    let is_urgent = || {
        let is_enough = {
            let state = inner.state.borrow();
            let behind = state.marks.durable() - inner.indexed.get();
            behind >= inner.options.checkpoint_bytes || state.keys.is_crowded()
        };
        let is_over = inner.is_closing() || inner.is_fenced();
        (is_enough || is_over || inner.is_deletion_waiting()).then_some(())
    };
    // An elapsed pause is the usual case.
    let early = inner.signals.unsaved.until(is_urgent);
    let _ = task::timeout(inner.options.checkpoint_interval, early).await;
}

async fn checkpoint(inner: &Inner) -> io::Result<()> {
    let durable = inner.state.borrow().marks.durable();
    save(inner, durable).await?;
    let due = {
        let snapshots = inner.snapshots.borrow();
        let tried_at = snapshots.stream_at.max(snapshots.refused_at);
        let grown = inner.index_files.borrow().end - tried_at;
        grown >= SNAPSHOT_STREAM_BYTES.max(2 * snapshots.len)
    };
    if due && let Err(error) = snapshot(inner).await {
        // The stream has everything, only longer; the next checkpoint tries again.
        tracing::warn!(log = inner.id.0, "no snapshot of the indexes: {error}");
    }
    Ok(())
}

/// Saves what the indexes know of records that end at or below `below`, all of which are durable.
///
/// # Errors
/// As the device says: the indexes in memory then no longer match the stream, so the log has to be
/// fenced.
pub(crate) async fn save(inner: &Inner, below: u64) -> io::Result<()> {
    let deletions = inner.deletions.made();
    let (mut out, mut saving) = {
        let state = &mut *inner.state.borrow_mut();
        let files = inner.index_files.borrow();
        let mut out = FrameWriter::new(files.end, files.file_bytes(), files.chain, Vec::new());
        let limit = state.queues.block_limit(inner.options.queue_recent_entries_max);
        let saving = state.queues.begin_save(&mut out, below, limit);
        (out, saving)
    };
    // What goes on in between only takes entries below `below` away, and adds others above it.
    while inner.state.borrow_mut().queues.save_next(&mut saving, CHECKPOINT_STEP, &mut out) {
        task::yield_if_needed().await;
    }
    let key_runs = put_key_runs(inner, below, &mut out).await;
    let (bytes, chain, keys) = {
        let state = &mut *inner.state.borrow_mut();
        state.queues.save_deletions(&mut out);
        let keys = state.keys.save(&mut out, below, key_runs);
        out.put(FrameKind::Mark, 0, below, &state.last_store_ms.to_be_bytes());
        let (bytes, chain) = out.finish();
        (bytes, chain, keys)
    };
    let queues = saving.into_saved();
    make_files(inner, bytes.len() as u64).await?;
    index_files::write(&inner.index_files, &bytes).await?;
    {
        let mut files = inner.index_files.borrow_mut();
        files.end += bytes.len() as u64;
        files.chain = chain;
    }
    let mut state = inner.state.borrow_mut();
    let mut blocks = inner.blocks.borrow_mut();
    // Readers that are near the end go on without a look at the device.
    state.queues.saved(queues, |block, entries| {
        let weight = entries.len() * ENTRY_SIZE;
        blocks.put(block.at, entries.into(), weight);
    });
    state.keys.saved(keys);
    state.counters.checkpoints += 1;
    inner.indexed.set(below);
    inner.deletions.saved(deletions);
    inner.signals.saved.notify_all();
    Ok(())
}

/// Writes the full runs of the key index one by one: there may be 100 MB of them.
async fn put_key_runs(inner: &Inner, below: u64, out: &mut FrameWriter) -> Vec<KeyRun> {
    let mut runs = Vec::new();
    for number in 0.. {
        let Some(run) = inner.state.borrow().keys.full_run(number, below) else { break };
        let encoded = task::blocking(move || keys::encode_run(run)).await;
        runs.extend(encoded.put(out));
        task::yield_if_needed().await;
    }
    runs
}

/// Makes the index files that `len` more bytes need. A log that serves waits while there is no
/// space for them, or no descriptor: nothing of the checkpoint is written yet. Who opens or closes
/// one is told.
async fn make_files(inner: &Inner, len: u64) -> io::Result<()> {
    loop {
        match index_files::make_missing(&inner.index_files, len).await {
            Err(error) if inner.is_serving() => {
                tracing::warn!(log = inner.id.0, "no file for the index: {error}");
                task::sleep(RETRY_PAUSE).await;
            }
            made => return made,
        }
    }
}

/// Writes a snapshot of what the stream holds, unless it would be longer than a start reads.
///
/// # Errors
/// As the file system says; the older snapshot is still there then.
pub(crate) async fn snapshot(inner: &Inner) -> io::Result<()> {
    let head = {
        let files = inner.index_files.borrow();
        SnapshotHead {
            log: Some(inner.id),
            generation: inner.snapshots.borrow().generation + 1,
            stream_at: files.end,
            chain: files.chain,
            log_byte: inner.indexed.get(),
            last_store_ms: inner.state.borrow().last_store_ms,
        }
    };
    let Some(bytes) = encode_snapshot(inner, head).await else {
        refuse_snapshot(inner, head);
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
async fn encode_snapshot(inner: &Inner, head: SnapshotHead) -> Option<Vec<u8>> {
    let max_bytes = inner.options.snapshot_max_bytes;
    let mut writer = SnapshotWriter::new(head);
    let slots = inner.state.borrow().queues.slots();
    for from in (0..slots).step_by(SNAPSHOT_STEP) {
        write_queues(&mut writer, &inner.state, from..slots.min(from + SNAPSHOT_STEP), head);
        if writer.len() > max_bytes {
            return None;
        }
        task::yield_if_needed().await;
    }
    let bytes = writer.finish(&inner.state.borrow().keys, head.log_byte);
    (bytes.len() <= max_bytes).then_some(bytes)
}

/// Keeps the snapshots that are there: their part of the stream stays with them.
fn refuse_snapshot(inner: &Inner, head: SnapshotHead) {
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
    slots: std::ops::Range<usize>,
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

/// The end of a clean stop: everything is durable; saves the rest, and takes the abort file away,
/// but after a growth that failed: its file looks filled further than a flush has proven, which the
/// next start makes good as after a crash.
///
/// # Errors
/// As the file system says: the next start then recovers as after a crash.
pub(crate) async fn finish(inner: &Inner) -> io::Result<()> {
    let end = inner.state.borrow().marks.appended();
    if is_due(inner) {
        save(inner, end).await?;
    }
    if inner.index_files.borrow().end != inner.snapshots.borrow().stream_at {
        snapshot(inner).await?;
    }
    if inner.state.borrow().is_growth_unproven {
        return Ok(());
    }
    abort::remove(inner).await
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use ringmq_runtime::sim::World;

    use super::*;
    use crate::append::tests::message;
    use crate::entry::KeyEntry;
    use crate::log::Log;
    use crate::options::{FlushPolicy, LogOptions};
    use crate::position::LogId;

    /// Of two topics, fewer than there are slots.
    const QUEUES: i32 = 2 * CHECKPOINT_STEP as i32;

    async fn send_to_all(log: &Log) {
        for queue_id in 0..QUEUES {
            for topic in ["gone", "kept"] {
                log.append(&message(topic, queue_id, b"body"), 1).expect("room");
            }
        }
        while log.acknowledged() < log.end_position() {
            log.progress(log.acknowledged()).await.expect("no fault");
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
                send_to_all(&log).await;
                let durable = log.inner.state.borrow().marks.durable();
                save(&log.inner, durable).await.expect("saved");
                snapshot(&log.inner).await.expect("written");
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

    #[test]
    fn a_checkpoint_of_many_runs_of_keys_gives_way_between_them() {
        const RUNS: usize = 400;
        let world = World::new(1);
        world.run(async {
            let options = LogOptions {
                key_run_entries: 8,
                flush: FlushPolicy::Sync,
                checkpoint_interval: Duration::from_secs(1000),
                ..LogOptions::default()
            };
            let opened = Log::open(&world.disk(0), "log", LogId(0), options).await;
            let (log, _) = opened.expect("the log opens");
            log.append(&message("topic", 0, b"body"), 1).expect("room");
            let end = log.end_position();
            while log.acknowledged() < end {
                log.progress(log.acknowledged()).await.expect("no fault");
            }
            // Past the log, whose own checkpoint would begin beside this one, when it sleeps.
            task::sleep(Duration::from_secs(1)).await;
            for number in 0..8 * RUNS as u64 {
                log.inner.state.borrow_mut().keys.push(KeyEntry::new(number, 0, 1));
            }
            let mut saving = pin!(save(&log.inner, end.byte()));
            let mut steps = 0;
            let counted = poll_fn(|context| {
                steps += 1;
                saving.as_mut().poll(context)
            });
            counted.await.expect("saved");
            // The simulated world has a turn for others at every fourth occasion.
            assert!(steps > RUNS / 8, "{RUNS} runs in {steps} steps");
            assert_eq!(log.inner.state.borrow().keys.runs().len(), RUNS);
        });
    }

    /// Such a queue has no entries in the checkpoint, though an earlier one has it, and it has
    /// records on both sides of the mark.
    #[test]
    fn queues_that_are_deleted_while_a_checkpoint_gives_way_cost_nobody_a_message() {
        for seed in 0..32 {
            let world = World::new(seed);
            let disk = world.disk(0);
            let options = LogOptions {
                segment_size_bytes: 1 << 20,
                record_size_max_bytes: 64 << 10,
                fill_step_bytes: 64 << 10,
                flush: FlushPolicy::Sync,
                checkpoint_interval: Duration::from_secs(1000),
                ..LogOptions::default()
            };
            world.run(async {
                let opened = Log::open(&disk, "log", LogId(0), options.clone()).await;
                let (log, _) = opened.expect("the log opens");
                let durable = || log.inner.state.borrow().marks.durable();
                send_to_all(&log).await;
                save(&log.inner, durable()).await.expect("saved");
                send_to_all(&log).await;
                let below = durable();
                send_to_all(&log).await;
                let inner = log.inner.clone();
                let saved = task::spawn("save", async move { save(&inner, below).await });
                for _ in 0..seed / 4 {
                    task::yield_now().await;
                }
                // Past the log, whose own checkpoint would begin beside this one.
                for queue_id in 0..QUEUES {
                    let queues = &mut log.inner.state.borrow_mut().queues;
                    let key = queues.find("gone", queue_id).expect("it is there");
                    queues.delete(key);
                }
                saved.await.expect("saved");
            });
            world.kill(0);
            world.run(async {
                let opened = Log::open(&disk, "log", LogId(0), options).await;
                let (log, report) = opened.expect("the log opens");
                assert_eq!(report.damage, None, "seed {seed}");
                for queue_id in 0..QUEUES {
                    let key = log.inner.state.borrow().queues.find("kept", queue_id);
                    let state = log.inner.state.borrow();
                    let queue = key.and_then(|key| state.queues.get(key)).expect("kept");
                    assert_eq!(queue.next(), 3, "seed {seed}");
                }
            });
        }
    }
}
