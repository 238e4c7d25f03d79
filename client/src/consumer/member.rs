//! This client as a member of one consumer group: what it subscribed, which queues it has, how far
//! they are consumed. Push and lite pull consumers are built on it.
//!
//! A queue is *assigned* (pulled and consumed), *given up* (its pull loop ends at its next step,
//! results that come in later are ignored) or not ours. Giving up is final: a queue that comes back
//! gets a new [`Assigned`]. An offset is committed only while its queue is assigned, and once when
//! it is given up, so a member never overwrites the progress of the next owner.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use ringmq_protocol::names;
use ringmq_runtime::clock;
use ringmq_runtime::sync::{Notify, Turn};

use super::assigned::{Assigned, next_id};
use super::consumption::Consumption;
use super::offsets::OffsetTable;
use super::process_queue::FlowLimits;
use super::subscription::{Filter, Subscription};
use crate::config::{ConsumerConfig, MessageModel};
use crate::instance::Instance;
use crate::queue::MessageQueue;

/// One membership.
pub(crate) struct Member {
    /// Tells it from an earlier member of the same group.
    pub(super) id: u64,
    pub(crate) instance: Rc<Instance>,
    pub(crate) config: ConsumerConfig,
    pub(crate) consumption: Consumption,
    pub(crate) started_at_ms: i64,
    pub(crate) subscriptions: RefCell<BTreeMap<String, Subscription>>,
    pub(crate) offsets: RefCell<OffsetTable>,
    pub(crate) assigned: RefCell<BTreeMap<MessageQueue, Rc<Assigned>>>,
    /// Wakes the rebalance loop.
    pub(crate) rebalance_now: Notify,
    pub(crate) is_stopping: Cell<bool>,
    /// Entered by a pass of dividing queues: one that asks where its queues begin must not go on
    /// behind a later one that wants others.
    pub(crate) rebalance_turn: Turn,
    /// Entered by the first that stops the member; others wait until that is done.
    stop_turn: Turn,
    /// No heartbeat names it any more: brokers hear its goodbye.
    pub(crate) has_left: Cell<bool>,
}

impl Member {
    pub(crate) fn new(
        instance: Rc<Instance>,
        config: ConsumerConfig,
        consumption: Consumption,
    ) -> Rc<Self> {
        Rc::new(Self {
            id: next_id(),
            instance,
            config,
            consumption,
            started_at_ms: clock::unix_ms(),
            subscriptions: RefCell::default(),
            offsets: RefCell::default(),
            assigned: RefCell::default(),
            rebalance_now: Notify::new(),
            is_stopping: Cell::new(false),
            rebalance_turn: Turn::default(),
            stop_turn: Turn::default(),
            has_left: Cell::new(false),
        })
    }

    /// Subscribes `topic`, or changes which of its messages are wanted.
    ///
    /// Brokers hear of it before queues are divided: until then they do not count us as a member.
    pub(crate) async fn subscribe(&self, topic: &str, filter: Filter) {
        let topic = topic.to_owned();
        let subscription = Subscription { topic: topic.clone(), filter, version: clock::unix_ms() };
        self.subscriptions.borrow_mut().insert(topic.clone(), subscription);
        if let Err(error) = self.instance.route(&topic).await {
            let group = &self.config.group;
            tracing::info!(topic, group, %error, "subscribed, waits for a route");
        }
        self.instance.heartbeat().await;
        self.rebalance_now.notify_one();
    }

    /// Subscribes nothing of `topic` any more.
    pub(crate) fn unsubscribe(&self, topic: &str) {
        self.subscriptions.borrow_mut().remove(topic);
        self.instance.heartbeat_soon();
        self.rebalance_now.notify_one();
    }

    /// The queues that were named instead of divided, if any were.
    pub(super) fn named(&self) -> Option<Rc<[MessageQueue]>> {
        self.consumption.polled()?.named.borrow().clone()
    }

    /// What we want of `topic`: all of it if queues were named; `None`: nothing, until a rebalance
    /// gives its queues up.
    pub(crate) fn wanted(&self, topic: &str) -> Option<Subscription> {
        if self.named().is_some() {
            let (topic, filter) = (topic.to_owned(), Filter::all());
            return Some(Subscription { topic, filter, version: 0 });
        }
        self.subscriptions.borrow().get(topic).cloned()
    }

    /// Whether the queue may still become ours: it is named, or its topic subscribed.
    pub(crate) fn is_wanted(&self, queue: &MessageQueue) -> bool {
        match self.named() {
            Some(named) => named.contains(queue),
            None => self.subscriptions.borrow().contains_key(&*queue.topic),
        }
    }

    /// Topics that are subscribed or named.
    pub(crate) fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = self.subscriptions.borrow().keys().cloned().collect();
        let named = self.named().unwrap_or_default();
        topics.extend(named.iter().map(|queue| queue.topic.to_string()));
        topics.sort();
        topics.dedup();
        topics
    }

    pub(crate) fn retry_topic(&self) -> String {
        names::retry_topic(&self.config.group)
    }

    pub(crate) fn is_broadcasting(&self) -> bool {
        self.config.model == MessageModel::Broadcasting
    }

    /// The queue, if it is ours.
    pub(crate) fn find(&self, queue: &MessageQueue) -> Option<Rc<Assigned>> {
        self.assigned.borrow().get(queue).cloned()
    }

    /// All queues that are ours.
    pub(crate) fn all_assigned(&self) -> Vec<Rc<Assigned>> {
        self.assigned.borrow().values().cloned().collect()
    }

    /// When to stop pulling a queue. Only concurrent consumption can leave one message behind
    /// while others pass.
    pub(crate) fn flow_limits(&self) -> FlowLimits {
        match self.consumption {
            Consumption::Concurrent(_) => self.config.flow,
            Consumption::Orderly(_) | Consumption::Polled(_) => {
                FlowLimits { span_max: i64::MAX, ..self.config.flow }
            }
        }
    }

    /// Whether all queues together hold as much as may wait for polls.
    pub(crate) fn is_buffer_full(&self) -> bool {
        let held = || self.assigned.borrow().values().map(|a| a.held.borrow().len()).sum::<usize>();
        self.consumption.is_polled() && held() >= self.config.buffered_max
    }

    /// Leaves the group: stops loops, waits a while for listeners, stores offsets, gives queues
    /// back, says goodbye. Whoever calls it again returns when that is done, too.
    pub(crate) async fn stop(self: &Rc<Self>) {
        let _turn = self.stop_turn.enter().await;
        if self.is_stopping.replace(true) {
            return;
        }
        self.rebalance_now.notify_all();
        let assigned = self.all_assigned();
        if self.commits_by_itself() {
            self.settle_polled();
        }
        self.consumption.drain(&assigned).await;
        if self.commits_by_itself() {
            // What is not stored is told by the log; its next owner gets it again.
            let _ = self.persist_all().await;
        }
        if let Some(locks) = self.locks() {
            self.unlock_all(locks, &assigned).await;
        }
        assigned.iter().for_each(|assigned| assigned.give_up());
        self.assigned.borrow_mut().clear();
        // First: a heartbeat behind the goodbye would make us a member again.
        self.has_left.set(true);
        self.instance.unregister_consumer(&self.config.group).await;
        self.instance.remove_member(&self.config.group);
    }
}
