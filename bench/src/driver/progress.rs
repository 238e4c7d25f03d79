//! How far a share of a load is, as other threads may see it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How far a share is at any time. Its own thread writes, without waiting for
/// anybody; 128 bytes, so that two shares never write to the same pair of cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Progress {
    /// Messages since the start, those of the warm-up included.
    messages: AtomicU64,
    /// An answer has said that the whole run must end.
    stops: AtomicBool,
    /// No connection will ever ask again.
    finished: AtomicBool,
}

impl Progress {
    /// Messages since the start, those of the warm-up included.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// True when an answer has said that the whole run must end.
    pub fn stops(&self) -> bool {
        self.stops.load(Ordering::Relaxed)
    }

    /// True when no connection will ever ask again.
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// Counts messages. Only the share's own thread adds: no need for one step.
    pub fn add(&self, messages: u64) {
        self.messages.store(self.messages() + messages, Ordering::Relaxed);
    }

    /// Says that the whole run must end.
    pub fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    /// Says whether no connection will ever ask again.
    pub fn set_finished(&self, finished: bool) {
        self.finished.store(finished, Ordering::Relaxed);
    }
}
