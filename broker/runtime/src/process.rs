//! Facts about this process, and what another one uses.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::live;

/// Memory pages on x86-64, and on the other 64-bit machines that io_uring brokers run on.
const PAGE_SIZE_BYTES: u64 = 4096;

/// Its number.
#[must_use]
pub fn pid() -> u32 {
    std::process::id()
}

/// The program of that name in the directory of this one, if there is one, as a shell finds it in
/// the directory where this process runs: with a slash.
#[must_use]
pub fn beside(name: &str) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.with_file_name(name);
    let here = std::env::current_dir().unwrap_or_default();
    let inside = program.strip_prefix(here).map(|inside| Path::new(".").join(inside));
    program.is_file().then(|| inside.unwrap_or(program.clone()))
}

/// Ends this process with SIGKILL as soon as its parent has ended, however that ended: for a child
/// that is of no use alone. Call it first thing in the child's main thread; `parent` is the number
/// of the process that started it.
///
/// # Errors
/// The parent has ended already, or the kernel refuses.
pub fn end_with(parent: u32) -> io::Result<()> {
    live::sys::signals::die_with_parent()?;
    // A parent that ended before the call above sends no signal any more.
    if std::os::unix::process::parent_id() == parent {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, format!("process {parent} has ended")))
    }
}

/// The same for a child of any program: the kernel ends its process with SIGKILL as soon as the
/// thread has ended that started it.
pub fn ends_with_this(command: &mut Command) {
    live::sys::signals::die_with_this(command);
}

/// Ends a child that leads a group of processes, and all of the group, with SIGKILL, and waits
/// until the child has ended; it is still to be collected.
///
/// # Errors
/// It is no child, or has been collected.
pub fn kill_group(pid: u32) -> io::Result<()> {
    live::sys::signals::kill_group(pid)
}

/// Removes a directory and all that is in it, on this thread and without an executor: for a process
/// that is about to end.
///
/// # Errors
/// As the file system says.
pub fn remove_dir_all(path: &Path) -> io::Result<()> {
    std::fs::remove_dir_all(path)
}

/// CPU time used so far, by all threads. Each look is a system call: ask once a second, not once a
/// message.
#[must_use]
pub fn cpu_time() -> Duration {
    Duration::from_nanos(live::sys::clocks::process_cpu_ns())
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

/// File descriptors that this process may have open at the same time.
#[must_use]
pub fn open_files_max() -> usize {
    usize::try_from(live::sys::limits::open_files_max()).unwrap_or(usize::MAX)
}

/// What a process uses, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads so far, to the nanosecond.
    pub cpu: Duration,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Of it the pages of files that are mapped, which are in the page cache, and of shared memory.
    pub rss_files_bytes: u64,
    /// What the scheduler did with its threads.
    pub scheduling: Scheduling,
}

/// What the scheduler did with the threads that a process has now, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// Times that a thread gave its CPU up, or lost it to another.
    pub context_switches: u64,
    /// Time that threads could run and had no CPU; 0 on kernels that do not tell.
    pub cpu_wait: Duration,
}

impl Usage {
    /// What was used since `earlier`; the memory is that of now.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            rss_bytes: self.rss_bytes,
            rss_files_bytes: self.rss_files_bytes,
            scheduling: self.scheduling.since(earlier.scheduling),
        }
    }

    /// What both processes use.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            rss_bytes: self.rss_bytes + other.rss_bytes,
            rss_files_bytes: self.rss_files_bytes + other.rss_files_bytes,
            scheduling: self.scheduling.and(other.scheduling),
        }
    }
}

impl Scheduling {
    /// What the scheduler did since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            context_switches: self.context_switches.saturating_sub(earlier.context_switches),
            cpu_wait: self.cpu_wait.saturating_sub(earlier.cpu_wait),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            context_switches: self.context_switches + other.context_switches,
            cpu_wait: self.cpu_wait + other.cpu_wait,
        }
    }
}

/// What the process `pid` uses.
///
/// # Errors
/// There is no such process, or `/proc` is not mounted.
pub fn usage_of(pid: u32) -> io::Result<Usage> {
    // All pages, those that are resident, and of these those of files and of shared memory.
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let bytes = |field: usize| {
        let pages = statm.split_ascii_whitespace().nth(field)?.parse::<u64>().ok();
        pages.map(|pages| pages * PAGE_SIZE_BYTES)
    };
    Ok(Usage {
        cpu: Duration::from_nanos(live::sys::clocks::cpu_ns_of(pid)?),
        rss_bytes: bytes(1).unwrap_or(0),
        rss_files_bytes: bytes(2).unwrap_or(0),
        scheduling: scheduling_of(pid)?,
    })
}

/// Sums up the threads of the process `pid`; one that ends meanwhile counts nothing.
fn scheduling_of(pid: u32) -> io::Result<Scheduling> {
    let mut sum = Scheduling::default();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let folder = thread?.path();
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        sum.context_switches += context_switches(&status);
        // Time on a CPU, time waiting for one, time slices.
        let schedstat = std::fs::read_to_string(folder.join("schedstat")).unwrap_or_default();
        let waited = schedstat.split_ascii_whitespace().nth(1).and_then(|ns| ns.parse().ok());
        sum.cpu_wait += Duration::from_nanos(waited.unwrap_or(0));
    }
    Ok(sum)
}

/// proc(5): `voluntary_ctxt_switches` and `nonvoluntary_ctxt_switches` of a thread's status.
fn context_switches(status: &str) -> u64 {
    let number = |line: &str| {
        let (name, number) = line.split_once(':')?;
        name.ends_with("voluntary_ctxt_switches").then(|| number.trim().parse::<u64>().ok())?
    };
    status.lines().filter_map(number).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_as_both_sources_tell() {
        let usage = usage_of(pid()).unwrap();
        assert!(usage.rss_bytes > 0 && usage.rss_bytes.abs_diff(rss_bytes()) < 64 << 20);
        // The program is a file that is mapped, its heap and stacks are none.
        assert!((1..usage.rss_bytes).contains(&usage.rss_files_bytes), "{usage:?}");
    }

    #[test]
    fn a_program_beside_this_one_is_found_as_a_shell_finds_it() {
        let this = std::env::current_exe().unwrap();
        let name = this.file_name().and_then(|name| name.to_str()).unwrap();
        let found = beside(name).unwrap();
        assert_eq!(found.canonicalize().unwrap(), this.canonicalize().unwrap());
        assert!(found.to_str().unwrap().contains('/'));
        assert_eq!(beside("no-such-program"), None);
    }

    #[test]
    fn a_process_that_is_not_the_parent_is_not_waited_for() {
        let error = end_with(u32::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_cpu_time_of_a_process_is_exact() {
        let within = |low: Duration, time: Duration, high: Duration| low <= time && time <= high;
        let (before, usage, after) = (cpu_time(), usage_of(pid()).unwrap(), cpu_time());
        assert!(within(before, usage.cpu, after), "{before:?} {usage:?} {after:?}");
        assert!(!usage.cpu.subsec_nanos().is_multiple_of(10_000_000), "{usage:?}");
    }

    #[test]
    fn both_kinds_of_context_switches_count() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t35\n";
        assert_eq!(context_switches(status), 42);
        assert_eq!(context_switches("Name:\tx\n"), 0);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(usage_of(u32::MAX).is_err());
    }
}
