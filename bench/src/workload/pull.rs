//! Pulls: what a consuming connection asks.
//!
//! Each slot is a cursor with queues of its own, which it pulls in turn. A replaying cursor reads
//! a queue from its first message to its end and then again, so that a topic of any size gives a
//! steady load. A tailing cursor has one queue and waits at its end for what is produced.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::pull::{PullRequest, PullResponse, pull_flag};
use ringmq_protocol::record::{Record, records};
use ringmq_protocol::{Command, Header, RequestHead, SerializeType, write_request};
use ringmq_runtime::clock::{self, Instant};

use crate::driver::work::{AskedAt, Then, Work};
use crate::record::window::Window;
use crate::wire::{self, describe};
use crate::workload::payload;

/// How long a pull of a measuring consumer waits at the end of a queue; also what the end of a run
/// waits for.
pub const HOLD: Duration = Duration::from_secs(1);

/// What a cursor reads, and what counts as latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// From the first message to the end, this many times (none: until the run ends); the latency
    /// is that of a pull.
    Replay(Option<u32>),
    /// What arrives from now on; the latency is the age of a message by the producer's wall clock,
    /// in milliseconds.
    Tail,
    /// The same, where the producers of this run send as well: of their messages the latency counts
    /// from the times in them.
    TailOf(u64),
    /// What the producers of this run send; the latency counts from the times in the messages.
    EndToEnd(u64),
}

/// What all consuming connections have in common.
#[derive(Clone, Debug)]
pub struct PullPlan {
    /// See [`Reading`].
    pub reading: Reading,
    /// Most messages of one pull.
    pub batch: u32,
    /// Tag expression.
    pub subscription: String,
    /// Longest wait at the end of a queue, of readers that wait there.
    pub hold: Duration,
    /// Form of the header.
    pub serialize: SerializeType,
}

impl PullPlan {
    /// Reads all messages from the first to the end, over and over.
    pub fn replay(batch: u32, serialize: SerializeType) -> Self {
        let (reading, subscription) = (Reading::Replay(None), "*".to_owned());
        Self { reading, batch, subscription, hold: HOLD, serialize }
    }
}

/// A queue, and where a cursor is in it.
#[derive(Clone, Debug)]
pub struct Position {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its id.
    pub queue_id: i32,
    /// Where reading starts.
    pub first: u64,
    /// Next message to ask for.
    pub next: u64,
    /// Times it was read to the end.
    pub passes: u32,
}

/// One consuming connection.
pub struct PullWork {
    plan: Rc<PullPlan>,
    cursors: RefCell<Vec<Cursor>>,
}

#[derive(Debug)]
struct Cursor {
    queues: Vec<Position>,
    /// Whose turn it is.
    turn: usize,
}

impl PullWork {
    /// A connection with one slot per element of `cursors`, each with its queues (at least one).
    pub fn new(plan: Rc<PullPlan>, cursors: Vec<Vec<Position>>) -> Rc<Self> {
        assert!(cursors.iter().all(|queues| !queues.is_empty()), "a cursor has a queue");
        let cursors = cursors.into_iter().map(|queues| Cursor { queues, turn: 0 }).collect();
        Rc::new(Self { plan, cursors: RefCell::new(cursors) })
    }

    fn count(&self, asked: AskedAt, now: Instant, read: &Read, window: &mut Window) {
        match self.plan.reading {
            _ if read.messages == 0 => window.empty += 1,
            Reading::Replay(_) => {
                let response = now.saturating_since(asked.intended);
                let service = now.saturating_since(asked.sent);
                window.success(response, service, read.messages, read.bytes);
            }
            // Each message was counted with its own age.
            Reading::Tail | Reading::TailOf(_) | Reading::EndToEnd(_) => {
                window.messages += read.messages;
                window.bytes += read.bytes;
            }
        }
    }
}

impl Work for PullWork {
    fn ask(&self, slot: u32, _asked: AskedAt, out: &mut Vec<u8>) {
        let cursors = self.cursors.borrow();
        let cursor = &cursors[slot as usize];
        let position = &cursor.queues[cursor.turn];
        let waits = !matches!(self.plan.reading, Reading::Replay(_));
        let header = PullRequest {
            sys_flag: pull_flag::SUBSCRIPTION | if waits { pull_flag::SUSPEND } else { 0 },
            suspend_timeout_ms: i64::try_from(self.plan.hold.as_millis()).unwrap_or(i64::MAX),
            subscription: Some(&self.plan.subscription),
            ..wire::pull(&position.topic, position.queue_id, position.next, self.plan.batch)
        };
        let head = RequestHead {
            serialize: self.plan.serialize,
            code: request::PULL_MESSAGE,
            opaque: i32::try_from(slot).expect("slots are few"),
            oneway: false,
            remark: None,
        };
        write_request(out, head, &header, &[]);
    }

    fn answered(
        &self,
        slot: u32,
        asked: AskedAt,
        now: Instant,
        answer: &Command<'_>,
        window: &mut Window,
    ) -> Then {
        let age = |record: &Record<'_>, window: &mut Window| {
            count_age(self.plan.reading, record, now, window)
        };
        match read(answer, window, age) {
            Err(what) => {
                window.failure(&what);
                Then::Again
            }
            Ok(read) => {
                self.count(asked, now, &read, window);
                let passes = match self.plan.reading {
                    Reading::Replay(passes) => passes,
                    Reading::Tail | Reading::TailOf(_) | Reading::EndToEnd(_) => None,
                };
                let starts_over = matches!(self.plan.reading, Reading::Replay(_));
                self.cursors.borrow_mut()[slot as usize].proceed(&read, starts_over, passes)
            }
        }
    }
}

