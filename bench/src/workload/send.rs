//! Sends: what a producing connection asks.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::send::{SendRequest, SendResponse};
use ringmq_protocol::names::TEMPLATE_TOPIC;
use ringmq_protocol::properties::Properties;
use ringmq_protocol::{Command, Header, RequestHead, SerializeType, batch, write_request};
use ringmq_runtime::clock::{self, Instant};

use crate::driver::work::{AskedAt, Then, Work};
use crate::proof::journal::{Ack, Journal, QueueNumber};
use crate::record::window::Window;
use crate::wire::{GROUP, describe};
use crate::workload::message::MessagePlan;
use crate::workload::payload::{Identity, Stamp};
use crate::workload::topics::TopicDraw;

/// A topic as one broker has it.
#[derive(Clone, Debug)]
pub struct BrokerTopic {
    /// Its number in the run.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Its queues have the ids from 0 to here.
    pub queues: u32,
}

/// What all producing connections to one broker have in common.
#[derive(Debug)]
pub struct SendPlan {
    /// Drawn once per run.
    pub run: u64,
    /// The broker's number in the target.
    pub broker: u32,
    /// Topics to send to; at least one, each with at least one queue.
    pub topics: Vec<BrokerTopic>,
    /// Which of them.
    pub draw: TopicDraw,
    /// The messages.
    pub message: MessagePlan,
    /// Messages of one request; more than one travel as a batch.
    pub batch: u32,
    /// Form of the header.
    pub serialize: SerializeType,
}

/// The acknowledgements of a run, kept for a proof by all threads that drive it.
#[derive(Debug)]
pub struct Acks {
    /// Only runs with a proof pay for the lock.
    journal: Mutex<Journal>,
    full: AtomicBool,
}

impl Acks {
    /// An empty journal of `run`, for all its connections.
    pub fn new(run: u64) -> Arc<Self> {
        Arc::new(Self { journal: Mutex::new(Journal::new(run)), full: AtomicBool::new(false) })
    }

    /// True when an acknowledgement did not fit: the run cannot be proved.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// The journal, to check it.
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One producing connection.
pub struct SendWork {
    lane: u32,
    plan: Arc<SendPlan>,
    acks: Option<Arc<Acks>>,
    state: RefCell<State>,
}

struct State {
    random: SmallRng,
    /// Messages made so far.
    sequence: u64,
    /// Requests made so far.
    requests: u64,
    body: Vec<u8>,
    batch: Vec<u8>,
    properties: Vec<u8>,
    in_flight: Vec<InFlight>,
}

/// What a request carried that waits for its answer.
#[derive(Clone, Copy, Debug, Default)]
struct InFlight {
    topic: u32,
    first_sequence: u64,
    bytes: u64,
}

impl SendWork {
    /// The connection number `lane`, with `depth` slots.
    pub fn new(lane: u32, plan: Arc<SendPlan>, acks: Option<Arc<Acks>>, depth: u32) -> Rc<Self> {
        let random = SmallRng::seed_from_u64(plan.run ^ u64::from(lane) << 32);
        let state = State {
            random,
            sequence: 0,
            requests: 0,
            body: Vec::new(),
            batch: Vec::new(),
            properties: Vec::new(),
            in_flight: vec![InFlight::default(); depth as usize],
        };
        Rc::new(Self { lane, plan, acks, state: RefCell::new(state) })
    }

    /// Keeps the acknowledgement of the messages of one request, which lie one behind the other.
    fn keep(&self, in_flight: InFlight, stored: &Stored) -> Then {
        let Some(acks) = &self.acks else { return Then::Again };
        let mut journal = acks.journal();
        for index in 0..u64::from(self.plan.batch) {
            let kept = journal.push(Ack {
                lane: self.lane,
                queue: QueueNumber {
                    topic: in_flight.topic,
                    broker: self.plan.broker,
                    queue_id: stored.queue_id,
                },
                sequence: in_flight.first_sequence + index,
                queue_offset: stored.queue_offset + index,
            });
            if !kept {
                acks.full.store(true, Ordering::Relaxed);
                return Then::Stop;
            }
        }
        Then::Again
    }
}

impl Work for SendWork {
    fn messages_of_request(&self) -> Option<u64> {
        Some(self.plan.batch.into())
    }

