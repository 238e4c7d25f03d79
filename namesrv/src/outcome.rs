//! What a client sees of a request that is refused.

use std::fmt::Display;

use ringmq_protocol::codes::response;

/// Why a request is refused: a response code and a remark for a person.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// RocketMQ's response code.
    pub(crate) code: i32,
    /// What was wrong.
    pub(crate) remark: String,
}

impl Refusal {
    pub(crate) fn new(code: i32, remark: impl Display) -> Self {
        Self { code, remark: remark.to_string() }
    }

    /// Anything that has no code of its own.
    pub(crate) fn error(remark: impl Display) -> Self {
        Self::new(response::SYSTEM_ERROR, remark)
    }
}
