//! What the page cache has of a file, and what it is to have.
//!
//! A read that must not wait (`RWF_NOWAIT`) does not find what is missing, but has the device begin
//! to read it all the same, page by page where nothing is to be read ahead. So the kernel is asked
//! first.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::sys::check_len;

/// `cachestat` of Linux 6.5, the same number on all machines; the libc crate does not have it.
const CACHESTAT: libc::c_long = 451;

/// Bytes of a file.
#[repr(C)]
struct CachestatRange {
    from: u64,
    len: u64,
}

/// Pages of a file that are in the page cache, and four other counts of them.
#[repr(C)]
#[derive(Default)]
struct Cachestat {
    cached: u64,
    others: [u64; 4],
}

/// Whether the page cache has all pages of these bytes, or reads them now; `None` if the kernel
/// does not tell.
fn has(file: BorrowedFd<'_>, pos: u64, len: usize) -> Option<bool> {
    let end = pos.checked_add(len as u64).filter(|_| len > 0)?;
    let page = page_bytes()?;
    let from = pos - pos % page;
    let range = CachestatRange { from, len: end - from };
    let mut found = Cachestat::default();
    let (fd, flags) = (file.as_raw_fd(), 0);
    // SAFETY: both structures are those of the kernel, and it writes to the second alone.
    let told = unsafe { libc::syscall(CACHESTAT, fd, &raw const range, &raw mut found, flags) };
    (told == 0).then(|| found.cached >= range.len.div_ceil(page))
}

fn page_bytes() -> Option<u64> {
    // SAFETY: the call only returns a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok().filter(|bytes| *bytes > 0)
}

/// Reads from a file's page cache; `EAGAIN` if the device would be needed for the first byte, fewer
/// bytes if it would be for a later one. Asks the device for nothing where the kernel can tell what
/// is there (0.3 us).
pub(super) fn read_cached(file: BorrowedFd<'_>, pos: u64, out: &mut [u8]) -> io::Result<usize> {
    read_unless_missing(has(file, pos, out.len()), file, pos, out)
}

/// Reads what is there, or might be where the kernel did not tell.
fn read_unless_missing(
    told: Option<bool>,
    file: BorrowedFd<'_>,
    pos: u64,
    out: &mut [u8],
) -> io::Result<usize> {
    match told {
        Some(false) => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
        Some(true) | None => read_or_begin(file, pos, out),
    }
}

/// The same without asking first.
fn read_or_begin(file: BorrowedFd<'_>, pos: u64, out: &mut [u8]) -> io::Result<usize> {
    let offset = libc::off_t::try_from(pos).map_err(|_| io::ErrorKind::InvalidInput)?;
    let piece = libc::iovec { iov_base: out.as_mut_ptr().cast(), iov_len: out.len() };
    // SAFETY: the one piece is writable for its length.
    let read =
        unsafe { libc::preadv2(file.as_raw_fd(), &raw const piece, 1, offset, libc::RWF_NOWAIT) };
    check_len(read)
}

/// Whether [`read_cached`] works on this file: some file systems refuse the flag.
pub(super) fn tells_cached(file: BorrowedFd<'_>) -> bool {
    let refused = |error: &io::Error| error.raw_os_error() == Some(libc::EOPNOTSUPP);
    !read_or_begin(file, 0, &mut [0]).is_err_and(|error| refused(&error))
}

/// Has the device begin to read into the page cache what is not there; does not wait for it.
pub(super) fn begin_reading(file: BorrowedFd<'_>, pos: u64, len: u64) -> io::Result<()> {
    let number = |value| libc::off_t::try_from(value).map_err(|_| io::ErrorKind::InvalidInput);
    let (pos, len) = (number(pos)?, number(len)?);
    // SAFETY: the call touches no memory of this process.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), pos, len, libc::POSIX_FADV_WILLNEED) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Tells the kernel to read what is asked for and nothing behind it.
pub(super) fn read_nothing_ahead(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call only changes how this open file is read.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;

    const PAGE: usize = 4096;

    /// A file of four pages, none of which the page cache has.
    fn cold_file() -> (tempfile::TempDir, fs::File) {
        let directory = tempfile::tempdir_in(".").expect("a directory");
        let path = directory.path().join("file");
        fs::write(&path, vec![7; 4 * PAGE]).expect("written");
        let file = fs::File::open(path).expect("there");
        file.sync_all().expect("synced");
        read_nothing_ahead(file.as_fd()).expect("a plain file");
        // SAFETY: the call touches no memory of this process.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        (directory, file)
    }

    fn at(page: usize) -> u64 {
        (page * PAGE) as u64
    }

    /// Checks a kernel that does not tell what is there: what is missing is not waited for.
    fn check_untold(file: &fs::File) {
        let mut found = [0; PAGE];
        match read_unless_missing(None, file.as_fd(), at(1), &mut found) {
            Ok(read) => assert!(read > 0 && found[..read].iter().all(|byte| *byte == 7)),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EAGAIN)),
        }
        std::os::unix::fs::FileExt::read_exact_at(file, &mut found, at(2)).expect("read");
        let mut found = [0; 10];
        let read = read_unless_missing(None, file.as_fd(), at(2) + 5, &mut found);
        assert_eq!((read.expect("there"), found), (10, [7; 10]));
    }

    #[test]
    fn where_the_kernel_does_not_tell_what_is_there_is_read_all_the_same() {
        let (_directory, file) = cold_file();
        check_untold(&file);
    }

    #[test]
    fn what_is_not_there_is_told_and_not_read_for_having_been_asked_for() {
        let (_directory, file) = cold_file();
        match has(file.as_fd(), 0, PAGE) {
            Some(false) => {}
            // A file system that keeps all of it in memory.
            Some(true) => {
                let mut found = [0; 10];
                assert_eq!(read_cached(file.as_fd(), at(1), &mut found).expect("there"), 10);
                return assert_eq!(found, [7; 10]);
            }
            // A kernel before 6.5.
            None => return check_untold(&file),
        }
        let error = read_cached(file.as_fd(), at(1), &mut [0; PAGE]).expect_err("not there");
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        assert_eq!(has(file.as_fd(), at(1), PAGE), Some(false), "and nobody reads it");
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut [0], at(2) + 5).expect("read");
        let mut found = [0; 10];
        assert_eq!(read_cached(file.as_fd(), at(2) + 5, &mut found).expect("there"), 10);
        assert_eq!(found, [7; 10]);
        for (pos, len, is_there) in [
            (at(2), PAGE, true),
            (at(3) - 1, 2, false),
            (at(2) - 1, 2, false),
            (at(3) - 1, 1, true),
        ] {
            assert_eq!(has(file.as_fd(), pos, len), Some(is_there), "{len} bytes at {pos}");
        }
    }
}
