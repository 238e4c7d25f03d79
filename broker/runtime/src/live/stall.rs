//! Names the task that held up its shard.

use std::cell::Cell;
use std::task::Poll;

use super::{heartbeat, sys};

/// A single poll longer than this is reported: five preemption periods.
pub(crate) const DEFAULT_LIMIT_NS: u64 = 5_000_000;

/// Reports per second and shard: a broken task must not flood the log.
const REPORTS_PER_SECOND: u32 = 10;

thread_local! {
    static LIMIT_NS: Cell<u64> = const { Cell::new(DEFAULT_LIMIT_NS) };
    /// Second of the last report, and how many it had.
    static REPORTED: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
}

/// Sets the limit for this thread; 0 switches the detector off.
pub(crate) fn set_limit_ns(limit_ns: u64) {
    LIMIT_NS.set(limit_ns);
}

/// Polls a task and reports it if that takes longer than the limit.
///
/// Costs two reads of the clock, together about 50 ns per poll: a poll handles at least one
/// system call's worth of work, and usually a batch of frames.
pub(crate) fn watch<T>(name: &'static str, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
    heartbeat::touch();
    let limit_ns = LIMIT_NS.get();
    if limit_ns == 0 {
        return poll();
    }
    let start_ns = sys::monotonic_ns();
    let result = poll();
    let end_ns = sys::monotonic_ns();
    if end_ns - start_ns > limit_ns {
        report(name, end_ns - start_ns, end_ns);
    }
    result
}

#[cold]
fn report(name: &'static str, took_ns: u64, now_ns: u64) {
    let second = now_ns / 1_000_000_000;
    let (last, count) = REPORTED.get();
    let count = if last == second { count + 1 } else { 1 };
    REPORTED.set((second, count));
    if count <= REPORTS_PER_SECOND {
        let took_ms = took_ns / 1_000_000;
        tracing::warn!(task = name, took_ms, "a task held up its shard");
    }
}
