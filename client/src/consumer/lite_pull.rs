//! The lite pull consumer: queues are divided or named, messages are pulled ahead and polled.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_runtime::remote;

use super::consumption::Consumption;
use super::member::Member;
use super::membership::Membership;
use super::polled::{HandedOut, Polled};
use super::rebalance::Pass;
use super::subscription::Filter;
use crate::client::Client;
use crate::config::ConsumerConfig;
use crate::error::ClientError;
use crate::instance::Server;
use crate::message::check_topic;
use crate::queue::MessageQueue;
use crate::received::ReceivedMessage;

/// Consumes by polling. Cheap to clone, usable from any thread or runtime.
///
/// Queues come from [`LitePullConsumer::subscribe`] (divided among the group) or from
/// [`LitePullConsumer::assign`] (exactly those), not from both.
///
/// With `auto_commit` a poll says that what the polls before it returned is processed, and so does
/// the shutdown; that is stored every few seconds. Who polls from several threads at once processes
/// in one while another polls: commit by hand then. Without `auto_commit` nothing is stored but by
/// [`LitePullConsumer::commit`].
#[derive(Clone)]
pub struct LitePullConsumer {
    membership: Membership,
}

impl LitePullConsumer {
    pub(crate) async fn join(client: Client, config: ConsumerConfig) -> Result<Self, ClientError> {
        let consumption = || Ok(Consumption::Polled(Polled::new()));
        Ok(Self { membership: Membership::join(client, config, consumption).await? })
    }

    /// Consumes our share of `topic`, messages with one of the tags of `expression`.
    ///
    /// # Errors
    /// `Invalid` after [`LitePullConsumer::assign`], `ShutDown`.
    pub async fn subscribe(&self, topic: &str, expression: &str) -> Result<(), ClientError> {
        check_topic(topic)?;
        let (topic, filter) = (topic.to_owned(), Filter::tags(expression));
        self.membership
            .run(move |member| async move {
                if member.named().is_some() {
                    return Err(ClientError::invalid(
                        "queues were assigned; subscribe is for others",
                    ));
                }
                member.subscribe(&topic, filter).await;
                Ok(())
            })
            .await
    }

    /// Consumes exactly these queues, whoever else is in the group.
    ///
    /// # Errors
    /// `Invalid` after [`LitePullConsumer::subscribe`], `ShutDown`.
    pub async fn assign(&self, queues: Vec<MessageQueue>) -> Result<(), ClientError> {
        self.membership
            .run(move |member| async move {
                if !member.subscriptions.borrow().is_empty() {
                    return Err(ClientError::invalid(
                        "topics were subscribed; assign is for others",
                    ));
                }
                for queue in &queues {
                    // Brokers are found through the route of the topic.
                    member.instance.route(&queue.topic).await?;
                }
                if let Some(polled) = member.consumption.polled() {
                    *polled.named.borrow_mut() = Some(queues.into());
                }
                if member.rebalance().await == Pass::Incomplete {
                    // The loop, which knows nothing of this pass, tries again.
                    member.rebalance_now.notify_one();
                }
                Ok(())
            })
            .await
    }

    /// All readable queues of a topic.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, ClientError> {
        let topic = topic.to_owned();
        self.membership
            .run(move |member| async move {
                let route = member.instance.refresh_route(&topic).await?;
                Ok(route.subscribe.clone())
            })
            .await
    }

    /// Queues that are ours now.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn assignment(&self) -> Result<Vec<MessageQueue>, ClientError> {
        self.membership
            .run(|member| async move {
                Ok(member.all_assigned().iter().map(|assigned| assigned.queue.clone()).collect())
            })
            .await
    }

    /// Up to `max` messages of one queue, oldest first; waits up to `timeout` for the first one.
    /// With a `max` of 0 it returns at once. A poll that is dropped before it is ready takes no
    /// message with it.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn poll(
        &self,
        max: usize,
        timeout: Duration,
    ) -> Result<Vec<Arc<ReceivedMessage>>, ClientError> {
        let (sender, messages) = remote::oneshot();
        let poll = move |member: Rc<Member>| async move {
            member.poll(max, timeout, sender).await;
            Ok(())
        };
        self.membership.run(poll).await?;
        Ok(messages.await.map_or_else(|_| Vec::new(), HandedOut::accept))
    }

    /// Like [`LitePullConsumer::poll`], for threads that are in no async runtime.
    ///
    /// # Errors
    /// `ShutDown`.
    pub fn poll_blocking(
        &self,
        max: usize,
        timeout: Duration,
    ) -> Result<Vec<Arc<ReceivedMessage>>, ClientError> {
        futures_lite::future::block_on(self.poll(max, timeout))
    }

    /// Goes on at `offset` of a queue that is ours; what was pulled of it is forgotten.
    ///
    /// # Errors
    /// `Invalid` for queues that are not ours, `ShutDown`.
    pub async fn seek(&self, queue: MessageQueue, offset: i64) -> Result<(), ClientError> {
        self.membership
            .run(move |member| async move {
                if member.find(&queue).is_none() {
                    return Err(ClientError::invalid(format!("queue {queue} is not assigned")));
                }
                member.begin_anew(&queue, offset);
                Ok(())
            })
            .await
    }

    /// Stops polls from returning messages of these queues, or lets them again.
    ///
    /// # Errors
    /// `ShutDown`.
    pub async fn set_paused(
        &self,
        queues: Vec<MessageQueue>,
        is_paused: bool,
    ) -> Result<(), ClientError> {
        self.membership
            .run(move |member| async move {
                for assigned in queues.iter().filter_map(|queue| member.find(queue)) {
                    assigned.poll.is_paused.set(is_paused);
                    assigned.room.notify_one();
                }
                if let Some(polled) = member.consumption.polled() {
                    polled.arrived.notify_one();
                }
                Ok(())
            })
            .await
    }

    /// Stores how far all queues that are ours were polled, now: all of that is processed.
    ///
    /// # Errors
    /// `Failed` names the brokers that did not store everything, and why; `ShutDown`.
    pub async fn commit(&self) -> Result<(), ClientError> {
        self.membership
            .run(|member| async move {
                member.settle_polled();
                member.persist_all().await
            })
            .await
    }

    /// How far a queue was polled, if it is ours, else how far the group has stored it: the offset
    /// of the next message.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn position(&self, queue: MessageQueue) -> Result<i64, ClientError> {
        self.membership
            .run(move |member| async move {
                member.instance.route(&queue.topic).await?;
                let found = member.position(&queue).await;
                found.map_err(|fault| {
                    let action = format!("look-up of the offset of {queue}");
                    Server::unknown(&queue.broker_name).failed(action, fault)
                })
            })
            .await
    }

    /// Leaves the group; with `auto_commit` what was polled is processed, and stored first.
    pub async fn shutdown(&self) {
        self.membership.leave().await;
    }
}
