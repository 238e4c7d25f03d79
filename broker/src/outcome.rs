//! Our outcomes and RocketMQ's response codes, in one table.
//!
//! Services decide with types; what a client sees is looked up here. A remark says what was expected, what
//! was found, and what helps, since it is all that the user of a foreign client gets to read.

use std::borrow::Cow;

use ringmq_protocol::codes::response;
use ringmq_store::{AppendError, ReadStatus};

/// Why a request is refused: a response code and a remark for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// RocketMQ's response code.
    pub code: i32,
    /// What was wrong and what helps.
    pub remark: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with any code.
    pub fn new(code: i32, remark: impl Into<Cow<'static, str>>) -> Self {
        Self { code, remark: remark.into() }
    }

    /// The request itself is malformed: a field is missing or unreadable.
    pub fn malformed(problem: impl std::fmt::Display) -> Self {
        Self::new(response::SYSTEM_ERROR, problem.to_string())
    }

    /// The message can not be stored as it is.
    pub fn illegal_message(remark: impl Into<Cow<'static, str>>) -> Self {
        Self::new(response::MESSAGE_ILLEGAL, remark)
    }

    /// A parameter is out of range.
    pub fn invalid_parameter(remark: impl Into<Cow<'static, str>>) -> Self {
        Self::new(response::INVALID_PARAMETER, remark)
    }

    /// Not allowed.
    pub fn no_permission(remark: impl Into<Cow<'static, str>>) -> Self {
        Self::new(response::NO_PERMISSION, remark)
    }

    /// The broker cannot serve this now, another one may.
    pub fn unavailable(remark: impl Into<Cow<'static, str>>) -> Self {
        Self::new(response::SERVICE_NOT_AVAILABLE, remark)
    }

    /// The topic does not exist here.
    pub fn no_topic(topic: &str) -> Self {
        Self::new(
            response::TOPIC_NOT_EXIST,
            format!(
                "topic {topic} does not exist on this broker; create it with mqadmin updateTopic, or \
                 allow autoCreateTopicEnable and send to it"
            ),
        )
    }
}
