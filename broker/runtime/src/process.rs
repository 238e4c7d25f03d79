//! Facts about this process, and what another one uses.

use std::io;
use std::time::Duration;

use crate::live;

/// Memory pages on x86-64, and on the other 64-bit machines that io_uring brokers run on.
const PAGE_SIZE_BYTES: u64 = 4096;

/// Its number.
#[must_use]
pub fn pid() -> u32 {
    std::process::id()
}

/// Ends this process with SIGKILL as soon as its parent has ended, however that ended: for a child
/// that is of no use alone. Call it first thing in the child's main thread; `parent` is the number
/// of the process that started it.
///
/// # Errors
/// The parent has ended already, or the kernel refuses.
pub fn end_with(parent: u32) -> io::Result<()> {
    live::sys::die_with_parent()?;
    // A parent that ended before the call above sends no signal any more.
    if std::os::unix::process::parent_id() == parent {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, format!("process {parent} has ended")))
    }
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
    let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else { return 0 };
    let pages = statm.split_ascii_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE_SIZE_BYTES
}

/// Bytes of memory that this machine, or the container's control group, has; 0 if `/proc` is not
/// mounted. Ask once.
#[must_use]
pub fn memory_bytes() -> u64 {
    let Ok(meminfo) = std::fs::read_to_string("/proc/meminfo") else { return 0 };
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    let machine = kib.unwrap_or(0) << 10;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    group.trim().parse().map_or(machine, |limit: u64| limit.min(machine))
}

/// Open file descriptors of this process; 0 if `/proc` is not mounted.
#[must_use]
pub fn open_files() -> usize {
    // The directory handle that counts is one of them.
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1))
}

/// What a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads so far, in steps of 10 ms.
    pub cpu: Duration,
    /// Resident memory.
    pub rss_bytes: u64,
}

/// What the process `pid` uses.
///
/// # Errors
/// There is no such process, or `/proc` is not mounted.
pub fn usage_of(pid: u32) -> io::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // proc(5): the second field is the name in parentheses and may hold anything, also blanks;
    // of the fields behind it utime is the 12th, stime the 13th and rss the 22nd.
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = |index: usize| {
        let text = behind_name.split_ascii_whitespace().nth(index);
        text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
    };
    let ticks_10_ms = field(11) + field(12);
    Ok(Usage {
        cpu: Duration::from_millis(ticks_10_ms * 10),
        rss_bytes: field(21) * PAGE_SIZE_BYTES,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_as_both_sources_tell() {
        let usage = usage_of(pid()).unwrap();
        assert!(usage.rss_bytes > 0 && usage.rss_bytes.abs_diff(rss_bytes()) < 64 << 20);
    }

    #[test]
    fn a_process_that_is_not_the_parent_is_not_waited_for() {
        let error = end_with(u32::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(usage_of(u32::MAX).is_err());
    }
}
