//! Facts about this process.

use std::time::Duration;

use crate::live;

/// Its number.
#[must_use]
pub fn pid() -> u32 {
    std::process::id()
}

/// CPU time used so far, by all threads. No system call on current kernels is avoided here: ask
/// once a second, not once a message.
#[must_use]
pub fn cpu_time() -> Duration {
    Duration::from_nanos(live::sys::process_cpu_ns())
}

/// Bytes of memory that are resident; 0 if `/proc` is not mounted.
#[must_use]
pub fn rss_bytes() -> u64 {
    let page_size_bytes = 4096;
    let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else { return 0 };
    let pages = statm.split_ascii_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    pages.unwrap_or(0) * page_size_bytes
}

/// Open file descriptors of this process; 0 if `/proc` is not mounted.
#[must_use]
pub fn open_files() -> usize {
    // The directory handle that counts is one of them.
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1))
}
