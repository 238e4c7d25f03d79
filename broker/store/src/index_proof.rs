//! Whether a loaded index belongs to the log beside it: one of its newest entries shows that.
//!
//! Files are copied and restored by hand, and a segment has its full length long before it is full:
//! so an index may fit the names and lengths of files that have other contents. Believing it would
//! put new messages behind a hole, and the next rebuild would stop there.

use crate::blocks;
use crate::entry::Entry;
use crate::error::OpenError;
use crate::log::{Inner, State};
use crate::queue::BlockRef;
use crate::scan::RECORD_MAX_BYTES;
use crate::segments::read_padded;

use ringmq_protocol::record::Record;

/// An entry of the index, and of which queue it is.
struct Claim {
    topic: Box<str>,
    queue_id: i32,
    offset: u64,
    entry: Entry,
}

/// The newest block of a queue that has no newer entries.
struct Newest {
    topic: Box<str>,
    queue_id: i32,
    block: BlockRef,
    count: usize,
}

/// Reads the message that the index says is the newest.
///
/// The head, the topic and the place have to be right; a damaged body is the scrubber's to report.
/// What the device cannot read shows nothing, so the log starts as it would have without the
/// question.
///
/// # Errors
/// Something else stands there, or nothing.
pub(crate) async fn demand(inner: &Inner) -> Result<(), OpenError> {
    let Some(claim) = newest_claim(inner).await else { return Ok(()) };
    let byte = claim.entry.byte();
    let found = inner.state.borrow().segments.find(byte).cloned();
    let Some(segment) = found else { return Ok(()) };
    let len = claim.entry.size() as usize;
    let left = segment.base + inner.options.segment_size_bytes - byte;
    let is_possible = len <= RECORD_MAX_BYTES && len as u64 <= left;
    if is_possible {
        match read_padded(&segment.file, byte - segment.base, len).await {
            Ok(bytes) if is_claimed(&bytes, inner.id.at(byte).wire(), &claim) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                let at = inner.id.at(byte);
                tracing::warn!("the newest message in the index, at {at}, is unreadable: {error}");
                return Ok(());
            }
        }
    }
    Err(OpenError::Layout {
        log: inner.id,
        found: format!(
            "the index knows message {} of queue {} of {} at {} as the newest, but the log does \
             not have it there: they are of different logs or moments, or the log is damaged",
            claim.offset,
            claim.queue_id,
            claim.topic,
            inner.id.at(byte)
        ),
        advice: "restore commitlog and queueindex from the same copy, \
                 or remove the directory queueindex to go on with what the log holds",
    })
}

fn is_claimed(bytes: &[u8], physical_offset: i64, claim: &Claim) -> bool {
    Record::parse(bytes).is_ok_and(|record| {
        record.physical_offset == physical_offset
            && record.queue_offset == claim.offset as i64
            && record.queue_id == claim.queue_id
            && *record.topic == *claim.topic
    })
}

/// One of the newest entries: the newest that is in memory, or the last of the newest block, if
/// that begins behind it.
async fn newest_claim(inner: &Inner) -> Option<Claim> {
    let (claim, newest) = {
        let state = inner.state.borrow();
        (newest_in_memory(&state), newest_block(&state))
    };
    let known = claim.as_ref().map_or(0, |claim| claim.entry.end());
    let Some(newest) = newest.filter(|newest| newest.block.byte >= known) else { return claim };
    let Newest { topic, queue_id, block, count } = newest;
    match blocks::load(inner, block, count).await {
        Ok(entries) => {
            let offset = block.first + entries.len().checked_sub(1)? as u64;
            Some(Claim { topic, queue_id, offset, entry: *entries.last()? })
        }
        // Who needs it is told.
        Err(error) => {
            tracing::debug!("no proof by a block: {error}");
            claim
        }
    }
}

fn newest_in_memory(state: &State) -> Option<Claim> {
    let newest = state.queues.iter().filter_map(|(_, queue)| Some((queue, queue.recent.back()?)));
    let (queue, entry) = newest.max_by_key(|(_, entry)| entry.byte())?;
    Some(Claim {
        topic: queue.topic.clone(),
        queue_id: queue.queue_id,
        offset: queue.next() - 1,
        entry: *entry,
    })
}

fn newest_block(state: &State) -> Option<Newest> {
    let full = state.queues.iter().filter(|(_, queue)| queue.recent.is_empty());
    let newest = full.filter_map(|(_, queue)| Some((queue, *queue.directory.back()?)));
    let (queue, block) = newest.max_by_key(|(_, block)| block.byte)?;
    Some(Newest {
        topic: queue.topic.clone(),
        queue_id: queue.queue_id,
        block,
        count: (queue.recent_first - block.first) as usize,
    })
}
