//! Whether a failed send is tried again.
//!
//! A send is tried on another broker for as long as attempts and time are left, when the failure
//! says nothing about the message itself. Each attempt may have been stored although its answer was
//! lost: a retry can double a message, which the unique key lets consumers see.

use std::collections::BTreeSet;

use ringmq_protocol::codes::response;

use super::SendStatus;

/// Attempts after the first one, as in the Java producer (`retryTimesWhenSendFailed`).
pub const RETRIES_DEFAULT: u32 = 2;

/// Answers of a broker that say "not me, not now" and nothing about the message.
const RETRIED_CODES: [i32; 8] = [
    response::SYSTEM_ERROR,
    response::SYSTEM_BUSY,
    response::SERVICE_NOT_AVAILABLE,
    response::NO_PERMISSION,
    response::TOPIC_NOT_EXIST,
    response::NO_BUYER_ID,
    response::NOT_IN_CURRENT_UNIT,
    response::GO_AWAY,
];

/// What an attempt came to, as far as retrying is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The broker took the message.
    Taken(SendStatus),
    /// The broker refused with this response code.
    Refused(i32),
    /// No connection, connection lost, or no answer in time.
    Unreachable,
}

/// What to do after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The result stands, good or bad.
    Finish,
    /// Try again, on another broker if there is one.
    Retry,
}

/// Rules of one producer.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Attempts after the first one.
    pub retries: u32,
    /// Whether a message that was taken but not flushed or replicated is sent once more elsewhere
    /// (`retryAnotherBrokerWhenNotStoreOK`). It will then exist twice.
    pub retry_when_not_stored_ok: bool,
    /// Response codes that are retried.
    pub codes: BTreeSet<i32>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: RETRIES_DEFAULT,
            retry_when_not_stored_ok: false,
            codes: RETRIED_CODES.into(),
        }
    }
}

impl RetryPolicy {
    /// Decides after attempt number `attempt` (from 0), `time_left_ms` before the deadline.
    pub fn decide(&self, attempt: u32, time_left_ms: u64, ending: Ending) -> Decision {
        let worth_it = match ending {
            Ending::Taken(status) => self.retry_when_not_stored_ok && status != SendStatus::Ok,
            Ending::Refused(code) => self.codes.contains(&code),
            Ending::Unreachable => true,
        };
        if worth_it && attempt < self.retries && time_left_ms > 0 {
            Decision::Retry
        } else {
            Decision::Finish
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attempt: u32, time_left_ms: u64, ending: Ending, expected: Decision) {
        assert_eq!(RetryPolicy::default().decide(attempt, time_left_ms, ending), expected);
    }

    #[test]
    fn a_broker_that_is_away_or_busy_is_retried_elsewhere() {
        for code in [1, 2, 14, 16, 17, 204, 205, 1500] {
            check(0, 10, Ending::Refused(code), Decision::Retry);
        }
        check(1, 10, Ending::Unreachable, Decision::Retry);
    }

    #[test]
    fn a_fault_of_the_message_surfaces_at_once() {
        for code in [13, 29, 26, 3] {
            check(0, 10, Ending::Refused(code), Decision::Finish);
        }
    }

    #[test]
    fn attempts_and_time_are_limits() {
        check(2, 10, Ending::Unreachable, Decision::Finish);
        check(0, 0, Ending::Unreachable, Decision::Finish);
    }

    #[test]
    fn a_message_taken_without_flush_is_not_doubled_unless_asked_for() {
        let taken = Ending::Taken(SendStatus::FlushDiskTimeout);
        check(0, 10, taken, Decision::Finish);
        let eager = RetryPolicy { retry_when_not_stored_ok: true, ..RetryPolicy::default() };
        assert_eq!(eager.decide(0, 10, taken), Decision::Retry);
        assert_eq!(eager.decide(0, 10, Ending::Taken(SendStatus::Ok)), Decision::Finish);
    }
}
