//! Our outcomes and RocketMQ's response codes, in one table.
//!
//! Services decide with types; what a client sees is looked up here. A remark says what was
//! expected, what was found, and what helps, since it is all that the user of a foreign client gets
//! to read.

use std::borrow::Cow;
use std::fmt::Display;

use ringmq_protocol::codes::response;
use ringmq_remoting::unsupported_remark;
use ringmq_store::{AppendError, ReadStatus, offsets};

use crate::directory::DirectoryError;
use crate::subscription_groups::GroupError;
use crate::topics::TopicError;
use crate::view::Topic;

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
    pub fn malformed(problem: impl Display) -> Self {
        Self::new(response::SYSTEM_ERROR, problem.to_string())
    }

    /// The message cannot be stored as it is.
    pub fn illegal_message(remark: impl Into<Cow<'static, str>>) -> Self {
        Self::new(response::MESSAGE_ILLEGAL, remark)
    }

    /// No service handles this code.
    pub fn unsupported(code: i32) -> Self {
        Self::new(response::REQUEST_CODE_NOT_SUPPORTED, unsupported_remark(code))
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

    /// The control plane is not there yet.
    pub fn starting() -> Self {
        Self::unavailable(
            "the broker is starting and has not read its topics and groups yet: try again in a \
             second, or another broker",
        )
    }

    /// There is no place or room for it at the moment: the same request may be tried again.
    pub fn busy(remark: impl Into<Cow<'static, str>>) -> Self {
        Self::new(response::SYSTEM_BUSY, remark)
    }

    /// A read or a write failed: the device, or what it holds.
    pub fn failed(problem: impl Display) -> Self {
        Self::new(response::SYSTEM_ERROR, problem.to_string())
    }

    /// The group does not exist here, and its use does not make it.
    pub fn unknown_group(problem: impl Display) -> Self {
        Self::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, problem.to_string())
    }

    /// The table of progress is full.
    pub fn no_room_for_progress() -> Self {
        let remark = format!(
            "the progress of groups takes {} MiB of its file, which is the limit of a log; delete \
             groups that nobody uses",
            offsets::SAVED_MAX_BYTES >> 20
        );
        Self::busy(remark)
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

    /// The topic does not have this queue.
    pub fn no_queue(queue_id: i32, topic: &Topic) -> Self {
        let setting = "the larger of readQueueNums and writeQueueNums";
        Self::not_of(queue_id, topic, topic.queues(), setting)
    }

    /// The topic does not have this queue among those that can be read.
    pub fn no_queue_to_read(queue_id: i32, topic: &Topic) -> Self {
        Self::not_of(queue_id, topic, topic.read_queues, "readQueueNums")
    }

    fn not_of(queue_id: i32, topic: &Topic, queues: u32, setting: &str) -> Self {
        let name = &topic.name;
        Self::invalid_parameter(match queues.checked_sub(1) {
            Some(last) => format!(
                "queueId {queue_id} does not exist, topic {name} has queues 0 to {last} ({setting})"
            ),
            None => format!("topic {name} has no queue on this broker ({setting} is 0)"),
        })
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        let code = match &error {
            AppendError::Full { .. } => response::SYSTEM_BUSY,
            AppendError::TooLarge { .. } | AppendError::Illegal(_) => response::MESSAGE_ILLEGAL,
            AppendError::NoSpace(_) | AppendError::Fenced(_) | AppendError::OutOfPositions => {
                response::SERVICE_NOT_AVAILABLE
            }
            AppendError::OutOfSlots => response::SYSTEM_ERROR,
        };
        Self::new(code, error.to_string())
    }
}

/// What a client is told about a refused change.
impl From<DirectoryError> for Refusal {
    fn from(error: DirectoryError) -> Self {
        let code = match &error {
            DirectoryError::Topic(TopicError::NotCreated { .. }) => response::TOPIC_NOT_EXIST,
            DirectoryError::Topic(TopicError::IllegalName(_) | TopicError::SystemTopic(_)) => {
                response::INVALID_PARAMETER
            }
            DirectoryError::Group(GroupError::Missing(_)) => response::SUBSCRIPTION_GROUP_NOT_EXIST,
            _ => response::SYSTEM_ERROR,
        };
        Self::new(code, error.to_string())
    }
}

/// What a pull is told about the result of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullOutcome {
    /// Response code.
    pub code: i32,
    /// Apache's name of the result, which clients show.
    pub remark: &'static str,
}

impl PullOutcome {
    /// The outcome of a read that started at `from`.
    ///
    /// An empty or unknown queue is nothing special to a consumer that begins at 0; one that
    /// expects more there has to move.
    pub fn of(status: ReadStatus, from: i64) -> Self {
        use response::{PULL_NOT_FOUND, PULL_OFFSET_MOVED, PULL_RETRY_IMMEDIATELY, SUCCESS};
        let empty = if from == 0 { PULL_NOT_FOUND } else { PULL_OFFSET_MOVED };
        let (code, remark) = match status {
            ReadStatus::Found => (SUCCESS, "FOUND"),
            ReadStatus::NoMatchedMessage => (PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE"),
            ReadStatus::MessageWasRemoving => (PULL_RETRY_IMMEDIATELY, "MESSAGE_WAS_REMOVING"),
            ReadStatus::OffsetOverflowOne => (PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE"),
            ReadStatus::OffsetOverflowBadly => (PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY"),
            ReadStatus::OffsetTooSmall => (PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL"),
            ReadStatus::NoMessageInQueue => (empty, "NO_MESSAGE_IN_QUEUE"),
            ReadStatus::NoMatchedQueue => (empty, "NO_MATCHED_LOGIC_QUEUE"),
        };
        Self { code, remark }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_that_another_broker_may_take_says_so_by_its_code() {
        let refusal = Refusal::from(AppendError::OutOfPositions);
        assert_eq!(refusal.code, response::SERVICE_NOT_AVAILABLE);
        assert!(refusal.remark.contains("another broker"), "{}", refusal.remark);
    }

    #[test]
    fn a_refusal_for_lack_of_room_names_the_limit_and_what_helps() {
        let refusal = Refusal::no_room_for_progress();
        assert!(refusal.remark.contains("64 MiB"), "{}", refusal.remark);
        assert!(refusal.remark.contains("delete"), "{}", refusal.remark);
    }

    #[test]
    fn an_empty_queue_moves_only_consumers_that_expect_messages_there() {
        for status in [ReadStatus::NoMessageInQueue, ReadStatus::NoMatchedQueue] {
            assert_eq!(PullOutcome::of(status, 0).code, response::PULL_NOT_FOUND);
            assert_eq!(PullOutcome::of(status, 5).code, response::PULL_OFFSET_MOVED);
        }
    }
}
