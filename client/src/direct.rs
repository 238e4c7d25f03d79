//! Sends and pulls from inside an executor of [`ringmq_runtime`], with nothing between the caller
//! and the connection: no thread hop, no task per message, no retry, no choice of queue.
//!
//! For load generators and gateways that run an executor of their own, and count what a message
//! costs. A request is encoded straight into the connection's output, requests of one turn leave in
//! one write, and the answer is read in the receive buffer by the caller's function. Per message
//! one small allocation remains, the box of that function.
//!
//! How many messages are in flight is up to the caller (the connection takes 65,535). Connections
//! made here are nobody else's.

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::pull::{PullRequest, PullResponse, pull_flag};
use ringmq_protocol::headers::send::{SendRequest, SendResponse};
use ringmq_protocol::{Command, Header};
use ringmq_remoting::{CallError, Connection, ConnectionLimits, NoService, dial};
use ringmq_runtime::net;

use crate::config::ClientConfig;
use crate::error::{ClientError, Fault};
use crate::instance::{Instance, malformed, refusal};
use crate::producer::SendStatus;
use crate::queue::MessageQueue;

/// Template topic and queue count that brokers use when a send creates its topic.
const CREATE_TOPIC_KEY: &str = "TBW102";
const DEFAULT_TOPIC_QUEUES: i32 = 4;

/// A queue to send to, and the address of its master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The queue.
    pub queue: MessageQueue,
    /// `host:port`.
    pub address: String,
}

/// Looks up routes from inside an executor. Not `Send`.
pub struct Direct {
    instance: Rc<Instance>,
}

impl Direct {
    /// A look-up with these name servers and time limits.
    pub fn new(config: ClientConfig) -> Self {
        Self { instance: Instance::new(config) }
    }

    /// The queues that `topic` may be sent to. A topic that does not exist yet gets the queues that
    /// its first message will give it.
    ///
    /// # Errors
    /// `Failed`, `NoRoute`.
    pub async fn targets(&self, topic: &str) -> Result<Vec<Target>, ClientError> {
        let found = self.instance.publish_route(topic, CREATE_TOPIC_KEY, DEFAULT_TOPIC_QUEUES);
        let route = found.await?;
        let target = |queue: &MessageQueue| {
            let server = self.instance.master(&queue.broker_name).ok()?;
            Some(Target { queue: queue.clone(), address: server.address })
        };
        let targets: Vec<_> = route.publish.iter().filter_map(target).collect();
        if targets.is_empty() {
            let answer = format!("brokers {:?}", route.brokers);
            return Err(ClientError::NoRoute { topic: topic.into(), wanted: "writable", answer });
        }
        Ok(targets)
    }

    /// Opens a connection of its own to `address` (`host:port`).
    ///
    /// # Errors
    /// `Unreachable`, with what the system said.
    pub async fn connect(&self, address: &str) -> Result<DirectConnection, Fault> {
        let unreachable = |error: std::io::Error| Fault::Unreachable { reason: error.to_string() };
        let resolved = net::resolve(address).await.map_err(unreachable)?;
        let timeout = self.instance.config.connect_timeout;
        let limits = ConnectionLimits::default();
        let connection = dial(resolved, timeout, Rc::new(NoService), limits).await;
        Ok(DirectConnection { connection: connection.map_err(unreachable)? })
    }
}

/// A message as it travels: nothing is checked, compressed or added.
#[derive(Debug, Clone, Copy)]
pub struct DirectMessage<'a> {
    /// Producer group.
    pub group: &'a str,
    /// Where it goes.
    pub queue: &'a MessageQueue,
    /// Properties text: `name 0x01 value 0x02` each.
    pub properties: &'a str,
    /// 1 byte to the broker's limit.
    pub body: &'a [u8],
    /// Unix time in milliseconds.
    pub born_at_ms: i64,
}

/// The broker's answer to a send, borrowed from the receive buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectAck<'a> {
    /// How well it is stored.
    pub status: SendStatus,
    /// Queue that holds it.
    pub queue_id: i32,
    /// Its number in that queue.
    pub queue_offset: i64,
    /// The id that says where it is stored.
    pub offset_message_id: &'a str,
}

