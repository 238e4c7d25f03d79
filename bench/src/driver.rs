//! Drives lanes with a closed or an open loop and counts what happens.
//!
//! Closed loop: every answer frees a slot, and the next request goes into it at once. Open loop: a
//! ticker sends what the schedule says is due; when all slots are taken, due requests wait in a
//! backlog and keep their intended time, so the wait counts as latency. Requests that are still in
//! the backlog at the end have no latency; the report states their number.
//!
//! [`Load::run`] ends after warm-up and duration, or as soon as every lane is finished; it then
//! waits for answers in flight, at most [`share::DRAIN_LIMIT`]. Their latencies count too: a stall
//! that begins in the last second must not go unseen.
//!
//! A load is driven where it was made, or in equal parts by the threads of [`clients`], each bound
//! to a core. Those are asked for their counts as each second ends; added up, they lose nothing.
//!
//! A signal ends a run as its time does, see [`stop`]; answers that then do not come soon are no
//! failures. A run that begins after it sends nothing.

pub mod clients;
mod demand;
pub mod lane;
mod progress;
pub mod schedule;
mod share;
pub mod work;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::task::{self, Task};

use crate::driver::clients::{Clients, Place};
use crate::driver::demand::Demand;
use crate::driver::lane::Lane;
use crate::driver::schedule::{Part, Schedule};
use crate::driver::share::{OVER_POLL, Share, Span};
use crate::driver::work::Work;
use crate::error::BenchError;
use crate::record::tally::{self, Second, Tally};
use crate::stop;
use crate::target::caller;

/// From the order to begin until all threads begin: time enough for the order to reach each.
const START_DELAY: Duration = Duration::from_millis(10);

/// Time between two looks at the count of a load that ends after a number of messages.
const ENOUGH_POLL: Duration = Duration::from_millis(1);

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
    /// Who drives it; connection *l* is of place *l* modulo their number.
    places: Vec<Place>,
    /// Connections so far.
    lanes: Cell<usize>,
    stop_after: Cell<u64>,
}

impl Load {
    /// A run that this thread drives, with the given schedule; none: closed loop.
    pub fn new(schedule: Option<Schedule>) -> Rc<Self> {
        Self::of(vec![Place::here(schedule)])
    }

    /// A run that `clients` drive; this thread where there are none.
    pub fn on(clients: &Clients, schedule: Option<Schedule>) -> Rc<Self> {
        let places = clients.places(schedule.as_ref());
        if places.is_empty() { Self::new(schedule) } else { Self::of(places) }
    }

    fn of(places: Vec<Place>) -> Rc<Self> {
        Rc::new(Self { places, lanes: Cell::new(0), stop_after: Cell::new(u64::MAX) })
    }

