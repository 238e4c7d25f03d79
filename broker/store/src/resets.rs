//! Positions that groups have yet to take: set by an administrator, or void since the topic was
//! deleted.
//!
//! Members of a group keep their positions in memory and commit them, so a new position that is
//! only stored is overwritten by the next commit. Each is therefore *pending* until the group
//! obeys:
//!
//! - set: commits of any other position are dropped, and pulls from elsewhere are told to move. An
//!   UPDATE_CONSUMER_OFFSET that is dropped is answered SUCCESS: members send it without being
//!   asked, and can do nothing about it;
//! - told: once more with every such pull, since an answer may be lost with its connection, or
//!   reach a member that has just lost the queue. After [`TOLD_MAX`] times the client is one that
//!   goes its own way, and the reset ends: a group must not starve;
//! - obeyed, and forgotten: a pull begins at the new position. A commit of it does not suffice: the
//!   member that lost the queue commits what it was told, too. Members of a broadcasting group have
//!   a position each: the first that obeys ends the reset for all, and the others go on where they
//!   are.
//!
//! The positions of all groups end with their topic, while members that run keep theirs and go on
//! there in the next topic of that name. They are sent to 0; a topic that does not come back leaves
//! its resets here. So do groups that never pull again: beyond [`RESETS_MAX`] the older half is
//! forgotten.
//!
//! What is pending is saved with the progress, as the members outlive the broker: a new reset
//! before it is answered, the end of one with the next progress (`flushConsumerOffsetInterval`). A
//! crash in between moves members that had obeyed back once more; they get messages twice and miss
//! none. A crash that takes messages takes positions back to the end of their queues, those of
//! resets, too ([`Resets::limit`]). Positions that members alone know are sent there when they come
//! (the broker's `survivors.rs`).

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::offsets::{OffsetSnapshot, SEPARATOR, copy_groups, keys_of, set_key};
use crate::position::QueueOffset;

/// Resets that are pending at once: 5 MB in groups of many queues each, 45 MB when each is the only
/// one of its group (a node of a map takes 320 bytes), 80 MB when these have the longest names.
const RESETS_MAX: usize = 100_000;

/// Times that a group is told. Clients obey the first answer that reaches them, or with their next
/// assignment; what is left covers lost answers and members that lose the queue.
const TOLD_MAX: u8 = 16;

#[derive(Clone, Copy, Debug)]
struct Pending {
    offset: QueueOffset,
    told: u8,
    /// Rises from one to the next that was set.
    number: u64,
}

/// What a pull has to do with a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing: no reset is pending.
    Nothing,
    /// Nothing: it begins where the reset says, which is over with that.
    Obeyed(QueueOffset),
    /// It is sent there.
    MoveTo(QueueOffset),
    /// The group was told often enough, and goes its own way.
    GivenUp(QueueOffset),
}

/// The pending resets of one log. Lookups allocate nothing.
#[derive(Debug, Default)]
pub struct Resets {
    /// By `topic@group`, then by queue. Ordered, so that a copy can be made in slices.
    groups: BTreeMap<Box<str>, BTreeMap<i32, Pending>>,
    count: usize,
    next_number: u64,
    /// Rises with each change, so that what is unchanged need not be saved.
    version: u64,
    key: String,
}

impl Resets {
    /// Those of a snapshot.
    pub fn from_snapshot(snapshot: &OffsetSnapshot) -> Self {
        let mut resets = Self::default();
        for (key, queues) in &snapshot.pending_resets {
            for (queue_id, offset) in queues {
                if let Ok(offset) = u64::try_from(*offset) {
                    resets.insert(key.as_str(), *queue_id, QueueOffset(offset));
                }
            }
        }
        resets
    }

    /// Copies the next slice, as [`crate::offsets::OffsetTable::copy_next`] does.
    pub fn copy_next(&self, snapshot: &mut OffsetSnapshot, count: usize) -> bool {
        copy_groups(&self.groups, &mut snapshot.pending_resets, count, |reset| reset.offset)
    }

    /// Changes whenever what is saved does.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The group shall go on at `offset` of a queue.
    pub fn set(&mut self, group: &str, topic: &str, queue_id: i32, offset: QueueOffset) {
        let mut key = std::mem::take(&mut self.key);
        set_key(&mut key, group, topic);
        self.insert(&key, queue_id, offset);
        self.key = key;
    }

    fn insert(&mut self, key: &str, queue_id: i32, offset: QueueOffset) {
        if self.count >= RESETS_MAX && !self.has(key, queue_id) {
            self.forget_older_half();
        }
        let reset = Pending { offset, told: 0, number: self.next_number };
        self.next_number += 1;
        let queues = match self.groups.get_mut(key) {
            Some(queues) => queues,
            None => self.groups.entry(key.into()).or_default(),
        };
        self.count += usize::from(queues.insert(queue_id, reset).is_none());
        self.version += 1;
    }

