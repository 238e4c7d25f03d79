//! The order of records in the memory of an extent: one queue after the other.
//!
//! Queues lie interleaved in the log, so of four queues the records of 1 KiB that a pull wants are
//! 5 KiB apart: each is a slice of its own, and the CPU fetches the first lines of each one by one.
//! In the order of their queues those of an extent are one slice, which the CPU reads ahead, and
//! sending them costs two thirds (`bench/NOTES.md`).
//!
//! An extent begins anywhere in a record, so it is sorted from the first record on that somebody
//! wants, up to the last whole one; the bytes before and behind stay where they are. What is a
//! record is believed, not proven: whatever the bytes say, each byte of the extent is in its memory
//! once, and [`Order`] tells where. Wrong sizes make slow extents, never wrong answers.

use std::ops::Range;

use ringmq_protocol::record::{self, Peek};

use crate::pool::BLOCK_BYTES;

/// Queues beyond which an extent stays as it is: each would have few records in it.
const CHAINS_MAX: usize = 16;

/// Records of a queue in the mean that make sorting worth it.
const CHAIN_RECORDS_MIN: usize = 2;

/// Bytes of an ordinary record: room is made for records of this size.
const RECORD_MEAN_BYTES: usize = 1 << 10;

/// Where the bytes of an extent are in its memory.
#[derive(Default)]
pub(crate) struct Order {
    /// In the order of the log, from byte 0 on; none where both orders are the same.
    parts: Vec<Part>,
}

/// Bytes up to the next part that are together in both orders.
#[derive(Clone, Copy)]
struct Part {
    /// First byte in the log's order.
    from: u16,
    /// The same byte in memory.
    at: u16,
}

/// Both are places in an extent.
const _: () = assert!(BLOCK_BYTES - 1 <= u16::MAX as usize);

/// Records of one queue, each the next message of the queue after the one before.
struct Chain {
    queue_id: i32,
    next_offset: i64,
    bytes: usize,
}

/// A record of an extent: its chain, and its bytes.
struct Link {
    chain: usize,
    bytes: Range<usize>,
}

impl Order {
    /// Copies an extent, as it is in the log with a record at `first`, to `out`, which is as long:
    /// sorted, if that pays.
    pub(crate) fn sort(extent: &[u8], first: usize, out: &mut [u8]) -> Self {
        let Some((chains, links)) = chains(extent, first) else {
            out.copy_from_slice(extent);
            return Self::default();
        };
        out[..first].copy_from_slice(&extent[..first]);
        // A part for each record, one before the first and one behind the last.
        let mut order = Self { parts: Vec::with_capacity(links.len() + 2) };
        order.parts.push(Part { from: 0, at: 0 });
        let mut places = Vec::with_capacity(chains.len());
        let mut end = first;
        for chain in &chains {
            places.push(end);
            end += chain.bytes;
        }
        for Link { chain, bytes } in links {
            let at = places[chain];
            places[chain] = at + bytes.len();
            order.add(bytes.start, at);
            out[at..at + bytes.len()].copy_from_slice(&extent[bytes]);
        }
        if end < extent.len() {
            order.add(end, end);
            out[end..].copy_from_slice(&extent[end..]);
        }
        order
    }

    /// The bytes from `from` on, up to the next that are added, are in memory from `at` on.
    fn add(&mut self, from: usize, at: usize) {
        let last = self.parts.last().expect("byte 0 has a part");
        if usize::from(last.at) + (from - usize::from(last.from)) != at {
            let place = |byte: usize| u16::try_from(byte).expect("a place in an extent");
            self.parts.push(Part { from: place(from), at: place(at) });
        }
    }

    /// Where the first of these bytes of an extent are in memory: as many as are together.
    ///
    /// # Panics
    /// When there are none, or some lie behind the extent.
    pub(crate) fn place(&self, bytes: Range<usize>) -> Range<usize> {
        assert!(bytes.start < bytes.end && bytes.end <= BLOCK_BYTES, "{bytes:?} of an extent");
        let next = self.parts.partition_point(|part| usize::from(part.from) <= bytes.start);
        let Some(part) = next.checked_sub(1).map(|own| self.parts[own]) else { return bytes };
        let end = self.parts.get(next).map_or(BLOCK_BYTES, |next| next.from.into());
        let at = usize::from(part.at) + bytes.start - usize::from(part.from);
        at..at + bytes.end.min(end) - bytes.start
    }

    /// Where these bytes of an extent are in memory, part by part in the order of the log.
    pub(crate) fn places(&self, bytes: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut rest = bytes;
        std::iter::from_fn(move || {
            let place = (!rest.is_empty()).then(|| self.place(rest.clone()))?;
            rest.start += place.len();
            Some(place)
        })
    }
}

