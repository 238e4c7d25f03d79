//! Settings of a log and the limits that follow from them.

use std::time::Duration;

/// Unit of all direct writes. Larger than the sector of any device in use, so each write is whole
/// sectors.
pub const PAGE_BYTES: u64 = 4096;

/// Largest part of a group that is written at once: at 1 MiB the device is near its full rate with
/// one write in flight.
pub(crate) const GROUP_MAX_BYTES: u64 = 1 << 20;

/// When an appended message counts as safe, and therefore acknowledged and visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushPolicy {
    /// Written and flushed: survives a power loss.
    Sync,
    /// Written past the page cache: survives a killed process and a kernel crash. A flush follows
    /// within `interval`.
    Async {
        /// Longest time between a write and the start of its flush.
        interval: Duration,
    },
    /// Placed in memory: nothing is promised. Writes and flushes follow as with `Async`.
    Memory {
        /// Longest time between a write and the start of its flush.
        interval: Duration,
    },
}

/// Settings of one log. `Default` gives Apache's values where Apache has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Size of a CommitLog file, a multiple of 4 KiB (`mappedFileSizeCommitLog`, 1 GiB).
    pub segment_size_bytes: u64,
    /// What an acknowledgement means (`flushDiskType`).
    pub flush: FlushPolicy,
    /// Largest stored record: `maxMessageSize` and 64 KiB for everything but the body.
    pub record_size_max_bytes: usize,
    /// Adds a checksum over the whole record as property `__CRC32#` (`enabledAppendPropCRC`).
    pub record_checksum: bool,
    /// The newest bytes, kept in memory for readers. Filled as messages arrive.
    pub tail_window_bytes: usize,
    /// Unit in which the tail grows.
    pub tail_block_bytes: usize,
    /// Blocks that have left the tail but are held by readers, in bytes: beyond this readers of the
    /// tail get copies.
    pub lent_max_bytes: usize,
    /// Appended but not yet written: beyond this appends are refused with `Full`.
    pub unwritten_max_bytes: u64,
    /// Written but not yet flushed, with `Async` and `Memory`: beyond this writes wait for a flush.
    /// Recovery after a power loss relies on it.
    pub unflushed_max_bytes: u64,
    /// Longest time until the index catches up with a durable log on disk.
    pub checkpoint_interval: Duration,
    /// Log bytes after which it catches up earlier; with it, the length of the scan after a crash.
    pub checkpoint_bytes: u64,
    /// Entries in a block of the queue index.
    pub queue_block_entries: usize,
    /// Queue entries kept in memory in all, outside of the cache.
    pub queue_recent_entries_max: usize,
    /// Entries in a sorted run of the key index.
    pub key_run_entries: usize,
    /// Size of a file of the index stream, a multiple of 4 KiB.
    pub index_segment_size_bytes: u64,
    /// Largest snapshot of the indexes that is written or read. By default 1 GiB: 40 million blocks
    /// of the queue index, or as many topics as any cluster has.
    pub snapshot_max_bytes: usize,
    /// Queue index blocks kept for readers.
    pub index_cache_bytes: usize,
    /// Extents of the log that are kept for readers behind the tail (`extents.rs`), taken as they
    /// are wanted. By default 96 MiB: twenty pulls of 1,024 messages of 1 KiB from topics of four
    /// queues, each from a place of its own, span 94. With 32 MiB sixteen such readers, who drift
    /// apart within seconds, took them from the page cache again and again: 0.81 us of CPU by
    /// message instead of 0.64.
    pub extents_bytes: u64,
    /// Cold reads this far behind the end of the log, and farther, and those that follow them, go
    /// past the page cache the first time (`cold_plan.rs`): a catch-up that long would use up
    /// what the page cache can keep for others, and mostly nobody comes after it. 128 MiB are 0.1 s
    /// of a fast device.
    pub uncached_behind_bytes: u64,
    /// Rate at which segments are zero-filled ahead, at least; for a busy log it follows the log's
    /// own.
    pub fill_rate_bytes_per_s: u64,
    /// Part of a segment that is zero-filled and flushed at once, a multiple of 4 KiB: what a new
    /// log waits for when it opens, and one that outruns the device all the time (8 MiB take 8 ms
    /// and their flush 3; half of that costs a third of the rate).
    pub fill_step_bytes: u64,
    /// Rate at which durable records are read and checked again; 0 for never.
    pub scrub_bytes_per_s: u64,
    /// Pause before each such pass over the log.
    pub scrub_pause: Duration,
    /// Space of the disk that zeros ahead of the log leave alone: indexes, progress and settings
    /// are saved there, and a start needs some of it (four index files).
    pub space_kept_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_size_bytes: 1 << 30,
            uncached_behind_bytes: 128 << 20,
            flush: FlushPolicy::Async { interval: Duration::from_millis(500) },
            record_size_max_bytes: (4 << 20) + (64 << 10),
            record_checksum: true,
            tail_window_bytes: 32 << 20,
            tail_block_bytes: 1 << 20,
            lent_max_bytes: 32 << 20,
            unwritten_max_bytes: 16 << 20,
            unflushed_max_bytes: 64 << 20,
            checkpoint_interval: Duration::from_secs(1),
            checkpoint_bytes: 64 << 20,
            queue_block_entries: 1024,
            queue_recent_entries_max: 1 << 20, // 24 MiB
            key_run_entries: 1 << 16,          // sorted in 2 to 3 ms
            index_segment_size_bytes: 16 << 20,
            snapshot_max_bytes: 1 << 30,
            index_cache_bytes: 8 << 20,
            extents_bytes: 96 << 20,
            fill_rate_bytes_per_s: 64 << 20,
            fill_step_bytes: 8 << 20,
            scrub_bytes_per_s: 4 << 20, // 100 GB in 7 hours, below 1 % of a core
            scrub_pause: Duration::from_secs(3600),
            space_kept_bytes: 64 << 20,
        }
    }
}

