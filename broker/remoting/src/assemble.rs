//! Frames out of a byte stream that arrives in lent slices.
//!
//! Complete frames are handed over straight from the slice; only an unfinished frame at its end is
//! copied. The copy grows as bytes arrive, never to what a length word merely announces.

use ringmq_protocol::error::FrameError;
use ringmq_protocol::frame;

/// Frames handed over before other connections get a turn: 256 requests of 2-4 us are below 1 ms.
pub(crate) const FRAMES_PER_TURN_MAX: u32 = 256;

/// Capacity kept for the next unfinished frame; a larger buffer is freed when its frame is done.
const KEPT_CAPACITY_BYTES: usize = 4 << 10;

/// Who gets each whole frame, length word included.
pub(crate) type OnFrame<'a> = &'a mut dyn FnMut(&[u8]) -> Next;

/// The first word of a frame, which announces its length.
const LENGTH_WORD_BYTES: usize = 4;

/// Cuts a stream into frames and holds the bytes that could not be handed over yet.
pub(crate) struct Assembler {
    /// Largest frame with its length word, in bytes.
    frame_size_max: usize,
    pending: Vec<u8>,
    /// Bytes of `pending` that were handed over already.
    done: usize,
}

/// What became of the bytes of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All complete frames were handed over; more bytes are needed.
    NeedBytes,
    /// The turn ended early: give others a turn, then call [`Assembler::resume`].
    TurnOver,
}

/// What the receiver of a frame wants next.
pub(crate) enum Next {
    Continue,
    /// End the turn: memory is short, or the connection was closed.
    Pause,
}

impl Assembler {
    pub(crate) fn new(frame_size_max: usize) -> Self {
        Self { frame_size_max, pending: Vec::new(), done: 0 }
    }

    /// Takes the bytes of one read and hands over complete frames, each with its length word.
    /// To be called only when nothing but an unfinished frame is held.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        on_frame: OnFrame<'_>,
    ) -> Result<Progress, FrameError> {
        let mut paused = false;
        if !self.pending.is_empty() {
            if !self.complete_pending(&mut bytes)? {
                return Ok(Progress::NeedBytes);
            }
            paused = matches!(on_frame(&self.pending), Next::Pause);
            self.clear_pending();
        }
        let (used, progress) = match paused {
            true => (0, Progress::TurnOver),
            false => hand_over(bytes, self.frame_size_max, on_frame)?,
        };
        self.keep(&bytes[used..]);
        Ok(progress)
    }

    /// Hands over frames that a former turn left.
    pub(crate) fn resume(&mut self, on_frame: OnFrame<'_>) -> Result<Progress, FrameError> {
        let pending = &self.pending[self.done..];
        let (used, progress) = hand_over(pending, self.frame_size_max, on_frame)?;
        self.done += used;
        if progress == Progress::NeedBytes {
            self.pending.drain(..self.done);
            self.done = 0;
            if self.pending.is_empty() {
                self.clear_pending();
            }
        }
        Ok(progress)
    }

    /// Memory that bytes of an unfinished frame, or of frames that wait for their turn, take where
    /// it is more than what each connection may keep.
    pub(crate) fn held_bytes(&self) -> usize {
        let capacity = self.pending.capacity();
        if capacity > KEPT_CAPACITY_BYTES { capacity } else { 0 }
    }

    /// Bytes that the unfinished frame lacks, as far as its length is known.
    pub(crate) fn missing_bytes(&self) -> usize {
        frame::missing_bytes(&self.pending[self.done..], self.frame_size_max)
    }

    /// Moves bytes until the unfinished frame is whole; false when `bytes` ran out before.
    fn complete_pending(&mut self, bytes: &mut &[u8]) -> Result<bool, FrameError> {
        debug_assert_eq!(self.done, 0);
        loop {
            let frame_len = frame::announced_len(&self.pending, self.frame_size_max)?;
            let wanted = frame_len.unwrap_or(LENGTH_WORD_BYTES);
            let missing = wanted - self.pending.len();
            if missing == 0 {
                return Ok(true);
            }
            if bytes.is_empty() {
                return Ok(false);
            }
            let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
            self.grow(taken.len(), wanted);
            self.pending.extend_from_slice(taken);
            *bytes = rest;
        }
    }

    /// Makes room for `more` bytes: doubling, but not past the end of the frame.
    fn grow(&mut self, more: usize, frame_len: usize) {
        let needed = self.pending.len() + more;
        if needed > self.pending.capacity() {
            let target = (self.pending.capacity() * 2).min(frame_len).max(needed);
            self.pending.reserve_exact(target - self.pending.len());
        }
    }

    fn keep(&mut self, rest: &[u8]) {
        debug_assert!(self.pending.is_empty());
        self.pending.extend_from_slice(rest);
    }

    fn clear_pending(&mut self) {
        self.pending.clear();
        self.done = 0;
        if self.pending.capacity() > KEPT_CAPACITY_BYTES {
            self.pending = Vec::new();
        }
    }
}

