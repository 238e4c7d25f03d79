//! Memory: aligned buffers for O_DIRECT, and append-only blocks whose filled part is shared.

#![allow(unsafe_code)]

mod dma;
mod shared;

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Weak};

pub use self::dma::DmaBuffer;
pub use self::shared::Shared;
use crate::region::Mapping;

/// Alignment of buffers and blocks: what O_DIRECT asks of any device in use.
pub const ALIGNMENT_BYTES: usize = 4096;

/// Alignment of bytes that only leave by a socket: what the allocator gives for nothing.
const COPY_ALIGNMENT_BYTES: usize = 16;

/// Memory that a [`Block`] and its [`Shared`] slices hold together.
#[derive(Debug)]
struct Memory {
    start: NonNull<u8>,
    layout: Layout,
    /// What it is a part of, unless it was allocated on its own.
    whole: Option<Arc<Mapping>>,
}

// SAFETY: `Memory` is plain memory of this process. Who may touch which bytes of it is settled by
// `Block` (the only writer, above its committed length) and `Shared` (readers, below it).
unsafe impl Send for Memory {}
// SAFETY: as above; `Memory` itself offers no access to its bytes.
unsafe impl Sync for Memory {}

impl Memory {
    fn zeroed(capacity: usize, alignment: usize) -> Arc<Self> {
        assert!(capacity > 0, "a block of 0 bytes");
        let layout = Layout::from_size_align(capacity, alignment)
            .expect("capacity leaves room for rounding up to the alignment");
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Arc::new(Self { start, layout, whole: None })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.whole.is_none() {
            // SAFETY: allocated in `zeroed` with this layout, and freed only here.
            unsafe { dealloc(self.start.as_ptr(), self.layout) };
        }
    }
}

/// Append-only memory: its owner fills it, slices of the filled part are shared meanwhile.
///
/// Bytes below [`Block::len`] never change again; that is what makes [`Block::share`] safe while
/// the owner keeps appending. Sharing costs one atomic increment and allocates nothing.
pub struct Block {
    memory: Arc<Memory>,
    len: usize,
}

impl Block {
    /// A block of `capacity` bytes. The kernel provides the pages when they are first touched.
    ///
    /// # Panics
    /// If `capacity` is 0.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { memory: Memory::zeroed(capacity, ALIGNMENT_BYTES), len: 0 }
    }

    /// A block of `capacity` bytes that direct I/O does not want: cheaper when it is small.
    ///
    /// # Panics
    /// If `capacity` is 0.
    #[must_use]
    pub fn unaligned(capacity: usize) -> Self {
        Self { memory: Memory::zeroed(capacity, COPY_ALIGNMENT_BYTES), len: 0 }
    }

    /// A block of the `capacity` bytes from `start` on, which lie in `whole`.
    ///
    /// # Safety
    /// They are initialized, and this block and its slices alone use them.
    ///
    /// # Panics
    /// If `capacity` is 0.
    pub(crate) unsafe fn cut_from(
        whole: Arc<Mapping>,
        start: NonNull<u8>,
        capacity: usize,
    ) -> Self {
        assert!(capacity > 0, "a block of 0 bytes");
        let layout = Layout::from_size_align(capacity, 1).expect("the size of what is mapped");
        Self { memory: Arc::new(Memory { start, layout, whole: Some(whole) }), len: 0 }
    }

    /// Whether it is a part of a [`crate::region::Region`].
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.memory.whole.is_some()
    }

    /// Bytes appended so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True before the first [`Block::advance`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that fit in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.layout.size()
    }

    /// The free part: write here, then [`Block::advance`].
    #[must_use]
    pub fn spare(&mut self) -> &mut [u8] {
        let free = self.capacity() - self.len;
        // SAFETY: the range lies in the memory and was initialized when that was made. No
        // `Shared` reaches above `self.len`, and the borrow of `self` keeps other calls away.
        unsafe { std::slice::from_raw_parts_mut(self.memory.start.as_ptr().add(self.len), free) }
    }

    /// Appends the first `written` bytes of the spare part, for good.
    ///
    /// # Panics
    /// If fewer are free.
    pub fn advance(&mut self, written: usize) {
        let free = self.capacity() - self.len;
        assert!(written <= free, "advance by {written}, free {free}");
        self.len += written;
    }

    /// All appended bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: below `len`, where nobody writes any more.
        unsafe { std::slice::from_raw_parts(self.memory.start.as_ptr(), self.len) }
    }

    /// A counted slice of the appended bytes, which other threads may keep.
    ///
    /// # Panics
    /// If `range` does not lie below [`Block::len`].
    #[must_use]
    pub fn share(&self, range: Range<usize>) -> Shared {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "share {range:?} of {} appended bytes",
            self.len
        );
        // SAFETY: `range.start` is at most the allocation's size.
        let start = unsafe { self.memory.start.add(range.start) };
        Shared { memory: Some(self.memory.clone()), start, len: range.end - range.start }
    }

    /// Empties the block for another round if no slice of it is left; tells whether it did.
    pub fn try_reset(&mut self) -> bool {
        let alone = Arc::get_mut(&mut self.memory).is_some();
        if alone {
            self.len = 0;
        }
        alone
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} of {} bytes)", self.len, self.capacity())
    }
}

/// A block that its owner gave up, as long as slices of it keep its memory.
#[derive(Debug)]
pub struct Remains {
    memory: Weak<Memory>,
    capacity: usize,
}

impl Remains {
    /// Bytes of memory that are still held; 0 when the last slice is gone.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        if self.memory.strong_count() > 0 { self.capacity } else { 0 }
    }
}

impl From<Block> for Remains {
    fn from(block: Block) -> Self {
        Self { memory: Arc::downgrade(&block.memory), capacity: block.capacity() }
    }
}

#[cfg(test)]
mod tests;
