//! The RingMQ name server: which broker has which topic, for brokers and clients of Apache RocketMQ
//! and our own.
//!
//! The route table ([`routes`], [`views`]) is pure: time and connections are passed in. The service
//! around it is thin, one file per request family. A process of its own is `mqnamesrv`; a broker
//! embeds one with [`start`].

pub mod admission;
mod by_broker;
pub mod config;
pub mod kv;
pub mod registration;
pub mod routes;
pub mod views;

mod arrivals;
mod departures;
mod outcome;
mod requests;
mod saver;
mod service;
mod start;

pub use config::Config;
pub use service::NameServer;
pub use start::{NameServerError, Running, start, start_on};
