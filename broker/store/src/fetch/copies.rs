//! Records of an answer that are copied, several in one block.

use ringmq_runtime::buffer::{Block, Shared};

use crate::pool::{BLOCK_BYTES, Pool};
use crate::read::Piece;
use crate::walk::Wanted;

/// The runs of an answer that are copied: into blocks, since one for each would cost more than the
/// copy.
#[derive(Default)]
pub(super) struct Copies {
    block: Option<Block>,
    /// Bytes of the block that are in a piece.
    taken: usize,
}

impl Copies {
    /// Room for a run, the first of the `rest` of the answer. A block that is full goes to `out`.
    pub(super) fn room(
        &mut self,
        len: usize,
        rest: &[Wanted],
        pool: &mut Pool,
        out: &mut Vec<Piece>,
    ) -> &mut [u8] {
        let fits = |block: &Block| block.capacity() - block.len() >= len;
        if !self.block.as_ref().is_some_and(fits) {
            out.extend(self.take());
            pool.give(self.block.take());
            let left = Wanted::all_of(rest).len as usize;
            let fits_pool = left >= BLOCK_BYTES && len <= BLOCK_BYTES;
            let pooled = if fits_pool { pool.take() } else { None };
            let own = || Block::unaligned(left.min(BLOCK_BYTES).max(len));
            self.block = Some(pooled.unwrap_or_else(own));
            self.taken = 0;
        }
        &mut self.block.as_mut().expect("made above").spare()[..len]
    }

    /// The room was filled.
    pub(super) fn advance(&mut self, len: usize) {
        self.block.as_mut().expect("it gave room").advance(len);
    }

    /// What was copied since the last call, as one piece.
    pub(super) fn take(&mut self) -> Option<Piece> {
        let block = self.block.as_ref().filter(|block| block.len() > self.taken)?;
        let from = std::mem::replace(&mut self.taken, block.len());
        Some(Piece::Memory(block.share(from..block.len())))
    }

    /// The last piece. A block that has stayed nearly empty is not kept for it.
    pub(super) fn finish(mut self, pool: &mut Pool) -> Option<Piece> {
        let last = match &self.block {
            Some(block) if self.taken == 0 && (1..block.capacity() / 2).contains(&block.len()) => {
                Some(Piece::Memory(Shared::copy_of(block.as_slice())))
            }
            _ => self.take(),
        };
        pool.give(self.block);
        last
    }
}
