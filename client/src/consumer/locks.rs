//! The locks under which queues are consumed in order.
//!
//! The broker forgets a lock 60 s after it was last confirmed; we stop trusting ours after 30 s. A
//! queue whose lock turns out to be lost is given up and divided anew, with its offset asked again,
//! since somebody else may have consumed it meanwhile.
//!
//! A queue that is given up may have a batch at work. Its listener cannot be stopped, so the lock
//! is given back when it has returned.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_runtime::sync::{Notify, Turn};
use ringmq_runtime::{clock, task};

use super::assigned::Assigned;
use super::at_brokers::at_brokers;
use super::consumption::Consumption;
use super::member::Member;
use crate::queue::MessageQueue;

/// How often locks are confirmed.
const LOCK_INTERVAL: Duration = Duration::from_secs(20);
/// Time for which a confirmed lock is trusted: half of what the broker grants.
const LOCK_TRUSTED_MS: u64 = 30_000;

/// What is under way with the locks of a member.
#[derive(Default)]
pub(super) struct Locks {
    /// Queues given up whose locks are still ours: their offsets are being stored, or a batch of
    /// theirs is at work.
    still_locked: RefCell<BTreeSet<MessageQueue>>,
    /// Entered from the question for locks until each is with a queue that is ours, or is given
    /// back.
    pub(super) take_turn: Turn,
    /// Entered while locks are confirmed. Not the turn above: while one broker does not say where
    /// its queues begin, the locks of others would expire.
    confirm_turn: Turn,
}

impl Locks {
    /// These queues are given up; their locks stay ours until they are unlocked.
    pub(super) fn stay_with(&self, given_up: &[Rc<Assigned>]) {
        self.still_locked.borrow_mut().extend(given_up.iter().map(|it| it.queue.clone()));
    }

    /// Whether the queue was given up, and its lock is still ours.
    pub(super) fn is_still_locked(&self, queue: &MessageQueue) -> bool {
        self.still_locked.borrow().contains(queue)
    }

    /// The lock of the queue is given back.
    fn unlocked(&self, queue: &MessageQueue) {
        self.still_locked.borrow_mut().remove(queue);
    }
}

/// The lock of one queue, and the turn of its batches.
#[derive(Default)]
pub(crate) struct QueueLock {
    /// Entered by a batch from its begin to its end, so that a batch of an assignment that was
    /// given up ends before one of the next begins.
    pub(super) batch_turn: Rc<Turn>,
    /// When we last asked for a lock that the broker granted, on the monotonic clock in
    /// milliseconds.
    pub(crate) locked_at_ms: Cell<Option<u64>>,
    /// Wakes the orderly loop: messages arrived.
    pub(super) ready: Notify,
}

impl QueueLock {
    /// The lock that counts from `locked_at_ms`, if there is one.
    pub(super) fn new(batch_turn: Rc<Turn>, locked_at_ms: Option<u64>) -> Self {
        Self { batch_turn, locked_at_ms: Cell::new(locked_at_ms), ready: Notify::new() }
    }

    fn is_trusted(&self) -> bool {
        let at = self.locked_at_ms.get();
        at.is_some_and(|at| clock::monotonic_ms() - at < LOCK_TRUSTED_MS)
    }
}

/// What a broker says when it is asked for the lock of a queue.
pub(crate) struct LockAnswer {
    pub(crate) queue: MessageQueue,
    /// From when the lock counts: from the question, since the broker counts from before its
    /// answer. `None`: somebody else has it.
    pub(crate) granted_at_ms: Option<u64>,
}

impl Member {
    /// The locks, if its queues are consumed under any: in order, and each by one client of the
    /// group.
    pub(super) fn locks(&self) -> Option<&Locks> {
        match &self.consumption {
            Consumption::Orderly(orderly) if !self.is_broadcasting() => Some(&orderly.locks),
            _ => None,
        }
    }

