//! A client that sends and pulls, and what it reads of the answers.

use std::net::SocketAddr;
use std::rc::Rc;

use ringmq_protocol::WriteHeader;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_protocol::headers::send::SendRequest;
use ringmq_protocol::record::{Record, records};
use ringmq_remoting::{Connection, ConnectionLimits, NoService, OwnedCommand, dial};

use super::TIMEOUT;

/// One connection to the broker.
#[derive(Clone)]
pub struct Client {
    pub connection: Rc<Connection>,
}

/// One message as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub queue_offset: i64,
    pub physical_offset: i64,
    pub body: Vec<u8>,
    pub properties: String,
}

/// A decoded answer to a pull.
#[derive(Debug)]
pub struct Pulled {
    pub code: i32,
    pub remark: String,
    pub next: i64,
    pub min: i64,
    pub max: i64,
    pub messages: Vec<Message>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let limits = ConnectionLimits::default();
        let connection = dial(address, TIMEOUT, Rc::new(NoService), limits).await?;
        Ok(Self { connection })
    }

    pub async fn call(&self, code: i32, header: &impl WriteHeader, body: &[u8]) -> OwnedCommand {
        self.connection.call(code, header, body, TIMEOUT).await.expect("an answer")
    }

    pub async fn send(&self, topic: &str, queue_id: i32, body: &[u8]) -> OwnedCommand {
        self.send_with(topic, queue_id, body, "").await
    }

    pub async fn send_with(
        &self,
        topic: &str,
        queue_id: i32,
        body: &[u8],
        properties: &str,
    ) -> OwnedCommand {
        let header = send_header(topic, queue_id, properties);
        self.call(request::SEND_MESSAGE_V2, &header, body).await
    }

    /// Sends and insists on success; the queue offset.
    pub async fn store(&self, topic: &str, queue_id: i32, body: &[u8]) -> i64 {
        let answer = self.send(topic, queue_id, body).await;
        assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
        field(&answer, "queueOffset").parse().expect("a number")
    }

    pub async fn pull(&self, topic: &str, queue_id: i32, from: i64) -> Pulled {
        self.pull_with(&pull_header(topic, queue_id, from)).await
    }

    /// All messages of a queue, in as many pulls as it takes.
    pub async fn pull_all(&self, topic: &str, queue_id: i32) -> Vec<Message> {
        let (mut messages, mut from) = (Vec::new(), 0);
        loop {
            let pulled = self.pull(topic, queue_id, from).await;
            if pulled.messages.is_empty() {
                assert_eq!(from, pulled.max, "{pulled:?}");
                return messages;
            }
            from = pulled.next;
            messages.extend(pulled.messages);
        }
    }

    pub async fn pull_with(&self, header: &PullRequest<'_>) -> Pulled {
        pulled(&self.call(request::PULL_MESSAGE, header, &[]).await)
    }

    pub async fn number(&self, code: i32, header: &impl WriteHeader, name: &str) -> i64 {
        let answer = self.call(code, header, &[]).await;
        assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
        field(&answer, name).parse().expect("a number")
    }
}

pub fn field(answer: &OwnedCommand, name: &str) -> String {
    answer.command().fields.get(name).unwrap_or_else(|| panic!("no field {name}")).to_owned()
}

pub fn pulled(answer: &OwnedCommand) -> Pulled {
    let command = answer.command();
    let number = |name: &str| {
        command.fields.get(name).and_then(|text| text.parse().ok()).unwrap_or(i64::MIN)
    };
    Pulled {
        code: command.code,
        remark: command.remark().unwrap_or_default().to_owned(),
        next: number("nextBeginOffset"),
        min: number("minOffset"),
        max: number("maxOffset"),
        messages: messages(command.body),
    }
}

/// Reads records that stand back to back.
pub fn messages(bytes: &[u8]) -> Vec<Message> {
    let message = |record: Result<Record<'_>, _>| {
        let record = record.expect("a whole record");
        assert!(record.verify_record().expect("checksums hold"), "with a checksum of the whole");
        record.verify_body().expect("checksums hold");
        Message {
            topic: record.topic.to_owned(),
            queue_offset: record.queue_offset,
            physical_offset: record.physical_offset,
            body: record.body.to_vec(),
            properties: record.properties.as_text().to_owned(),
        }
    };
    records(bytes).map(message).collect()
}

pub fn send_header<'h>(topic: &'h str, queue_id: i32, properties: &'h str) -> SendRequest<'h> {
    SendRequest {
        producer_group: "producers",
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id,
        sys_flag: 0,
        born_at_ms: 1_700_000_000_000,
        flag: 7,
        properties: Some(properties),
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: None,
        batch: false,
        broker_name: None,
    }
}

/// A pull that brings its subscription along and does not wait.
pub fn pull_header(topic: &str, queue_id: i32, from: i64) -> PullRequest<'_> {
    PullRequest {
        consumer_group: "consumers",
        topic,
        queue_id,
        queue_offset: from,
        max_msg_nums: 32,
        sys_flag: pull_flag::SUBSCRIPTION,
        commit_offset: 0,
        suspend_timeout_ms: 15_000,
        subscription: Some("*"),
        sub_version: 0,
        expression_type: Some("TAG"),
        max_msg_bytes: None,
        request_source: None,
        proxy_forward_client_id: None,
        lite_topic: None,
        broker_name: None,
    }
}
