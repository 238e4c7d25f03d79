use super::*;

fn filled(bytes: &[u8], capacity: usize) -> Block {
    let mut block = Block::with_capacity(capacity);
    block.spare()[..bytes.len()].copy_from_slice(bytes);
    block.advance(bytes.len());
    block
}

#[test]
fn a_shared_slice_keeps_its_bytes_while_the_owner_appends() {
    let mut block = filled(b"first", 64);
    let shared = block.share(1..5);
    block.spare()[..6].copy_from_slice(b"second");
    block.advance(6);
    assert_eq!(&*shared, b"irst");
    assert_eq!(block.as_slice(), b"firstsecond");
    assert_eq!(&*block.share(5..11).slice(1..3), b"ec");
}

#[test]
fn readers_on_other_threads_see_what_was_appended() {
    let mut block = Block::with_capacity(1000);
    let readers: Vec<_> = (0..100u8)
        .map(|value| {
            block.spare()[..10].fill(value);
            block.advance(10);
            let shared = block.share(block.len() - 10..block.len());
            std::thread::spawn(move || shared.iter().all(|byte| *byte == value))
        })
        .collect();
    assert!(readers.into_iter().all(|reader| reader.join().expect("reader")));
}

#[test]
fn slices_outlive_their_block_and_forbid_its_reset() {
    let mut block = filled(b"abc", 8);
    let shared = block.share(0..3);
    assert!(!block.try_reset());
    let copy = shared.slice(2..3);
    drop(shared);
    assert!(!block.try_reset());
    drop(block);
    assert_eq!(&*copy, b"c");
}

#[test]
fn a_slice_is_private_when_nobody_else_has_its_memory_or_it_is_a_copy() {
    let block = filled(b"abc", 4096);
    let shared = block.share(0..2);
    assert!(!shared.is_private());
    drop(block);
    assert!(shared.is_private());
    let copy = Shared::copy_of(b"abc");
    assert!(copy.slice(1..2).is_private() && copy.is_private());
    assert!(!Shared::empty().is_private());
}

#[test]
fn slices_that_follow_each_other_in_one_memory_are_joined() {
    let (block, other) = (filled(b"abcdef", 8), filled(b"cd", 8));
    let mut joined = block.share(0..2);
    assert_eq!(joined.join(block.share(3..4)), Err(block.share(3..4)));
    assert_eq!(joined.join(other.share(0..2)), Err(other.share(0..2)));
    assert_eq!(joined.join(Shared::empty()), Err(Shared::empty()));
    assert_eq!(joined.join(block.share(2..4)), Ok(()));
    assert_eq!(joined.join(block.share(4..6)), Ok(()));
    assert_eq!(&*joined, b"abcdef");
    assert_eq!(joined.slice(1..5), block.share(1..5));
}

#[test]
fn remains_tell_how_much_the_slices_of_a_block_hold() {
    let block = filled(b"abc", 4096);
    let shared = block.share(1..2);
    let remains = Remains::from(block);
    assert_eq!(remains.held_bytes(), 4096);
    drop(shared);
    assert_eq!(remains.held_bytes(), 0);
}

#[test]
fn a_block_without_slices_starts_over() {
    let mut block = filled(b"abc", 3);
    assert!(block.spare().is_empty());
    assert!(block.try_reset());
    assert_eq!((block.len(), block.spare().len()), (0, 3));
}

#[test]
fn memory_is_aligned_for_direct_io() {
    let mut block = Block::with_capacity(10);
    assert_eq!(block.spare().as_ptr() as usize % ALIGNMENT_BYTES, 0);
    let buffer = DmaBuffer::alloc(512);
    assert_eq!(buffer.as_slice().as_ptr() as usize % ALIGNMENT_BYTES, 0);
    assert_eq!(buffer.as_slice(), [0; 512]);
}

#[test]
fn empty_slices_need_no_memory() {
    assert_eq!(&*Shared::default(), b"");
    assert_eq!(Shared::from(Vec::new()).slice(0..0), Shared::empty());
}

#[test]
#[should_panic(expected = "share 0..4 of 3 appended bytes")]
fn what_was_not_appended_is_not_shared() {
    let _ = filled(b"abc", 8).share(0..4);
}
