//! What waits to be written to one connection: reply bytes, memory slices, file ranges, in order.

use std::collections::VecDeque;
use std::io::IoSlice;

use ringmq_runtime::buffer::Shared;
use ringmq_runtime::disk::FileView;
use ringmq_runtime::net::GATHER_PIECES_MAX;

use crate::gathered::Gathered;

/// Shared slices shorter than this are copied behind the reply bytes: below it, moving the bytes
/// (about 20 ns) costs less than one more entry in the gathered write and its reference count.
const COPY_BELOW_BYTES: usize = 512;

/// Capacity that an empty queue keeps for the next replies: 64 answers of 200 bytes are 13 KB. A
/// connection that stays quiet gives even this back.
const KEPT_CAPACITY_BYTES: usize = 64 << 10;

/// Output of one connection in the order in which it leaves.
///
/// Reply bytes are appended to one reused buffer; pieces that live elsewhere are queued between
/// them without a copy. Whoever appends a frame appends all of it before any await, so that frames
/// never interleave.
#[derive(Default)]
pub struct OutQueue {
    /// Reply bytes; `..inline_sent` has left, `..inline_sealed` is accounted for in `pieces`.
    inline: Vec<u8>,
    inline_sent: usize,
    inline_sealed: usize,
    /// Everything up to the last piece that is not inline; the rest of `inline` follows.
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that have left, when it is shared memory.
    front_sent: usize,
    /// Bytes in `Shared` and `File` pieces that have not left.
    foreign_bytes: u64,
    /// Bytes of the `Shared` pieces here whose memory nobody else had when they came.
    private_bytes: u64,
}

enum Piece {
    Inline(usize),
    Shared { bytes: Shared, is_private: bool },
    File(FileRange),
}

/// A range of a file that leaves by sendfile.
#[derive(Clone)]
pub(crate) struct FileRange {
    pub view: FileView,
    pub pos: u64,
    pub len: u64,
}

