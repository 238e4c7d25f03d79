//! What the null broker was sent, on its way to those who pull: it holds their pulls, and answers
//! them with the messages of a group once that is written, as a broker of ours does. So the age of
//! a message there holds the same system calls on both sides.
//!
//! There are no queues: what is pulled under one number over one connection is one, and messages go
//! to them in turn. A record that goes back is the body as it came between two parts that all have
//! in common; only its lengths are its own, and its checksum is nobody's.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use ringmq_protocol::record::{NewRecord, Placement, encode, encoded_len};
use ringmq_runtime::task;

use crate::limits::null_load::TOPIC;
use crate::limits::prepared::{self, Prepared};
use crate::outbox::Outbox;
use crate::workload::pull::HOLD;

/// Most pulls that are held at a time: those of 10,000 topics with 4 queues, and some.
pub const PULLS_MAX: u32 = 65_536;

/// Most bytes of messages that nobody has pulled yet: more than a second of what end-to-end runs
/// send. What comes then is lost, and no latency of such a load is told: the race calls it
/// overloaded, and beside a run it has none.
const KEPT_MAX_BYTES: usize = 8 << 20;

/// Properties of each message, as long as those that bench's producers give it.
const PROPERTIES: &str = "UNIQ_KEY\u{1}00000000000000000000000000000000\u{2}";

/// Bytes behind the body: the topic with its length, and the properties with theirs.
const TAIL_LEN: usize = 1 + TOPIC.len() + 2 + PROPERTIES.len();

/// All who pull, and what waits for them.
pub struct Deliveries {
    pulls: RefCell<Vec<Rc<Pull>>>,
    /// Whose turn it is.
    turn: Cell<usize>,
    /// What came before the first pull, for that.
    early: RefCell<Vec<u8>>,
    kept_bytes: Cell<usize>,
    /// How often was looked for pulls that have waited long enough.
    looks: Cell<u64>,
    record: Record,
    found: Prepared,
    nothing: Prepared,
}

/// A pull that comes again and again.
struct Pull {
    peer: Rc<Outbox>,
    opaque: [u8; 4],
    /// The look before it came, while it waits.
    waits: Cell<Option<u64>>,
    /// Records that wait for it.
    kept: RefCell<Vec<u8>>,
}

impl Deliveries {
    /// Nobody pulls yet.
    pub fn new() -> Rc<Self> {
        let deliveries = Rc::new(Self {
            pulls: RefCell::default(),
            turn: Cell::new(0),
            early: RefCell::default(),
            kept_bytes: Cell::new(0),
            looks: Cell::new(0),
            record: Record::new(),
            found: Prepared::to_pull_of_any(),
            nothing: Prepared::to_pull(Vec::new()),
        });
        task::spawn("null holds", deliveries.clone().end_waits()).detach();
        deliveries
    }

    /// Hands on the messages of a group that is written: first all into the answers, then one write
    /// per pull.
    pub fn deliver(&self, group: &[u8]) {
        let mut reached = Vec::new();
        prepared::take_all(group, |_, frame| {
            prepared::bodies(frame, |body| reached.extend(self.keep(body)));
        });
        for pull in reached {
            if pull.waits.get().is_some() && !pull.kept.borrow().is_empty() {
                pull.waits.set(None);
                self.answer(&pull);
                pull.peer.flush();
            }
        }
    }

    /// Puts a message where the next pull in turn finds it, which is returned.
    fn keep(&self, body: &[u8]) -> Option<Rc<Pull>> {
        let kept = self.kept_bytes.get() + self.record.len(body);
        if kept > KEPT_MAX_BYTES {
            return None;
        }
        self.kept_bytes.set(kept);
        let pulls = self.pulls.borrow();
        if pulls.is_empty() {
            self.record.push(&mut self.early.borrow_mut(), body);
            return None;
        }
        let pull = &pulls[self.turn.get() % pulls.len()];
        self.turn.set(self.turn.get() + 1);
        self.record.push(&mut pull.kept.borrow_mut(), body);
        Some(pull.clone())
    }

