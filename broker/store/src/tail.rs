//! The newest bytes of a log, in memory: where records are encoded and where near readers are
//! served.
//!
//! A row of append-only blocks with rising positions. Records do not cross blocks, and the place
//! behind the last record of a segment is skipped, so neighbours in the row may leave a gap; gaps
//! read as zeros. Invariants: bytes below `end` never change, and blocks leave at the front only
//! when they are written to the file, so every byte of the log is in the tail or in the file, and
//! the newest `window` bytes are in both.

use std::collections::VecDeque;

use ringmq_runtime::buffer::{Block, Shared};

/// Emptied blocks kept for reuse: one being waited for, one at hand.
const SPARE_BLOCKS_MAX: usize = 2;

struct TailBlock {
    base: u64,
    block: Block,
}

impl TailBlock {
    fn end(&self) -> u64 {
        self.base + self.block.len() as u64
    }
}

/// The in-memory end of one log. Offsets are bytes of the log.
pub(crate) struct Tail {
    blocks: VecDeque<TailBlock>,
    spare: Vec<Block>,
    block_bytes: usize,
    window_bytes: usize,
    capacity_bytes: usize,
}

impl Tail {
    /// A tail that begins with `prefix`, the bytes of the file from `start` on (less than one
    /// page).
    pub(crate) fn new(block_bytes: usize, window_bytes: usize, start: u64, prefix: &[u8]) -> Self {
        let mut tail = Self {
            blocks: VecDeque::with_capacity(window_bytes / block_bytes + 2),
            spare: Vec::with_capacity(SPARE_BLOCKS_MAX),
            block_bytes,
            window_bytes,
            capacity_bytes: 0,
        };
        tail.reserve(start, prefix.len().max(1), start)[..prefix.len()].copy_from_slice(prefix);
        tail.advance(prefix.len());
        tail
    }

    /// First byte that is here.
    pub(crate) fn start(&self) -> u64 {
        self.blocks[0].base
    }

    /// Room for `len` bytes at `at`, which is the end of the tail or lies behind it (a new
    /// segment).
    ///
    /// Blocks that are wholly below `written` may make way when the window is full.
    pub(crate) fn reserve(&mut self, at: u64, len: usize, written: u64) -> &mut [u8] {
        let fits = self.blocks.back_mut().is_some_and(|last| {
            last.end() == at && last.block.capacity() - last.block.len() >= len
        });
        if !fits {
            debug_assert!(self.blocks.back().is_none_or(|last| last.end() <= at));
            self.release(written);
            let block = self.take_block(len);
            self.capacity_bytes += block.capacity();
            self.blocks.push_back(TailBlock { base: at, block });
        }
        self.blocks.back_mut().expect("a block was found or pushed").block.spare()
    }

    /// Adds the first `len` reserved bytes, for good.
    pub(crate) fn advance(&mut self, len: usize) {
        self.blocks.back_mut().expect("reserve came before").block.advance(len);
    }

    /// `len` bytes from `from`, when one block holds them all.
    pub(crate) fn share(&self, from: u64, len: usize) -> Option<Shared> {
        let (found, at) = self.find(from)?;
        (at + len <= found.block.len()).then(|| found.block.share(at..at + len))
    }

    /// The bytes from `from` to the end of their block.
    pub(crate) fn bytes_from(&self, from: u64) -> Option<&[u8]> {
        self.find(from).map(|(found, at)| &found.block.as_slice()[at..])
    }

    /// Fills `out` with the bytes from `from` on; gaps and what lies behind the end become zeros.
    ///
    /// # Panics
    /// When `from` lies before the tail.
    pub(crate) fn copy(&self, from: u64, out: &mut [u8]) {
        assert!(from >= self.start(), "copy from {from}, the tail starts at {}", self.start());
        let until = from + out.len() as u64;
        out.fill(0);
        let first = self.blocks.partition_point(|block| block.end() <= from);
        for block in self.blocks.range(first..).take_while(|block| block.base < until) {
            let (begin, end) = (block.base.max(from), block.end().min(until));
            let source = (begin - block.base) as usize..(end - block.base) as usize;
            out[(begin - from) as usize..(end - from) as usize]
                .copy_from_slice(&block.block.as_slice()[source]);
        }
    }

