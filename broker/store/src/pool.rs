//! Memory that answers are slices of, used again when they have left: fresh memory costs more than
//! filling it, since its pages have to be zeroed and found.

use std::collections::VecDeque;

use ringmq_runtime::buffer::Block;

/// Bytes of a block: an answer of 32 messages of 1 KiB takes half of it.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

/// Blocks that are kept, 16 MiB in all, whether answers still hold slices of them or not: 14
/// answers of 1024 messages of 1 KiB. When answers hold all of them, there is no memory here.
const KEPT_MAX: usize = 256;

/// Blocks that are looked at for one that no answer holds.
const LOOKS_MAX: usize = 4;

/// Blocks of [`BLOCK_BYTES`].
#[derive(Default)]
pub(crate) struct Pool {
    /// Those that answers held when they came are at the end.
    blocks: VecDeque<Block>,
}

impl Pool {
    /// An empty block; none when answers hold too many.
    pub(crate) fn take(&mut self) -> Option<Block> {
        for _ in 0..self.blocks.len().min(LOOKS_MAX) {
            let mut block = self.blocks.pop_front()?;
            if block.try_reset() {
                return Some(block);
            }
            self.blocks.push_back(block);
        }
        (self.blocks.len() < KEPT_MAX).then(|| Block::with_capacity(BLOCK_BYTES))
    }

    /// Takes a block back, slices of which may be in use. One that is not of this size, or is one
    /// too many, goes when they do.
    pub(crate) fn give(&mut self, block: Option<Block>) {
        let fits = |block: &Block| block.capacity() == BLOCK_BYTES;
        let Some(mut block) = block.filter(fits) else { return };
        if self.blocks.len() >= KEPT_MAX {
            return;
        }
        if block.try_reset() {
            self.blocks.push_front(block);
        } else {
            self.blocks.push_back(block);
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pool: &mut Pool) -> Option<Block> {
        let mut block = pool.take()?;
        assert!(block.is_empty(), "bytes of an earlier answer");
        block.advance(100);
        Some(block)
    }

    #[test]
    fn a_block_is_used_again_when_no_slice_of_it_is_left() {
        let mut pool = Pool::default();
        let block = filled(&mut pool).expect("memory");
        let (slice, place) = (block.share(0..10), block.as_slice().as_ptr());
        pool.give(Some(block));
        assert_ne!(filled(&mut pool).expect("memory").as_slice().as_ptr(), place);
        drop(slice);
        assert_eq!(filled(&mut pool).expect("memory").as_slice().as_ptr(), place);
    }

    #[test]
    fn answers_hold_no_more_than_the_limit_and_what_they_let_go_of_is_found() {
        let mut pool = Pool::default();
        let mut slices = Vec::new();
        while let Some(block) = filled(&mut pool) {
            slices.push(block.share(0..1));
            pool.give(Some(block));
        }
        assert_eq!((slices.len(), pool.memory_bytes()), (KEPT_MAX, KEPT_MAX * BLOCK_BYTES));
        slices.remove(KEPT_MAX / 2);
        let found = (0..KEPT_MAX).find_map(|_| filled(&mut pool));
        assert!(found.is_some());
        pool.give(found);
        pool.give(Some(Block::unaligned(BLOCK_BYTES)));
        pool.give(Some(Block::unaligned(10)));
        assert_eq!(pool.memory_bytes(), KEPT_MAX * BLOCK_BYTES);
    }
}
