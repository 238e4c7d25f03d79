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

    /// Takes progress back to the end of each queue, for a start after a crash; returns how many
    /// entries that were.
    ///
    /// A power loss may take messages that were consumed but not flushed. New ones get their
    /// offsets, and a group that kept its progress would skip these.
    pub fn limit(&mut self, mut end_of: impl FnMut(&str, i32) -> QueueOffset) -> usize {
        let mut limited = 0;
        for (key, queues) in &mut self.groups {
            let Some((topic, _)) = key.split_once(SEPARATOR) else { continue };
            for (queue, offset) in queues {
                let end = end_of(topic, *queue).0;
                limited += usize::from(*offset > end);
                *offset = end.min(*offset);
            }
        }
        self.version += limited as u64;
        limited
    }

    /// Calls `visit` with group, topic, queue and offset of every entry, in no particular order.
    pub fn for_each(&self, mut visit: impl FnMut(&str, &str, i32, QueueOffset)) {
        for (key, queues) in &self.groups {
            let Some((topic, group)) = key.split_once(SEPARATOR) else { continue };
            queues.iter().for_each(|(queue, offset)| {
                visit(group, topic, *queue, QueueOffset(*offset));
            });
        }
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
        let from = behind.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut visited, mut last) = (0, None);
        for (key, queues) in self.groups.range::<str, _>((from, Bound::Unbounded)).take(count) {
            visit(key, queues.values().fold(0, |sum: u64, offset| sum.saturating_add(*offset)));
            visited += 1;
            last = Some(key);
        }
        if let Some(last) = last {
            *behind = Some(last.clone());
        }
        visited == count
    }

    /// Forgets what `keep` answers false for, by group and topic.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        let before = self.groups.len();
        self.groups.retain(|key, _| {
            key.split_once(SEPARATOR).is_some_and(|(topic, group)| keep(group, topic))
        });
        self.version += u64::from(before != self.groups.len());
        self.measure();
    }
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
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_a_topic_are_taken_in_slices_and_those_of_others_stay() {
        let mut table = OffsetTable::default();
        for topic in ["a", "b", "bb"] {
            for group in ["g", "h", "i"] {
                assert!(table.commit(group, topic, 0, QueueOffset(1)));
                assert!(table.commit(group, topic, 3, QueueOffset(1)));
            }
        }
        let (mut taken, version) = (Vec::new(), table.version());
        let visit = |taken: &mut Vec<_>, group: &str, queue| taken.push((group.to_owned(), queue));
        assert!(table.take_topic("b", 3, |group, queue| visit(&mut taken, group, queue)));
        assert_eq!(taken, [("g", 0), ("g", 3), ("h", 0), ("h", 3)].map(|(g, q)| (g.into(), q)));
        assert!(!table.take_topic("b", 3, |group, queue| visit(&mut taken, group, queue)));
        assert_eq!(taken[4..], [("i", 0), ("i", 3)].map(|(g, q)| (g.into(), q)));
        assert_eq!((table.get("i", "b", 3), table.get("i", "bb", 3)), (None, Some(QueueOffset(1))));
        let left = table.saved_bytes();
        table.measure();
        assert_eq!(table.saved_bytes(), left);
        assert!(table.version() > version, "it is saved");
    }

    #[test]
    fn names_that_clients_make_up_end_at_a_size_that_a_start_can_read() {
        let mut table = OffsetTable::default();
        assert!(table.commit("group", "topic", 0, QueueOffset(1)));
        for number in 0..3000 {
            table.commit(&format!("{number}"), "topic", i32::MAX - 1, QueueOffset(u64::MAX >> 1));
            table.commit(&format!("{number}"), "topic", i32::MIN, QueueOffset(u64::MAX >> 1));
        }
        let text = serde_json::to_string_pretty(&table.snapshot()).expect("json");
        let saved = table.saved_bytes;
        assert!(text.len() < saved && saved < 2 * text.len(), "{} of {saved}", text.len());
        table.saved_bytes = SAVED_MAX_BYTES;
        assert!(!table.commit("new", "topic", 0, QueueOffset(1)));
        assert!(!table.commit("group", "topic", 1, QueueOffset(1)));
        assert!(table.commit("group", "topic", 0, QueueOffset(2)));
        table.retain(|group, _| group == "group");
        assert!(table.commit("new", "topic", 0, QueueOffset(1)));
    }

    #[test]
    fn a_copy_in_slices_has_every_group_whatever_changes_meanwhile() {
        let mut table = OffsetTable::default();
        let name = |number: u64| format!("{number:03}");
        (0..100).for_each(|number| {
            table.commit(&name(number), "topic", 0, QueueOffset(number));
        });
        let (before, mut copy) = (table.version(), OffsetSnapshot::default());
        assert!(table.copy_next(&mut copy, 50));
        // The last that was copied goes, one that was copied and one that was not move on.
        table.retain(|group, _| group != "049");
        table.commit("010", "topic", 0, QueueOffset(1010));
        table.commit("090", "topic", 0, QueueOffset(1090));
        while table.copy_next(&mut copy, 7) {}
        assert!(table.version() > before);
        let mut copy = OffsetTable::from_snapshot(&copy);
        for number in 0..100 {
            let expected = if number == 90 { 1090 } else { number };
            let found = copy.get(&name(number), "topic", 0);
            assert_eq!(found, Some(QueueOffset(expected)), "{number}");
        }
    }

    #[test]
    fn the_progress_of_a_group_is_the_sum_over_its_queues() {
        let mut table = OffsetTable::default();
        for (group, queue_id, offset) in [("g", 0, 5), ("g", 1, 6), ("h", 0, 7)] {
            table.commit(group, "t", queue_id, QueueOffset(offset));
        }
        // No peer's offsets make a sum that does not fit.
        for queue_id in 0..3 {
            table.commit("x", "t", queue_id, QueueOffset(1 << 63));
        }
        let expected = [("t@g", 11), ("t@h", 7), ("t@x", u64::MAX)];
        for count in 1..5 {
            let (mut sums, mut behind) = (Vec::new(), None);
            while table.visit_groups(&mut behind, count, |name, sum| {
                sums.push((name.to_owned(), sum));
            }) {
                assert_eq!(sums.len() % count, 0, "slices are full but for the last");
            }
            assert_eq!(sums, expected.map(|(name, sum)| (name.to_owned(), sum)));
        }
    }

    #[test]
    fn a_visit_in_slices_sees_each_group_that_stays_once() {
        let mut table = OffsetTable::default();
        let name = |number: u64| format!("{number:03}");
        (0..100).for_each(|number| {
            table.commit(&name(number), "topic", 0, QueueOffset(number));
        });
        let (mut seen, mut behind) = (Vec::new(), None);
        assert!(table.visit_groups(&mut behind, 50, |_, sum| seen.push(sum)));
        // The next would begin behind one that is gone.
        table.retain(|group, _| !("040".."060").contains(&group));
        while table.visit_groups(&mut behind, 7, |_, sum| seen.push(sum)) {}
        assert_eq!(seen, (0..50).chain(60..100).collect::<Vec<_>>());
    }

    #[test]
    fn offsets_are_kept_by_group_topic_and_queue() {
        let mut table = OffsetTable::default();
        table.commit("g", "t", 0, QueueOffset(5));
        table.commit("g", "t", 1, QueueOffset(6));
        table.commit("h", "t", 0, QueueOffset(7));
        table.commit("g", "t", 0, QueueOffset(3));
        assert_eq!(table.get("g", "t", 0), Some(QueueOffset(3)));
        assert_eq!(table.get("h", "t", 1), None);
        table.retain(|group, _| group == "h");
        assert_eq!((table.get("g", "t", 1), table.get("h", "t", 0)), (None, Some(QueueOffset(7))));
    }

    #[test]
    fn progress_behind_the_end_of_a_queue_is_taken_back() {
        let mut table = OffsetTable::default();
        table.commit("g", "t", 0, QueueOffset(5));
        table.commit("g", "t", 1, QueueOffset(7));
        table.commit("h", "gone", 0, QueueOffset(3));
        let before = table.version();
        let end_of =
            |topic: &str, queue| QueueOffset(if topic == "t" { 5 + queue as u64 } else { 0 });
        assert_eq!(table.limit(end_of), 2);
        assert_eq!(table.get("g", "t", 0), Some(QueueOffset(5)));
        assert_eq!(table.get("g", "t", 1), Some(QueueOffset(6)));
        assert_eq!(table.get("h", "gone", 0), Some(QueueOffset(0)));
        assert!(table.version() > before);
        assert_eq!(table.limit(end_of), 0);
    }

    #[test]
    fn the_saved_form_is_apaches() {
        let json = r#"{"offsetTable":{"topic@group":{"0":42,"1":-1}}}"#;
        let snapshot: OffsetSnapshot = serde_json::from_str(json).expect("json");
        let mut table = OffsetTable::from_snapshot(&snapshot);
        assert_eq!(table.get("group", "topic", 0), Some(QueueOffset(42)));
        assert_eq!(table.get("group", "topic", 1), None);
        let written = serde_json::to_string(&table.snapshot()).expect("json");
        assert_eq!(written, r#"{"offsetTable":{"topic@group":{"0":42}}}"#);
    }
}
