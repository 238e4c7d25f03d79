//! Slices of a block: bytes that never change, which any thread may keep.

#![allow(unsafe_code)]

use std::fmt;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;

use super::{Block, COPY_ALIGNMENT_BYTES, Memory};

/// A counted slice of bytes that never change. Cheap to clone and to cut, free to cross threads.
#[derive(Clone)]
pub struct Shared {
    /// `None` for the empty slice, which then needs no allocation.
    pub(super) memory: Option<Arc<Memory>>,
    pub(super) start: NonNull<u8>,
    pub(super) len: usize,
}

// SAFETY: the bytes in `start..start + len` are never written while `memory` is alive (`Block`
// writes only above its length, and resets it only when it holds the last reference).
unsafe impl Send for Shared {}
// SAFETY: as above; a `Shared` only reads.
unsafe impl Sync for Shared {}

impl Shared {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self { memory: None, start: NonNull::dangling(), len: 0 }
    }

    /// Copies `bytes` into memory of their own.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::empty();
        }
        let mut block = Block::unaligned(bytes.len());
        block.spare().copy_from_slice(bytes);
        block.advance(bytes.len());
        block.share(0..bytes.len())
    }

    /// Whether the memory is there for this slice: made for bytes that only leave by a socket, or
    /// held by nobody else now.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| {
            memory.layout.align() == COPY_ALIGNMENT_BYTES || Arc::strong_count(memory) == 1
        })
    }

    /// Takes in `next` if its bytes follow these in the same memory; gives it back otherwise.
    ///
    /// # Errors
    /// `next`, where it is not the next slice.
    pub fn join(&mut self, next: Self) -> Result<(), Self> {
        let (Some(own), Some(other)) = (&self.memory, &next.memory) else { return Err(next) };
        let end = self.start.as_ptr().wrapping_add(self.len);
        if !Arc::ptr_eq(own, other) || end != next.start.as_ptr() {
            return Err(next);
        }
        self.len += next.len;
        Ok(())
    }

    /// A part of these bytes, sharing the memory.
    ///
    /// # Panics
    /// If `range` reaches beyond the end.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "slice {range:?} of {} bytes",
            self.len
        );
        // SAFETY: `range.start` is at most `self.len`, so the pointer stays in the allocation.
        let start = unsafe { self.start.add(range.start) };
        Self { memory: self.memory.clone(), start, len: range.end - range.start }
    }
}

impl Deref for Shared {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` and `len` lie in `memory` (or `len` is 0 and `start` dangles, which a
        // slice permits), and these bytes never change while `memory` is held.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<&[u8]> for Shared {
    fn from(bytes: &[u8]) -> Self {
        Self::copy_of(bytes)
    }
}

impl From<Vec<u8>> for Shared {
    fn from(bytes: Vec<u8>) -> Self {
        Self::copy_of(&bytes)
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Shared {}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({} bytes)", self.len)
    }
}