    /// Connects to `addr` on the thread whose turn it is, to ask in `depth` slots what `work` says,
    /// which is made there.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect<W: Work + 'static>(
        &self,
        addr: &str,
        depth: u32,
        work: impl FnOnce() -> Rc<W> + Send + 'static,
    ) -> Result<(), BenchError> {
        let place = &self.places[self.lanes.get() % self.places.len()];
        let addr = addr.to_owned();
        let connect = move |share: Rc<Share>| async move {
            let (read, write) = caller::connect(&addr).await?.split();
            share.add_lane(Lane::new(work(), write, depth), read);
            Ok(())
        };
        place.run(connect).await?;
        self.lanes.set(self.lanes.get() + 1);
        Ok(())
    }

    /// Ends the run as soon as `messages` are counted, those of the warm-up included. Said before
    /// it begins, work that knows how many messages it asks for asks for no more on all threads
    /// together, but for a last request that is whole.
    pub fn stop_after(&self, messages: u64) {
        self.stop_after.set(messages);
    }

    /// Messages so far, those of the warm-up included.
    pub fn messages(&self) -> u64 {
        self.places.iter().map(|place| place.progress().messages()).sum()
    }

    /// Runs the load to its end. `tally` takes every counted second; `show` gets each second as
    /// it ends, and whether it belongs to the warm-up. The connections are closed at the end.
    pub async fn run(
        self: &Rc<Self>,
        timing: Timing,
        tally: Tally,
        show: impl Fn(&Second, bool),
    ) -> Tally {
        let tally = match stop::is_requested() {
            true => tally,
            false => self.drive(timing, tally, show).await,
        };
        for place in &self.places {
            place.forget().await;
        }
        tally
    }

    /// As [`Load::run`] with a tally of its own, where nobody is shown the seconds.
    pub async fn run_unseen(self: &Rc<Self>, timing: Timing) -> Tally {
        self.run(timing, Tally::default(), |_, _| ()).await
    }

    /// As [`Load::run_unseen`], in a task of this name, beside what the caller does meanwhile.
    pub fn run_beside(self: Rc<Self>, name: &'static str, timing: Timing) -> Task<Tally> {
        task::spawn(name, async move { self.run_unseen(timing).await })
    }

    async fn drive(&self, timing: Timing, tally: Tally, show: impl Fn(&Second, bool)) -> Tally {
        let here = matches!(self.places[..], [Place::Here(_)]);
        let start = Instant::now() + if here { Duration::ZERO } else { START_DELAY };
        self.begin(start).await;
        let mut tally = self.watch_seconds(start, timing, tally, show).await;
        // Before the end, which closes all connections itself.
        tally.is_finished = self.is_finished();
        let mut late = self.each(|_| |share: Rc<Share>| share.end()).await;
        let late = merge(&mut late);
        tally.add_late(&late.window, late.since, late.length);
        tally
    }

    async fn begin(&self, start: Instant) {
        let (threads, lanes) = (self.driving().len() as u64, self.lanes.get() as u64);
        let demand = Demand::of(self.stop_after.get());
        let begin = |thread: usize| {
            let thread = thread as u64;
            let part = Part { thread, threads, lanes };
            let demand = demand.clone();
            move |share: Rc<Share>| share.begin(start, (threads > 1).then_some(part), demand)
        };
        self.each(begin).await;
    }

    /// The places that have connections.
    fn driving(&self) -> &[Place] {
        &self.places[..self.lanes.get().clamp(1, self.places.len())]
    }

    /// Runs what `work` makes of a place's number on all of them at once.
    async fn each<T, F, W>(&self, mut work: impl FnMut(usize) -> W) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
        W: FnOnce(Rc<Share>) -> F + Send + 'static,
    {
        let places = self.driving();
        if let [place] = places {
            return vec![place.run(work(0)).await];
        }
        let order = |(number, place): (usize, &Place)| {
            let (place, work) = (place.clone(), work(number));
            task::spawn("bench clients", async move { place.run(work).await })
        };
        let running: Vec<_> = places.iter().enumerate().map(order).collect();
        let mut all = Vec::new();
        for one in running {
            all.push(one.await);
        }
        all
    }

    /// True when nothing more is wanted, or nothing more can come.
    fn is_over(&self) -> bool {
        self.messages() >= self.stop_after.get()
            || self.places.iter().any(|place| place.progress().stops())
            || stop::is_requested()
            || self.is_finished()
    }

    /// True when no connection will ever ask again.
    fn is_finished(&self) -> bool {
        self.driving().iter().all(|place| place.progress().is_finished())
    }

    /// Ends each second: swaps the windows, and lets a helper thread add up the finished ones.
    async fn watch_seconds(
        &self,
        start: Instant,
        timing: Timing,
        mut tally: Tally,
        show: impl Fn(&Second, bool),
    ) -> Tally {
        let warm_up_end = start + timing.warm_up;
        let end = warm_up_end + timing.duration;
        let mut spares = Vec::<Span>::new();
        let mut from = start;
        while Instant::now() < end && !self.is_over() {
            let warming_up = from < warm_up_end;
            let phase_end = if warming_up { warm_up_end } else { end };
            self.sleep_until_or_over((from + Duration::from_secs(1)).min(phase_end)).await;
            let turn = |_| {
                let spare = spares.pop().unwrap_or_default().window;
                move |share: Rc<Share>| async move { share.turn(spare) }
            };
            let spans = self.each(turn).await;
            from = Instant::now();
            let second;
            (spares, tally, second) =
                task::blocking(move || turn_over(spans, tally, !warming_up)).await;
            show(&second, warming_up);
        }
        tally
    }

    async fn sleep_until_or_over(&self, until: Instant) {
        while Instant::now() < until && !self.is_over() {
            // All threads wait when the last answer is there, in time that counts.
            let poll = if self.stop_after.get() < u64::MAX { ENOUGH_POLL } else { OVER_POLL };
            task::sleep_until(until.min(Instant::now() + poll)).await;
        }
    }
}

/// Makes the first of the spans of all threads that of all of them. Each thread ends one when
/// it is told to, some microseconds apart: the length is their mean, so that the lengths of all
/// spans add up to the mean time of a thread.
fn merge(spans: &mut [Span]) -> &mut Span {
    let threads = u32::try_from(spans.len()).expect("no more threads than cores");
    let (all, others) = spans.split_first_mut().expect("somebody drives a load");
    for Span { window, since, length, backlog } in others {
        all.window.add(window);
        all.since += *since;
        all.length += *length;
        all.backlog += *backlog;
    }
    all.since /= threads;
    all.length /= threads;
    all
}

/// Adds the finished spans of all threads to the tally if they count; gives them back, with
/// empty windows.
fn turn_over(mut spans: Vec<Span>, mut tally: Tally, counts: bool) -> (Vec<Span>, Tally, Second) {
    let &mut Span { ref window, since, length, backlog } = merge(&mut spans);
    let second = tally::second(window, since, length, backlog);
    if counts {
        tally.add(window, since, length, backlog);
    }
    spans.iter_mut().for_each(|span| span.window.reset());
    (spans, tally, second)
}

#[cfg(test)]
mod tests;
