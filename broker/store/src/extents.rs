//! Extents of the log that several reads want, taken from the page cache once.
//!
//! Queues lie interleaved in the log: the records that a pull wants are no neighbours, and what
//! lies between them is wanted by the pulls of other queues, mostly soon. One record from the page
//! cache costs a system call, 0.3 us; a whole extent with 64 records of 1 KiB costs 5 us.
//!
//! So an extent is taken whole when it is wanted for the second time; a record that nobody else is
//! near is read alone. Extents have places by their position, [`PLACES`] in turn: reads that follow
//! each other along the log do not push each other's extents out. Only bytes that never change are
//! kept, so an extent never becomes stale.

use std::ops::Range;

use crate::segments::Segment;

/// Bytes of an extent: taking it holds up the shard for 5 us, and more would mostly be for nobody.
const EXTENT_BYTES: u64 = 64 << 10;

/// Extents of one log in memory, 8 MiB in all: two pulls of 1024 messages of 1 KiB from a topic of
/// four queues.
const PLACES: usize = 128;

/// The extents of one log.
pub(crate) struct Extents {
    places: Vec<Place>,
}

/// Where extents of some positions are kept, one at a time.
#[derive(Clone, Default)]
struct Place {
    /// First byte of the extent in the log.
    start: u64,
    /// How often it was wanted while it was not here.
    wants: u32,
    is_here: bool,
    /// Memory for an extent, once there was one.
    bytes: Vec<u8>,
}

impl Extents {
    pub(crate) fn new() -> Self {
        Self { places: vec![Place::default(); PLACES] }
    }

    /// Fills `out` with the bytes of `segment` from log byte `byte` on; false if they are neither
    /// here nor all in the page cache. Bytes of the segment in `settled` do not change any more.
    pub(crate) fn copy(
        &mut self,
        segment: &Segment,
        settled: Range<u64>,
        byte: u64,
        out: &mut [u8],
    ) -> bool {
        let (mut at, mut out) = (byte, out);
        while !out.is_empty() {
            let start = at - at % EXTENT_BYTES;
            let from = (at - start) as usize;
            let (part, rest) = out.split_at_mut(out.len().min(EXTENT_BYTES as usize - from));
            let is_settled = settled.start <= start && start + EXTENT_BYTES <= settled.end;
            let extent = if is_settled { self.take(segment, start) } else { None };
            if let Some(extent) = extent {
                part.copy_from_slice(&extent[from..from + part.len()]);
            } else if !segment.file.read_cached(at - segment.base, part) {
                return false;
            }
            at += part.len() as u64;
            out = rest;
        }
        true
    }

    /// The extent at `start`, if it is here, or is wanted often enough and the page cache has it.
    fn take(&mut self, segment: &Segment, start: u64) -> Option<&[u8]> {
        let place = &mut self.places[(start / EXTENT_BYTES) as usize % PLACES];
        if place.start != start {
            (place.start, place.wants, place.is_here) = (start, 0, false);
        }
        if !place.is_here {
            place.wants = place.wants.saturating_add(1);
            // Where the page cache lacks a part of it, it is tried ever more seldom.
            if place.wants < 2 || !place.wants.is_power_of_two() {
                return None;
            }
            place.bytes.resize(EXTENT_BYTES as usize, 0);
            place.is_here = segment.file.read_cached(start - segment.base, &mut place.bytes);
        }
        place.is_here.then_some(&place.bytes)
    }

    /// Memory of the extents.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.places.iter().map(|place| place.bytes.capacity()).sum()
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::buffer::DmaBuffer;
    use ringmq_runtime::disk::{Access, Disk};
    use ringmq_runtime::sim::World;

    use super::*;

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
        let segment = Segment { base: BASE, file, filled: LEN };
        write(&segment, BASE..BASE + LEN, byte_at).await;
        segment
    }

    /// Copies until the simulated page cache, which forgets at random, has everything.
    fn copy(
        extents: &mut Extents,
        segment: &Segment,
        settled_to: u64,
        bytes: Range<u64>,
    ) -> Vec<u8> {
        let mut out = vec![0; (bytes.end - bytes.start) as usize];
        while !extents.copy(segment, BASE..settled_to, bytes.start, &mut out) {}
        out
    }

    #[test]
    fn bytes_across_extents_come_as_they_are() {
        let world = World::new(1);
        let disk = world.disk(0);
        world.run(async {
            let (segment, mut extents) = (segment(&disk).await, Extents::new());
            for bytes in [BASE + 5..BASE + 700, BASE + 60_000..BASE + 200_000, BASE..BASE + LEN] {
                for _ in 0..4 {
                    let expected: Vec<u8> = bytes.clone().map(byte_at).collect();
                    assert!(copy(&mut extents, &segment, BASE + LEN, bytes.clone()) == expected);
                }
            }
            assert!(extents.memory_bytes() > 0);
        });
    }

    #[test]
    fn a_extent_that_may_still_change_is_never_kept() {
        let world = World::new(2);
        let disk = world.disk(0);
        world.run(async {
            let (segment, mut extents) = (segment(&disk).await, Extents::new());
            // The last byte of the extent is not settled.
            let settled_to = BASE + EXTENT_BYTES - 1;
            for value in [7, 8, 9] {
                write(&segment, BASE..BASE + 4096, |_| value).await;
                for _ in 0..3 {
                    let read = copy(&mut extents, &segment, settled_to, BASE..BASE + 100);
                    assert_eq!(read, [value; 100]);
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
            let (segment, mut extents) = (segment(&disk).await, Extents::new());
            let settled_to = BASE + LEN;
            copy(&mut extents, &segment, settled_to, BASE..BASE + 1);
            // As often as it takes to find it in the page cache.
            while extents.memory_bytes() == 0 || !extents.places[10].is_here {
                copy(&mut extents, &segment, settled_to, BASE + 1000..BASE + 1001);
            }
            write(&segment, BASE..BASE + 4096, |_| 0).await;
            let kept = copy(&mut extents, &segment, settled_to, BASE + 1..BASE + 3);
            assert_eq!(kept, [byte_at(BASE + 1), byte_at(BASE + 2)]);
            let other = Segment { base: BASE + EXTENT_BYTES * PLACES as u64, ..segment.clone() };
            let settled = other.base..other.base + LEN;
            while !extents.copy(&other, settled.clone(), other.base, &mut [0]) {}
            assert_eq!(copy(&mut extents, &segment, settled_to, BASE + 1..BASE + 3), [0, 0]);
        });
    }
}
