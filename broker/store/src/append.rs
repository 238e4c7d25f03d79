//! The append step: one synchronous turn from a message to its place in the log and in both
//! indexes.

use ringmq_protocol::record::{self, BLANK_SIZE_BYTES, NewRecord, Placement};

use crate::entry::{Entry, KeyEntry};
use crate::error::AppendError;
use crate::log::{Inner, Log, State};
use crate::position::{LogPosition, QueueKey, QueueOffset};
use crate::segments::fits_log;
use crate::terms::{Terms, is_keyed, is_queued};

/// Where an appended message came to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its first byte: the physical offset of its record.
    pub position: LogPosition,
    /// First byte behind it: it is acknowledged when [`Log::acknowledged`] is not below.
    pub end: LogPosition,
    /// Its offset in its queue; 0 for a prepared or rolled back message, which no queue shows.
    pub queue_offset: QueueOffset,
    /// Store time, Unix milliseconds.
    pub stored_at_ms: i64,
}

impl Log {
    /// Appends one message: it has its place and offset on return, and is safe when
    /// [`Log::acknowledged`] reaches its end.
    ///
    /// The record is encoded once, into the tail; nothing is allocated when the tail and the
    /// indexes are warm. `now_ms` is Unix time; the stored time never goes back. `with_record_crc`
    /// of the message is replaced by the log's setting.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was appended then.
    pub fn append(&self, message: &NewRecord<'_>, now_ms: i64) -> Result<Appended, AppendError> {
        let inner = &self.inner;
        let mut state = inner.state.borrow_mut();
        let message = inner.checksummed(message);
        let size = encoded_len(&message)?;
        state.check_slots(&[message])?;
        let at = state.admit(inner, size)?;
        let stored_at_ms = state.next_stored_at_ms(now_ms);
        let appended = state.put(inner, &message, at, size, stored_at_ms);
        drop(state);
        inner.appended();
        Ok(appended)
    }

    /// Appends all messages, which stand next to each other in one segment, or none. `out` receives
    /// their places.
    ///
    /// # Errors
    /// As [`Log::append`]; `out` is as before then.
    pub fn append_batch(
        &self,
        messages: &[NewRecord<'_>],
        now_ms: i64,
        out: &mut Vec<Appended>,
    ) -> Result<(), AppendError> {
        let inner = &self.inner;
        let mut state = inner.state.borrow_mut();
        let with_crc = |message: &NewRecord<'_>| encoded_len(&inner.checksummed(message));
        let total = messages.iter().map(with_crc).sum::<Result<usize, _>>()?;
        if messages.is_empty() {
            return Ok(());
        }
        state.check_slots(messages)?;
        let mut at = state.admit(inner, total)?;
        // One block for the batch, so that it needs no second step that could fail.
        state.reserve(at, total);
        let stored_at_ms = state.next_stored_at_ms(now_ms);
        for message in messages {
            let message = inner.checksummed(message);
            let size = encoded_len(&message)?;
            let appended = state.put(inner, &message, at, size, stored_at_ms);
            at = appended.end.byte();
            out.push(appended);
        }
        drop(state);
        inner.appended();
        Ok(())
    }

    /// Whether a message of ordinary size would be taken now.
    pub fn has_room(&self) -> bool {
        let state = self.inner.state.borrow();
        state.marks.unwritten() < self.inner.options.unwritten_max_bytes / 2
    }

    /// Waits until half of the room for unwritten bytes is free, or the log is fenced.
    pub async fn room(&self) {
        let is_over = || (self.has_room() || self.inner.is_fenced()).then_some(());
        self.inner.signals.room.until(is_over).await;
    }
}

fn encoded_len(message: &NewRecord<'_>) -> Result<usize, AppendError> {
    record::encoded_len(message).map_err(|error| AppendError::Illegal(error.to_string()))
}

impl Inner {
    fn checksummed<'a>(&self, message: &NewRecord<'a>) -> NewRecord<'a> {
        NewRecord { with_record_crc: self.options.record_checksum, ..*message }
    }

    /// Wakes the writer; it runs when the current task has handled all that it has read.
    fn appended(&self) {
        self.signals.appended.notify_one();
        if self.state.borrow().marks.acknowledges_at_once() {
            self.signals.acknowledged.notify_all();
        }
    }
}

impl State {
    /// Refuses messages to queues that may not get a slot: before any of them has its place.
    fn check_slots(&self, messages: &[NewRecord<'_>]) -> Result<(), AppendError> {
        let free = self.queues.free_slots();
        // Nearly always each could have a slot of its own.
        let is_known = |message: &NewRecord<'_>| {
            !is_queued(message.sys_flag)
                || self.queues.find(message.topic, message.queue_id).is_some()
        };
        if free >= messages.len() || messages.iter().filter(|one| !is_known(one)).count() <= free {
            return Ok(());
        }
        Err(AppendError::OutOfSlots)
    }

