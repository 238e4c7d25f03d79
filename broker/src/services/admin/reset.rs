//! Reset of a group's progress (222), carried out here: no consumer has to be online.
//!
//! The new offset is on disk when the tool is answered. Pulls of the group are told it by
//! PULL_OFFSET_MOVED until one begins there, and until then commits of the old position are
//! dropped, so that a running consumer does not undo the reset, nor one that never got its answer
//! (`ringmq_store::resets`).

use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::bodies::offset::ResetOffsetBody;
use ringmq_protocol::codes::response;
use ringmq_protocol::headers::client::ResetOffsetRequest;

use super::super::control::{Reaction, decode, json_answer};
use super::Parts;
use super::all_shards::{self, Progress, Queues};
use super::change_progress::{self, NotSet};
use super::group::no_group;
use crate::outcome::Refusal;

/// What is asked for, owned.
struct Wanted {
    topic: String,
    group: String,
    /// None for all queues.
    queue_id: Option<i32>,
    goal: Goal,
}

/// Where the group is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// At this offset of the queue that is named.
    Offset(i64),
    /// At what was stored then or later, Unix time in milliseconds; behind all messages where there
    /// is nothing.
    Time(i64),
    /// Behind all messages.
    End,
}

impl Goal {
    /// An offset is one of a queue: it counts where one is named, and the time elsewhere.
    fn of(queue_id: Option<i32>, offset: Option<i64>, timestamp_ms: i64) -> Self {
        match (queue_id, offset) {
            (Some(_), Some(offset)) => Self::Offset(offset),
            _ if timestamp_ms < 0 => Self::End,
            _ => Self::Time(timestamp_ms),
        }
    }
}

pub(super) fn reset(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let request: ResetOffsetRequest<'_> = decode(command)?;
    let queue_id = (request.queue_id >= 0).then_some(request.queue_id);
    let offset = request.offset.filter(|offset| *offset >= 0);
    let goal = Goal::of(queue_id, offset, request.timestamp_ms);
    let (topic, group) = (request.topic.to_owned(), request.group.to_owned());
    let wanted = Wanted { topic, group, queue_id, goal };
    let parts = Rc::clone(parts);
    Ok(Reaction::gathered(async move {
        let targets = targets(&parts, &wanted).await?;
        change_progress::set(&parts.data, targets.clone()).await.map_err(
            |reason| match reason {
                NotSet::NoTopic(topic) => Refusal::no_topic(&topic),
                NotSet::NoRoom => Refusal::no_room_for_progress(),
                NotSet::NotSaved(problem) => Refusal::failed(problem),
            },
        )?;
        tracing::info!(group = wanted.group, topic = wanted.topic, "progress reset by request");
        let mut body = ResetOffsetBody::default();
        for target in targets {
            let broker_name = parts.broker_name().to_owned();
            let (topic, queue_id) = (target.topic, target.queue_id);
            body.offset_table.insert(MessageQueue { broker_name, queue_id, topic }, target.offset);
        }
        json_answer(&body)
    }))
}

async fn targets(parts: &Rc<Parts>, wanted: &Wanted) -> Result<Vec<Progress>, Refusal> {
    let Some(topic) = parts.directory.topics().get(&wanted.topic).cloned() else {
        return Err(Refusal::no_topic(&wanted.topic));
    };
    if parts.directory.groups().get(&wanted.group).is_none() {
        return Err(no_group(&wanted.group));
    }
    let queues: Vec<i32> = match wanted.queue_id {
        Some(queue_id) => vec![queue_id],
        None => (0..topic.read_queue_nums).collect(),
    };
    let bounds = all_shards::bounds(&parts.data, vec![wanted.topic.clone()]).await;
    let found = match wanted.goal {
        Goal::Time(time_ms) => {
            all_shards::offsets_at(&parts.data, &wanted.topic, queues.clone(), time_ms).await
        }
        Goal::Offset(_) | Goal::End => Queues::default(),
    };
    let mut targets = Vec::new();
    for queue_id in queues {
        let queue = (wanted.topic.clone(), queue_id);
        let held = bounds.get(&queue).copied().unwrap_or_default();
        let offset = match wanted.goal {
            Goal::Offset(offset) if offset < held.min || offset > held.max + 1 => {
                return Err(out_of_range(offset, held.min, held.max));
            }
            Goal::Offset(offset) => offset,
            Goal::Time(_) => found.get(&queue).copied().unwrap_or(held.max),
            Goal::End => held.max,
        };
        let (group, topic) = (wanted.group.clone(), queue.0);
        targets.push(Progress { group, topic, queue_id, offset });
    }
    if targets.is_empty() {
        let remark = format!("topic {} has no queue to reset", wanted.topic);
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    }
    Ok(targets)
}

fn out_of_range(offset: i64, min: i64, max: i64) -> Refusal {
    let remark = format!("Target offset {offset} not in consume queue range [{min}-{max}]");
    Refusal::new(response::SYSTEM_ERROR, remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_counts_for_one_queue_and_a_negative_time_is_the_end() {
        for (queue_id, offset, timestamp_ms, expected) in [
            (Some(1), Some(5), -1, Goal::Offset(5)),
            (Some(1), Some(5), 100, Goal::Offset(5)),
            (Some(1), None, 100, Goal::Time(100)),
            (Some(1), None, -1, Goal::End),
            (None, Some(5), 100, Goal::Time(100)),
            (None, Some(5), -1, Goal::End),
            (None, None, 0, Goal::Time(0)),
        ] {
            let goal = Goal::of(queue_id, offset, timestamp_ms);
            assert_eq!(goal, expected, "{queue_id:?} {offset:?} {timestamp_ms}");
        }
    }
}