/// The records of an extent from `first` on, and the chains they make; none if these are too many,
/// or too short to sort them.
fn chains(extent: &[u8], first: usize) -> Option<(Vec<Chain>, Vec<Link>)> {
    let mut chains = Vec::<Chain>::with_capacity(CHAINS_MAX);
    let mut links = Vec::with_capacity(extent.len() / RECORD_MEAN_BYTES);
    let mut at = first;
    while let Ok(Peek::Message(head)) = record::peek(&extent[at..]) {
        if head.len > extent.len() - at {
            break;
        }
        let is_next =
            |it: &Chain| (it.queue_id, it.next_offset) == (head.queue_id, head.queue_offset);
        let chain = chains.iter().position(is_next).unwrap_or(chains.len());
        if chain == CHAINS_MAX {
            return None;
        }
        if chain == chains.len() {
            chains.push(Chain { queue_id: head.queue_id, next_offset: 0, bytes: 0 });
        }
        chains[chain].next_offset = head.queue_offset.wrapping_add(1);
        chains[chain].bytes += head.len;
        links.push(Link { chain, bytes: at..at + head.len });
        at += head.len;
    }
    let pays = chains.len() > 1 && links.len() >= chains.len() * CHAIN_RECORDS_MIN;
    pays.then_some((chains, links))
}

#[cfg(test)]
mod tests {
    use ringmq_protocol::record::{Placement, encode};

    use super::*;
    use crate::append::tests::message;

    /// Bytes of an extent before its first record.
    const FIRST: usize = 700;

    /// An extent in which `queue_of` says whose each record is, and where the records are.
    fn extent(queue_of: impl Fn(usize) -> i32) -> (Vec<u8>, Vec<(i32, Range<usize>)>) {
        let mut bytes: Vec<u8> = (0..BLOCK_BYTES).map(|byte| (byte % 251) as u8).collect();
        let (mut records, mut at) = (Vec::new(), FIRST);
        loop {
            let queue = queue_of(records.len());
            let body = vec![records.len() as u8; 900 + at % 300];
            let before = records.iter().filter(|(own, _)| *own == queue).count();
            let placement =
                Placement { queue_offset: before as i64, physical_offset: 0, stored_at_ms: 1 };
            let record = message("topic", queue, &body);
            let Ok(len) = encode(&mut bytes[at..], &record, placement) else { break };
            records.push((queue, at..at + len));
            at += len;
        }
        (bytes, records)
    }

    fn sort(log: &[u8]) -> (Order, Vec<u8>) {
        let mut memory = vec![0; BLOCK_BYTES];
        let order = Order::sort(log, FIRST, &mut memory);
        (order, memory)
    }

    /// Whatever range is asked for comes as it is in the log.
    fn assert_whole(log: &[u8], order: &Order, memory: &[u8]) {
        for from in (0..BLOCK_BYTES).step_by(997) {
            for len in [1, 90, 1300, 20_000, BLOCK_BYTES] {
                let bytes = from..BLOCK_BYTES.min(from + len);
                let parts = order.places(bytes.clone()).map(|place| &memory[place]);
                assert!(parts.collect::<Vec<_>>().concat() == log[bytes.clone()], "{bytes:?}");
            }
        }
    }

    #[test]
    fn the_records_of_a_queue_are_together() {
        let (log, records) = extent(|record| (record * record % 5) as i32);
        let (order, memory) = sort(&log);
        assert_whole(&log, &order, &memory);
        assert!(records.len() > 40);
        for queue in 0..5 {
            let own = records.iter().filter(|(it, _)| *it == queue).map(|(_, bytes)| bytes);
            let places: Vec<_> = own.map(|bytes| order.place(bytes.clone())).collect();
            assert!(places.windows(2).all(|pair| pair[0].end == pair[1].start), "{places:?}");
        }
        // What is not sorted is where it was.
        let last = records[records.len() - 1].1.end;
        for bytes in [0..FIRST, last..BLOCK_BYTES] {
            assert_eq!(order.place(bytes.clone()), bytes);
        }
    }

    #[test]
    fn an_extent_of_one_queue_or_of_many_stays_as_it_is() {
        for queues in [1, CHAINS_MAX + 1] {
            let (log, _) = extent(|record| (record % queues) as i32);
            let (order, memory) = sort(&log);
            assert!(order.parts.is_empty() && memory == log, "{queues} queues");
            assert_whole(&log, &order, &memory);
        }
    }

    #[test]
    fn wrong_sizes_and_offsets_lose_no_byte() {
        let (sound, records) = extent(|record| (record % 3) as i32);
        let mut sorted = 0;
        for seed in 1..200_usize {
            let mut log = sound.clone();
            for (number, (_, bytes)) in records.iter().enumerate() {
                let mix = (seed * 7919 + number * 104_729) % 65_521;
                if mix.is_multiple_of(32) {
                    let size = (mix % 3000) as u32;
                    log[bytes.start..bytes.start + 4].copy_from_slice(&size.to_be_bytes());
                } else if mix.is_multiple_of(17) {
                    log[bytes.start + 20..bytes.start + 28].fill(mix as u8);
                }
            }
            let (order, memory) = sort(&log);
            assert_whole(&log, &order, &memory);
            sorted += u32::from(!order.parts.is_empty());
        }
        assert!(sorted > 100, "{sorted} extents were sorted");
    }
}