    fn has(&self, key: &str, queue_id: i32) -> bool {
        self.groups.get(key).is_some_and(|queues| queues.contains_key(&queue_id))
    }

    fn forget_older_half(&mut self) {
        let all = self.groups.values().flat_map(BTreeMap::values);
        let mut numbers: Vec<u64> = all.map(|reset| reset.number).collect();
        let middle = numbers.len() / 2;
        let kept_from = *numbers.select_nth_unstable(middle).1;
        self.groups.retain(|_, queues| {
            queues.retain(|_, reset| reset.number >= kept_from);
            !queues.is_empty()
        });
        self.count = self.groups.values().map(BTreeMap::len).sum();
        self.version += 1;
    }

    /// Where the group shall go on; looked at with every commit.
    pub fn get(&mut self, group: &str, topic: &str, queue_id: i32) -> Option<QueueOffset> {
        self.pending(group, topic, queue_id).map(|reset| reset.offset)
    }

    fn pending(&mut self, group: &str, topic: &str, queue_id: i32) -> Option<&mut Pending> {
        if self.groups.is_empty() {
            return None;
        }
        set_key(&mut self.key, group, topic);
        self.groups.get_mut(self.key.as_str())?.get_mut(&queue_id)
    }

    /// What a pull of the group that begins at `from` is told.
    pub fn tell(&mut self, group: &str, topic: &str, queue_id: i32, from: i64) -> Told {
        let Some(reset) = self.pending(group, topic, queue_id) else { return Told::Nothing };
        let offset = reset.offset;
        if offset.wire() != from && reset.told < TOLD_MAX {
            reset.told += 1;
            return Told::MoveTo(offset);
        }
        self.remove(queue_id);
        if offset.wire() == from { Told::Obeyed(offset) } else { Told::GivenUp(offset) }
    }

    /// Forgets what was just found.
    fn remove(&mut self, queue_id: i32) {
        let queues = self.groups.get_mut(self.key.as_str()).expect("its group was just found");
        queues.remove(&queue_id);
        if queues.is_empty() {
            self.groups.remove(self.key.as_str());
        }
        self.count -= 1;
        self.version += 1;
    }

    /// Takes those back to the end of each queue that lie behind it, as
    /// [`crate::offsets::OffsetTable::limit`] does with progress.
    pub fn limit(&mut self, mut end_of: impl FnMut(&str, i32) -> QueueOffset) {
        for (key, queues) in &mut self.groups {
            let Some((topic, _)) = key.split_once(SEPARATOR) else { continue };
            for (queue_id, reset) in queues {
                let end = end_of(topic, *queue_id);
                if reset.offset > end {
                    reset.offset = end;
                    self.version += 1;
                }
            }
        }
    }

    /// Sends those to 0 that are for a topic which is deleted, the next slice of them; those of
    /// others cost nothing. Whole groups follow `behind`, which becomes the last of them, until
    /// `count` queues; begin with `None`. False when that was the last slice.
    pub fn delete_topic(
        &mut self,
        topic: &str,
        behind: &mut Option<Box<str>>,
        count: usize,
    ) -> bool {
        set_key(&mut self.key, "", topic);
        let prefix = self.key.as_str();
        let from = behind.as_deref().map_or(Bound::Included(prefix), Bound::Excluded);
        let (mut visited, mut last) = (0, None);
        let groups = self.groups.range_mut::<str, _>((from, Bound::Unbounded));
        for (key, queues) in groups.take_while(|(key, _)| key.starts_with(prefix)) {
            for reset in queues.values_mut() {
                self.version += u64::from(reset.offset != QueueOffset(0));
                (reset.offset, reset.told) = (QueueOffset(0), 0);
            }
            visited += queues.len();
            last = Some(key);
            if visited >= count {
                break;
            }
        }
        if let Some(last) = last {
            *behind = Some(last.clone());
        }
        visited >= count
    }

    /// Forgets those of a group that is deleted, in the next slice: as
    /// [`crate::offsets::OffsetTable::take_group`] does with progress.
    pub fn delete_group(
        &mut self,
        group: &str,
        behind: &mut Option<Box<str>>,
        count: usize,
    ) -> bool {
        let (keys, has_more) = keys_of(group, &self.groups, behind, count);
        for key in &keys {
            self.count -= self.groups.remove(key).expect("it was just found").len();
        }
        self.version += u64::from(!keys.is_empty());
        has_more
    }
}

#[cfg(test)]
mod tests;
