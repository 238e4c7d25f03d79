//! What a run counts: latencies, messages, bytes and errors, by the second and in total.

pub mod failures;
pub mod latencies;
pub mod tally;
pub mod window;
