//! What one thread drives of a load: its connections, and its part of the schedule.

mod answers;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::ReadHalf;
use ringmq_runtime::{sync::Notify, task};

use crate::driver::demand::Demand;
use crate::driver::lane::Lane;
use crate::driver::progress::Progress;
use crate::driver::schedule::{Pacer, Part, Schedule};
use crate::record::window::Window;
use crate::stop;

/// How long a run waits at its end for answers that are still out: longer than the 15 s that a
/// client's pull is held.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// The same when a signal has ended the run: much less than a service manager waits for a process
/// that it has asked to end.
const STOP_DRAIN_LIMIT: Duration = Duration::from_secs(3);

/// The failure of a request whose answer has not come [`DRAIN_LIMIT`] after the end.
pub const NO_ANSWER: &str = "no answer within 20 s after the end of the run";

/// Shortest sleep of the ticker: requests due within this time leave in one batch.
const TICK_MIN: Duration = Duration::from_micros(20);

/// Longest time between two looks at whether the run is over; two of these can pass after the last
/// answer of a cold catch-up, which takes two seconds, and count.
pub const OVER_POLL: Duration = Duration::from_millis(10);

/// What was counted since the span before it ended.
#[derive(Debug, Default)]
pub struct Span {
    /// The counts.
    pub window: Box<Window>,
    /// Its start, from the start of the run.
    pub since: Duration,
    /// Its length.
    pub length: Duration,
    /// Open loop: requests that were due and not sent at its end.
    pub backlog: u64,
}

/// The connections of one thread, and what they have counted.
pub struct Share {
    lanes: RefCell<Vec<Rc<Lane>>>,
    /// Absent in a closed loop.
    pacer: Option<RefCell<Pacer>>,
    start: Cell<Instant>,
    /// When the current span began.
    span_start: Cell<Instant>,
    /// Open loop: where the search for a free slot goes on.
    next_lane: Cell<usize>,
    stopping: Cell<bool>,
    /// The current span.
    window: RefCell<Box<Window>>,
    /// What all shares of the load are to ask for; nothing before it begins.
    demand: OnceCell<Arc<Demand>>,
    settled: Notify,
    progress: Arc<Progress>,
}

impl Share {
    /// A share with the given schedule; none: closed loop.
    pub fn new(schedule: Option<Schedule>, progress: Arc<Progress>) -> Rc<Self> {
        Rc::new(Self {
            lanes: RefCell::default(),
            pacer: schedule.map(|schedule| RefCell::new(Pacer::new(schedule))),
            start: Cell::new(Instant::now()),
            span_start: Cell::new(Instant::now()),
            next_lane: Cell::new(0),
            stopping: Cell::new(false),
            window: RefCell::default(),
            demand: OnceCell::new(),
            settled: Notify::new(),
            progress,
        })
    }

    /// Adds a connection and starts to read its answers.
    pub fn add_lane(self: &Rc<Self>, lane: Rc<Lane>, read: ReadHalf) {
        self.lanes.borrow_mut().push(lane.clone());
        task::spawn("bench lane", self.clone().read_answers(lane, read)).detach();
    }

    /// Begins to ask at `start`, together with the other shares for what `demand` says. In an open
    /// loop this share sends `part` of the schedule; none: all of it. Called once.
    pub async fn begin(self: Rc<Self>, start: Instant, part: Option<Part>, demand: Arc<Demand>) {
        let begun = self.demand.set(demand);
        assert!(begun.is_ok(), "a load runs once");
        self.start.set(start);
        self.span_start.set(start);
        if let (Some(pacer), Some(part)) = (&self.pacer, part) {
            pacer.borrow_mut().keep_only(part);
        }
        self.tell_whether_finished();
        task::spawn("bench progress", self.clone().tell_progress()).detach();
        if Instant::now() < start {
            task::sleep_until(start).await;
        }
        match self.pacer {
            None => self.fill_all_slots(),
            Some(_) => task::spawn("bench ticker", self.clone().tick()).detach(),
        }
    }

    /// Ends a span: its counts, for those of the next one into `spare`, which is empty. What is due
    /// and finds a slot is sent first: where this thread itself was held up, the end may come
    /// before the ticker, and no server has left that behind.
    pub fn turn(&self, spare: Box<Window>) -> Span {
        if let Some(pacer) = &self.pacer {
            self.send_due(pacer);
        }
        let window = self.window.replace(spare);
        let now = Instant::now();
        let from = self.span_start.replace(now);
        let since = from.saturating_since(self.start.get());
        let length = now.saturating_since(from);
        Span { window, since, length, backlog: self.backlog() }
    }

    /// Asks nothing more, waits for the answers in flight and closes the connections; what came
    /// late.
    pub async fn end(self: Rc<Self>) -> Span {
        self.stopping.set(true);
        let (since, ended) = (self.elapsed(), Instant::now());
        self.drain(ended).await;
        // The next run opens its own connections; these would stay as long as their peers do.
        self.lanes.borrow().iter().for_each(|lane| lane.hang_up());
        Span { window: self.window.take(), since, length: ended.elapsed(), backlog: 0 }
    }

    /// How far it is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Tells how far it is also where no answer does: a failed write ends a connection, too.
    async fn tell_progress(self: Rc<Self>) {
        while !self.stopping.get() {
            task::sleep(OVER_POLL).await;
            self.tell_whether_finished();
            if self.demand().is_some_and(Demand::is_limited) {
                self.ask_for_what_is_left();
            }
        }
    }

    fn tell_whether_finished(&self) {
        let finished = self.lanes.borrow().iter().all(|lane| lane.is_finished());
        self.progress.set_finished(finished);
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

    fn demand(&self) -> Option<&Demand> {
        self.demand.get().map(Arc::as_ref)
    }

    /// True when what all shares have and what they wait for is all that is wanted.
    fn has_enough(&self) -> bool {
        self.demand().is_none_or(Demand::is_met)
    }

    /// Takes a request of the lane from what is wanted; false if nothing more is wanted.
    fn may_ask(&self, lane: &Lane) -> bool {
        let messages = lane.messages_of_request().unwrap_or(0);
        self.demand().is_some_and(|demand| demand.take(messages))
    }

    /// A request of the lane waits no longer, and has brought `came` messages.
    fn settle(&self, lane: &Lane, came: u64) {
        if let Some(demand) = self.demand() {
            demand.settle(lane.messages_of_request().unwrap_or(0), came);
        }
    }

    fn backlog(&self) -> u64 {
        if self.has_enough() {
            return 0;
        }
        let elapsed = self.elapsed();
        self.pacer.as_ref().map_or(0, |pacer| pacer.borrow_mut().backlog(elapsed))
    }

    /// Closed loop: what some connection asked for and did not get, of this thread or of another,
    /// is asked for by those that have nothing to ask for.
    fn ask_for_what_is_left(&self) {
        if self.pacer.is_none() && !self.stopping.get() {
            self.fill_all_slots();
        }
    }

    fn fill_all_slots(&self) {
        for lane in self.lanes.borrow().iter() {
            while lane.has_room() && self.may_ask(lane) {
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
                if pacer.borrow().next_due() > elapsed || !self.may_ask(lane) {
                    break;
                }
                let due = pacer.borrow_mut().take(elapsed).expect("it is due");
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
}
