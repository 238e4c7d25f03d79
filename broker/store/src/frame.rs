//! Frames of the index stream: the layout on disk of everything that queue and key index save.
//!
//! The stream is a row of equal files, written only by checkpoints. All integers are big endian. A
//! frame:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic |
//! | 4 | 4 | CRC-32 of the bytes from 8 to the end of the payload |
//! | 8 | 4 | CRC field of the frame before it |
//! | 12 | 4 | payload length |
//! | 16 | 8 | its own place in the stream |
//! | 24 | 1 | kind |
//! | 25 | 3 | zero |
//! | 28 | 4 | queue slot, or 0 |
//! | 32 | 8 | first queue offset, or log byte, by kind |
//! | 40 | n | payload |
//!
//! Frames follow each other without gaps inside a checkpoint. A checkpoint ends with a
//! [`FrameKind::Mark`] and is padded with zeros to a page, so a later checkpoint never rewrites a
//! page of an earlier one. A frame never crosses a file. Every frame names its predecessor's CRC:
//! frames of a checkpoint that a crash left unfinished can stand where a later, shorter checkpoint
//! ends, and this chain is what keeps them dead.

use crate::options::PAGE_BYTES;

/// Bytes of a frame before its payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 40;
const FRAME_MAGIC: u32 = 0x524D_5149;
const CHECKED_FROM: usize = 8;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameKind {
    /// A queue got a slot; payload: queue id (4 bytes), topic. `number` is its first offset.
    QueueOpened = 1,
    /// The queue of a slot was deleted.
    QueueDeleted = 2,
    /// The newest entries of a queue, from offset `number` on; a later block repeats them.
    Entries = 3,
    /// A full block of a queue's entries, from offset `number` on; readers use it in place.
    Block = 4,
    /// The newest key entries, in the order of the log; a later run repeats them.
    Keys = 5,
    /// A sorted run of key entries; readers use it in place.
    KeyRun = 6,
    /// End of a checkpoint: the frames up to here hold every record below log byte `number`.
    Mark = 7,
    /// Offsets below `number` of the queue of a slot have expired.
    Expired = 8,
}

impl FrameKind {
    fn parse(byte: u8) -> Option<Self> {
        use FrameKind::*;
        [QueueOpened, QueueDeleted, Entries, Block, Keys, KeyRun, Mark, Expired]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// The head of a frame, as its reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) kind: FrameKind,
    pub(crate) slot: u32,
    pub(crate) number: u64,
    pub(crate) at: u64,
    pub(crate) payload_len: usize,
    pub(crate) crc: u32,
    pub(crate) previous_crc: u32,
}

impl FrameHead {
    /// Reads a head; `None` when these bytes are none. The payload is not checked here.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEADER_BYTES)?;
        let word = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        let long = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        if word(0) != FRAME_MAGIC {
            return None;
        }
        Some(Self {
            kind: FrameKind::parse(bytes[24])?,
            slot: word(28),
            number: long(32),
            at: long(16),
            payload_len: word(12) as usize,
            crc: word(4),
            previous_crc: word(8),
        })
    }

    /// Bytes of the whole frame.
    pub(crate) fn len(&self) -> usize {
        FRAME_HEADER_BYTES + self.payload_len
    }
}

/// Whether `frame`, exactly one whole frame, passes its checksum.
pub(crate) fn is_intact(head: &FrameHead, frame: &[u8]) -> bool {
    frame.len() == head.len() && crc32fast::hash(&frame[CHECKED_FROM..]) == head.crc
}

/// Appends frames to a buffer that will lie at a known place of the stream.
pub(crate) struct FrameWriter {
    bytes: Vec<u8>,
    start: u64,
    file_bytes: u64,
    chain: u32,
}

/// A frame in the making: the place where its head goes.
pub(crate) struct OpenFrame {
    head_at: usize,
}

impl FrameWriter {
    /// A writer at `start`, a page border of a stream of files of `file_bytes`; `chain` is the CRC
    /// of the last frame.
    pub(crate) fn new(start: u64, file_bytes: u64, chain: u32, bytes: Vec<u8>) -> Self {
        debug_assert!(start.is_multiple_of(PAGE_BYTES) && bytes.is_empty());
        Self { bytes, start, file_bytes, chain }
    }

