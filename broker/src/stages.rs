//! Where the time of a send goes: the stages it passes, timed into histograms of each shard while
//! `sendStageTracing` is on.
//!
//! | stage | ends when | stamped |
//! |---|---|---|
//! | `read` | the turn begins that handles the bytes of the socket | per turn |
//! | `decode` | it is routed to its log, or passed on to another shard | per 8 sends, or per pass |
//! | `hop` | the other shard has parsed and routed it; only if it was passed on | per 8 sends |
//! | `append` | its record is in the log and its turn is over | per turn |
//! | `submit` | its group is closed and the write begins | per group |
//! | `flushed` | the group is on the device, with SYNC_FLUSH also flushed | per group |
//! | `written` | the socket has taken the answer | per write |
//! | `total` | the same, from the moment when the socket gave the bytes | |
//!
//! Each stage begins where the one before it ends, so those of one send add up to its total. A
//! *turn* is the handling of what one read of a connection brought, or of what it had for another
//! shard, there. Nothing else runs meanwhile, so `decode` and `append` hold the wait for the rest
//! of the turn: before a send for the sends in front of it, behind it for those that follow. Up to
//! 8 sends of a turn share the moment between the two, that of the first of them ([`received`]). So
//! the handling of up to 7 sends (some 12 us at 1 KiB), and of what lies between them, counts as
//! `append` and not as `decode` or `hop`. The first send of a turn is exact. What a turn has for
//! another shard is passed on together when it ends: the `decode` of all these ends at one moment.
//!
//! # What it costs
//! Off: one branch per send, per turn and per group. On: a clock reading per turn, one per 8 sends
//! of it and one per shard that it passes some on to, two per group and a branch more; every other
//! stamp was taken before, for other purposes.
//! Sends of one turn that are acknowledged together share their stamps ([`batches`]) and are
//! recorded together ([`part`]), in `decode`, or `hop`, and `append` those that share a moment.
//! Nothing is allocated per message. The histograms of a shard take 240 KiB, and only while they
//! are wanted.
//!
//! # What is counted
//! - A send that was stored and whose sender waits for the answer, once, however many messages it
//!   brought. It is counted when it is acknowledged, `written` and `total` when its answer has
//!   left: a connection that closes before has no such times.
//! - A refused send leaves nothing, nor does one that nobody waits for: one-way, or `WAIT=false`.
//! - Waiting for room in the log, which comes before the limit that refuses, is part of `append`;
//!   waiting for a topic that is being created part of `decode` or `hop`.
//! - With `transientStorePoolEnable` a send is acknowledged without the device, and then `submit`
//!   and `flushed` count nothing.
//! - Turned on in the middle, everything begins at zero, and a send is counted when every stamp was
//!   taken since. Turned off, the figures are gone.
//! - A send is recorded by the shard that owns its log; `written` and `total` by the shard of its
//!   connection.

mod batches;
mod leaving;
mod part;
mod received;
mod releasing;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hdrhistogram::Histogram;
use ringmq_protocol::bodies::send_stage::{SEND_STAGES, SendStage};
use ringmq_runtime::clock::Instant;
use ringmq_store::LogPosition;

use crate::logs::OwnedLog;
use crate::peer::Peer;
use crate::shard::DataPlane;

pub(crate) use batches::Batches;
pub use leaving::Answered;
pub(crate) use leaving::{Leaving, run};
use received::Received;
use releasing::Releasing;

/// Longest time that is told apart; longer ones count as this.
const TIME_MAX_NS: u64 = 60_000_000_000;

/// Digits of a time: to 1 %, in 30 KiB a stage.
const TIME_DIGITS: u8 = 2;

/// A part of the way of a send; the number is its place in [`SEND_STAGES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Read,
    Decode,
    Hop,
    Append,
    Submit,
    Flushed,
    Written,
    Total,
}

const _: () = assert!(Stage::Total as usize + 1 == SEND_STAGES.len());

/// When a send came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The socket gave its bytes.
    pub read_at: Instant,
    /// The turn began that handles them.
    pub turn_at: Instant,
    /// The shard of the connection passed it on, if another one owns its log.
    pub passed_at: Option<Instant>,
}

/// Where the requests of the turn at hand come from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// From their connection, which knows when they came.
    Connection,
    /// From elsewhere; their times came along, if they were taken.
    Kept(Option<Arrival>),
}

/// The figures of one shard.
#[derive(Debug, Clone)]
struct Recorder([Histogram<u64>; SEND_STAGES.len()]);

impl Recorder {
    fn new() -> Self {
        Self(std::array::from_fn(|_| {
            Histogram::new_with_bounds(1, TIME_MAX_NS, TIME_DIGITS)
                .expect("the bounds are constants that hdrhistogram accepts")
        }))
    }

