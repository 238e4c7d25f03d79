//! Consumers' progress and the bounds of queues: codes 14, 15, 29, 30, 31, 32.
//!
//! Progress is kept with the log that holds the queue, so it stays with it whatever the number of
//! shards. A commit is in memory when it is answered and on disk within
//! `flushConsumerOffsetInterval`; the last writer wins, and progress may go back. Commits of a
//! position that is void are answered SUCCESS and dropped: see the store's `resets` and
//! `survivors`.

use std::rc::Rc;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::offset::{
    MaxOffsetRequest, OffsetResponse, QueryOffsetRequest, QueueRequest, SearchOffsetRequest,
    TimestampResponse, UpdateOffsetRequest,
};
use ringmq_protocol::{Command, Header, WriteHeader};
use ringmq_store::{QueueOffset, ReadError, ReadLimits, ReadQuery, ReadStatus, TimeBoundary};

use crate::logs::OwnedLog;
use crate::outcome::Refusal;
use crate::services::control::decode;
use crate::services::{Request, slow};
use crate::shard::DataPlane;
use crate::subscription_groups;
use crate::survivors::MemberQueue;

/// A queue whose first message lies at most this far behind the end of its log is young: a group
/// without progress starts at its beginning, so that little is skipped that was sent while the
/// group came up. Apache asks whether that message is still in the page cache; this is what a small
/// machine's cache holds. A queue without messages is not young, there as here: its group asks for
/// the end next, and what is sent between the two questions lies before its start.
const YOUNG_BYTES: u64 = 1 << 30;

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
pub fn serve(data: &Rc<DataPlane>, owned: &Rc<OwnedLog>, request: Request<'_, '_>) {
    let served = match request.command.code {
        request::QUERY_CONSUMER_OFFSET => query(data, owned, request),
        request::UPDATE_CONSUMER_OFFSET => update(data, owned, request),
        request::SEARCH_OFFSET_BY_TIMESTAMP => search(data, owned, request),
        request::GET_MAX_OFFSET => max(owned, request),
        request::GET_MIN_OFFSET => min(owned, request),
        request::GET_EARLIEST_MSG_STORETIME => earliest(data, owned, request),
        code => unreachable!("code {code} is not routed to a log"),
    };
    if let Err(refusal) = served {
        request.refuse(&refusal);
    }
}

fn reply(request: Request<'_, '_>, header: &impl WriteHeader) {
    request.peer.reply(&request.to(), response::SUCCESS, None, header, &[]);
}

fn reply_offset(request: Request<'_, '_>, offset: QueueOffset) {
    reply(request, &OffsetResponse { offset: offset.wire() });
}

fn query(
    data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    request: Request<'_, '_>,
) -> Result<(), Refusal> {
    let header: QueryOffsetRequest<'_> = decode(request.command)?;
    let queue_id = header.queue_id;
    if let Some(offset) = owned.committed(header.consumer_group, header.topic, queue_id) {
        reply_offset(request, offset);
        return Ok(());
    }
    let (min, max) = owned.range(header.topic, queue_id);
    let may_be_young = header.set_zero_if_not_found != Some(false) && min.0 == 0 && max.0 > 0;
    if !may_be_young {
        return Err(no_progress(header.consumer_group));
    }
    let owned = Rc::clone(owned);
    let (group, topic) = (header.consumer_group.to_owned(), header.topic.to_owned());
    slow::answer(data, request, move |_| async move {
        match is_young(&owned, &topic, queue_id).await.map_err(Refusal::failed)? {
            true => Ok((OffsetResponse { offset: 0 }, Vec::new())),
            false => Err(no_progress(&group)),
        }
    });
    Ok(())
}