/// A pull without subscription, commit or group membership.
#[derive(Debug, Clone, Copy)]
pub struct DirectPull<'a> {
    /// Consumer group, for the broker's statistics.
    pub group: &'a str,
    /// What to pull from.
    pub queue: &'a MessageQueue,
    /// First wanted offset.
    pub offset: i64,
    /// Most messages wanted.
    pub messages_max: i32,
    /// How long the broker may wait for a message; zero: not at all.
    pub hold: Duration,
}

/// The broker's answer to a pull, borrowed from the receive buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectBatch<'a> {
    /// Where to go on.
    pub next_offset: i64,
    /// Oldest and one past the newest offset of the queue.
    pub range: (i64, i64),
    /// Stored messages one behind the other, for [`ringmq_protocol::record::records`]; empty when
    /// there was none.
    pub records: &'a [u8],
}

/// A connection that belongs to one caller. Not `Send`.
#[derive(Clone)]
pub struct DirectConnection {
    connection: Rc<Connection>,
}

impl DirectConnection {
    /// Sends one message; `done` gets the answer, or the lack of one, and must not block.
    pub fn send(
        &self,
        message: &DirectMessage<'_>,
        timeout: Duration,
        done: impl FnOnce(Result<DirectAck<'_>, Fault>) + 'static,
    ) {
        let header = SendRequest {
            producer_group: message.group,
            topic: &message.queue.topic,
            default_topic: CREATE_TOPIC_KEY,
            default_topic_queue_nums: DEFAULT_TOPIC_QUEUES,
            queue_id: message.queue.queue_id,
            sys_flag: 0,
            born_at_ms: message.born_at_ms,
            flag: 0,
            properties: Some(message.properties),
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: None,
            batch: false,
            broker_name: Some(&message.queue.broker_name),
        };
        let code = request::SEND_MESSAGE_V2;
        self.connection.call_with(
            code,
            &header,
            message.body,
            timeout,
            move |answer| match answer {
                Ok(answer) => done(read_ack(answer)),
                Err(error) => done(Err(unreachable(&error))),
            },
        );
    }

    /// Pulls once; `done` gets the answer, or the lack of one, and must not block.
    pub fn pull(
        &self,
        pull: &DirectPull<'_>,
        timeout: Duration,
        done: impl FnOnce(Result<DirectBatch<'_>, Fault>) + 'static,
    ) {
        let suspend = if pull.hold.is_zero() { 0 } else { pull_flag::SUSPEND };
        let header = PullRequest {
            consumer_group: pull.group,
            topic: &pull.queue.topic,
            queue_id: pull.queue.queue_id,
            queue_offset: pull.offset,
            max_msg_nums: pull.messages_max,
            sys_flag: suspend | pull_flag::SUBSCRIPTION,
            commit_offset: 0,
            suspend_timeout_ms: i64::try_from(pull.hold.as_millis()).unwrap_or(i64::MAX),
            subscription: Some("*"),
            sub_version: 0,
            expression_type: Some("TAG"),
            max_msg_bytes: None,
            request_source: None,
            proxy_forward_client_id: None,
            lite_topic: None,
            broker_name: Some(&pull.queue.broker_name),
        };
        self.connection.call_with(request::PULL_MESSAGE, &header, &[], timeout, move |answer| {
            match answer {
                Ok(answer) => done(read_batch(answer)),
                Err(error) => done(Err(unreachable(&error))),
            }
        });
    }

    /// Whether so much output waits that sending more should wait.
    pub fn is_full(&self) -> bool {
        self.connection.is_out_full()
    }

    /// Whether the connection is gone; a closed one is not opened again.
    pub fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Closes the connection; calls without an answer fail.
    pub fn close(&self) {
        self.connection.close("closed by its owner");
    }
}

fn unreachable(error: &CallError) -> Fault {
    Fault::Unreachable { reason: error.to_string() }
}

fn read_ack<'a>(answer: &'a Command<'_>) -> Result<DirectAck<'a>, Fault> {
    let status = SendStatus::from_code(answer.code).ok_or_else(|| refusal(answer))?;
    let header = SendResponse::decode(&answer.fields).map_err(malformed)?;
    Ok(DirectAck {
        status,
        queue_id: header.queue_id,
        queue_offset: header.queue_offset,
        offset_message_id: header.msg_id,
    })
}

fn read_batch<'a>(answer: &'a Command<'_>) -> Result<DirectBatch<'a>, Fault> {
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
    Ok(DirectBatch {
        next_offset: header.next_begin_offset,
        range: (header.min_offset, header.max_offset),
        records: answer.body,
    })
}
