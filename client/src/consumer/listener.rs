//! What an application implements to consume.

use std::sync::Arc;

use crate::queue::MessageQueue;
use crate::received::ReceivedMessage;

/// What became of a batch that was consumed concurrently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumeStatus {
    /// All messages are done with.
    Success,
    /// All messages shall come again later, at this delay level (1 to 18). 0: the broker decides
    /// by how often they came already; -1: straight to the dead letters. Broadcasting groups never
    /// see them again.
    RetryLater(i32),
}

/// What became of a batch of an ordered queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderlyStatus {
    /// All messages are done with.
    Success,
    /// The queue pauses; then the same messages come again.
    Suspend,
}

/// Consumes batches of one queue at a time, in any order, on several threads at once.
///
/// It may block. A panic counts as [`ConsumeStatus::RetryLater`] with level 0.
pub trait ConcurrentListener: Send + Sync + 'static {
    /// Consumes `messages` (at least one, of one queue, oldest first).
    fn consume(&self, messages: &[Arc<ReceivedMessage>]) -> ConsumeStatus;
}

impl<F> ConcurrentListener for F
where
    F: Fn(&[Arc<ReceivedMessage>]) -> ConsumeStatus + Send + Sync + 'static,
{
    fn consume(&self, messages: &[Arc<ReceivedMessage>]) -> ConsumeStatus {
        self(messages)
    }
}

/// Where a batch of an ordered queue stands.
#[derive(Debug, Clone)]
pub struct OrderlyContext {
    /// The queue.
    pub queue: MessageQueue,
    /// How often these messages came before (since this client has the queue).
    pub attempt: u32,
}

/// Consumes queues in order: one batch of a queue at a time, the next one after it succeeded.
///
/// It may block. A panic counts as [`OrderlyStatus::Suspend`].
pub trait OrderlyListener: Send + Sync + 'static {
    /// Consumes `messages` (at least one, oldest first).
    fn consume(&self, messages: &[Arc<ReceivedMessage>], context: &OrderlyContext)
    -> OrderlyStatus;
}

impl<F> OrderlyListener for F
where
    F: Fn(&[Arc<ReceivedMessage>], &OrderlyContext) -> OrderlyStatus + Send + Sync + 'static,
{
    fn consume(
        &self,
        messages: &[Arc<ReceivedMessage>],
        context: &OrderlyContext,
    ) -> OrderlyStatus {
        self(messages, context)
    }
}
