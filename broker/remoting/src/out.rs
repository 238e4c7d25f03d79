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
mod tests;
