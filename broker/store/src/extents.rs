//! Extents of the log that several reads want, taken from the page cache once, or read by the
//! device into their places (`cold.rs`).
//!
//! Queues lie interleaved in the log: the records that a pull wants are no neighbours, and what
//! lies between them is wanted by the pulls of other queues, mostly soon. One record from the page
//! cache costs a system call, 0.3 us; a whole extent with 64 records of 1 KiB costs 5 us.
//!
//! So an extent is taken whole when it is wanted for the second time; a record that nobody else is
//! near is read alone. Extents have places by their position, all in turn: reads that follow
//! each other along the log do not push each other's extents out. Only bytes that never change are
//! kept, so an extent never becomes stale.
//!
//! An extent that is taken from the page cache is sorted by queues (`order.rs`); one that the
//! device reads into its place stays as it is, since nobody knows where in it a record begins.
//!
//! Answers are slices of extents; small records are copied. An extent that makes way while answers
//! hold slices of it goes to the pool, which has its memory again when they have left. When answers
//! hold all that the pool has, no further extents are taken, and answers are copies.

use std::ops::Range;

use ringmq_runtime::buffer::{Block, Shared};

use crate::order::Order;
use crate::pool::{self, Pool};
use crate::segments::Segment;

/// Bytes of an extent: taking it holds up the shard for 5 us, and more would mostly be for nobody.
const EXTENT_BYTES: u64 = pool::BLOCK_BYTES as u64;

/// Blocks that answers may hold slices of beside the extents that are in their places, 16 MiB: 14
/// answers of 1024 messages of 1 KiB. When answers hold more, there is no memory for extents.
const HELD_MAX: usize = 256;

/// Smaller records are copied, since each slice costs some 50 ns on its way to the socket.
const SHARED_MIN_BYTES: u64 = 512;

/// The extents of one log.
pub(crate) struct Extents {
    places: Vec<Place>,
    pool: Pool,
    /// Where an extent that is sorted is read from.
    scratch: Vec<u8>,
}

/// Where extents of some positions are kept, one at a time.
#[derive(Default)]
struct Place {
    /// First byte of the extent in the log.
    start: u64,
    /// How often it was wanted while it was not here.
    wants: u32,
    /// The extent, if it is here.
    extent: Option<Extent>,
}

/// An extent in memory.
struct Extent {
    block: Block,
    order: Order,
}

impl Extent {
    /// Its bytes `range`, if they are together in memory.
    fn share(&self, range: Range<usize>) -> Option<Shared> {
        let place = self.order.place(range.clone());
        (place.len() == range.len()).then(|| self.block.share(place))
    }

    /// Hands out its bytes `range` in the order of the log.
    fn share_all(&self, range: Range<usize>, part: &mut impl FnMut(Shared)) {
        self.order.places(range).for_each(|place| part(self.block.share(place)));
    }

    /// Fills `out` with its bytes from `from` on.
    fn copy(&self, from: usize, mut out: &mut [u8]) {
        for place in self.order.places(from..from + out.len()) {
            let (part, rest) = out.split_at_mut(place.len());
            part.copy_from_slice(&self.block.as_slice()[place]);
            out = rest;
        }
    }
}

impl Extents {
    /// Room for so many bytes, one extent at least.
    pub(crate) fn new(bytes: u64) -> Self {
        let count = (bytes / EXTENT_BYTES).max(1) as usize;
        let places = std::iter::repeat_with(Place::default).take(count).collect();
        Self { places, pool: Pool::new(count + HELD_MAX), scratch: Vec::new() }
    }

    /// The bytes `range` of the log, all of `segment`, if they lie in one extent that is here or is
    /// taken now. Bytes of the segment in `settled` do not change any more; `next` is what the
    /// reader wants next.
    pub(crate) fn share(
        &mut self,
        segment: &Segment,
        settled: &Range<u64>,
        range: Range<u64>,
        next: Option<u64>,
    ) -> Option<Shared> {
        let start = extent_of(range.start);
        if range.end - range.start < SHARED_MIN_BYTES || range.end > start + EXTENT_BYTES {
            return None;
        }
        let extent = self.take(segment, settled, range.start, next)?;
        extent.share((range.start - start) as usize..(range.end - start) as usize)
    }

