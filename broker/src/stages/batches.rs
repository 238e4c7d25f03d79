//! The sends of one log that are on their way to the device, by the turn that appended them.
//!
//! What one turn appends to a log shares all stamps but the one of its own decoding. The records of
//! a batch are known by where they end in the log, so a send carries nothing for it.

use std::collections::VecDeque;

use ringmq_runtime::clock::Instant;
use ringmq_store::LogPosition;

use super::Arrival;

/// The sends that one turn appended to one log. Other records may lie between them; nobody waits
/// for those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    /// End of the first record.
    pub(super) first_end: LogPosition,
    /// End of the last one.
    pub(super) end: LogPosition,
    /// When they came.
    pub(super) arrival: Arrival,
    /// The turn was over; none until it is.
    pub(super) appended_at: Option<Instant>,
}

/// The batches of one log, oldest first. There are no more than sends that wait for their answer,
/// and one.
#[derive(Debug, Default)]
pub(crate) struct Batches(VecDeque<Batch>);

impl Batches {
    /// Adds a send to the batch of the turn at hand; false when this turn has none yet.
    pub(super) fn grow(&mut self, end: LogPosition) -> bool {
        match self.0.back_mut() {
            Some(batch) if batch.appended_at.is_none() => {
                batch.end = end;
                true
            }
            _ => false,
        }
    }

    /// Begins the batch of the turn at hand with a send.
    pub(super) fn begin(&mut self, arrival: Arrival, end: LogPosition) {
        self.0.push_back(Batch { first_end: end, end, arrival, appended_at: None });
    }

    /// The turn at hand is over.
    pub(super) fn end_turn(&mut self, now: Instant) {
        if let Some(batch) = self.0.back_mut() {
            batch.appended_at.get_or_insert(now);
        }
    }

    /// The batch of a send, and the end of its turn; none when it came before stages were timed. To
    /// be asked in log order: batches before it are forgotten.
    pub(super) fn find(&mut self, end: LogPosition) -> Option<(Batch, Instant)> {
        while self.0.front()?.end < end {
            self.0.pop_front();
        }
        let batch = *self.0.front()?;
        let appended_at = batch.appended_at?;
        (batch.first_end <= end).then_some((batch, appended_at))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use ringmq_store::LogId;

    use super::*;

    fn at(ns: u64) -> Instant {
        Instant::from_nanos(ns)
    }

    fn arrival(ns: u64) -> Arrival {
        Arrival { read_at: at(ns), turn_at: at(ns), passed_at: None }
    }

    #[test]
    fn a_send_belongs_to_the_turn_that_appended_it() {
        let mut batches = Batches::default();
        let end = |byte| LogId(0).at(byte);
        assert!(!batches.grow(end(10)));
        batches.begin(arrival(1), end(10));
        assert!(batches.grow(end(20)));
        batches.end_turn(at(5));
        assert!(!batches.grow(end(30)), "the turn is over");
        batches.begin(arrival(6), end(30));
        batches.end_turn(at(9));
        batches.begin(arrival(10), end(40));
        assert_eq!(batches.find(end(5)), None, "before the first");
        let found = |batches: &mut Batches, byte| {
            batches.find(end(byte)).map(|(batch, appended_at)| (batch.arrival, appended_at))
        };
        assert_eq!(found(&mut batches, 10), Some((arrival(1), at(5))));
        assert_eq!(found(&mut batches, 20), Some((arrival(1), at(5))));
        assert_eq!(found(&mut batches, 30), Some((arrival(6), at(9))));
        assert_eq!(found(&mut batches, 40), None, "its turn is not over");
        assert_eq!(found(&mut batches, 41), None);
        assert!(!batches.grow(end(41)), "all are forgotten");
    }
}
