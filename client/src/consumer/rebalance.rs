//! One pass of dividing queues: every 20 s, when the broker says that members changed, and a
//! second after a pass that could not be finished.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::names::RETRY_PREFIX;
use ringmq_runtime::task;

use super::assigned::Assigned;
use super::at_brokers::at_brokers;
use super::locks::{Locks, QueueLock};
use super::member::Member;
use super::progress::Due;
use crate::error::{ClientError, Fault};
use crate::instance::{Commit, Server};
use crate::queue::{MessageQueue, java_order};
use crate::routes::TopicRoute;

/// Pause after a pass that left queues without an offset or a lock.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Whether a pass did all it had to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Complete,
    Incomplete,
}

impl Member {
    /// Rebalances until the member stops.
    pub(crate) async fn rebalance_loop(self: Rc<Self>) {
        while !self.is_stopping.get() {
            let pause = match self.rebalance().await {
                Pass::Complete => self.instance.config.rebalance,
                Pass::Incomplete => AGAIN_AFTER,
            };
            let _ = task::timeout(pause, self.rebalance_now.notified()).await;
        }
    }

    /// Divides all topics once, behind a pass that is under way.
    pub(crate) async fn rebalance(self: &Rc<Self>) -> Pass {
        let _turn = self.rebalance_turn.enter().await;
        let mut pass = Pass::Complete;
        let mut wanted = BTreeSet::new();
        let mut undecided = BTreeSet::new();
        for topic in self.topics() {
            match self.share_of(&topic).await {
                Ok(share) => wanted.extend(share),
                Err(error) => {
                    // A retry topic comes into being with the first heartbeat; nobody waits for it.
                    if !topic.starts_with(RETRY_PREFIX) {
                        tracing::debug!(topic, group = self.config.group, %error, "no rebalance");
                        pass = Pass::Incomplete;
                    }
                    undecided.insert(topic);
                }
            }
        }
        if self.is_stopping.get() {
            return pass;
        }
        let keep =
            |queue: &MessageQueue| wanted.contains(queue) || undecided.contains(&*queue.topic);
        self.give_up_others(keep).await;
        let missing = wanted.into_iter().filter(|queue| self.find(queue).is_none()).collect();
        if self.take(missing).await == Pass::Incomplete {
            pass = Pass::Incomplete;
        }
        pass
    }

    /// Our queues of one topic.
    async fn share_of(&self, topic: &str) -> Result<Vec<MessageQueue>, ClientError> {
        if let Some(named) = self.named() {
            return Ok(named.iter().filter(|queue| &*queue.topic == topic).cloned().collect());
        }
        let route = self.instance.route(topic).await?;
        if self.is_broadcasting() {
            return Ok(route.subscribe.clone());
        }
        let mut members = self.members(topic, &route).await?;
        members.sort_by(|a, b| java_order(a, b));
        members.dedup();
        let me = &self.instance.identity().client_id;
        Ok(self.config.allocation.allocate(me, &route.subscribe, &members))
    }

    /// Asks a broker of the topic who is in the group. All of them know; any will do.
    async fn members(&self, topic: &str, route: &TopicRoute) -> Result<Vec<String>, ClientError> {
        let action = format!("look-up of members of group {}", self.config.group);
        let mut attempts = Vec::new();
        for set in &route.brokers {
            let Some((_, address)) = set.addresses.first_key_value() else { continue };
            let broker = Server::new(&set.name, address);
            match self.instance.members_of(&broker, &self.config.group).await {
                Ok(members) => return Ok(members),
                Err(fault) => attempts.push(broker.attempt(fault)),
            }
        }
        if attempts.is_empty() {
            return Err(ClientError::no_route(topic, "readable", "no broker"));
        }
        Err(ClientError::Failed { action, attempts })
    }

    /// Gives up all queues that `keep` does not name: stores their offsets, releases their locks.
    ///
    /// A queue whose batch is at work in order keeps its lock until that has returned.
    async fn give_up_others(self: &Rc<Self>, keep: impl Fn(&MessageQueue) -> bool) {
        let given_up: Vec<_> = {
            let mut assigned = self.assigned.borrow_mut();
            let others = assigned.values().filter(|assigned| !keep(&assigned.queue));
            let others: Vec<_> = others.cloned().collect();
            others.iter().for_each(|other| {
                assigned.remove(&other.queue);
            });
            others
        };
        if given_up.is_empty() {
            return;
        }
        let locks = self.locks();
        if let Some(locks) = locks {
            // Now: the member may stop before they are unlocked.
            locks.stay_with(&given_up);
        }
        let mut due = Vec::new();
        for assigned in &given_up {
            assigned.give_up();
            let offset = self.offsets.borrow().get(&assigned.queue);
            let offset = offset.filter(|_| self.commits_by_itself());
            due.extend(offset.map(|offset| Due::GivenUp(assigned.queue.clone(), offset)));
        }
        if self.is_broadcasting() {
            return;
        }
        self.commit(due, Commit::Confirm).await;
        let queues: Vec<_> = given_up.iter().map(|assigned| assigned.queue.clone()).collect();
        // The next owner moves them on: what we knew is history.
        queues.iter().for_each(|queue| self.offsets.borrow_mut().remove(queue));
        tracing::info!(group = self.config.group, ?queues, "queues given up");
        if let Some(locks) = locks {
            self.unlock_given_up(locks, given_up).await;
        }
    }

