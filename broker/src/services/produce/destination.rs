//! Where a send goes, decided from the request and the view alone.
//!
//! Runs where the request arrives and again on the owner of the queue, since shards may know a
//! topic at different moments.

use std::sync::Arc;

use ringmq_protocol::Command;
use ringmq_protocol::codes::response;
use ringmq_protocol::headers::send::SendRequest;
use ringmq_protocol::names::{dead_letter_topic, group_of_retry_topic, is_for_retries, topic_flag};
use ringmq_runtime::clock;

use super::decode;
use crate::control::TopicWanted;
use crate::names;
use crate::outcome::Refusal;
use crate::view::{Topic, View};

/// Queues of a retry or dead-letter topic that is created on the way.
const RETRY_QUEUES: u32 = 1;

/// Senders below this version put their group's limit of retries nowhere: the group's own counts.
const RETRIES_IN_HEADER_SINCE: i32 = 121;

/// Where a send goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To this queue of this topic.
    Queue(Arc<Topic>, i32),
    /// To a queue of this topic that the broker chooses; there is one to write to.
    AnyQueueOf(Arc<Topic>),
    /// To a topic that has to be created first.
    NewTopic(TopicWanted),
}

/// Decides where a send to `topic` goes. Allocates only for topics that do not exist.
///
/// # Errors
/// The topic's name is not allowed, is not for clients, or nobody may create it; the queue does not
/// exist.
pub fn destination(
    view: &View,
    command: &Command<'_>,
    topic: &str,
    queue_id: i32,
) -> Result<Destination, Refusal> {
    let Some(group) = group_of_retry_topic(topic) else {
        return in_topic(view, command, topic, queue_id);
    };
    if retries_end(view, command, &decode(command)?, group)? {
        return in_topic(view, command, &dead_letter_topic(group), 0);
    }
    in_topic(view, command, topic, queue_id)
}

fn in_topic(
    view: &View,
    command: &Command<'_>,
    name: &str,
    queue_id: i32,
) -> Result<Destination, Refusal> {
    let Some(topic) = view.topic(name) else { return new_topic(view, command, name) };
    if names::is_closed_to_clients(name) {
        return Err(Refusal::no_permission(format!("topic {name} is written by the broker only")));
    }
    let Ok(number) = u32::try_from(queue_id) else {
        if topic.write_queues == 0 {
            // Apache's code (it divides by that number), with which producers try another broker.
            return Err(Refusal::new(
                response::SYSTEM_ERROR,
                format!("topic {name} has no queue to write to on this broker (writeQueueNums=0)"),
            ));
        }
        return Ok(Destination::AnyQueueOf(Arc::clone(topic)));
    };
    if number >= topic.queues() {
        return Err(Refusal::no_queue(queue_id, topic));
    }
    Ok(Destination::Queue(Arc::clone(topic), queue_id))
}

fn new_topic(view: &View, command: &Command<'_>, name: &str) -> Result<Destination, Refusal> {
    names::check_topic(name).map_err(Refusal::invalid_parameter)?;
    if names::is_closed_to_clients(name) {
        return Err(Refusal::no_permission(format!("topic {name} is written by the broker only")));
    }
    let is_for_retries = is_for_retries(name);
    if !is_for_retries && !view.settings().auto_create_topic_enable {
        return Err(Refusal::no_topic(name));
    }
    let header = decode(command)?;
    let (template, queues) = if is_for_retries {
        ("", RETRY_QUEUES)
    } else {
        let queues = u32::try_from(header.default_topic_queue_nums).unwrap_or(1).max(1);
        (header.default_topic, queues)
    };
    Ok(Destination::NewTopic(TopicWanted {
        name: name.to_owned(),
        template: template.to_owned(),
        queues,
        sys_flag: if header.unit_mode { unit_flag(name) } else { 0 },
        wanted_by: String::new(),
    }))
}

/// What a topic is that a client in unit mode has made.
fn unit_flag(name: &str) -> i32 {
    let is_subscribed = group_of_retry_topic(name).is_some();
    if is_subscribed { topic_flag::UNIT_SUBSCRIPTION } else { topic_flag::UNIT }
}

/// Whether a message that a consumer sends back has been tried often enough, or belongs to an
/// ordered group, which must not have it delivered out of turn.
fn retries_end(
    view: &View,
    command: &Command<'_>,
    header: &SendRequest<'_>,
    group_name: &str,
) -> Result<bool, Refusal> {
    let Some(group) = view.group(group_name) else {
        let problem = format!("consumer group {group_name} does not exist on this broker");
        return Err(Refusal::unknown_group(problem));
    };
    let retries_max = match header.max_reconsume_times {
        Some(retries_max) if command.version >= RETRIES_IN_HEADER_SINCE => retries_max,
        _ => group.retries_max,
    };
    let holds_locks =
        group.live.as_ref().is_some_and(|live| live.locked_until_ms > clock::unix_ms());
    Ok(holds_locks || header.reconsume_times > retries_max)
}