    /// Finds the place for `size` bytes, in the next segment when this one is too short; refuses
    /// what must not go in.
    fn admit(&mut self, inner: &Inner, size: usize) -> Result<u64, AppendError> {
        if let Some(fenced) = &self.fenced {
            return Err(fenced.clone().into());
        }
        if inner.is_closing() {
            let reason = "it is being closed".into();
            return Err(crate::error::Fenced { log: inner.id, reason }.into());
        }
        let size = size as u64;
        let limit = inner.options.record_size_max_bytes as u64;
        if size > limit {
            return Err(AppendError::TooLarge { size_bytes: size, limit_bytes: limit });
        }
        let (unwritten, limit) = (self.marks.unwritten(), inner.options.unwritten_max_bytes);
        if unwritten + size > limit || self.keys.is_full() {
            return Err(AppendError::Full { unwritten_bytes: unwritten, limit_bytes: limit });
        }
        self.place(size)
    }

    fn place(&mut self, size: u64) -> Result<u64, AppendError> {
        let at = self.marks.appended();
        let left = self.segments.base_of(at) + self.segments.size - at;
        if size + BLANK_SIZE_BYTES as u64 <= left {
            self.refuse_without_space(at + size)?;
            return Ok(at);
        }
        let next = at + left;
        if !fits_log(next, self.segments.size) {
            return Err(AppendError::OutOfPositions);
        }
        self.refuse_without_space(next + size)?;
        self.end_segment(at, left);
        Ok(next)
    }

    /// While the disk gives no more room, a record that ends behind what there is would wait for an
    /// unknown time.
    fn refuse_without_space(&self, end: u64) -> Result<(), AppendError> {
        match &self.no_space {
            Some(problem) if end > self.segments.filled() => {
                Err(AppendError::NoSpace(problem.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Writes the blank that tells readers to go on in the next file.
    fn end_segment(&mut self, at: u64, left: u64) {
        let out = self.tail.reserve(at, BLANK_SIZE_BYTES, self.marks.written());
        record::encode_blank(out, left as usize);
        self.tail.advance(BLANK_SIZE_BYTES);
        self.marks.segment_ended(at + left);
    }

    fn reserve(&mut self, at: u64, len: usize) {
        self.tail.reserve(at, len, self.marks.written());
    }

    /// Store times rise with positions, so that lookups by time can search.
    fn next_stored_at_ms(&mut self, now_ms: i64) -> u64 {
        self.last_stored_at_ms = self.last_stored_at_ms.max(u64::try_from(now_ms).unwrap_or(0));
        self.last_stored_at_ms
    }

    /// Encodes a message, whose queue has a slot or can have one, at `at` and enters it into the
    /// indexes.
    fn put(
        &mut self,
        inner: &Inner,
        message: &NewRecord<'_>,
        at: u64,
        size: usize,
        stored_at_ms: u64,
    ) -> Appended {
        let queue = self.queue_of(message);
        let known = queue.and_then(|key| self.queues.get(key));
        let queue_offset = QueueOffset(known.map_or(0, |queue| queue.next()));
        let position = inner.id.at(at);
        let placement = Placement {
            queue_offset: queue_offset.wire(),
            physical_offset: position.wire(),
            stored_at_ms: stored_at_ms as i64,
        };
        let out = self.tail.reserve(at, size, self.marks.written());
        let written = record::encode(out, message, placement)
            .expect("the length was computed from the same message and reserved");
        assert_eq!(written, size, "a record takes the bytes that were reserved for it");
        self.tail.advance(size);

        let terms = Terms::of_new(message);
        let end = at + size as u64;
        if let Some(key) = queue {
            self.queues.push(key, Entry::new(at, size as u32, stored_at_ms, terms.tag_hash()));
        }
        if is_keyed(message.sys_flag) {
            terms.each_key_hash(message.topic, |hash| {
                self.keys.push(KeyEntry::new(hash, at, stored_at_ms));
            });
        }
        self.marks.appended_to(end, queue);
        if self.marks.acknowledges_at_once()
            && let Some(key) = queue
        {
            self.queues.acknowledge_one(key);
        }
        self.counters.records += 1;
        let end = inner.id.at(end);
        Appended { position, end, queue_offset, stored_at_ms: stored_at_ms as i64 }
    }

    fn queue_of(&mut self, message: &NewRecord<'_>) -> Option<QueueKey> {
        if !is_queued(message.sys_flag) {
            return None;
        }
        let known = self.queues.find(message.topic, message.queue_id);
        let key = known.or_else(|| self.queues.open(message.topic, message.queue_id, 0));
        assert!(key.is_some(), "free slots were counted before the message had its place");
        key
    }
}

#[cfg(test)]
pub(crate) mod tests;
