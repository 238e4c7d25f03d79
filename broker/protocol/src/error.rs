//! What can be wrong with bytes that came from a peer or a disk.

use std::fmt;

use thiserror::Error;

/// A frame that cannot be cut; the stream has no next frame, so its connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Longer than the receiver allows, both numbers with the length word itself.
    #[error("frame of {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Announced size in bytes.
        len: usize,
        /// Most bytes allowed.
        max: usize,
    },
    /// Too short to hold its own header-length word.
    #[error("frame announces {announced} bytes after its length word, it needs at least 4")]
    TooShort {
        /// The length word as sent.
        announced: i32,
    },
    /// The header would end behind the frame.
    #[error("header of {header_len} bytes does not fit the frame's {room} bytes")]
    HeaderTooLong {
        /// Announced header size in bytes.
        header_len: usize,
        /// Bytes that are left for header and body.
        room: usize,
    },
    /// Neither JSON (0) nor ROCKETMQ (1).
    #[error("serialize type {0}, known are 0 (JSON) and 1 (ROCKETMQ)")]
    UnknownSerializeType(u8),
}

/// A frame whose header cannot be read; its connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CommandError {
    /// The header breaks its own syntax.
    #[error("malformed header at byte {at}: expected {expected}")]
    Malformed {
        /// Position in the header, in bytes.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A member that every command has is missing.
    #[error("header lacks `{0}`")]
    Missing(&'static str),
    /// More header fields than [`crate::fields::FIELDS_MAX`].
    #[error("more than {max} header fields")]
    TooManyFields {
        /// Most fields allowed.
        max: usize,
    },
}

/// Typed header fields that do not fit the request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// A required field is absent.
    #[error("header field `{field}` is missing, expected {expected}")]
    Missing {
        /// Name on the wire.
        field: &'static str,
        /// What its value must be.
        expected: &'static str,
    },
    /// A field is there with a value that cannot be used.
    #[error("header field `{field}` is `{found}`, expected {expected}")]
    Invalid {
        /// Name on the wire.
        field: &'static str,
        /// What its value must be.
        expected: &'static str,
        /// The beginning of the value as sent.
        found: Excerpt,
    },
}

/// The first characters of a value that was refused; keeps remarks and logs short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// Characters kept of a refused value.
    pub const LEN_MAX_CHARS: usize = 40;

    /// Keeps the first [`Self::LEN_MAX_CHARS`] characters of `text`.
    pub fn of(text: &str) -> Self {
        Self(text.chars().take(Self::LEN_MAX_CHARS).collect())
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A binary layout (record, batch item, id, compressed body) that cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// The bytes end before the field does.
    #[error("`{field}` needs {need} bytes, {have} are left")]
    Truncated {
        /// Field of the layout.
        field: &'static str,
        /// Bytes the field takes.
        need: usize,
        /// Bytes there are.
        have: usize,
    },
    /// A length or number outside its range.
    #[error("`{field}` is {found}, expected {expected}")]
    OutOfRange {
        /// Field of the layout.
        field: &'static str,
        /// Value found.
        found: i64,
        /// The allowed range in words.
        expected: &'static str,
    },
    /// Text that is not UTF-8.
    #[error("`{field}` is not UTF-8")]
    NotUtf8 {
        /// Field of the layout.
        field: &'static str,
    },
    /// A checksum that does not match.
    #[error("`{field}` is {stored}, computed {computed}")]
    ChecksumMismatch {
        /// Which checksum.
        field: &'static str,
        /// The value that was stored.
        stored: u32,
        /// The value the bytes have.
        computed: u32,
    },
}
