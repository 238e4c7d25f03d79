//! The time by which messages grow old: the wall clock, unless it has just jumped ahead.
//!
//! A wall clock that is days ahead for some seconds would let everything expire at once, and what
//! is deleted does not come back when the clock is right again. The monotonic clock tells how much
//! time has really passed, so a jump is known as one, and believed when it has stayed for a while:
//! after the sleep of a machine the new time is the right one.
//!
//! At a start nobody knows how long the log was closed. The store time of its newest message is all
//! that is known, so time goes on from there, and what the wall clock is ahead of it is a jump like
//! any other: after a long pause the oldest messages go an hour later than they could.

use std::time::Duration;

use ringmq_runtime::clock::Instant;

/// How far the wall clock may get ahead of the monotonic one between two looks: a correction of
/// this size makes nothing old that is not so anyway.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// How long a jump has to stay before it is believed. To a message that is kept for days an hour is
/// nothing, and a clock that is wrong for longer has had people's time to be noticed.
const BELIEVED_AFTER: Duration = Duration::from_secs(3600);

/// The wall clock without its jumps ahead. Look at it often: what happens between two looks is one
/// step.
#[derive(Clone, Copy, Debug, Default)]
pub struct AgeClock {
    believed: Option<Believed>,
    jump: Option<Jump>,
    /// The wall clock was believed since the start.
    is_settled: bool,
}

#[derive(Clone, Copy, Debug)]
struct Believed {
    unix_ms: i64,
    at: Instant,
}

/// A wall clock that is not believed.
#[derive(Clone, Copy, Debug)]
struct Jump {
    /// Milliseconds that it is ahead.
    ahead_ms: i64,
    since: Instant,
}

impl AgeClock {
    /// A clock at a start: `known_ms` is the newest time that is known from before it, if there is
    /// any. Without, the first look believes.
    pub fn since(known_ms: Option<i64>, now: Instant) -> Self {
        let believed = known_ms.map(|unix_ms| Believed { unix_ms, at: now });
        Self { believed, ..Self::default() }
    }

    /// Unix time in milliseconds to judge ages by, when the wall clock says `unix_ms` and the
    /// monotonic one `now`. A clock that was set back is believed at once, since that deletes
    /// nothing.
    pub fn look(&mut self, unix_ms: i64, now: Instant) -> i64 {
        let expected_ms = self.believed.map_or(unix_ms, |believed| {
            let passed = now.saturating_since(believed.at).as_millis();
            believed.unix_ms.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
        });
        let ahead_ms = unix_ms.saturating_sub(expected_ms);
        let limit_ms = AHEAD_MAX.as_millis() as i64;
        if ahead_ms > limit_ms && !self.has_stayed(ahead_ms, now) {
            return expected_ms;
        }
        self.believed = Some(Believed { unix_ms, at: now });
        self.jump = None;
        self.is_settled = true;
        unix_ms
    }

    /// Whether a clock that is `ahead_ms` ahead has been so for long.
    fn has_stayed(&mut self, ahead_ms: i64, now: Instant) -> bool {
        let limit_ms = AHEAD_MAX.as_millis() as u64;
        let same = self.jump.filter(|jump| jump.ahead_ms.abs_diff(ahead_ms) <= limit_ms);
        if let Some(jump) = same {
            return now.saturating_since(jump.since) >= BELIEVED_AFTER;
        }
        self.jump = Some(Jump { ahead_ms, since: now });
        let (ahead_s, believed_after_s) = (ahead_ms / 1000, BELIEVED_AFTER.as_secs());
        if self.is_settled {
            tracing::warn!(
                "the clock has jumped {ahead_s} s ahead: no message grows older by that unless it \
                 stays so for {believed_after_s} s"
            );
        } else {
            tracing::info!(
                "the newest message is {ahead_s} s old, if the clock is right: messages grow older \
                 by that in {believed_after_s} s"
            );
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const START_MS: u64 = 1_700_000_000_000;

    /// A look when `passed_ms` have really passed and the wall clock is `ahead_ms` ahead.
    fn look(clock: &mut AgeClock, passed_ms: u64, ahead_ms: i64) -> i64 {
        let unix_ms = (START_MS + passed_ms) as i64 + ahead_ms;
        let aged = clock.look(unix_ms, Instant::from_nanos(passed_ms * 1_000_000));
        aged - (START_MS + passed_ms) as i64
    }

    #[test]
    fn a_jump_is_believed_when_it_has_stayed_for_an_hour() {
        let mut clock = AgeClock::default();
        let days = 4 * 24 * HOUR_MS as i64;
        assert_eq!(look(&mut clock, 0, 0), 0);
        assert_eq!(look(&mut clock, 10_000, days), 0);
        assert_eq!(look(&mut clock, HOUR_MS, days), 0);
        assert_eq!(look(&mut clock, HOUR_MS + 10_000, days + 500), days + 500);
        assert_eq!(look(&mut clock, HOUR_MS + 20_000, days), days);
    }

    #[test]
    fn at_a_start_time_goes_on_from_the_newest_message() {
        let days = 4 * 24 * HOUR_MS as i64;
        let start = Instant::from_nanos(0);
        let mut clock = AgeClock::since(Some(START_MS as i64), start);
        assert_eq!(look(&mut clock, 0, days), 0);
        assert_eq!(look(&mut clock, HOUR_MS - 1, days), 0);
        assert_eq!(look(&mut clock, HOUR_MS, days), days);
        for known in [None, Some(START_MS as i64 + days), Some(START_MS as i64 - 59_000)] {
            assert_eq!(look(&mut AgeClock::since(known, start), 0, 0), 0, "{known:?}");
        }
    }

    #[test]
    fn a_jump_that_ends_or_goes_on_begins_anew() {
        let mut clock = AgeClock::default();
        let days = 4 * 24 * HOUR_MS as i64;
        look(&mut clock, 0, 0);
        assert_eq!(look(&mut clock, 10_000, days), 0);
        assert_eq!(look(&mut clock, 20_000, 5), 5, "it is right again");
        assert_eq!(look(&mut clock, HOUR_MS + 10_000, days), 5);
        assert_eq!(look(&mut clock, HOUR_MS + 20_000, 2 * days), 5);
        assert_eq!(look(&mut clock, 2 * HOUR_MS + 15_000, 2 * days), 5);
        assert_eq!(look(&mut clock, 2 * HOUR_MS + 25_000, 2 * days), 2 * days);
    }

    #[test]
    fn small_steps_and_steps_back_are_followed_at_once() {
        let mut clock = AgeClock::default();
        for (passed, ahead) in [(0, 0), (10, 59_000), (20, 100_000), (30, -9_000_000)] {
            assert_eq!(look(&mut clock, passed, ahead), ahead);
        }
    }
}
