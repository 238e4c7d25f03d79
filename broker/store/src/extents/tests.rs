use ringmq_protocol::record::{Placement, encode};
use ringmq_runtime::buffer::DmaBuffer;
use ringmq_runtime::disk::{Access, Disk};
use ringmq_runtime::sim::World;

use super::spent::{MAX_AT_FIRST, MAX_MORE};
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
fn read(extents: &mut Extents, segment: &Segment, settled_to: u64, bytes: Range<u64>) -> Vec<u8> {
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
    let share = |extents: &mut Extents, bytes: Range<u64>| {
        let mut shared = Vec::new();
        extents.share_all(bytes, |part| shared.extend_from_slice(&part)).then_some(shared)
    };
    for bytes in [
        BASE + 1000..BASE + EXTENT_BYTES + 1,
        BASE..BASE + 2 * EXTENT_BYTES,
        BASE + EXTENT_BYTES - 1..BASE + EXTENT_BYTES,
    ] {
        let expected: Vec<u8> = bytes.clone().map(byte_at).collect();
        assert!(share(&mut extents, bytes) == Some(expected));
    }
    assert_eq!(share(&mut extents, BASE + 5..BASE + 2 * EXTENT_BYTES + 1), None);
    extents.keep(BASE + 2 * EXTENT_BYTES, last.into_iter().collect());
    assert_eq!(
        share(&mut extents, BASE + 5..BASE + 2 * EXTENT_BYTES + 1).map(|all| all.len()),
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
        let placement = Placement { queue_offset: next[queue], physical_offset, stored_at_ms: 1 };
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
            let ends = slices.windows(2).map(|pair| (pair[0].as_ptr_range().end, pair[1].as_ptr()));
            followers += ends.filter(|(end, start)| end == start).count();
        }
        assert!(followers > records.len() / 2, "{followers} of {} records", records.len());
        for from in (0..log.len()).step_by(9973) {
            for len in [1, 600, 20_000, 70_000, 140_000, log.len()] {
                let bytes = from..log.len().min(from + len);
                let mut shared = Vec::new();
                assert!(extents.share_all(in_log(&bytes), |part| shared.extend_from_slice(&part)));
                assert!(shared == log[bytes.clone()], "shared {bytes:?}");
                let mut copy = vec![0; bytes.len()];
                assert!(extents.copy(&segment, &settled, BASE + from as u64, None, &mut copy));
                assert!(copy == log[bytes.clone()], "copied {bytes:?}");
            }
        }
    });
}

#[test]
fn an_extent_that_may_still_change_is_never_kept() {
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

fn of(number: u64) -> Range<u64> {
    number * EXTENT_BYTES..(number + 1) * EXTENT_BYTES
}

/// As the device does.
fn bring(extents: &mut Extents, number: u64) {
    let mut blocks = extents.room(&of(number)).expect("room");
    blocks[0].advance(EXTENT_BYTES as usize);
    extents.keep(of(number).start, blocks);
}

/// How many extents it has memory for.
fn memory(extents: &Extents) -> usize {
    extents.memory_bytes() / EXTENT_BYTES as usize
}

fn hand_out(extents: &mut Extents, bytes: Range<u64>) -> bool {
    extents.share_all(bytes, drop)
}

#[test]
fn an_extent_that_made_way_and_came_again_is_unread_whatever_was_handed_out_before() {
    let mut extents = Extents::new(SIZE_BYTES);
    bring(&mut extents, 0);
    assert!(hand_out(&mut extents, of(0)));
    // The other one of its place, and it again.
    for number in [SIZE_BYTES / EXTENT_BYTES, 0] {
        bring(&mut extents, number);
    }
    for number in 1..=MAX_AT_FIRST as u64 {
        bring(&mut extents, number);
        assert!(hand_out(&mut extents, of(number)));
    }
    assert!(extents.has(&of(0)));
}

#[test]
fn extents_that_were_handed_out_make_way_early_and_unread_ones_do_not() {
    let mut extents = Extents::new(SIZE_BYTES);
    let (last, first_max) = (3 * MAX_AT_FIRST as u64, MAX_AT_FIRST as u64);
    for number in 0..=last {
        bring(&mut extents, number);
        // Of the first the last byte is not wanted yet; the others leave in two parts.
        let Range { start, end } = of(number);
        assert!(hand_out(&mut extents, start..end - 1));
        assert!(number == 0 || hand_out(&mut extents, end - 1..end));
    }
    assert_eq!(memory(&extents), MAX_AT_FIRST + 2, "those that stay, the first and the next");
    assert!(extents.has(&of(0)) && extents.has(&(of(last - first_max + 1).start..of(last).end)));
    assert!(!extents.has(&of(last - first_max)));
    assert!(hand_out(&mut extents, of(0)), "more than is left of it");
    assert!(!hand_out(&mut extents, of(5)), "it has gone");
    let more = MAX_MORE as u64;
    let end = last + 2 * more;
    for number in last + 1..=end {
        bring(&mut extents, number);
        assert!(hand_out(&mut extents, of(number)));
    }
    let stay = first_max + more;
    assert_eq!(memory(&extents), MAX_AT_FIRST + MAX_MORE + 1);
    assert!(extents.has(&(of(end - stay + 2).start..of(end).end)), "and the first");
    assert!(extents.has(&of(0)));
}

#[test]
fn a_record_across_a_border_is_two_slices_when_both_extents_are_here() {
    let mut extents = Extents::new(SIZE_BYTES);
    let border = of(1).start;
    let parts = |extents: &mut Extents, range: Range<u64>| {
        let mut lens = Vec::new();
        extents.share_two(range, |part| lens.push(part.len())).then_some(lens)
    };
    bring(&mut extents, 0);
    assert_eq!(parts(&mut extents, border - 100..border + 900), None, "the second is not here");
    bring(&mut extents, 1);
    assert_eq!(parts(&mut extents, border - 100..border + 900), Some(vec![100, 900]));
    assert_eq!(parts(&mut extents, border - 100..border + 100), None, "a copy costs less");
    assert_eq!(parts(&mut extents, border..border + 900), None, "it lies in one");
}

#[test]
fn what_the_device_reads_takes_the_memory_of_what_was_in_its_places() {
    let mut extents = Extents::new(SIZE_BYTES);
    let places = SIZE_BYTES / EXTENT_BYTES;
    for number in 0..places {
        bring(&mut extents, number);
    }
    assert_eq!(memory(&extents), places as usize);
    let next = of(places).start..of(places + 7).end;
    let mut blocks = extents.room(&next).expect("room");
    assert_eq!(memory(&extents), places as usize, "none that was not touched yet");
    assert!(!extents.has(&of(0)) && extents.has(&of(8)));
    blocks.iter_mut().for_each(|block| block.advance(EXTENT_BYTES as usize));
    extents.keep(next.start, blocks);
    assert!(extents.has(&next));
}
