//! How a member consumes what its pull loops bring.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringmq_runtime::sync::Notify;
use ringmq_runtime::{remote, task};

use super::assigned::Assigned;
use super::listener::{
    ConcurrentListener, ConsumeStatus, OrderlyContext, OrderlyListener, OrderlyStatus,
};
use super::locks::Locks;
use super::polled::Polled;
use super::workers::Workers;
use crate::error::ClientError;
use crate::queue::MessageQueue;
use crate::received::ReceivedMessage;

/// At shutdown, listeners at work have this long to end; what they finish later is consumed again
/// by the next owner of the queue.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The ways to consume.
pub(crate) enum Consumption {
    /// By a listener, any order.
    Concurrent(Concurrent),
    /// By a listener, queue by queue in order.
    Orderly(Orderly),
    /// By whoever polls.
    Polled(Polled),
}

/// A listener and the threads that run it.
pub(crate) struct Concurrent {
    listener: Arc<dyn ConcurrentListener>,
    workers: Workers,
    batch: usize,
    results: async_channel::Sender<Outcome>,
    pub(crate) outcomes: async_channel::Receiver<Outcome>,
    /// Batches handed to the threads and not heard of again.
    under_way: Cell<usize>,
    idle: Notify,
}

/// A batch that a listener is done with.
pub(crate) struct Outcome {
    pub(crate) queue: MessageQueue,
    /// [`Assigned::id`] of the assignment that it belongs to.
    pub(crate) assignment: u64,
    pub(crate) messages: Vec<Arc<ReceivedMessage>>,
    /// `None`: skipped, since the queue is no longer ours.
    pub(crate) status: Option<ConsumeStatus>,
}

impl Concurrent {
    pub(crate) fn new(
        listener: Arc<dyn ConcurrentListener>,
        threads: usize,
        batch: usize,
    ) -> Result<Self, ClientError> {
        // Unbounded like the work that it answers, which the limits of process queues bound.
        let (results, outcomes) = async_channel::unbounded();
        let workers = Workers::start(threads)?;
        let (under_way, idle) = (Cell::new(0), Notify::new());
        Ok(Self { listener, workers, batch: batch.max(1), results, outcomes, under_way, idle })
    }

    /// Has the listener consume these messages of one queue.
    pub(crate) fn start(&self, assigned: &Assigned, messages: &[Arc<ReceivedMessage>]) {
        for batch in messages.chunks(self.batch) {
            self.under_way.set(self.under_way.get() + 1);
            let (listener, skip) = (self.listener.clone(), assigned.skip.clone());
            let (queue, assignment) = (assigned.queue.clone(), assigned.id);
            let (results, batch) = (self.results.clone(), batch.to_vec());
            let messages = batch.clone();
            let consume = move || {
                let is_wanted = !skip.load(Ordering::Relaxed);
                is_wanted.then(|| listener.consume(&batch))
            };
            self.workers.run(consume, move |status| {
                let status = status.unwrap_or(Some(ConsumeStatus::RetryLater(0)));
                let _ = results.try_send(Outcome { queue, assignment, messages, status });
            });
        }
    }

    /// An outcome was received.
    pub(crate) fn ended(&self) {
        self.under_way.set(self.under_way.get() - 1);
        if self.under_way.get() == 0 {
            self.idle.notify_all();
        }
    }
}

/// An ordered listener and the threads that run it.
pub(crate) struct Orderly {
    listener: Arc<dyn OrderlyListener>,
    workers: Workers,
    pub(crate) batch: usize,
    pub(super) locks: Locks,
    under_way: Cell<usize>,
    idle: Notify,
}

impl Orderly {
    pub(crate) fn new(
        listener: Arc<dyn OrderlyListener>,
        threads: usize,
        batch: usize,
    ) -> Result<Self, ClientError> {
        let workers = Workers::start(threads)?;
        let (under_way, idle) = (Cell::new(0), Notify::new());
        let (batch, locks) = (batch.max(1), Locks::default());
        Ok(Self { listener, workers, batch, locks, under_way, idle })
    }

    /// Has the listener consume one batch and waits for its verdict.
    pub(crate) async fn run(
        &self,
        messages: Vec<Arc<ReceivedMessage>>,
        context: OrderlyContext,
    ) -> OrderlyStatus {
        self.under_way.set(self.under_way.get() + 1);
        let (sender, verdict) = remote::oneshot();
        let listener = self.listener.clone();
        self.workers.run(
            move || listener.consume(&messages, &context),
            move |status| sender.send(status.unwrap_or(OrderlyStatus::Suspend)),
        );
        let status = verdict.await.unwrap_or(OrderlyStatus::Suspend);
        self.under_way.set(self.under_way.get() - 1);
        if self.under_way.get() == 0 {
            self.idle.notify_all();
        }
        status
    }
}

impl Consumption {
    pub(crate) fn is_orderly(&self) -> bool {
        matches!(self, Self::Orderly(_))
    }

    pub(crate) fn is_polled(&self) -> bool {
        self.polled().is_some()
    }

    /// What polls share, if it is polled.
    pub(super) fn polled(&self) -> Option<&Polled> {
        match self {
            Self::Polled(polled) => Some(polled),
            Self::Concurrent(_) | Self::Orderly(_) => None,
        }
    }

    /// New messages of a queue are held.
    pub(crate) fn start(&self, assigned: &Assigned, messages: &[Arc<ReceivedMessage>]) {
        match self {
            Self::Concurrent(concurrent) => concurrent.start(assigned, messages),
            Self::Orderly(_) => assigned.lock.ready.notify_one(),
            Self::Polled(polled) => polled.arrived.notify_one(),
        }
    }

    /// Has nobody begin anything more of these queues, and waits for listeners at work.
    pub(crate) async fn drain(&self, assigned: &[Rc<Assigned>]) {
        assigned.iter().for_each(|assigned| assigned.skip.store(true, Ordering::Relaxed));
        let (under_way, idle) = match self {
            Self::Concurrent(concurrent) => (&concurrent.under_way, &concurrent.idle),
            Self::Orderly(orderly) => (&orderly.under_way, &orderly.idle),
            Self::Polled(polled) => return polled.end(),
        };
        let all_ended = async {
            while under_way.get() > 0 {
                idle.notified().await;
            }
        };
        if task::timeout(DRAIN_TIMEOUT, all_ended).await.is_err() {
            let batches = under_way.get();
            tracing::warn!(batches, "listeners still at work at shutdown; messages come again");
        }
        if let Self::Concurrent(concurrent) = self {
            // Ends the loop that reads them, and with it the last owner of the member.
            concurrent.outcomes.close();
        }
    }
}
