//! Removes the messages of deleted segments from the indexes.
//!
//! The minimum of a queue rises to its first message that is left. If the block of entries in which
//! that stands cannot be read, the minimum is rounded down to the start of the block, so that no
//! message is hidden; a block whose file is gone held only deleted ones, and the minimum passes it.

use ringmq_runtime::task;

use crate::blocks;
use crate::error::ReadError;
use crate::log::Inner;
use crate::position::QueueKey;
use crate::queue::Expiry;

/// Raises the minima of all queues to the first message at or behind log byte `byte`.
pub(crate) async fn expire_indexes(inner: &Inner, byte: u64) {
    let keys: Vec<QueueKey> = inner.state.borrow().queues.iter().map(|(key, _)| key).collect();
    for key in keys {
        let Some(min) = first_from(inner, key, byte).await else { continue };
        {
            let queues = &mut inner.state.borrow_mut().queues;
            if queues.get(key).is_some_and(|queue| queue.min < min) {
                queues.raise_min(key, min);
            }
        }
        task::yield_if_needed().await;
    }
    inner.state.borrow_mut().keys.expire(byte);
    inner.signals.unsaved.notify_one();
}

/// Queue offset of the first message at or behind log byte `byte`; `None` if the queue was deleted
/// meanwhile.
async fn first_from(inner: &Inner, key: QueueKey, byte: u64) -> Option<u64> {
    let expiry = inner.state.borrow().queues.get(key).map(|queue| queue.expiry(byte));
    let (block, count) = match expiry? {
        Expiry::Exact(min) => return Some(min),
        Expiry::Inside { block, count } => (block, count),
    };
    Some(match blocks::load(inner, block, count).await {
        Ok(entries) => block.first + entries.partition_point(|entry| entry.byte() < byte) as u64,
        // A block whose file is gone held nothing that is still there.
        Err(error) if inner.index_files.borrow().file_of(block.at).is_none() => {
            warn_of_minimum(inner, key, "up", &error);
            block.first + count as u64
        }
        // Readers pass over entries of messages that are gone; what lives stays in the queue, for
        // an index that is built anew to show.
        Err(error) => {
            warn_of_minimum(inner, key, "down", &error);
            block.first
        }
    })
}

/// Says of which queue the minimum is rounded, and where to.
fn warn_of_minimum(inner: &Inner, key: QueueKey, to: &str, error: &ReadError) {
    let state = inner.state.borrow();
    // It may have been deleted while its block was read.
    let Some(queue) = state.queues.get(key) else { return };
    tracing::warn!(
        log = inner.id.0,
        topic = %queue.topic,
        queue = queue.queue_id,
        "the queue's minimum is rounded {to}: {error}"
    );
}
