//! What a benchmark message carries, so that a reader can prove that it is the one that was sent.
//!
//! The body starts with an [`Identity`] and a [`Stamp`] and goes on with bytes that are a
//! function of them. A reader needs no table of bodies: it reads the head and computes what the
//! rest must be.

use thiserror::Error;

/// Bytes the head takes at the start of a body; the smallest body that `bench` sends.
pub const HEAD_SIZE_BYTES: usize = 40;

/// Bits of the field that hold the size of a body, which is shorter than two to the power of them;
/// the other 7 hold the compressible share.
const BODY_SIZE_BITS: u32 = 25;

/// Names one message of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Drawn once per run, so that messages left by an earlier run are told apart.
    pub run: u64,
    /// The connection that sent the message.
    pub lane: u32,
    /// Counts the messages of a lane from 0.
    pub sequence: u64,
}

/// When a message was meant to be sent and when it was, on the monotonic clock of the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// From the schedule, nanoseconds.
    pub intended_ns: u64,
    /// Handed to the connection, nanoseconds.
    pub sent_ns: u64,
}

/// Why a body is not the one that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// Shorter than a head.
    #[error("body has {len} bytes, the head of a message of bench has {HEAD_SIZE_BYTES}")]
    Short {
        /// Bytes found.
        len: usize,
    },
    /// The size written at the start is not the size found.
    #[error("body has {found} bytes, {sent} were sent")]
    Size {
        /// Bytes that were sent.
        sent: usize,
        /// Bytes found.
        found: usize,
    },
    /// A byte differs.
    #[error("byte {at} of the body of {identity:?} is not what was sent")]
    Content {
        /// The message.
        identity: Identity,
        /// Offset of the first chunk that differs.
        at: usize,
    },
}

/// Fills `body`, at least [`HEAD_SIZE_BYTES`] long, with the message that `identity` names. Of the
/// bytes behind its head the last `compressible` percent are zeros, which a compressor gets away.
pub fn fill(identity: Identity, stamp: Stamp, compressible: u8, body: &mut [u8]) {
    let len = u32::try_from(body.len()).expect("bodies are far below 4 GiB");
    assert!(len < 1 << BODY_SIZE_BITS && compressible <= 100, "{len} bytes, {compressible} %");
    let (head, rest) = body.split_at_mut(HEAD_SIZE_BYTES);
    head[0..8].copy_from_slice(&identity.run.to_be_bytes());
    head[8..12].copy_from_slice(&identity.lane.to_be_bytes());
    head[12..20].copy_from_slice(&identity.sequence.to_be_bytes());
    let shape = u32::from(compressible) << BODY_SIZE_BITS | len;
    head[20..24].copy_from_slice(&shape.to_be_bytes());
    head[24..32].copy_from_slice(&stamp.intended_ns.to_be_bytes());
    head[32..40].copy_from_slice(&stamp.sent_ns.to_be_bytes());
    let (random, zeros) = rest.split_at_mut(random_len(rest.len(), compressible));
    let mut state = seed(identity, stamp);
    for chunk in random.chunks_mut(8) {
        let word = next(&mut state).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    zeros.fill(0);
}

/// The identity and times at the start of a body, and its size and compressible share as written.
///
/// # Errors
/// `Short`.
pub fn head(body: &[u8]) -> Result<(Identity, Stamp, usize, u8), PayloadError> {
    let head: &[u8; HEAD_SIZE_BYTES] =
        body.first_chunk().ok_or(PayloadError::Short { len: body.len() })?;
    let word = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let identity = Identity { run: word(0), lane: half(8), sequence: word(12) };
    let stamp = Stamp { intended_ns: word(24), sent_ns: word(32) };
    let shape = half(20);
    let len = (shape & ((1 << BODY_SIZE_BITS) - 1)) as usize;
    Ok((identity, stamp, len, (shape >> BODY_SIZE_BITS).min(100) as u8))
}

/// Reads the identity of a body and proves every byte behind it.
///
/// # Errors
/// Says what differs; see [`PayloadError`].
pub fn check(body: &[u8]) -> Result<Identity, PayloadError> {
    let (identity, stamp, sent, compressible) = head(body)?;
    if sent != body.len() {
        return Err(PayloadError::Size { sent, found: body.len() });
    }
    let rest = &body[HEAD_SIZE_BYTES..];
    let (random, zeros) = rest.split_at(random_len(rest.len(), compressible));
    let differs = |at: usize| PayloadError::Content { identity, at: HEAD_SIZE_BYTES + at };
    let mut state = seed(identity, stamp);
    for (index, chunk) in random.chunks(8).enumerate() {
        if chunk != &next(&mut state).to_le_bytes()[..chunk.len()] {
            return Err(differs(index * 8));
        }
    }
    match zeros.iter().position(|&byte| byte != 0) {
        Some(at) => Err(differs(random.len() + at)),
        None => Ok(identity),
    }
}

/// How many of `len` bytes are random.
fn random_len(len: usize, compressible: u8) -> usize {
    len - len * usize::from(compressible) / 100
}

/// A starting state that differs for neighbouring identities and is never 0, where xorshift stops.
fn seed(identity: Identity, stamp: Stamp) -> u64 {
    let lane = u64::from(identity.lane).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let sequence = identity.sequence.wrapping_mul(0xD1B5_4A32_D192_ED03);
    let times = stamp.intended_ns.rotate_left(20) ^ stamp.sent_ns.rotate_left(40);
    (identity.run ^ lane ^ sequence ^ times).max(1)
}

/// One step of xorshift64 (Marsaglia, 2003): 8 bytes in about a nanosecond, incompressible.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { run: 7, lane: 3, sequence: 41 };

    const STAMP: Stamp = Stamp { intended_ns: 1_000, sent_ns: 1_500 };

    fn body(len: usize, compressible: u8) -> Vec<u8> {
        let mut body = vec![0; len];
        fill(IDENTITY, STAMP, compressible, &mut body);
        body
    }

    #[test]
    fn a_body_proves_its_own_identity() {
        for len in [HEAD_SIZE_BYTES, 41, 47, 48, 1024, 4097] {
            for compressible in [0, 30, 100] {
                assert_eq!(check(&body(len, compressible)), Ok(IDENTITY), "{len} bytes");
            }
        }
    }

    #[test]
    fn a_body_carries_its_times() {
        assert_eq!(head(&body(100, 0)).unwrap().1, STAMP);
    }

    #[test]
    fn every_flipped_byte_is_found() {
        for at in 0..200 {
            let mut body = body(200, 25);
            body[at] ^= 1;
            assert_ne!(check(&body), Ok(IDENTITY), "byte {at}");
        }
    }

    #[test]
    fn the_compressible_share_is_what_a_compressor_gets_away() {
        for (compressible, expected) in [(0, 990..1100), (50, 500..600), (90, 100..200)] {
            let mut encoder =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            std::io::Write::write_all(&mut encoder, &body(1040, compressible)).unwrap();
            let len = encoder.finish().unwrap().len();
            assert!(expected.contains(&len), "{compressible} %: {len} bytes of 1040");
        }
    }

    #[test]
    fn a_cut_body_is_refused() {
        assert_eq!(check(&body(100, 0)[..99]), Err(PayloadError::Size { sent: 100, found: 99 }));
        assert_eq!(check(&[0; 5]), Err(PayloadError::Short { len: 5 }));
    }
}
