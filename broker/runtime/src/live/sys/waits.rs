//! Waiting for descriptors, and ending the wait of another thread.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

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