    /// Hands out the bytes `range` of the log, extent by extent, if all of them are here.
    pub(crate) fn share_all(&self, range: Range<u64>, mut part: impl FnMut(Shared)) -> bool {
        if !self.has(&range) {
            return false;
        }
        for start in extents_of(&range) {
            let (from, to) = (range.start.max(start), range.end.min(start + EXTENT_BYTES));
            let extent = self.here(start).expect("looked for just now");
            extent.share_all((from - start) as usize..(to - start) as usize, &mut part);
        }
        true
    }

    /// As [`Extents::share`] for what that does not give: fills `out` from log byte `byte` on;
    /// false if the bytes are neither here nor all in the page cache.
    pub(crate) fn copy(
        &mut self,
        segment: &Segment,
        settled: &Range<u64>,
        byte: u64,
        next: Option<u64>,
        out: &mut [u8],
    ) -> bool {
        if (out.len() as u64) < SHARED_MIN_BYTES {
            self.take(segment, settled, byte, next);
        }
        let (mut at, mut out) = (byte, out);
        while !out.is_empty() {
            let start = extent_of(at);
            let from = (at - start) as usize;
            let (part, rest) = out.split_at_mut(out.len().min(EXTENT_BYTES as usize - from));
            if let Some(extent) = self.here(start) {
                extent.copy(from, part);
            } else if !segment.file.read_cached(at - segment.base, part) {
                return false;
            }
            at += part.len() as u64;
            out = rest;
        }
        true
    }

    /// The extent at `start`, if it is here.
    fn here(&self, start: u64) -> Option<&Extent> {
        let place = &self.places[self.place_of(start)];
        place.extent.as_ref().filter(|_| place.start == start)
    }

    /// The extent of the record at `byte`, if it is here, or is wanted often enough and the page
    /// cache has it.
    fn take(
        &mut self,
        segment: &Segment,
        settled: &Range<u64>,
        byte: u64,
        next: Option<u64>,
    ) -> Option<&Extent> {
        let start = extent_of(byte);
        let index = self.place_of(start);
        let place = &mut self.places[index];
        if place.start == start && place.extent.is_some() {
            return place.extent.as_ref();
        }
        if start < settled.start || settled.end < start + EXTENT_BYTES {
            return None;
        }
        if place.start != start {
            (place.start, place.wants) = (start, 0);
            self.pool.give(place.extent.take().map(|it| it.block));
        }
        // Where the page cache lacks a part of it, it is tried ever more seldom.
        let before = place.wants;
        place.wants = before.saturating_add(wants(start, next));
        if place.wants < 2 || before.max(1).ilog2() == place.wants.ilog2() {
            return None;
        }
        let mut block = self.pool.take()?;
        if !segment.file.read_cached(start - segment.base, block.spare()) {
            self.pool.give(Some(block));
            return None;
        }
        self.scratch.resize(EXTENT_BYTES as usize, 0);
        let order = Order::sort(block.spare(), (byte - start) as usize, &mut self.scratch);
        block.advance(EXTENT_BYTES as usize);
        place.extent = Some(Extent { block, order });
        place.extent.as_ref()
    }

    /// Whether bytes of the log are extents, whole ones.
    pub(crate) fn are_whole(bytes: &Range<u64>) -> bool {
        let is_border = |byte: u64| byte.is_multiple_of(EXTENT_BYTES);
        bytes.start < bytes.end && is_border(bytes.start) && is_border(bytes.end)
    }

    /// Whether all extents that these bytes lie in are here.
    pub(crate) fn has(&self, bytes: &Range<u64>) -> bool {
        extents_of(bytes).all(|start| self.here(start).is_some())
    }