/// Hands over the complete frames at the start of `bytes`, at most one turn's worth. Returns how
/// many bytes that were.
fn hand_over(
    bytes: &[u8],
    frame_size_max: usize,
    on_frame: OnFrame<'_>,
) -> Result<(usize, Progress), FrameError> {
    let mut used = 0;
    for _ in 0..FRAMES_PER_TURN_MAX {
        let rest = &bytes[used..];
        let len = frame::announced_len(rest, frame_size_max)?;
        let Some(frame) = len.and_then(|len| rest.get(..len)) else {
            return Ok((used, Progress::NeedBytes));
        };
        used += frame.len();
        if let Next::Pause = on_frame(frame) {
            return Ok((used, Progress::TurnOver));
        }
    }
    Ok((used, Progress::TurnOver))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_SIZE_MAX: usize = 1 << 20;

    fn frame(len: usize, fill: u8) -> Vec<u8> {
        let mut bytes = i32::try_from(len).expect("small").to_be_bytes().to_vec();
        bytes.resize(LENGTH_WORD_BYTES + len, fill);
        bytes
    }

    /// Feeds `parts` one read at a time and returns the frames that came out.
    fn assemble<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Assembler) {
        let mut assembler = Assembler::new(FRAME_SIZE_MAX);
        let mut frames = Vec::new();
        let mut on_frame = |bytes: &[u8]| {
            frames.push(bytes.to_vec());
            Next::Continue
        };
        for part in parts {
            let mut progress = assembler.feed(part, &mut on_frame).expect("valid");
            while progress == Progress::TurnOver {
                progress = assembler.resume(&mut on_frame).expect("valid");
            }
        }
        (frames, assembler)
    }

    #[test]
    fn frames_come_out_whole_wherever_the_stream_is_split() {
        let frames = [frame(4, 1), frame(9, 2), frame(5000, 3), frame(6, 4)];
        let stream = frames.concat();
        for split in 0..stream.len() {
            let (found, assembler) = assemble([&stream[..split], &stream[split..]]);
            assert!(found == frames, "split at {split}");
            assert_eq!(assembler.pending.len(), 0);
        }
        for size in [1, 2, 3, 5, 64] {
            assert!(assemble(stream.chunks(size)).0 == frames, "reads of {size}");
        }
    }

    #[test]
    fn an_announced_frame_costs_only_the_bytes_that_came() {
        let huge = frame(FRAME_SIZE_MAX - 4, 7);
        let (_, assembler) = assemble([&huge[..100]]);
        assert!(assembler.pending.capacity() < 1000);
        let (_, assembler) = assemble(huge[..50_000].chunks(1000));
        assert!(assembler.pending.capacity() <= 128 << 10);
        let (found, assembler) = assemble(huge.chunks(100_000));
        assert_eq!(found.len(), 1);
        assert_eq!(assembler.pending.capacity(), 0, "a large buffer is given back");
    }

    #[test]
    fn lengths_no_frame_can_have_are_refused() {
        let max = i32::try_from(FRAME_SIZE_MAX).expect("small");
        for announced in [-1, i32::MIN, 0, 3, max - 3, i32::MAX] {
            let mut assembler = Assembler::new(FRAME_SIZE_MAX);
            let bytes = announced.to_be_bytes();
            let whole = assembler.feed(&bytes, &mut |_| Next::Continue);
            assert!(whole.is_err(), "announced {announced}");
            let mut assembler = Assembler::new(FRAME_SIZE_MAX);
            assembler.feed(&bytes[..2], &mut |_| Next::Continue).expect("not a word yet");
            let split = assembler.feed(&bytes[2..], &mut |_| Next::Continue);
            assert!(split.is_err(), "announced {announced} in two reads");
        }
    }

    #[test]
    fn a_turn_ends_after_its_share_and_goes_on_later() {
        let stream = frame(4, 1).repeat(FRAMES_PER_TURN_MAX as usize + 10);
        let mut assembler = Assembler::new(FRAME_SIZE_MAX);
        let mut count = 0;
        let mut on_frame = |_: &[u8]| {
            count += 1;
            Next::Continue
        };
        assert_eq!(assembler.feed(&stream, &mut on_frame), Ok(Progress::TurnOver));
        assert_eq!(assembler.resume(&mut on_frame), Ok(Progress::NeedBytes));
        assert_eq!(count, FRAMES_PER_TURN_MAX + 10);
    }

    #[test]
    fn a_receiver_can_pause_after_any_frame_and_loses_none() {
        let stream = [frame(4, 1), frame(5, 2), frame(6, 3)].concat();
        let mut assembler = Assembler::new(FRAME_SIZE_MAX);
        let mut lengths = Vec::new();
        let mut on_frame = |bytes: &[u8]| {
            lengths.push(bytes.len());
            Next::Pause
        };
        assembler.feed(&stream[..3], &mut on_frame).expect("valid");
        assembler.feed(&stream[3..], &mut on_frame).expect("valid");
        while assembler.resume(&mut on_frame) == Ok(Progress::TurnOver) {}
        assert_eq!(lengths, [8, 9, 10]);
    }
}
