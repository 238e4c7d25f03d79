//! Consumers: push (concurrent, orderly, broadcasting) and lite pull.

pub mod allocation;
pub(crate) mod assigned;
mod at_brokers;
mod concurrent;
mod consumption;
mod listener;
mod lite_pull;
mod locks;
pub(crate) mod member;
mod membership;
pub mod offsets;
mod orderly;
mod poll_state;
mod polled;
pub mod process_queue;
mod progress;
mod pull;
mod push;
mod rebalance;
mod send_back;
pub mod subscription;
mod workers;

pub use listener::{
    ConcurrentListener, ConsumeStatus, OrderlyContext, OrderlyListener, OrderlyStatus,
};
pub use lite_pull::LitePullConsumer;
pub use push::PushConsumer;
