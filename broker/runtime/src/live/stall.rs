//! Names the task that held up its shard, and tells it from a machine that is short of CPU.
//!
//! A poll that takes long either *ran* all the time, or *blocked* in the kernel (a file read, a
//! lock), which are both our fault; or the thread was *not scheduled*, because other threads had
//! the core, which is nobody's here. The thread's own CPU time and its involuntary switches tell
//! which.

use std::cell::Cell;
use std::task::Poll;

use super::heartbeat;
use super::sys::clocks::{self, ThreadUsage};

/// A single poll longer than this is reported: five preemption periods.
pub(crate) const DEFAULT_LIMIT_NS: u64 = 5_000_000;

/// From here on a report is a warning, and below a note: on a small machine other threads take a
/// core for some milliseconds in almost every run, which nobody has to look into.
const WARNING_MS: u64 = 20;

fn is_warning(ms: u64) -> bool {
    ms >= WARNING_MS
}

/// Logs a line at the level that `$ms` deserves.
macro_rules! tell {
    ($ms:expr, $($line:tt)+) => {
        match is_warning($ms) {
            true => tracing::warn!($($line)+),
            false => tracing::info!($($line)+),
        }
    };
}

/// Reports per second, shard and level: a broken task must not flood the log, and notes, which few
/// logs show, must not keep warnings out of it.
const REPORTS_PER_SECOND: u32 = 10;

/// Time between two lines that say that a shard is not scheduled.
const STARVED_INTERVAL_NS: u64 = 10_000_000_000;

/// Oldest usage that a poll is compared with, so that what ran before it counts little. Asking for
/// it costs 0.3 us, so 0.03 % of a core that is never idle.
const USAGE_AGE_MAX_NS: u64 = 1_000_000;

thread_local! {
    static LIMIT_NS: Cell<u64> = const { Cell::new(DEFAULT_LIMIT_NS) };
    /// Second of the last report, and how many it had: of notes and of warnings.
    static REPORTED: Cell<[(u64, u32); 2]> = const { Cell::new([(0, 0); 2]) };
    /// What the thread had used, and when that was.
    static USAGE: Cell<(u64, ThreadUsage)> = const { Cell::new((0, ThreadUsage::NONE)) };
    static STARVED: Cell<Starved> = const { Cell::new(Starved::NEVER) };
    static RUNNING: Cell<Option<&'static str>> = const { Cell::new(None) };
    /// When the last poll ended, while the next one follows at once; 0 otherwise.
    static LAST_END_NS: Cell<u64> = const { Cell::new(0) };
}

/// The task that is polled on this thread now.
pub(crate) fn running() -> Option<&'static str> {
    RUNNING.get()
}

/// Sets the limit for this thread; 0 switches the detector off.
pub(crate) fn set_limit_ns(limit_ns: u64) {
    LIMIT_NS.set(limit_ns);
}

/// The thread does something else than polling tasks from now on, or waits.
pub(super) fn end_of_polls() {
    LAST_END_NS.set(0);
}

/// Polls a task and reports it if that takes longer than the limit.
///
/// Costs a read of the clock, about 25 ns per poll, since one poll follows another until
/// [`end_of_polls`]: a poll handles at least one system call's worth of work, and usually a batch
/// of frames.
pub(crate) fn watch<T>(name: &'static str, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
    heartbeat::touch();
    RUNNING.set(Some(name));
    let limit_ns = LIMIT_NS.get();
    if limit_ns == 0 {
        let result = poll();
        RUNNING.set(None);
        return result;
    }
    let start_ns = match LAST_END_NS.get() {
        0 => clocks::monotonic_ns(),
        last_end_ns => last_end_ns,
    };
    if start_ns - USAGE.get().0 > USAGE_AGE_MAX_NS {
        USAGE.set((start_ns, clocks::thread_usage()));
    }
    let result = poll();
    RUNNING.set(None);
    let end_ns = clocks::monotonic_ns();
    LAST_END_NS.set(end_ns);
    if end_ns - start_ns > limit_ns {
        report(name, end_ns - start_ns, end_ns);
    }
    result
}

/// Why a poll took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It used the CPU for longer than the limit.
    Ran,
    /// It waited for something other than the CPU.
    Blocked,
    /// Other threads had the core.
    NotScheduled,
}

/// Judges a poll from what its thread used meanwhile.
fn judge(used: ThreadUsage, limit_ns: u64) -> Verdict {
    if used.cpu_ns > limit_ns {
        Verdict::Ran
    } else if used.preemptions > 0 {
        Verdict::NotScheduled
    } else {
        Verdict::Blocked
    }
}

