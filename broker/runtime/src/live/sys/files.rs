//! Calls on files: which pages are resident, their space, their locks.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::check;

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

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a path with a NUL byte"))
}
