//! Consumption in order: one batch of a queue at a time, in a clustering group under a lock that
//! the broker keeps.
//!
//! An assignment of a queue to this client begins its first batch when the one of an earlier
//! assignment has returned. What the listener of a queue that is given up says is ignored: its
//! batch comes again.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_runtime::{clock, task};

use super::assigned::Assigned;
use super::consumption::Consumption;
use super::listener::{OrderlyContext, OrderlyStatus};
use super::member::Member;
use crate::received::ReceivedMessage;

/// Pause while the lock is not trusted or nothing is held.
const IDLE_PAUSE: Duration = Duration::from_secs(1);

impl Member {
    /// Consumes one queue in order until it is given up.
    pub(crate) async fn orderly_loop(self: Rc<Self>, assigned: Rc<Assigned>) {
        let Consumption::Orderly(orderly) = &self.consumption else { return };
        let mut attempt = 0;
        while !assigned.is_given_up.get() && !self.is_stopping.get() {
            let turn = assigned.lock.batch_turn.enter().await;
            let is_over = assigned.is_given_up.get() || self.is_stopping.get();
            let batch = match self.holds_lock(&assigned) && !is_over {
                true => assigned.held.borrow_mut().take(orderly.batch),
                false => Vec::new(),
            };
            if batch.is_empty() {
                drop(turn);
                let _ = task::timeout(IDLE_PAUSE, assigned.lock.ready.notified()).await;
                continue;
            }
            let context = OrderlyContext { queue: assigned.queue.clone(), attempt };
            let status = orderly.run(batch.clone(), context).await;
            let is_done = status == OrderlyStatus::Success
                || !assigned.is_given_up.get() && self.make_dead_letters(attempt, &batch).await;
            drop(turn);
            if assigned.is_given_up.get() {
                return;
            }
            assigned.consumed_at_ms.set(clock::unix_ms());
            if is_done {
                self.commit_taken(&assigned);
                attempt = 0;
            } else {
                assigned.held.borrow_mut().put_back_taken();
                attempt += 1;
                task::sleep(self.config.orderly_suspend).await;
            }
        }
    }

    fn commit_taken(&self, assigned: &Assigned) {
        if let Some(offset) = assigned.held.borrow_mut().commit_taken() {
            self.offsets.borrow_mut().advance(&assigned.queue, offset);
        }
        assigned.room.notify_one();
    }

    /// Sends messages that came too often to the retry topic, where the broker makes dead letters
    /// of them. `false`: they are to be consumed again.
    async fn make_dead_letters(&self, attempt: u32, batch: &[Arc<ReceivedMessage>]) -> bool {
        let Ok(bound) = u32::try_from(self.config.reconsume_times_max) else { return false };
        if attempt < bound {
            return false;
        }
        // Brokers before 5.0 have no other rule for dead letters than that this reached the bound.
        let times = self.config.reconsume_times_max;
        for message in batch {
            if let Err(error) = self.send_to_retry_topic(message, times, times).await {
                tracing::warn!(id = message.message_id(), %error, "no dead letter, consumed again");
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{ClientConfig, ConsumerConfig};
    use crate::consumer::consumption::Orderly;
    use crate::instance::Instance;

    /// A member of group `g` whose name server nobody is.
    pub(in crate::consumer) fn member() -> Rc<Member> {
        member_with(ConsumerConfig::new("g"))
    }

    pub(in crate::consumer) fn member_with(config: ConsumerConfig) -> Rc<Member> {
        let instance = Instance::new(ClientConfig::new("127.0.0.1:1"));
        let listener = |_: &[Arc<ReceivedMessage>], _: &OrderlyContext| OrderlyStatus::Success;
        let orderly = Orderly::new(Arc::new(listener), 1, 1).expect("a thread");
        Member::new(instance, config, Consumption::Orderly(orderly))
    }
}
