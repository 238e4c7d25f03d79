//! What a run asks of the broker: sends and pulls, and the messages in them.

pub mod message;
pub mod payload;
pub mod pull;
pub mod send;
pub mod topics;