    /// Memory for these extents; `None` when answers hold too much.
    ///
    /// # Panics
    /// When they are not whole.
    pub(crate) fn room(&mut self, bytes: &Range<u64>) -> Option<Vec<Block>> {
        assert!(Self::are_whole(bytes), "{bytes:?} are no extents");
        let mut blocks = Vec::new();
        for _ in extents_of(bytes) {
            match self.pool.take() {
                Some(block) => blocks.push(block),
                None => {
                    self.give_back(blocks);
                    return None;
                }
            }
        }
        Some(blocks)
    }

    /// Takes memory back that was not filled.
    pub(crate) fn give_back(&mut self, blocks: Vec<Block>) {
        blocks.into_iter().for_each(|block| self.pool.give(Some(block)));
    }

    /// Keeps extents that were read, from byte `first` of the log on. What is here stays.
    pub(crate) fn keep(&mut self, first: u64, blocks: Vec<Block>) {
        for (start, block) in (first..).step_by(EXTENT_BYTES as usize).zip(blocks) {
            assert_eq!(block.len() as u64, EXTENT_BYTES, "an extent at {start}");
            let index = self.place_of(start);
            let place = &mut self.places[index];
            if place.start == start && place.extent.is_some() {
                self.pool.give(Some(block));
                continue;
            }
            self.pool.give(place.extent.take().map(|it| it.block));
            let extent = Extent { block, order: Order::default() };
            *place = Place { start, wants: 0, extent: Some(extent) };
        }
    }

    fn place_of(&self, start: u64) -> usize {
        (start / EXTENT_BYTES) as usize % self.places.len()
    }

    /// Memory for copies.
    pub(crate) fn pool(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// Memory of the extents, and of those that made way.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.pool.memory_bytes()
    }
}

/// How often an extent is wanted by a reader that wants a record of it, and goes on at `next`.
fn wants(start: u64, next: Option<u64>) -> u32 {
    1 + u32::from(next.is_some_and(|next| extent_of(next) == start))
}

/// First byte of the extent that byte `byte` lies in.
fn extent_of(byte: u64) -> u64 {
    byte - byte % EXTENT_BYTES
}

/// Where the extents begin that these bytes lie in.
fn extents_of(bytes: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    (extent_of(bytes.start)..bytes.end).step_by(EXTENT_BYTES as usize)
}

#[cfg(test)]
mod tests {
    use ringmq_protocol::record::{Placement, encode};
    use ringmq_runtime::buffer::DmaBuffer;
    use ringmq_runtime::disk::{Access, Disk};
    use ringmq_runtime::sim::World;

    use super::*;
    use crate::append::tests::message;

    const SIZE_BYTES: u64 = EXTENT_BYTES * 512;
    const BASE: u64 = EXTENT_BYTES * 10;
    const LEN: u64 = EXTENT_BYTES * 4;

    fn byte_at(byte: u64) -> u8 {
        (byte % 251) as u8
    }

    async fn write(segment: &Segment, bytes: Range<u64>, value: impl Fn(u64) -> u8) {
        let mut buffer = DmaBuffer::alloc((bytes.end - bytes.start) as usize);
        for (slot, byte) in buffer.as_mut_slice().iter_mut().zip(bytes.clone()) {
            *slot = value(byte);
        }
        segment.file.write_at(bytes.start - segment.base, buffer).await.expect("written");
    }

    /// A segment at [`BASE`] of which each byte tells its place.
    async fn segment(disk: &Disk) -> Segment {
        disk.create_zeroed("segment", LEN).await.expect("made");
        let file = disk.open("segment", Access::ReadWrite).await.expect("opened");
        let segment = Segment { base: BASE, file, filled: LEN, is_reopened: false };
        write(&segment, BASE..BASE + LEN, byte_at).await;
        segment
    }

    /// Reads until the simulated page cache, which forgets at random, has everything.
    fn read(
        extents: &mut Extents,
        segment: &Segment,
        settled_to: u64,
        bytes: Range<u64>,
    ) -> Vec<u8> {
        let settled = segment.base..settled_to;
        if let Some(shared) = extents.share(segment, &settled, bytes.clone(), None) {
            return shared.to_vec();
        }
        let mut out = vec![0; (bytes.end - bytes.start) as usize];
        while !extents.copy(segment, &settled, bytes.start, None, &mut out) {}
        out
    }

