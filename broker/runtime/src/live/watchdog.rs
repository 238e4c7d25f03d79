//! A thread that looks after executors which show no sign of life.
//!
//! The heartbeat's ladder (see `heartbeat`) has a last rung: should every wake-up of it be
//! overlooked in a row, as on a machine that is far too busy, only somebody else can wake the
//! executor. The watchdog does, as often as it takes: it wakes the heartbeat, and interrupts the
//! thread if that sleeps. Waking alone is not enough: a heartbeat whose wake-up was overlooked is
//! in a queue of glommio's, and waking it again tells nobody (seen once: a client slept for six
//! minutes beside an answer that was there, until a debugger interrupted it).
//!
//! It looks after an executor from before its first task on: that one can be overlooked, too, and
//! then there is no heartbeat yet and no waker, so the thread is interrupted at once. It also
//! reports shards that are stuck, which the stall detector cannot before their poll ends.

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

/// What a thread does that waits for others.
const ASLEEP: &str = "state S";

/// The beat of an executor that has ended: later than any look at it.
const NEVER_SILENT_NS: u64 = u64::MAX;

/// What an executor shows to the watchdog.
pub(super) struct Pulse {
    name: String,
    thread: libc::pid_t,
    has_begun: AtomicBool,
    beat_ns: AtomicU64,
    /// Held while one of its silences is told or ended, so that the lines come in their order.
    told: Mutex<Told>,
    waker: AtomicWaker,
}

impl Pulse {
    /// The first task of the executor runs.
    pub(super) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
        self.beat();
    }

    pub(super) fn beat(&self) {
        self.beat_ns.store(sys::clocks::monotonic_ns(), Ordering::Relaxed);
    }

    /// Whom to wake when the beats stop.
    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// Looks at it as the watchdog does, every round.
    fn check(&self, round: u32) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let beat_ns = self.beat_ns.load(Ordering::Relaxed);
        let silent_ns = sys::clocks::monotonic_ns().saturating_sub(beat_ns);
        if !self.has_begun.load(Ordering::Relaxed) && silent_ns > BEGIN_MAX_NS {
            interrupt::interrupt(self.thread);
        }
        self.tell_end(&mut told, beat_ns);
        if silent_ns <= SILENCE_MAX_NS {
            return;
        }
        self.waker.wake();
        let thread = sys::threads::activity(self.thread);
        // Not one that waits for a disk or runs: a system call of its own could fail by it.
        if thread.starts_with(ASLEEP) {
            interrupt::interrupt(self.thread);
        }
        if told.is_due(beat_ns, round) {
            let silent_ms = silent_ns / 1_000_000;
            tracing::warn!(
                executor = self.name,
                silent_ms,
                thread,
                "an executor shows no sign of life"
            );
        }
    }

    fn tell_end(&self, told: &mut Told, beat_ns: u64) {
        if let Some(silent_ms) = told.end(beat_ns) {
            tracing::warn!(executor = self.name, silent_ms, "an executor shows life again");
        }
    }

    /// The executor has nothing more to do: also that is the end of a silence.
    fn end(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell_end(&mut told, sys::clocks::monotonic_ns());
        // The watchdog may still have it in the list of its round.
        self.beat_ns.store(NEVER_SILENT_NS, Ordering::Relaxed);
    }
}

/// What was said of the silences of an executor.
#[derive(Debug, Default)]
struct Told {
    /// The beat since which a silence lasts that has been told, so that its end is told as well.
    from_ns: Option<u64>,
}

impl Told {
    /// How many milliseconds the silence took that was told, if this beat has ended it: as the
    /// watchdog sees the last beat of its round, up to a round more.
    fn end(&mut self, beat_ns: u64) -> Option<u64> {
        let from_ns = self.from_ns.take_if(|from_ns| *from_ns != beat_ns)?;
        Some(beat_ns.saturating_sub(from_ns) / 1_000_000)
    }

    /// Whether to tell a silence since this beat: at once, and then every fourth round, which is a
    /// line in two seconds.
    fn is_due(&mut self, beat_ns: u64, round: u32) -> bool {
        self.from_ns.replace(beat_ns).is_none() || round.is_multiple_of(4)
    }
}

/// Takes the pulse off the watchdog's list when dropped.
pub(super) struct Watched(pub(super) Arc<Pulse>);

impl Drop for Watched {
    fn drop(&mut self) {
        let mut pulses = PULSES.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.retain(|pulse| !Arc::ptr_eq(pulse, &self.0));
        // What follows may wait for a reader of the log.
        drop(pulses);
        self.0.waker.take();
        self.0.end();
    }
}

static PULSES: Mutex<Vec<Arc<Pulse>>> = Mutex::new(Vec::new());
static ADDED: Condvar = Condvar::new();

/// Has the executor watched that is about to run on this thread.
pub(super) fn watch(name: &str) -> Watched {
    static STARTED: Once = Once::new();
    let beat_ns = AtomicU64::new(sys::clocks::monotonic_ns());
    let waker = AtomicWaker::new();
    let (has_begun, told) = (AtomicBool::new(false), Mutex::default());
    let (name, thread) = (name.to_owned(), interrupt::this_thread());
    let pulse = Arc::new(Pulse { name, thread, has_begun, beat_ns, told, waker });
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
            pulse.check(round);
        }
        round = round.wrapping_add(1);
        std::thread::sleep(ROUND);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executor_that_sleeps_in_silence_is_interrupted_though_nobody_is_left_to_wake() {
        let (thread, sleeper) = interrupt::tests::sleeper();
        let pulse = Pulse {
            name: "test".to_owned(),
            thread,
            has_begun: AtomicBool::new(true),
            beat_ns: AtomicU64::new(0),
            told: Mutex::default(),
            waker: AtomicWaker::new(),
        };
        let woken = (0..10_000).any(|round| {
            pulse.check(round);
            std::thread::sleep(Duration::from_millis(1));
            sleeper.is_finished()
        });
        assert!(woken, "it sleeps on");
        sleeper.join().expect("it ended well");
    }

    #[test]
    fn a_silence_has_one_end_and_that_comes_after_it() {
        let mut told = Told::default();
        let ms = |ms: u64| ms * 1_000_000;
        assert_eq!(told.end(ms(100)), None, "nothing was told");
        assert!(told.is_due(ms(100), 1), "at once");
        assert_eq!(told.end(ms(100)), None, "no beat since");
        assert!(!told.is_due(ms(100), 2) && told.is_due(ms(100), 4));
        assert_eq!(told.end(ms(2_600)), Some(2_500));
        assert_eq!(told.end(ms(2_700)), None, "it was told");
        assert!(told.is_due(ms(2_700), 5), "another one");
    }
}
