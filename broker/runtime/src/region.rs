//! Memory in one piece that blocks are cut from.
//!
//! Bytes that are copied from many places, or read by the device into many, cost a look at the
//! tables of pages for each place. In pages of 2 MiB these tables are short enough to stay in the
//! CPU, and the device is told of fewer pieces.

#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::buffer::{ALIGNMENT_BYTES, Block};

/// A large page of x86-64, and of 64-bit ARM with small ones of 4 KiB.
const LARGE_PAGE_BYTES: usize = 2 << 20;

/// Memory of a fixed size, from its start on cut into blocks.
///
/// It is reserved as a whole. The kernel provides its pages when they are first touched, large ones
/// where it has them (`transparent_hugepage`), and has them back when the region and all its blocks
/// are gone.
pub struct Region {
    mapping: Arc<Mapping>,
    /// Bytes that are part of a block.
    cut: usize,
}

impl Region {
    /// Reserves `len` bytes.
    ///
    /// # Errors
    /// `InvalidInput` for no bytes; else as the kernel says, which may refuse so much.
    pub fn reserve(len: usize) -> io::Result<Self> {
        Ok(Self { mapping: Arc::new(Mapping::new(len)?), cut: 0 })
    }

    /// The next `len` bytes as an empty block, all zeros; `None` when fewer are left.
    ///
    /// # Panics
    /// If `len` is no multiple of [`ALIGNMENT_BYTES`], or 0.
    pub fn cut(&mut self, len: usize) -> Option<Block> {
        assert!(len > 0 && len.is_multiple_of(ALIGNMENT_BYTES), "a block of {len} bytes");
        let end = self.cut.checked_add(len).filter(|end| *end <= self.mapping.len)?;
        // SAFETY: the part lies in the mapping, which has `len` bytes from `bytes` on, was never
        // written to and is part of no other block, since `cut` only grows.
        let block = unsafe {
            let start = self.mapping.bytes.add(self.cut);
            Block::cut_from(Arc::clone(&self.mapping), start, len)
        };
        self.cut = end;
        Some(block)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({} of {} bytes)", self.cut, self.mapping.len)
    }
}

/// What was mapped, until the last that uses it is gone.
#[derive(Debug)]
pub(crate) struct Mapping {
    mapped: NonNull<libc::c_void>,
    mapped_len: usize,
    /// The first border of large pages in it, and the bytes from there on.
    bytes: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is memory of this process like any other. Who may touch which bytes of it is
// settled by the blocks that are cut from it, no two of which overlap.
unsafe impl Send for Mapping {}
// SAFETY: as above; `Mapping` itself offers no access to its bytes.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(len: usize) -> io::Result<Self> {
        let mapped_len = len.checked_add(LARGE_PAGE_BYTES).filter(|_| len > 0);
        let mapped_len = mapped_len.ok_or(io::ErrorKind::InvalidInput)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let mapped = unsafe { libc::mmap(ptr::null_mut(), mapped_len, access, kind, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapped = NonNull::new(mapped).ok_or(io::ErrorKind::OutOfMemory)?;
        let before = mapped.cast::<u8>().align_offset(LARGE_PAGE_BYTES);
        // SAFETY: less than a large page, by which the mapping is longer than `len`.
        let bytes = unsafe { mapped.cast::<u8>().add(before) };
        // SAFETY: the range lies in the mapping, and its contents stay as they are. A kernel
        // without large pages refuses, and small ones do as well.
        unsafe { libc::madvise(bytes.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
        Ok(Self { mapped, mapped_len, bytes, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, unmapped only here; whatever points into it holds a reference.
        unsafe { libc::munmap(self.mapped.as_ptr(), self.mapped_len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other_until_the_region_is_used_up() {
        let mut region = Region::reserve(3 * ALIGNMENT_BYTES).expect("memory");
        let mut first = region.cut(ALIGNMENT_BYTES).expect("room");
        let mut second = region.cut(2 * ALIGNMENT_BYTES).expect("room");
        assert!(region.cut(ALIGNMENT_BYTES).is_none());
        assert_eq!(first.spare(), [0; ALIGNMENT_BYTES]);
        first.spare().fill(1);
        assert_eq!(second.spare(), [0; 2 * ALIGNMENT_BYTES]);
        assert_eq!(first.spare().as_ptr_range().end, second.spare().as_ptr());
        assert_eq!(first.spare().as_ptr() as usize % LARGE_PAGE_BYTES, 0);
        assert!(first.is_cut() && !Block::with_capacity(ALIGNMENT_BYTES).is_cut());
    }

    #[test]
    fn slices_of_its_blocks_outlive_a_region() {
        let mut region = Region::reserve(ALIGNMENT_BYTES).expect("memory");
        let mut block = region.cut(ALIGNMENT_BYTES).expect("room");
        block.spare()[..3].copy_from_slice(b"abc");
        block.advance(3);
        drop(region);
        let shared = block.share(1..3);
        assert!(!block.try_reset(), "a slice is left");
        drop(block);
        assert_eq!(&*shared, b"bc");
    }

    #[test]
    fn a_region_of_no_bytes_and_one_that_is_too_large_are_refused() {
        assert!(Region::reserve(0).is_err());
        assert!(Region::reserve(usize::MAX).is_err());
        assert!(Region::reserve(1 << 60).is_err());
    }
}