    /// Place of the next frame of `payload_len` bytes; it moves to the next file when this one is
    /// too short.
    ///
    /// The skipped rest is zeros, which readers take for the end of the file.
    pub(crate) fn open(&mut self, payload_len: usize) -> OpenFrame {
        let need = (FRAME_HEADER_BYTES + payload_len) as u64;
        assert!(need <= self.file_bytes, "frame of {need} bytes, file of {}", self.file_bytes);
        let at = self.start + self.bytes.len() as u64;
        let left = self.file_bytes - at % self.file_bytes;
        if need > left {
            self.bytes.resize(self.bytes.len() + left as usize, 0);
        }
        let head_at = self.bytes.len();
        self.bytes.resize(head_at + FRAME_HEADER_BYTES, 0);
        OpenFrame { head_at }
    }

    /// Where the payload of the open frame goes.
    pub(crate) fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Completes a frame and returns its place in the stream.
    pub(crate) fn close(
        &mut self,
        frame: OpenFrame,
        kind: FrameKind,
        slot: u32,
        number: u64,
    ) -> u64 {
        let at = self.start + frame.head_at as u64;
        let head = &mut self.bytes[frame.head_at..];
        let payload_len =
            u32::try_from(head.len() - FRAME_HEADER_BYTES).expect("frames fit a file");
        head[8..12].copy_from_slice(&self.chain.to_be_bytes());
        head[12..16].copy_from_slice(&payload_len.to_be_bytes());
        head[16..24].copy_from_slice(&at.to_be_bytes());
        head[24] = kind as u8;
        head[28..32].copy_from_slice(&slot.to_be_bytes());
        head[32..40].copy_from_slice(&number.to_be_bytes());
        let crc = crc32fast::hash(&head[CHECKED_FROM..]);
        head[..4].copy_from_slice(&FRAME_MAGIC.to_be_bytes());
        head[4..8].copy_from_slice(&crc.to_be_bytes());
        self.chain = crc;
        at
    }

    /// Writes a frame whose payload is at hand.
    pub(crate) fn put(&mut self, kind: FrameKind, slot: u32, number: u64, payload: &[u8]) -> u64 {
        let frame = self.open(payload.len());
        self.payload().extend_from_slice(payload);
        self.close(frame, kind, slot, number)
    }

    /// The bytes, padded to a page, and the CRC that the next writer goes on from.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u32) {
        self.bytes.resize(self.bytes.len().next_multiple_of(PAGE_BYTES as usize), 0);
        (self.bytes, self.chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_their_place_and_their_predecessor() {
        let mut writer = FrameWriter::new(8192, 16384, 77, Vec::new());
        let first = writer.put(FrameKind::Entries, 5, 9, b"payload");
        let second = writer.put(FrameKind::Mark, 0, 12, b"");
        let (bytes, chain) = writer.finish();
        assert_eq!((first, second, bytes.len()), (8192, 8192 + 47, 4096));

        let head = FrameHead::parse(&bytes).expect("a frame");
        assert_eq!((head.kind, head.slot, head.number, head.at), (FrameKind::Entries, 5, 9, 8192));
        assert_eq!(head.previous_crc, 77);
        assert!(is_intact(&head, &bytes[..head.len()]));
        let mark = FrameHead::parse(&bytes[47..]).expect("a frame");
        assert_eq!((mark.kind, mark.previous_crc, mark.crc), (FrameKind::Mark, head.crc, chain));
        assert_eq!(FrameHead::parse(&bytes[47 + mark.len()..]), None);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let mut writer = FrameWriter::new(0, 4096, 0, Vec::new());
        writer.put(FrameKind::Keys, 0, 3, b"0123456789");
        let (bytes, _) = writer.finish();
        for bit in 0..(FRAME_HEADER_BYTES + 10) * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            let intact = FrameHead::parse(&broken)
                .is_some_and(|head| broken.get(..head.len()).is_some_and(|f| is_intact(&head, f)));
            assert!(!intact, "bit {bit}");
        }
    }

    #[test]
    fn a_frame_that_does_not_fit_starts_the_next_file() {
        let mut writer = FrameWriter::new(0, 8192, 0, Vec::new());
        writer.put(FrameKind::Keys, 0, 0, &[1; 8000]);
        assert_eq!(writer.put(FrameKind::Keys, 0, 0, &[2; 200]), 8192);
        assert_eq!(writer.finish().0.len(), 8192 + 4096);
    }
}
