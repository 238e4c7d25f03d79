//! The properties of a message: `name 0x01 value 0x02` repeated.
//!
//! There is no escaping, so neither separator may appear in a name or value. The last 0x02 may be
//! missing; entries without 0x01 or with an empty name or value are skipped by readers.

pub mod keys;

use thiserror::Error;

/// Between name and value.
pub const NAME_VALUE_SEPARATOR: u8 = 1;

/// After a value.
pub const ENTRY_SEPARATOR: u8 = 2;

/// Most bytes of all properties: their length is a signed 16-bit word in the stored record.
pub const PROPERTIES_SIZE_MAX_BYTES: usize = i16::MAX as usize;

/// A view of a message's properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Properties<'a> {
    text: &'a str,
}

impl<'a> Properties<'a> {
    /// Looks at properties text; any text is accepted, what is no entry is skipped.
    pub fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// The text as it is stored.
    pub fn as_text(self) -> &'a str {
        self.text
    }

    /// The value of a name. The last entry wins where a name is repeated, as in Java's map.
    ///
    /// Looks at the start of every entry: about 10 ns each.
    pub fn get(self, name: &str) -> Option<&'a str> {
        let (bytes, name) = (self.text.as_bytes(), name.as_bytes());
        let mut found = None;
        let mut start = 0;
        while start < bytes.len() && !name.is_empty() {
            let rest = &bytes[start..];
            let end = memchr::memchr(ENTRY_SEPARATOR, rest).unwrap_or(rest.len());
            let value = rest[..end].strip_prefix(name);
            if let Some([NAME_VALUE_SEPARATOR, value @ ..]) = value
                && !value.is_empty()
            {
                found = Some(start + end - value.len()..start + end);
            }
            start += end + 1;
        }
        found.map(|range| &self.text[range])
    }

    /// All entries in their order, repeated names included.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        Entries { rest: self.text }
    }
}

/// Cuts entries with two searches each; separators are ASCII, so every cut is a character border.
struct Entries<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = memchr::memchr(ENTRY_SEPARATOR, self.rest.as_bytes());
            let entry = &self.rest[..end.unwrap_or(self.rest.len())];
            self.rest = end.map_or("", |end| &self.rest[end + 1..]);
            let Some(middle) = memchr::memchr(NAME_VALUE_SEPARATOR, entry.as_bytes()) else {
                continue;
            };
            let (name, value) = (&entry[..middle], &entry[middle + 1..]);
            if !name.is_empty() && !value.is_empty() {
                return Some((name, value));
            }
        }
        None
    }
}

/// A property that cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PropertyError {
    /// Names and values must not be empty and must not hold the separators 0x01 and 0x02.
    #[error("property `{name}` is empty or holds a separator (0x01, 0x02)")]
    Unencodable {
        /// Name of the property.
        name: String,
    },
    /// The properties would outgrow [`PROPERTIES_SIZE_MAX_BYTES`].
    #[error("properties of {len} bytes, at most {PROPERTIES_SIZE_MAX_BYTES} are allowed")]
    TooLong {
        /// Size in bytes with the new property.
        len: usize,
    },
}

/// Builds properties text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Builder {
    text: String,
}

impl Builder {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with the entries of `source` for whose name `keep` answers true.
    pub fn filtered(source: Properties<'_>, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut text = String::with_capacity(source.text.len() + 1);
        for (name, value) in source.iter().filter(|(name, _)| keep(name)) {
            push_entry(&mut text, name, value);
        }
        Self { text }
    }

    /// Adds a property, replacing one of the same name.
    ///
    /// # Errors
    /// `Unencodable` and `TooLong`; the builder stays as it was.
    pub fn set(&mut self, name: &str, value: &str) -> Result<&mut Self, PropertyError> {
        if !is_encodable(name) || !is_encodable(value) {
            return Err(PropertyError::Unencodable { name: name.to_owned() });
        }
        let kept = Properties::new(&self.text);
        let replaced = kept.get(name).is_some();
        let kept_len = match replaced {
            true => Self::filtered(kept, |found| found != name).text.len(),
            false => self.text.len(),
        };
        let len = kept_len + entry_len(name, value);
        if len > PROPERTIES_SIZE_MAX_BYTES {
            return Err(PropertyError::TooLong { len });
        }
        if replaced {
            self.remove(name);
        }
        push_entry(&mut self.text, name, value);
        Ok(self)
    }

    /// Removes a property if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        *self = Self::filtered(Properties::new(&self.text), |found| found != name);
        self
    }

    /// The properties so far.
    pub fn as_properties(&self) -> Properties<'_> {
        Properties::new(&self.text)
    }

    /// The text to send or store.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// Whether a name or value can be told apart again after encoding.
pub fn is_encodable(text: &str) -> bool {
    !text.is_empty()
        && memchr::memchr2(NAME_VALUE_SEPARATOR, ENTRY_SEPARATOR, text.as_bytes()).is_none()
}

/// Bytes that an entry takes.
pub fn entry_len(name: &str, value: &str) -> usize {
    name.len() + value.len() + 2
}

fn push_entry(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push(char::from(NAME_VALUE_SEPARATOR));
    text.push_str(value);
    text.push(char::from(ENTRY_SEPARATOR));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        assert_eq!(Properties::new(text).iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn entries_are_read_tolerantly() {
        check("", &[]);
        check("TAGS\u{1}A\u{2}", &[("TAGS", "A")]);
        check("TAGS\u{1}A\u{2}KEYS\u{1}k1 k2", &[("TAGS", "A"), ("KEYS", "k1 k2")]);
        check("broken\u{2}\u{2}empty\u{1}\u{2}\u{1}x\u{2}ok\u{1}1", &[("ok", "1")]);
        check("a\u{1}b\u{1}c\u{2}", &[("a", "b\u{1}c")]);
    }

    #[test]
    fn last_of_repeated_names_wins() {
        assert_eq!(Properties::new("a\u{1}1\u{2}a\u{1}2\u{2}").get("a"), Some("2"));
        assert_eq!(Properties::new("a\u{1}1\u{2}").get("A"), None);
    }

    #[test]
    fn builder_replaces_removes_and_refuses() {
        let mut builder = Builder::new();
        builder.set("a", "1").unwrap().set("b", "2").unwrap().set("a", "3").unwrap();
        assert_eq!(builder.as_properties().as_text(), "b\u{1}2\u{2}a\u{1}3\u{2}");
        builder.remove("b");
        assert_eq!(builder.clone().into_text(), "a\u{1}3\u{2}");
        assert!(matches!(builder.set("c", "\u{2}"), Err(PropertyError::Unencodable { .. })));
        assert!(matches!(builder.set("", "x"), Err(PropertyError::Unencodable { .. })));
        let long = "x".repeat(PROPERTIES_SIZE_MAX_BYTES);
        assert!(matches!(builder.set("c", &long), Err(PropertyError::TooLong { .. })));
        assert_eq!(builder.into_text(), "a\u{1}3\u{2}");
    }
}
