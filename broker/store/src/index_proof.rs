//! Whether a loaded index belongs to the log beside it: two of its newest entries show that.
//!
//! Files are copied and restored by hand, and a segment has its full length long before it is full:
//! so an index may fit the names and lengths of files that have other contents. Believing it would
//! put new messages behind a hole, and the next rebuild would stop there.

use ringmq_protocol::record::Record;

use crate::blocks;
use crate::entry::Entry;
use crate::error::OpenError;
use crate::log::{Inner, State};
use crate::options::PAGE_BYTES;
use crate::position::QueueKey;
use crate::queue::{BlockRef, Queue};
use crate::scan::RECORD_MAX_BYTES;
use crate::segment::read_padded;

/// An entry of the index, and of which queue it is.
struct Claim {
    topic: Box<str>,
    queue_id: i32,
    offset: u64,
    entry: Entry,
}

impl Claim {
    fn of(queue: &Queue, offset: u64, entry: Entry) -> Self {
        Self { topic: queue.topic.clone(), queue_id: queue.queue_id, offset, entry }
    }
}

/// A block of a queue.
struct Newest {
    key: QueueKey,
    block: BlockRef,
    count: usize,
}

/// Reads the message that the index says is the newest, and where that is not found one that lies
/// in another page: a bad place of the device takes some messages, not the log.
///
/// The head, the topic and the place have to be right; a damaged body is the scrubber's to report.
/// What the device cannot read shows nothing, so the log starts as it would have without the
/// question.
///
/// # Errors
/// Something else stands in both places, or nothing.
pub(crate) async fn demand(inner: &Inner) -> Result<(), OpenError> {
    let Some(newest) = newest_claim(inner, u64::MAX).await else { return Ok(()) };
    if stands(inner, &newest).await {
        return Ok(());
    }
    let byte = newest.entry.byte();
    if let Some(other) = newest_claim(inner, byte - byte % PAGE_BYTES).await
        && stands(inner, &other).await
    {
        tracing::warn!(
            log = inner.id.0,
            at = %inner.id.at(byte),
            topic = %newest.topic,
            queue = newest.queue_id,
            "the newest message in the index is not there: a damaged place"
        );
        return Ok(());
    }
    Err(OpenError::Layout {
        log: inner.id,
        found: format!(
            "the index knows message {} of queue {} of {} at {} as the newest, but the log does \
             not have it there: they are of different logs or moments, or the log is damaged",
            newest.offset,
            newest.queue_id,
            newest.topic,
            inner.id.at(byte)
        ),
        advice: "restore commitlog and queueindex from the same copy, \
                 or remove the directory queueindex to go on with what the log holds \
                 (keep a copy: what stands behind damage may be cut off then)",
    })
}

/// Whether the log has what the index says, or does not tell.
async fn stands(inner: &Inner, claim: &Claim) -> bool {
    let byte = claim.entry.byte();
    let found = inner.state.borrow().segments.find(byte).cloned();
    let Some(segment) = found else { return true };
    let len = claim.entry.size() as usize;
    let left = segment.base + inner.options.segment_size_bytes - byte;
    if len > RECORD_MAX_BYTES || len as u64 > left {
        return false;
    }
    match read_padded(&segment.file, byte - segment.base, len).await {
        Ok(bytes) => is_claimed(&bytes, inner.id.at(byte).wire(), claim),
        Err(error) => {
            tracing::warn!(
                log = inner.id.0,
                at = %inner.id.at(byte),
                topic = %claim.topic,
                queue = claim.queue_id,
                "a message that the index knows is unreadable: {error}"
            );
            true
        }
    }
}

fn is_claimed(bytes: &[u8], physical_offset: i64, claim: &Claim) -> bool {
    Record::parse(bytes).is_ok_and(|record| {
        record.physical_offset == physical_offset
            && record.queue_offset == claim.offset as i64
            && record.queue_id == claim.queue_id
            && *record.topic == *claim.topic
    })
}

/// One of the newest entries that end at or below `limit`: the newest that is in memory, or the
/// last such one of the newest block, if that begins behind it.
async fn newest_claim(inner: &Inner, limit: u64) -> Option<Claim> {
    let (claim, newest) = {
        let state = inner.state.borrow();
        (newest_in_memory(&state, limit), newest_block(&state, limit))
    };
    let known = claim.as_ref().map_or(0, |claim| claim.entry.end());
    let Some(newest) = newest.filter(|newest| newest.block.byte >= known) else { return claim };
    let Newest { key, block, count } = newest;
    match blocks::load(inner, block, count).await {
        Ok(entries) => {
            let settled = entries.partition_point(|entry| entry.end() <= limit);
            let Some(last) = settled.checked_sub(1) else { return claim };
            let state = inner.state.borrow();
            let queue = state.queues.get(key).expect("nobody deletes while a log is opened");
            Some(Claim::of(queue, block.first + last as u64, entries[last]))
        }
        // Who needs it is told.
        Err(error) => {
            tracing::debug!("no proof by a block: {error}");
            claim
        }
    }
}

fn newest_in_memory(state: &State, limit: u64) -> Option<Claim> {
    let newest = state.queues.iter().filter_map(|(_, queue)| {
        let last = queue.count_up_to(limit).checked_sub(1)?;
        Some((queue, last, queue.recent[last]))
    });
    let (queue, last, entry) = newest.max_by_key(|(_, _, entry)| entry.byte())?;
    Some(Claim::of(queue, queue.recent_first + last as u64, entry))
}

fn newest_block(state: &State, limit: u64) -> Option<Newest> {
    let blocks = state.queues.iter().filter_map(|(key, queue)| {
        let below = queue.directory.partition_point(|block| block.byte < limit);
        let last = below.checked_sub(1)?;
        Some((key, queue, last, queue.directory[last]))
    });
    let (key, queue, last, block) = blocks.max_by_key(|(.., block)| block.byte)?;
    let end = queue.directory.get(last + 1).map_or(queue.recent_first, |next| next.first);
    Some(Newest { key, block, count: (end - block.first) as usize })
}