    /// Answers a pull with all that waits for it.
    fn answer(&self, pull: &Pull) {
        let (mut out, mut kept) = (pull.peer.bytes(), pull.kept.borrow_mut());
        self.found.push_head_of(&mut out, pull.opaque, kept.len());
        out.extend_from_slice(&kept);
        self.kept_bytes.set(self.kept_bytes.get() - kept.len());
        kept.clear();
    }

    /// Answers pulls with nothing that have waited for half of [`HOLD`], before that is over.
    async fn end_waits(self: Rc<Self>) {
        loop {
            task::sleep(HOLD / 2).await;
            let look = self.looks.get();
            for pull in self.pulls.borrow().iter() {
                if pull.waits.get().is_some_and(|since| since < look) {
                    pull.waits.set(None);
                    self.nothing.push_head(&mut pull.peer.bytes(), pull.opaque);
                    pull.peer.flush();
                }
            }
            self.looks.set(look + 1);
        }
    }
}

/// The pulls of one connection. They end with it.
pub struct Puller {
    all: Rc<Deliveries>,
    peer: Rc<Outbox>,
    own: BTreeMap<[u8; 4], Rc<Pull>>,
}

impl Puller {
    /// Nothing is pulled over `peer` yet.
    pub fn new(all: Rc<Deliveries>, peer: &Rc<Outbox>) -> Self {
        Self { all, peer: peer.clone(), own: BTreeMap::new() }
    }

    /// Takes the pull of this number: its answer lies in the outbox, or it waits. False if there
    /// are too many.
    pub fn pull(&mut self, opaque: [u8; 4]) -> bool {
        let pull = match self.own.get(&opaque) {
            Some(pull) => pull.clone(),
            None if self.all.pulls.borrow().len() == PULLS_MAX as usize => return false,
            None => self.add(opaque),
        };
        if pull.kept.borrow().is_empty() {
            pull.waits.set(Some(self.all.looks.get()));
        } else {
            self.all.answer(&pull);
        }
        true
    }

    fn add(&mut self, opaque: [u8; 4]) -> Rc<Pull> {
        let kept = RefCell::new(self.all.early.take());
        let pull = Rc::new(Pull { peer: self.peer.clone(), opaque, waits: Cell::new(None), kept });
        self.own.insert(opaque, pull.clone());
        self.all.pulls.borrow_mut().push(pull.clone());
        pull
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        let lost: usize = self.own.values().map(|pull| pull.kept.borrow().len()).sum();
        self.all.kept_bytes.set(self.all.kept_bytes.get() - lost);
        self.all.pulls.borrow_mut().retain(|pull| !Rc::ptr_eq(&pull.peer, &self.peer));
    }
}

/// What all stored messages have in common: before the body, and behind it.
struct Record {
    /// Its last four bytes are the body's length.
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Record {
    fn new() -> Self {
        let host = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let record = NewRecord {
            topic: TOPIC,
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_at_ms: 0,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &[],
            properties: PROPERTIES,
            extra: &[],
            with_record_crc: false,
        };
        let len = encoded_len(&record).expect("topic and properties are short");
        let mut head = vec![0; len];
        let placement = Placement { queue_offset: 0, physical_offset: 0, stored_at_ms: 0 };
        encode(&mut head, &record, placement).expect("as long as was said");
        let tail = head.split_off(len - TAIL_LEN);
        Self { head, tail }
    }

    /// Bytes of a record with this body.
    fn len(&self, body: &[u8]) -> usize {
        self.head.len() + body.len() + self.tail.len()
    }

    fn push(&self, out: &mut Vec<u8>, body: &[u8]) {
        let start = out.len();
        out.extend_from_slice(&self.head);
        let length = |len: usize| u32::try_from(len).expect("no frame is that long").to_be_bytes();
        out[start..start + 4].copy_from_slice(&length(self.len(body)));
        let end = out.len();
        out[end - 4..].copy_from_slice(&length(body.len()));
        out.extend_from_slice(body);
        out.extend_from_slice(&self.tail);
    }
}

#[cfg(test)]
mod tests;
