//! A thread that looks after executors which show no sign of life.
//!
//! The heartbeat's ladder (see `heartbeat`) has a last rung: should every wake-up of it be
//! overlooked in a row, as on a machine that is far too busy, only somebody else can wake the
//! executor. The watchdog does, as often as it takes. It looks after an executor from before its
//! first task on: that one can be overlooked, too, and then there is no heartbeat yet and no waker,
//! so the thread is interrupted instead. It also reports shards that are stuck, which
//! the stall detector cannot before their poll ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once, PoisonError};
use std::time::Duration;

use atomic_waker::AtomicWaker;

use super::{interrupt, sys};

/// Twice a second: 0.01 % of a core.
const ROUND: Duration = Duration::from_millis(500);

/// A quiet executor beats every 250 ms.
const SILENCE_MAX_NS: u64 = 1_000_000_000;

/// Time for an executor to run its first task, which takes microseconds. To interrupt one that is
/// merely slow does no harm.
const BEGIN_MAX_NS: u64 = 100_000_000;

/// What an executor shows to the watchdog.
pub(super) struct Pulse {
    name: String,
    thread: libc::pid_t,
    has_begun: AtomicBool,
    beat_ns: AtomicU64,
    /// The beat since which a silence lasts that has been told, so that its end is told as well; 0
    /// while none is.
    told_from_ns: AtomicU64,
    waker: AtomicWaker,
}

impl Pulse {
    /// The first task of the executor runs.
    pub(super) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
        self.beat();
    }

    pub(super) fn beat(&self) {
        let now_ns = sys::clocks::monotonic_ns();
        self.beat_ns.store(now_ns, Ordering::Relaxed);
        let told_from_ns = self.told_from_ns.load(Ordering::Relaxed);
        if told_from_ns != 0 {
            self.told_from_ns.store(0, Ordering::Relaxed);
            let silent_ms = now_ns.saturating_sub(told_from_ns) / 1_000_000;
            tracing::warn!(executor = self.name, silent_ms, "an executor shows life again");
        }
    }

    /// Whom to wake when the beats stop.
    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }
}

/// Takes the pulse off the watchdog's list when dropped.
pub(super) struct Watched(pub(super) Arc<Pulse>);

impl Drop for Watched {
    fn drop(&mut self) {
        let mut pulses = PULSES.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.retain(|pulse| !Arc::ptr_eq(pulse, &self.0));
        self.0.waker.take();
        // Also of one that has nothing more to do the silence has an end.
        self.0.beat();
    }
}

static PULSES: Mutex<Vec<Arc<Pulse>>> = Mutex::new(Vec::new());
static ADDED: Condvar = Condvar::new();

/// Has the executor watched that is about to run on this thread.
pub(super) fn watch(name: &str) -> Watched {
    static STARTED: Once = Once::new();
    let beat_ns = AtomicU64::new(sys::clocks::monotonic_ns());
    let waker = AtomicWaker::new();
    let (has_begun, told_from_ns) = (AtomicBool::new(false), AtomicU64::new(0));
    let (name, thread) = (name.to_owned(), interrupt::this_thread());
    let pulse = Arc::new(Pulse { name, thread, has_begun, beat_ns, told_from_ns, waker });
    PULSES.lock().unwrap_or_else(PoisonError::into_inner).push(pulse.clone());
    ADDED.notify_one();
    STARTED.call_once(|| {
        let thread = std::thread::Builder::new().name("watchdog".to_owned());
        if let Err(error) = thread.spawn(|| patrol()) {
            tracing::warn!(%error, "no watchdog: stuck shards are not reported");
        }
    });
    Watched(pulse)
}

fn patrol() -> ! {
    let mut round = 0u32;
    loop {
        let pulses = {
            let pulses = PULSES.lock().unwrap_or_else(PoisonError::into_inner);
            let nobody = |pulses: &mut Vec<_>| pulses.is_empty();
            let pulses = ADDED.wait_while(pulses, nobody).unwrap_or_else(PoisonError::into_inner);
            pulses.clone()
        };
        for pulse in &pulses {
            check(pulse, round);
        }
        round = round.wrapping_add(1);
        std::thread::sleep(ROUND);
    }
}

fn check(pulse: &Pulse, round: u32) {
    let beat_ns = pulse.beat_ns.load(Ordering::Relaxed);
    let silent_ns = sys::clocks::monotonic_ns().saturating_sub(beat_ns);
    if !pulse.has_begun.load(Ordering::Relaxed) && silent_ns > BEGIN_MAX_NS {
        interrupt::interrupt(pulse.thread);
    }
    if silent_ns <= SILENCE_MAX_NS {
        return;
    }
    pulse.waker.wake();
    // At once, and then every fourth round: a line in two seconds.
    if pulse.told_from_ns.swap(beat_ns, Ordering::Relaxed) == 0 || round.is_multiple_of(4) {
        let silent_ms = silent_ns / 1_000_000;
        let thread = sys::threads::activity(pulse.thread);
        tracing::warn!(
            executor = pulse.name,
            silent_ms,
            thread,
            "an executor shows no sign of life"
        );
    }
}
