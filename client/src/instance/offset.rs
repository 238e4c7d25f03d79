//! Offsets of queues, and of groups in them, as brokers know them.

use ringmq_protocol::codes::request;
use ringmq_protocol::headers::offset::{
    MaxOffsetRequest, OffsetResponse, QueryOffsetRequest, QueueRequest, SearchOffsetRequest,
    TimestampResponse, UpdateOffsetRequest,
};
use ringmq_protocol::{Command, Header};

use super::server::{Read, expect_success, malformed};
use super::{Instance, Server};
use crate::error::Fault;
use crate::queue::MessageQueue;

/// A place in a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// The oldest message.
    Oldest,
    /// One past the newest message.
    End,
    /// The first message stored at or after this Unix time in milliseconds.
    StoredAt(i64),
    /// What this group consumes next, as the broker stores it; code 22 when it stores nothing.
    NextOf(&'a str),
}

/// How offsets are sent to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// One-way: the timer repeats it anyway.
    Tell,
    /// With an answer, one after the other: when a queue is handed on, its next owner must find the
    /// offset. (Apache's broker loses one of two commits that meet in a new group.)
    Confirm,
}

impl Instance {
    /// The offset of a place in a queue.
    pub(crate) async fn offset_of(
        &self,
        broker: &Server,
        queue: &MessageQueue,
        place: Place<'_>,
    ) -> Result<i64, Fault> {
        let (topic, queue_id) = (&*queue.topic, queue.queue_id);
        let broker_name = Some(&*queue.broker_name);
        match place {
            Place::Oldest => {
                let header = QueueRequest { topic, queue_id, broker_name };
                self.ask(broker, request::GET_MIN_OFFSET, &header, read_offset).await
            }
            Place::End => {
                let header = MaxOffsetRequest { topic, queue_id, committed: true, broker_name };
                self.ask(broker, request::GET_MAX_OFFSET, &header, read_offset).await
            }
            Place::StoredAt(timestamp_ms) => {
                let header = SearchOffsetRequest {
                    topic,
                    queue_id,
                    timestamp_ms,
                    boundary_type: None,
                    lite_topic: None,
                    broker_name,
                };
                self.ask(broker, request::SEARCH_OFFSET_BY_TIMESTAMP, &header, read_offset).await
            }
            Place::NextOf(consumer_group) => {
                let header = QueryOffsetRequest {
                    consumer_group,
                    topic,
                    queue_id,
                    set_zero_if_not_found: None,
                    broker_name,
                };
                self.ask(broker, request::QUERY_CONSUMER_OFFSET, &header, read_offset).await
            }
        }
    }

    /// When the oldest message of a queue was stored, Unix time in milliseconds; -1: it is empty.
    pub(crate) async fn earliest_stored_at_ms(
        &self,
        broker: &Server,
        queue: &MessageQueue,
    ) -> Result<i64, Fault> {
        let header = QueueRequest {
            topic: &queue.topic,
            queue_id: queue.queue_id,
            broker_name: Some(&queue.broker_name),
        };
        let read: Read<i64> = |answer| {
            expect_success(answer)?;
            TimestampResponse::decode(&answer.fields)
                .map(|header| header.timestamp_ms)
                .map_err(malformed)
        };
        self.ask(broker, request::GET_EARLIEST_MSG_STORETIME, &header, read).await
    }

    /// Has the broker store what the group consumes next.
    pub(crate) async fn store_offset(
        &self,
        broker: &Server,
        group: &str,
        queue: &MessageQueue,
        offset: i64,
        how: Commit,
    ) -> Result<(), Fault> {
        let header = UpdateOffsetRequest {
            consumer_group: group,
            topic: &queue.topic,
            queue_id: queue.queue_id,
            commit_offset: offset,
            broker_name: Some(&queue.broker_name),
        };
        let code = request::UPDATE_CONSUMER_OFFSET;
        match how {
            Commit::Tell => self.tell(broker, code, &header, &[]).await,
            Commit::Confirm => self.ask(broker, code, &header, expect_success).await,
        }
    }
}

fn read_offset(answer: &Command<'_>) -> Result<i64, Fault> {
    expect_success(answer)?;
    OffsetResponse::decode(&answer.fields).map(|header| header.offset).map_err(malformed)
}
