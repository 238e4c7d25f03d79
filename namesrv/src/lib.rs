//! The RingMQ name server.

pub mod properties;