impl LogOptions {
    /// What is wrong with these settings, in a sentence, if anything is.
    pub fn problem(&self) -> Option<String> {
        let page = PAGE_BYTES;
        let record = self.record_size_max_bytes as u64;
        let run = (self.key_run_entries * crate::entry::KEY_ENTRY_SIZE) as u64;
        let block = (self.queue_block_entries * crate::entry::ENTRY_SIZE) as u64;
        let frame = run.max(block).max(1 << 16) + crate::frame::FRAME_HEADER_BYTES as u64;
        let rules = [
            (
                self.segment_size_bytes.is_multiple_of(page)
                    && self.segment_size_bytes >= record + page,
                "the segment size must be a multiple of 4096 and hold the largest record",
            ),
            (
                self.index_segment_size_bytes.is_multiple_of(page)
                    && self.index_segment_size_bytes >= frame,
                "the index segment size must be a multiple of 4096 and hold the largest frame",
            ),
            (
                self.fill_step_bytes.is_multiple_of(page) && self.fill_step_bytes > 0,
                "the fill step must be a multiple of 4096",
            ),
            (self.tail_block_bytes > 0, "the tail block size must not be 0"),
            (
                self.tail_window_bytes >= 2 * self.tail_block_bytes,
                "the tail window must hold two tail blocks",
            ),
            (
                self.queue_block_entries > 0 && self.key_run_entries > 0,
                "index blocks and runs must hold an entry",
            ),
            (
                self.unwritten_max_bytes >= record && self.unflushed_max_bytes >= record,
                "the limits of unwritten and unflushed bytes must allow the largest record",
            ),
        ];
        rules.iter().find(|(holds, _)| !holds).map(|(_, problem)| (*problem).to_owned())
    }

    /// How far behind a damaged place valid records may lie after a crash: what one group, or all
    /// unflushed writes, can cover. Farther on they prove that flushed bytes were damaged.
    pub(crate) fn torn_window_bytes(&self) -> u64 {
        let group = GROUP_MAX_BYTES.max(self.record_size_max_bytes as u64) + 2 * PAGE_BYTES;
        match self.flush {
            FlushPolicy::Sync => group,
            FlushPolicy::Async { .. } | FlushPolicy::Memory { .. } => {
                group + self.unflushed_max_bytes
            }
        }
    }

    /// The pause between background flushes; `None` when every group is flushed.
    pub(crate) fn flush_interval(&self) -> Option<Duration> {
        match self.flush {
            FlushPolicy::Sync => None,
            FlushPolicy::Async { interval } | FlushPolicy::Memory { interval } => Some(interval),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_consistent_and_broken_settings_are_named() {
        assert_eq!(LogOptions::default().problem(), None);
        let small = LogOptions { segment_size_bytes: 1 << 20, ..LogOptions::default() };
        assert!(small.problem().expect("a problem").contains("segment size"));
        let odd = LogOptions { index_segment_size_bytes: 123, ..LogOptions::default() };
        assert!(odd.problem().expect("a problem").contains("index segment"));
    }
}