    /// Bytes of memory held.
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.capacity_bytes
    }

    fn find(&self, from: u64) -> Option<(&TailBlock, usize)> {
        let behind = self.blocks.partition_point(|block| block.base <= from);
        let found = self.blocks.get(behind.checked_sub(1)?)?;
        (from < found.end()).then(|| (found, (from - found.base) as usize))
    }

    /// Lets go of the oldest blocks above the window that are wholly below `written`.
    fn release(&mut self, written: u64) {
        while self.capacity_bytes + self.block_bytes > self.window_bytes && self.blocks.len() > 1 {
            // The page of `written` is written again by the next group, so its block has to stay.
            if self.blocks[0].end() + crate::options::PAGE_BYTES > written {
                return;
            }
            let mut oldest = self.blocks.pop_front().expect("more than one").block;
            self.capacity_bytes -= oldest.capacity();
            let reusable = oldest.capacity() == self.block_bytes
                && self.spare.len() < SPARE_BLOCKS_MAX
                && oldest.try_reset();
            if reusable {
                self.spare.push(oldest);
            }
        }
    }

    /// An empty block: a used one where that is large enough, since fresh memory costs a page fault
    /// per 4 KiB.
    fn take_block(&mut self, len: usize) -> Block {
        if len <= self.block_bytes {
            self.spare.pop().unwrap_or_else(|| Block::with_capacity(self.block_bytes))
        } else {
            Block::with_capacity(len)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(tail: &mut Tail, at: u64, bytes: &[u8], written: u64) {
        tail.reserve(at, bytes.len(), written)[..bytes.len()].copy_from_slice(bytes);
        tail.advance(bytes.len());
    }

    #[test]
    fn bytes_stay_readable_across_blocks_and_gaps() {
        let mut tail = Tail::new(8, 64, 4096, b"pre");
        put(&mut tail, 4099, b"fix", 4096);
        put(&mut tail, 4102, b"block", 4096);
        put(&mut tail, 8192, b"segment", 4096);
        assert_eq!(tail.share(4099, 3).as_deref(), Some(&b"fix"[..]));
        assert_eq!(tail.share(4099, 4), None);
        assert_eq!(tail.share(4107, 1), None);
        assert_eq!(tail.share(4095, 1), None);
        assert_eq!(tail.bytes_from(8194), Some(&b"gment"[..]));
        let mut out = [9; 14];
        tail.copy(4096, &mut out);
        assert_eq!(&out, b"prefixblock\0\0\0");
        let mut out = [9; 4];
        tail.copy(8190, &mut out);
        assert_eq!(&out, b"\0\0se");
    }

    #[test]
    fn only_written_blocks_make_way_and_they_are_used_again() {
        let mut tail = Tail::new(4096, 2 * 4096, 0, b"");
        for at in 0..4 {
            put(&mut tail, at * 4096, &[at as u8; 4096], 0);
        }
        assert_eq!((tail.start(), tail.capacity_bytes()), (0, 4 * 4096));
        put(&mut tail, 4 * 4096, &[4; 4096], 3 * 4096);
        assert_eq!(tail.start(), 2 * 4096);
        assert!(tail.share(4096, 1).is_none());
        assert_eq!(tail.share(3 * 4096, 1).as_deref(), Some(&[3][..]));
    }

    #[test]
    fn a_record_larger_than_a_block_gets_one_of_its_own() {
        let mut tail = Tail::new(16, 64, 0, b"");
        put(&mut tail, 0, &[1; 100], 0);
        put(&mut tail, 100, &[2; 4], 0);
        assert_eq!(tail.share(0, 100).map(|bytes| bytes.len()), Some(100));
        assert_eq!(tail.share(100, 4).as_deref(), Some(&[2; 4][..]));
    }
}
