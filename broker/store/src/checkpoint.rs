//! Checkpoints: bring the indexes of durable records to the index stream, so that a start scans
//! only the log behind.
//!
//! A checkpoint contains nothing about records that a power loss could take back, so no index entry
//! ever outlives its record. It is *encoded* in turns with the rest of the shard, *written* in one
//! go, and counts when its mark is durable; only then do the indexes *note* what it has. One that
//! finds no space for its file waits and is none yet; one whose write fails fences the log.
//! [`snapshots`] bound the part of the stream that a start reads.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::task::{self, Task};

use crate::abort;
use crate::cache::Cache;
use crate::entry::{ENTRY_SIZE, Entry};
use crate::frame::{FrameKind, FrameWriter};
use crate::index_files;
use crate::keys::{self, KeyRun, KeysSaved};
use crate::log::{Inner, State};
use crate::queue_index::QueueSaved;
use crate::snapshots;

/// Pause after an attempt to make an index file failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Queues written to a checkpoint before other tasks get a turn: mostly a block each, 1 ms in all.
const STEP_QUEUES: usize = 32;

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
    if snapshots::is_due(inner)
        && let Err(error) = snapshots::write(inner).await
    {
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
    let Checkpoint { bytes, chain, queues, keys } = encode(inner, below).await;
    make_files(inner, bytes.len() as u64).await?;
    index_files::write(&inner.index_files, &bytes).await?;
    {
        let mut files = inner.index_files.borrow_mut();
        files.end += bytes.len() as u64;
        files.chain = chain;
    }
    note(&mut inner.state.borrow_mut(), &mut inner.blocks.borrow_mut(), queues, keys);
    inner.indexed.set(below);
    inner.deletions.saved(deletions);
    inner.signals.saved.notify_all();
    Ok(())
}

/// A checkpoint that is to be written.
struct Checkpoint {
    bytes: Vec<u8>,
    /// The CRC that the next frame behind it names.
    chain: u32,
    /// What is in it, for the indexes to take note of when it is durable.
    queues: Vec<QueueSaved>,
    keys: KeysSaved,
}

/// Encodes in turns; what goes on in between only takes entries below `below` away, and adds others
/// above it.
async fn encode(inner: &Inner, below: u64) -> Checkpoint {
    let (mut out, mut saving) = {
        let state = &mut *inner.state.borrow_mut();
        let files = inner.index_files.borrow();
        let mut out = FrameWriter::new(files.end, files.file_bytes(), files.chain, Vec::new());
        let limit = state.queues.block_limit(inner.options.queue_recent_entries_max);
        let saving = state.queues.begin_save(&mut out, below, limit);
        (out, saving)
    };
    while inner.state.borrow_mut().queues.save_next(&mut saving, STEP_QUEUES, &mut out) {
        task::yield_if_needed().await;
    }
    let key_runs = put_key_runs(inner, below, &mut out).await;
    let state = &mut *inner.state.borrow_mut();
    state.queues.save_deletions(&mut out);
    let keys = state.keys.save(&mut out, below, key_runs);
    out.put(FrameKind::Mark, 0, below, &state.last_stored_at_ms.to_be_bytes());
    let (bytes, chain) = out.finish();
    Checkpoint { bytes, chain, queues: saving.into_saved(), keys }
}

/// Has the indexes let go of what is durable in the stream; readers that are near the end find it
/// in the cache, without a look at the device.
fn note(
    state: &mut State,
    blocks: &mut Cache<Rc<[Entry]>>,
    queues: Vec<QueueSaved>,
    keys: KeysSaved,
) {
    state.queues.saved(queues, |block, entries| {
        let weight = entries.len() * ENTRY_SIZE;
        blocks.put(block.at, entries.into(), weight);
    });
    state.keys.saved(keys);
    state.counters.checkpoints += 1;
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
/// space for them, or no descriptor: nothing of the checkpoint is written yet. A log that is being
/// opened or closed gets the error.
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

/// The end of a clean stop: everything is durable. Saves the rest of the indexes and removes the
/// abort file, unless a growth has failed: its file looks filled further than a flush has proven,
/// which the next start makes good as after a crash.
///
/// # Errors
/// As the file system says: the next start then recovers as after a crash.
pub(crate) async fn finish(inner: &Inner) -> io::Result<()> {
    let end = inner.state.borrow().marks.appended();
    if is_due(inner) {
        save(inner, end).await?;
    }
    if inner.index_files.borrow().end != inner.snapshots.borrow().stream_at {
        snapshots::write(inner).await?;
    }
    if inner.state.borrow().is_growth_unproven {
        return Ok(());
    }
    abort::remove(inner).await
}

#[cfg(test)]
mod tests;
