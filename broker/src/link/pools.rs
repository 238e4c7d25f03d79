//! Memory of one shard for what crosses the mesh, kept for the next message.

use std::cell::RefCell;

use super::Pieces;

/// Buffers that a shard keeps for frames and answers that cross the mesh.
const BUFFERS_KEPT_MAX: usize = 256;

/// A larger buffer is given back to the allocator: 256 of them bound the pool to 64 MiB.
const BUFFER_KEPT_MAX_BYTES: usize = 256 << 10;

/// Lists of pieces that a shard keeps for answers, and the longest of them: 4 MiB together.
const LISTS_KEPT_MAX: usize = 256;
const LIST_KEPT_PIECES_MAX: usize = 256;

/// Empty buffers and lists.
#[derive(Default)]
pub struct Pools {
    buffers: RefCell<Vec<Vec<u8>>>,
    lists: RefCell<Vec<Pieces>>,
}

impl Pools {
    /// An empty buffer.
    pub fn buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    /// An empty list of pieces.
    pub fn list(&self) -> Pieces {
        self.lists.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub fn recycle(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        let is_kept = (1..=BUFFER_KEPT_MAX_BYTES).contains(&buffer.capacity());
        if is_kept && buffers.len() < BUFFERS_KEPT_MAX {
            buffer.clear();
            buffers.push(buffer);
        }
    }

    /// Gives a list of pieces back.
    pub fn recycle_list(&self, mut list: Pieces) {
        let mut lists = self.lists.borrow_mut();
        let is_kept = (1..=LIST_KEPT_PIECES_MAX).contains(&list.capacity());
        if is_kept && lists.len() < LISTS_KEPT_MAX {
            list.clear();
            lists.push(list);
        }
    }
}