    #[test]
    fn bytes_across_extents_come_as_they_are() {
        let world = World::new(1);
        let disk = world.disk(0);
        world.run(async {
            let (segment, mut extents) = (segment(&disk).await, Extents::new(SIZE_BYTES));
            for bytes in [BASE + 5..BASE + 700, BASE + 60_000..BASE + 200_000, BASE..BASE + LEN] {
                for _ in 0..4 {
                    let expected: Vec<u8> = bytes.clone().map(byte_at).collect();
                    assert!(read(&mut extents, &segment, BASE + LEN, bytes.clone()) == expected);
                }
            }
            assert!(extents.memory_bytes() > 0);
        });
    }

    #[test]
    fn bytes_of_several_extents_are_handed_out_when_all_of_them_are_here() {
        let mut extents = Extents::new(SIZE_BYTES);
        let bytes = BASE..BASE + 3 * EXTENT_BYTES;
        let mut blocks = extents.room(&bytes).expect("room");
        for (at, block) in (BASE..).step_by(EXTENT_BYTES as usize).zip(&mut blocks) {
            (at..).zip(block.spare()).for_each(|(at, byte)| *byte = byte_at(at));
            block.advance(EXTENT_BYTES as usize);
        }
        let last = blocks.pop();
        extents.keep(BASE, blocks);
        let share = |extents: &Extents, bytes: Range<u64>| {
            let mut shared = Vec::new();
            extents.share_all(bytes, |part| shared.extend_from_slice(&part)).then_some(shared)
        };
        for bytes in [
            BASE + 1000..BASE + EXTENT_BYTES + 1,
            BASE..BASE + 2 * EXTENT_BYTES,
            BASE + EXTENT_BYTES - 1..BASE + EXTENT_BYTES,
        ] {
            let expected: Vec<u8> = bytes.clone().map(byte_at).collect();
            assert!(share(&extents, bytes) == Some(expected));
        }
        assert_eq!(share(&extents, BASE + 5..BASE + 2 * EXTENT_BYTES + 1), None);
        extents.keep(BASE + 2 * EXTENT_BYTES, last.into_iter().collect());
        assert_eq!(
            share(&extents, BASE + 5..BASE + 2 * EXTENT_BYTES + 1).map(|all| all.len()),
            Some(2 * EXTENT_BYTES as usize - 4)
        );
    }

    /// A segment at [`BASE`] full of records of three queues, with its bytes and the places of the
    /// records in them; what no record fits into is 0.
    async fn records(disk: &Disk) -> (Segment, Vec<u8>, Vec<(i32, Range<usize>)>) {
        let (mut bytes, mut records) = (vec![0; LEN as usize], Vec::new());
        let (mut at, mut next) = (0, [0; 3]);
        loop {
            let queue = records.len() * records.len() % 3;
            let body = vec![records.len() as u8; 900 + at % 300];
            let physical_offset = (BASE as usize + at) as i64;
            let placement =
                Placement { queue_offset: next[queue], physical_offset, stored_at_ms: 1 };
            let record = message("topic", queue as i32, &body);
            let Ok(len) = encode(&mut bytes[at..], &record, placement) else { break };
            next[queue] += 1;
            records.push((queue as i32, at..at + len));
            at += len;
        }
        let segment = segment(disk).await;
        write(&segment, BASE..BASE + LEN, |byte| bytes[(byte - BASE) as usize]).await;
        (segment, bytes, records)
    }