    fn record(&mut self, stage: Stage, from: Instant, to: Instant, sends: u64) {
        let ns = to.as_nanos().saturating_sub(from.as_nanos());
        self.0[stage as usize].saturating_record_n(ns, sends);
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.add(theirs).expect("all histograms here have the same bounds");
        }
    }

    fn summary(&self, shard: Option<u32>) -> Vec<SendStage> {
        let us = |ns: u64| ns as f64 / 1e3;
        let of = |(stage, times): (&&str, &Histogram<u64>)| SendStage {
            shard,
            stage: (*stage).to_owned(),
            count: times.len(),
            mean_us: times.mean() / 1e3,
            p50_us: us(times.value_at_quantile(0.5)),
            p99_us: us(times.value_at_quantile(0.99)),
            p999_us: us(times.value_at_quantile(0.999)),
            max_us: us(times.max()),
        };
        SEND_STAGES.iter().zip(&self.0).map(of).collect()
    }
}

/// The stages of the sends of one shard.
pub struct Stages {
    is_on: Cell<bool>,
    /// There while it is on.
    recorder: RefCell<Option<Box<Recorder>>>,
    source: Cell<Source>,
    /// The turn at hand has appended something.
    has_appended: Cell<bool>,
    received: Received,
    leaving: Leaving,
}

impl Default for Stages {
    fn default() -> Self {
        Self {
            is_on: Cell::new(false),
            recorder: RefCell::default(),
            source: Cell::new(Source::Connection),
            has_appended: Cell::new(false),
            received: Received::default(),
            leaving: Leaving::default(),
        }
    }
}

impl Stages {
    /// Whether stages are timed.
    pub fn is_on(&self) -> bool {
        self.is_on.get()
    }

    /// Begins at zero, or ends, also in the middle of a turn. What is so already stays.
    pub(crate) fn switch<'l>(&self, is_on: bool, logs: impl Iterator<Item = &'l Rc<OwnedLog>>) {
        if self.is_on.replace(is_on) == is_on {
            return;
        }
        *self.recorder.borrow_mut() = is_on.then(|| Box::new(Recorder::new()));
        self.leaving.clear();
        for owned in logs {
            owned.log.time_groups(is_on);
            owned.batches.borrow_mut().clear();
        }
    }

    /// A turn begins whose requests do not come from their connection just now.
    pub(crate) fn begin_kept(&self, arrival: Option<Arrival>) {
        self.source.set(Source::Kept(arrival));
    }

    /// The turn is over.
    pub(crate) fn end_turn<'l>(&self, logs: impl Iterator<Item = &'l Rc<OwnedLog>>) {
        self.source.set(Source::Connection);
        self.received.end_turn();
        if self.has_appended.replace(false) {
            let now = Instant::now();
            logs.for_each(|owned| owned.batches.borrow_mut().end_turn(now));
        }
    }

    /// When a request of the turn at hand came; none while it is off, or when that was not noted.
    pub(crate) fn arrival_of(&self, peer: &Peer) -> Option<Arrival> {
        if !self.is_on() {
            return None;
        }
        match self.source.get() {
            Source::Connection => peer.arrival(),
            Source::Kept(arrival) => arrival,
        }
    }

    /// When a send is taken as received whose queue lies here: now, or a few sends ago, or, while
    /// nothing is timed, when its turn began, which is known.
    pub(crate) fn received_at(&self, peer: &Peer) -> Instant {
        if self.is_on() {
            return self.received.next(Instant::now);
        }
        peer.arrival().map_or_else(Instant::now, |arrival| arrival.turn_at)
    }

    /// The same for requests that are passed on to another shard now.
    pub(crate) fn passing_on(&self, peer: &Peer) -> Option<Arrival> {
        let arrival = self.arrival_of(peer)?;
        Some(Arrival { passed_at: arrival.passed_at.or_else(|| Some(Instant::now())), ..arrival })
    }

    /// A send of the turn at hand, whose sender waits, was appended up to `end`.
    pub(crate) fn appended(&self, owned: &OwnedLog, peer: &Peer, end: LogPosition) {
        if !self.is_on() {
            return;
        }
        let mut batches = owned.batches.borrow_mut();
        if batches.grow(end) {
            return;
        }
        if let Some(arrival) = self.arrival_of(peer) {
            batches.begin(arrival, end);
            self.has_appended.set(true);
        }
    }

    /// Acknowledged sends of a log are about to be answered; none while it is off.
    pub(crate) fn releasing<'a>(&'a self, owned: &'a OwnedLog) -> Option<Releasing<'a>> {
        self.is_on().then(|| Releasing::new(self, owned))
    }
}

/// The stages of all shards together, in their order, and behind them those of each shard where
/// there are several; none while they are not timed.
pub async fn collect(data: &Rc<DataPlane>) -> Vec<SendStage> {
    let of_shard = |data: Rc<DataPlane>| async move { data.local.stages.recorder.borrow().clone() };
    let parts = data.on_all_shards(of_shard).await;
    let timed = || (0..).zip(&parts).filter_map(|(shard, part)| Some((shard, part.as_ref()?)));
    let sum = timed().map(|(_, part)| part.clone()).reduce(|mut sum, part| {
        sum.add(&part);
        sum
    });
    let each = timed().filter(|_| parts.len() > 1);
    let each = each.flat_map(|(shard, part)| part.summary(Some(shard)));
    sum.map_or(Vec::new(), |sum| sum.summary(None)).into_iter().chain(each).collect()
}