    /// Begins to consume queues. Those without a lock or an offset wait for the next pass.
    async fn take(self: &Rc<Self>, queues: Vec<MessageQueue>) -> Pass {
        let wanted = queues.len();
        let taken = match self.locks() {
            Some(locks) => self.lock_and_take(locks, queues).await,
            None => self.take_all(queues.into_iter().map(|queue| (queue, None)).collect()).await,
        };
        if !taken.is_empty() {
            tracing::info!(group = self.config.group, queues = ?taken, "queues taken");
        }
        if taken.len() == wanted { Pass::Complete } else { Pass::Incomplete }
    }

    /// Begins to consume queues whose locks we get, but for those still locked by us. A lock that
    /// is of no use is given back: the queue may be another member's by the next pass, and we may
    /// be about to leave.
    async fn lock_and_take(
        self: &Rc<Self>,
        locks: &Locks,
        mut queues: Vec<MessageQueue>,
    ) -> Vec<MessageQueue> {
        queues.retain(|queue| !locks.is_still_locked(queue));
        let _turn = locks.take_turn.enter().await;
        if self.is_stopping.get() {
            return Vec::new();
        }
        let answers = self.lock(queues).await.into_iter();
        let granted = answers.filter(|answer| answer.granted_at_ms.is_some());
        let locked: Vec<_> = granted.map(|answer| (answer.queue, answer.granted_at_ms)).collect();
        let mut useless: Vec<_> = locked.iter().map(|(queue, _)| queue.clone()).collect();
        let taken = self.take_all(locked).await;
        useless.retain(|queue| self.find(queue).is_none());
        self.unlock_idle(useless).await;
        taken
    }

    /// Begins to consume queues, with the times from which their locks count.
    async fn take_all(
        self: &Rc<Self>,
        queues: Vec<(MessageQueue, Option<u64>)>,
    ) -> Vec<MessageQueue> {
        let take = |_, queues| self.clone().take_at_broker(queues);
        at_brokers("take queues", queues, |(queue, _)| queue, take).await.concat()
    }

    /// Begins to consume queues of one broker, but for those that are not wanted any more. One that
    /// does not answer is not asked again.
    async fn take_at_broker(
        self: Rc<Self>,
        queues: Vec<(MessageQueue, Option<u64>)>,
    ) -> Vec<MessageQueue> {
        let mut taken = Vec::new();
        for (queue, locked_at_ms) in queues {
            if self.is_stopping.get() {
                break;
            }
            if !self.is_wanted(&queue) {
                continue;
            }
            match self.first_offset(&queue).await {
                Ok(_) if !self.is_wanted(&queue) => {}
                Ok(offset) => taken.extend(self.begin(queue, offset, locked_at_ms)),
                Err(fault) => {
                    self.report_no_offset(&queue, &fault);
                    if fault.is_silence() {
                        break;
                    }
                }
            }
        }
        taken
    }

    /// Starts the loops of one queue; `None` when the member stops, or the queue is ours already.
    fn begin(
        self: &Rc<Self>,
        queue: MessageQueue,
        offset: i64,
        locked_at_ms: Option<u64>,
    ) -> Option<MessageQueue> {
        if self.is_stopping.get() || self.find(&queue).is_some() {
            return None;
        }
        let lock = QueueLock::new(self.batch_turn(&queue), locked_at_ms);
        let assigned = Assigned::new(queue.clone(), offset, lock);
        self.assigned.borrow_mut().insert(queue.clone(), assigned.clone());
        task::spawn("pull loop", self.clone().pull_loop(assigned.clone())).detach();
        if self.consumption.is_orderly() {
            task::spawn("orderly loop", self.clone().orderly_loop(assigned)).detach();
        }
        Some(queue)
    }

    /// Starts a queue that is ours anew at `offset`: that is how far it is consumed now.
    pub(crate) fn restart(self: &Rc<Self>, queue: &MessageQueue, offset: i64) {
        if self.find(queue).is_some() {
            self.offsets.borrow_mut().reset(queue, offset);
            self.begin_anew(queue, offset);
        }
    }

    /// Goes on at `offset` of a queue that is ours: what was pulled is forgotten.
    pub(crate) fn begin_anew(self: &Rc<Self>, queue: &MessageQueue, offset: i64) {
        let old = self.assigned.borrow_mut().remove(queue);
        let Some(old) = old else { return };
        old.give_up();
        // Nobody confirmed the lock anew.
        if self.begin(queue.clone(), offset, old.lock.locked_at_ms.get()).is_some()
            && let Some(new) = self.find(queue)
        {
            new.poll.is_paused.set(old.poll.is_paused.get());
            new.poll.begin_at(offset);
        }
    }

    fn report_no_offset(&self, queue: &MessageQueue, fault: &Fault) {
        tracing::warn!(%queue, group = self.config.group, %fault, "no offset to begin at");
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::shards;

    use super::*;
    use crate::consumer::orderly::tests::member;

    #[test]
    fn a_lock_counts_from_the_question_for_it_and_not_from_what_came_after_its_answer() {
        shards::block_on(async {
            let member = member();
            let queue = MessageQueue::new("T", "b", 0);
            member.begin(queue.clone(), 0, Some(7));
            let locked_at_ms = || member.find(&queue).expect("ours").lock.locked_at_ms.get();
            assert_eq!(locked_at_ms(), Some(7));
            member.begin_anew(&queue, 5);
            assert_eq!(locked_at_ms(), Some(7), "nobody confirmed it anew");
        });
    }
}
