//! What a member of a group asks of brokers, typed.

use std::time::Duration;

use bytes::Bytes;
use ringmq_protocol::bodies::heartbeat::ConsumerList;
use ringmq_protocol::bodies::lock::{LockBatchRequest, LockBatchResponse};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::client::{ConsumerGroupRequest, UnregisterClientRequest};
use ringmq_protocol::headers::pull::{self, PullResponse, pull_flag};
use ringmq_protocol::headers::send::SendBackRequest;
use ringmq_protocol::names::MASTER_ID;
use ringmq_protocol::{Command, Header, WriteHeader, json};

use super::name_servers::read_json;
use super::server::{Read, expect_success, malformed, refusal};
use super::{Instance, Server};
use crate::consumer::subscription::Filter;
use crate::error::Fault;
use crate::queue::MessageQueue;
use crate::received::ReceivedMessage;

/// Longest wait for a lock (Java: 1 s): a queue that cannot be locked at once is tried again.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// One pull.
pub(crate) struct Pull<'a> {
    pub(crate) group: &'a str,
    pub(crate) queue: &'a MessageQueue,
    pub(crate) offset: i64,
    pub(crate) messages_max: i32,
    /// Consumed offset to store on the way.
    pub(crate) commit: Option<i64>,
    /// How long the broker may wait for a message.
    pub(crate) hold: Duration,
    pub(crate) filter: &'a Filter,
    pub(crate) version: i64,
    pub(crate) is_lite: bool,
}

/// What a pull brought: one of the codes 0, 19, 20 and 21.
#[derive(Debug)]
pub(crate) struct PullAnswer {
    pub(crate) code: i32,
    pub(crate) suggested_broker: i64,
    pub(crate) next_offset: i64,
    /// Messages, one behind the other.
    pub(crate) body: Bytes,
}

impl Instance {
    /// A broker to ask about `queue`: its master, or a slave while there is none.
    pub(crate) fn broker(&self, queue: &MessageQueue) -> Result<Server, Fault> {
        self.reader(queue, MASTER_ID).map(|(server, _)| server)
    }

    /// Pulls messages.
    pub(crate) async fn pull(
        &self,
        broker: &Server,
        wanted: &Pull<'_>,
    ) -> Result<PullAnswer, Fault> {
        let mut sys_flag = pull_flag::SUBSCRIPTION;
        let flags = [
            (wanted.commit.is_some(), pull_flag::COMMIT_OFFSET),
            (!wanted.hold.is_zero(), pull_flag::SUSPEND),
            (wanted.is_lite, pull_flag::LITE_PULL),
        ];
        flags.iter().filter(|(is_set, _)| *is_set).for_each(|(_, flag)| sys_flag |= flag);
        let expression = wanted.filter.expression();
        let header = pull::PullRequest {
            consumer_group: wanted.group,
            topic: &wanted.queue.topic,
            queue_id: wanted.queue.queue_id,
            queue_offset: wanted.offset,
            max_msg_nums: wanted.messages_max,
            sys_flag,
            commit_offset: wanted.commit.unwrap_or(0),
            suspend_timeout_ms: i64::try_from(wanted.hold.as_millis()).unwrap_or(i64::MAX),
            subscription: Some(&expression),
            sub_version: wanted.version,
            expression_type: Some(wanted.filter.kind()),
            max_msg_bytes: None,
            request_source: None,
            proxy_forward_client_id: None,
            lite_topic: None,
            broker_name: Some(&wanted.queue.broker_name),
        };
        let code = match wanted.is_lite {
            true => request::LITE_PULL_MESSAGE,
            false => request::PULL_MESSAGE,
        };
        // The broker walks over held requests every few seconds, so its answer may be late.
        let timeout = self.config.call_timeout.max(wanted.hold * 2);
        self.call(broker, code, &header, &[], timeout, read_pull).await
    }

    /// Client ids of all members of a group.
    pub(crate) async fn members_of(
        &self,
        broker: &Server,
        group: &str,
    ) -> Result<Vec<String>, Fault> {
        let header = ConsumerGroupRequest { consumer_group: group };
        let read: Read<ConsumerList> = read_json;
        let list = self.ask(broker, request::GET_CONSUMER_LIST_BY_GROUP, &header, read).await?;
        Ok(list.consumer_id_list)
    }

