//! When pulls that found nothing are answered: together, a little later than each asks for.
//!
//! An idle consumer asks again as soon as its pull has ended, for every queue, for ever. Each pull
//! that ends at a time of its own costs a wake-up of the shard, a timer, a write and a read. So
//! ends lie on a grid whose steps are a small part of the wait: the shard wakes once for all that
//! end in a step, each connection gets its answers in one write, and its next pulls, which come
//! together, stay together. A message that comes is not affected: it wakes a pull at once.

use std::time::Duration;

use ringmq_runtime::clock::Instant;

/// A wait becomes longer by less than this part of it: 2 %.
const WAIT_PER_STEP_MIN: u128 = 50;

/// The longest step, in nanoseconds, for waits of 13.4 s and more: 268 ms. Consumers ask for 15 to
/// 20 s, and give an answer 10 s more.
const STEP_MAX_NS: u64 = 1 << 28;

/// The end of a wait that began at `started` and should take `wait`: never earlier, and later by
/// less than a step.
///
/// Steps are powers of two and counted from the clock's origin, so the ends of short waits, which
/// have fine grids, fall on those of long ones as often as they can.
pub(super) fn end_of_wait(started: Instant, wait: Duration) -> Instant {
    let end_ns = (started + wait).as_nanos();
    let step_ns = step_ns(wait);
    Instant::from_nanos(end_ns.checked_next_multiple_of(step_ns).unwrap_or(end_ns))
}

fn step_ns(wait: Duration) -> u64 {
    let longest = u64::try_from(wait.as_nanos() / WAIT_PER_STEP_MIN).unwrap_or(u64::MAX);
    longest.checked_ilog2().map_or(1, |bits| 1 << bits).min(STEP_MAX_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_ends_early_or_much_later_than_asked_for() {
        for wait_ms in [0, 1, 49, 50, 1_000, 4_999, 13_421, 13_422, 15_000, 20_000, 120_000] {
            let wait = Duration::from_millis(wait_ms);
            for started_ns in [0, 1, 7, 999_999_999, 1 << 28, (1 << 40) + 1, u64::MAX - 5] {
                let started = Instant::from_nanos(started_ns);
                let end = end_of_wait(started, wait);
                let late = end.saturating_since(started + wait);
                assert!(end >= started + wait, "{started_ns}, {wait_ms}");
                assert!(late <= wait / 50, "{started_ns}, {wait_ms}: {late:?} late");
                assert!(late < Duration::from_nanos(STEP_MAX_NS), "{wait_ms}: {late:?} late");
            }
        }
    }

    #[test]
    fn long_waits_that_begin_within_a_quarter_of_a_second_end_together() {
        let step = Duration::from_nanos(STEP_MAX_NS);
        let first = Instant::from_nanos(7 << 28);
        let wait = 56 * step;
        let ends = [1, step.as_nanos() as u64]
            .map(|after| end_of_wait(first + Duration::from_nanos(after), wait));
        assert_eq!(ends, [first + wait + step; 2]);
        assert_eq!(end_of_wait(first, wait), first + wait);
    }

    #[test]
    fn ends_of_short_waits_fall_on_the_grid_of_long_ones() {
        let long = end_of_wait(Instant::from_nanos(1), Duration::from_secs(15));
        let short = Duration::from_secs(1);
        assert_eq!(end_of_wait(long - short, short), long);
    }
}
