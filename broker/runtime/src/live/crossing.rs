//! Lends a shard's buffer to a helper thread.

#![allow(unsafe_code)]

use std::mem::ManuallyDrop;

use crate::buffer::DmaBuffer;

/// A buffer on its way to a helper thread and back.
///
/// Dropped on the way it leaks: its destructor belongs to its shard, whose pool it returns to.
/// That happens only when a caller abandons its write.
pub(super) struct Crossing(ManuallyDrop<DmaBuffer>);

// SAFETY: a `DmaBuffer` outside of a write is the only reference to its memory (`of` checks it), so
// whoever holds the `Crossing` has it alone. What must not happen elsewhere than on its shard is
// counting or dropping the reference, and between `of` and `into_inner` nobody does either.
unsafe impl Send for Crossing {}

impl Crossing {
    pub(super) fn of(mut buffer: DmaBuffer) -> Self {
        // Panics if somebody else had a reference.
        let _ = buffer.as_mut_slice();
        Self(ManuallyDrop::new(buffer))
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Only on the shard that called [`Crossing::of`].
    pub(super) fn into_inner(self) -> DmaBuffer {
        ManuallyDrop::into_inner(self.0)
    }
}
