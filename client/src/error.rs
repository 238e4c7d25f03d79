//! What can go wrong, with what was tried and where.

use std::fmt;

use ringmq_protocol::codes::response;

/// Failure of a call of this crate.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The caller's fault: nothing was sent.
    #[error("{what}")]
    Invalid {
        /// What was expected and what was found.
        what: String,
    },
    /// No attempt succeeded. For a send: whether the message was stored is unknown as soon as one
    /// attempt ended without an answer.
    #[error("{action} failed: {}", Attempts(.attempts))]
    Failed {
        /// What was tried, e.g. `send to topic Orders`.
        action: String,
        /// Each attempt, oldest first.
        attempts: Vec<Attempt>,
    },
    /// The topic has no queue that can be used, although name servers answered.
    #[error("topic {topic} has no {wanted} queue; name servers answered: {answer}")]
    NoRoute {
        /// The topic.
        topic: String,
        /// `writable` or `readable`.
        wanted: &'static str,
        /// What the name server said.
        answer: String,
    },
    /// The client was shut down.
    #[error("the client is shut down")]
    ShutDown,
    /// The executor of the client cannot be started.
    #[error("the client cannot start: {reason}")]
    Start {
        /// What is missing, and what to do.
        reason: String,
    },
}

impl ClientError {
    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }

    /// No queue of `topic` is `wanted`: `writable` or `readable`.
    pub(crate) fn no_route(topic: &str, wanted: &'static str, answer: impl Into<String>) -> Self {
        Self::NoRoute { topic: topic.to_owned(), wanted, answer: answer.into() }
    }

    /// One attempt at `action`, which failed.
    pub(crate) fn failed(action: impl Into<String>, attempt: Attempt) -> Self {
        Self::Failed { action: action.into(), attempts: vec![attempt] }
    }

    /// The response code of the last attempt, if a server answered at all.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Failed { attempts, .. } => attempts.last()?.fault.code(),
            _ => None,
        }
    }
}

/// One try to get something done by a server.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Name of the broker, or `name server`.
    pub server: String,
    /// Its address as it was dialled.
    pub address: String,
    /// What happened.
    pub fault: Fault,
}

/// Why an attempt failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// The server answered with an error.
    #[error("{} ({code}): {remark}", code_name(*.code))]
    Refused {
        /// Response code.
        code: i32,
        /// The server's words.
        remark: String,
    },
    /// No connection, connection lost or no answer in time.
    #[error("{reason}")]
    Unreachable {
        /// What happened to the connection.
        reason: String,
        /// Whether the next request would fare no better: time passed in vain, or no way leads to
        /// the server. Without it the next may go through: a connection was lost, or had too many
        /// open calls.
        is_silent: bool,
    },
    /// The answer cannot be understood.
    #[error("answer not understood: {reason}")]
    Malformed {
        /// Which part, and what was expected.
        reason: String,
    },
}

impl Fault {
    /// Whether there was no answer, as there would be none to the next question.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable { is_silent: true, .. })
    }

    /// Nothing leads to the server, or it lets time pass.
    pub(crate) fn silence(reason: impl ToString) -> Self {
        Self::Unreachable { reason: reason.to_string(), is_silent: true }
    }

    /// The response code, if the server answered.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Unreachable { .. } | Self::Malformed { .. } => None,
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.server, self.address, self.fault)
    }
}

struct Attempts<'a>(&'a [Attempt]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, attempt) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; then " };
            write!(f, "{separator}{attempt}")?;
        }
        Ok(())
    }
}

/// RocketMQ's name of a response code.
pub fn code_name(code: i32) -> &'static str {
    response::name(code).unwrap_or("UNKNOWN_CODE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_names_every_attempt_with_broker_code_and_remark() {
        let attempt =
            |fault| Attempt { server: "broker-a".into(), address: "10.0.0.1:10911".into(), fault };
        let error = ClientError::Failed {
            action: "send to topic Orders".into(),
            attempts: vec![
                attempt(Fault::silence("no answer within 900 ms")),
                attempt(Fault::Refused { code: 14, remark: "slave".into() }),
            ],
        };
        assert_eq!(
            error.to_string(),
            "send to topic Orders failed: broker-a at 10.0.0.1:10911: no answer within 900 ms; \
             then broker-a at 10.0.0.1:10911: SERVICE_NOT_AVAILABLE (14): slave"
        );
        assert_eq!(error.code(), Some(14));
    }
}
