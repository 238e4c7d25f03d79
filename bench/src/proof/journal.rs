//! What was acknowledged, and the proof that it can be read.
//!
//! A [`Journal`] takes every acknowledgement of a produce run. [`Journal::check`] then compares it
//! with everything that can be read back:
//!
//! * every acknowledged message is at the queue offset that the acknowledgement named, byte for
//!   byte;
//! * no message is there twice;
//! * messages of one lane lie in a queue in the order in which the lane sent them;
//! * queue offsets have no gap.
//!
//! A message that was sent but never acknowledged may be there or not: nothing was promised.

use ringmq_runtime::random::HashMap;

use crate::workload::payload::{self, Identity, PayloadError};

/// Acknowledgements one run keeps: 32 bytes each, so at most 1.6 GB. Past it the run stops with an
/// error instead of forgetting what must be proved.
pub const ACKS_MAX: usize = 50_000_000;

/// Findings printed in full; the others are only counted.
const FINDINGS_SHOWN_MAX: usize = 20;

/// A queue of one of the run's topics, which may lie on several brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueNumber {
    /// Index of the topic in the target.
    pub topic: u32,
    /// Index of the broker in the target.
    pub broker: u32,
    /// Queue id on that broker.
    pub queue_id: u32,
}

/// One acknowledged message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The connection that sent it.
    pub lane: u32,
    /// The queue that the broker named.
    pub queue: QueueNumber,
    /// The lane's count.
    pub sequence: u64,
    /// The queue offset that the broker named.
    pub queue_offset: u64,
}

/// The acknowledgements of one run on one topic.
#[derive(Debug)]
pub struct Journal {
    run: u64,
    acks: Vec<Ack>,
}

/// What a check found. Empty findings are the proof, if there was anything to prove.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged messages looked for.
    pub acknowledged: u64,
    /// Messages of this run that were read.
    pub read: u64,
    /// Findings, at most [`FINDINGS_SHOWN_MAX`] of them.
    pub findings: Vec<String>,
    /// All findings, shown or not.
    pub findings_count: u64,
}

impl Verdict {
    /// True when everything acknowledged is there as sent, once and in order; false also when
    /// nothing was acknowledged, which proves nothing.
    pub fn is_proved(&self) -> bool {
        self.acknowledged > 0 && self.findings_count == 0
    }

    fn finding(&mut self, text: impl FnOnce() -> String) {
        self.findings_count += 1;
        if self.findings.len() < FINDINGS_SHOWN_MAX {
            self.findings.push(text());
        }
    }
}

/// Everything read from one queue, in order: reads feed it, [`Journal::check`] looks at it.
#[derive(Debug)]
pub struct QueueContents {
    queue: QueueNumber,
    /// Queue offset and identity (or what is wrong) of each message.
    messages: Vec<(u64, Result<Identity, PayloadError>)>,
}

impl QueueContents {
    /// Nothing yet of `queue`.
    pub fn new(queue: QueueNumber) -> Self {
        Self { queue, messages: Vec::new() }
    }

    /// Takes the next message that was read.
    pub fn push(&mut self, queue_offset: u64, body: &[u8]) {
        self.messages.push((queue_offset, payload::check(body)));
    }
}

impl Journal {
    /// An empty journal of the run.
    pub fn new(run: u64) -> Self {
        Self { run, acks: Vec::new() }
    }

    /// Takes an acknowledgement; false when [`ACKS_MAX`] is reached.
    #[must_use]
    pub fn push(&mut self, ack: Ack) -> bool {
        if self.acks.len() == ACKS_MAX {
            return false;
        }
        self.acks.push(ack);
        true
    }

    /// Compares the journal with what the queues hold.
    pub fn check(&self, queues: &[QueueContents]) -> Verdict {
        let mut verdict = Verdict { acknowledged: self.acks.len() as u64, ..Verdict::default() };
        let mut seen = HashMap::default();
        for contents in queues {
            self.check_queue(contents, &mut seen, &mut verdict);
        }
        for ack in &self.acks {
            let identity = Identity { run: self.run, lane: ack.lane, sequence: ack.sequence };
            match seen.get(&identity) {
                None => verdict.finding(|| format!("missing: {ack:?} was acknowledged")),
                Some(&(queue, offset)) if (queue, offset) != (ack.queue, ack.queue_offset) => {
                    verdict.finding(|| format!("moved: {ack:?} is at {queue:?} offset {offset}"));
                }
                Some(_) => {}
            }
        }
        verdict
    }

