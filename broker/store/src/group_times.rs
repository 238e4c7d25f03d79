//! When groups went to the device, for whoever asks where the time of a message goes.
//!
//! Off unless somebody turns it on: the writer then reads the clock twice per group.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ringmq_runtime::clock::Instant;

use crate::log::Log;
use crate::position::LogPosition;

/// Groups that are remembered: whoever acknowledges their messages asks after each of them.
const GROUPS_KEPT_MAX: usize = 64;

/// One group on its way to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupTimes {
    /// First byte behind its last record.
    pub end: LogPosition,
    /// It was closed and its write begun.
    pub submitted_at: Instant,
    /// It was written, and with `FlushPolicy::Sync` flushed.
    pub completed_at: Instant,
}

/// The times of the newest groups of one log.
#[derive(Default)]
pub(crate) struct GroupClock {
    is_on: Cell<bool>,
    /// In log order, each with the end of the group before it, if there was one since the log was
    /// opened.
    groups: RefCell<VecDeque<(Option<LogPosition>, GroupTimes)>>,
    /// End of the newest group, noted or not.
    reached: Cell<Option<LogPosition>>,
}

impl GroupClock {
    /// The time at which a group is submitted; none when nobody wants to know.
    pub(crate) fn submitted(&self) -> Option<Instant> {
        self.is_on.get().then(Instant::now)
    }

    /// The group up to `end`, submitted then, is on the device.
    pub(crate) fn completed(&self, end: LogPosition, submitted_at: Option<Instant>) {
        let begin = self.reached.replace(Some(end));
        let Some(submitted_at) = submitted_at.filter(|_| self.is_on.get()) else { return };
        let mut groups = self.groups.borrow_mut();
        if groups.len() == GROUPS_KEPT_MAX {
            groups.pop_front();
        }
        let group = GroupTimes { end, submitted_at, completed_at: Instant::now() };
        groups.push_back((begin, group));
    }

    fn group_of(&self, end: LogPosition) -> Option<GroupTimes> {
        let mut groups = self.groups.borrow_mut();
        while groups.front()?.1.end < end {
            groups.pop_front();
        }
        let (_, group) =
            groups.front().filter(|(begin, _)| begin.is_none_or(|begin| begin < end))?;
        Some(*group)
    }
}

impl Log {
    /// Begins or ends to note when groups go to the device; what was noted is forgotten. Nothing is
    /// noted of a log whose messages are acknowledged before they are written.
    pub fn time_groups(&self, is_on: bool) {
        let clock = &self.inner.group_clock;
        let is_waited_for = !self.inner.state.borrow().marks.acknowledges_at_once();
        clock.is_on.set(is_on && is_waited_for);
        let kept = if is_on { GROUPS_KEPT_MAX } else { 0 };
        *clock.groups.borrow_mut() = VecDeque::with_capacity(kept);
    }

    /// The group that a record ending at `end` was written with. To be asked in log order: groups
    /// before it are forgotten. `None` when it is not written, its group was submitted before
    /// [`Log::time_groups`], or so many came after it that it is no longer known.
    pub fn group_of(&self, end: LogPosition) -> Option<GroupTimes> {
        self.inner.group_clock.group_of(end)
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::sim::World;

    use super::*;
    use crate::position::LogId;

    #[test]
    fn a_group_that_is_not_remembered_is_not_mistaken_for_a_later_one() {
        let at = |byte| LogId(0).at(byte);
        let (clock, now) = (GroupClock::default(), World::new(1).run(async { Instant::now() }));
        clock.completed(at(100), None);
        clock.is_on.set(true);
        let group_of = |end| clock.group_of(at(end)).map(|group| group.end);
        assert_eq!(group_of(100), None);
        World::new(1).run(async { clock.completed(at(300), Some(now)) });
        assert_eq!((group_of(90), group_of(100)), (None, None), "before it was turned on");
        assert_eq!((group_of(101), group_of(300)), (Some(at(300)), Some(at(300))));
        assert_eq!(group_of(301), None, "not written");
        for group in 1..=GROUPS_KEPT_MAX as u64 + 1 {
            World::new(1).run(async { clock.completed(at(300 + group * 10), Some(now)) });
        }
        assert_eq!(group_of(310), None, "pushed out");
        assert_eq!(group_of(311), Some(at(320)));
    }
}
