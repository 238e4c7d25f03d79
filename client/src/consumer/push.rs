//! The push consumer's handle.

use std::sync::Arc;

use super::consumption::{Concurrent, Consumption, Orderly};
use super::listener::{ConcurrentListener, OrderlyListener};
use super::membership::Membership;
use super::subscription::Filter;
use crate::client::Client;
use crate::config::ConsumerConfig;
use crate::error::ClientError;
use crate::message::check_topic;

/// Consumes topics through a listener. Cheap to clone, usable from any thread or runtime.
///
/// It consumes until [`PushConsumer::shutdown`] or the client's shutdown.
#[derive(Clone)]
pub struct PushConsumer {
    membership: Membership,
}

impl PushConsumer {
    pub(crate) async fn join(
        client: Client,
        config: ConsumerConfig,
        listener: impl ConcurrentListener,
    ) -> Result<Self, ClientError> {
        let (threads, batch) = (config.consume_threads, config.consume_batch);
        let listener = Arc::new(listener);
        let consumption =
            move || Ok(Consumption::Concurrent(Concurrent::new(listener, threads, batch)?));
        Ok(Self { membership: Membership::join(client, config, consumption).await? })
    }

    pub(crate) async fn join_orderly(
        client: Client,
        config: ConsumerConfig,
        listener: impl OrderlyListener,
    ) -> Result<Self, ClientError> {
        let (threads, batch) = (config.consume_threads, config.consume_batch);
        let listener = Arc::new(listener);
        let consumption = move || Ok(Consumption::Orderly(Orderly::new(listener, threads, batch)?));
        Ok(Self { membership: Membership::join(client, config, consumption).await? })
    }

    /// Consumes `topic`, messages with one of the tags of `expression` (`*` for all, `A || B`).
    /// Subscribing a topic again replaces its expression.
    ///
    /// # Errors
    /// `Invalid`, `ShutDown`.
    pub async fn subscribe(&self, topic: &str, expression: &str) -> Result<(), ClientError> {
        self.subscribe_with(topic, Filter::tags(expression)).await
    }

    /// Consumes the messages of `topic` that `filter` wants.
    ///
    /// # Errors
    /// `Invalid`, `ShutDown`; `Failed` when a broker does not accept an SQL92 expression.
    pub async fn subscribe_with(&self, topic: &str, filter: Filter) -> Result<(), ClientError> {
        check_topic(topic)?;
        let topic = topic.to_owned();
        self.membership
            .run(move |member| async move {
                filter.check(&member.instance, &member.config.group, &topic).await?;
                member.subscribe(&topic, filter).await;
                Ok(())
            })
            .await
    }

    /// Consumes no more of `topic`.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn unsubscribe(&self, topic: &str) -> Result<(), ClientError> {
        let topic = topic.to_owned();
        self.membership
            .run(move |member| async move {
                member.unsubscribe(&topic);
                Ok(())
            })
            .await
    }

    /// Leaves the group: waits a few seconds for listeners, stores offsets, gives queues back.
    pub async fn shutdown(&self) {
        self.membership.leave().await;
    }

    /// Like [`PushConsumer::shutdown`], for threads that are in no async runtime.
    pub fn shutdown_blocking(&self) {
        futures_lite::future::block_on(self.shutdown());
    }
}
