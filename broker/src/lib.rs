//! The RingMQ broker.
//!
//! One shard per core runs the data plane; shard 0 also runs the control plane. `ARCHITECTURE.md` next to
//! this crate says who owns what, and where the two meet.

pub mod config;
pub mod documents;
pub mod filter;
pub mod hold;
pub mod locks;
pub mod metrics;
pub mod names;
pub mod router;
pub mod subscription_groups;
pub mod topics;
pub mod view;
