//! A snapshot of both indexes: where a start begins instead of at the first frame of the index
//! stream.
//!
//! Two files take turns, so a damaged one costs time and not data. Layout, big endian: magic,
//! version, CRC-32 of the rest; then the fields of [`SnapshotHead`], the queues, the key runs and
//! the newest key entries.

use ringmq_runtime::task;

use crate::entry::{ENTRY_SIZE, Entry, KEY_ENTRY_SIZE, read_entries, read_key_entries};
use crate::keys::{KeyIndex, KeyRun};
use crate::position::LogId;
use crate::queue::{BlockRef, Queue};
use crate::queue_index::QueueIndex;

const MAGIC: u32 = 0x524D_5153;
const VERSION: u32 = 1;
const CHECKED_FROM: usize = 12;
const HEAD_BYTES: usize = 40;

/// Summed up as one piece of long work: 30 ms at 2 GB/s.
const SEAL_PIECE_BYTES: usize = 64 << 20;

/// Where a snapshot stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SnapshotHead {
    /// The log that it is of; none in snapshots of versions that did not write it down.
    pub(crate) log: Option<LogId>,
    /// Rises by one with each snapshot.
    pub(crate) generation: u64,
    /// Place of the index stream behind it, and the CRC that the next frame there names.
    pub(crate) stream_at: u64,
    pub(crate) chain: u32,
    /// Every record below this log byte is in it.
    pub(crate) log_byte: u64,
    /// Store time of the newest of them.
    pub(crate) last_stored_at_ms: u64,
}

/// Writes a snapshot of what is known of records that end at or below `head.log_byte`.
pub(crate) struct SnapshotWriter {
    bytes: Vec<u8>,
}

