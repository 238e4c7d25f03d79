//! Drives lanes with a closed or an open loop and counts what happens.
//!
//! Closed loop: every answer frees a slot, and the next message goes into it at once. Open loop: a
//! ticker sends what the [`Schedule`] says is due; when all slots are taken, due messages wait in a
//! backlog and keep their intended time, so the wait counts as latency.
//!
//! [`Load::run`] ends after warm-up and duration, or as soon as every lane is closed; it then waits
//! for answers in flight, at most [`DRAIN_LIMIT`].

pub mod lane;
pub mod schedule;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::ReadHalf;
use ringmq_runtime::{sync::Notify, task};

use crate::driver::lane::{InFlight, Lane};
use crate::driver::schedule::Schedule;
use crate::error::BenchError;
use crate::proof::journal::{ACKS_MAX, Ack, Journal};
use crate::report;
use crate::stats::Stats;
use crate::wire::{Assembler, SendAnswer};

/// How long a run waits at its end for answers that are still out.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// The length of a run.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub duration: Duration,
}

/// A produce run.
pub struct Load {
    lanes: RefCell<Vec<Rc<Lane>>>,
    schedule: Option<Schedule>,
    start: Cell<Instant>,
    /// Open loop: messages taken from the schedule.
    issued: Cell<u64>,
    /// Open loop: where the search for a free slot goes on.
    next_lane: Cell<usize>,
    stopping: Cell<bool>,
    acknowledged: Cell<u64>,
    stop_after: Cell<u64>,
    stats: RefCell<Stats>,
    journal: RefCell<Option<Journal>>,
    journal_full: Cell<bool>,
    settled: Notify,
}

impl Load {
    /// A run with the given schedule (none: closed loop); acknowledgements go to `journal`.
    pub fn new(schedule: Option<Schedule>, journal: Option<Journal>) -> Rc<Self> {
        Rc::new(Self {
            lanes: RefCell::default(),
            schedule,
            start: Cell::new(Instant::now()),
            issued: Cell::new(0),
            next_lane: Cell::new(0),
            stopping: Cell::new(false),
            acknowledged: Cell::new(0),
            stop_after: Cell::new(u64::MAX),
            stats: RefCell::default(),
            journal: RefCell::new(journal),
            journal_full: Cell::new(false),
            settled: Notify::new(),
        })
    }

    /// Adds a connection and starts to read its answers.
    pub fn add_lane(self: &Rc<Self>, lane: Rc<Lane>, read: ReadHalf) {
        self.lanes.borrow_mut().push(lane.clone());
        task::spawn("bench lane", self.clone().read_answers(lane, read)).detach();
    }

    /// Runs the load to its end and returns the counted time; `show` prints a line each second.
    ///
    /// # Errors
    /// The journal is full.
    pub async fn run(self: &Rc<Self>, timing: Timing, show: bool) -> Result<Duration, BenchError> {
        self.start.set(Instant::now());
        match self.schedule {
            None => self.fill_all_slots(),
            Some(schedule) => {
                task::spawn("bench ticker", self.clone().tick(schedule)).detach();
            }
        }
        let measured = self.watch_seconds(timing, show).await;
        self.stopping.set(true);
        let deadline = Instant::now() + DRAIN_LIMIT;
        while self.in_flight() > 0 && Instant::now() < deadline {
            let _ = task::timeout(Duration::from_millis(100), self.settled.notified()).await;
        }
        if self.journal_full.get() {
            return Err(BenchError::TooManyToVerify(ACKS_MAX));
        }
        Ok(measured)
    }

