//! How fast a segment is zero-filled ahead of the log. Pure.
//!
//! The log may use a segment as far as it is zeroed, so what counts is the lead of the zeros over
//! the log:
//!
//! | lead | rate |
//! |---|---|
//! | less than [`LEAD_STEPS`] steps, or than the log needs in [`LEAD_MS`] | full speed |
//! | less than [`AMPLE`] times that | twice the log's rate, at least the floor |
//! | more | none: zeros that are needed later are made later |
//!
//! So a log that is quiet leaves device and core alone, and one that is not has its zeros made at
//! its own rate. That is measured and applied anew for each step.

use std::time::Duration;

use ringmq_runtime::clock::Instant;

/// So many times the least lead is enough.
const AMPLE: u64 = 4;

/// A lead of fewer steps is made up at full speed: room for a burst that begins during one step.
const LEAD_STEPS: u64 = 8;

/// A lead that the log uses up faster than this is made up at full speed.
const LEAD_MS: u64 = 250;

/// Shortest time over which the log's rate is measured: some steps, some groups.
const WINDOW: Duration = Duration::from_millis(50);

/// The rate at which a log grows.
#[derive(Debug)]
pub(crate) struct Pace {
    since: Instant,
    byte: u64,
    rate_bytes_per_s: u64,
}

impl Pace {
    /// A log that ends at `byte` and has been quiet so far.
    pub(crate) fn new(now: Instant, byte: u64) -> Self {
        Self { since: now, byte, rate_bytes_per_s: 0 }
    }

    /// Notes how far the log has grown. A burst counts at once, its end by halves.
    pub(crate) fn note(&mut self, now: Instant, byte: u64) {
        let elapsed = now.saturating_since(self.since);
        if elapsed < WINDOW {
            return;
        }
        let grown = u128::from(byte.saturating_sub(self.byte));
        let latest = u64::try_from(grown * 1_000_000 / elapsed.as_micros()).unwrap_or(u64::MAX);
        self.rate_bytes_per_s = latest.max(self.rate_bytes_per_s.midpoint(latest));
        (self.since, self.byte) = (now, byte);
    }

    /// The lead up to which steps of `step` bytes are wanted.
    pub(crate) fn ample_lead(&self, step: u64) -> u64 {
        self.least_lead(step).saturating_mul(AMPLE)
    }

    /// The rate for the next step of `step` bytes, with `lead` zeroed bytes in front of the log; in
    /// bytes per second, 0 is full speed.
    pub(crate) fn fill_rate(&self, lead: u64, step: u64, floor_bytes_per_s: u64) -> u64 {
        match lead < self.least_lead(step) {
            true => 0,
            false => floor_bytes_per_s.max(self.rate_bytes_per_s.saturating_mul(2)),
        }
    }

    fn least_lead(&self, step: u64) -> u64 {
        (LEAD_STEPS * step).max(self.rate_bytes_per_s.saturating_mul(LEAD_MS) / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const STEP: u64 = 8 * MIB;
    const FLOOR: u64 = 64 * MIB;

    fn growing(rate_bytes_per_s: u64) -> Pace {
        let start = Instant::from_nanos(0);
        let mut pace = Pace::new(start, 1000);
        pace.note(start + Duration::from_millis(100), 1000 + rate_bytes_per_s / 10);
        pace
    }

    #[test]
    fn a_quiet_log_gets_its_least_lead_at_once_and_an_ample_one_at_the_floor() {
        let quiet = Pace::new(Instant::from_nanos(0), 0);
        assert_eq!(quiet.fill_rate(8 * MIB, STEP, FLOOR), 0);
        assert_eq!(quiet.fill_rate(64 * MIB, STEP, FLOOR), FLOOR);
        assert_eq!(quiet.ample_lead(STEP), 256 * MIB);
    }

    #[test]
    fn zeros_grow_faster_than_the_log_and_at_full_speed_when_it_comes_close() {
        let busy = growing(400 * MIB);
        assert_eq!(busy.fill_rate(0, STEP, FLOOR), 0);
        assert_eq!(busy.fill_rate(99 * MIB, STEP, FLOOR), 0);
        assert_eq!(busy.fill_rate(100 * MIB, STEP, FLOOR), 800 * MIB);
        assert_eq!(busy.ample_lead(STEP), 400 * MIB);
    }

    #[test]
    fn a_burst_counts_at_once_and_is_forgotten_by_halves() {
        let mut pace = growing(400 * MIB);
        assert_eq!(pace.rate_bytes_per_s, 400 * MIB);
        let now = pace.since;
        pace.note(now + Duration::from_millis(1), pace.byte + MIB);
        assert_eq!(pace.rate_bytes_per_s, 400 * MIB, "too short to tell");
        for rate in [200 * MIB, 100 * MIB] {
            pace.note(pace.since + Duration::from_secs(1), pace.byte);
            assert_eq!(pace.rate_bytes_per_s, rate);
        }
        pace.note(pace.since + Duration::from_secs(1), pace.byte + 900 * MIB);
        assert_eq!(pace.rate_bytes_per_s, 900 * MIB);
    }
}
