//! The properties of a message: `name 0x01 value 0x02` repeated.
//!
//! There is no escaping, so neither separator may appear in a name or value. The last 0x02 may be
//! missing; entries without 0x01 or with an empty name or value are skipped by readers.

pub mod keys;

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

/// Whether a name or value can be told apart again after encoding.
pub fn is_encodable(text: &str) -> bool {
    !text.is_empty()
        && memchr::memchr2(NAME_VALUE_SEPARATOR, ENTRY_SEPARATOR, text.as_bytes()).is_none()
}

/// Appends an entry to properties text; name and value must be encodable.
pub fn push_entry(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push(char::from(NAME_VALUE_SEPARATOR));
    text.push_str(value);
    text.push(char::from(ENTRY_SEPARATOR));
}

/// Bytes that an entry takes.
pub fn entry_len(name: &str, value: &str) -> usize {
    name.len() + value.len() + 2
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
}