    fn ask(&self, slot: u32, asked: AskedAt, out: &mut Vec<u8>) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let topic = &self.plan.topics[self.plan.draw.draw(&mut state.random)];
        let queue = (u64::from(self.lane) + state.requests) % u64::from(topic.queues);
        state.requests += 1;
        let first_sequence = state.sequence;
        let stamp =
            Stamp { intended_ns: asked.intended.as_nanos(), sent_ns: asked.sent.as_nanos() };
        let bytes = state.make_messages(&self.plan, self.lane, stamp);
        state.in_flight[slot as usize] = InFlight { topic: topic.number, first_sequence, bytes };
        let is_batch = self.plan.batch > 1;
        let properties = std::str::from_utf8(&state.properties).expect("made of UTF-8");
        let header = SendRequest {
            producer_group: GROUP,
            topic: &topic.name,
            default_topic: TEMPLATE_TOPIC,
            default_topic_queue_nums: 4,
            queue_id: i32::try_from(queue).expect("queue ids are small"),
            sys_flag: 0,
            born_at_ms: clock::unix_ms(),
            flag: 0,
            properties: (!is_batch).then_some(properties),
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: None,
            batch: is_batch,
            broker_name: None,
        };
        let head = RequestHead {
            serialize: self.plan.serialize,
            code: if is_batch { request::SEND_BATCH_MESSAGE } else { request::SEND_MESSAGE_V2 },
            opaque: i32::try_from(slot).expect("slots are few"),
            oneway: false,
            remark: None,
        };
        write_request(out, head, &header, if is_batch { &state.batch } else { &state.body });
    }

    fn answered(
        &self,
        slot: u32,
        asked: AskedAt,
        now: Instant,
        answer: &Command<'_>,
        window: &mut Window,
    ) -> Then {
        let in_flight = self.state.borrow().in_flight[slot as usize];
        match stored(answer) {
            Ok(stored) => {
                let response = now.saturating_since(asked.intended);
                let service = now.saturating_since(asked.sent);
                window.success(response, service, u64::from(self.plan.batch), in_flight.bytes);
                self.keep(in_flight, &stored)
            }
            Err(what) => {
                window.failure(&what);
                Then::Again
            }
        }
    }
}

impl State {
    /// Makes the messages of one request: one in `body` and `properties`, or many in `batch`.
    /// Returns the bytes of their bodies.
    fn make_messages(&mut self, plan: &SendPlan, lane: u32, stamp: Stamp) -> u64 {
        self.batch.clear();
        let mut bytes = 0;
        for _ in 0..plan.batch {
            let identity = Identity { run: plan.run, lane, sequence: self.sequence };
            let message = &plan.message;
            bytes += message.fill(identity, stamp, &mut self.random, &mut self.body) as u64;
            let properties =
                message.properties(lane, self.sequence, &mut self.random, &mut self.properties);
            self.sequence += 1;
            if plan.batch > 1 {
                let properties = Properties::new(properties);
                let item = batch::Item { flag: 0, body: &self.body, properties };
                batch::push(&mut self.batch, &item)
                    .expect("the command line bounds tags and batches");
            }
        }
        bytes
    }
}

/// Where the broker put a message, or the first of a batch.
struct Stored {
    queue_id: u32,
    queue_offset: u64,
}

fn stored(command: &Command<'_>) -> Result<Stored, String> {
    if command.code != response::SUCCESS {
        return Err(describe(command));
    }
    let header = SendResponse::decode(&command.fields).map_err(|error| error.to_string())?;
    let queue_id = u32::try_from(header.queue_id).map_err(|_| "negative queueId")?;
    let queue_offset = u64::try_from(header.queue_offset).map_err(|_| "negative queueOffset")?;
    Ok(Stored { queue_id, queue_offset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Assembler;
    use crate::workload::message::Sizes;
    use crate::workload::payload;
    use crate::workload::topics::Spread;

    fn work(batch: u32) -> Rc<SendWork> {
        let message = MessagePlan {
            sizes: Sizes { min: 64, max: 64 },
            compressible: 0,
            keys: None,
            tags: Vec::new(),
        };
        let topics = vec![BrokerTopic { number: 0, name: "T".into(), queues: 2 }];
        let plan = SendPlan {
            run: 5,
            broker: 0,
            topics,
            draw: TopicDraw::new(1, Spread::Uniform),
            message,
            batch,
            serialize: SerializeType::RocketMq,
        };
        SendWork::new(1, Arc::new(plan), None, 4)
    }

    fn requests(work: &SendWork, count: u32) -> Vec<u8> {
        let now = Instant::from_nanos(9);
        let mut bytes = Vec::new();
        for slot in 0..count {
            work.ask(slot, AskedAt { intended: now, sent: now }, &mut bytes);
        }
        bytes
    }

    fn check(bytes: &[u8], mut take: impl FnMut(&Command<'_>)) {
        Assembler::default().feed(bytes, &mut take).unwrap();
    }

    #[test]
    fn requests_carry_their_slot_and_take_the_queues_in_turn() {
        let mut seen = Vec::new();
        check(&requests(&work(1), 3), |command| {
            let header = SendRequest::decode(&command.fields).unwrap();
            seen.push((command.opaque, header.queue_id));
        });
        assert_eq!(seen, [(0, 1), (1, 0), (2, 1)]);
    }

    #[test]
    fn a_batch_is_a_list_of_messages_that_prove_themselves() {
        let mut sequences = Vec::new();
        check(&requests(&work(3), 2), |command| {
            assert!(SendRequest::decode(&command.fields).unwrap().batch);
            for item in batch::items(command.body) {
                sequences.push(payload::check(item.unwrap().body).unwrap().sequence);
            }
        });
        assert_eq!(sequences, [0, 1, 2, 3, 4, 5]);
    }
}