    /// Whether the queue may be consumed now, as far as locks go.
    pub(crate) fn holds_lock(&self, assigned: &Assigned) -> bool {
        self.locks().is_none() || assigned.lock.is_trusted()
    }

    /// Asks brokers, all at once, to lock queues for us or to confirm our locks. Queues of a broker
    /// that does not answer are not in what comes back.
    ///
    /// Who calls it holds a turn that a stop waits for, or the stop would miss what is granted.
    pub(crate) async fn lock(self: &Rc<Self>, queues: Vec<MessageQueue>) -> Vec<LockAnswer> {
        let lock = |broker_name, queues| self.clone().lock_at_broker(broker_name, queues);
        let answers = at_brokers("lock", queues, |queue| queue, lock).await;
        answers.into_iter().flatten().collect()
    }

    async fn lock_at_broker(
        self: Rc<Self>,
        broker_name: Arc<str>,
        queues: Vec<MessageQueue>,
    ) -> Vec<LockAnswer> {
        let asked_at_ms = clock::monotonic_ms();
        let answer = match self.instance.master(&broker_name) {
            Ok(broker) => self.instance.lock(&broker, &self.config.group, &queues).await,
            Err(fault) => Err(fault),
        };
        match answer {
            Ok(granted) => {
                let is_granted = |queue: &MessageQueue| granted.contains(queue);
                let answered = queues.into_iter().map(|queue| LockAnswer {
                    granted_at_ms: is_granted(&queue).then_some(asked_at_ms),
                    queue,
                });
                answered.collect()
            }
            Err(fault) => {
                tracing::warn!(%broker_name, %fault, "queues not locked");
                Vec::new()
            }
        }
    }

    /// Releases locks; a broker that does not hear it forgets them after a minute.
    async fn unlock(self: &Rc<Self>, queues: Vec<MessageQueue>) {
        let unlock = |broker_name, queues| self.clone().unlock_at_broker(broker_name, queues);
        at_brokers("unlock", queues, |queue| queue, unlock).await;
    }

    async fn unlock_at_broker(self: Rc<Self>, broker_name: Arc<str>, queues: Vec<MessageQueue>) {
        let Ok(broker) = self.instance.master(&broker_name) else { return };
        if self.has_successor() {
            return;
        }
        if let Err(fault) = self.instance.unlock(&broker, &self.config.group, &queues).await {
            tracing::warn!(%broker_name, %fault, "queues not unlocked");
        }
    }

    /// Whether this client has left the group and joined it again. Brokers cannot tell its members
    /// apart, so what is locked may be the other's.
    fn has_successor(&self) -> bool {
        let member = self.instance.member(&self.config.group);
        member.is_some_and(|member| !std::ptr::eq(&*member, self))
    }

    /// Unlocks those of these queues that have no batch at work; the broker forgets the locks of
    /// the others after a minute.
    pub(crate) async fn unlock_idle(self: &Rc<Self>, mut queues: Vec<MessageQueue>) {
        queues.retain(|queue| !self.batch_turn(queue).is_taken());
        self.unlock(queues).await;
    }

    /// Unlocks queues that are [still locked](Locks::still_locked): at once, or when the batch at
    /// work has returned.
    pub(super) async fn unlock_given_up(
        self: &Rc<Self>,
        locks: &Locks,
        given_up: Vec<Rc<Assigned>>,
    ) {
        let (busy, idle): (Vec<_>, Vec<_>) =
            given_up.into_iter().partition(|assigned| assigned.lock.batch_turn.is_taken());
        for assigned in busy {
            task::spawn("unlock later", self.clone().unlock_later(assigned)).detach();
        }
        let idle: Vec<_> = idle.iter().map(|idle| idle.queue.clone()).collect();
        self.unlock(idle.clone()).await;
        idle.iter().for_each(|queue| locks.unlocked(queue));
    }

