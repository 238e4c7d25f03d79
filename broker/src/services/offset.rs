//! Consumers' progress and the bounds of queues: codes 14, 15, 29, 30, 31, 32.
//!
//! Progress is kept with the log that holds the queue, so it stays with it whatever the number of
//! shards. A commit is in memory when it is answered and on disk within
//! `flushConsumerOffsetInterval`; the last writer wins, and progress may go back.

use std::rc::Rc;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::offset::{
    MaxOffsetRequest, OffsetResponse, QueryOffsetRequest, QueueRequest, SearchOffsetRequest,
    TimestampResponse, UpdateOffsetRequest,
};
use ringmq_protocol::{Command, Header};
use ringmq_remoting::ReplyTo;
use ringmq_store::{QueueOffset, ReadError, ReadLimits, TimeBoundary};

use crate::logs::OwnedLog;
use crate::names;
use crate::outcome::Refusal;
use crate::peer::Peer;
use crate::services::{control::decode, slow};
use crate::shard::DataPlane;

/// A queue whose first message lies at most this far behind the end of its log is young: a group
/// without progress starts at its beginning, so that nothing is skipped that was sent while the
/// group came up. Apache asks whether that message is still in the page cache; this is what a small
/// machine's cache holds.
const YOUNG_BYTES: u64 = 1 << 30;

/// What a request holds while it waits for the device, beside the names in it.
const KEPT_BYTES: usize = 512;

/// Why a request does not say which queue it is about.
pub fn explain_malformed(command: &Command<'_>) -> Refusal {
    let fields = &command.fields;
    match command.code {
        request::QUERY_CONSUMER_OFFSET => super::malformed(QueryOffsetRequest::decode(fields)),
        request::UPDATE_CONSUMER_OFFSET => super::malformed(UpdateOffsetRequest::decode(fields)),
        request::SEARCH_OFFSET_BY_TIMESTAMP => {
            super::malformed(SearchOffsetRequest::decode(fields))
        }
        _ => super::malformed(QueueRequest::decode(fields)),
    }
}

/// Serves a request about a queue of `owned`.
pub fn serve(data: &Rc<DataPlane>, owned: &Rc<OwnedLog>, peer: &Peer, command: &Command<'_>) {
    let to = ReplyTo::of(command);
    let served = match command.code {
        request::QUERY_CONSUMER_OFFSET => query(data, owned, peer, to, command),
        request::UPDATE_CONSUMER_OFFSET => update(data, owned, peer, to, command),
        request::SEARCH_OFFSET_BY_TIMESTAMP => search(data, owned, peer, to, command),
        request::GET_MAX_OFFSET => max(owned, peer, to, command),
        request::GET_MIN_OFFSET => min(owned, peer, to, command),
        request::GET_EARLIEST_MSG_STORETIME => earliest(data, owned, peer, to, command),
        code => unreachable!("code {code} is not routed to a log"),
    };
    if let Err(refusal) = served {
        peer.refuse(&to, &refusal);
    }
}

fn reply_offset(peer: &Peer, to: &ReplyTo, offset: i64) {
    peer.reply(to, response::SUCCESS, None, &OffsetResponse { offset }, &[]);
}

fn query(
    data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    peer: &Peer,
    to: ReplyTo,
    command: &Command<'_>,
) -> Result<(), Refusal> {
    let header: QueryOffsetRequest<'_> = decode(command)?;
    let queue_id = header.queue_id;
    if let Some(offset) = owned.committed(header.consumer_group, header.topic, queue_id) {
        reply_offset(peer, &to, offset.wire());
        return Ok(());
    }
    let (min, max) = owned.range(header.topic, queue_id);
    let may_be_young = header.set_zero_if_not_found != Some(false) && min.0 == 0 && max.0 > 0;
    if !may_be_young {
        return Err(no_progress(header.consumer_group));
    }
    let (owned, asker) = (Rc::clone(owned), peer.clone());
    let (group, topic) = (header.consumer_group.to_owned(), header.topic.to_owned());
    let find_out = async move {
        match is_young(&owned, &topic, queue_id).await {
            Ok(true) => reply_offset(&asker, &to, 0),
            Ok(false) => asker.refuse(&to, &no_progress(&group)),
            Err(error) => asker.refuse(&to, &Refusal::failed(&error)),
        }
    };
    let bytes = KEPT_BYTES + header.topic.len() + header.consumer_group.len();
    slow::run(data, peer, &to, bytes, |_| find_out);
    Ok(())
}

