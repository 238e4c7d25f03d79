//! JSON: headers written by hand for speed, bodies in the dialects that RocketMQ's peers speak.
//!
//! Java's fastjson reads and writes more than JSON: unquoted names, single quotes, trailing commas,
//! objects as map keys, references to earlier parts, numbers as text. [`from_slice`] takes all of
//! it. [`to_vec`], and within a limit [`to_vec_within`], writes what both fastjson 1 (to 5.3) and
//! the stricter reader of 5.4 and later accept: quoted names and integer keys, and objects as keys
//! where a map is keyed by queues.

mod budget;
mod coerce;
mod escape;
pub(crate) mod header;
mod lenient;
mod members;
pub mod object_keys;
mod reference;
pub(crate) mod scanner;
mod tree;
mod writer;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use reference::Place;

pub use budget::Budget;
pub use lenient::{DEPTH_MAX, VALUES_MAX};

/// A JSON body that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonError {
    /// The text breaks even the tolerant syntax.
    #[error("malformed JSON at byte {at}: expected {expected}")]
    Malformed {
        /// Position in the body, in bytes.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// Nested deeper than [`DEPTH_MAX`], or an object as a name inside of one.
    #[error("JSON nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// More values than [`VALUES_MAX`].
    #[error("more than {VALUES_MAX} values in a JSON body")]
    TooManyValues,
    /// It unfolds to more than its [`Budget`], references counted as often as they are used.
    #[error("JSON body that unfolds to more than {limit} bytes")]
    TooLarge {
        /// Most bytes allowed.
        limit: usize,
    },
    /// A `$ref` that leads nowhere.
    #[error("JSON reference to nothing")]
    DanglingReference,
    /// Well-formed, with other members or values than the type has.
    #[error("JSON body: {0}")]
    Mismatch(String),
}

/// A body that would be longer than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("more than {limit} bytes")]
pub struct BodyTooLong {
    /// Most bytes allowed.
    pub limit: usize,
}

/// The next byte from `at` on that is not white space; `at` moves there.
fn peek(text: &str, at: &mut usize) -> Option<u8> {
    let bytes = text.as_bytes();
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = bytes.get(*at) {
        *at += 1;
    }
    bytes.get(*at).copied()
}

impl serde::de::Error for JsonError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Mismatch(message.to_string())
    }
}

/// Reads a body in any dialect that RocketMQ's peers write.
///
/// Numbers, booleans and text are taken for each other where the value allows it, a null member is
/// like an absent one, unknown members are skipped.
///
/// # Errors
/// See [`JsonError`].
pub fn from_slice<T: DeserializeOwned>(body: &[u8]) -> Result<T, JsonError> {
    from_part(body, &Budget::of(body.len()))
}

/// Reads a part of a body like [`from_slice`]; all its parts share the budget.
///
/// # Errors
/// See [`JsonError`].
pub fn from_part<T: DeserializeOwned>(part: &[u8], budget: &Budget) -> Result<T, JsonError> {
    let tree = lenient::parse(part)?;
    T::deserialize(coerce::Lenient { tree: &tree, budget, place: Place::ROOT })
}

/// Writes a body: compact, members in the order of their declaration (alphabetical, as Java).
///
/// # Panics
/// Never for the types of [`crate::bodies`]; types with other map keys than text, integers and
/// [`object_keys`] cannot be written.
pub fn to_vec<T: Serialize + ?Sized>(body: &T) -> Vec<u8> {
    to_vec_within(body, usize::MAX).expect("memory ends before")
}

/// Writes a body like [`to_vec`], but no further than `limit` bytes.
///
/// # Errors
/// It would be longer.
///
/// # Panics
/// As [`to_vec`].
pub fn to_vec_within<T>(body: &T, limit: usize) -> Result<Vec<u8>, BodyTooLong>
where
    T: Serialize + ?Sized,
{
    writer::to_vec(body, limit).map_err(|error| {
        assert!(error.is_io(), "bodies hold only what JSON can say: {error}");
        BodyTooLong { limit }
    })
}

/// Writes a JSON string with its quotes. Escapes what JSON demands; everything else stays UTF-8.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    // Nearly all text is plain, and looking at every byte without a branch runs a vector at a time.
    if bytes.iter().fold(false, |found, byte| found | needs_escape(*byte)) {
        write_escaped(out, bytes);
    } else {
        out.extend_from_slice(bytes);
    }
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn write_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut plain_from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !needs_escape(byte) {
            continue;
        }
        out.extend_from_slice(&bytes[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
}