    /// Locks queues for this client, or confirms its locks; answers with those that are its now.
    pub(crate) async fn lock(
        &self,
        broker: &Server,
        group: &str,
        queues: &[MessageQueue],
    ) -> Result<Vec<MessageQueue>, Fault> {
        let body = self.lock_body(group, queues);
        let read: Read<LockBatchResponse> = read_json;
        let code = request::LOCK_BATCH_MQ;
        let answer = self.call(broker, code, &(), &body, LOCK_TIMEOUT, read).await?;
        let is_granted =
            |queue: &&MessageQueue| answer.locked.iter().any(|granted| queue.is(granted));
        Ok(queues.iter().filter(is_granted).cloned().collect())
    }

    /// Releases locks of this client.
    pub(crate) async fn unlock(
        &self,
        broker: &Server,
        group: &str,
        queues: &[MessageQueue],
    ) -> Result<(), Fault> {
        let body = self.lock_body(group, queues);
        let code = request::UNLOCK_BATCH_MQ;
        self.call(broker, code, &(), &body, LOCK_TIMEOUT, expect_success).await
    }

    fn lock_body(&self, group: &str, queues: &[MessageQueue]) -> Vec<u8> {
        let body = LockBatchRequest {
            client_id: self.identity().client_id.clone(),
            consumer_group: group.to_owned(),
            mq_set: queues.iter().map(Into::into).collect(),
            only_this_broker: false,
        };
        json::to_vec(&body)
    }

    /// Has the broker deliver a message to the group again, at a delay level.
    pub(crate) async fn send_back(
        &self,
        broker: &Server,
        group: &str,
        message: &ReceivedMessage,
        delay_level: i32,
        max_reconsume_times: i32,
    ) -> Result<(), Fault> {
        let id = message.offset_message_id();
        let header = SendBackRequest {
            offset: message.physical_offset,
            group,
            delay_level,
            origin_msg_id: Some(&id),
            origin_topic: Some(&message.topic),
            unit_mode: false,
            max_reconsume_times: Some(max_reconsume_times),
            broker_name: Some(&message.queue.broker_name),
        };
        self.ask(broker, request::CONSUMER_SEND_MSG_BACK, &header, expect_success).await
    }

    /// Tells every broker that this client leaves a producer group.
    pub(crate) async fn unregister_producer(&self, group: &str) {
        self.unregister(Some(group), None).await;
    }

    /// Tells every broker that this client leaves a consumer group.
    pub(crate) async fn unregister_consumer(&self, group: &str) {
        self.unregister(None, Some(group)).await;
    }

    async fn unregister(&self, producer_group: Option<&str>, consumer_group: Option<&str>) {
        let client_id = &self.identity().client_id;
        let header = UnregisterClientRequest { client_id, producer_group, consumer_group };
        for (broker, _) in self.all_brokers() {
            // A broker that we never talked to does not know us.
            if !self.is_connected(&broker) {
                continue;
            }
            let told = self.ask(&broker, request::UNREGISTER_CLIENT, &header, expect_success).await;
            if let Err(fault) = told {
                tracing::debug!(broker = broker.name, %fault, "unregister failed");
            }
        }
    }

    pub(super) async fn ask<T: 'static>(
        &self,
        broker: &Server,
        code: i32,
        header: &impl WriteHeader,
        read: Read<T>,
    ) -> Result<T, Fault> {
        self.call(broker, code, header, &[], self.config.call_timeout, read).await
    }
}

fn read_pull(answer: &Command<'_>) -> Result<PullAnswer, Fault> {
    let is_answer = matches!(
        answer.code,
        response::SUCCESS
            | response::PULL_NOT_FOUND
            | response::PULL_RETRY_IMMEDIATELY
            | response::PULL_OFFSET_MOVED
    );
    if !is_answer {
        return Err(refusal(answer));
    }
    let header = PullResponse::decode(&answer.fields).map_err(malformed)?;
    Ok(PullAnswer {
        code: answer.code,
        suggested_broker: header.suggest_which_broker_id,
        next_offset: header.next_begin_offset,
        body: Bytes::copy_from_slice(answer.body),
    })
}
