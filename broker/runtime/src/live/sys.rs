//! The system calls that neither std nor glommio offers, each behind a small safe function; a file
//! for each subject.

pub(crate) mod clocks;
pub(crate) mod cores;
pub(crate) mod files;
pub(crate) mod limits;
pub(crate) mod random;
pub(crate) mod signals;
pub(crate) mod sockets;
pub(crate) mod threads;
pub(crate) mod waits;

use std::io;

/// What a system call returned, or why it failed.
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

pub(super) fn check_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
