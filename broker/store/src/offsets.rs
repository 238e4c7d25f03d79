//! How far consumer groups have come: the offset that each group consumes next, per queue.
//!
//! Kept in the layout of Apache's `consumerOffset.json`,
//! `{"offsetTable":{"topic@group":{"0":42}}}`, to which pending [`resets`](crate::resets) are added
//! in the same form where there are any.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::position::QueueOffset;

/// Between topic and group; neither may contain it.
pub(crate) const SEPARATOR: char = '@';

/// Size of the saved table beyond which nothing new is kept. Groups come by the names that clients
/// send; the table is written whole after each interval in which it changed, and a file of more
/// than 256 MiB would not be read again (`metadata.rs`). 300,000 groups of four queues fit.
pub const SAVED_MAX_BYTES: usize = 64 << 20;

/// What a group on a topic takes in the file beside its name, and what each of its queues takes:
/// indentation, quotes, numbers of any length.
const GROUP_SAVED_BYTES: usize = 24;
const QUEUE_SAVED_BYTES: usize = 48;

/// Offsets of consumer groups. Lookups and updates of known queues allocate nothing.
#[derive(Debug, Default)]
pub struct OffsetTable {
    /// By `topic@group`, then by queue. Ordered, so that a copy can be made in slices.
    groups: BTreeMap<Box<str>, BTreeMap<i32, u64>>,
    /// Rises with each change, so that an unchanged table need not be saved.
    version: u64,
    /// What the table takes in its file, at most.
    saved_bytes: usize,
    key: String,
}

/// An [`OffsetTable`] as it is saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetSnapshot {
    #[serde(rename = "offsetTable", default)]
    offset_table: SavedOffsets,
    #[serde(rename = "pendingResets", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) pending_resets: SavedOffsets,
}

/// Offsets by `topic@group` and queue, as they are saved.
type SavedOffsets = BTreeMap<String, BTreeMap<i32, i64>>;

impl OffsetTable {
    /// The table of a snapshot; negative offsets, which older brokers wrote for "none", are left
    /// out.
    pub fn from_snapshot(snapshot: &OffsetSnapshot) -> Self {
        let mut table = Self::default();
        for (key, queues) in &snapshot.offset_table {
            let known = queues.iter().filter_map(|(queue, offset)| {
                u64::try_from(*offset).ok().map(|offset| (*queue, offset))
            });
            table.groups.insert(key.as_str().into(), known.collect());
        }
        table.measure();
        table
    }

    /// The table as it is saved.
    pub fn snapshot(&self) -> OffsetSnapshot {
        let mut snapshot = OffsetSnapshot::default();
        self.copy_next(&mut snapshot, usize::MAX);
        snapshot
    }

    /// Copies the next slice of the table, at most `count` groups behind the last of `snapshot`.
    /// False when that was the last slice.
    ///
    /// Where the table changes between two slices, [`OffsetTable::version`] does, too; each group
    /// is whole.
    pub fn copy_next(&self, snapshot: &mut OffsetSnapshot, count: usize) -> bool {
        let offset = |offset: &u64| QueueOffset(*offset);
        copy_groups(&self.groups, &mut snapshot.offset_table, count, offset)
    }

    /// Changes whenever the table does.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the table takes in its file, at most, in bytes.
    pub fn saved_bytes(&self) -> usize {
        self.saved_bytes
    }

    /// The next offset that a group consumes of a queue; `None` when it never committed one.
    pub fn get(&mut self, group: &str, topic: &str, queue_id: i32) -> Option<QueueOffset> {
        set_key(&mut self.key, group, topic);
        self.groups.get(self.key.as_str())?.get(&queue_id).copied().map(QueueOffset)
    }