impl Cursor {
    /// Moves behind what was read; at the end of a queue to its start, if the cursor starts over.
    fn proceed(&mut self, read: &Read, starts_over: bool, passes: Option<u32>) -> Then {
        let position = &mut self.queues[self.turn];
        position.next = read.next;
        self.turn += 1;
        if starts_over && read.at_end {
            position.next = position.first;
            position.passes += 1;
            if Some(position.passes) == passes {
                self.turn -= 1;
                self.queues.remove(self.turn);
            }
        }
        if self.turn >= self.queues.len() {
            self.turn = 0;
        }
        if self.queues.is_empty() { Then::Retire } else { Then::Again }
    }
}

/// What one answer brought.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    messages: u64,
    bytes: u64,
    next: u64,
    /// There was nothing behind it.
    at_end: bool,
}

/// Reads an answer; `count` gets each message and says whether it belongs to the run.
fn read(
    answer: &Command<'_>,
    window: &mut Window,
    count: impl Fn(&Record<'_>, &mut Window) -> bool,
) -> Result<Read, String> {
    let at_end = match answer.code {
        // Moved: the first messages have expired, and the answer names the first that is left.
        response::SUCCESS | response::PULL_OFFSET_MOVED | response::PULL_RETRY_IMMEDIATELY => false,
        response::PULL_NOT_FOUND => true,
        _ => return Err(describe(answer)),
    };
    let header = PullResponse::decode(&answer.fields).map_err(|error| error.to_string())?;
    let next = u64::try_from(header.next_begin_offset).map_err(|_| "negative nextBeginOffset")?;
    let at_end = at_end || header.next_begin_offset >= header.max_offset;
    let mut read = Read { messages: 0, bytes: 0, next, at_end };
    for record in records(answer.body) {
        let record = record.map_err(|error| error.to_string())?;
        if count(&record, window) {
            read.messages += 1;
            read.bytes += record.body.len() as u64;
        }
    }
    Ok(read)
}

/// Counts how old a message is when it arrives; false when it is not of this run.
fn count_age(reading: Reading, record: &Record<'_>, now: Instant, window: &mut Window) -> bool {
    match reading {
        Reading::Replay(_) => true,
        Reading::TailOf(run) if count_stamped(run, record, now, window) => true,
        Reading::Tail | Reading::TailOf(_) => {
            let age_ms = clock::unix_ms().saturating_sub(record.born_at_ms).max(0);
            let age = Duration::from_millis(age_ms.unsigned_abs());
            window.response.record(age);
            window.service.record(age);
            true
        }
        Reading::EndToEnd(run) => count_stamped(run, record, now, window),
    }
}

/// Counts a message by the times in it; false when it is not of that run.
fn count_stamped(run: u64, record: &Record<'_>, now: Instant, window: &mut Window) -> bool {
    let Ok((identity, stamp, ..)) = payload::head(record.body) else { return false };
    if identity.run != run {
        return false;
    }
    let since = |ns: u64| now.saturating_since(Instant::from_nanos(ns));
    window.response.record(since(stamp.intended_ns));
    window.service.record(since(stamp.sent_ns));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(queues: &[i32]) -> Cursor {
        let position = |&queue_id: &i32| Position {
            topic: "T".into(),
            queue_id,
            first: 10,
            next: 10,
            passes: 0,
        };
        Cursor { queues: queues.iter().map(position).collect(), turn: 0 }
    }

    fn read(next: u64, at_end: bool) -> Read {
        Read { messages: 1, bytes: 1, next, at_end }
    }

    #[test]
    fn a_cursor_takes_its_queues_in_turn() {
        let mut cursor = cursor(&[0, 1]);
        assert_eq!(cursor.proceed(&read(12, false), true, None), Then::Again);
        assert_eq!((cursor.turn, cursor.queues[0].next, cursor.queues[1].next), (1, 12, 10));
        assert_eq!(cursor.proceed(&read(15, false), true, None), Then::Again);
        assert_eq!((cursor.turn, cursor.queues[0].next, cursor.queues[1].next), (0, 12, 15));
    }

    #[test]
    fn a_replaying_cursor_starts_over_and_retires_after_its_passes() {
        let mut cursor = cursor(&[0, 1]);
        for expected in [Then::Again, Then::Again, Then::Again, Then::Retire] {
            assert!(cursor.queues.iter().all(|position| position.next == 10));
            assert_eq!(cursor.proceed(&read(20, true), true, Some(2)), expected);
        }
    }

    #[test]
    fn ages_of_own_messages_come_from_their_bodies_and_of_others_from_their_birth() {
        let now = Instant::from_nanos(5_000_000);
        let mut body = vec![0; payload::HEAD_SIZE_BYTES];
        let identity = payload::Identity { run: 7, lane: 0, sequence: 0 };
        let stamp = payload::Stamp { intended_ns: 4_877_000, sent_ns: 4_900_000 };
        payload::fill(identity, stamp, 0, &mut body);
        let bytes = crate::limits::tests::stored(&body, 1);
        let us = |reading| {
            let mut window = Window::default();
            for record in records(&bytes) {
                assert!(count_age(reading, &record.unwrap(), now, &mut window));
            }
            [window.response.max_us(), window.service.max_us()].map(f64::round)
        };
        assert_eq!(us(Reading::TailOf(7)), [123.0, 100.0]);
        let [age_us, _] = us(Reading::TailOf(8));
        assert!(age_us > 1e9, "born in 1970: {age_us}");
        assert_eq!(us(Reading::Tail)[0] > 1e9, age_us > 1e9);
    }

    #[test]
    fn a_tailing_cursor_stays_at_the_end() {
        let mut cursor = cursor(&[0]);
        assert_eq!(cursor.proceed(&read(20, true), false, None), Then::Again);
        assert_eq!(cursor.queues[0].next, 20);
    }
}
