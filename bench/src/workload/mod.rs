//! What a run asks of the broker.

pub mod payload;
