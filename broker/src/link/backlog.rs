//! How much every shard still has to work off, as all others see it.
//!
//! A mesh channel counts messages, and one of them may have megabytes. So whoever passes requests
//! on adds their bytes here, and the shard that has handled them takes them off again. Above the
//! limit a shard counts as congested; nothing is refused, so a counter goes past it by what was
//! already being read. The counters order nothing else: they are read and written relaxed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of requests on their way to one shard, from all others together, before senders stop
/// reading: four times what a shard handles in the millisecond that it may be busy with something
/// else.
const BACKLOG_MAX_BYTES: usize = 64 << 20;

/// Bytes of requests that wait for each shard; all shards share it.
#[derive(Clone)]
pub struct Backlog(Arc<[AtomicUsize]>);

impl Backlog {
    /// Nothing waits for any of `shards`.
    pub fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| AtomicUsize::new(0)).collect())
    }

    /// `bytes` more are on their way to `shard`.
    pub(super) fn add(&self, shard: usize, bytes: usize) {
        self.0[shard].fetch_add(bytes, Ordering::Relaxed);
    }

    /// `shard` has handled `bytes`.
    pub(super) fn remove(&self, shard: usize, bytes: usize) {
        self.0[shard].fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether `shard` should be sent no more for now.
    pub(super) fn is_full(&self, shard: usize) -> bool {
        self.0[shard].load(Ordering::Relaxed) >= BACKLOG_MAX_BYTES
    }
}