    /// Notes the next offset of a group. It may go back: consumers seek. False when the table is
    /// too large for a queue that it does not know.
    pub fn commit(&mut self, group: &str, topic: &str, queue_id: i32, offset: QueueOffset) -> bool {
        set_key(&mut self.key, group, topic);
        let is_full = self.saved_bytes >= SAVED_MAX_BYTES;
        match self.groups.get_mut(self.key.as_str()) {
            Some(queues) if !is_full || queues.contains_key(&queue_id) => {
                if queues.insert(queue_id, offset.0).is_none() {
                    self.saved_bytes += QUEUE_SAVED_BYTES;
                }
            }
            None if !is_full => {
                let queues = BTreeMap::from([(queue_id, offset.0)]);
                self.saved_bytes += saved_bytes(&self.key, 1);
                self.groups.insert(self.key.as_str().into(), queues);
            }
            _ => return false,
        }
        self.version += 1;
        true
    }

    /// Forgets the next groups of a topic, until they had `count` queues, and names each of these
    /// to `visit`. False when those were the last. What other topics have costs nothing.
    pub fn take_topic(
        &mut self,
        topic: &str,
        count: usize,
        mut visit: impl FnMut(&str, i32),
    ) -> bool {
        set_key(&mut self.key, "", topic);
        let prefix = self.key.as_str();
        let of_topic = self.groups.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let (mut keys, mut taken) = (Vec::<Box<str>>::new(), 0);
        for (key, queues) in of_topic.take_while(|(key, _)| key.starts_with(prefix)) {
            if taken >= count {
                break;
            }
            taken += queues.len().max(1);
            keys.push(key.clone());
        }
        for key in &keys {
            let queues = self.groups.remove(key).expect("it was just found");
            self.saved_bytes -= saved_bytes(key, queues.len());
            let group = &key[self.key.len()..];
            queues.keys().for_each(|queue_id| visit(group, *queue_id));
        }
        self.version += u64::from(!keys.is_empty());
        taken >= count
    }

    fn measure(&mut self) {
        let groups = self.groups.iter();
        self.saved_bytes = groups.map(|(key, queues)| saved_bytes(key, queues.len())).sum();
    }

    /// Takes progress back to the end of each queue, at a start before which messages may have
    /// gone. Calls `visit` with group, topic, queue and end of every entry that lay behind it, and
    /// returns how many they were.
    ///
    /// A power loss may take messages that were consumed but not flushed. New ones get their
    /// offsets, and a group that kept its progress would skip these.
    pub fn limit(
        &mut self,
        mut end_of: impl FnMut(&str, i32) -> QueueOffset,
        mut visit: impl FnMut(&str, &str, i32, QueueOffset),
    ) -> usize {
        let mut limited = 0;
        for (key, queues) in &mut self.groups {
            let Some((topic, group)) = key.split_once(SEPARATOR) else { continue };
            for (queue, offset) in queues {
                let end = end_of(topic, *queue);
                if *offset > end.0 {
                    *offset = end.0;
                    limited += 1;
                    visit(group, topic, *queue, end);
                }
            }
        }
        self.version += limited as u64;
        limited
    }

    /// Calls `visit` with group, topic, queue and offset of every entry in the next slice of the
    /// table: of the groups that follow `behind`, which becomes the last of them, until they had
    /// `count` queues; begin with `None`. False when that was the last slice.
    pub fn visit_queues(
        &self,
        behind: &mut Option<Box<str>>,
        count: usize,
        mut visit: impl FnMut(&str, &str, i32, QueueOffset),
    ) -> bool {
        visit_slice(&self.groups, behind, count, |key, queues| {
            if let Some((topic, group)) = key.split_once(SEPARATOR) {
                queues.iter().for_each(|(queue, offset)| {
                    visit(group, topic, *queue, QueueOffset(*offset));
                });
            }
            queues.len().max(1)
        })
    }

