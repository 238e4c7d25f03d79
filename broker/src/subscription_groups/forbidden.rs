//! Topics that groups may not read.

use std::collections::BTreeMap;

use super::GroupError;
use crate::names;

/// Topics that one group may be forbidden; more are refused.
pub(super) const FORBIDDEN_TOPICS_MAX: usize = 10_000;

/// Topics that all groups together may be forbidden; more are refused. 40 MB with the longest
/// names.
pub(super) const FORBIDDEN_MAX: usize = 100_000;

/// Bit of the forbidden table: reading. Apache numbers permissions by bit index, and reading is bit
/// 2.
const FORBID_READ: i32 = 1 << 2;

/// Forbidden bits by topic, by group.
#[derive(Debug)]
pub(super) struct Forbidden(pub(super) BTreeMap<String, BTreeMap<String, i32>>);

impl Forbidden {
    /// Topics that a group may not read.
    pub(super) fn topics(&self, group: &str) -> Vec<String> {
        let topics = self.0.get(group).into_iter().flatten();
        let read = topics.filter(|(_, bits)| *bits & FORBID_READ != 0);
        read.map(|(topic, _)| topic.clone()).collect()
    }

    /// Allows or forbids a group to read a topic; says whether that changes anything.
    ///
    /// # Errors
    /// As [`super::SubscriptionGroups::set_readable`].
    pub(super) fn set_readable(
        &mut self,
        group: &str,
        topic: &str,
        readable: bool,
    ) -> Result<bool, GroupError> {
        let topics = self.0.get(group);
        let before = topics.and_then(|topics| topics.get(topic)).copied().unwrap_or(0);
        let after = if readable { before & !FORBID_READ } else { before | FORBID_READ };
        if before == after {
            return Ok(false);
        }
        if before == 0 {
            self.check(group, topic)?;
        }
        let topics = self.0.entry(group.to_owned()).or_default();
        if after == 0 {
            topics.remove(topic);
        } else {
            topics.insert(topic.to_owned(), after);
        }
        if topics.is_empty() {
            self.0.remove(group);
        }
        Ok(true)
    }

    /// Whether a topic may join those that a group is forbidden.
    fn check(&self, group: &str, topic: &str) -> Result<(), GroupError> {
        let names = names::check_group(group).and_then(|()| names::check_topic(topic));
        names.map_err(GroupError::IllegalName)?;
        let have = self.0.get(group).map_or(0, BTreeMap::len);
        if have >= FORBIDDEN_TOPICS_MAX {
            return Err(GroupError::ForbiddenTopicsFull { group: group.to_owned(), have });
        }
        let have = self.0.values().map(BTreeMap::len).sum::<usize>();
        if have >= FORBIDDEN_MAX {
            return Err(GroupError::ForbiddenFull(have));
        }
        Ok(())
    }

    /// Nothing is forbidden to a group that is deleted.
    pub(super) fn forget_group(&mut self, group: &str) {
        self.0.remove(group);
    }
}