    /// What was counted.
    pub fn stats(&self) -> std::cell::Ref<'_, Stats> {
        self.stats.borrow()
    }

    /// Ends the run as soon as `messages` are acknowledged.
    pub fn stop_after(&self, messages: u64) {
        self.stop_after.set(messages);
    }

    /// Messages acknowledged so far, those of the warm-up included.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.get()
    }

    /// The acknowledgements; none when no journal was given.
    pub fn take_journal(&self) -> Option<Journal> {
        self.journal.borrow_mut().take()
    }

    fn in_flight(&self) -> usize {
        self.lanes.borrow().iter().map(|lane| lane.in_flight()).sum()
    }

    /// True when nothing more can come: enough is acknowledged, the journal is full, or every
    /// connection is gone.
    fn is_over(&self) -> bool {
        self.acknowledged.get() >= self.stop_after.get()
            || self.journal_full.get()
            || self.lanes.borrow().iter().all(|lane| lane.is_closed())
    }

    /// Turns the statistics each second; returns the counted time.
    async fn watch_seconds(&self, timing: Timing, show: bool) -> Duration {
        let start = self.start.get();
        let end = start + timing.warm_up + timing.duration;
        let mut counted_from = start + timing.warm_up;
        let mut second = 0;
        let mut measured = Duration::ZERO;
        while Instant::now() < end && !self.is_over() {
            second += 1;
            let turn = (start + Duration::from_secs(second)).min(end);
            let warming_up = turn <= start + timing.warm_up;
            self.sleep_until_or_over(turn).await;
            let mut stats = self.stats.borrow_mut();
            if show {
                report::live_line(second, &stats.second, warming_up);
            }
            stats.turn(!warming_up);
            if !warming_up {
                let now = Instant::now();
                measured += now.saturating_since(counted_from);
                counted_from = now;
            }
        }
        measured
    }

    async fn sleep_until_or_over(&self, until: Instant) {
        while Instant::now() < until && !self.is_over() {
            task::sleep_until(until.min(Instant::now() + Duration::from_millis(50))).await;
        }
    }

    fn fill_all_slots(&self) {
        for lane in self.lanes.borrow().iter() {
            while lane.has_room() {
                let now = Instant::now();
                lane.send(now, now);
            }
            lane.flush();
        }
    }

    /// Sends what is due, again and again.
    async fn tick(self: Rc<Self>, schedule: Schedule) {
        while !self.stopping.get() {
            self.send_due(schedule);
            let next = self.start.get() + schedule.due(self.issued.get());
            task::sleep_until(next.max(Instant::now() + Duration::from_micros(20))).await;
        }
    }

    /// Sends every due message that finds a free slot.
    fn send_due(&self, schedule: Schedule) {
        let lanes = self.lanes.borrow();
        let now = Instant::now();
        let due = schedule.due_count(now.saturating_since(self.start.get()));
        let mut full = 0;
        while self.issued.get() < due && full < lanes.len() {
            let index = self.next_lane.get();
            self.next_lane.set((index + 1) % lanes.len());
            if !lanes[index].has_room() {
                full += 1;
                continue;
            }
            full = 0;
            let k = self.issued.replace(self.issued.get() + 1);
            lanes[index].send(self.start.get() + schedule.due(k), now);
        }
        for lane in lanes.iter() {
            lane.flush();
        }
    }

    async fn read_answers(self: Rc<Self>, lane: Rc<Lane>, mut read: ReadHalf) {
        let mut assembler = Assembler::default();
        loop {
            let outcome = read.read_with(|bytes| self.on_bytes(&lane, &mut assembler, bytes)).await;
            if !matches!(outcome, Ok(true)) || lane.is_closed() {
                break;
            }
        }
        let lost = lane.close();
        for _ in 0..lost {
            self.stats.borrow_mut().second.failure("connection closed");
        }
        self.settled.notify_all();
    }

    /// Takes the answers in `bytes`; false at the end of the stream or when they make no sense.
    fn on_bytes(&self, lane: &Rc<Lane>, assembler: &mut Assembler, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return false;
        }
        let now = Instant::now();
        let outcome = assembler.feed(bytes, |command| {
            let answer = SendAnswer::read(command);
            if let Some(in_flight) = lane.complete(answer.opaque) {
                self.on_answer(lane, in_flight, answer, now);
            }
        });
        match self.schedule {
            Some(schedule) if !self.stopping.get() => self.send_due(schedule),
            _ => lane.flush(),
        }
        if self.stopping.get() {
            self.settled.notify_all();
        }
        if let Err(error) = &outcome {
            self.stats.borrow_mut().second.failure(&error.to_string());
        }
        outcome.is_ok()
    }

    fn on_answer(&self, lane: &Lane, message: InFlight, answer: SendAnswer, now: Instant) {
        match answer.outcome {
            Ok(stored) => {
                self.acknowledged.set(self.acknowledged.get() + 1);
                let response = now.saturating_since(message.intended);
                let service = now.saturating_since(message.sent);
                self.stats.borrow_mut().second.success(response, service, lane.body_size());
                if let Some(journal) = self.journal.borrow_mut().as_mut() {
                    let kept = journal.push(Ack {
                        lane: lane.id(),
                        queue: lane.queue(stored.queue_id),
                        sequence: message.sequence,
                        queue_offset: stored.queue_offset,
                    });
                    self.journal_full.set(!kept);
                }
            }
            Err(what) => self.stats.borrow_mut().second.failure(&what),
        }
        if self.schedule.is_none() && !self.stopping.get() && lane.has_room() {
            lane.send(now, now);
        }
    }
}
