//! The message store of one log: append with group commit, queue and key index, reads, recovery,
//! retention.
//!
//! A [`Log`] is one CommitLog with its indexes. It belongs to one shard, knows no network, and
//! reaches disk and time only through `ringmq_runtime`, so the same code runs under the simulated
//! disk.
//!
//! ```text
//! append ──> tail ──> writer ──> segments  append tail watermarks writer flusher segments segment
//!    ├──> queue index ─┐                   maker pace lifetime group_times tempo queue queue_index
//!    └──> key index ───┴── checkpoint ──>  entry keys checkpoint snapshots snapshot frame
//!                                          index_files
//!
//! life    open, close, fence; what it tells              log signals stats
//! read    entries and bytes from memory, page cache,     read walk fetch followers extents order
//!         files; what the device does not give back      pool cold cold_plan first_reads blocks
//!                                                        cache unreadable
//! lookup  by position, time, key                         lookup terms key_query
//! delete  a topic, and until a crash cannot undo it;     deletion retention dead_segments
//!         what has expired                               index_expiry age_clock
//! scrub   everything once more, slowly                   scrub
//! open    snapshot, stream, scan of the log, verdict,    recovery abort index_load index_replay
//!         what a running log needs                       index_proof rehearsal rescan reindex
//!                                                        scan settle verdict cut ready report
//! beside  progress of groups, small files of JSON        offsets resets metadata
//! words   places, settings and limits, whose fault       position options error
//! ```
//!
//! # What holds at every moment
//!
//! - `durable <= written <= appended`; what may be acknowledged lies below the watermark of the
//!   [`FlushPolicy`], and consumers see nothing above it.
//! - A record has its position and queue offset when [`Log::append`] returns, and nothing else can
//!   take them.
//! - Every byte of the log is in the tail or in a file; the newest
//!   [`LogOptions::tail_window_bytes`] are in memory.
//! - The index on disk knows only records that survive a power loss; everything it lacks is in the
//!   log behind its last mark.
//! - After a failed write or flush the log is fenced: no answer, no retry, until it is opened
//!   again.

#![forbid(unsafe_code)]

mod abort;
mod age_clock;
mod append;
mod blocks;
mod cache;
mod checkpoint;
mod cold;
mod cold_plan;
mod cut;
mod dead_segments;
mod deletion;
mod entry;
mod error;
mod extents;
mod fetch;
mod first_reads;
mod flusher;
mod followers;
mod frame;
mod group_times;
mod index_expiry;
mod index_files;
mod index_load;
mod index_proof;
mod index_replay;
mod key_query;
mod keys;
mod lifetime;
mod log;
mod lookup;
mod maker;
pub mod metadata;
pub mod offsets;
mod options;
mod order;
mod pace;
mod pool;
mod position;
mod queue;
mod queue_index;
mod read;
mod ready;
mod recovery;
mod rehearsal;
mod reindex;
mod report;
mod rescan;
pub mod resets;
mod retention;
mod scan;
mod scrub;
mod segment;
mod segments;
mod settle;
mod signals;
mod snapshot;
mod snapshots;
mod stats;
mod tail;
mod tempo;
mod terms;
mod unreadable;
mod verdict;
mod walk;
mod watermarks;
mod writer;

pub use age_clock::AgeClock;
pub use append::Appended;
pub use error::{AppendError, Fenced, OpenError, ReadError};
pub use group_times::GroupTimes;
pub use key_query::{KeyFound, KeyLimits, KeyQuery};
pub use log::Log;
pub use lookup::TimeBoundary;
pub use options::{FlushPolicy, LogOptions, PAGE_BYTES};
pub use position::{LOG_BYTE_BITS, LOG_MAX_BYTES, LogId, LogPosition, QueueOffset};
pub use read::{BatchLimit, Piece, ReadLimits, ReadNow, ReadQuery, ReadResult, ReadStatus};
pub use report::RecoveryReport;
pub use retention::Expired;
pub use stats::{Counters, Stats};
