//! What name servers and brokers know.

use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use ringmq_protocol::Command;
use ringmq_protocol::bodies::route::{ClusterInfo, TopicRouteData};
use ringmq_protocol::bodies::topic::{KvTable, TopicList};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::query::ViewMessageRequest;
use ringmq_protocol::ids::OffsetMessageId;

use super::Admin;
use crate::error::{ClientError, Fault};
use crate::instance::{Instance, Read, Server, expect_success, read_json, refusal};
use crate::queue::MessageQueue;
use crate::received::ReceivedMessage;

/// What a broker knows of a queue's offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueOffsets {
    /// The oldest message.
    pub min: i64,
    /// One past the newest message.
    pub max: i64,
    /// When the oldest one was stored, Unix time in milliseconds; -1: the queue is empty.
    pub earliest_stored_at_ms: i64,
}

impl Admin {
    /// Queues and brokers of a topic, as the name server answers.
    ///
    /// # Errors
    /// `Failed` with code 17 when there is no such topic.
    pub async fn topic_route(&self, topic: &str) -> Result<TopicRouteData, ClientError> {
        let topic = topic.to_owned();
        self.client.run(move |instance| async move { instance.route_data(&topic).await }).await
    }

    /// Readable queues of a topic.
    ///
    /// # Errors
    /// See [`Admin::topic_route`].
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, ClientError> {
        let topic = topic.to_owned();
        let look_up = move |instance: Rc<Instance>| async move {
            Ok(instance.refresh_route(&topic).await?.subscribe.clone())
        };
        self.client.run(look_up).await
    }

    /// All brokers, by cluster.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn cluster(&self) -> Result<ClusterInfo, ClientError> {
        self.client.run(|instance| async move { instance.cluster().await }).await
    }

    /// Names of all topics.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn topics(&self) -> Result<Vec<String>, ClientError> {
        let look_up = |instance: Rc<Instance>| async move {
            let code = request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
            let read: Read<TopicList> = read_json;
            let list = instance.ask_name_server("list of topics", code, &(), read).await?;
            Ok(list.topic_list)
        };
        self.client.run(look_up).await
    }

    /// Oldest and newest offset of a queue.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn queue_offsets(&self, queue: MessageQueue) -> Result<QueueOffsets, ClientError> {
        self.at_queue(queue, "look-up of offsets", |instance, broker, queue| async move {
            Ok(QueueOffsets {
                min: instance.min_offset(&broker, &queue).await?,
                max: instance.max_offset(&broker, &queue).await?,
                earliest_stored_at_ms: instance.earliest_store_time(&broker, &queue).await?,
            })
        })
        .await
    }

    /// The first message of a queue stored at or after a Unix time in milliseconds.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn offset_by_time(
        &self,
        queue: MessageQueue,
        timestamp_ms: i64,
    ) -> Result<i64, ClientError> {
        self.at_queue(queue, "search by time", move |instance, broker, queue| async move {
            instance.search_offset(&broker, &queue, timestamp_ms).await
        })
        .await
    }

    /// How far a group consumed a queue; `None`: nothing is stored. Brokers answer 0 instead while
    /// the queue still has its first message.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn consumer_offset(
        &self,
        group: &str,
        queue: MessageQueue,
    ) -> Result<Option<i64>, ClientError> {
        let group = group.to_owned();
        let action = "look-up of a consumer offset";
        self.at_queue(queue, action, move |instance, broker, queue| async move {
            match instance.query_offset(&broker, &group, &queue).await {
                Ok(offset) => Ok(Some(offset)),
                Err(fault) if fault.code() == Some(response::QUERY_NOT_FOUND) => Ok(None),
                Err(fault) => Err(fault),
            }
        })
        .await
    }

    /// Has the broker store how far a group consumed a queue.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn set_consumer_offset(
        &self,
        group: &str,
        queue: MessageQueue,
        offset: i64,
    ) -> Result<(), ClientError> {
        let group = group.to_owned();
        let action = "change of a consumer offset";
        self.at_queue(queue, action, move |instance, broker, queue| async move {
            instance.confirm_offset(&broker, &group, &queue, offset).await
        })
        .await
    }

    /// The message with this offset message id, from the broker that the id names.
    ///
    /// # Errors
    /// `Invalid` ids, `Failed`.
    pub async fn view_message(&self, id: &str) -> Result<ReceivedMessage, ClientError> {
        let place: OffsetMessageId = id
            .parse()
            .map_err(|error| ClientError::invalid(format!("message id {id}: {error}")))?;
        let action = format!("look-up of message {id}");
        let look_up = move |instance: Rc<Instance>| async move {
            let broker = Server::new("broker", &place.host.to_string());
            let header = ViewMessageRequest { offset: place.physical_offset, topic: None };
            let timeout = instance.config.call_timeout;
            let code = request::VIEW_MESSAGE_BY_ID;
            let found = instance.call(&broker, code, &header, &[], timeout, read_bytes).await;
            let message = found.and_then(|bytes| decode_one(&bytes));
            message.map_err(|fault| broker.failed(action, fault))
        };
        self.client.run(look_up).await
    }

    /// Runtime information of the broker at `address`: names and values.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn broker_runtime(
        &self,
        address: &str,
    ) -> Result<BTreeMap<String, String>, ClientError> {
        let address = address.to_owned();
        let look_up = move |instance: Rc<Instance>| async move {
            let broker = Server::new("broker", &address);
            let timeout = instance.config.call_timeout;
            let read: Read<KvTable> = read_json;
            let code = request::GET_BROKER_RUNTIME_INFO;
            let found = instance.call(&broker, code, &(), &[], timeout, read).await;
            found.map(|kv| kv.table).map_err(|fault| broker.failed("look-up of a broker", fault))
        };
        self.client.run(look_up).await
    }

    async fn at_queue<T, F>(
        &self,
        queue: MessageQueue,
        action: &'static str,
        ask: impl FnOnce(Rc<Instance>, Server, MessageQueue) -> F + Send + 'static,
    ) -> Result<T, ClientError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + 'static,
    {
        let look_up = move |instance: Rc<Instance>| async move {
            instance.route(&queue.topic).await?;
            let action = format!("{action} of {queue}");
            let broker = instance.broker(&queue).map_err(|fault| {
                Server::new(&queue.broker_name, "unknown address").failed(action.clone(), fault)
            })?;
            let outcome = ask(instance, broker.clone(), queue).await;
            outcome.map_err(|fault| broker.failed(action, fault))
        };
        self.client.run(look_up).await
    }
}

fn read_bytes(answer: &Command<'_>) -> Result<Bytes, Fault> {
    expect_success(answer)?;
    if answer.body.is_empty() {
        return Err(refusal(answer));
    }
    Ok(Bytes::copy_from_slice(answer.body))
}

fn decode_one(bytes: &Bytes) -> Result<ReceivedMessage, Fault> {
    let unknown = MessageQueue::new("", "", -1);
    let malformed = |reason: String| Fault::Malformed { reason };
    let messages = ReceivedMessage::decode_all(bytes, &unknown)
        .map_err(|error| malformed(error.to_string()))?;
    messages.into_iter().next().ok_or_else(|| malformed("no message in the answer".into()))
}
