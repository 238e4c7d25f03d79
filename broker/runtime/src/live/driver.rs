//! Drives one executor: runs its tasks, and waits when there is nothing to run.
//!
//! To wait in glommio takes ten system calls, and to be woken as many. So a busy executor waits
//! here, in one `epoll_wait` for its sockets, its timers and its bell, and glommio has the thread
//! once a millisecond, when its preemption timer says so. It waits in glommio
//! - when nothing came for a millisecond, or
//! - while an operation of glommio's rings is under way ([`in_ring`]), since only glommio begins
//!   and ends these.
//!
//! Which of them it is `step` decides; this file carries it out.
//!
//! What glommio's side has to tell meanwhile (the `heartbeat`, which bounds what may be overlooked)
//! waits for a millisecond at most, as it does while tasks keep the executor busy.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::net::readable;
use super::poller::Poller;
use super::scheduler::{Next, Scheduler};
use super::step::{Idle, Step, decide};
use super::sys::clocks;
use super::{ring, stall, timers};
use crate::task::LocalFuture;

/// Time after which an executor to which nothing came waits in glommio.
const QUIET_NS: u64 = 1_000_000;

/// Time between two looks at the sockets while tasks keep the executor busy.
const LOOK_INTERVAL_NS: u64 = 20_000;

/// Longest time between two of them, when the heartbeat has the driver look.
const LOOK_INTERVAL_MAX_NS: u64 = 4_000_000;

/// Pause before the kernel is asked again for a descriptor or a write that it refused.
const RETRY_AFTER_NS: u64 = 1_000_000;

thread_local! {
    /// Operations of glommio's rings that are under way.
    static IN_RING: Cell<usize> = const { Cell::new(0) };
}

/// Waits for an operation of glommio's rings.
pub(super) async fn in_ring<T>(operation: impl Future<Output = T>) -> T {
    struct UnderWay;
    impl Drop for UnderWay {
        fn drop(&mut self) {
            IN_RING.set(IN_RING.get() - 1);
        }
    }
    IN_RING.set(IN_RING.get() + 1);
    let _under_way = UnderWay;
    operation.await
}

/// One executor's tasks, and what it waits for.
pub(super) struct Driver {
    scheduler: Rc<Scheduler>,
    poller: Rc<Poller>,
    main_waker: Waker,
    /// How long to look at the sockets before waiting for them.
    spin_ns: u64,
    /// When the last task had run; none while tasks run.
    idle_since_ns: Option<u64>,
    /// When something last came from a socket or another thread.
    active_ns: u64,
    looked_ns: u64,
    parked: Parked,
}

/// Waiting in glommio.
struct Parked {
    wait: Option<LocalFuture<io::Result<()>>>,
    timer: glommio::timer::Timer,
    /// What the timer is set to.
    until_ns: u64,
}

/// How a wait went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// There may be something to run.
    Over,
    /// It has begun: glommio is to have the thread.
    InGlommio,
}

impl Driver {
    pub(super) fn new(scheduler: &Rc<Scheduler>, poller: &Rc<Poller>, spin: Duration) -> Self {
        Self {
            scheduler: Rc::clone(scheduler),
            poller: Rc::clone(poller),
            main_waker: scheduler.main_waker(),
            spin_ns: u64::try_from(spin.as_nanos()).unwrap_or(u64::MAX),
            idle_since_ns: None,
            active_ns: 0,
            looked_ns: 0,
            parked: Parked {
                wait: None,
                timer: glommio::timer::Timer::new(Duration::ZERO),
                until_ns: u64::MAX,
            },
        }
    }

