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
use super::all_shards::{self, Progress};
use super::change_progress::{self, NotSet};
use super::group::no_group;
use crate::outcome::Refusal;

/// What is asked for, owned.
struct Wanted {
    topic: String,
    group: String,
    queue_id: Option<i32>,
    offset: Option<i64>,
    timestamp_ms: i64,
}

pub(super) fn reset(parts: &Rc<Parts>, command: &Command<'_>) -> Reaction {
    let request: ResetOffsetRequest<'_> = match decode(command) {
        Ok(request) => request,
        Err(refusal) => return Reaction::Now(Err(refusal)),
    };
    let wanted = Wanted {
        topic: request.topic.to_owned(),
        group: request.group.to_owned(),
        queue_id: (request.queue_id >= 0).then_some(request.queue_id),
        offset: request.offset.filter(|offset| *offset >= 0),
        timestamp_ms: request.timestamp_ms,
    };
    let parts = Rc::clone(parts);
    Reaction::gathered(async move {
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
    })
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
    let by_time = wanted.queue_id.is_none() || wanted.offset.is_none();
    let found = if by_time && wanted.timestamp_ms >= 0 {
        all_shards::offsets_at(&parts.data, &wanted.topic, queues.clone(), wanted.timestamp_ms)
            .await
    } else {
        Default::default()
    };
    let mut targets = Vec::new();
    for queue_id in queues {
        let held = bounds.get(&(wanted.topic.clone(), queue_id)).copied().unwrap_or_default();
        let offset = match wanted.offset {
            Some(offset) if wanted.queue_id.is_some() => {
                if offset < held.min || offset > held.max + 1 {
                    return Err(out_of_range(offset, held.min, held.max));
                }
                offset
            }
            _ if wanted.timestamp_ms < 0 => held.max,
            _ => found.get(&(wanted.topic.clone(), queue_id)).copied().unwrap_or(held.max),
        };
        let (group, topic) = (wanted.group.clone(), wanted.topic.clone());
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