    #[test]
    fn records_and_ranges_of_sorted_and_other_extents_come_as_they_are() {
        let world = World::new(4);
        let disk = world.disk(0);
        world.run(async {
            let (segment, log, records) = records(&disk).await;
            let mut extents = Extents::new(SIZE_BYTES);
            // The third of four was read by the device, and stays as it is.
            let unsorted = BASE + 2 * EXTENT_BYTES..BASE + 3 * EXTENT_BYTES;
            let mut blocks = extents.room(&unsorted).expect("room");
            let kept = (unsorted.start - BASE) as usize..(unsorted.end - BASE) as usize;
            blocks[0].spare().copy_from_slice(&log[kept]);
            blocks[0].advance(EXTENT_BYTES as usize);
            extents.keep(unsorted.start, blocks);
            let in_log = |bytes: &Range<usize>| BASE + bytes.start as u64..BASE + bytes.end as u64;
            // Until the simulated page cache has had everything.
            while !extents.has(&(BASE..BASE + LEN)) {
                for (_, bytes) in &records {
                    let seen = read(&mut extents, &segment, BASE + LEN, in_log(bytes));
                    assert!(seen == log[bytes.clone()], "{bytes:?}");
                }
            }
            // In a sorted one a record lies behind the one before of its queue.
            let settled = BASE..BASE + LEN;
            let mut followers = 0;
            for queue in 0..3 {
                let own = records.iter().filter(|(it, _)| *it == queue);
                let slices = own.map(|(_, bytes)| {
                    let shared = extents.share(&segment, &settled, in_log(bytes), None)?;
                    assert!(shared[..] == log[bytes.clone()], "{bytes:?}");
                    Some(shared)
                });
                let slices: Vec<_> = slices.flatten().collect();
                let ends =
                    slices.windows(2).map(|pair| (pair[0].as_ptr_range().end, pair[1].as_ptr()));
                followers += ends.filter(|(end, start)| end == start).count();
            }
            assert!(followers > records.len() / 2, "{followers} of {} records", records.len());
            for from in (0..log.len()).step_by(9973) {
                for len in [1, 600, 20_000, 70_000, 140_000, log.len()] {
                    let bytes = from..log.len().min(from + len);
                    let mut shared = Vec::new();
                    assert!(
                        extents.share_all(in_log(&bytes), |part| shared.extend_from_slice(&part))
                    );
                    assert!(shared == log[bytes.clone()], "shared {bytes:?}");
                    let mut copy = vec![0; bytes.len()];
                    assert!(extents.copy(&segment, &settled, BASE + from as u64, None, &mut copy));
                    assert!(copy == log[bytes.clone()], "copied {bytes:?}");
                }
            }
        });
    }

    #[test]
    fn a_extent_that_may_still_change_is_never_kept() {
        let world = World::new(2);
        let disk = world.disk(0);
        world.run(async {
            let (segment, mut extents) = (segment(&disk).await, Extents::new(SIZE_BYTES));
            // The last byte of the extent is not settled.
            let settled_to = BASE + EXTENT_BYTES - 1;
            for value in [7, 8, 9] {
                write(&segment, BASE..BASE + 4096, |_| value).await;
                for _ in 0..3 {
                    let seen = read(&mut extents, &segment, settled_to, BASE..BASE + 100);
                    assert_eq!(seen, [value; 100]);
                }
            }
            assert_eq!(extents.memory_bytes(), 0);
        });
    }

    #[test]
    fn a_extent_is_kept_from_the_second_time_on_and_makes_way_for_another_in_its_place() {
        let world = World::new(3);
        let disk = world.disk(0);
        world.run(async {
            let (segment, mut extents) = (segment(&disk).await, Extents::new(SIZE_BYTES));
            let settled_to = BASE + LEN;
            read(&mut extents, &segment, settled_to, BASE..BASE + 1);
            // As often as it takes to find it in the page cache.
            while extents.memory_bytes() == 0 || extents.places[10].extent.is_none() {
                read(&mut extents, &segment, settled_to, BASE + 1000..BASE + 1001);
            }
            write(&segment, BASE..BASE + 4096, |_| 0).await;
            let kept = read(&mut extents, &segment, settled_to, BASE + 1..BASE + 3);
            assert_eq!(kept, [byte_at(BASE + 1), byte_at(BASE + 2)]);
            let other = Segment { base: BASE + SIZE_BYTES, ..segment.clone() };
            let settled = other.base..other.base + LEN;
            while extents.share(&other, &settled, other.base..other.base + 600, None).is_none() {}
            assert_eq!(read(&mut extents, &segment, settled_to, BASE + 1..BASE + 3), [0, 0]);
        });
    }
}
