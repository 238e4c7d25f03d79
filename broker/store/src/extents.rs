//! Extents of the log that several reads want, taken from the page cache once, or read by the
//! device into their places (`cold.rs`).
//!
//! Queues lie interleaved in the log: the records that a pull wants are no neighbours, and what
//! lies between them is wanted by the pulls of other queues, mostly soon. One record from the page
//! cache costs a system call, 0.3 us; a whole extent with 64 records of 1 KiB costs 5 us, or 20
//! when the CPU's cache has nothing of it.
//!
//! So an extent is taken whole when it is wanted for the second time; a record that nobody else is
//! near is read alone. Extents have places by their position, all in turn: reads that follow
//! each other along the log do not push each other's extents out. Only bytes that never change are
//! kept, so an extent never becomes stale.
//!
//! An extent that is taken from the page cache is sorted by queues (`order.rs`); one that the
//! device reads into its place stays as it is, since nobody knows where in it a record begins.
//!
//! What the device reads into a place for a catch-up makes way as soon as its readers are done with
//! it, so that a catch-up gets by with little memory (`extents/spent.rs`).
//!
//! Answers are slices of extents; small records are copied. An extent that makes way while answers
//! hold slices of it goes to the pool, which has its memory again when they have left. When answers
//! hold all that the pool has, no further extents are taken, and answers are copies.

use std::ops::Range;

use ringmq_runtime::buffer::Shared;

use crate::order::Order;
use crate::pool::{self, Pool};
use crate::segment::Segment;
use extent::Extent;
use spent::Spent;

mod extent;
mod from_device;
mod spent;

/// Bytes of an extent: taking it holds up the shard for 5 to 20 us, and more would mostly be for
/// nobody.
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
    spent: Spent,
    /// What the page cache gives goes here, which the CPU's cache holds, and is sorted from here.
    scratch: Vec<u8>,
}

/// Where extents of some positions are kept, one at a time.
#[derive(Default)]
struct Place {
    /// First byte of the extent in the log.
    start: u64,
    /// How often it was wanted while it was not here.
    wants: u32,
    /// Whether it was here, and went early.
    went_early: bool,
    /// The extent, if it is here.
    extent: Option<Extent>,
}

impl Extents {
    /// Room for `bytes`, one extent at least.
    pub(crate) fn new(bytes: u64) -> Self {
        let count = (bytes / EXTENT_BYTES).max(1) as usize;
        let places = std::iter::repeat_with(Place::default).take(count).collect();
        let (pool, spent) = (Pool::new(count + HELD_MAX), Spent::new(count));
        Self { places, pool, spent, scratch: Vec::new() }
    }

    /// Hands out a record, the bytes `range` of the log, all of `segment`, if it is here or is
    /// taken now: as one slice, or as two where it begins in one extent and ends in the next. Bytes
    /// of the segment in `settled` do not change any more; `next` is what the reader wants next.
    pub(crate) fn share_record(
        &mut self,
        segment: &Segment,
        settled: &Range<u64>,
        range: Range<u64>,
        next: Option<u64>,
        mut part: impl FnMut(Shared),
    ) -> bool {
        match self.share(segment, settled, range.clone(), next) {
            Some(shared) => {
                part(shared);
                true
            }
            None => self.share_two(range, part),
        }
    }

    /// As [`Extents::share_record`] for one that lies in one extent.
    fn share(
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
        let shared = extent.share((range.start - start) as usize..(range.end - start) as usize)?;
        if extent.hand_out(range.end - range.start) {
            self.spend(start);
        }
        Some(shared)
    }

    /// Hands out the bytes `range` of the log, extent by extent, if all of them are here.
    pub(crate) fn share_all(&mut self, range: Range<u64>, mut part: impl FnMut(Shared)) -> bool {
        if let Some(missing) = extents_of(&range).find(|&start| self.here(start).is_none()) {
            self.miss(missing);
            return false;
        }
        self.share_here(range, &mut part);
        true
    }

