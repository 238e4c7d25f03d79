//! The push consumer's handle.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use ringmq_runtime::task;

use super::consumption::{Concurrent, Consumption, Orderly};
use super::listener::{ConcurrentListener, OrderlyListener};
use super::member::Member;
use super::subscription::Filter;
use crate::client::Client;
use crate::config::{ConsumerConfig, MessageModel};
use crate::error::ClientError;
use crate::instance::Instance;
use crate::message::check_topic;

/// Consumes topics through a listener. Cheap to clone, usable from any thread or runtime.
///
/// It consumes until [`PushConsumer::shutdown`] or the client's shutdown.
#[derive(Clone)]
pub struct PushConsumer {
    client: Client,
    group: Arc<str>,
}

impl PushConsumer {
    pub(crate) async fn join(
        client: Client,
        config: ConsumerConfig,
        listener: impl ConcurrentListener,
    ) -> Result<Self, ClientError> {
        let (threads, batch) = (config.consume_threads, config.consume_batch);
        let listener = Arc::new(listener);
        Self::start(client, config, move || {
            Ok(Consumption::Concurrent(Concurrent::new(listener, threads, batch)?))
        })
        .await
    }

    pub(crate) async fn join_orderly(
        client: Client,
        config: ConsumerConfig,
        listener: impl OrderlyListener,
    ) -> Result<Self, ClientError> {
        let (threads, batch) = (config.consume_threads, config.consume_batch);
        let listener = Arc::new(listener);
        Self::start(client, config, move || {
            Ok(Consumption::Orderly(Orderly::new(listener, threads, batch)?))
        })
        .await
    }

    async fn start(
        client: Client,
        config: ConsumerConfig,
        consumption: impl FnOnce() -> Result<Consumption, ClientError> + Send + 'static,
    ) -> Result<Self, ClientError> {
        let group: Arc<str> = config.group.as_str().into();
        client
            .run(move |instance| async move { join(instance, config, consumption()?).await })
            .await?;
        Ok(Self { client, group })
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
        self.with_member(move |member| async move {
            member.check_filter(&topic, &filter).await?;
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
        self.with_member(move |member| async move {
            member.unsubscribe(&topic);
            Ok(())
        })
        .await
    }

    /// Leaves the group: waits a few seconds for listeners, stores offsets, gives queues back.
    pub async fn shutdown(&self) {
        let stop = |member: Rc<Member>| async move {
            member.stop().await;
            Ok(())
        };
        // The only error is that it is down already.
        let _ = self.with_member(stop).await;
    }

    /// Like [`PushConsumer::shutdown`], for threads that are in no async runtime.
    pub fn shutdown_blocking(&self) {
        futures_lite::future::block_on(self.shutdown());
    }

    async fn with_member<T, F>(
        &self,
        work: impl FnOnce(Rc<Member>) -> F + Send + 'static,
    ) -> Result<T, ClientError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ClientError>> + 'static,
    {
        run_with_member(&self.client, &self.group, work).await
    }
}

/// Runs `work` with the member of `group` that this client is.
pub(super) async fn run_with_member<T, F>(
    client: &Client,
    group: &Arc<str>,
    work: impl FnOnce(Rc<Member>) -> F + Send + 'static,
) -> Result<T, ClientError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ClientError>> + 'static,
{
    let group = group.clone();
    let find = move |instance: Rc<Instance>| async move {
        let member = instance.member(&group).ok_or(ClientError::ShutDown)?;
        work(member).await
    };
    client.run(find).await
}

/// Makes this client a member of a group and starts the group's loops.
pub(super) async fn join(
    instance: Rc<Instance>,
    config: ConsumerConfig,
    consumption: Consumption,
) -> Result<(), ClientError> {
    if config.group.is_empty() {
        return Err(ClientError::invalid("a consumer needs the name of its group"));
    }
    let member = Member::new(instance.clone(), config, consumption);
    instance.add_member(&member)?;
    if member.config.model == MessageModel::Broadcasting {
        // The client's address is part of the file's name: have it settled by a connection.
        let joined = async {
            instance.reach_name_server().await?;
            member.load_local_offsets().await
        };
        if let Err(error) = joined.await {
            instance.remove_member(&member.config.group);
            return Err(error);
        }
    } else if !member.consumption.is_polled() {
        member.subscribe(&member.retry_topic(), Filter::all()).await;
    }
    task::spawn("rebalance", member.clone().rebalance_loop()).detach();
    match &member.consumption {
        Consumption::Concurrent(_) => {
            task::spawn("outcomes", member.clone().outcome_loop()).detach();
        }
        Consumption::Orderly(_) => task::spawn("locks", member.clone().lock_loop()).detach(),
        Consumption::Polled => {}
    }
    Ok(())
}
