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

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: usize = 100;
    /// More than half of a block.
    const LARGE: usize = BLOCK_BYTES / 2 + 1;

    /// Copies the first `count` records of these lengths, filled with 1, 2 and so on.
    fn copied(lens: &[usize], count: usize, pool: &mut Pool) -> Vec<Piece> {
        let as_wanted = |len: &usize| Wanted { offset: 0, byte: 0, len: *len as u64 };
        let records: Vec<Wanted> = lens.iter().map(as_wanted).collect();
        let (mut copies, mut out) = (Copies::default(), Vec::new());
        for (index, &len) in lens[..count].iter().enumerate() {
            copies.room(len, &records[index..], pool, &mut out).fill(index as u8 + 1);
            copies.advance(len);
        }
        out.extend(copies.finish(pool));
        out
    }

    fn bytes(piece: &Piece) -> &[u8] {
        match piece {
            Piece::Memory(shared) => shared,
            Piece::File { .. } => panic!("it was copied"),
        }
    }

    #[test]
    fn small_records_are_one_piece_and_large_ones_as_many_as_blocks() {
        let pieces = copied(&[SMALL, 1, SMALL], 3, &mut Pool::new(0));
        let expected = [[1_u8; SMALL].as_slice(), &[2], &[3; SMALL]].concat();
        assert_eq!(pieces.iter().map(bytes).collect::<Vec<_>>(), [expected]);

        let pieces = copied(&[LARGE, LARGE, 2 * BLOCK_BYTES], 3, &mut Pool::new(1));
        let lens: Vec<usize> = pieces.iter().map(|piece| bytes(piece).len()).collect();
        assert_eq!(lens, [LARGE, LARGE, 2 * BLOCK_BYTES]);
        for (piece, number) in pieces.iter().zip(1_u8..) {
            assert!(bytes(piece).iter().all(|byte| *byte == number), "record {number}");
        }
    }

    #[test]
    fn what_was_taken_is_not_taken_again() {
        let mut pool = Pool::new(0);
        let records = [Wanted { offset: 0, byte: 0, len: 2 }; 2];
        let mut copies = Copies::default();
        assert!(copies.take().is_none(), "nothing was copied");
        for number in [1, 2] {
            copies.room(2, &records, &mut pool, &mut Vec::new()).fill(number);
            copies.advance(2);
            let piece = copies.take().expect("a record was copied");
            assert_eq!(bytes(&piece), [number; 2]);
            assert!(copies.take().is_none(), "it was taken");
        }
        assert!(copies.finish(&mut pool).is_none(), "both were taken");
    }

    #[test]
    fn a_block_is_kept_only_for_a_piece_that_fills_half_of_it() {
        for (len, is_kept) in [(SMALL, false), (LARGE, true)] {
            let mut pool = Pool::new(1);
            let pieces = copied(&[len, BLOCK_BYTES], 1, &mut pool);
            assert_eq!(bytes(&pieces[0]), vec![1_u8; len]);
            assert_eq!(pool.take().is_none(), is_kept, "a piece of {len} bytes");
        }
    }
}
