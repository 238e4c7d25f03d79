//! Appended messages that are not acknowledged yet, in the order of their log.
//!
//! Every append leaves one entry: where its record ends, which queue it advanced, and, for a send
//! that wants an answer, the encoded answer. The answer of a success is complete the moment offsets
//! are assigned, so it is written once, into one buffer per log, and copied to the connection when
//! the log's watermark passes the record. Entries leave in log order, exactly once: acknowledged by
//! [`Waiters::release`] or, when the log is fenced, refused by [`Waiters::fail_all`].
//!
//! Both containers keep their memory, so a steady stream of sends allocates nothing.

use std::collections::VecDeque;

use ringmq_store::{LogPosition, QueueOffset};

use crate::router::HashedQueue;

/// Room for this many entries is made at the start: two groups of 64 connections with 32 sends in
/// flight.
const ENTRIES_START: usize = 4096;

/// Bytes of answers kept from the start: [`ENTRIES_START`] answers of a usual size.
const ANSWERS_START_BYTES: usize = ENTRIES_START * 256;

/// One appended message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// End of its record in the log.
    pub end: LogPosition,
    /// Its queue.
    pub queue: HashedQueue,
    /// Its offset in the queue.
    pub offset: QueueOffset,
    /// Hash of its tag.
    pub tag_hash: i64,
}

struct Entry<P> {
    placed: Placed,
    answer: Option<(P, usize)>,
}

/// The unacknowledged messages of one log; `P` says whom to answer.
pub struct Waiters<P> {
    entries: VecDeque<Entry<P>>,
    answers: Vec<u8>,
    answers_head: usize,
}

impl<P> Default for Waiters<P> {
    fn default() -> Self {
        Self {
            entries: VecDeque::with_capacity(ENTRIES_START),
            answers: Vec::with_capacity(ANSWERS_START_BYTES),
            answers_head: 0,
        }
    }
}

impl<P> Waiters<P> {
    /// Number of unacknowledged messages.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether every message is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a message that nobody waits for, or that was answered already.
    pub fn push(&mut self, placed: Placed) {
        self.push_entry(Entry { placed, answer: None });
    }

    /// Adds messages that nobody waits for.
    pub fn extend(&mut self, placed: impl Iterator<Item = Placed>) {
        placed.for_each(|placed| self.push(placed));
    }

    /// Adds a message whose sender gets the bytes that `encode` appends to the given buffer.
    pub fn push_with_answer(&mut self, placed: Placed, to: P, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.answers.len();
        encode(&mut self.answers);
        let answer = Some((to, self.answers.len() - start));
        self.push_entry(Entry { placed, answer });
    }

    fn push_entry(&mut self, entry: Entry<P>) {
        if let Some(last) = self.entries.back() {
            assert!(last.placed.end <= entry.placed.end, "a log only grows");
        }
        self.entries.push_back(entry);
    }

    /// Takes out all messages that end at or below `acknowledged`, in log order.
    pub fn release(
        &mut self,
        acknowledged: LogPosition,
        mut each: impl FnMut(&Placed, Option<(P, &[u8])>),
    ) {
        while self.entries.front().is_some_and(|entry| entry.placed.end <= acknowledged) {
            let Some(entry) = self.entries.pop_front() else { return };
            let answer = entry.answer.map(|(to, len)| {
                let start = self.answers_head;
                self.answers_head += len;
                (to, &self.answers[start..start + len])
            });
            each(&entry.placed, answer);
        }
        self.reclaim();
    }

    /// Takes out everything and hands over whoever waits; their success answers are dropped.
    pub fn fail_all(&mut self, mut each: impl FnMut(P)) {
        for entry in self.entries.drain(..) {
            if let Some((to, _)) = entry.answer {
                each(to);
            }
        }
        self.answers.clear();
        self.answers_head = 0;
    }

    /// Moves the live bytes to the front once they are the minority: each byte moves at most once
    /// more.
    fn reclaim(&mut self) {
        if self.answers_head == self.answers.len() {
            self.answers.clear();
        } else if self.answers_head > self.answers.len() / 2 {
            self.answers.drain(..self.answers_head);
        } else {
            return;
        }
        self.answers_head = 0;
    }
}

#[cfg(test)]
mod tests {
    use ringmq_store::LogId;

    use super::*;

    fn placed(end: u64) -> Placed {
        Placed {
            end: LogId(0).at(end),
            queue: HashedQueue::new("T", 0),
            offset: QueueOffset(end),
            tag_hash: 0,
        }
    }

    fn released(waiters: &mut Waiters<u32>, upto: u64) -> Vec<(u64, Option<(u32, String)>)> {
        let mut released = Vec::new();
        waiters.release(LogId(0).at(upto), |placed, answer| {
            let answer =
                answer.map(|(to, bytes)| (to, String::from_utf8_lossy(bytes).into_owned()));
            released.push((placed.end.byte(), answer));
        });
        released
    }

    fn push(waiters: &mut Waiters<u32>, end: u64) {
        let answer = format!("answer {end}");
        waiters.push_with_answer(placed(end), end as u32, |out| out.extend(answer.as_bytes()));
    }

    #[test]
    fn answers_come_back_whole_and_in_order_up_to_the_watermark() {
        let mut waiters = Waiters::default();
        push(&mut waiters, 10);
        waiters.push(placed(20));
        push(&mut waiters, 30);
        assert_eq!(released(&mut waiters, 9), []);
        assert_eq!(
            released(&mut waiters, 29),
            [(10, Some((10, "answer 10".to_owned()))), (20, None)]
        );
        assert_eq!(released(&mut waiters, 30), [(30, Some((30, "answer 30".to_owned())))]);
        assert!(waiters.is_empty());
    }

    #[test]
    fn a_stream_that_never_drains_keeps_its_buffer_small() {
        let mut waiters = Waiters::default();
        let mut next = 0;
        for round in 0..10_000 {
            for _ in 0..10 {
                next += 1;
                push(&mut waiters, next);
            }
            let upto = round * 10 + 5;
            assert!(released(&mut waiters, upto).iter().all(|(end, answer)| {
                answer.as_ref().is_some_and(|(_, text)| *text == format!("answer {end}"))
            }));
        }
        assert!(waiters.answers.capacity() <= ANSWERS_START_BYTES);
    }

    #[test]
    fn failing_drops_the_answers_and_names_who_waits() {
        let mut waiters = Waiters::default();
        push(&mut waiters, 1);
        waiters.push(placed(2));
        push(&mut waiters, 3);
        let mut failed = Vec::new();
        waiters.fail_all(|to| failed.push(to));
        assert_eq!(failed, [1, 3]);
        push(&mut waiters, 4);
        assert_eq!(released(&mut waiters, 4), [(4, Some((4, "answer 4".to_owned())))]);
    }
}
