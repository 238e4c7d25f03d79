//! A bound on how long a wake-up can be overlooked.
//!
//! glommio 0.9 parks with runnable tasks if the preempt timer (1 ms) fired before the first task
//! of a round ran, which happens when the thread is descheduled in a window of a few
//! microseconds. Only another event then wakes the executor. User timers are armed before
//! parking, so a timer that is always pending bounds the stall.
//!
//! One timer is not enough: its own wake-up can be overlooked, and then nothing is pending. So
//! there is a ladder of timers. Each rung that fires re-arms the whole ladder; if its wake-up is
//! overlooked, the next rung is still armed. Two speeds keep an idle shard quiet: while tasks run
//! the first rung is 4 ms (0.1 % of a core), after a beat without any task 250 ms (4 wake-ups a
//! second). A task that runs in a quiet stretch switches the speed back, which costs one beat more:
//! not more, since most of what wakes an idle shard is a lone timer. Beyond the last rung there is
//! the `watchdog`.
//!
//! Each beat also has the `driver` look: should that have overlooked something, a rule of its own
//! or a report of the kernel, it is found as soon.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use glommio::timer::Timer;

use super::scheduler;
use super::watchdog::{Pulse, Watched};

const RUNGS: usize = 4;
const BUSY_MS: [u64; RUNGS] = [4, 20, 100, 1000];
const QUIET_MS: [u64; RUNGS] = [250, 500, 750, 1000];

thread_local! {
    /// A task other than the heartbeat ran since the last beat.
    static HAS_RUN: Cell<bool> = const { Cell::new(false) };
    /// Set while the heartbeat is slow: whom to tell that there is work again.
    static SLOW_BEAT: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Notes that a task runs now.
pub(super) fn touch() {
    if !HAS_RUN.replace(true)
        && let Some(waker) = SLOW_BEAT.take()
    {
        waker.wake();
    }
}

/// Beats until dropped.
pub(super) async fn run(watched: Watched) {
    let pulse = &*watched.0;
    let mut is_quiet = false;
    // Made once, since each takes memory.
    let mut timers = BUSY_MS.map(|ms| Timer::new(Duration::from_millis(ms)));
    loop {
        pulse.beat();
        scheduler::have_a_look();
        let rungs_ms = if is_quiet { QUIET_MS } else { BUSY_MS };
        for (timer, ms) in timers.iter_mut().zip(rungs_ms) {
            timer.reset(Duration::from_millis(ms));
        }
        Beat { timers: &mut timers, is_quiet, pulse }.await;
        SLOW_BEAT.take();
        is_quiet = !HAS_RUN.replace(false);
    }
}

/// Ready when any of its timers is, or when work begins after a quiet stretch.
struct Beat<'a> {
    timers: &'a mut [Timer; RUNGS],
    is_quiet: bool,
    pulse: &'a Pulse,
}

impl Future for Beat<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.pulse.register(context.waker());
        if self.is_quiet {
            if HAS_RUN.get() {
                return Poll::Ready(());
            }
            SLOW_BEAT.set(Some(context.waker().clone()));
        }
        let mut fired = false;
        for timer in self.timers.iter_mut() {
            fired |= Pin::new(timer).poll(context).is_ready();
        }
        if fired { Poll::Ready(()) } else { Poll::Pending }
    }
}
