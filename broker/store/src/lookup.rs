//! Lookups beside the queues: a record by its position, an offset by time.

use ringmq_protocol::record::{self, Head, PEEK_SIZE_MAX_BYTES, Peek, Record};
use ringmq_runtime::buffer::Shared;

use crate::blocks;
use crate::entry::Entry;
use crate::error::ReadError;
use crate::fetch;
use crate::log::{Inner, Log};
use crate::position::{LogPosition, QueueKey, QueueOffset};
use crate::queue::Found;
use crate::scan;
use crate::terms::is_queued;

/// Which end of equal times a lookup by time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBoundary {
    /// The first message stored at or after the time.
    Lower,
    /// The last message stored at or before the time.
    Upper,
}

impl Log {
    /// The record that starts at a position; `None` when none starts there that is acknowledged.
    ///
    /// Proves it: the place must lie in a segment, the record must name this very position, its
    /// checksums must hold, and its queue must have it there. A message body can hold all of a
    /// record, its position included, but no place in a queue. So a record that no queue shows, a
    /// prepared or rolled back message, is not proved: a body can hold one. Whoever acts on such a
    /// record, and not merely shows it to the one who named the position, has to compare it with
    /// something that only the real one matches.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn record_at(&self, position: LogPosition) -> Result<Option<Shared>, ReadError> {
        if position.log() != self.inner.id {
            return Ok(None);
        }
        match read_record(&self.inner, position.byte()).await {
            Ok(Some(record)) if is_in_its_queue(&self.inner, &record, position).await? => {
                Ok(Some(record))
            }
            Ok(_) => Ok(None),
            Err(error) => self.gone_or(position.byte(), error),
        }
    }

    /// A segment that retention deletes during a lookup is no error.
    fn gone_or<T>(&self, byte: u64, error: ReadError) -> Result<Option<T>, ReadError> {
        if byte < self.inner.state.borrow().segments.min() { Ok(None) } else { Err(error) }
    }

    /// When the oldest message was stored, as its head says, Unix milliseconds; `None` when there
    /// is none. Proves nothing, and reads that head alone, however long the message is.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn oldest_stored_at_ms(&self) -> Result<Option<i64>, ReadError> {
        let oldest = self.inner.state.borrow().segments.min();
        let head = head_at(&self.inner, oldest).await?;
        Ok(head.map(|(head, _)| head.stored_at_ms))
    }

    /// The offset of a queue by store time, as Apache's broker answers: clamped to the queue's
    /// oldest offset and visible end. `None` for a queue that never had a message.
    ///
    /// # Errors
    /// When the device fails or the index is damaged there.
    pub async fn offset_by_time(
        &self,
        topic: &str,
        queue_id: i32,
        time_ms: i64,
        boundary: TimeBoundary,
    ) -> Result<Option<QueueOffset>, ReadError> {
        let inner = &*self.inner;
        let Some((key, min, max)) = range(inner, topic, queue_id) else { return Ok(None) };
        // Lower: the first message that is not earlier. Upper: the one before the first that is
        // later.
        let time = u64::try_from(time_ms).ok();
        let is_before = |entry: Entry| match (time, boundary) {
            (None, _) => false,
            (Some(time), TimeBoundary::Lower) => entry.stored_at_ms() < time,
            (Some(time), TimeBoundary::Upper) => entry.stored_at_ms() <= time,
        };
        let (mut low, mut high) = (min, max);
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(entry) = entry_at(inner, key, middle).await? else {
                // Retention raised the minimum above this place.
                low = middle + 1;
                continue;
            };
            if is_before(entry) { low = middle + 1 } else { high = middle }
        }
        let found = match boundary {
            TimeBoundary::Lower => low,
            TimeBoundary::Upper => low.saturating_sub(1).max(min),
        };
        Ok(Some(QueueOffset(found)))
    }

    /// Store time of the oldest message of a queue; `None` when it has none.
    ///
    /// # Errors
    /// When the device fails or the index is damaged there.
    pub async fn earliest_stored_at_ms(
        &self,
        topic: &str,
        queue_id: i32,
    ) -> Result<Option<i64>, ReadError> {
        let Some((key, min, _)) = range(&self.inner, topic, queue_id) else { return Ok(None) };
        let entry = entry_at(&self.inner, key, min).await?;
        Ok(entry.map(|entry| entry.stored_at_ms() as i64))
    }

    /// Store time of a message that consumers may see; `None` when the queue does not hold it.
    ///
    /// # Errors
    /// When the device fails or the index is damaged there.
    pub async fn stored_at_ms(
        &self,
        topic: &str,
        queue_id: i32,
        offset: QueueOffset,
    ) -> Result<Option<i64>, ReadError> {
        let Some((key, min, max)) = range(&self.inner, topic, queue_id) else { return Ok(None) };
        if offset.0 < min || offset.0 >= max {
            return Ok(None);
        }
        let entry = entry_at(&self.inner, key, offset.0).await?;
        Ok(entry.map(|entry| entry.stored_at_ms() as i64))
    }
}

