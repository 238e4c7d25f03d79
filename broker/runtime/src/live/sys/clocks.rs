//! The kernel's clocks, and what threads and processes have used of them.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;

use super::check;

/// Nanoseconds of CLOCK_MONOTONIC. About 20 ns, no system call.
pub(crate) fn monotonic_ns() -> u64 {
    nanoseconds(clock(libc::CLOCK_MONOTONIC))
}

/// CPU time of this process in nanoseconds, all threads.
pub(crate) fn process_cpu_ns() -> u64 {
    nanoseconds(clock(libc::CLOCK_PROCESS_CPUTIME_ID))
}

/// CPU time of the process `pid` in nanoseconds, all threads, also those that have ended.
pub(crate) fn cpu_ns_of(pid: u32) -> io::Result<u64> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    let mut id = 0;
    // SAFETY: `id` is writable.
    let error = unsafe { libc::clock_getcpuclockid(pid, &raw mut id) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable. The process may have ended since.
    check(unsafe { libc::clock_gettime(id, &raw mut time) })?;
    Ok(nanoseconds(time))
}

/// What a thread has used, so far or in a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadUsage {
    /// Time on a CPU.
    pub cpu_ns: u64,
    /// What of it passed in the kernel: in calls, and where memory had to be found for a page.
    pub kernel_ns: u64,
    /// Times that it lost its CPU to another thread.
    pub preemptions: u64,
}

impl ThreadUsage {
    pub(crate) const NONE: Self = Self { cpu_ns: 0, kernel_ns: 0, preemptions: 0 };

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            kernel_ns: self.kernel_ns.saturating_sub(earlier.kernel_ns),
            preemptions: self.preemptions.saturating_sub(earlier.preemptions),
        }
    }
}

/// What this thread has used so far. One system call.
pub(crate) fn thread_usage() -> ThreadUsage {
    // SAFETY: all zero is a valid value of this structure of numbers.
    let mut usage: libc::rusage = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `usage` is writable; the call knows this selector since Linux 2.6.26.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    let ns = |time: libc::timeval| {
        let (seconds, us) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_usec));
        seconds.unwrap_or(0) * 1_000_000_000 + us.unwrap_or(0) * 1_000
    };
    ThreadUsage {
        cpu_ns: ns(usage.ru_utime) + ns(usage.ru_stime),
        kernel_ns: ns(usage.ru_stime),
        preemptions: u64::try_from(usage.ru_nivcsw).unwrap_or(0),
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> i64 {
    let time = clock(libc::CLOCK_REALTIME);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

fn nanoseconds(time: libc::timespec) -> u64 {
    let (seconds, rest) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000_000 + rest.unwrap_or(0)
}

fn clock(id: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable. The clocks used here exist on every Linux, so this cannot fail.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    time
}
