//! How far a group has consumed each queue, as this client knows it.
//!
//! The table is the truth while a queue is ours: it only moves forward with consumption, backward
//! with a seek or a reset. Where it is kept depends on the model: clustering sends it to brokers,
//! broadcasting writes it to a local file. Both take what is due from here.

use std::path::PathBuf;
use std::rc::Rc;

use ringmq_runtime::random::HashMap;
use serde::{Deserialize, Serialize};

use crate::queue::MessageQueue;

/// An offset that did not change is sent again after this long, so that a broker that lost its last
/// writes in a crash learns it anew.
pub const RESEND_AFTER_MS: u64 = 60_000;

/// A local offset file beyond this is refused: some 100,000 queues at 100 bytes each.
pub const LOCAL_FILE_SIZE_MAX_BYTES: usize = 16 << 20;

#[derive(Debug, Clone, Copy)]
struct Known {
    offset: i64,
    /// What was last stored and when.
    stored: Option<(i64, u64)>,
}

impl Known {
    fn is_due(&self, clock_ms: u64) -> bool {
        self.stored.is_none_or(|(offset, at_ms)| {
            offset != self.offset || clock_ms.saturating_sub(at_ms) >= RESEND_AFTER_MS
        })
    }
}

/// Consumed-up-to offsets (the next one to consume) by queue.
#[derive(Debug, Default)]
pub struct OffsetTable {
    known: HashMap<MessageQueue, Known>,
}

impl OffsetTable {
    /// The next offset to consume, if this client knows it.
    pub fn get(&self, queue: &MessageQueue) -> Option<i64> {
        self.known.get(queue).map(|known| known.offset)
    }

    /// Consumption reached `offset`. An older report that arrives late changes nothing.
    pub fn advance(&mut self, queue: &MessageQueue, offset: i64) {
        match self.known.get_mut(queue) {
            Some(known) => known.offset = known.offset.max(offset),
            None => self.reset(queue, offset),
        }
    }

    /// The next offset to consume is `offset`, forward or back.
    pub fn reset(&mut self, queue: &MessageQueue, offset: i64) {
        let entry = self.known.entry(queue.clone());
        entry.and_modify(|known| known.offset = offset).or_insert(Known { offset, stored: None });
    }

    /// `offset` was read from the store, so it is known there.
    pub fn loaded(&mut self, queue: &MessageQueue, offset: i64, clock_ms: u64) {
        self.known.insert(queue.clone(), Known { offset, stored: Some((offset, clock_ms)) });
    }

    /// Forgets a queue that is no longer ours.
    pub fn remove(&mut self, queue: &MessageQueue) {
        self.known.remove(queue);
    }

    /// Queues whose offset is to be stored now: it changed, or was stored [`RESEND_AFTER_MS`] ago.
    /// Which offset that is is asked for when it is sent ([`OffsetTable::get`]).
    pub fn due(&self, clock_ms: u64) -> impl Iterator<Item = &MessageQueue> {
        let due = self.known.iter().filter(move |(_, known)| known.is_due(clock_ms));
        due.map(|(queue, _)| queue)
    }

    /// All queues whose offset is known.
    pub fn queues(&self) -> impl Iterator<Item = &MessageQueue> {
        self.known.keys()
    }

    /// `offset` of `queue` was handed to the store at `clock_ms`.
    pub fn stored(&mut self, queue: &MessageQueue, offset: i64, clock_ms: u64) {
        if let Some(known) = self.known.get_mut(queue) {
            known.stored = Some((offset, clock_ms));
        }
    }

    /// All offsets, in the order of queues.
    pub fn all(&self) -> Vec<(MessageQueue, i64)> {
        let mut all: Vec<_> =
            self.known.iter().map(|(q, known)| (q.clone(), known.offset)).collect();
        all.sort();
        all
    }
}

