//! Drives lanes with a closed or an open loop and counts what happens.
//!
//! Closed loop: every answer frees a slot, and the next request goes into it at once. Open loop: a
//! ticker sends what the schedule says is due; when all slots are taken, due requests wait in a
//! backlog and keep their intended time, so the wait counts as latency. Requests that are still in
//! the backlog at the end have no latency; the report states their number.
//!
//! [`Load::run`] ends after warm-up and duration, or as soon as every lane is finished; it then
//! waits for answers in flight, at most [`DRAIN_LIMIT`]. Their latencies count too: a stall that
//! begins in the last second must not go unseen.
//!
//! A signal ends a run as its time does, see [`stop`]; answers that then do not come soon are no
//! failures. A run that begins after it sends nothing.

pub mod lane;
pub mod schedule;
pub mod work;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::ReadHalf;
use ringmq_runtime::{sync::Notify, task};

use crate::driver::lane::Lane;
use crate::driver::schedule::{Pacer, Schedule};
use crate::driver::work::Then;
use crate::record::archive::{self, Archive, Second};
use crate::record::window::Window;
use crate::stop;
use crate::wire::Assembler;

/// How long a run waits at its end for answers that are still out: longer than the 15 s that a
/// client's pull is held.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// The same when a signal has ended the run: much less than a service manager waits for a process
/// that it has asked to end.
const STOP_DRAIN_LIMIT: Duration = Duration::from_secs(3);

/// What a request is counted as whose answer did not come within [`DRAIN_LIMIT`] of the end.
const NO_ANSWER: &str = "no answer within 20 s after the end of the run";

/// Shortest sleep of the ticker: requests due within this time leave in one batch.
const TICK_MIN: Duration = Duration::from_micros(20);

/// Longest time between two looks at whether the run is over.
const OVER_POLL: Duration = Duration::from_millis(50);

/// The length of a run.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub duration: Duration,
}

/// One run: connections, a loop, and what was counted.
pub struct Load {
    lanes: RefCell<Vec<Rc<Lane>>>,
    /// Absent in a closed loop.
    pacer: Option<RefCell<Pacer>>,
    start: Cell<Instant>,
    /// Open loop: where the search for a free slot goes on.
    next_lane: Cell<usize>,
    stopping: Cell<bool>,
    stopped_by_work: Cell<bool>,
    /// Messages since the start, those of the warm-up included.
    messages: Cell<u64>,
    stop_after: Cell<u64>,
    /// The current second.
    window: RefCell<Box<Window>>,
    settled: Notify,
}

impl Load {
    /// A run with the given schedule; none: closed loop.
    pub fn new(schedule: Option<Schedule>) -> Rc<Self> {
        Rc::new(Self {
            lanes: RefCell::default(),
            pacer: schedule.map(|schedule| RefCell::new(Pacer::new(schedule))),
            start: Cell::new(Instant::now()),
            next_lane: Cell::new(0),
            stopping: Cell::new(false),
            stopped_by_work: Cell::new(false),
            messages: Cell::new(0),
            stop_after: Cell::new(u64::MAX),
            window: RefCell::default(),
            settled: Notify::new(),
        })
    }

    /// Adds a connection and starts to read its answers.
    pub fn add_lane(self: &Rc<Self>, lane: Rc<Lane>, read: ReadHalf) {
        self.lanes.borrow_mut().push(lane.clone());
        task::spawn("bench lane", self.clone().read_answers(lane, read)).detach();
    }

    /// Ends the run as soon as `messages` are counted, those of the warm-up included.
    pub fn stop_after(&self, messages: u64) {
        self.stop_after.set(messages);
    }

    /// Messages so far, those of the warm-up included.
    pub fn messages(&self) -> u64 {
        self.messages.get()
    }

    /// Runs the load to its end. `archive` takes every counted second; `show` gets each second as
    /// it ends, and whether it belongs to the warm-up. The connections are closed at the end.
    pub async fn run(
        self: &Rc<Self>,
        timing: Timing,
        archive: Archive,
        show: impl Fn(&Second, bool),
    ) -> Archive {
        self.start.set(Instant::now());
        if stop::is_requested() {
            return archive;
        }
        match self.pacer {
            None => self.fill_all_slots(),
            Some(_) => task::spawn("bench ticker", self.clone().tick()).detach(),
        }
        let mut archive = self.watch_seconds(timing, archive, show).await;
        self.stopping.set(true);
        let (since, ended) = (self.elapsed(), Instant::now());
        self.drain(ended).await;
        archive.add_late(&self.window.take(), since, ended.elapsed());
        // The next run opens its own connections; these would stay as long as their peers do.
        self.lanes.borrow().iter().for_each(|lane| lane.hang_up());
        archive
    }

    /// Waits for the answers in flight; those that do not come are failures.
    async fn drain(&self, ended: Instant) {
        let limit = || if stop::is_requested() { STOP_DRAIN_LIMIT } else { DRAIN_LIMIT };
        while self.in_flight() > 0 && ended.elapsed() < limit() {
            let _ = task::timeout(OVER_POLL, self.settled.notified()).await;
        }
        if stop::is_requested() {
            return;
        }
        for _ in 0..self.in_flight() {
            self.window.borrow_mut().failure(NO_ANSWER);
        }
    }

