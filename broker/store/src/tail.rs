//! The newest bytes of a log, in memory: where records are encoded and where near readers are
//! served.
//!
//! A row of append-only blocks with rising positions. Records do not cross blocks, and the place
//! behind the last record of a segment is skipped, so neighbours in the row may leave a gap; gaps
//! read as zeros. Invariants: bytes below `end` never change, and blocks leave at the front only
//! when they are written to the file, so every byte of the log is in the tail or in the file, and
//! the newest `window` bytes are in both.
//!
//! A slice lent to a reader keeps its block alive, however small it is and however slow the reader.
//! Blocks that have left the tail but not memory are counted; beyond `lent_max_bytes` of them
//! readers get copies instead. So lent memory is at most that limit and one window of blocks that
//! were lent before it was reached; copies are as large as what their readers are charged for.

use std::cell::RefCell;
use std::collections::VecDeque;

use ringmq_runtime::buffer::{Block, Remains, Shared};

use crate::options::LogOptions;

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
    lent: RefCell<Lent>,
}

/// Blocks that have left the tail and are kept by readers.
struct Lent {
    blocks: Vec<Remains>,
    bytes: usize,
    max_bytes: usize,
}

impl Lent {
    fn add(&mut self, block: Block) {
        self.blocks.push(block.into());
        self.recount();
    }

    fn recount(&mut self) {
        self.blocks.retain(|block| block.held_bytes() > 0);
        self.bytes = self.blocks.iter().map(Remains::held_bytes).sum();
    }

    fn is_full(&mut self) -> bool {
        if self.bytes > self.max_bytes {
            // Readers may have finished meanwhile.
            self.recount();
        }
        self.bytes > self.max_bytes
    }
}

impl Tail {
    /// A tail that begins with `prefix`, the bytes of the file from `start` on (less than one
    /// page).
    pub(crate) fn new(options: &LogOptions, start: u64, prefix: &[u8]) -> Self {
        let (block_bytes, window_bytes) = (options.tail_block_bytes, options.tail_window_bytes);
        let max_bytes = options.lent_max_bytes;
        let mut tail = Self {
            blocks: VecDeque::with_capacity(window_bytes / block_bytes + 2),
            spare: Vec::with_capacity(SPARE_BLOCKS_MAX),
            block_bytes,
            window_bytes,
            capacity_bytes: 0,
            lent: RefCell::new(Lent { blocks: Vec::new(), bytes: 0, max_bytes }),
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

    /// `len` bytes from `from`, when one block holds them all: a slice of it, or a copy when
    /// readers hold too many blocks.
    pub(crate) fn share(&self, from: u64, len: usize) -> Option<Shared> {
        let (found, at) = self.find(from)?;
        let range = at..at + len;
        if range.end > found.block.len() {
            return None;
        }
        if self.lent.borrow_mut().is_full() {
            return Some(Shared::copy_of(&found.block.as_slice()[range]));
        }
        Some(found.block.share(range))
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
        let first = self.blocks.partition_point(|block| block.end() <= from);
        // All before it is filled. Zeros only where nothing is copied to: most groups have none but
        // their padding.
        let mut filled = 0;
        for block in self.blocks.range(first..).take_while(|block| block.base < until) {
            let (begin, end) = (block.base.max(from), block.end().min(until));
            let source = (begin - block.base) as usize..(end - block.base) as usize;
            let target = (begin - from) as usize..(end - from) as usize;
            out[filled..target.start].fill(0);
            out[target.clone()].copy_from_slice(&block.block.as_slice()[source]);
            filled = target.end;
        }
        out[filled..].fill(0);
    }

    /// Bytes of memory held, without what only readers hold.
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.capacity_bytes
    }

    /// Bytes of blocks that are no longer here but held by readers.
    pub(crate) fn lent_bytes(&self) -> usize {
        let mut lent = self.lent.borrow_mut();
        lent.recount();
        lent.bytes
    }

    fn find(&self, from: u64) -> Option<(&TailBlock, usize)> {
        if from < self.start() {
            return None;
        }
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
            if !oldest.try_reset() {
                self.lent.borrow_mut().add(oldest);
            } else if oldest.capacity() == self.block_bytes && self.spare.len() < SPARE_BLOCKS_MAX {
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

    fn tail(block_bytes: usize, window_bytes: usize, start: u64, prefix: &[u8]) -> Tail {
        let limits = LogOptions {
            tail_block_bytes: block_bytes,
            tail_window_bytes: window_bytes,
            lent_max_bytes: 2 * block_bytes,
            ..LogOptions::default()
        };
        Tail::new(&limits, start, prefix)
    }

    fn put(tail: &mut Tail, at: u64, bytes: &[u8], written: u64) {
        tail.reserve(at, bytes.len(), written)[..bytes.len()].copy_from_slice(bytes);
        tail.advance(bytes.len());
    }

    #[test]
    fn bytes_stay_readable_across_blocks_and_gaps() {
        let mut tail = tail(8, 64, 4096, b"pre");
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
        let mut tail = tail(4096, 2 * 4096, 0, b"");
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
    fn slow_readers_hold_a_bounded_number_of_blocks() {
        let mut tail = tail(4096, 2 * 4096, 0, b"");
        let mut held = Vec::new();
        for number in 0..100 {
            let at = number * 4096;
            put(&mut tail, at, &[number as u8; 4096], at);
            held.push(tail.share(at, 10).expect("it is the newest"));
        }
        assert!(held.iter().enumerate().all(|(n, slice)| **slice == [n as u8; 10]));
        // The limit of two, the one that passed it, and the two of the window.
        assert!(tail.lent_bytes() <= 5 * 4096, "{} bytes", tail.lent_bytes());
        held.clear();
        assert_eq!(tail.lent_bytes(), 0);
        put(&mut tail, 100 * 4096, b"again", 100 * 4096);
        let slice = tail.share(100 * 4096, 5).expect("it is the newest");
        let block = tail.bytes_from(100 * 4096).expect("it is the newest");
        assert_eq!(slice.as_ptr(), block.as_ptr(), "a slice and no copy");
    }

    #[test]
    fn a_record_larger_than_a_block_gets_one_of_its_own() {
        let mut tail = tail(16, 64, 0, b"");
        put(&mut tail, 0, &[1; 100], 0);
        put(&mut tail, 100, &[2; 4], 0);
        assert_eq!(tail.share(0, 100).map(|bytes| bytes.len()), Some(100));
        assert_eq!(tail.share(100, 4).as_deref(), Some(&[2; 4][..]));
    }
}
