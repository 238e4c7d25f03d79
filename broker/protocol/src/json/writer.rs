//! Writes bodies: plain JSON, but for keys that are objects, which stay unquoted.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

use super::object_keys::OBJECT_KEY_MARK;

/// Writes a body of at most `limit` bytes; the error of a longer one is of I/O.
pub(super) fn to_vec<T: Serialize + ?Sized>(body: &T, limit: usize) -> serde_json::Result<Vec<u8>> {
    let mut out = Bounded { text: Vec::with_capacity(128.min(limit)), limit };
    body.serialize(&mut Serializer::with_formatter(&mut out, ObjectKeys::default()))?;
    Ok(out.text)
}

/// Text in memory that refuses what would make it longer than its limit.
struct Bounded {
    text: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.text.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compact JSON. A key that begins with the mark of [`object_keys`](super::object_keys) is written
/// without mark, quotes and escapes: as the object it is.
#[derive(Default)]
struct ObjectKeys {
    key: Key,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// Not in a key, or in one that is written as usual.
    #[default]
    Plain,
    /// At the start of a key; its quote is held back until its first character is known.
    Undecided,
    /// In an object that is a key.
    Object,
}

impl ObjectKeys {
    /// The key turned out to be no object: writes the quote that was held back.
    fn settle<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        if self.key == Key::Undecided {
            self.key = Key::Plain;
            out.write_all(b"\"")?;
        }
        Ok(())
    }
}

macro_rules! integer_keys {
    ($($method:ident: $type:ty),*) => {$(
        fn $method<W: ?Sized + Write>(&mut self, out: &mut W, value: $type) -> io::Result<()> {
            self.settle(out)?;
            out.write_all(itoa::Buffer::new().format(value).as_bytes())
        }
    )*};
}

impl Formatter for ObjectKeys {
    integer_keys! { write_i32: i32, write_i64: i64, write_u32: u32, write_u64: u64 }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.key = Key::Undecided;
        if first { Ok(()) } else { out.write_all(b",") }
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.key = Key::Plain;
        Ok(())
    }

    fn begin_string<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        match self.key {
            Key::Undecided => Ok(()),
            _ => out.write_all(b"\""),
        }
    }

    fn end_string<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.settle(out)?;
        match self.key {
            Key::Object => Ok(()),
            _ => out.write_all(b"\""),
        }
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        mut fragment: &str,
    ) -> io::Result<()> {
        if self.key == Key::Undecided
            && let Some(object) = fragment.strip_prefix(OBJECT_KEY_MARK)
        {
            self.key = Key::Object;
            fragment = object;
        }
        self.settle(out)?;
        out.write_all(fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.settle(out)?;
        match (self.key, &escape) {
            (Key::Object, CharEscape::Quote) => out.write_all(b"\""),
            (Key::Object, CharEscape::ReverseSolidus) => out.write_all(b"\\"),
            _ => serde_json::ser::CompactFormatter.write_char_escape(out, escape),
        }
    }
}
