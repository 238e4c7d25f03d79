//! A bounds-checked cursor over big-endian bytes.

use crate::error::LayoutError;

/// Reads big-endian numbers and slices; each read names its field for the error.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    total_len: usize,
}

macro_rules! read_numbers {
    ($($method:ident: $type:ty),*) => {$(
        #[doc = concat!("The next big-endian `", stringify!($type), "`.")]
        ///
        /// # Errors
        /// `Truncated` when the bytes end before.
        pub fn $method(&mut self, field: &'static str) -> Result<$type, LayoutError> {
            Ok(<$type>::from_be_bytes(self.array(field)?))
        }
    )*};
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total_len: bytes.len() }
    }

    /// Bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.total_len - self.rest.len()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// `Truncated` when fewer are left.
    pub fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], LayoutError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(LayoutError::Truncated { field, need: len, have: self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The next `len` bytes as text.
    ///
    /// # Errors
    /// `Truncated`, or `NotUtf8`.
    pub fn text(&mut self, len: usize, field: &'static str) -> Result<&'a str, LayoutError> {
        str::from_utf8(self.take(len, field)?).map_err(|_| LayoutError::NotUtf8 { field })
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// `Truncated` when fewer are left.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], LayoutError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(LayoutError::Truncated { field, need: N, have: self.rest.len() });
        };
        self.rest = rest;
        Ok(*taken)
    }

    /// The next i32 as a length of 0 or more bytes.
    ///
    /// # Errors
    /// `Truncated`, or `OutOfRange` when negative.
    pub fn len_i32(&mut self, field: &'static str) -> Result<usize, LayoutError> {
        let found = self.i32(field)?;
        length(i64::from(found), field)
    }

    /// The next i16 as a length of 0 or more bytes.
    ///
    /// # Errors
    /// `Truncated`, or `OutOfRange` when negative.
    pub fn len_i16(&mut self, field: &'static str) -> Result<usize, LayoutError> {
        let found = self.i16(field)?;
        length(i64::from(found), field)
    }

    read_numbers!(u8: u8, i16: i16, i32: i32, i64: i64);
}

fn length(found: i64, field: &'static str) -> Result<usize, LayoutError> {
    usize::try_from(found).map_err(|_| LayoutError::OutOfRange {
        field,
        found,
        expected: "a length of 0 or more",
    })
}
