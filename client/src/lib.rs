//! The RingMQ client library.
pub mod admin;
pub mod client;
pub mod config;
pub mod consumer;
pub mod direct;
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
