//! What polls hand out, and how far that counts.
//!
//! A message of a queue that is polled is, one after the other,
//! - *held*: pulled, in the process queue;
//! - *polled*: handed to whoever asked. The queue's [`PollState::polled_to`] stands behind it. One
//!   that is handed to a poll which was dropped meanwhile is seen by nobody and is held again,
//!   before all newer ones;
//! - *arrived*: whoever asked has it;
//! - *processed*: its application says so. With `auto_commit` the next poll does, and leaving the
//!   group; without it only a commit. The offset table stands behind it.
//!
//! Invariants: what is stored comes from the offset table alone, so nothing is stored of a message
//! before it was processed, nor of one behind a message that has not arrived; `polled_to` is never
//! above a message that is held. A queue that is given up loses what was polled and not processed
//! to its next owner, who gets it again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::{remote, task};

use super::member::Member;
use super::progress::First;
use crate::error::Fault;
use crate::queue::MessageQueue;
use crate::received::ReceivedMessage;

/// A poll that waits looks this often whether it was dropped.
const DROPPED_CHECK: Duration = Duration::from_secs(1);

/// What polls of a member share.
pub(crate) struct Polled {
    /// Queues that were named instead of divided.
    pub(super) named: RefCell<Option<Rc<[MessageQueue]>>>,
    /// Wakes whoever polls: messages arrived.
    pub(super) arrived: Notify,
    /// Counts polls, to serve queues in turn.
    turn: Cell<u64>,
    /// The way back for messages that were handed to nobody.
    returns: async_channel::Sender<Batch>,
    returned: async_channel::Receiver<Batch>,
}

impl Polled {
    pub(crate) fn new() -> Self {
        // Unbounded like what is polled: what comes back was held before.
        let (returns, returned) = async_channel::unbounded();
        let (named, arrived, turn) = (RefCell::default(), Notify::new(), Cell::new(0));
        Self { named, arrived, turn, returns, returned }
    }

    /// Whoever polls shall wait no longer, nor the loop that takes messages back: it is the last
    /// owner of the member.
    pub(super) fn end(&self) {
        self.arrived.notify_all();
        self.returned.close();
    }
}

/// Messages of one queue.
pub(super) struct Batch {
    queue: MessageQueue,
    /// [`Assigned::id`] of the assignment that they belong to.
    assignment: u64,
    messages: Vec<Arc<ReceivedMessage>>,
    has_arrived: Arc<AtomicBool>,
}

/// Messages on their way to whoever polls, on whichever thread; dropped on the way, they go back.
pub(crate) struct HandedOut {
    batch: Option<Batch>,
    returns: async_channel::Sender<Batch>,
}

impl HandedOut {
    /// They have arrived.
    pub(super) fn accept(mut self) -> Vec<Arc<ReceivedMessage>> {
        let Some(batch) = self.batch.take() else { return Vec::new() };
        // What this thread asks for next sees it: that counts the batch.
        batch.has_arrived.store(true, Ordering::Release);
        batch.messages
    }
}

impl Drop for HandedOut {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            // Closed: the member left, and the queue's next owner gets them.
            let _ = self.returns.try_send(batch);
        }
    }
}

impl Member {
    /// Hands up to `max` messages of one queue `to` whoever polls, or nothing after `timeout`.
    pub(super) async fn poll(&self, max: usize, timeout: Duration, to: remote::Sender<HandedOut>) {
        let Some(polled) = self.consumption.polled() else { return };
        if self.commits_by_itself() {
            self.settle_polled();
        }
        if max == 0 {
            return;
        }
        let deadline = Instant::now() + timeout;
        loop {
            if to.is_closed() {
                // The wake-up that came here is for another one who polls.
                return polled.arrived.notify_one();
            }
            if let Some(handed_out) = self.hand_out(polled, max) {
                return to.send(handed_out);
            }
            let left = deadline.saturating_since(Instant::now());
            if left.is_zero() || self.is_stopping.get() {
                return;
            }
            let _ = task::timeout(left.min(DROPPED_CHECK), polled.arrived.notified()).await;
        }
    }

    /// Takes messages of the queue that was served longest ago.
    fn hand_out(&self, polled: &Polled, max: usize) -> Option<HandedOut> {
        self.take_back(polled);
        let assigned = self.all_assigned();
        let ready = assigned.iter().filter(|assigned| {
            !assigned.poll.is_paused.get() && !assigned.held.borrow().is_empty()
        });
        let next = ready.min_by_key(|assigned| assigned.poll.turn.get())?;
        polled.turn.set(polled.turn.get() + 1);
        next.poll.turn.set(polled.turn.get());
        let (messages, polled_to) = next.held.borrow_mut().hand_out(max);
        let first = messages.first()?.queue_offset;
        let has_arrived = next.poll.begin_batch(first, polled_to);
        next.room.notify_one();
        // There may be more for others who poll.
        polled.arrived.notify_one();
        let (queue, assignment) = (next.queue.clone(), next.id);
        let batch = Some(Batch { queue, assignment, messages, has_arrived });
        Some(HandedOut { batch, returns: polled.returns.clone() })
    }

    /// What was handed to nobody is held again.
    fn take_back(&self, polled: &Polled) {
        while let Ok(batch) = polled.returned.try_recv() {
            self.hold_again(batch);
        }
    }

