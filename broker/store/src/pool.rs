//! Memory that extents and answers lie in, used again when the answers have left: fresh memory
//! costs more than filling it, since its pages have to be zeroed and found.
//!
//! The blocks of a pool are parts of one region, so that its pages can be large. None of them is
//! ever freed alone: they are in the pool, or with whoever took them and will give them back.

use std::collections::VecDeque;

use ringmq_runtime::buffer::Block;
use ringmq_runtime::region::Region;

/// Bytes of a block: an answer of 32 messages of 1 KiB takes half of it.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

/// Blocks that are looked at for one that no answer holds.
const LOOKS_MAX: usize = 4;

/// Blocks of [`BLOCK_BYTES`].
pub(crate) struct Pool {
    /// Those that answers held when they came are at the end.
    blocks: VecDeque<Block>,
    /// Where new blocks come from; made by the first, since most logs of a test never have one.
    region: Option<Region>,
    /// Blocks that were not made yet.
    left: usize,
    made: usize,
}

impl Pool {
    /// A pool of at most `blocks_max` blocks, in it and outside.
    pub(crate) fn new(blocks_max: usize) -> Self {
        Self { blocks: VecDeque::new(), region: None, left: blocks_max, made: 0 }
    }

    /// An empty block; none when all are in use, or held by answers.
    pub(crate) fn take(&mut self) -> Option<Block> {
        for _ in 0..self.blocks.len().min(LOOKS_MAX) {
            let mut block = self.blocks.pop_front()?;
            if block.try_reset() {
                return Some(block);
            }
            self.blocks.push_back(block);
        }
        self.make()
    }

    fn make(&mut self) -> Option<Block> {
        if self.left == 0 {
            return None;
        }
        if self.region.is_none() {
            match Region::reserve(self.left * BLOCK_BYTES) {
                Ok(region) => self.region = Some(region),
                Err(error) => {
                    tracing::warn!(%error, "no memory for extents of the log: they are not kept");
                    self.left = 0;
                }
            }
        }
        let block = self.region.as_mut()?.cut(BLOCK_BYTES)?;
        self.left -= 1;
        self.made += 1;
        Some(block)
    }

    /// Takes a block back, slices of which may be in use. One that is not of this pool goes when
    /// they do.
    pub(crate) fn give(&mut self, block: Option<Block>) {
        let Some(mut block) = block.filter(Block::is_cut) else { return };
        if block.try_reset() {
            self.blocks.push_front(block);
        } else {
            self.blocks.push_back(block);
        }
    }

    /// Memory of all its blocks.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.made * BLOCK_BYTES
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
        let mut pool = Pool::new(2);
        let block = filled(&mut pool).expect("memory");
        let (slice, place) = (block.share(0..10), block.as_slice().as_ptr());
        pool.give(Some(block));
        assert_ne!(filled(&mut pool).expect("memory").as_slice().as_ptr(), place);
        drop(slice);
        assert_eq!(filled(&mut pool).expect("memory").as_slice().as_ptr(), place);
    }

    #[test]
    fn answers_hold_no_more_than_the_limit_and_what_they_let_go_of_is_found() {
        const BLOCKS_MAX: usize = 50;
        let mut pool = Pool::new(BLOCKS_MAX);
        let mut slices = Vec::new();
        while let Some(block) = filled(&mut pool) {
            slices.push(block.share(0..1));
            pool.give(Some(block));
        }
        assert_eq!((slices.len(), pool.memory_bytes()), (BLOCKS_MAX, BLOCKS_MAX * BLOCK_BYTES));
        slices.remove(BLOCKS_MAX / 2);
        let found = (0..BLOCKS_MAX).find_map(|_| filled(&mut pool));
        assert!(found.is_some());
        pool.give(found);
        assert_eq!(pool.memory_bytes(), BLOCKS_MAX * BLOCK_BYTES);
    }

    #[test]
    fn memory_of_others_is_not_taken_for_its_own() {
        let mut pool = Pool::new(0);
        pool.give(Some(Block::with_capacity(BLOCK_BYTES)));
        assert!(pool.take().is_none());
    }
}
