//! Length-prefixed frames out of a byte stream.
//!
//! A frame is `i32 length after this word`, `u8 serialize type`, `u24 header length`, header, body.

use std::borrow::Cow;

use crate::error::FrameError;

/// Apache's default bound for a whole frame, its length word included (16 MiB).
pub const FRAME_SIZE_MAX_BYTES: usize = 16 << 20;

/// Longest body of an answer: with its header it fills the largest frame that clients take. They
/// close the connection at a longer one, and with it fails all else that they asked.
pub const ANSWER_BODY_MAX_BYTES: usize = FRAME_SIZE_MAX_BYTES - (64 << 10);

/// Bytes in front of the header: the length word and the header-length word.
pub const PREFIX_SIZE_BYTES: usize = 8;

/// The largest header length that fits the 24 bits of its word.
pub const HEADER_SIZE_MAX_BYTES: usize = (1 << 24) - 1;

/// How the header of a frame is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SerializeType {
    /// A JSON object; every client reads it.
    #[default]
    Json,
    /// RocketMQ's compact binary form.
    RocketMq,
}

impl SerializeType {
    /// The byte in front of the header length.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Json => 0,
            Self::RocketMq => 1,
        }
    }

    /// The name in a JSON header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::RocketMq => "ROCKETMQ",
        }
    }

    fn from_byte(byte: u8) -> Result<Self, FrameError> {
        match byte {
            0 => Ok(Self::Json),
            1 => Ok(Self::RocketMq),
            other => Err(FrameError::UnknownSerializeType(other)),
        }
    }
}

/// One whole frame, cut but not yet understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// How `header` is written.
    pub serialize: SerializeType,
    /// Header bytes.
    pub header: &'a [u8],
    /// Body bytes, may be empty.
    pub body: &'a [u8],
}

/// Cuts the first frame off `input`; `None` while it is not complete.
///
/// `max_len` bounds the frame in bytes, its length word included. The number is the count of bytes
/// the frame takes. Errors are found as soon as the bytes that show them are there, so an oversized
/// frame is refused after its first four bytes.
///
/// # Errors
/// See [`FrameError`]; the stream cannot be continued after any of them.
pub fn cut(input: &[u8], max_len: usize) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some(len) = announced_len(input, max_len)? else { return Ok(None) };
    let Some((prefix, _)) = input.split_first_chunk::<PREFIX_SIZE_BYTES>() else {
        return Ok(None);
    };
    let serialize = SerializeType::from_byte(prefix[4])?;
    let header_len =
        usize::from(prefix[5]) << 16 | usize::from(prefix[6]) << 8 | usize::from(prefix[7]);
    let room = len - PREFIX_SIZE_BYTES;
    if header_len > room {
        return Err(FrameError::HeaderTooLong { header_len, room });
    }
    let Some(frame) = input.get(..len) else { return Ok(None) };
    let (header, body) = frame[PREFIX_SIZE_BYTES..].split_at(header_len);
    Ok(Some((Frame { serialize, header, body }, len)))
}

/// Size in bytes of the frame that starts `input`, its length word included; `None` below four
/// bytes.
///
/// Lets a reader take the memory for a frame before it reads it.
///
/// # Errors
/// `TooLong` and `TooShort`.
pub fn announced_len(input: &[u8], max_len: usize) -> Result<Option<usize>, FrameError> {
    let Some((word, _)) = input.split_first_chunk::<4>() else { return Ok(None) };
    let announced = i32::from_be_bytes(*word);
    let len = match usize::try_from(announced) {
        Ok(after) if after >= 4 => after.saturating_add(4),
        _ => return Err(FrameError::TooShort { announced }),
    };
    if len > max_len {
        return Err(FrameError::TooLong { len, max: max_len });
    }
    Ok(Some(len))
}

/// Bytes that the frame which starts `input` still lacks; 0 where nothing is begun, or its length
/// is not known yet, or wrong.
///
/// Lets a reader wait for many at once.
pub fn missing_bytes(input: &[u8], max_len: usize) -> usize {
    let len = announced_len(input, max_len).ok().flatten();
    len.map_or(0, |len| len.saturating_sub(input.len()))
}

