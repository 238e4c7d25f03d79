//! Offsets of queues and of groups in them.

use std::future::Future;
use std::rc::Rc;

use ringmq_protocol::codes::response;

use super::Admin;
use crate::error::{ClientError, Fault};
use crate::instance::{Commit, Instance, Place, Server};
use crate::queue::MessageQueue;

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
    /// Oldest and newest offset of a queue.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn queue_offsets(&self, queue: MessageQueue) -> Result<QueueOffsets, ClientError> {
        self.at_queue(queue, "look-up of offsets", |instance, broker, queue| async move {
            Ok(QueueOffsets {
                min: instance.offset_of(&broker, &queue, Place::Oldest).await?,
                max: instance.offset_of(&broker, &queue, Place::End).await?,
                earliest_stored_at_ms: instance.earliest_stored_at_ms(&broker, &queue).await?,
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
            instance.offset_of(&broker, &queue, Place::StoredAt(timestamp_ms)).await
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
            match instance.offset_of(&broker, &queue, Place::NextOf(&group)).await {
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
            instance.store_offset(&broker, &group, &queue, offset, Commit::Confirm).await
        })
        .await
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
                Server::unknown(&queue.broker_name).failed(action.clone(), fault)
            })?;
            let outcome = ask(instance, broker.clone(), queue).await;
            outcome.map_err(|fault| broker.failed(action, fault))
        };
        self.client.run(look_up).await
    }
}