    fn in_flight(&self) -> usize {
        self.lanes.borrow().iter().map(|lane| lane.in_flight()).sum()
    }

    fn elapsed(&self) -> Duration {
        self.start.get().elapsed()
    }

    /// True when nothing more is wanted, or nothing more can come.
    fn is_over(&self) -> bool {
        self.messages.get() >= self.stop_after.get()
            || self.stopped_by_work.get()
            || stop::is_requested()
            || self.lanes.borrow().iter().all(|lane| lane.is_finished())
    }

    /// Ends each second: swaps the window, and lets a helper thread add up the finished one.
    async fn watch_seconds(
        &self,
        timing: Timing,
        mut archive: Archive,
        show: impl Fn(&Second, bool),
    ) -> Archive {
        let start = self.start.get();
        let warm_up_end = start + timing.warm_up;
        let end = warm_up_end + timing.duration;
        let mut spare = Box::<Window>::default();
        let mut from = start;
        while Instant::now() < end && !self.is_over() {
            let warming_up = from < warm_up_end;
            let phase_end = if warming_up { warm_up_end } else { end };
            self.sleep_until_or_over((from + Duration::from_secs(1)).min(phase_end)).await;
            let window = std::mem::replace(&mut *self.window.borrow_mut(), spare);
            let now = Instant::now();
            let (since, length) = (from.saturating_since(start), now.saturating_since(from));
            from = now;
            let backlog = self.backlog();
            let second;
            (spare, archive, second) = task::blocking(move || {
                turn(window, archive, (since, length, backlog), !warming_up)
            })
            .await;
            show(&second, warming_up);
        }
        archive
    }

    fn backlog(&self) -> u64 {
        let elapsed = self.elapsed();
        self.pacer.as_ref().map_or(0, |pacer| pacer.borrow_mut().backlog(elapsed))
    }

    async fn sleep_until_or_over(&self, until: Instant) {
        while Instant::now() < until && !self.is_over() {
            task::sleep_until(until.min(Instant::now() + OVER_POLL)).await;
        }
    }

    fn fill_all_slots(&self) {
        for lane in self.lanes.borrow().iter() {
            while lane.has_room() {
                let now = Instant::now();
                lane.ask(now, now);
            }
            lane.flush();
        }
    }

    /// Sends what is due, again and again.
    async fn tick(self: Rc<Self>) {
        let pacer = self.pacer.as_ref().expect("only an open loop ticks");
        while !self.stopping.get() {
            self.send_due(pacer);
            let next = self.start.get() + pacer.borrow().next_due();
            task::sleep_until(next.max(Instant::now() + TICK_MIN)).await;
        }
    }

    /// Sends every due request that finds a free slot; the lanes take turns.
    fn send_due(&self, pacer: &RefCell<Pacer>) {
        let lanes = self.lanes.borrow();
        let now = Instant::now();
        let elapsed = now.saturating_since(self.start.get());
        let first = self.next_lane.get();
        let mut looked_at = 0;
        let mut full = 0;
        while full < lanes.len() {
            let lane = &lanes[(first + looked_at) % lanes.len()];
            if lane.has_room() {
                let Some(due) = pacer.borrow_mut().take(elapsed) else { break };
                lane.ask(self.start.get() + due, now);
                full = 0;
            } else {
                full += 1;
            }
            looked_at += 1;
        }
        self.next_lane.set((first + looked_at) % lanes.len().max(1));
        for index in 0..looked_at.min(lanes.len()) {
            lanes[(first + index) % lanes.len()].flush();
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
            self.window.borrow_mut().failure("connection closed");
        }
        self.settled.notify_all();
    }

    /// Takes the answers in `bytes`; false at the end of the stream or when they make no sense.
    fn on_bytes(&self, lane: &Rc<Lane>, assembler: &mut Assembler, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return false;
        }
        let now = Instant::now();
        let mut window = self.window.borrow_mut();
        let before = window.messages;
        let outcome = assembler.feed(bytes, |answer| {
            let then = lane.take(answer, now, &mut window);
            if then == Some(Then::Stop) {
                self.stopped_by_work.set(true);
            }
            if self.pacer.is_none() && !self.stopping.get() && lane.has_room() {
                lane.ask(now, now);
            }
        });
        self.messages.set(self.messages.get() + window.messages - before);
        if let Err(error) = &outcome {
            window.failure(&error.to_string());
        }
        drop(window);
        match &self.pacer {
            Some(pacer) if !self.stopping.get() => self.send_due(pacer),
            _ => lane.flush(),
        }
        if self.stopping.get() {
            self.settled.notify_all();
        }
        outcome.is_ok()
    }
}

/// Adds a finished second (its start, length and backlog) to the archive if it counts; gives the
/// window back, empty.
fn turn(
    mut window: Box<Window>,
    mut archive: Archive,
    (since, length, backlog): (Duration, Duration, u64),
    counts: bool,
) -> (Box<Window>, Archive, Second) {
    let second = archive::second(&window, since, length, backlog);
    if counts {
        archive.add(&window, since, length, backlog);
    }
    window.reset();
    (window, archive, second)
}

#[cfg(test)]
mod tests;