#[cold]
fn report(name: &'static str, took_ns: u64, now_ns: u64) {
    let usage = clocks::thread_usage();
    let used = usage.since(USAGE.replace((now_ns, usage)).1);
    let (took_ms, ran_ms) = (took_ns / 1_000_000, used.cpu_ns / 1_000_000);
    let kernel_ms = used.kernel_ns / 1_000_000;
    match judge(used, LIMIT_NS.get()) {
        Verdict::NotScheduled => report_starved(took_ms, now_ns),
        _ if !may_report(took_ms, now_ns) => {}
        Verdict::Ran => {
            // In the kernel: memory that had to be freed first, a slow system call.
            tell!(
                took_ms,
                task = name,
                took_ms,
                ran_ms,
                kernel_ms,
                "a task held up its shard: it ran"
            );
        }
        Verdict::Blocked => {
            tell!(took_ms, task = name, took_ms, ran_ms, "a task held up its shard: it blocked");
        }
    }
}

/// Whether the second has room for one more report of its level.
fn may_report(took_ms: u64, now_ns: u64) -> bool {
    let second = now_ns / 1_000_000_000;
    let mut reported = REPORTED.get();
    let (last, count) = &mut reported[usize::from(is_warning(took_ms))];
    *count = if *last == second { *count + 1 } else { 1 };
    *last = second;
    let may = *count <= REPORTS_PER_SECOND;
    REPORTED.set(reported);
    may
}

/// How often a shard was not scheduled since that was last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Starved {
    told_at_ns: Option<u64>,
    /// Whether that was a warning: a note keeps none back.
    has_told_warning: bool,
    times: u64,
    longest_ms: u64,
}

impl Starved {
    const NEVER: Self = Self { told_at_ns: None, has_told_warning: false, times: 0, longest_ms: 0 };

    /// Adds one time; what to tell now, if anything.
    fn add(&mut self, took_ms: u64, now_ns: u64) -> Option<Self> {
        self.times += 1;
        self.longest_ms = self.longest_ms.max(took_ms);
        let is_recent =
            self.told_at_ns.is_some_and(|told_at| now_ns - told_at < STARVED_INTERVAL_NS);
        let is_louder = is_warning(took_ms) && !self.has_told_warning;
        if is_recent && !is_louder {
            return None;
        }
        let told = *self;
        let has_told_warning = is_warning(told.longest_ms);
        *self = Self { told_at_ns: Some(now_ns), has_told_warning, ..Self::NEVER };
        Some(told)
    }
}

fn report_starved(took_ms: u64, now_ns: u64) {
    let mut starved = STARVED.get();
    let told = starved.add(took_ms, now_ns);
    STARVED.set(starved);
    if let Some(Starved { times, longest_ms, .. }) = told {
        tell!(
            longest_ms,
            times,
            longest_ms,
            "a shard was not scheduled: other threads have its core, the machine is short of CPU"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_lost_its_core_is_told_from_one_that_works_or_waits() {
        let used = |cpu_ms: u64, preemptions| ThreadUsage {
            cpu_ns: cpu_ms * 1_000_000,
            kernel_ns: 0,
            preemptions,
        };
        let judge = |used| judge(used, DEFAULT_LIMIT_NS);
        assert_eq!(judge(used(12, 0)), Verdict::Ran);
        assert_eq!(judge(used(12, 7)), Verdict::Ran, "it would have been late on any machine");
        assert_eq!(judge(used(1, 2)), Verdict::NotScheduled);
        assert_eq!(judge(used(1, 0)), Verdict::Blocked);
    }

    #[test]
    fn a_machine_short_of_cpu_is_told_once_in_a_while_with_all_that_happened() {
        let mut starved = Starved::NEVER;
        let mut told = Vec::new();
        for step in 0..=30 {
            let took_ms = 10 + step;
            told.extend(starved.add(took_ms, step * 1_000_000_000));
        }
        let told: Vec<_> = told.iter().map(|told| (told.times, told.longest_ms)).collect();
        assert_eq!(told, [(1, 10), (10, 20), (10, 30), (10, 40)]);
    }

    #[test]
    fn notes_take_no_room_from_warnings_of_the_same_second() {
        let second_ns = 7_000_000_000;
        let may = |took_ms| may_report(took_ms, second_ns);
        let notes = (0..=REPORTS_PER_SECOND).filter(|_| may(6)).count();
        assert_eq!(notes, REPORTS_PER_SECOND as usize);
        let warnings = (0..=REPORTS_PER_SECOND).filter(|_| may(500)).count();
        assert_eq!(warnings, REPORTS_PER_SECOND as usize, "after all those notes");
        assert!(may_report(6, second_ns + 1_000_000_000), "the next second has room");
    }

    #[test]
    fn a_note_that_a_shard_is_not_scheduled_keeps_no_warning_back() {
        let mut starved = Starved::NEVER;
        let mut add = |took_ms, second: u64| {
            let told = starved.add(took_ms, second * 1_000_000_000)?;
            Some((told.times, told.longest_ms))
        };
        assert_eq!(add(6, 1), Some((1, 6)));
        assert_eq!(add(7, 2), None);
        assert_eq!(add(900, 3), Some((2, 900)), "one second after a note");
        assert_eq!(add(900, 4), None, "one second after a warning");
        assert_eq!(add(6, 13), Some((2, 900)));
    }
}