/// Whether the first message of a queue lies near the end of its log.
async fn is_young(owned: &OwnedLog, topic: &str, queue_id: i32) -> Result<bool, ReadError> {
    let (from, limits) = (QueueOffset(0), ReadLimits::asked(1));
    let query = ReadQuery { topic, queue_id, from, limits };
    let read = owned.log.read(&query, &mut |_| true, &mut Vec::new()).await?;
    // A message that is lost is passed over, and is as old as one that is found.
    let has_passed = matches!(read.status, ReadStatus::Found | ReadStatus::NoMatchedMessage);
    Ok(has_passed && read.next_offset > from && read.behind_bytes <= YOUNG_BYTES)
}

fn no_progress(group: &str) -> Refusal {
    Refusal::new(
        response::QUERY_NOT_FOUND,
        format!("consumer group {group} has no progress on this queue yet, maybe it is new"),
    )
}

fn update(data: &Rc<DataPlane>, owned: &OwnedLog, request: Request<'_, '_>) -> Result<(), Refusal> {
    let header: UpdateOffsetRequest<'_> = decode(request.command)?;
    let view = data.local.view();
    let Some(topic) = view.topic(header.topic) else { return Err(Refusal::no_topic(header.topic)) };
    let queue_id = header.queue_id;
    if i64::from(queue_id) >= topic.queues().into() {
        return Err(Refusal::no_queue(queue_id, topic));
    }
    let group = header.consumer_group;
    if view.group(group).is_none() {
        let may_be_made = subscription_groups::check_made_by_use(group, view.settings());
        may_be_made.map_err(Refusal::unknown_group)?;
    }
    let (host, topic) = (request.peer.peer_addr().ip(), header.topic);
    if !owned.commit(MemberQueue { host, group, topic, queue_id }, header.commit_offset) {
        return Err(Refusal::no_room_for_progress());
    }
    if view.group(group).is_none() {
        data.want_group(group);
    }
    reply(request, &());
    Ok(())
}

fn search(
    data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    request: Request<'_, '_>,
) -> Result<(), Refusal> {
    let header: SearchOffsetRequest<'_> = decode(request.command)?;
    let (queue_id, timestamp_ms) = (header.queue_id, header.timestamp_ms);
    let boundary = match header.boundary_type {
        Some(name) if name.eq_ignore_ascii_case("upper") => TimeBoundary::Upper,
        _ => TimeBoundary::Lower,
    };
    let (owned, topic) = (Rc::clone(owned), header.topic.to_owned());
    let host = request.peer.peer_addr().ip();
    slow::answer(data, request, move |_| async move {
        let found = owned.log.offset_by_time(&topic, queue_id, timestamp_ms, boundary).await;
        let offset = found.map_err(Refusal::failed)?.unwrap_or(QueueOffset(0));
        owned.give_any_group(host, &topic, queue_id, offset);
        Ok((OffsetResponse { offset: offset.wire() }, Vec::new()))
    });
    Ok(())
}

fn max(owned: &OwnedLog, request: Request<'_, '_>) -> Result<(), Refusal> {
    let header: MaxOffsetRequest<'_> = decode(request.command)?;
    let (_, max) = owned.range(header.topic, header.queue_id);
    let host = request.peer.peer_addr().ip();
    owned.give_any_group(host, header.topic, header.queue_id, max);
    reply_offset(request, max);
    Ok(())
}

fn min(owned: &OwnedLog, request: Request<'_, '_>) -> Result<(), Refusal> {
    let header: QueueRequest<'_> = decode(request.command)?;
    let (min, _) = owned.range(header.topic, header.queue_id);
    reply_offset(request, min);
    Ok(())
}

fn earliest(
    data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    request: Request<'_, '_>,
) -> Result<(), Refusal> {
    let header: QueueRequest<'_> = decode(request.command)?;
    let (owned, topic, queue_id) = (Rc::clone(owned), header.topic.to_owned(), header.queue_id);
    slow::answer(data, request, move |_| async move {
        let found = owned.log.earliest_stored_at_ms(&topic, queue_id).await;
        let timestamp_ms = found.map_err(Refusal::failed)?.unwrap_or(-1);
        Ok((TimestampResponse { timestamp_ms }, Vec::new()))
    });
    Ok(())
}