impl SnapshotWriter {
    pub(crate) fn new(head: SnapshotHead) -> Self {
        let mut bytes = Vec::with_capacity(4096);
        bytes.extend_from_slice(&MAGIC.to_be_bytes());
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        // The upper half of this word was 0 before it had the log, and one more than its number.
        let name = head.log.map_or(0, |log| u64::from(log.0) + 1);
        let chain = name << 32 | u64::from(head.chain);
        for word in [head.generation, head.stream_at, chain, head.log_byte, head.last_stored_at_ms]
        {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        Self { bytes }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn u32(&mut self, value: usize) {
        let value = u32::try_from(value).expect("counts of one log fit 32 bits");
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Adds one queue.
    pub(crate) fn queue(&mut self, slot: u32, queue: &Queue, log_byte: u64) {
        self.bytes.push(1);
        self.u32(slot as usize);
        self.bytes.extend_from_slice(&queue.queue_id.to_be_bytes());
        self.u32(queue.topic.len());
        self.bytes.extend_from_slice(queue.topic.as_bytes());
        self.u64(queue.min);
        self.u64(queue.recent_first);
        self.u32(queue.directory.len());
        for block in &queue.directory {
            self.u64(block.first);
            self.u64(block.at);
            self.u64(block.byte);
        }
        let settled = queue.count_up_to(log_byte);
        self.u32(settled);
        queue.recent.range(..settled).for_each(|entry| entry.write(&mut self.bytes));
    }

    /// Adds the key index; what comes out is whole when it is sealed.
    pub(crate) fn finish(mut self, keys: &KeyIndex, log_byte: u64) -> Vec<u8> {
        self.bytes.push(0);
        self.u32(keys.runs().len());
        for run in keys.runs() {
            self.u64(run.at);
            self.u32(run.count as usize);
            self.u64(run.min_ms);
            self.u64(run.max_ms);
            self.u64(run.max_byte);
        }
        let settled = keys.count_below(log_byte);
        self.u32(settled);
        keys.recent()[..settled].iter().for_each(|entry| entry.write(&mut self.bytes));
        self.bytes
    }
}

/// Completes a snapshot with its checksum: of 1 GiB in a tenth of a second and more, so on a helper
/// thread and in pieces.
pub(crate) async fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let (mut crc, mut at) = (crc32fast::Hasher::new(), CHECKED_FROM);
    while at < bytes.len() {
        let end = bytes.len().min(at + SEAL_PIECE_BYTES);
        let piece = move || {
            crc.update(&bytes[at..end]);
            (bytes, crc)
        };
        (bytes, crc) = task::long_work(piece).await;
        at = end;
    }
    bytes[8..CHECKED_FROM].copy_from_slice(&crc.finalize().to_be_bytes());
    bytes
}

/// Reads a snapshot into empty indexes; `None` when it is damaged, whatever was filled in by then.
pub(crate) fn read(
    bytes: &[u8],
    queues: &mut QueueIndex,
    keys: &mut KeyIndex,
) -> Option<SnapshotHead> {
    let head = read_head(bytes)?;
    let mut reader = Reader { rest: &bytes[CHECKED_FROM + HEAD_BYTES..] };
    while reader.take(1)? == [1] {
        let (slot, queue) = read_queue(&mut reader)?;
        queues.restore(slot, queue).then_some(())?;
    }
    for _ in 0..reader.u32()? {
        keys.adopt_run(KeyRun {
            at: reader.u64()?,
            count: reader.u32()?,
            min_ms: reader.u64()?,
            max_ms: reader.u64()?,
            max_byte: reader.u64()?,
        });
    }
    let count = reader.u32()? as usize;
    keys.adopt_entries(read_key_entries(reader.take(count.checked_mul(KEY_ENTRY_SIZE)?)?));
    reader.rest.is_empty().then_some(head)
}

/// The head of an intact snapshot.
pub(crate) fn read_head(bytes: &[u8]) -> Option<SnapshotHead> {
    let mut reader = Reader { rest: bytes };
    let is_ours = reader.u32()? == MAGIC && reader.u32()? == VERSION;
    let crc = reader.u32()?;
    if !is_ours || crc32fast::hash(reader.rest) != crc {
        return None;
    }
    let (generation, stream_at, word) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let log = match (word >> 32).checked_sub(1) {
        Some(number) => Some(LogId(u8::try_from(number).ok()?)),
        None => None,
    };
    Some(SnapshotHead {
        log,
        generation,
        stream_at,
        chain: word as u32,
        log_byte: reader.u64()?,
        last_stored_at_ms: reader.u64()?,
    })
}

fn read_queue(reader: &mut Reader<'_>) -> Option<(u32, Queue)> {
    let slot = reader.u32()?;
    let queue_id = reader.u32()? as i32;
    let topic_len = reader.u32()? as usize;
    let topic = std::str::from_utf8(reader.take(topic_len)?).ok()?;
    let min = reader.u64()?;
    let recent_first = reader.u64()?;
    let mut queue = Queue::new(topic, queue_id, recent_first);
    queue.min = min;
    for _ in 0..reader.u32()? {
        let block = BlockRef { first: reader.u64()?, at: reader.u64()?, byte: reader.u64()? };
        let rises = queue.directory.back().is_none_or(|last| last.first < block.first);
        if !rises || block.first >= recent_first {
            return None;
        }
        queue.directory.push_back(block);
    }
    let count = reader.u32()? as usize;
    let entries: &[u8] = reader.take(count.checked_mul(ENTRY_SIZE)?)?;
    queue.recent = read_entries(entries).collect::<Vec<Entry>>().into();
    (min <= queue.next()).then_some((slot, queue))
}

/// A cursor that refuses to pass the end.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|bytes| u32::from_be_bytes(bytes.try_into().expect("4 bytes")))
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8).map(|bytes| u64::from_be_bytes(bytes.try_into().expect("8 bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::KeyEntry;

    fn sample() -> (QueueIndex, KeyIndex, Vec<u8>) {
        sample_of(Some(LogId(0)))
    }

    fn sample_of(log: Option<LogId>) -> (QueueIndex, KeyIndex, Vec<u8>) {
        let mut queues = QueueIndex::new(8);
        let mut keys = KeyIndex::new(8);
        for id in 0..3 {
            let key = queues.open("topic", id, 5).expect("a slot");
            for number in 0..4 {
                queues.push(key, Entry::new(number * 100, 100, 50 + number, 1));
            }
        }
        queues
            .get_mut(queues.find("topic", 1).expect("a queue"))
            .expect("a queue")
            .adopt_block(BlockRef { first: 5, at: 4096, byte: 0 }, 2);
        keys.adopt_run(KeyRun { at: 9, count: 3, min_ms: 1, max_ms: 2, max_byte: 4 });
        (0..6).for_each(|n| keys.push(KeyEntry::new(n, n * 100, 7)));
        let head = SnapshotHead {
            log,
            generation: 3,
            stream_at: 8192,
            chain: 77,
            log_byte: 300,
            last_stored_at_ms: 53,
        };
        let mut writer = SnapshotWriter::new(head);
        for (key, queue) in queues.iter() {
            writer.queue(key.slot() as u32, queue, 300);
        }
        let whole = writer.finish(&keys, 300);
        let bytes = ringmq_runtime::sim::World::new(0).run(seal(whole));
        (queues, keys, bytes)
    }

    #[test]
    fn a_snapshot_holds_what_is_durable_and_nothing_above() {
        let (_, _, bytes) = sample();
        let (mut queues, mut keys) = (QueueIndex::new(8), KeyIndex::new(8));
        let head = read(&bytes, &mut queues, &mut keys).expect("an intact snapshot");
        assert_eq!((head.generation, head.log_byte), (3, 300));
        let queue = queues.get(queues.find("topic", 0).expect("a queue")).expect("a queue");
        assert_eq!((queue.min, queue.next(), queue.visible), (5, 8, 8));
        let queue = queues.get(queues.find("topic", 1).expect("a queue")).expect("a queue");
        assert_eq!((queue.directory.len(), queue.recent_first, queue.next()), (1, 7, 8));
        assert_eq!((keys.runs().len(), keys.recent_entries()), (1, 3));
        let mut out = crate::frame::FrameWriter::new(0, 1 << 20, 0, Vec::new());
        keys.save(&mut out, u64::MAX, Vec::new());
        assert!(out.finish().0.is_empty(), "nothing is new to a checkpoint");
    }

    #[test]
    fn a_snapshot_names_its_log_and_older_ones_name_none() {
        for log in [None, Some(LogId(0)), Some(LogId(255))] {
            let head = read_head(&sample_of(log).2).expect("an intact snapshot");
            assert_eq!((head.log, head.chain), (log, 77));
        }
    }

    #[test]
    fn damage_and_truncation_are_refused() {
        let (_, _, bytes) = sample();
        for len in 0..bytes.len() {
            let (mut queues, mut keys) = (QueueIndex::new(8), KeyIndex::new(8));
            assert!(read(&bytes[..len], &mut queues, &mut keys).is_none(), "{len} bytes");
        }
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 0x10;
            assert!(read_head(&broken).is_none(), "byte {at}");
        }
    }
}