/// Where a broadcasting group of this client keeps its offsets, below the client's directory.
///
/// `identity` must be the same at the next start (no process id), or progress would be lost.
pub fn local_path(identity: &str, group: &str) -> PathBuf {
    PathBuf::from(file_name(identity)).join(file_name(group)).join("offsets.json")
}

/// Groups and identities may hold `%` and `@`, never a separator of paths.
fn file_name(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@%#".contains(c);
    let name: String = text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

#[derive(Serialize, Deserialize)]
struct LocalFile {
    offsets: Rc<[LocalOffset]>,
}

#[derive(Serialize, Deserialize)]
struct LocalOffset {
    #[serde(flatten)]
    queue: MessageQueue,
    offset: i64,
}

/// The text of a local offset file.
pub fn to_local_text(offsets: &[(MessageQueue, i64)]) -> Vec<u8> {
    let entry = |(queue, offset): &(MessageQueue, i64)| LocalOffset {
        queue: queue.clone(),
        offset: *offset,
    };
    let file = LocalFile { offsets: offsets.iter().map(entry).collect() };
    serde_json::to_vec_pretty(&file).expect("strings and numbers always encode")
}

/// Reads a local offset file.
///
/// # Errors
/// The text is not such a file; says where.
pub fn from_local_text(text: &[u8]) -> Result<Vec<(MessageQueue, i64)>, serde_json::Error> {
    let file: LocalFile = serde_json::from_slice(text)?;
    Ok(file.offsets.iter().map(|entry| (entry.queue.clone(), entry.offset)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(id: i32) -> MessageQueue {
        MessageQueue::new("T", "b", id)
    }

    fn due(table: &OffsetTable, clock_ms: u64) -> Vec<MessageQueue> {
        table.due(clock_ms).cloned().collect()
    }

    #[test]
    fn late_reports_do_not_move_an_offset_back_but_a_reset_does() {
        let mut table = OffsetTable::default();
        table.advance(&queue(0), 10);
        table.advance(&queue(0), 7);
        assert_eq!(table.get(&queue(0)), Some(10));
        table.reset(&queue(0), 3);
        assert_eq!(table.get(&queue(0)), Some(3));
    }

    #[test]
    fn only_changes_are_due_until_a_minute_has_passed() {
        let mut table = OffsetTable::default();
        table.loaded(&queue(0), 5, 1_000);
        table.advance(&queue(1), 9);
        assert_eq!(due(&table, 2_000), [queue(1)]);
        table.stored(&queue(1), 9, 2_000);
        assert_eq!(due(&table, 3_000), []);
        table.advance(&queue(0), 6);
        assert_eq!(due(&table, 3_000), [queue(0)]);
        table.stored(&queue(0), 6, 3_000);
        assert_eq!(due(&table, 2_000 + RESEND_AFTER_MS), [queue(1)]);
    }

    #[test]
    fn an_offset_that_moved_while_it_was_sent_is_due_again() {
        let mut table = OffsetTable::default();
        table.advance(&queue(0), 9);
        table.advance(&queue(0), 12);
        table.stored(&queue(0), 9, 1);
        assert_eq!(due(&table, 1), [queue(0)]);
        table.stored(&queue(0), 12, 1);
        assert_eq!(due(&table, 1), []);
    }

    #[test]
    fn local_file_reads_back_what_was_written() {
        let offsets = vec![(queue(0), 5), (MessageQueue::new("%RETRY%g", "b", 1), i64::MAX)];
        assert_eq!(from_local_text(&to_local_text(&offsets)).expect("reads"), offsets);
        from_local_text(b"{\"offsets\":[{\"topic\":1}]}").expect_err("refused");
    }

    #[test]
    fn local_path_stays_below_its_directory() {
        let path = local_path("10.0.0.7@DEFAULT", "../g/x");
        assert_eq!(path, PathBuf::from("10.0.0.7@DEFAULT/_.._g_x/offsets.json"));
    }
}
