//! How fast a segment is zero-filled ahead of the log. Pure.
//!
//! The log may use a segment as far as it is zeroed, so what counts is the lead of the zeros over
//! the log:
//!
//! | lead | rate |
//! |---|---|
//! | less than [`LEAD_STEPS`] steps, or than the log needs in [`LEAD_MS`] | full speed |
//! | more | twice the log's rate; more if the rest would not be zeroed when half the lead is used |
//! | the log is quiet | the floor, so that the device stays free for others |
//!
//! At twice the log's rate the lead grows, so a segment begun when an eighth of the one before it
//! is used is whole at five eighths. The rate is measured and applied anew for each step.

use std::time::Duration;

use ringmq_runtime::clock::Instant;

/// A lead of fewer steps is made up at full speed: room for a burst that begins during one step.
const LEAD_STEPS: u64 = 8;

/// A lead that the log uses up faster than this is made up at full speed.
const LEAD_MS: u64 = 250;

/// Shortest time over which the log's rate is measured: some steps, some groups.
const WINDOW: Duration = Duration::from_millis(50);

/// What there is to do: all in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// Zeroed bytes in front of the log.
    pub(crate) lead: u64,
    /// Bytes of the segment that are not zeroed yet.
    pub(crate) left: u64,
    /// What is zeroed and flushed at once.
    pub(crate) step: u64,
}

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

    /// The rate for the next step, in bytes per second; 0 is full speed.
    pub(crate) fn fill_rate(&self, need: Need, floor_bytes_per_s: u64) -> u64 {
        let rate = self.rate_bytes_per_s;
        let least = (LEAD_STEPS * need.step).max(rate.saturating_mul(LEAD_MS) / 1000);
        if need.lead < least {
            return 0;
        }
        let in_time = u128::from(rate) * 2 * u128::from(need.left) / u128::from(need.lead);
        let in_time = u64::try_from(in_time).unwrap_or(u64::MAX);
        floor_bytes_per_s.max(2 * rate).max(in_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const FLOOR: u64 = 200 * MIB;

    fn growing(rate_bytes_per_s: u64) -> Pace {
        let start = Instant::from_nanos(0);
        let mut pace = Pace::new(start, 1000);
        pace.note(start + Duration::from_millis(100), 1000 + rate_bytes_per_s / 10);
        pace
    }

    fn need(lead: u64, left: u64) -> Need {
        Need { lead, left, step: 8 * MIB }
    }

    #[test]
    fn a_quiet_log_gets_its_lead_at_once_and_the_rest_at_the_floor() {
        let quiet = Pace::new(Instant::from_nanos(0), 0);
        assert_eq!(quiet.fill_rate(need(8 * MIB, 1016 * MIB), FLOOR), 0);
        assert_eq!(quiet.fill_rate(need(64 * MIB, 960 * MIB), FLOOR), FLOOR);
    }

    #[test]
    fn zeros_grow_faster_than_the_log_and_at_full_speed_when_it_comes_close() {
        let busy = growing(300 * MIB);
        assert_eq!(busy.fill_rate(need(900 * MIB, 100 * MIB), FLOOR), 600 * MIB);
        // The rest, 800 MiB, before half of the lead is used, in 1/3 s.
        assert_eq!(busy.fill_rate(need(200 * MIB, 800 * MIB), FLOOR), 2400 * MIB);
        assert_eq!(busy.fill_rate(need(74 * MIB, 500 * MIB), FLOOR), 0);
        assert_eq!(busy.fill_rate(need(0, 500 * MIB), FLOOR), 0);
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