/// The frame `whole` once more, with U+FFFD wherever its JSON header is not UTF-8, as Java reads
/// it: clients in C++ and PHP send keys as they got them. `None` where nothing is to be mended, or
/// the header would become too long for its word.
pub fn mend_header(whole: &[u8]) -> Option<Vec<u8>> {
    let (frame, _) = cut(whole, whole.len()).ok()??;
    if frame.serialize != SerializeType::Json {
        return None;
    }
    let Cow::Owned(header) = String::from_utf8_lossy(frame.header) else { return None };
    if header.len() > HEADER_SIZE_MAX_BYTES {
        return None;
    }
    let len = 4 + header.len() + frame.body.len();
    let mut mended = Vec::with_capacity(4 + len);
    mended.extend_from_slice(&i32::try_from(len).ok()?.to_be_bytes());
    mended.push(SerializeType::Json.byte());
    mended.extend_from_slice(&(header.len() as u32).to_be_bytes()[1..]);
    mended.extend_from_slice(header.as_bytes());
    mended.extend_from_slice(frame.body);
    Some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: Result<Option<(usize, usize, usize)>, FrameError>) {
        let found = cut(input, 64)
            .map(|cut| cut.map(|(frame, used)| (frame.header.len(), frame.body.len(), used)));
        assert_eq!(found, expected);
    }

    #[test]
    fn whole_frame_is_cut_and_the_next_one_left() {
        check(&[0, 0, 0, 7, 0, 0, 0, 2, b'{', b'}', 9, 0, 0], Ok(Some((2, 1, 11))));
    }

    #[test]
    fn every_truncation_asks_for_more() {
        let whole = [0, 0, 0, 7, 1, 0, 0, 2, b'{', b'}', 9];
        for len in 0..whole.len() {
            check(&whole[..len], Ok(None));
        }
    }

    #[test]
    fn what_a_frame_lacks_is_known_once_its_length_is() {
        let whole = [0, 0, 0, 7, 1, 0, 0, 2, b'{', b'}', 9];
        for len in 0..=whole.len() {
            let missing = if len < 4 { 0 } else { whole.len() - len };
            assert_eq!(missing_bytes(&whole[..len], 64), missing);
        }
        assert_eq!(missing_bytes(&[0, 0, 0, 61], 64), 0, "too long");
        assert_eq!(missing_bytes(&[0, 0, 0, 4, 0, 0, 0, 0, 0, 0], 64), 0, "more than one");
    }

    #[test]
    fn impossible_frames_are_refused() {
        check(&[0, 0, 0, 61], Err(FrameError::TooLong { len: 65, max: 64 }));
        check(&[0x7F, 255, 255, 255], Err(FrameError::TooLong { len: (1 << 31) + 3, max: 64 }));
        check(&[0, 0, 0, 3], Err(FrameError::TooShort { announced: 3 }));
        check(&[255, 255, 255, 255], Err(FrameError::TooShort { announced: -1 }));
        check(&[0, 0, 0, 4, 2, 0, 0, 0], Err(FrameError::UnknownSerializeType(2)));
        check(
            &[0, 0, 0, 5, 0, 0, 0, 2, 0],
            Err(FrameError::HeaderTooLong { header_len: 2, room: 1 }),
        );
    }

    #[test]
    fn a_header_that_is_not_utf8_is_mended_and_every_other_left_alone() {
        let frame = |serialize, header: &[u8]| {
            let mut frame = (4 + header.len() as u32 + 1).to_be_bytes().to_vec();
            frame.extend([serialize, 0, 0, header.len() as u8]);
            frame.extend_from_slice(header);
            frame.push(0xFF);
            frame
        };
        let mended = mend_header(&frame(0, b"{\"k\":\"\xD6\xD0\"}")).expect("GBK");
        let (cut, len) = cut(&mended, mended.len()).expect("a frame").expect("whole");
        assert_eq!(
            (cut.header, cut.body),
            ("{\"k\":\"\u{FFFD}\u{FFFD}\"}".as_bytes(), &[0xFF][..])
        );
        assert_eq!(len, mended.len());
        assert_eq!(mend_header(&frame(0, "{\"k\":\"\u{4E2D}\"}".as_bytes())), None);
        assert_eq!(mend_header(&frame(1, b"\xD6\xD0")), None);
    }
}
