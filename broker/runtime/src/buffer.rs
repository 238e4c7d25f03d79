//! Memory: aligned buffers for O_DIRECT, and append-only blocks whose filled part is shared.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use crate::live;
use crate::region::Mapping;

/// Alignment of buffers and blocks: what O_DIRECT asks of any device in use.
pub const ALIGNMENT_BYTES: usize = 4096;

/// Alignment of bytes that only leave by a socket: what the allocator gives for nothing.
const COPY_ALIGNMENT_BYTES: usize = 16;

/// An aligned buffer for reads and writes that bypass the page cache. Stays on its shard.
///
/// Its contents start as zeros. Reuse it: a fresh 1 MiB buffer costs 0.5 ms of page faults.
pub struct DmaBuffer {
    /// Counted because the kernel's side of a write keeps a reference until it is done, even
    /// when the writer went away. Outside of a write the count is one.
    inner: Rc<glommio::io::DmaBuffer>,
}

impl DmaBuffer {
    /// Allocates `len` zero bytes, from the executor's registered memory while that lasts.
    ///
    /// # Panics
    /// If `len` is 0.
    #[must_use]
    pub fn alloc(len: usize) -> Self {
        assert!(len > 0, "a buffer of 0 bytes");
        let mut inner = live::executor::allocate_dma(len);
        // SAFETY: the buffer owns `len` writable bytes, and nobody else has seen it yet.
        unsafe { inner.as_mut_ptr().write_bytes(0, len) };
        Self { inner: Rc::new(inner) }
    }

    /// Length in bytes, as allocated.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Never true: see [`DmaBuffer::alloc`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// The whole buffer.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.inner.as_bytes()
    }

    /// The whole buffer, for filling it.
    ///
    /// # Panics
    /// Never: a buffer that is being written belongs to that write.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let inner =
            Rc::get_mut(&mut self.inner).expect("the write that held this buffer has ended");
        inner.as_bytes_mut()
    }

    /// A second reference for the kernel's side of a write.
    pub(crate) fn lend(&self) -> Rc<glommio::io::DmaBuffer> {
        self.inner.clone()
    }
}

impl fmt::Debug for DmaBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DmaBuffer({} bytes)", self.len())
    }
}

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

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} of {} bytes)", self.len, self.capacity())
    }
}

/// A counted slice of bytes that never change. Cheap to clone and to cut, free to cross threads.
#[derive(Clone)]
pub struct Shared {
    /// `None` for the empty slice, which then needs no allocation.
    memory: Option<Arc<Memory>>,
    start: NonNull<u8>,
    len: usize,
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

#[cfg(test)]
mod tests;
