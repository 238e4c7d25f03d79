//! Buffers for reads and writes that bypass the page cache.

#![allow(unsafe_code)]

use std::fmt;
use std::rc::Rc;

use crate::live;

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
