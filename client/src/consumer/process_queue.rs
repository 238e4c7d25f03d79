//! Messages of one queue between the pull that brought them and the end of their consumption, or
//! the poll that got them.
//!
//! Invariant of the commit offset, where a listener consumes: every message below it has been
//! consumed. Messages are consumed in any order by a concurrent listener, so the offset is that of
//! the oldest message still here, and one past the newest ever seen when none is. What a poll got
//! is here no longer: the offset is then that of the next message for a poll, and says nothing of
//! what is consumed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::received::ReceivedMessage;

/// When to stop pulling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowLimits {
    /// Messages held per queue.
    pub messages_max: usize,
    /// Bytes of bodies held per queue.
    pub size_max_bytes: usize,
    /// Distance from the oldest to the newest offset held. One stuck message otherwise lets the
    /// rest run ahead without bound, to be consumed again after a restart.
    pub span_max: i64,
}

impl Default for FlowLimits {
    /// Java's defaults: 1000 messages, 100 MiB, 2000 offsets.
    fn default() -> Self {
        Self { messages_max: 1000, size_max_bytes: 100 << 20, span_max: 2000 }
    }
}

/// The messages held of one queue.
#[derive(Debug, Default)]
pub struct ProcessQueue {
    /// Pulled and not consumed, by queue offset. In concurrent consumption also those at work.
    waiting: BTreeMap<i64, Arc<ReceivedMessage>>,
    /// Taken by an orderly listener and not decided yet.
    taken: BTreeMap<i64, Arc<ReceivedMessage>>,
    /// Messages of the batch that was put back last: it is taken again as it was, since attempts
    /// are counted by batch. 0: none waits to be taken again.
    again: usize,
    size_bytes: usize,
    /// One past the newest offset ever put, `None` before the first message.
    end: Option<i64>,
}

impl ProcessQueue {
    /// Adds pulled messages. One that is already here is ignored, so a repeated pull cannot count
    /// twice. Returns those that are new, in order.
    pub fn put(&mut self, messages: Vec<Arc<ReceivedMessage>>) -> Vec<Arc<ReceivedMessage>> {
        let mut new = Vec::with_capacity(messages.len());
        for message in messages {
            let offset = message.queue_offset;
            if self.waiting.contains_key(&offset) || self.taken.contains_key(&offset) {
                continue;
            }
            self.size_bytes += message.body.len();
            self.end = self.end.max(Some(offset + 1));
            self.waiting.insert(offset, message.clone());
            new.push(message);
        }
        new
    }

    /// These messages are done with. Returns the offset to commit, `None` if nothing was ever held.
    pub fn remove(&mut self, messages: &[Arc<ReceivedMessage>]) -> Option<i64> {
        for message in messages {
            if let Some(gone) = self.waiting.remove(&message.queue_offset) {
                self.size_bytes -= gone.body.len();
            }
        }
        self.commit_offset()
    }

    /// Hands up to `max` of the oldest messages to a poll: they are held no more. Returns them and
    /// the offset of the next one, `None` if nothing was ever held.
    pub fn hand_out(&mut self, max: usize) -> (Vec<Arc<ReceivedMessage>>, Option<i64>) {
        let messages = self.take(max);
        (messages, self.commit_taken())
    }

    /// Takes up to `count` of the oldest messages for an orderly listener; exactly those that were
    /// put back, if any were.
    pub fn take(&mut self, count: usize) -> Vec<Arc<ReceivedMessage>> {
        let count = if self.again > 0 { self.again } else { count };
        let mut batch = Vec::new();
        while batch.len() < count
            && let Some((offset, message)) = self.waiting.pop_first()
        {
            self.taken.insert(offset, message.clone());
            batch.push(message);
        }
        batch
    }

    /// What was taken is consumed. Returns the offset to commit.
    pub fn commit_taken(&mut self) -> Option<i64> {
        let freed: usize = self.taken.values().map(|message| message.body.len()).sum();
        self.size_bytes -= freed;
        self.taken.clear();
        self.again = 0;
        self.commit_offset()
    }

    /// What was taken will be consumed again, as one batch before anything newer.
    pub fn put_back_taken(&mut self) {
        self.again = self.taken.len();
        self.waiting.append(&mut self.taken);
    }

    /// Offset of the oldest message held, else of the next to come; `None` if nothing was ever
    /// held.
    pub fn commit_offset(&self) -> Option<i64> {
        let oldest = |messages: &BTreeMap<i64, _>| messages.first_key_value().map(|(o, _)| *o);
        let held = [oldest(&self.waiting), oldest(&self.taken)];
        held.into_iter().flatten().min().or(self.end)
    }

