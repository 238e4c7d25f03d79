//! What reading a body may cost, counted in bytes while it is read.

use std::cell::Cell;

use super::JsonError;

/// What any body may unfold to, however short it is.
const FLOOR_BYTES: usize = 8 << 20;

/// What each byte of a body may unfold to. Tables of topics unfold to less than five times their
/// length, lists of names of a few letters to ten.
const PER_BYTE: usize = 16;

/// What the longest body may unfold to: sixteen times the largest frame.
const MAX_BYTES: usize = 256 << 20;

/// Bytes that the parts of one body may unfold to. References count as often as they are used, and
/// the work of following them counts as bytes.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    spent: Cell<usize>,
}

impl Budget {
    /// For a body of `len` bytes with all its parts.
    pub fn of(len: usize) -> Self {
        let limit = len.saturating_mul(PER_BYTE).clamp(FLOOR_BYTES, MAX_BYTES);
        Self { limit, spent: Cell::new(0) }
    }

    /// Bytes counted so far: no less than the values that were read take.
    pub fn spent(&self) -> usize {
        self.spent.get()
    }

    /// For a copy of a text, which takes some bytes more.
    pub(super) fn spend_text(&self, text: &str) -> Result<(), JsonError> {
        self.spend(text.len() + 16)
    }

    pub(super) fn spend(&self, bytes: usize) -> Result<(), JsonError> {
        let spent = self.spent.get().saturating_add(bytes);
        self.spent.set(spent);
        if spent > self.limit { Err(JsonError::TooLarge { limit: self.limit }) } else { Ok(()) }
    }
}