    /// Unlocks, for a stop, what is still locked: queues that are ours, and those given up.
    pub(super) async fn unlock_all(self: &Rc<Self>, locks: &Locks, assigned: &[Rc<Assigned>]) {
        // Behind what is being asked for; a member that stops asks for nothing more.
        drop(locks.take_turn.enter().await);
        drop(locks.confirm_turn.enter().await);
        let mut locked: Vec<_> = assigned.iter().map(|assigned| assigned.queue.clone()).collect();
        locked.extend(locks.still_locked.borrow().iter().cloned());
        self.unlock_idle(locked).await;
    }

    async fn unlock_later(self: Rc<Self>, assigned: Rc<Assigned>) {
        let Some(locks) = self.locks() else { return };
        let (queue, group) = (&assigned.queue, &self.config.group);
        let delay = self.config.orderly_unlock_delay;
        if task::timeout(delay, assigned.lock.batch_turn.enter()).await.is_err() {
            tracing::warn!(%queue, group, "given up while its listener is still at work");
        }
        self.unlock(vec![queue.clone()]).await;
        locks.unlocked(queue);
        self.rebalance_now.notify_one();
    }

    /// The turn of a queue's batches.
    pub(crate) fn batch_turn(&self, queue: &MessageQueue) -> Rc<Turn> {
        self.instance.batch_turns.of(&self.config.group, queue)
    }

    /// Confirms locks, if there are any, until the member stops.
    pub(crate) async fn lock_loop(self: Rc<Self>) {
        let Some(locks) = self.locks() else { return };
        while !self.is_stopping.get() {
            task::sleep(LOCK_INTERVAL).await;
            let _turn = locks.confirm_turn.enter().await;
            if self.is_stopping.get() {
                return;
            }
            // No answer: trust ends by itself, and a later confirmation restores it.
            for answer in self.lock(self.assigned_queues()).await {
                self.lock_answered(&answer);
            }
        }
    }

    fn lock_answered(&self, answer: &LockAnswer) {
        let LockAnswer { queue, granted_at_ms } = answer;
        let Some(assigned) = self.find(queue) else { return };
        if granted_at_ms.is_some() && self.holds_lock(&assigned) {
            // The queue may have been taken anew meanwhile.
            let locked_at_ms = &assigned.lock.locked_at_ms;
            locked_at_ms.set(locked_at_ms.get().max(*granted_at_ms));
            return;
        }
        tracing::warn!(%queue, group = self.config.group, "lock lost, queue divided anew");
        assigned.give_up();
        self.assigned.borrow_mut().remove(queue);
        self.offsets.borrow_mut().remove(queue);
        self.rebalance_now.notify_one();
    }

    fn assigned_queues(&self) -> Vec<MessageQueue> {
        self.assigned.borrow().keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_lite::future::poll_once;
    use ringmq_runtime::shards;

    use crate::config::{ConsumerConfig, MessageModel};
    use crate::consumer::orderly::tests::{member, member_with};

    #[test]
    fn a_stop_gives_locks_back_when_those_being_asked_for_are_answered() {
        shards::block_on(async {
            let member = member();
            let locks = member.locks().expect("it consumes in order");
            for asking in [&locks.take_turn, &locks.confirm_turn] {
                let asked = asking.enter().await;
                let mut given_back = pin!(member.unlock_all(locks, &[]));
                assert!(poll_once(given_back.as_mut()).await.is_none(), "granted behind it");
                drop(asked);
                given_back.await;
            }
        });
    }

    #[test]
    fn a_broadcasting_group_confirms_no_locks() {
        shards::block_on(async {
            let confirms = async |model| {
                let config = ConsumerConfig { model, ..ConsumerConfig::new("g") };
                poll_once(pin!(member_with(config).lock_loop())).await.is_none()
            };
            assert!(confirms(MessageModel::Clustering).await);
            // The others of its group have the same queues: one alone would be granted their locks.
            assert!(!confirms(MessageModel::Broadcasting).await);
        });
    }
}
