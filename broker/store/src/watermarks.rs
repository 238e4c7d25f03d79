//! Which bytes are where: the watermarks of a log, and what the next write covers.
//!
//! ```text
//! durable <= written <= appended      all of them ends of records, or starts of segments
//! ```
//!
//! Pure: the writer task of `writer.rs` asks what to do and reports what was done. The group is
//! whatever was appended while the previous write was on the device. A failure fences the log for
//! good.

use std::collections::VecDeque;

use crate::options::{FlushPolicy, GROUP_MAX_BYTES, PAGE_BYTES};
use crate::position::QueueKey;

/// One appended record on its way to the device.
#[derive(Clone, Copy, Debug)]
struct Pending {
    end: u64,
    /// The queue that becomes longer for consumers; `None` for records that no queue shows.
    queue: Option<QueueKey>,
}

/// What the next write covers: bytes `from..to` of the log, all in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Start of the page of the first unwritten byte.
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// The watermarks of one log.
#[derive(Debug)]
pub(crate) struct Watermarks {
    policy: FlushPolicy,
    segment_bytes: u64,
    appended: u64,
    written: u64,
    durable: u64,
    pending: VecDeque<Pending>,
}

impl Watermarks {
    /// A log that is durable up to `end`.
    pub(crate) fn new(policy: FlushPolicy, segment_bytes: u64, end: u64) -> Self {
        // 4096 records are on their way at once when 4 MiB of 1 KiB messages wait; beyond that the
        // ring grows once.
        let pending = VecDeque::with_capacity(4096);
        Self { policy, segment_bytes, appended: end, written: end, durable: end, pending }
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appended
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// End of what may be acknowledged and seen.
    pub(crate) fn acknowledged(&self) -> u64 {
        match self.policy {
            FlushPolicy::Sync => self.durable,
            FlushPolicy::Async { .. } => self.written,
            FlushPolicy::Memory { .. } => self.appended,
        }
    }

    /// Whether a record counts as safe as soon as it is in memory.
    pub(crate) fn acknowledges_at_once(&self) -> bool {
        matches!(self.policy, FlushPolicy::Memory { .. })
    }

    /// Bytes in memory only.
    pub(crate) fn unwritten(&self) -> u64 {
        self.appended - self.written
    }

    /// Notes a record that ends at `end`.
    pub(crate) fn appended_to(&mut self, end: u64, queue: Option<QueueKey>) {
        assert!(end > self.appended, "append to {end}, already at {}", self.appended);
        self.appended = end;
        self.pending.push_back(Pending { end, queue });
    }

    /// Notes that the segment before `start` takes no more records, so the next one begins at
    /// `start`.
    pub(crate) fn segment_ended(&mut self, start: u64) {
        assert!(start > self.appended && start.is_multiple_of(self.segment_bytes));
        self.appended = start;
    }

    /// The next group; `None` when everything is written.
    pub(crate) fn next_group(&self) -> Option<Group> {
        let first = self.pending.front()?;
        let from = self.written - self.written % PAGE_BYTES;
        let segment_end = (self.written / self.segment_bytes + 1) * self.segment_bytes;
        let limit = segment_end.min(from + GROUP_MAX_BYTES);
        let fitting = self.pending.partition_point(|record| record.end <= limit);
        let to = match fitting.checked_sub(1) {
            // The segment is full when a record lies behind it; its end mark goes along if the
            // group has room.
            Some(last) => match self.pending.get(fitting) {
                Some(next) if next.end > segment_end && limit == segment_end => segment_end,
                _ => self.pending[last].end,
            },
            None if first.end > segment_end => segment_end,
            None => first.end,
        };
        Some(Group { from, to })
    }

    /// Notes that a group is on the device, and flushed with [`FlushPolicy::Sync`]. Calls `settled`
    /// for the queue of each of its records.
    pub(crate) fn completed(&mut self, group: Group, mut settled: impl FnMut(QueueKey)) {
        assert!(
            self.written < group.to
                && group.to <= self.appended.next_multiple_of(self.segment_bytes),
            "group to {}, written {}, appended {}",
            group.to,
            self.written,
            self.appended
        );
        self.written = group.to;
        if self.policy == FlushPolicy::Sync {
            self.durable = group.to;
        }
        let shows = !self.acknowledges_at_once();
        while let Some(record) = self.pending.front().filter(|record| record.end <= group.to) {
            if let Some(queue) = record.queue.filter(|_| shows) {
                settled(queue);
            }
            self.pending.pop_front();
        }
    }

    /// Notes that a flush ended which was started when `to` was written.
    pub(crate) fn synced(&mut self, to: u64) {
        assert!(to <= self.written, "synced {to}, written {}", self.written);
        self.durable = self.durable.max(to);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SEGMENT: u64 = 8 << 20;
    const QUEUE: Option<QueueKey> = Some(QueueKey(1));

    fn marks(policy: FlushPolicy) -> Watermarks {
        Watermarks::new(policy, SEGMENT, 5000)
    }

    fn shown(marks: &mut Watermarks, group: Group) -> usize {
        let mut shown = 0;
        marks.completed(group, |_| shown += 1);
        shown
    }

    #[test]
    fn a_group_is_everything_that_waits_and_starts_at_its_page() {
        let mut marks = marks(FlushPolicy::Sync);
        assert_eq!(marks.next_group(), None);
        (1..=3).for_each(|n| marks.appended_to(5000 + n * 100, QUEUE));
        let group = marks.next_group().expect("a group");
        assert_eq!(group, Group { from: 4096, to: 5300 });
        marks.appended_to(5400, None);
        assert_eq!(marks.acknowledged(), 5000);
        assert_eq!(shown(&mut marks, group), 3);
        assert_eq!((marks.acknowledged(), marks.durable(), marks.unwritten()), (5300, 5300, 100));
        assert_eq!(shown(&mut marks, Group { from: 4096, to: 5400 }), 0);
    }

    #[test]
    fn groups_end_at_records_below_the_size_limit_unless_one_record_exceeds_it() {
        let mut marks = marks(FlushPolicy::Sync);
        (1..=20).for_each(|n| marks.appended_to(5000 + n * 100_000, QUEUE));
        let group = marks.next_group().expect("a group");
        assert_eq!(group.to, 5000 + 10 * 100_000);
        shown(&mut marks, group);
        let mut marks = self::marks(FlushPolicy::Sync);
        marks.appended_to(4_000_000, QUEUE);
        assert_eq!(marks.next_group(), Some(Group { from: 4096, to: 4_000_000 }));
    }

    #[test]
    fn a_full_segment_is_closed_before_the_next_one_begins() {
        let mut marks = Watermarks::new(FlushPolicy::Sync, SEGMENT, SEGMENT - 10_000);
        marks.appended_to(SEGMENT - 6000, QUEUE);
        marks.appended_to(SEGMENT + 9000, QUEUE);
        let group = marks.next_group().expect("a group");
        assert_eq!(group.to, SEGMENT);
        assert_eq!(shown(&mut marks, group), 1);
        assert_eq!(marks.next_group(), Some(Group { from: SEGMENT, to: SEGMENT + 9000 }));

        // Only the end mark is left, far away from the end of the segment.
        let mut marks = Watermarks::new(FlushPolicy::Sync, SEGMENT, SEGMENT - 3_000_000);
        marks.appended_to(SEGMENT + 4_000_000, QUEUE);
        assert_eq!(marks.next_group().map(|group| group.to), Some(SEGMENT));
    }

    #[test]
    fn policies_differ_in_what_they_acknowledge() {
        let interval = Duration::from_millis(500);
        let mut marks = marks(FlushPolicy::Async { interval });
        marks.appended_to(6000, QUEUE);
        let group = marks.next_group().expect("a group");
        assert_eq!(shown(&mut marks, group), 1);
        assert_eq!((marks.acknowledged(), marks.durable()), (6000, 5000));
        marks.synced(6000);
        assert_eq!(marks.durable(), 6000);

        let mut marks = self::marks(FlushPolicy::Memory { interval });
        marks.appended_to(6000, QUEUE);
        assert_eq!(marks.acknowledged(), 6000);
        let group = marks.next_group().expect("a group");
        assert_eq!(shown(&mut marks, group), 0);
    }
}
