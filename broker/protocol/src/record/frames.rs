//! Records one after the other, as a pull brings them.

use super::{RECORD_SIZE_MIN_BYTES, Record, out_of_range};
use crate::error::LayoutError;
use crate::reader::Reader;

/// The bytes of the record at the start of `bytes`, by what it says of its size.
pub(super) fn first_frame(bytes: &[u8]) -> Result<&[u8], LayoutError> {
    let total = Reader::new(bytes).i32("total size")?;
    let len = usize::try_from(total)
        .ok()
        .filter(|len| *len >= RECORD_SIZE_MIN_BYTES)
        .ok_or_else(|| out_of_range("total size", i64::from(total), "91 or more"))?;
    let truncated = || LayoutError::Truncated { field: "record", need: len, have: bytes.len() };
    bytes.get(..len).ok_or_else(truncated)
}

/// The records of a pull's body, one after the other. Behind one that cannot be read come those
/// after it, as long as sizes tell where they begin.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<Record<'_>, LayoutError>> {
    frames(bytes).map(|frame| frame.and_then(Record::parse))
}

/// The bytes of the records of a pull's body, one after the other, unread but for their sizes; ends
/// after the first size that cannot be.
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], LayoutError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let frame = first_frame(rest);
        rest = frame.as_ref().map_or(&[][..], |frame| &rest[frame.len()..]);
        Some(frame)
    })
}
