//! Many messages in one send.
//!
//! Items stand back to back: `i32 item size, i32 magic 0, i32 CRC 0, i32 flag, i32+n body, i16+n
//! properties`. Topic, queue and times come from the request's header.

use crate::error::LayoutError;
use crate::properties::{PROPERTIES_SIZE_MAX_BYTES, Properties};
use crate::reader::Reader;

/// Bytes of an item without body and properties. A body of n bytes holds at most n / 22 items.
pub const ITEM_SIZE_MIN_BYTES: usize = 22;

/// One message of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// The user's flag.
    pub flag: i32,
    /// Body.
    pub body: &'a [u8],
    /// Properties.
    pub properties: Properties<'a>,
}

/// The items of a batch body, in order; ends after the first error. Allocates nothing.
pub fn items(body: &[u8]) -> impl Iterator<Item = Result<Item<'_>, LayoutError>> + Clone {
    Items { rest: body }
}

#[derive(Clone)]
struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, LayoutError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut reader = Reader::new(self.rest);
        let item = read(&mut reader);
        self.rest = if item.is_ok() { reader.rest() } else { &[] };
        Some(item)
    }
}

fn read<'a>(reader: &mut Reader<'a>) -> Result<Item<'a>, LayoutError> {
    let size = reader.len_i32("item size")?;
    let after_size_word = size.checked_sub(4).ok_or(LayoutError::OutOfRange {
        field: "item size",
        found: size as i64,
        expected: "22 or more",
    })?;
    let mut item = Reader::new(reader.take(after_size_word, "item")?);
    item.take(8, "magic and CRC")?;
    let flag = item.i32("flag")?;
    let body_len = item.len_i32("body length")?;
    let body = item.take(body_len, "body")?;
    let properties_len = item.len_i16("properties length")?;
    let properties = Properties::new(item.text(properties_len, "properties")?);
    if !item.rest().is_empty() {
        return Err(LayoutError::OutOfRange {
            field: "item size",
            found: size as i64,
            expected: "the sum of its parts",
        });
    }
    Ok(Item { flag, body, properties })
}

/// Appends an item to a batch body.
///
/// # Errors
/// `OutOfRange` when the properties have more than 32,767 bytes or the item 2 GiB; nothing is
/// written.
pub fn push(out: &mut Vec<u8>, item: &Item<'_>) -> Result<(), LayoutError> {
    let properties = item.properties.as_text();
    if properties.len() > PROPERTIES_SIZE_MAX_BYTES {
        return Err(LayoutError::OutOfRange {
            field: "properties length",
            found: properties.len() as i64,
            expected: "up to 32767 bytes",
        });
    }
    let size = ITEM_SIZE_MIN_BYTES + item.body.len() + properties.len();
    let Ok(size_word) = i32::try_from(size) else {
        return Err(LayoutError::OutOfRange {
            field: "item size",
            found: size as i64,
            expected: "less than 2 GiB",
        });
    };
    out.reserve(size);
    out.extend_from_slice(&size_word.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&item.flag.to_be_bytes());
    out.extend_from_slice(&(item.body.len() as i32).to_be_bytes());
    out.extend_from_slice(item.body);
    out.extend_from_slice(&(properties.len() as i16).to_be_bytes());
    out.extend_from_slice(properties.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification (5.7).
    const VECTOR: &[u8] = b"\0\0\0\x2e\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05hello\0\x13\
        TAGS\x01A\x02UNIQ_KEY\x01K1\x02";

    fn sample() -> Item<'static> {
        Item {
            flag: 0,
            body: b"hello",
            properties: Properties::new("TAGS\u{1}A\u{2}UNIQ_KEY\u{1}K1\u{2}"),
        }
    }

    #[test]
    fn item_is_that_of_the_specification() {
        let mut out = Vec::new();
        push(&mut out, &sample()).unwrap();
        assert_eq!(out, VECTOR);
        assert_eq!(items(&out).collect::<Vec<_>>(), [Ok(sample())]);
    }

    #[test]
    fn every_truncation_is_refused() {
        let twice = [VECTOR, VECTOR].concat();
        for len in 0..twice.len() {
            let whole = items(&twice[..len]).filter(Result::is_ok).count();
            let errors = items(&twice[..len]).filter(Result::is_err).count();
            assert_eq!(whole, len / VECTOR.len());
            assert_eq!(errors, usize::from(len % VECTOR.len() != 0), "{len}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for (at, value) in [(3, 3), (0, 0xFF), (19, 6), (16, 0xFF), (26, 0x12), (3, 0x2F)] {
            let mut damaged = [VECTOR, VECTOR].concat();
            damaged[at] = value;
            assert!(items(&damaged).any(|item| item.is_err()), "byte {at} = {value}");
        }
    }
}