    /// Checks one queue on its own: no gap, no corrupt body, nothing twice, lanes in order.
    fn check_queue(
        &self,
        contents: &QueueContents,
        seen: &mut HashMap<Identity, (QueueNumber, u64)>,
        verdict: &mut Verdict,
    ) {
        let queue = contents.queue;
        let mut expected = contents.messages.first().map_or(0, |message| message.0);
        let mut last_of_lane: HashMap<u32, u64> = HashMap::default();
        for (offset, identity) in &contents.messages {
            if *offset != expected {
                verdict.finding(|| format!("gap: {queue:?} goes from {expected} to {offset}"));
            }
            expected = offset + 1;
            let identity = match identity {
                Ok(identity) if identity.run != self.run => continue,
                Ok(identity) => *identity,
                Err(error) => {
                    verdict.finding(|| format!("corrupt: {queue:?} offset {offset}: {error}"));
                    continue;
                }
            };
            verdict.read += 1;
            if let Some((first, at)) = seen.insert(identity, (queue, *offset)) {
                verdict.finding(|| {
                    format!("doubled: {identity:?} at {first:?} offset {at} and {queue:?} offset {offset}")
                });
            }
            let last = last_of_lane.insert(identity.lane, identity.sequence);
            if last.is_some_and(|last| last >= identity.sequence) {
                verdict.finding(|| {
                    format!("order: {queue:?} offset {offset}: {identity:?} after {last:?}")
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::payload::Stamp;

    const RUN: u64 = 9;

    const QUEUE: QueueNumber = QueueNumber { topic: 0, broker: 0, queue_id: 0 };

    fn queue(sequences: &[u64]) -> QueueContents {
        let mut contents = QueueContents::new(QUEUE);
        for (offset, &sequence) in sequences.iter().enumerate() {
            let mut body = vec![0; 60];
            payload::fill(Identity { run: RUN, lane: 1, sequence }, Stamp::default(), 0, &mut body);
            contents.push(offset as u64, &body);
        }
        contents
    }

    fn journal(acks: &[(u64, u64)]) -> Journal {
        let mut journal = Journal::new(RUN);
        for &(sequence, queue_offset) in acks {
            assert!(journal.push(Ack { lane: 1, queue: QUEUE, sequence, queue_offset }));
        }
        journal
    }

    fn check(acks: &[(u64, u64)], contents: QueueContents, expected: &[&str]) {
        let verdict = journal(acks).check(&[contents]);
        let kinds: Vec<_> =
            verdict.findings.iter().map(|text| text.split(':').next().unwrap()).collect();
        assert_eq!(kinds, expected, "{verdict:?}");
        assert_eq!(verdict.is_proved(), expected.is_empty(), "{verdict:?}");
    }

    #[test]
    fn where_nothing_was_acknowledged_nothing_is_proved() {
        let verdict = journal(&[]).check(&[queue(&[0, 1])]);
        assert!(verdict.findings.is_empty() && !verdict.is_proved(), "{verdict:?}");
    }

    #[test]
    fn everything_acknowledged_and_in_place_is_proved() {
        check(&[(0, 0), (1, 1), (2, 2)], queue(&[0, 1, 2]), &[]);
    }

    #[test]
    fn an_unacknowledged_message_may_be_there() {
        check(&[(0, 0)], queue(&[0, 1]), &[]);
    }

    #[test]
    fn a_missing_message_is_found() {
        check(&[(0, 0), (1, 1)], queue(&[0]), &["missing"]);
    }

    #[test]
    fn a_doubled_message_is_found() {
        check(&[(0, 0)], queue(&[0, 0]), &["doubled", "order", "moved"]);
    }

    #[test]
    fn a_message_out_of_order_is_found() {
        check(&[(0, 1), (1, 0)], queue(&[1, 0]), &["order"]);
    }

    #[test]
    fn a_corrupt_body_is_found() {
        let mut contents = queue(&[0]);
        contents.push(1, &[1; 60]);
        check(&[(0, 0)], contents, &["corrupt"]);
    }

    #[test]
    fn a_gap_is_found() {
        let mut contents = queue(&[0]);
        let mut body = vec![0; 60];
        payload::fill(Identity { run: RUN, lane: 1, sequence: 5 }, Stamp::default(), 0, &mut body);
        contents.push(7, &body);
        check(&[(0, 0)], contents, &["gap"]);
    }
}
