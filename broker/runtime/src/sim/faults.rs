//! What goes wrong, and how often.

use std::io;
use std::time::Duration;

use super::NodeId;
use crate::random::Sequence;

/// A probability in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance(pub u32);

impl Chance {
    /// It does not happen.
    pub const NEVER: Self = Self(0);
    /// It happens every time.
    pub const ALWAYS: Self = Self(1_000_000);

    /// `n` times in a thousand.
    #[must_use]
    pub const fn per_mille(n: u32) -> Self {
        Self(n * 1000)
    }

    pub(super) fn draw(self, random: &mut Sequence) -> bool {
        // Nothing is drawn for what cannot happen, so that adding a fault does not change the
        // course of events in worlds without it.
        self.0 > 0 && random.chance(u64::from(self.0), 1_000_000)
    }
}

/// What the simulated page cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageCache {
    /// Whatever is asked for, half of the times.
    #[default]
    ByChance,
    /// What was brought there, for good.
    Brought,
    /// The file system cannot tell.
    Untold,
}

/// Faults of one node's disk. The default is a healthy disk that takes its time.
#[derive(Clone, Debug)]
pub struct DiskFaults {
    /// An operation takes between these.
    pub latency: (Duration, Duration),
    /// Now and then one takes [`DiskFaults::slow`] instead.
    pub slow_chance: Chance,
    /// How long a slow operation takes.
    pub slow: Duration,
    /// A write fails, half done.
    pub write_error: Chance,
    /// A sync fails, and forgets part of what was to be synced: later syncs succeed without it.
    pub sync_error: Chance,
    /// What a sync that fails says.
    pub sync_error_kind: io::ErrorKind,
    /// A read fails.
    pub read_error: Chance,
    /// Most bytes that one read gives, of however many there are.
    pub read_bytes_max: usize,
    /// The removal of a file fails, though the file may be gone all the same.
    pub remove_error: Chance,
    /// What is in the page cache.
    pub page_cache: PageCache,
    /// The next write fails, once.
    pub fail_next_write: bool,
    /// The next sync of a file fails, once.
    pub fail_next_sync: bool,
    /// Size of the disk in bytes: creating more gives `StorageFull`.
    pub capacity_bytes: u64,
}

impl Default for DiskFaults {
    fn default() -> Self {
        Self {
            latency: (Duration::from_micros(20), Duration::from_micros(200)),
            slow_chance: Chance::NEVER,
            slow: Duration::from_millis(500),
            write_error: Chance::NEVER,
            sync_error: Chance::NEVER,
            sync_error_kind: io::ErrorKind::Other,
            read_error: Chance::NEVER,
            read_bytes_max: usize::MAX,
            remove_error: Chance::NEVER,
            page_cache: PageCache::default(),
            fail_next_write: false,
            fail_next_sync: false,
            capacity_bytes: 1 << 40,
        }
    }
}

/// Faults of the network between nodes. The default is a healthy network with real delays.
#[derive(Clone, Debug)]
pub struct NetFaults {
    /// A piece of a stream travels for between these.
    pub latency: (Duration, Duration),
    /// A piece is lost, with the connection: both ends see a reset.
    pub reset: Chance,
    /// Pairs of nodes whose packets do not arrive, in the direction given. Connections stall and
    /// go on when the pair is removed.
    pub partitions: Vec<(NodeId, NodeId)>,
}

impl Default for NetFaults {
    fn default() -> Self {
        Self {
            latency: (Duration::from_micros(10), Duration::from_micros(300)),
            reset: Chance::NEVER,
            partitions: Vec::new(),
        }
    }
}
