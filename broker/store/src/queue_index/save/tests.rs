use super::*;
use crate::queue::{Expiry, Found};
use crate::queue_index::tests::{entry, index_with};

const FILE_BYTES: u64 = 1 << 20;

fn checkpoint(index: &mut QueueIndex, below: u64, limit: usize) -> Vec<u8> {
    let mut out = FrameWriter::new(0, FILE_BYTES, 0, Vec::new());
    let mut saving = index.begin_save(&mut out, below, limit);
    while index.save_next(&mut saving, 1, &mut out) {}
    index.saved(saving.into_saved(), |_, _| {});
    out.finish().0
}

#[test]
fn a_checkpoint_moves_full_blocks_of_durable_entries_out_of_memory() {
    let (mut index, key) = index_with(20);
    checkpoint(&mut index, 1850, 8);
    let queue = index.get(key).expect("a queue");
    assert_eq!((queue.directory.len(), queue.recent_first, queue.next()), (2, 16, 20));
    assert!(matches!(queue.find(15), Some(Found::Block { count: 8, block }) if block.first == 8));
    assert_eq!(queue.find(16), Some(Found::Here(entry(16))));
    assert_eq!(queue.find(20), None);
    assert_eq!(index.recent_entries(), 4);
    assert!(index.is_dirty(), "two entries are not durable yet");
    checkpoint(&mut index, 2000, 8);
    assert!(!index.is_dirty());
}

#[test]
fn retention_drops_whole_blocks_and_keeps_the_offsets() {
    let (mut index, key) = index_with(20);
    checkpoint(&mut index, 2000, 8);
    let inside = index.get(key).expect("a queue").expiry(850);
    assert!(matches!(inside, Expiry::Inside { block, count: 8 } if block.first == 8));
    index.raise_min(key, 9);
    let queue = index.get(key).expect("a queue");
    assert_eq!((queue.min, queue.directory.len(), queue.find(8)), (9, 1, None));
    assert!(matches!(queue.expiry(1500), Expiry::Inside { .. }));
    assert_eq!(queue.expiry(1700), Expiry::Exact(17));
    index.raise_min(key, 18);
    let queue = index.get(key).expect("a queue");
    assert_eq!((queue.min, queue.directory.len(), queue.next()), (18, 0, 20));
    assert_eq!(queue.expiry(1900), Expiry::Exact(19));
    index.raise_min(key, 20);
    let queue = index.get(key).expect("a queue");
    assert_eq!((queue.min, queue.next()), (20, 20));
    assert_eq!(index.recent_entries(), 0);
}

#[test]
fn a_queue_that_grows_while_a_checkpoint_is_written_is_in_the_next_one_once() {
    let mut index = QueueIndex::new(8);
    let keys = [0, 1, 2].map(|id| index.open("topic", id, 0).expect("a slot"));
    for number in 0..3 {
        keys.iter().for_each(|key| index.push(*key, entry(number)));
    }
    checkpoint(&mut index, u64::MAX, 8);
    let mut out = FrameWriter::new(0, FILE_BYTES, 0, Vec::new());
    // All are crowded for a limit of 2, and not dirty.
    let mut saving = index.begin_save(&mut out, 300, 2);
    assert!(index.save_next(&mut saving, 1, &mut out));
    keys.iter().for_each(|key| index.push(*key, entry(3)));
    index.delete(keys[2]);
    while index.save_next(&mut saving, 1, &mut out) {}
    assert_eq!(index.deleted, [2]);
    index.save_deletions(&mut out);
    index.saved(saving.into_saved(), |_, _| {});
    assert_eq!(index.recent_entries(), 2, "the entry that came meanwhile, of two queues");
    let mut listed = index.dirty.clone();
    listed.sort_unstable();
    assert_eq!(listed, [0, 1]);
    assert!(index.deleted.is_empty(), "or the next checkpoint would be the first to tell");
}

#[test]
fn many_small_queues_give_up_blocks_before_they_fill_memory() {
    let mut index = QueueIndex::new(64);
    for id in 0..100 {
        let key = index.open("topic", id, 0).expect("a slot");
        (0..10).for_each(|number| index.push(key, entry(number)));
    }
    assert_eq!(index.block_limit(1000), 64);
    let limit = index.block_limit(500);
    assert!(limit <= 8, "limit {limit}");
    checkpoint(&mut index, u64::MAX, limit);
    assert!(index.recent_entries() <= 500);
}
