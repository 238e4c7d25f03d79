//! The RingMQ client: producers, consumers and administration for RocketMQ-compatible clusters.
//!
//! ```no_run
//! use ringmq_client::Client;
//! use ringmq_client::config::{ClientConfig, ProducerConfig};
//! use ringmq_client::message::Message;
//!
//! # fn main() -> Result<(), ringmq_client::ClientError> {
//! let client = Client::start_blocking(ClientConfig::new("127.0.0.1:9876"))?;
//! let producer = futures_lite::future::block_on(client.producer(ProducerConfig::new("orders")))?;
//! let sent = producer.send_blocking(Message::new("Orders", "hello").tag("new"))?;
//! println!("{} is at {} of {}", sent.message_id, sent.queue_offset, sent.queue);
//! client.shutdown_blocking();
//! # Ok(())
//! # }
//! ```
//!
//! # Where things run
//! A [`Client`] owns one executor thread with all connections, routes and groups. Handles
//! ([`Client`], [`producer::Producer`], [`consumer::PushConsumer`], [`consumer::LitePullConsumer`],
//! [`admin::Admin`]) are `Send`, `Sync` and cheap to clone; their futures can be awaited on any
//! runtime, and `_blocking` variants serve plain threads (never call those inside an executor).
//! Listeners run on threads of their own and may block.
//!
//! # States of a consumed queue
//! - *Not ours*: another member has it, or nobody. A rebalance gives it to us.
//! - *Wanted*: ours by the rules, but its lock or offset is still missing; tried a second later.
//! - *Assigned*: pulled and consumed, its offset is stored every few seconds. A rebalance, a lost
//!   lock, a reset or the shutdown give it up.
//! - *Given up*: its loops end, late results are ignored. Its offset is stored, its lock goes back
//!   when its batch has returned, unless it is lost. Final: a queue that comes back is assigned
//!   anew.
//!
//! Invariants: every message below a stored offset was consumed (or sent back to the broker); an
//! offset is stored only while the queue is assigned, and once when it is given up; what a poll
//! returns counts as consumed when the consumer polls again, commits or leaves; an orderly queue is
//! consumed only while its lock was confirmed within the last 30 s.
//!
//! # When things fail
//! - A broker refuses for now, or cannot be reached: the send is tried on another one, within its
//!   time. A lost answer counts as such: the message may be stored twice, under one unique key.
//! - A broker refuses the message: the send fails at once, with code and remark.
//! - No name server answers: known routes stay in use; new topics fail, naming every address.
//! - A pull fails: it is tried again after a second, from the master. Its offset does not exist any
//!   more: consumption goes on where the broker says, with a warning in the log.
//! - A listener fails or panics: the message is sent back to its broker, else sent to the retry
//!   topic, else consumed here again.
//! - A commit fails: the offset stays due and goes out with the next round; one that was asked for
//!   fails, naming the brokers that did not store it.
//! - A handle is dropped without shutdown: the last seconds of progress are consumed again.
//!
//! # Limits
//! - [`config::ProducerConfig::in_flight_max`]: the next send waits.
//! - [`consumer::process_queue::FlowLimits`]: the queue is not pulled until messages are consumed.
//! - [`config::ConsumerConfig::buffered_max`]: no queue is pulled until somebody polls.
//! - [`routes::QUEUES_PER_TOPIC_MAX`]: the route is refused.

pub mod admin;
pub mod client;
pub mod config;
pub mod consumer;
pub mod error;
mod instance;
pub mod message;
mod permits;
pub mod producer;
pub mod queue;
pub mod received;
pub mod routes;

pub use client::Client;
pub use error::ClientError;