fn range(inner: &Inner, topic: &str, queue_id: i32) -> Option<(QueueKey, u64, u64)> {
    let state = inner.state.borrow();
    let key = state.queues.find(topic, queue_id)?;
    state.queues.get(key).map(|queue| (key, queue.min, queue.visible))
}

/// The entry of an offset; `None` when it is not in the queue (any more).
async fn entry_at(inner: &Inner, key: QueueKey, offset: u64) -> Result<Option<Entry>, ReadError> {
    let found = inner.state.borrow().queues.get(key).and_then(|queue| queue.find(offset));
    match found {
        None => Ok(None),
        Some(Found::Here(entry)) => Ok(Some(entry)),
        Some(Found::Block { block, count }) => {
            let entries = blocks::load(inner, block, count).await?;
            Ok(entries.get((offset - block.first) as usize).copied())
        }
    }
}

/// The sound record that starts at a byte of the log; `None` when none does, or it is not
/// acknowledged.
///
/// # Errors
/// When the device fails.
pub(crate) async fn read_record(inner: &Inner, byte: u64) -> Result<Option<Shared>, ReadError> {
    let Some((Head { len, .. }, left)) = head_at(inner, byte).await? else { return Ok(None) };
    if len as u64 > left || len > scan::RECORD_MAX_BYTES {
        return Ok(None);
    }
    // What stands at a place that a client names may announce any length. A message that large is
    // rare, so one at a time is enough for those that were stored under other settings.
    let is_large = len > inner.options.record_size_max_bytes;
    let _turn = if is_large { Some(inner.large_lookups.enter().await) } else { None };
    let bytes = fetch::bytes(inner, byte, len as u64).await?;
    Ok(scan::verify(&bytes, byte, false).is_ok().then_some(bytes))
}

/// The head of the record that starts at a byte of the log, if it names this place, and how many
/// bytes it may have there; `None` when none does, or it is not acknowledged.
///
/// # Errors
/// When the device fails.
async fn head_at(inner: &Inner, byte: u64) -> Result<Option<(Head, u64)>, ReadError> {
    let left = {
        let state = inner.state.borrow();
        // What consumers must not see yet is shown to nobody else either.
        if byte < state.segments.min() || byte >= state.marks.acknowledged() {
            return Ok(None);
        }
        let segment_end = state.segments.base_of(byte) + state.segments.size;
        segment_end.min(state.marks.appended()) - byte
    };
    let head = fetch::bytes(inner, byte, left.min(PEEK_SIZE_MAX_BYTES as u64)).await?;
    Ok(match record::peek(&head) {
        Ok(Peek::Message(head)) if head.physical_offset == inner.id.at(byte).wire() => {
            Some((head, left))
        }
        _ => None,
    })
}

/// Whether the queue that a record names has it at its position. Messages that no queue shows are
/// believed.
async fn is_in_its_queue(
    inner: &Inner,
    record: &[u8],
    position: LogPosition,
) -> Result<bool, ReadError> {
    let Ok(record) = Record::parse(record) else { return Ok(false) };
    if !is_queued(record.sys_flag) {
        return Ok(true);
    }
    let key = inner.state.borrow().queues.find(record.topic, record.queue_id);
    let (Some(key), Ok(offset)) = (key, u64::try_from(record.queue_offset)) else {
        return Ok(false);
    };
    let entry = entry_at(inner, key, offset).await?;
    Ok(entry.is_some_and(|entry| entry.byte() == position.byte()))
}
