//! Producers: handles for any thread, and what a send answers.

mod batch;
mod choice;
mod core;
mod retry;
mod send;

use std::rc::Rc;
use std::sync::Arc;

use ringmq_protocol::codes::response;

pub use retry::{Decision, Ending, RETRIES_DEFAULT, RetryPolicy};

pub(crate) use self::core::ProducerCore;
pub(crate) use choice::RoundRobin;
pub(crate) use send::Outgoing;

use crate::client::Client;
use crate::config::ProducerConfig;
use crate::error::ClientError;
use crate::instance::Instance;
use crate::message::Message;
use crate::queue::MessageQueue;

/// What the broker did with a message that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendStatus {
    /// As durable and replicated as the broker is configured to make it.
    Ok,
    /// Stored, but the flush did not end in time.
    FlushDiskTimeout,
    /// Stored, but there is no slave to copy it to.
    SlaveNotAvailable,
    /// Stored, but no slave confirmed it in time.
    FlushSlaveTimeout,
}

impl SendStatus {
    /// The status that a response code stands for; `None` for refusals.
    pub fn from_code(code: i32) -> Option<Self> {
        match code {
            response::SUCCESS => Some(Self::Ok),
            response::FLUSH_DISK_TIMEOUT => Some(Self::FlushDiskTimeout),
            response::SLAVE_NOT_AVAILABLE => Some(Self::SlaveNotAvailable),
            response::FLUSH_SLAVE_TIMEOUT => Some(Self::FlushSlaveTimeout),
            _ => None,
        }
    }
}

/// Where a message went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendResult {
    /// How well it is stored.
    pub status: SendStatus,
    /// Its unique key; of a batch, the keys joined by commas.
    pub message_id: String,
    /// The id that says where it is stored; of a batch, the ids joined by commas.
    pub offset_message_id: String,
    /// Queue that holds it.
    pub queue: MessageQueue,
    /// Its number in that queue; of a batch, that of the first message.
    pub queue_offset: i64,
}

/// Picks a queue: gets the writable queues of the topic, sorted, at least one, and answers with an
/// index, of which the remainder by their number counts.
pub type QueueSelector = Box<dyn FnOnce(&[MessageQueue]) -> usize + Send>;

/// Sends messages of one producer group. Cheap to clone, usable from any thread or runtime.
///
/// Many sends may be in flight; past [`ProducerConfig::in_flight_max`] a send waits until another
/// one has ended. Sends in flight at the same time may be stored in any order.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    config: Arc<ProducerConfig>,
    id: u64,
}

impl Producer {
    /// Joins the producer group; see [`Client::producer`].
    pub(crate) async fn join(client: Client, config: ProducerConfig) -> Result<Self, ClientError> {
        let config = Arc::new(config);
        let settings = config.clone();
        let join = move |instance| ProducerCore::join(instance, settings);
        let id = client.run(join).await?;
        Ok(Self { shared: Arc::new(Shared { client, config, id }) })
    }

    /// Settings of this producer.
    pub fn config(&self) -> &ProducerConfig {
        &self.shared.config
    }

    /// Sends a message to some queue of its topic, with retries on other brokers.
    ///
    /// # Errors
    /// `Invalid`, `NoRoute`, `ShutDown`, or `Failed` with every attempt.
    pub async fn send(&self, message: Message) -> Result<SendResult, ClientError> {
        self.start(Outgoing::any(message)).await
    }

    /// Like [`Producer::send`], for threads that are in no async runtime.
    ///
    /// # Errors
    /// See [`Producer::send`].
    pub fn send_blocking(&self, message: Message) -> Result<SendResult, ClientError> {
        futures_lite::future::block_on(self.send(message))
    }

    /// Sends a message to this queue, without retries elsewhere.
    ///
    /// # Errors
    /// See [`Producer::send`].
    pub async fn send_to(
        &self,
        message: Message,
        queue: MessageQueue,
    ) -> Result<SendResult, ClientError> {
        self.start(Outgoing::to(message, queue)).await
    }

    /// Sends a message to the queue that `selector` picks, without retries elsewhere. Selecting by
    /// a key keeps messages of that key in order.
    ///
    /// # Errors
    /// See [`Producer::send`].
    pub async fn send_select(
        &self,
        message: Message,
        selector: impl FnOnce(&[MessageQueue]) -> usize + Send + 'static,
    ) -> Result<SendResult, ClientError> {
        self.start(Outgoing::selected(message, Box::new(selector))).await
    }

    /// Hands a message to the network; nobody answers, nothing is retried.
    ///
    /// # Errors
    /// `Invalid`, `NoRoute`, `ShutDown`, or `Failed` when there is no connection.
    pub async fn send_oneway(&self, message: Message) -> Result<(), ClientError> {
        let id = self.shared.id;
        let send = move |instance: Rc<Instance>| async move {
            ProducerCore::find(&instance, id)?.send_oneway(message).await
        };
        self.shared.client.run(send).await
    }

    /// Sends messages of one topic as one request: stored together or not at all, in one queue.
    ///
    /// # Errors
    /// `Invalid` also for messages that cannot share a batch: other topics or `WAIT`, delays,
    /// retry topics.
    pub async fn send_batch(&self, messages: Vec<Message>) -> Result<SendResult, ClientError> {
        let outgoing = batch::outgoing(messages, self.config().message_size_max_bytes)?;
        self.start(outgoing).await
    }

    /// Like [`Producer::send_batch`], for threads that are in no async runtime.
    ///
    /// # Errors
    /// See [`Producer::send_batch`].
    pub fn send_batch_blocking(&self, messages: Vec<Message>) -> Result<SendResult, ClientError> {
        futures_lite::future::block_on(self.send_batch(messages))
    }

    async fn start(&self, outgoing: Outgoing) -> Result<SendResult, ClientError> {
        let id = self.shared.id;
        let send = move |instance: Rc<Instance>| async move {
            ProducerCore::find(&instance, id)?.send(outgoing).await
        };
        self.shared.client.run(send).await
    }
}
