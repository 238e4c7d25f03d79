//! What the system allows this process: rings, locked memory, open files.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

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
