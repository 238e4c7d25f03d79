//! Compression of message bodies: zlib, LZ4 frame, Zstandard.
//!
//! The broker stores and serves bodies as they came; only clients and tools compress.

use std::io::{Read, Write};

use thiserror::Error;

use crate::record::sys_flag;

/// Producers compress bodies from this size on (Java's default).
pub const COMPRESS_FROM_BYTES: usize = 4096;

/// zlib and zstd level (Java's default).
const LEVEL: u32 = 5;

/// Largest Zstandard window, as a power of two: 32 MiB, what level 20 uses. The decoder takes the
/// memory that a frame asks for before it has seen any data.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// LZ4 frame format.
    Lz4,
    /// Zstandard frame.
    Zstd,
    /// RFC 1950 stream; all that Go and Node know.
    Zlib,
}

impl Compression {
    /// How a message with this sysFlag is compressed; `None` if it is not.
    ///
    /// # Errors
    /// `UnknownType` for the numbers 4..=7. 0 is zlib, from senders before 5.0.
    pub fn of(flags: i32) -> Result<Option<Self>, CompressionError> {
        if flags & sys_flag::COMPRESSED == 0 {
            return Ok(None);
        }
        match (flags & sys_flag::COMPRESSION_MASK) >> 8 {
            1 => Ok(Some(Self::Lz4)),
            2 => Ok(Some(Self::Zstd)),
            0 | 3 => Ok(Some(Self::Zlib)),
            other => Err(CompressionError::UnknownType(other)),
        }
    }

    /// The sysFlag bits of a body compressed this way.
    pub const fn flags(self) -> i32 {
        let number = match self {
            Self::Lz4 => 1,
            Self::Zstd => 2,
            Self::Zlib => 3,
        };
        sys_flag::COMPRESSED | number << 8
    }
}

/// A body that cannot be unfolded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompressionError {
    /// Not the named format, or cut off.
    #[error("broken {format:?} data: {reason}")]
    Broken {
        /// The format it should have.
        format: Compression,
        /// What the decoder said.
        reason: String,
    },
    /// Unfolds to more than the caller allows.
    #[error("compressed data unfolds to more than {max} bytes")]
    TooLong {
        /// Most bytes allowed.
        max: usize,
    },
    /// A compression type outside 0..=3.
    #[error("compression type {0}, known are 0..=3")]
    UnknownType(i32),
}

/// Compresses a body.
pub fn compress(format: Compression, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() / 2 + 64);
    let written = match format {
        Compression::Zlib => {
            let mut encoder =
                flate2::write::ZlibEncoder::new(&mut out, flate2::Compression::new(LEVEL));
            encoder.write_all(body).and_then(|()| encoder.finish().map(drop))
        }
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(&mut out);
            encoder.write_all(body).and_then(|()| encoder.finish().map(drop).map_err(Into::into))
        }
        Compression::Zstd => zstd::stream::copy_encode(body, &mut out, LEVEL as i32),
    };
    written.expect("writing to memory does not fail");
    out
}

/// Unfolds a body into at most `max_len` bytes.
///
/// Memory grows with what is unfolded, not with what the data promises.
///
/// # Errors
/// `Broken` and `TooLong`.
pub fn decompress(
    format: Compression,
    data: &[u8],
    max_len: usize,
) -> Result<Vec<u8>, CompressionError> {
    let broken =
        |error: std::io::Error| CompressionError::Broken { format, reason: error.to_string() };
    let mut out = Vec::new();
    // One byte more than allowed tells "too long" from "just fits".
    let limit = max_len as u64 + 1;
    let read = match format {
        Compression::Zlib => flate2::read::ZlibDecoder::new(data).take(limit).read_to_end(&mut out),
        Compression::Lz4 => {
            lz4_flex::frame::FrameDecoder::new(data).take(limit).read_to_end(&mut out)
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::Decoder::with_buffer(data).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
            decoder.take(limit).read_to_end(&mut out)
        }
    };
    read.map_err(broken)?;
    if out.len() > max_len {
        return Err(CompressionError::TooLong { max: max_len });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATS: [Compression; 3] = [Compression::Lz4, Compression::Zstd, Compression::Zlib];

    #[test]
    fn bodies_come_back_and_the_limit_holds() {
        let body: Vec<u8> = (0..100_000u32).map(|i| (i / 7) as u8).collect();
        for format in FORMATS {
            let packed = compress(format, &body);
            assert!(packed.len() < body.len(), "{format:?}");
            assert_eq!(decompress(format, &packed, body.len()), Ok(body.clone()));
            let refused = decompress(format, &packed, body.len() - 1);
            assert_eq!(refused, Err(CompressionError::TooLong { max: body.len() - 1 }));
            assert_eq!(decompress(format, &compress(format, b""), 0), Ok(Vec::new()));
        }
    }

    #[test]
    fn broken_data_is_refused() {
        for format in FORMATS {
            let packed = compress(format, &[7; 5000]);
            for len in 0..packed.len() {
                let cut = decompress(format, &packed[..len], 10_000);
                assert!(cut.is_err() || cut == Ok(vec![]) || len >= packed.len() - 4, "{len}");
            }
            assert!(decompress(format, b"no such format", 100).is_err());
        }
    }

    #[test]
    fn flags_say_how_a_body_is_compressed() {
        for format in FORMATS {
            assert_eq!(Compression::of(format.flags() | 0x30), Ok(Some(format)));
        }
        assert_eq!(Compression::of(0x1), Ok(Some(Compression::Zlib)));
        assert_eq!(Compression::of(0x300), Ok(None));
        assert_eq!(Compression::of(0x401), Err(CompressionError::UnknownType(4)));
        assert_eq!(Compression::Zlib.flags(), 0x301);
    }
}
