//! What the index stream says behind a snapshot, applied to the indexes in the order of its frames.

use std::io;

use crate::entry::{ENTRY_SIZE, KEY_ENTRY_SIZE, read_entries, read_key_entries};
use crate::frame::FrameKind;
use crate::index_files::{IndexFiles, Replay, ReplayedFrame, is_mark};
use crate::index_load::LoadedIndex;
use crate::keys::KeyRun;
use crate::position::QueueKey;
use crate::queue::{BlockRef, Queue};
use crate::queue_index::QueueIndex;
use crate::snapshot::SnapshotHead;

/// Applies whole checkpoints behind a snapshot; `None` when they contradict it.
pub(crate) async fn replay(
    files: &mut IndexFiles,
    mut loaded: LoadedIndex,
    start: SnapshotHead,
) -> io::Result<Option<LoadedIndex>> {
    let mut end = (start.stream_at, start.chain);
    let mut frames = Vec::new();
    let mut replay = Replay::new(files, start.stream_at, start.chain);
    while let Some(frame) = replay.next().await? {
        let is_whole = is_mark(&frame);
        frames.push(frame);
        if !is_whole {
            continue;
        }
        loaded.last_checkpoint_at = Some(end.0);
        if !frames.drain(..).all(|frame| apply(&mut loaded, &frame)) {
            return Ok(None);
        }
        end = replay.resume();
    }
    (files.end, files.chain) = end;
    loaded.queues.recount();
    Ok(Some(loaded))
}

/// Applies one frame; false when it does not fit what is there.
fn apply(loaded: &mut LoadedIndex, frame: &ReplayedFrame) -> bool {
    let (head, payload) = (&frame.head, frame.payload());
    let key = QueueKey(head.slot);
    match head.kind {
        FrameKind::QueueOpened => open_queue(&mut loaded.queues, head.slot, head.number, payload),
        FrameKind::QueueDeleted => {
            loaded.queues.restore_deletion(key);
            true
        }
        FrameKind::Expired => with_queue(loaded, head.slot, |queue| {
            queue.raise_min(head.number);
            true
        }),
        FrameKind::Entries => {
            let entries = read_entries(payload);
            payload.len().is_multiple_of(ENTRY_SIZE)
                && with_queue(loaded, head.slot, |queue| queue.adopt_entries(head.number, entries))
        }
        FrameKind::Block => {
            let mut entries = read_entries(payload);
            let count = entries.len();
            let Some(first) = entries.next() else { return false };
            let block = BlockRef { first: head.number, at: head.at, byte: first.byte() };
            with_queue(loaded, head.slot, |queue| queue.adopt_block(block, count))
        }
        FrameKind::Keys => {
            loaded.keys.adopt_entries(read_key_entries(payload));
            payload.len().is_multiple_of(KEY_ENTRY_SIZE)
        }
        FrameKind::KeyRun => {
            let run = KeyRun::of(head.at, read_key_entries(payload));
            run.map(|run| loaded.keys.adopt_run(run)).is_some()
        }
        FrameKind::Mark => {
            loaded.log_byte = Some(head.number);
            let time = payload.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            loaded.last_stored_at_ms = loaded.last_stored_at_ms.max(time.unwrap_or(0));
            time.is_some()
        }
    }
}

fn open_queue(queues: &mut QueueIndex, slot: u32, first: u64, payload: &[u8]) -> bool {
    let Some((id, topic)) = payload.split_first_chunk() else { return false };
    let Ok(topic) = std::str::from_utf8(topic) else { return false };
    queues.restore(slot, Queue::new(topic, i32::from_be_bytes(*id), first))
}

/// Calls `change` with the queue of a slot; true when the queue is gone, since frames of it then
/// mean nothing.
fn with_queue(
    loaded: &mut LoadedIndex,
    slot: u32,
    change: impl FnOnce(&mut Queue) -> bool,
) -> bool {
    loaded.queues.get_mut(QueueKey(slot)).is_none_or(change)
}
