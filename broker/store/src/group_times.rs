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
    /// In log order.
    groups: RefCell<VecDeque<GroupTimes>>,
}

impl GroupClock {
    /// The time at which a group is submitted; none when nobody wants to know.
    pub(crate) fn submitted(&self) -> Option<Instant> {
        self.is_on.get().then(Instant::now)
    }

    /// The group up to `end`, submitted then, is on the device.
    pub(crate) fn completed(&self, end: LogPosition, submitted_at: Option<Instant>) {
        let Some(submitted_at) = submitted_at.filter(|_| self.is_on.get()) else { return };
        let mut groups = self.groups.borrow_mut();
        if groups.len() == GROUPS_KEPT_MAX {
            groups.pop_front();
        }
        groups.push_back(GroupTimes { end, submitted_at, completed_at: Instant::now() });
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
    /// before it are forgotten. `None` when it is not written, or its group was submitted before
    /// [`Log::time_groups`].
    pub fn group_of(&self, end: LogPosition) -> Option<GroupTimes> {
        let mut groups = self.inner.group_clock.groups.borrow_mut();
        while groups.front()?.end < end {
            groups.pop_front();
        }
        groups.front().copied()
    }
}