    /// Calls `visit` with `topic@group` and the sum of its offsets, for the next slice of the
    /// table: how many messages the group is past, over all queues. At most `count` groups follow
    /// `behind`, which becomes the last of them; begin with `None`. False when that was the last
    /// slice.
    pub fn visit_groups(
        &self,
        behind: &mut Option<Box<str>>,
        count: usize,
        mut visit: impl FnMut(&str, u64),
    ) -> bool {
        visit_slice(&self.groups, behind, count, |key, queues| {
            visit(key, queues.values().fold(0, |sum: u64, offset| sum.saturating_add(*offset)));
            1
        })
    }

    /// Forgets a group where the next slice of the table has it: `count` groups at most, in one
    /// topic each, follow `behind`, which becomes the last of them; begin with `None`. False when
    /// that was the last slice.
    pub fn take_group(&mut self, group: &str, behind: &mut Option<Box<str>>, count: usize) -> bool {
        let (keys, has_more) = keys_of(group, &self.groups, behind, count);
        for key in &keys {
            let queues = self.groups.remove(key).expect("it was just found");
            self.saved_bytes -= saved_bytes(key, queues.len());
        }
        self.version += u64::from(!keys.is_empty());
        has_more
    }
}

/// Calls `visit` with the entries of a table that follow `behind`, which becomes the last of them;
/// begin with `None`. The slice ends when they count `count` together, each for what `visit` says.
/// Whether there may be more.
fn visit_slice<V>(
    groups: &BTreeMap<Box<str>, V>,
    behind: &mut Option<Box<str>>,
    count: usize,
    mut visit: impl FnMut(&str, &V) -> usize,
) -> bool {
    let from = behind.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let (mut visited, mut last) = (0, None);
    for (key, value) in groups.range::<str, _>((from, Bound::Unbounded)) {
        if visited >= count {
            break;
        }
        visited += visit(key, value);
        last = Some(key);
    }
    if let Some(last) = last {
        *behind = Some(last.clone());
    }
    visited >= count
}

/// The keys of a group in the next slice of a table, of `count` entries behind `behind`, which
/// becomes the last of them; whether there may be more.
pub(crate) fn keys_of<V>(
    group: &str,
    groups: &BTreeMap<Box<str>, V>,
    behind: &mut Option<Box<str>>,
    count: usize,
) -> (Vec<Box<str>>, bool) {
    let mut keys = Vec::new();
    let has_more = visit_slice(groups, behind, count, |key, _| {
        if key.split_once(SEPARATOR).is_some_and(|(_, of)| of == group) {
            keys.push(key.into());
        }
        1
    });
    (keys, has_more)
}

/// The key of a group on a topic, `topic@group`.
pub fn key(group: &str, topic: &str) -> String {
    let mut key = String::new();
    set_key(&mut key, group, topic);
    key
}

/// Makes `key` that of a group on a topic.
pub fn set_key(key: &mut String, group: &str, topic: &str) {
    key.clear();
    key.push_str(topic);
    key.push(SEPARATOR);
    key.push_str(group);
}

/// Copies at most `count` groups behind the last of `copied`; false when those were the last.
pub(crate) fn copy_groups<V>(
    groups: &BTreeMap<Box<str>, BTreeMap<i32, V>>,
    copied: &mut SavedOffsets,
    count: usize,
    offset_of: impl Fn(&V) -> QueueOffset,
) -> bool {
    let queues = |queues: &BTreeMap<i32, V>| {
        queues.iter().map(|(queue, value)| (*queue, offset_of(value).wire())).collect()
    };
    let last = copied.last_key_value().map(|(key, _)| key.clone());
    let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let before = copied.len();
    let next = groups.range::<str, _>((from, Bound::Unbounded)).take(count);
    copied.extend(next.map(|(key, of_group)| (key.to_string(), queues(of_group))));
    copied.len() - before == count
}

fn saved_bytes(key: &str, queues: usize) -> usize {
    key.len() + GROUP_SAVED_BYTES + queues * QUEUE_SAVED_BYTES
}

#[cfg(test)]
mod tests;
