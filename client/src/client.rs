//! The handle of a client.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use ringmq_runtime::remote::{self, Remote};

use crate::admin::Admin;
use crate::config::{ClientConfig, ConsumerConfig, ProducerConfig};
use crate::consumer::{ConcurrentListener, LitePullConsumer, OrderlyListener, PushConsumer};
use crate::error::ClientError;
use crate::instance::Instance;
use crate::producer::Producer;

thread_local! {
    /// The instance of this executor: every client has an executor of its own.
    static INSTANCE: RefCell<Option<Rc<Instance>>> = const { RefCell::new(None) };
}

/// A client: an executor on a thread of its own with the connections that all its producers and
/// consumers share.
///
/// Cheap to clone, usable from any thread and any async runtime. Call [`Client::shutdown`] at the
/// end: the executor also ends when the last handle is dropped (producers and consumers hold one),
/// but then offsets of the last seconds are not stored and brokers notice only by and by.
#[derive(Clone)]
pub struct Client {
    remote: Remote,
}

impl Client {
    /// Starts a client. Nothing is connected yet.
    ///
    /// # Errors
    /// `Invalid` without a name server, `Start` when the system refuses the executor.
    pub async fn start(config: ClientConfig) -> Result<Self, ClientError> {
        if config.name_servers.is_empty() {
            return Err(ClientError::invalid("no name server given; expected host:port"));
        }
        let started = remote::spawn_executor("ringmq-client");
        let remote = started.map_err(|error| ClientError::Start { reason: error.to_string() })?;
        let client = Self { remote };
        let begin = move || async move {
            let instance = Instance::new(config);
            instance.start_timers();
            INSTANCE.set(Some(instance));
        };
        client.remote.run(begin).await.map_err(|_| ClientError::ShutDown)?;
        Ok(client)
    }

    /// Like [`Client::start`], for threads that are in no async runtime.
    ///
    /// # Errors
    /// See [`Client::start`].
    pub fn start_blocking(config: ClientConfig) -> Result<Self, ClientError> {
        futures_lite::future::block_on(Self::start(config))
    }

    /// A producer of this client.
    ///
    /// # Errors
    /// `Invalid` settings, `ShutDown`.
    pub async fn producer(&self, config: ProducerConfig) -> Result<Producer, ClientError> {
        Producer::join(self.clone(), config).await
    }

    /// A consumer whose `listener` gets messages in any order, on several threads, of the topics
    /// that are subscribed next.
    ///
    /// # Errors
    /// `Invalid` settings or a group that this client is in already, `ShutDown`.
    pub async fn push_consumer(
        &self,
        config: ConsumerConfig,
        listener: impl ConcurrentListener,
    ) -> Result<PushConsumer, ClientError> {
        PushConsumer::join(self.clone(), config, listener).await
    }

    /// A consumer whose `listener` gets the messages of each queue in order.
    ///
    /// # Errors
    /// See [`Client::push_consumer`].
    pub async fn orderly_consumer(
        &self,
        config: ConsumerConfig,
        listener: impl OrderlyListener,
    ) -> Result<PushConsumer, ClientError> {
        PushConsumer::join_orderly(self.clone(), config, listener).await
    }

    /// A consumer that is polled.
    ///
    /// # Errors
    /// See [`Client::push_consumer`].
    pub async fn lite_pull_consumer(
        &self,
        config: ConsumerConfig,
    ) -> Result<LitePullConsumer, ClientError> {
        LitePullConsumer::join(self.clone(), config).await
    }

    /// Administration and look-ups.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// Stops all producers and consumers: offsets are stored, queues given back, brokers told.
    /// Then ends the executor with its connections; a listener that is still at work then keeps its
    /// thread until it returns. Every later call fails with `ShutDown`.
    pub async fn shutdown(&self) {
        let stop = || async {
            let instance = INSTANCE.with_borrow(Clone::clone);
            if let Some(instance) = instance {
                instance.stop().await;
                INSTANCE.take();
            }
        };
        // Closed: it is down already.
        let _ = self.remote.run(stop).await;
        self.remote.close().await;
    }

    /// Like [`Client::shutdown`], for threads that are in no async runtime.
    pub fn shutdown_blocking(&self) {
        futures_lite::future::block_on(self.shutdown());
    }

    /// Runs `work` in the executor and waits for its result.
    pub(crate) async fn run<T, F, W>(&self, work: W) -> Result<T, ClientError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ClientError>> + 'static,
        W: FnOnce(Rc<Instance>) -> F + Send + 'static,
    {
        let in_executor = move || async move {
            let instance = INSTANCE.with_borrow(Clone::clone).ok_or(ClientError::ShutDown)?;
            work(instance).await
        };
        self.remote.run(in_executor).await.unwrap_or(Err(ClientError::ShutDown))
    }
}