    /// As [`Extents::share_record`] for one that begins in one extent and ends in the next: two
    /// slices cost less than a copy, for which there has to be a block.
    fn share_two(&mut self, range: Range<u64>, mut part: impl FnMut(Shared)) -> bool {
        let is_long = range.end - range.start >= SHARED_MIN_BYTES;
        let is_two = is_long && extents_of(&range).count() == 2 && self.has(&range);
        if is_two {
            self.share_here(range, &mut part);
        }
        is_two
    }

    /// Hands out bytes of extents that are all here.
    fn share_here(&mut self, range: Range<u64>, part: &mut impl FnMut(Shared)) {
        for start in extents_of(&range) {
            let (from, to) = (range.start.max(start), range.end.min(start + EXTENT_BYTES));
            let extent = self.here(start).expect("looked for just now");
            extent.share_all((from - start) as usize..(to - start) as usize, part);
        }
        self.hand_out(range);
    }

    /// As [`Extents::share_record`] for a record that it does not give: fills `out` from log byte
    /// `byte` on; false if the bytes are neither here nor all in the page cache.
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
        let bytes = byte..byte + out.len() as u64;
        let (mut at, mut out, mut has_unread) = (byte, out, false);
        while !out.is_empty() {
            let start = extent_of(at);
            let from = (at - start) as usize;
            let (part, rest) = out.split_at_mut(out.len().min(EXTENT_BYTES as usize - from));
            if let Some(extent) = self.here(start) {
                extent.copy(from, part);
                has_unread |= extent.is_unread();
            } else if !segment.file.read_cached(at - segment.base, part) {
                return false;
            }
            at += part.len() as u64;
            out = rest;
        }
        if has_unread {
            self.hand_out(bytes);
        }
        true
    }

    /// The extent at `start`, if it is here.
    fn here(&self, start: u64) -> Option<&Extent> {
        let place = &self.places[self.place_of(start)];
        place.extent.as_ref().filter(|_| place.start == start)
    }

    /// The same, to be changed.
    fn here_mut(&mut self, start: u64) -> Option<&mut Extent> {
        let index = self.place_of(start);
        let place = &mut self.places[index];
        place.extent.as_mut().filter(|_| place.start == start)
    }

    /// The extent of the record at `byte`, if it is here, or is wanted often enough and the page
    /// cache has it.
    fn take(
        &mut self,
        segment: &Segment,
        settled: &Range<u64>,
        byte: u64,
        next: Option<u64>,
    ) -> Option<&mut Extent> {
        let start = extent_of(byte);
        let index = self.place_of(start);
        let place = &self.places[index];
        if place.start == start && place.extent.is_some() {
            return self.places[index].extent.as_mut();
        }
        if !is_settled(settled, start) {
            return None;
        }
        self.miss(start);
        let place = self.cleared(start);
        // Where the page cache lacks a part of it, it is tried ever more seldom.
        let before = place.wants;
        place.wants = before.saturating_add(wants(start, next));
        if place.wants < 2 || before.max(1).ilog2() == place.wants.ilog2() {
            return None;
        }
        let mut block = self.pool.take()?;
        self.scratch.resize(EXTENT_BYTES as usize, 0);
        if !segment.file.read_cached(start - segment.base, &mut self.scratch) {
            self.pool.give(Some(block));
            return None;
        }
        let order = Order::sort(&self.scratch, (byte - start) as usize, block.spare());
        block.advance(EXTENT_BYTES as usize);
        Some(self.places[index].extent.insert(Extent::from_cache(block, order)))
    }

    /// Whether the extent of the record at `byte` is not here, though nothing of it changes now.
    pub(crate) fn lacks(&self, settled: &Range<u64>, byte: u64) -> bool {
        let start = extent_of(byte);
        is_settled(settled, start) && self.here(start).is_none()
    }

    /// The place of the extent at `start`; what it holds of another position makes way.
    fn cleared(&mut self, start: u64) -> &mut Place {
        let index = self.place_of(start);
        let place = &mut self.places[index];
        if place.start != start {
            self.pool.give(place.extent.take().map(|it| it.block));
            *place = Place { start, ..Place::default() };
        }
        place
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

/// Whether nothing of the extent at `start` changes any more, and all of it is in the segment.
fn is_settled(settled: &Range<u64>, start: u64) -> bool {
    settled.start <= start && start + EXTENT_BYTES <= settled.end
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
mod tests;
