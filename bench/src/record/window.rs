//! What happened between two points in time.

use std::time::Duration;

use crate::record::failures::Failures;
use crate::record::latencies::Latencies;

/// Counts of one second, or of a run.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// From the time a request was meant to be sent to its answer.
    pub response: Latencies,
    /// From the time it was sent to its answer.
    pub service: Latencies,
    /// Messages acknowledged or received.
    pub messages: u64,
    /// Body bytes of those messages.
    pub bytes: u64,
    /// Requests that were answered and brought no message.
    pub empty: u64,
    /// Requests that failed, by code.
    pub errors: Failures,
}

impl Window {
    /// Counts one answered request that stored or brought `messages` with `bytes` of body.
    pub fn success(&mut self, response: Duration, service: Duration, messages: u64, bytes: u64) {
        self.response.record(response);
        self.service.record(service);
        self.messages += messages;
        self.bytes += bytes;
    }

    /// Counts one failed request.
    pub fn failure(&mut self, what: &str) {
        self.errors.count(what);
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        self.response.add(&other.response);
        self.service.add(&other.service);
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.empty += other.empty;
        self.errors.add(&other.errors);
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self) {
        self.response.reset();
        self.service.reset();
        self.messages = 0;
        self.bytes = 0;
        self.empty = 0;
        self.errors.clear();
    }
}
