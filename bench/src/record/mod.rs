//! What a run counts: latencies, messages, bytes and errors, by the second and in total.

pub mod archive;
pub mod failures;
pub mod latencies;
pub mod window;