    fn hold_again(&self, batch: Batch) {
        let assigned = self.find(&batch.queue).filter(|found| found.id == batch.assignment);
        let Some(assigned) = assigned else { return };
        assigned.held.borrow_mut().put(batch.messages);
        assigned.poll.take_back(&batch.has_arrived, assigned.held.borrow().commit_offset());
    }

    /// Takes back what was handed to nobody, for polls that wait, until the member stops.
    pub(super) async fn return_loop(self: Rc<Self>) {
        let Some(polled) = self.consumption.polled() else { return };
        while let Ok(batch) = polled.returned.recv().await {
            self.hold_again(batch);
            polled.arrived.notify_one();
        }
    }

    /// The offset of the next message of `queue`: for polls if it is ours, else for its group.
    pub(super) async fn position(&self, queue: &MessageQueue) -> Result<i64, Fault> {
        if let Some(assigned) = self.find(queue) {
            let held = || assigned.held.borrow().commit_offset();
            let next = assigned.poll.polled_to().or_else(held);
            return Ok(next.unwrap_or(assigned.next_offset.get()));
        }
        let kept = self.offsets.borrow().get(queue).filter(|_| self.is_broadcasting());
        match kept {
            Some(offset) => Ok(offset),
            None => self.look_up_first(queue).await.map(First::offset),
        }
    }

    /// What was polled and has arrived is processed.
    pub(super) fn settle_polled(&self) {
        let Some(polled) = self.consumption.polled() else { return };
        self.take_back(polled);
        let mut offsets = self.offsets.borrow_mut();
        for assigned in self.assigned.borrow().values() {
            if let Some(offset) = assigned.poll.arrived_to() {
                offsets.reset(&assigned.queue, offset);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::shards;

    use super::*;
    use crate::config::{ClientConfig, ConsumerConfig};
    use crate::consumer::assigned::Assigned;
    use crate::consumer::consumption::Consumption;
    use crate::consumer::locks::QueueLock;
    use crate::instance::Instance;

    /// A member with one queue that holds the messages 0..10, nothing of which is processed.
    fn member() -> (Rc<Member>, MessageQueue) {
        let instance = Instance::new(ClientConfig::new("127.0.0.1:1"));
        let consumption = Consumption::Polled(Polled::new());
        let member = Member::new(instance, ConsumerConfig::new("g"), consumption);
        let queue = MessageQueue::new("T", "b", 0);
        let assigned = Assigned::new(queue.clone(), 0, QueueLock::default());
        let messages = (0..10).map(|at| Arc::new(ReceivedMessage::sample(at, b"x")));
        assigned.held.borrow_mut().put(messages.collect());
        member.assigned.borrow_mut().insert(queue.clone(), assigned);
        (member, queue)
    }

    async fn poll(member: &Member, max: usize) -> remote::Receiver<HandedOut> {
        let (sender, receiver) = remote::oneshot();
        member.poll(max, Duration::ZERO, sender).await;
        receiver
    }

    async fn offsets(answer: remote::Receiver<HandedOut>) -> Vec<i64> {
        let messages = answer.await.map_or_else(|_| Vec::new(), HandedOut::accept);
        messages.iter().map(|message| message.queue_offset).collect()
    }

    #[test]
    fn a_batch_counts_when_the_next_one_is_asked_for() {
        shards::block_on(async {
            let (member, queue) = member();
            assert_eq!(offsets(poll(&member, 4).await).await, [0, 1, 2, 3]);
            assert_eq!(member.offsets.borrow().due(0).next(), None, "it is being processed");
            assert_eq!(offsets(poll(&member, 4).await).await, [4, 5, 6, 7]);
            assert!(member.offsets.borrow().due(0).eq([&queue]));
            assert_eq!(member.offsets.borrow().get(&queue), Some(4));
        });
    }

    #[test]
    fn a_batch_that_arrives_nowhere_comes_first_in_the_next_poll() {
        shards::block_on(async {
            let (member, queue) = member();
            drop(poll(&member, 4).await);
            let next = poll(&member, 6).await;
            assert_eq!(member.offsets.borrow().get(&queue), Some(0), "nobody saw any");
            assert_eq!(offsets(next).await, [0, 1, 2, 3, 4, 5]);
            let (late, other) = (poll(&member, 2).await, poll(&member, 2).await);
            assert_eq!(member.offsets.borrow().get(&queue), Some(6), "nobody saw it yet");
            drop(late);
            assert_eq!(offsets(other).await, [8, 9]);
            assert_eq!(offsets(poll(&member, 9).await).await, [6, 7]);
            assert!(offsets(poll(&member, 9).await).await.is_empty());
            assert_eq!(member.offsets.borrow().get(&queue), Some(10));
        });
    }

    #[test]
    fn what_is_handed_out_and_never_arrives_is_not_counted_by_a_stop() {
        shards::block_on(async {
            let (member, queue) = member();
            assert_eq!(offsets(poll(&member, 4).await).await, [0, 1, 2, 3]);
            let late = poll(&member, 4).await;
            member.stop().await;
            drop(late);
            assert_eq!(member.offsets.borrow().get(&queue), Some(4), "nobody saw the rest");
        });
    }

    #[test]
    fn a_poll_for_nothing_does_not_wait() {
        shards::block_on(async {
            let (member, _) = member();
            let (sender, receiver) = remote::oneshot();
            member.poll(0, Duration::from_millis(100), sender).await;
            assert!(offsets(receiver).await.is_empty());
            let polled = member.consumption.polled().expect("it is polled");
            assert_eq!(polled.turn.get(), 0, "no queue was asked, let alone over and over");
        });
    }
}