impl OutQueue {
    /// Lets `write` append reply bytes to the buffer; it must leave what is already there alone.
    pub fn append<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let before = self.inline.len();
        let result = write(&mut self.inline);
        let after = self.inline.len();
        assert!(after >= before, "output shrank from {before} to {after} bytes");
        result
    }

    /// Queues bytes that live in memory elsewhere; they are not copied unless they are very short.
    pub fn push_shared(&mut self, bytes: Shared) {
        if bytes.len() < COPY_BELOW_BYTES {
            self.inline.extend_from_slice(&bytes);
            return;
        }
        self.seal_inline();
        let len = bytes.len() as u64;
        self.foreign_bytes += len;
        let is_private = bytes.is_private();
        self.private_bytes += if is_private { len } else { 0 };
        self.pieces.push_back(Piece::Shared { bytes, is_private });
    }

    /// Queues `len` bytes of a file from byte `pos`, which leave by sendfile. The range must exist
    /// when it is written: a file that is shorter by then closes the connection.
    pub fn push_file(&mut self, view: FileView, pos: u64, len: u64) {
        if len == 0 {
            return;
        }
        self.seal_inline();
        self.foreign_bytes += len;
        self.pieces.push_back(Piece::File(FileRange { view, pos, len }));
    }

    /// Bytes that have not left yet.
    pub fn len_bytes(&self) -> u64 {
        (self.inline.len() - self.inline_sent) as u64 + self.foreign_bytes
    }

    /// Bytes of memory that this queue alone keeps: reply bytes, those included that have left and
    /// whose buffer is not reused yet, and slices that were copied for this peer.
    pub(crate) fn copied_bytes(&self) -> u64 {
        self.inline.len() as u64 + self.private_bytes
    }

    /// True when everything has left.
    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    fn seal_inline(&mut self) {
        let unsealed = self.inline.len() - self.inline_sealed;
        if unsealed > 0 {
            self.pieces.push_back(Piece::Inline(unsealed));
            self.inline_sealed = self.inline.len();
        }
    }

    /// The file range that is next in line, or `None` when memory or nothing is.
    pub(crate) fn front_file(&self) -> Option<&FileRange> {
        match self.pieces.front() {
            Some(Piece::File(range)) => Some(range),
            _ => None,
        }
    }

    /// Takes note that the file range in front has left.
    pub(crate) fn file_sent(&mut self) {
        match self.pieces.pop_front() {
            Some(Piece::File(range)) => self.foreign_bytes -= range.len,
            _ => unreachable!("the front piece is a file range"),
        }
        self.recycle_if_empty();
    }

    /// The memory in front as slices for one gathered write: up to the next file range, and at
    /// most [`GATHER_PIECES_MAX`] of them.
    pub(crate) fn gather(&self) -> Gathered<'_> {
        // One more for what is behind the last piece.
        let mut gathered = Gathered::with_room(self.pieces.len() + 1);
        let slices = gathered.slices();
        let mut inline_at = self.inline_sent;
        let mut skip = self.front_sent;
        for piece in &self.pieces {
            if slices.len() == GATHER_PIECES_MAX {
                return gathered;
            }
            match piece {
                Piece::Inline(len) => {
                    slices.push(IoSlice::new(&self.inline[inline_at..inline_at + len]));
                    inline_at += len;
                }
                Piece::Shared { bytes, .. } => slices.push(IoSlice::new(&bytes[skip..])),
                Piece::File(_) => return gathered,
            }
            skip = 0;
        }
        if inline_at < self.inline.len() && slices.len() < GATHER_PIECES_MAX {
            slices.push(IoSlice::new(&self.inline[inline_at..]));
        }
        gathered
    }

    /// Takes note that `written` bytes of the gathered memory have left.
    pub(crate) fn advance(&mut self, mut written: usize) {
        while written > 0 {
            match self.pieces.front_mut() {
                Some(Piece::Inline(len)) => {
                    let step = written.min(*len);
                    *len -= step;
                    self.inline_sent += step;
                    written -= step;
                    if *len == 0 {
                        self.pieces.pop_front();
                    }
                }
                Some(Piece::Shared { bytes, is_private }) => {
                    let step = written.min(bytes.len() - self.front_sent);
                    self.front_sent += step;
                    self.foreign_bytes -= step as u64;
                    written -= step;
                    if self.front_sent == bytes.len() {
                        self.private_bytes -= if *is_private { bytes.len() as u64 } else { 0 };
                        self.front_sent = 0;
                        self.pieces.pop_front();
                    }
                }
                Some(Piece::File(_)) => unreachable!("file ranges are not gathered"),
                None => {
                    self.inline_sent += written;
                    assert!(self.inline_sent <= self.inline.len(), "more written than queued");
                    self.inline_sealed = self.inline_sealed.max(self.inline_sent);
                    written = 0;
                }
            }
        }
        self.recycle_if_empty();
    }

    /// Reuses the buffer from its start once nothing is left in it.
    fn recycle_if_empty(&mut self) {
        if self.is_empty() {
            debug_assert!(self.pieces.is_empty());
            self.inline.clear();
            self.inline_sent = 0;
            self.inline_sealed = 0;
            if self.inline.capacity() > KEPT_CAPACITY_BYTES {
                self.inline = Vec::new();
            }
        }
    }

    /// Drops everything, memory included.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives back the memory of an empty queue: for connections that have been quiet for a while.
    pub(crate) fn release_memory(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::buffer::Block;

    use super::*;

    fn shared(byte: u8, len: usize) -> Shared {
        let mut block = Block::with_capacity(len);
        block.spare()[..len].fill(byte);
        block.advance(len);
        block.share(0..len)
    }

    /// Drains the queue in writes of at most `step` bytes and returns everything that left.
    fn drain(queue: &mut OutQueue, step: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        while !queue.is_empty() {
            let mut written = Vec::new();
            for slice in &*queue.gather() {
                written.extend_from_slice(slice);
            }
            written.truncate(step);
            assert!(!written.is_empty(), "nothing to gather");
            queue.advance(written.len());
            sent.extend_from_slice(&written);
        }
        sent
    }

    #[test]
    fn pieces_leave_in_order_whatever_the_kernel_takes_at_once() {
        for step in [1, 2, 7, 600, 10_000] {
            let mut queue = OutQueue::default();
            let mut expected = Vec::new();
            for round in 0..3u8 {
                queue.append(|out| out.extend_from_slice(b"head"));
                queue.push_shared(shared(round, 700));
                queue.push_shared(shared(b'x', 3));
                expected.extend_from_slice(b"head");
                expected.extend(std::iter::repeat_n(round, 700));
                expected.extend_from_slice(b"xxx");
            }
            assert_eq!(queue.len_bytes(), expected.len() as u64);
            assert_eq!(drain(&mut queue, step), expected, "step {step}");
        }
    }

    #[test]
    fn a_slice_that_only_this_queue_has_is_a_copy_until_it_has_left() {
        let mut queue = OutQueue::default();
        let mut held = Block::with_capacity(4096);
        held.advance(4096);
        queue.push_shared(held.share(0..4096));
        assert_eq!(queue.copied_bytes(), 0, "its owner bounds it");
        queue.push_shared(Shared::copy_of(&[7; 1000]));
        // Two slices of one copy, as in an answer of several pieces.
        let copy = Shared::copy_of(&[8; 2000]);
        queue.push_shared(copy.slice(0..1000));
        queue.push_shared(copy.slice(1000..2000));
        assert_eq!(queue.copied_bytes(), 3000);
        queue.advance(4096 + 999);
        assert_eq!(queue.copied_bytes(), 3000);
        queue.advance(1);
        assert_eq!(queue.copied_bytes(), 2000);
        drain(&mut queue, 100);
        assert_eq!(queue.copied_bytes(), 0);
    }

    #[test]
    fn bytes_appended_while_a_part_has_left_follow_it() {
        let mut queue = OutQueue::default();
        queue.append(|out| out.extend_from_slice(b"abcdef"));
        queue.advance(2);
        queue.append(|out| out.extend_from_slice(b"gh"));
        queue.push_shared(shared(b'!', 600));
        queue.append(|out| out.extend_from_slice(b"z"));
        let rest = drain(&mut queue, 5);
        assert!(rest.starts_with(b"cdefgh!") && rest.ends_with(b"!z"), "{rest:?}");
        assert_eq!(rest.len(), 6 + 600 + 1);
    }

    #[test]
    fn more_pieces_than_one_write_takes_need_several() {
        let mut queue = OutQueue::default();
        for _ in 0..GATHER_PIECES_MAX {
            queue.append(|out| out.push(b'-'));
            queue.push_shared(shared(b'x', COPY_BELOW_BYTES));
        }
        assert_eq!(queue.gather().len(), GATHER_PIECES_MAX);
        let total = GATHER_PIECES_MAX * (COPY_BELOW_BYTES + 1);
        assert_eq!(drain(&mut queue, usize::MAX).len(), total);
    }

    #[test]
    fn a_drained_queue_keeps_a_small_buffer_and_drops_a_large_one() {
        let mut queue = OutQueue::default();
        queue.append(|out| out.resize(1000, 0));
        queue.advance(1000);
        assert!(queue.inline.capacity() >= 1000);
        queue.append(|out| out.resize(KEPT_CAPACITY_BYTES * 2, 0));
        queue.advance(KEPT_CAPACITY_BYTES * 2);
        assert_eq!(queue.inline.capacity(), 0);
    }
}
