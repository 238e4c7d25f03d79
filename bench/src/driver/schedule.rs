//! When messages are meant to be sent.
//!
//! Closed loop: a message is due as soon as a slot is free, so a stall of the broker also stalls
//! the load; the figure that counts is throughput. Open loop: message *k* is due at `start + k /
//! rate`, whatever the broker does, and latency counts from there, so a stall is charged to every
//! message that should have been sent meanwhile.

use std::time::Duration;

/// The due times of an open loop.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    interval_ns: f64,
}

impl Schedule {
    /// `rate` messages per second, evenly spaced; `rate` is positive.
    pub fn constant(rate: f64) -> Self {
        assert!(rate > 0.0, "rate {rate} is positive");
        Self { interval_ns: 1e9 / rate }
    }

    /// Time from the start of the run to message `k`, counted from 0.
    pub fn due(&self, k: u64) -> Duration {
        Duration::from_nanos((k as f64 * self.interval_ns) as u64)
    }

    /// Messages due by `elapsed`.
    pub fn due_count(&self, elapsed: Duration) -> u64 {
        (elapsed.as_nanos() as f64 / self.interval_ns) as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_evenly_spaced() {
        let schedule = Schedule::constant(10_000.0);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(10_000), Duration::from_secs(1));
    }

    #[test]
    fn the_count_of_due_messages_is_the_inverse() {
        let schedule = Schedule::constant(1_000.0);
        for k in 0..100 {
            assert_eq!(schedule.due_count(schedule.due(k)), k + 1, "message {k}");
        }
    }
}
