//! The system calls that neither std nor glommio offers, each behind a small safe function.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::net::GATHER_PIECES_MAX;

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

/// A random number from the kernel.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0u8; 8];
    // SAFETY: the buffer holds the 8 bytes asked for. So few come whole and without waiting.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    assert!(got == 8, "getrandom: {}", io::Error::last_os_error());
    u64::from_ne_bytes(bytes)
}

/// What a system call returned, or why it failed.
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

pub(super) fn check_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a path with a NUL byte"))
}

/// Takes the next connection of a listening socket: never waits, never inherited by children.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null address pointers mean that the address is not asked for.
    let fd = unsafe {
        libc::accept4(listener.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), flags)
    };
    check(fd)?;
    // SAFETY: a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Receives what has arrived, up to the length of `into`; 0 bytes are the end of the stream. Never
/// waits.
pub(crate) fn recv(socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    let (start, len) = (into.as_mut_ptr().cast(), into.len());
    // SAFETY: the buffer is writable for its length.
    check_len(unsafe { libc::recv(socket.as_raw_fd(), start, len, libc::MSG_DONTWAIT) })
}

/// Sends what the socket takes at once. Never waits, and raises no SIGPIPE.
pub(crate) fn send(socket: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let pieces = &pieces[..pieces.len().min(GATHER_PIECES_MAX)];
    // SAFETY: all zero is a valid, empty message header.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    // `IoSlice` has the layout of `iovec`; `sendmsg` only reads through it.
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the header points to `pieces`, which outlive the call.
    check_len(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) })
}

/// Moves up to `len` bytes from a file's page cache to a socket; reads the device if they are not
/// cached. `EAGAIN` if the (non-blocking) socket is full.
pub(crate) fn sendfile(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    pos: u64,
    len: usize,
) -> io::Result<usize> {
    let mut offset = libc::off_t::try_from(pos).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: both descriptors are open while borrowed, `offset` is writable.
    check_len(unsafe { libc::sendfile(socket.as_raw_fd(), file.as_raw_fd(), &raw mut offset, len) })
}

/// A read-only mapping of a file. Nobody looks at its bytes: it only answers what is cached.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *mut libc::c_void,
    len: usize,
}

// SAFETY: the mapping is a number for `mincore` and `munmap`, which any thread may call.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

const PAGE_SIZE_BYTES: usize = 4096;

impl Mapping {
    /// Maps the first `len` bytes; `None` if there are none or the kernel refuses.
    pub(crate) fn of(file: BorrowedFd<'_>, len: u64) -> Option<Self> {
        let len = usize::try_from(len).ok().filter(|len| *len > 0)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        (start != libc::MAP_FAILED).then_some(Self { start, len })
    }

    /// True if all pages of the range are cached and up to date, so that `sendfile` will not wait
    /// for the device. (`cachestat` counts pages whose read is still going on; `mincore` does
    /// not.) Ranges of more than 4 MiB count as not resident.
    pub(crate) fn is_resident(&self, pos: u64, len: usize) -> bool {
        const PAGES_MAX: usize = 1024;
        let Ok(pos) = usize::try_from(pos) else { return false };
        let Some(end) = pos.checked_add(len).filter(|end| *end <= self.len) else { return false };
        let first = pos - pos % PAGE_SIZE_BYTES;
        let pages = (end - first).div_ceil(PAGE_SIZE_BYTES);
        if pages > PAGES_MAX {
            return false;
        }
        let mut states = [0u8; PAGES_MAX];
        // SAFETY: the range was checked to lie in the mapping, `states` has a byte per page.
        let result =
            unsafe { libc::mincore(self.start.byte_add(first), end - first, states.as_mut_ptr()) };
        result == 0 && states[..pages].iter().all(|state| state & 1 == 1)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `of`, unmapped only here; no reference into it exists.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

/// What the kernel wants of direct I/O on a file, as far as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alignment {
    /// Positions and lengths: multiples of this. The unit that the device writes whole.
    pub offset_bytes: usize,
}

/// Asks for the alignment of direct I/O (`statx`, Linux 6.1); `None` if there is no answer.
pub(crate) fn direct_io_alignment(file: BorrowedFd<'_>) -> Option<Alignment> {
    // SAFETY: all zero is a valid `statx` buffer; the empty path with AT_EMPTY_PATH means `file`.
    let stat = unsafe {
        let mut stat: libc::statx = MaybeUninit::zeroed().assume_init();
        let result = libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_DIOALIGN,
            &raw mut stat,
        );
        check(result).ok()?;
        stat
    };
    let offset_bytes = usize::try_from(stat.stx_dio_offset_align).ok()?;
    let known = stat.stx_mask & libc::STATX_DIOALIGN != 0 && offset_bytes.is_power_of_two();
    known.then_some(Alignment { offset_bytes })
}