    /// Runs tasks until the main future is ready, or glommio is to have the thread.
    pub(super) fn poll<F: Future>(
        &mut self,
        mut main: Pin<&mut F>,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        self.scheduler.unparked();
        self.scheduler.bell().wake_up();
        self.unpark(context);
        loop {
            self.look(clocks::monotonic_ns());
            let polled = self.pass(main.as_mut());
            stall::end_of_polls();
            if polled.is_ready() {
                return polled;
            }
            let is_preempted = glommio::executor().need_preempt();
            match decide(is_preempted, self.scheduler.ready_len(), || self.idle()) {
                Step::Run => {}
                Step::GiveWay => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Step::Spin { until_ns } => self.spin(until_ns),
                Step::Sleep { until_ns } => self.sleep(until_ns),
                Step::Park { until_ns } => {
                    if self.park(until_ns, context) == Wait::InGlommio {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Gives each task that is ready one turn.
    fn pass<F: Future>(&mut self, mut main: Pin<&mut F>) -> Poll<F::Output> {
        for _ in 0..self.scheduler.ready_len() {
            self.idle_since_ns = None;
            match self.scheduler.run_one() {
                Next::Nothing => break,
                Next::Ran => {}
                Next::Main => {
                    let polled = stall::watch("main", || {
                        main.as_mut().poll(&mut Context::from_waker(&self.main_waker))
                    });
                    if polled.is_ready() {
                        return polled;
                    }
                }
            }
            if glommio::executor().need_preempt() {
                break;
            }
        }
        Poll::Pending
    }

    /// Wakes whose time is over, whom other threads woke, and now and then who waits for sockets.
    fn look(&mut self, now_ns: u64) {
        if self.scheduler.answer_bell() | ring::look() {
            self.active_ns = now_ns;
        }
        // Whoever waits next looks at them anyway.
        let is_busy = self.scheduler.ready_len() > 0;
        let interval_ns = if is_busy { LOOK_INTERVAL_NS } else { LOOK_INTERVAL_MAX_NS };
        let is_due = now_ns.saturating_sub(self.looked_ns) >= interval_ns;
        if self.poller.take_wish() || is_due {
            self.looked_ns = now_ns;
            if self.poller.fetch(0) > 0 {
                self.active_ns = now_ns;
            }
        }
        timers::fire(now_ns);
    }

    /// Nothing is ready: what there is to wait for.
    fn idle(&mut self) -> Idle {
        let now_ns = clocks::monotonic_ns();
        // Asked now: the tasks that ran since the last look may have begun to wait.
        let next_timer_ns = timers::fire(now_ns);
        let again_ns = ring::is_behind().then_some(now_ns + RETRY_AFTER_NS);
        let idle_since_ns = *self.idle_since_ns.get_or_insert(now_ns);
        Idle {
            now_ns,
            has_fired: self.scheduler.ready_len() > 0,
            next_ns: next_timer_ns.into_iter().chain(again_ns).min().unwrap_or(u64::MAX),
            needs_glommio: IN_RING.get() > 0,
            spin_end_ns: idle_since_ns.saturating_add(self.spin_ns),
            quiet_ns: self.active_ns.saturating_add(QUIET_NS),
        }
    }

    /// Waits for sockets, the bell and the ring.
    fn sleep(&mut self, until_ns: u64) {
        if !self.scheduler.bell().fall_asleep() {
            return;
        }
        // Without any time left this is a look.
        let found = self.poller.fetch(until_ns.saturating_sub(clocks::monotonic_ns()));
        self.looked_ns = clocks::monotonic_ns();
        if found > 0 {
            self.active_ns = self.looked_ns;
        }
        self.scheduler.bell().wake_up();
    }

    /// Looks for what comes, without waiting, until something did or glommio wants the thread.
    fn spin(&mut self, until_ns: u64) {
        while clocks::monotonic_ns() < until_ns && !glommio::executor().need_preempt() {
            if self.scheduler.answer_bell() || ring::look() || self.poller.fetch(0) > 0 {
                self.active_ns = clocks::monotonic_ns();
                return;
            }
        }
    }

    /// Leaves the thread to glommio until a socket is ready, the bell rings, or `until_ns`.
    fn park(&mut self, until_ns: u64, context: &mut Context<'_>) -> Wait {
        let (poller, now_ns) = (&self.poller, clocks::monotonic_ns());
        let wait = self.parked.wait.get_or_insert_with(|| {
            let poller = Rc::clone(poller);
            Box::pin(async move { readable(poller.as_fd()).await })
        });
        let mut until_ns = until_ns;
        match wait.as_mut().poll(context) {
            Poll::Ready(Ok(())) => {
                self.came(now_ns);
                return Wait::Over;
            }
            Poll::Ready(Err(_)) => {
                // The process has no descriptor left to wait with.
                self.parked.wait = None;
                self.poller.fetch(0);
                until_ns = until_ns.min(now_ns + RETRY_AFTER_NS);
            }
            Poll::Pending => {}
        }
        let goes_on = self.set_timer(now_ns, until_ns, context)
            && self.scheduler.ready_len() == 0
            && self.scheduler.bell().fall_asleep();
        if !goes_on {
            return Wait::Over;
        }
        self.scheduler.park(context.waker());
        Wait::InGlommio
    }

    /// False if it is over already.
    fn set_timer(&mut self, now_ns: u64, until_ns: u64, context: &mut Context<'_>) -> bool {
        let timer = &mut self.parked.timer;
        if until_ns == u64::MAX {
            return true;
        }
        if self.parked.until_ns != until_ns {
            self.parked.until_ns = until_ns;
            timer.reset(Duration::from_nanos(until_ns.saturating_sub(now_ns)));
        }
        Pin::new(timer).poll(context).is_pending()
    }

    /// glommio gave the thread back.
    fn unpark(&mut self, context: &mut Context<'_>) {
        let Some(wait) = &mut self.parked.wait else { return };
        if wait.as_mut().poll(context).is_ready() {
            self.came(clocks::monotonic_ns());
        }
    }

    /// What was waited for in glommio is there.
    fn came(&mut self, now_ns: u64) {
        self.parked.wait = None;
        self.poller.fetch(0);
        (self.looked_ns, self.active_ns) = (now_ns, now_ns);
    }
}

#[cfg(test)]
mod tests;
