//! The RingMQ broker.
//!
//! One [`shard`] per core runs the data plane; shard 0 also runs the control plane.
//! `ARCHITECTURE.md` next to this crate says who owns what, and where the two meet.

mod broker_control;
pub mod clients;
pub mod command;
pub mod config;
pub mod control;
mod creating;
mod descriptors;
pub mod directory;
mod dispatch;
pub mod documents;
pub mod filter;
pub mod groups;
pub mod hold;
mod inbound;
pub mod layout;
mod lifecycle;
pub mod link;
pub mod locks;
mod log_options;
pub mod logs;
pub mod metrics;
pub mod names;
mod next_start;
pub mod outcome;
pub mod peer;
mod ports;
mod recovered;
pub mod register;
mod retention;
pub mod router;
pub mod services;
pub mod setup;
pub mod shard;
mod shares;
pub mod stages;
pub mod start;
pub mod subscription_groups;
mod survivors;
pub mod topics;
mod versioned_table;
pub mod view;
pub mod waiters;
