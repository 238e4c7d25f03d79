//! Time: a monotonic clock for durations and deadlines, a wall clock for what users see.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use crate::live;
#[cfg(feature = "sim")]
use crate::sim;

/// A point on the monotonic clock of the current world, in nanoseconds since an arbitrary origin.
///
/// Instants of one world compare with each other, also across threads; instants of different
/// worlds do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The current time.
    #[must_use]
    pub fn now() -> Self {
        #[cfg(feature = "sim")]
        if let Some(world) = sim::current() {
            return Self(world.now_ns());
        }
        Self(live::sys::clocks::monotonic_ns())
    }

    /// A point `ns` nanoseconds after the origin of the clock: for pure state machines under test.
    #[must_use]
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the origin of the clock.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds since an arbitrary fixed point.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time that passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Time that passed since this instant.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().saturating_since(self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of the clock, some 584 years after its origin.
    fn add(self, duration: Duration) -> Self {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(ns))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at the origin of the clock.
    fn sub(self, duration: Duration) -> Self {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(ns))
    }
}

/// Wall-clock time in milliseconds since the Unix epoch. May jump in both directions.
#[must_use]
pub fn unix_ms() -> i64 {
    #[cfg(feature = "sim")]
    if let Some(world) = sim::current() {
        return world.unix_ms();
    }
    live::sys::clocks::unix_ms()
}

/// The monotonic clock in milliseconds, for tables that keep many times. What holds one is named
/// `clock_ms`; `unix_ms` and `now_ms` are Unix time.
#[must_use]
pub fn monotonic_ms() -> u64 {
    Instant::now().as_millis()
}
