use ringmq_runtime::buffer::Block;

use super::*;

fn shared(byte: u8, len: usize) -> Shared {
    let mut block = Block::with_capacity(len);
    block.spare()[..len].fill(byte);
    block.advance(len);
    block.share(0..len)
}

/// Drains the queue in writes of at most `step` bytes and returns everything that left.
fn drain(queue: &mut OutQueue, step: usize) -> Vec<u8> {
    let mut sent = Vec::new();
    while !queue.is_empty() {
        let mut written = Vec::new();
        for slice in &*queue.gather() {
            written.extend_from_slice(slice);
        }
        written.truncate(step);
        assert!(!written.is_empty(), "nothing to gather");
        queue.advance(written.len());
        sent.extend_from_slice(&written);
    }
    sent
}

#[test]
fn pieces_leave_in_order_whatever_the_kernel_takes_at_once() {
    for step in [1, 2, 7, 600, 10_000] {
        let mut queue = OutQueue::default();
        let mut expected = Vec::new();
        for round in 0..3u8 {
            queue.append(|out| out.extend_from_slice(b"head"));
            queue.push_shared(shared(round, 700));
            queue.push_shared(shared(b'x', 3));
            expected.extend_from_slice(b"head");
            expected.extend(std::iter::repeat_n(round, 700));
            expected.extend_from_slice(b"xxx");
        }
        assert_eq!(queue.len_bytes(), expected.len() as u64);
        assert_eq!(drain(&mut queue, step), expected, "step {step}");
    }
}

#[test]
fn a_slice_that_only_this_queue_has_is_a_copy_until_it_has_left() {
    let mut queue = OutQueue::default();
    let mut held = Block::with_capacity(4096);
    held.advance(4096);
    queue.push_shared(held.share(0..4096));
    assert_eq!(queue.copied_bytes(), 0, "its owner bounds it");
    queue.push_shared(Shared::copy_of(&[7; 1000]));
    // Two slices of one copy, as in an answer of several pieces.
    let copy = Shared::copy_of(&[8; 2000]);
    queue.push_shared(copy.slice(0..1000));
    queue.push_shared(copy.slice(1000..2000));
    assert_eq!(queue.copied_bytes(), 3000);
    queue.advance(4096 + 999);
    assert_eq!(queue.copied_bytes(), 3000);
    queue.advance(1);
    assert_eq!(queue.copied_bytes(), 2000);
    drain(&mut queue, 100);
    assert_eq!(queue.copied_bytes(), 0);
}

#[test]
fn bytes_appended_while_a_part_has_left_follow_it() {
    let mut queue = OutQueue::default();
    queue.append(|out| out.extend_from_slice(b"abcdef"));
    queue.advance(2);
    queue.append(|out| out.extend_from_slice(b"gh"));
    queue.push_shared(shared(b'!', 600));
    queue.append(|out| out.extend_from_slice(b"z"));
    let rest = drain(&mut queue, 5);
    assert!(rest.starts_with(b"cdefgh!") && rest.ends_with(b"!z"), "{rest:?}");
    assert_eq!(rest.len(), 6 + 600 + 1);
}

#[test]
fn more_pieces_than_one_write_takes_need_several() {
    let mut queue = OutQueue::default();
    for _ in 0..GATHER_PIECES_MAX {
        queue.append(|out| out.push(b'-'));
        queue.push_shared(shared(b'x', COPY_BELOW_BYTES));
    }
    assert_eq!(queue.gather().len(), GATHER_PIECES_MAX);
    let total = GATHER_PIECES_MAX * (COPY_BELOW_BYTES + 1);
    assert_eq!(drain(&mut queue, usize::MAX).len(), total);
}

#[test]
fn a_drained_queue_keeps_a_small_buffer_and_drops_a_large_one() {
    let mut queue = OutQueue::default();
    queue.append(|out| out.resize(1000, 0));
    queue.advance(1000);
    assert!(queue.inline.capacity() >= 1000);
    queue.append(|out| out.resize(KEPT_CAPACITY_BYTES * 2, 0));
    queue.advance(KEPT_CAPACITY_BYTES * 2);
    assert_eq!(queue.inline.capacity(), 0);
}