/// Whether the first message of a queue lies near the end of its log.
async fn is_young(owned: &OwnedLog, topic: &str, queue_id: i32) -> Result<bool, ReadError> {
    let (limits, mut first) = (ReadLimits::asked(1), Vec::new());
    let from = QueueOffset(0);
    let read = owned.log.read(topic, queue_id, from, limits, &mut |_| true, &mut first).await?;
    Ok(read.count > 0 && read.behind_bytes <= YOUNG_BYTES)
}

fn no_progress(group: &str) -> Refusal {
    Refusal::new(
        response::QUERY_NOT_FOUND,
        format!("consumer group {group} has no progress on this queue yet, maybe it is new"),
    )
}

fn update(
    data: &Rc<DataPlane>,
    owned: &OwnedLog,
    peer: &Peer,
    to: ReplyTo,
    command: &Command<'_>,
) -> Result<(), Refusal> {
    let header: UpdateOffsetRequest<'_> = decode(command)?;
    let view = data.view();
    let Some(topic) = view.topic(header.topic) else { return Err(Refusal::no_topic(header.topic)) };
    let queue_id = header.queue_id;
    if i64::from(queue_id) >= topic.read_queues.max(topic.write_queues).into() {
        return Err(Refusal::invalid_parameter(format!(
            "queueId {queue_id} does not exist, topic {} has {} queues",
            topic.name, topic.read_queues
        )));
    }
    let group = header.consumer_group;
    if view.group(group).is_none() {
        let is_off = !view.settings().auto_create_subscription_group;
        let problem = names::check_group(group).err();
        if is_off || problem.is_some() {
            let remark = problem.unwrap_or_else(|| format!("group {group} does not exist"));
            return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
        }
    }
    owned.commit(group, header.topic, queue_id, header.commit_offset);
    if view.group(group).is_none() {
        data.want_group(group);
    }
    peer.reply(&to, response::SUCCESS, None, &(), &[]);
    Ok(())
}

fn search(
    data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    peer: &Peer,
    to: ReplyTo,
    command: &Command<'_>,
) -> Result<(), Refusal> {
    let header: SearchOffsetRequest<'_> = decode(command)?;
    let queue_id = header.queue_id;
    let boundary = match header.boundary_type {
        Some(name) if name.eq_ignore_ascii_case("upper") => TimeBoundary::Upper,
        _ => TimeBoundary::Lower,
    };
    let (owned, asker, topic) = (Rc::clone(owned), peer.clone(), header.topic.to_owned());
    let timestamp_ms = header.timestamp_ms;
    let search = async move {
        match owned.log.offset_by_time(&topic, queue_id, timestamp_ms, boundary).await {
            Ok(offset) => reply_offset(&asker, &to, offset.map_or(0, QueueOffset::wire)),
            Err(error) => asker.refuse(&to, &Refusal::failed(&error)),
        }
    };
    slow::run(data, peer, &to, KEPT_BYTES + header.topic.len(), |_| search);
    Ok(())
}

fn max(owned: &OwnedLog, peer: &Peer, to: ReplyTo, command: &Command<'_>) -> Result<(), Refusal> {
    let header: MaxOffsetRequest<'_> = decode(command)?;
    let (_, max) = owned.range(header.topic, header.queue_id);
    reply_offset(peer, &to, max.wire());
    Ok(())
}

fn min(owned: &OwnedLog, peer: &Peer, to: ReplyTo, command: &Command<'_>) -> Result<(), Refusal> {
    let header: QueueRequest<'_> = decode(command)?;
    let (min, _) = owned.range(header.topic, header.queue_id);
    reply_offset(peer, &to, min.wire());
    Ok(())
}

fn earliest(
    data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    peer: &Peer,
    to: ReplyTo,
    command: &Command<'_>,
) -> Result<(), Refusal> {
    let header: QueueRequest<'_> = decode(command)?;
    let queue_id = header.queue_id;
    let (owned, asker, topic) = (Rc::clone(owned), peer.clone(), header.topic.to_owned());
    let look = async move {
        match owned.log.earliest_store_ms(&topic, queue_id).await {
            Ok(stored_at_ms) => {
                let header = TimestampResponse { timestamp_ms: stored_at_ms.unwrap_or(-1) };
                asker.reply(&to, response::SUCCESS, None, &header, &[]);
            }
            Err(error) => asker.refuse(&to, &Refusal::failed(&error)),
        }
    };
    slow::run(data, peer, &to, KEPT_BYTES + header.topic.len(), |_| look);
    Ok(())
}
