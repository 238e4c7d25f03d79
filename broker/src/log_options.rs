//! What the settings mean for the logs of a store.

use std::time::Duration;

use ringmq_store::{FlushPolicy, LogOptions, PAGE_BYTES};

use crate::config::{FlushDiskType, Settings};

/// Memory of all logs together for what readers behind the tail want.
const EXTENTS_BYTES: u64 = 96 << 20;

/// Least of it for each log where there are many: the queues of a topic are spread over them.
const EXTENTS_OF_LOG_MIN_BYTES: u64 = 32 << 20;

/// Bytes of a record besides its body: topic, properties, fixed fields.
const RECORD_OVERHEAD_BYTES: usize = 64 << 10;

/// What the settings mean for one of `logs` logs.
pub fn log_options(settings: &Settings, logs: usize) -> LogOptions {
    let interval = Duration::from_millis(settings.flush_interval_commit_log_ms.into());
    let flush = match settings.flush_disk_type {
        FlushDiskType::Sync => FlushPolicy::Sync,
        FlushDiskType::Async if settings.transient_store_pool_enable => {
            FlushPolicy::Memory { interval }
        }
        FlushDiskType::Async => FlushPolicy::Async { interval },
    };
    let defaults = LogOptions::default();
    let record = settings.max_message_size as usize + RECORD_OVERHEAD_BYTES;
    LogOptions {
        segment_size_bytes: settings.mapped_file_size_commit_log.into(),
        flush,
        record_size_max_bytes: record,
        unwritten_max_bytes: defaults.unwritten_max_bytes.max(record as u64),
        unflushed_max_bytes: defaults.unflushed_max_bytes.max(record as u64),
        tail_window_bytes: settings.tail_memory_bytes as usize,
        extents_bytes: (EXTENTS_BYTES / logs as u64).max(EXTENTS_OF_LOG_MIN_BYTES),
        ..defaults
    }
}

/// Why a file of the message log cannot have the size that the settings say, if it cannot.
pub fn problem_of_sizes(settings: &Settings) -> Option<String> {
    let file = u64::from(settings.mapped_file_size_commit_log);
    let need = settings.max_message_size as u64 + RECORD_OVERHEAD_BYTES as u64 + PAGE_BYTES;
    let text = if file < need {
        format!(
            "must hold the largest message, {need} bytes with maxMessageSize={}: set it to {} \
                 or more, or lower maxMessageSize",
            settings.max_message_size,
            need.next_multiple_of(PAGE_BYTES)
        )
    } else if !file.is_multiple_of(PAGE_BYTES) {
        format!("must be a multiple of {PAGE_BYTES}")
    } else {
        return None;
    };
    Some(format!("mappedFileSizeCommitLog={file} {text}"))
}

/// Age of its newest message above which a file of messages has expired.
pub fn reserved(settings: &Settings) -> Duration {
    Duration::from_secs(u64::from(settings.file_reserved_time_hours) * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_of_message_that_is_accepted_makes_a_log() {
        for max_message_size in [1, 4 << 20, (16 << 20) + 1, 64 << 20] {
            let settings = Settings { max_message_size, ..Settings::default() };
            assert_eq!(log_options(&settings, 1).problem(), None, "{max_message_size}");
            assert_eq!(problem_of_sizes(&settings), None);
        }
        let settings = Settings { mapped_file_size_commit_log: 64 << 10, ..Settings::default() };
        let problem = problem_of_sizes(&settings).expect("too small");
        assert!(problem.contains("mappedFileSizeCommitLog=65536"), "{problem}");
        assert!(problem.contains("maxMessageSize=4194304"), "{problem}");
    }
}