/// Reserves the file's whole length, so that a full disk shows here and not in a later write.
pub(crate) fn fallocate(file: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    let len = libc::off_t::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
    loop {
        // SAFETY: plain system call on an open descriptor.
        match check(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len) }) {
            // Some file systems give way to a signal.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            reserved => return reserved.map(|_| ()),
        }
    }
}

/// Takes an exclusive lock that ends with the descriptor; `false` if somebody else has it.
pub(crate) fn try_lock(file: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: plain system call on an open descriptor.
    match check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Total and available bytes of the file system that holds `path`.
///
/// What is reserved for others is in neither, as in df(1): shares of the total then reach 100 %
/// when nothing is left, and not before.
pub(crate) fn space(path: &Path) -> io::Result<(u64, u64)> {
    let path = c_path(path)?;
    // SAFETY: all zero is a valid buffer, the path ends with NUL.
    let stat = unsafe {
        let mut stat: libc::statvfs = MaybeUninit::zeroed().assume_init();
        check(libc::statvfs(path.as_ptr(), &raw mut stat))?;
        stat
    };
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    Ok((stat.f_frsize * (used + stat.f_bavail), stat.f_frsize * stat.f_bavail))
}

/// Makes and closes a small ring; the error is the kernel's number.
pub(crate) fn try_io_uring() -> Result<(), i32> {
    // `struct io_uring_params` is 120 bytes; all zero asks for the defaults.
    let mut params = [0u64; 15];
    // SAFETY: the buffer is as large as the structure and writable.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 2, params.as_mut_ptr()) };
    let error = io::Error::last_os_error();
    let Some(fd) = i32::try_from(fd).ok().filter(|fd| *fd >= 0) else {
        return Err(error.raw_os_error().unwrap_or(libc::EIO));
    };
    // SAFETY: a new descriptor that nobody else knows.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}

/// The soft limit of locked memory in bytes; `None` if unlimited.
pub(crate) fn memlock_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable; the call cannot fail for a resource that exists.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// The soft limit of open files; `u64::MAX` if unlimited.
pub(crate) fn open_files_max() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable; the call cannot fail for a resource that exists.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur
}

/// Raises the soft limits of open files and locked memory to the hard ones: the soft ones protect
/// programs that ask for `select`, or leak, and this one does neither.
pub(crate) fn raise_limits() {
    for resource in [libc::RLIMIT_NOFILE, libc::RLIMIT_MEMLOCK] {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is valid for both calls. Failing leaves the limit as it was.
        unsafe {
            if libc::getrlimit(resource, &raw mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
                limit.rlim_cur = limit.rlim_max;
                libc::setrlimit(resource, &raw const limit);
            }
        }
    }
}

/// A set of cores.
#[derive(Clone, Copy)]
pub(crate) struct CoreSet(libc::cpu_set_t);

impl CoreSet {
    /// The cores that this thread may use.
    pub(crate) fn of_this_thread() -> Self {
        // SAFETY: all zero is the empty set, which the kernel fills; on failure it stays empty.
        unsafe {
            let mut set: libc::cpu_set_t = MaybeUninit::zeroed().assume_init();
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
            Self(set)
        }
    }

    /// Restricts this thread to the set. Without effect if the kernel refuses.
    pub(crate) fn apply_to_this_thread(&self) {
        // SAFETY: the set is readable and of the size given.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.0) };
    }

    /// Numbers of the cores, ascending.
    pub(crate) fn cores(&self) -> Vec<usize> {
        let cores_max = 8 * size_of::<libc::cpu_set_t>();
        // SAFETY: the macro only looks at bits inside the set.
        (0..cores_max).filter(|core| unsafe { libc::CPU_ISSET(*core, &self.0) }).collect()
    }
}

/// A counter that becomes readable when something is added to it.
pub(crate) fn event_fd() -> io::Result<OwnedFd> {
    // SAFETY: plain system call.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds one to such a counter.
pub(crate) fn add_to_event(event: BorrowedFd<'_>) {
    let one = 1u64;
    // SAFETY: the buffer is 8 readable bytes. It fails when the counter is full, and then it is
    // readable anyway.
    unsafe { libc::write(event.as_raw_fd(), (&raw const one).cast(), 8) };
}

/// Waits until something in an epoll set is ready, or `timeout_ns` are over; how many events were
/// stored. None when a signal, or work that the kernel has for this thread, came first.
pub(crate) fn epoll_wait(
    set: BorrowedFd<'_>,
    events: &mut [MaybeUninit<libc::epoll_event>],
    timeout_ns: u64,
) -> usize {
    let room = libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX);
    let (set, events) = (set.as_raw_fd(), events.as_mut_ptr());
    if timeout_ns > 0 {
        let timeout = libc::timespec {
            tv_sec: libc::time_t::try_from(timeout_ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: libc::c_long::try_from(timeout_ns % 1_000_000_000).unwrap_or(0),
        };
        let (timeout, mask) = (&raw const timeout, std::ptr::null::<libc::sigset_t>());
        // SAFETY: there is room for as many events as the call may store, and the time is readable.
        let count = unsafe {
            libc::syscall(libc::SYS_epoll_pwait2, set, events, room, timeout, mask, 0usize)
        };
        if let Ok(count) = usize::try_from(count) {
            return count;
        }
        if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
            return 0;
        }
    }
    // Where a seccomp profile does not know that call: in milliseconds, and not shorter than asked.
    let timeout_ms = libc::c_int::try_from(timeout_ns.div_ceil(1_000_000)).unwrap_or(1_000);
    // SAFETY: as above.
    let count = unsafe { libc::epoll_wait(set, events.cast(), room, timeout_ms) };
    usize::try_from(count).unwrap_or(0)
}

/// Lets timeouts of this thread end when they should: the kernel gathers them for 50 us otherwise.
pub(crate) fn end_timeouts_in_time() {
    // SAFETY: changes a number of this thread; nothing depends on its success.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000) };
}

/// Descriptor that the signal handler writes to, -1 before there is one.
static SIGNAL_EVENT: AtomicI32 = AtomicI32::new(-1);

/// The last signal handled, 0 before the first.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_signal(signal: libc::c_int) {
    SIGNAL.store(signal, Ordering::Release);
    let one = 1u64;
    // SAFETY: `write` is allowed in signal handlers, the buffer is 8 readable bytes. `errno` may
    // change under the interrupted code only if this fails, which takes 2^64 - 1 signals.
    unsafe { libc::write(SIGNAL_EVENT.load(Ordering::Acquire), (&raw const one).cast(), 8) };
}

/// Makes `event` readable when one of `signals` arrives; after that the signal has its default
/// action again, so that a second one ends the process. `event` stays open for good.
pub(crate) fn catch_signals(event: OwnedFd, signals: &[libc::c_int]) -> io::Result<()> {
    SIGNAL_EVENT.store(event.into_raw_fd(), Ordering::Release);
    for signal in signals {
        // SAFETY: all zero is a valid action to start from; the handler does nothing that is
        // forbidden in a signal handler.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
            check(libc::sigaction(*signal, &raw const action, std::ptr::null_mut()))?;
        }
    }
    Ok(())
}

/// Has the kernel end this process with SIGKILL when the thread that started it ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    let signal = libc::c_ulong::try_from(libc::SIGKILL).expect("signals are small");
    // SAFETY: this option takes a signal and touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) }).map(|_| ())
}

/// The signal that was caught last.
pub(crate) fn caught_signal() -> Option<libc::c_int> {
    Some(SIGNAL.load(Ordering::Acquire)).filter(|signal| *signal != 0)
}
