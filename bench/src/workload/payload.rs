//! What a benchmark message carries, so that a reader can prove that it is the one that was sent.
//!
//! The body starts with an [`Identity`] and goes on with bytes that are a function of it. A reader
//! needs no table of bodies: it reads the identity and computes what the rest must be.

use thiserror::Error;

/// Bytes the identity takes at the start of a body; the smallest body that `bench` sends.
pub const IDENTITY_SIZE_BYTES: usize = 24;

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

/// Why a body is not the one that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// Shorter than an identity.
    #[error("body has {len} bytes, an identity needs {IDENTITY_SIZE_BYTES}")]
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

/// Fills `body` (at least [`IDENTITY_SIZE_BYTES`] long) with the message that `identity` names.
pub fn fill(identity: Identity, body: &mut [u8]) {
    let len = u32::try_from(body.len()).expect("bodies are far below 4 GiB");
    let (head, rest) = body.split_at_mut(IDENTITY_SIZE_BYTES);
    head[0..8].copy_from_slice(&identity.run.to_be_bytes());
    head[8..12].copy_from_slice(&identity.lane.to_be_bytes());
    head[12..20].copy_from_slice(&identity.sequence.to_be_bytes());
    head[20..24].copy_from_slice(&len.to_be_bytes());
    let mut state = seed(identity);
    for chunk in rest.chunks_mut(8) {
        let word = next(&mut state).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

/// Reads the identity of a body and proves every byte behind it.
///
/// # Errors
/// Says what differs; see [`PayloadError`].
pub fn check(body: &[u8]) -> Result<Identity, PayloadError> {
    let head: &[u8; IDENTITY_SIZE_BYTES] =
        body.first_chunk().ok_or(PayloadError::Short { len: body.len() })?;
    let identity = Identity {
        run: u64::from_be_bytes(head[0..8].try_into().expect("eight bytes")),
        lane: u32::from_be_bytes(head[8..12].try_into().expect("four bytes")),
        sequence: u64::from_be_bytes(head[12..20].try_into().expect("eight bytes")),
    };
    let sent = u32::from_be_bytes(head[20..24].try_into().expect("four bytes")) as usize;
    if sent != body.len() {
        return Err(PayloadError::Size { sent, found: body.len() });
    }
    let mut state = seed(identity);
    for (index, chunk) in body[IDENTITY_SIZE_BYTES..].chunks(8).enumerate() {
        if chunk != &next(&mut state).to_le_bytes()[..chunk.len()] {
            return Err(PayloadError::Content { identity, at: IDENTITY_SIZE_BYTES + index * 8 });
        }
    }
    Ok(identity)
}

/// A starting state that differs for neighbouring identities and is never 0, where xorshift stops.
fn seed(identity: Identity) -> u64 {
    let lane = u64::from(identity.lane).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let sequence = identity.sequence.wrapping_mul(0xD1B5_4A32_D192_ED03);
    (identity.run ^ lane ^ sequence) | 1
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

    fn body(len: usize) -> Vec<u8> {
        let mut body = vec![0; len];
        fill(IDENTITY, &mut body);
        body
    }

    #[test]
    fn a_body_proves_its_own_identity() {
        for len in [IDENTITY_SIZE_BYTES, 25, 31, 32, 1024, 4097] {
            assert_eq!(check(&body(len)), Ok(IDENTITY), "{len} bytes");
        }
    }

    #[test]
    fn every_flipped_byte_is_found() {
        for at in 0..200 {
            let mut body = body(200);
            body[at] ^= 1;
            assert_ne!(check(&body), Ok(IDENTITY), "byte {at}");
        }
    }

    #[test]
    fn a_cut_body_is_refused() {
        assert_eq!(check(&body(100)[..99]), Err(PayloadError::Size { sent: 100, found: 99 }));
        assert_eq!(check(&[0; 5]), Err(PayloadError::Short { len: 5 }));
    }
}
