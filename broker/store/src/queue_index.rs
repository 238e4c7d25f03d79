//! The queues of a log: found by name, filled by appends, saved by checkpoints ([`save`]).

mod save;

use std::hash::BuildHasher;

use hashbrown::HashTable;
use ringmq_runtime::random::Hasher;

use crate::entry::Entry;
use crate::position::QueueKey;
use crate::queue::Queue;

pub(crate) use self::save::QueueSaved;

/// Slots of one log: 16 M queues, of which each costs about 200 bytes. A file that names more is
/// broken. Few enough to be filled in unit tests.
pub(crate) const SLOTS_MAX: usize = if cfg!(test) { 256 } else { 1 << 24 };

/// All queues of a log.
pub(crate) struct QueueIndex {
    slots: Vec<Option<Queue>>,
    /// Slots that were empty when the log was opened, the first of them last.
    free: Vec<u32>,
    by_name: HashTable<u32>,
    hasher: Hasher,
    dirty: Vec<u32>,
    deleted: Vec<u32>,
    recent_entries: usize,
    block_entries: usize,
}

impl QueueIndex {
    /// No queues; blocks are to hold `block_entries` entries.
    pub(crate) fn new(block_entries: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_name: HashTable::new(),
            hasher: Hasher::default(),
            dirty: Vec::new(),
            deleted: Vec::new(),
            recent_entries: 0,
            block_entries,
        }
    }

    /// The slot of a queue.
    pub(crate) fn find(&self, topic: &str, queue_id: i32) -> Option<QueueKey> {
        let found = self.by_name.find(self.hash(topic, queue_id), |slot| {
            self.slots[*slot as usize]
                .as_ref()
                .is_some_and(|queue| queue.queue_id == queue_id && *queue.topic == *topic)
        });
        found.copied().map(QueueKey)
    }

    /// The queue of a key; `None` when it was deleted.
    pub(crate) fn get(&self, key: QueueKey) -> Option<&Queue> {
        self.slots.get(key.slot())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: QueueKey) -> Option<&mut Queue> {
        self.slots.get_mut(key.slot())?.as_mut()
    }

    /// Slots handed out so far, deleted queues included.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// All queues with their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (QueueKey, &Queue)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, queue)| queue.as_ref().map(|queue| (QueueKey(slot as u32), queue)))
    }

    /// Creates a queue whose first message will have offset `first`; `None` when all slots are
    /// taken.
    pub(crate) fn open(&mut self, topic: &str, queue_id: i32, first: u64) -> Option<QueueKey> {
        let slot = self.free.pop().map_or(self.slots.len(), |slot| slot as usize);
        self.put(slot, Queue::new(topic, queue_id, first)).then(|| {
            self.mark_dirty(QueueKey(slot as u32));
            QueueKey(slot as u32)
        })
    }

    /// Puts a queue read from disk into its slot; false when the slot is taken or out of range.
    pub(crate) fn restore(&mut self, slot: u32, mut queue: Queue) -> bool {
        queue.is_announced = true;
        (queue.saved, queue.saved_min) = (queue.next(), queue.min);
        queue.visible = queue.next();
        self.put(slot as usize, queue)
    }

    fn put(&mut self, slot: usize, queue: Queue) -> bool {
        if slot >= SLOTS_MAX || self.slots.get(slot).is_some_and(Option::is_some) {
            return false;
        }
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        let hash = self.hash(&queue.topic, queue.queue_id);
        self.recent_entries += queue.recent.len();
        self.slots[slot] = Some(queue);
        let Self { by_name, slots, hasher, .. } = self;
        by_name.insert_unique(hash, slot as u32, |slot| {
            let queue = slots[*slot as usize].as_ref().expect("named slots are taken");
            hasher.hash_one((&*queue.topic, queue.queue_id))
        });
        true
    }

    /// Adds the entry of the newest message of a queue, unseen by consumers until it is
    /// acknowledged.
    pub(crate) fn push(&mut self, key: QueueKey, entry: Entry) {
        let queue = self.slots[key.slot()].as_mut().expect("appends go to queues that exist");
        queue.recent.push_back(entry);
        self.recent_entries += 1;
        if !queue.is_dirty {
            queue.is_dirty = true;
            self.dirty.push(key.0);
        }
    }

    /// Lets consumers see one more message of a queue.
    pub(crate) fn acknowledge_one(&mut self, key: QueueKey) {
        let Some(queue) = self.slots[key.slot()].as_mut() else { return };
        queue.visible += 1;
        debug_assert!(queue.visible <= queue.next());
    }

    /// Lets consumers see all of a queue: what is found at start is safe by then.
    pub(crate) fn show_all(&mut self, key: QueueKey) {
        if let Some(queue) = self.get_mut(key) {
            queue.visible = queue.next();
        }
    }

    /// Forgets a queue. Its slot is not used again while this log is open, since there may be keys
    /// of it; at the next start everybody knows that the queue is gone.
    pub(crate) fn delete(&mut self, key: QueueKey) {
        let Some(queue) = self.remove(key) else { return };
        self.recent_entries -= queue.recent.len();
        if queue.is_announced {
            self.deleted.push(key.0);
        }
    }

    /// Lets a queue that was deleted begin at offset 0 again, in the slot that it has: a start may,
    /// as nobody has keys of the queue that it was.
    pub(crate) fn begin_anew(&mut self, key: QueueKey) {
        let Some(before) = self.get(key) else { return };
        let mut queue = Queue::new(&before.topic, before.queue_id, 0);
        // The slot may be on the list already, and must not be on it twice.
        queue.is_dirty = before.is_dirty;
        self.delete(key);
        self.put(key.slot(), queue);
        self.mark_dirty(key);
    }

    /// Forgets a queue that the index stream says is gone. Entries are counted when all of the
    /// stream is read ([`QueueIndex::recount`]).
    pub(crate) fn restore_deletion(&mut self, key: QueueKey) {
        drop(self.remove(key));
    }

    fn remove(&mut self, key: QueueKey) -> Option<Queue> {
        let queue = self.slots.get_mut(key.slot()).and_then(Option::take)?;
        let hash = self.hash(&queue.topic, queue.queue_id);
        if let Ok(found) = self.by_name.find_entry(hash, |slot| *slot == key.0) {
            found.remove();
        }
        Some(queue)
    }

    /// Raises the minimum of a queue, for retention.
    pub(crate) fn raise_min(&mut self, key: QueueKey, min: u64) {
        let Some(queue) = self.slots[key.slot()].as_mut() else { return };
        let before = queue.recent.len();
        queue.raise_min(min);
        self.recent_entries -= before - queue.recent.len();
        self.mark_dirty(key);
    }

    /// Tells the next checkpoint to look at a queue.
    fn mark_dirty(&mut self, key: QueueKey) {
        if let Some(queue) = self.slots[key.slot()].as_mut()
            && !queue.is_dirty
        {
            queue.is_dirty = true;
            self.dirty.push(key.0);
        }
    }

    /// Entries in memory, over all queues.
    pub(crate) fn recent_entries(&self) -> usize {
        self.recent_entries
    }

    /// Whether a checkpoint would write something.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.deleted.is_empty()
    }

    /// How many further queues fit.
    pub(crate) fn free_slots(&self) -> usize {
        SLOTS_MAX - self.slots.len() + self.free.len()
    }

    /// Counts the entries in memory and the free slots again, after a start from disk changed
    /// queues in place.
    pub(crate) fn recount(&mut self) {
        let slots = self.slots.iter().enumerate().rev();
        self.free = slots.filter(|slot| slot.1.is_none()).map(|slot| slot.0 as u32).collect();
        self.recent_entries = self.iter().map(|(_, queue)| queue.recent.len()).sum();
    }

    /// Notes where each queue ends: the log begins to serve.
    pub(crate) fn note_start(&mut self) {
        for queue in self.slots.iter_mut().flatten() {
            queue.at_start = queue.next();
        }
    }

    /// Number of queues.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    fn hash(&self, topic: &str, queue_id: i32) -> u64 {
        self.hasher.hash_one((topic, queue_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn entry(number: u64) -> Entry {
        Entry::new(number * 100, 100, 1000 + number, 7)
    }

    pub(super) fn index_with(messages: u64) -> (QueueIndex, QueueKey) {
        let mut index = QueueIndex::new(8);
        let key = index.open("topic", 3, 0).expect("a slot");
        (0..messages).for_each(|number| index.push(key, entry(number)));
        (index, key)
    }

    #[test]
    fn queues_are_found_by_topic_and_id() {
        let (mut index, key) = index_with(0);
        let other = index.open("topic", 4, 0).expect("a slot");
        assert_eq!(index.find("topic", 3), Some(key));
        assert_eq!(index.find("topic", 4), Some(other));
        assert_eq!(index.find("topi", 3), None);
        index.delete(key);
        assert_eq!(index.find("topic", 3), None);
        assert!(index.get(key).is_none());
        assert_eq!(index.len(), 1);
    }

    #[test]
    fn messages_become_visible_one_by_one() {
        let (mut index, key) = index_with(3);
        let ends = |index: &QueueIndex| {
            index.get(key).map(|queue| (queue.visible, queue.next())).expect("a queue")
        };
        assert_eq!(ends(&index), (0, 3));
        index.acknowledge_one(key);
        index.acknowledge_one(key);
        assert_eq!(ends(&index), (2, 3));
    }
}