    /// Messages held.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.taken.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why no more should be pulled now, with the number that is over its limit.
    pub fn full(&self, limits: &FlowLimits) -> Option<String> {
        let span = match (self.commit_offset(), self.end) {
            (Some(first), Some(end)) => end.saturating_sub(first),
            _ => 0,
        };
        if self.len() >= limits.messages_max {
            Some(format!("{} messages held, limit {}", self.len(), limits.messages_max))
        } else if self.size_bytes >= limits.size_max_bytes {
            Some(format!("{} bytes held, limit {}", self.size_bytes, limits.size_max_bytes))
        } else if span > limits.span_max {
            Some(format!("offsets held span {span}, limit {}", limits.span_max))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messages(offsets: impl IntoIterator<Item = i64>) -> Vec<Arc<ReceivedMessage>> {
        offsets.into_iter().map(|o| Arc::new(ReceivedMessage::sample(o, &[7; 10]))).collect()
    }

    #[test]
    fn the_oldest_unfinished_message_holds_the_commit_back() {
        let mut queue = ProcessQueue::default();
        assert_eq!(queue.commit_offset(), None);
        queue.put(messages(5..10));
        assert_eq!(queue.remove(&messages(6..9)), Some(5));
        assert_eq!(queue.remove(&messages([5])), Some(9));
        assert_eq!(queue.remove(&messages([9])), Some(10));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_repeated_pull_adds_nothing() {
        let mut queue = ProcessQueue::default();
        assert_eq!(queue.put(messages(0..3)).len(), 3);
        assert_eq!(queue.put(messages(1..5)).len(), 2);
        assert_eq!(queue.len(), 5);
    }

    #[test]
    fn an_orderly_batch_is_committed_or_comes_again_first() {
        let mut queue = ProcessQueue::default();
        queue.put(messages(0..4));
        assert_eq!(queue.take(2).len(), 2);
        assert_eq!(queue.commit_offset(), Some(0));
        queue.put_back_taken();
        // What comes behind it did not fail yet.
        let offsets = |taken: Vec<Arc<ReceivedMessage>>| -> Vec<i64> {
            taken.iter().map(|message| message.queue_offset).collect()
        };
        assert_eq!(offsets(queue.take(3)), [0, 1]);
        assert_eq!(queue.commit_taken(), Some(2));
        assert_eq!(offsets(queue.take(3)), [2, 3]);
        assert_eq!(queue.commit_taken(), Some(4));
    }

    #[test]
    fn what_is_handed_to_a_poll_is_held_no_more() {
        let mut queue = ProcessQueue::default();
        assert!(matches!(queue.hand_out(2), (none, None) if none.is_empty()));
        queue.put(messages(0..3));
        assert!(matches!(queue.hand_out(2), (two, Some(2)) if two.len() == 2));
        assert!(matches!(queue.hand_out(2), (one, Some(3)) if one.len() == 1));
        assert!(queue.is_empty());
    }

    #[test]
    fn every_limit_stops_pulling_and_says_which() {
        let mut queue = ProcessQueue::default();
        queue.put(messages([0, 100]));
        let limits = |messages_max, size_max_bytes, span_max| FlowLimits {
            messages_max,
            size_max_bytes,
            span_max,
        };
        let full = |limits| queue.full(&limits).unwrap_or_default();
        assert_eq!(full(limits(3, 21, 101)), "");
        assert_eq!(full(limits(2, 21, 101)), "2 messages held, limit 2");
        assert_eq!(full(limits(3, 20, 101)), "20 bytes held, limit 20");
        assert_eq!(full(limits(3, 21, 100)), "offsets held span 101, limit 100");
    }

    #[test]
    fn offsets_at_both_ends_of_the_range_are_too_far_apart() {
        let mut queue = ProcessQueue::default();
        for offset in [i64::MIN, i64::MAX - 1] {
            let mut message = ReceivedMessage::sample(0, b"x");
            message.queue_offset = offset;
            queue.put(vec![Arc::new(message)]);
        }
        let full = queue.full(&FlowLimits::default()).unwrap_or_default();
        assert_eq!(full, format!("offsets held span {}, limit 2000", i64::MAX));
    }

    proptest! {
        #[test]
        fn commit_never_passes_an_unfinished_message(
            order in Just((0..20i64).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut queue = ProcessQueue::default();
            queue.put(messages(0..20));
            let mut unfinished: std::collections::BTreeSet<_> = (0..20).collect();
            for offset in order {
                unfinished.remove(&offset);
                let commit = queue.remove(&messages([offset])).expect("held before");
                prop_assert_eq!(commit, unfinished.first().copied().unwrap_or(20));
            }
        }
    }
}
