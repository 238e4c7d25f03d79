//! Typed header fields, one file per request family.
//!
//! Field names on the wire and what is required are those of Apache RocketMQ 5.5.0; unknown fields
//! are ignored. Absent optional fields with a default read as that default.

pub mod admin;
pub mod client;
pub mod namesrv;
pub mod offset;
pub mod pull;
pub mod query;
pub mod send;
