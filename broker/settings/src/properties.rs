//! The configuration file format of RocketMQ: Java properties.
//!
//! `key=value`, `key: value` or `key value`; `#` and `!` start a comment line; a backslash at the
//! end of a line continues it; `\uXXXX` and the usual one-letter escapes work in keys and values. A
//! key without a separator has an empty value. Files that are valid UTF-8 are read as UTF-8, all
//! others as ISO-8859-1 (what Java assumes), so neither an umlaut typed today nor an old escaped
//! file needs a change.
//!
//! Ours, because the crate for it, `java-properties` 2.0.0, refuses files that Java loads: a
//! comment with a Windows path in it (it takes `C:\users` for a `\u` escape), and the two escapes
//! in which Java writes a character beyond 16 bits. It also drops a last line that ends with a
//! backslash.

mod escapes;
mod lines;

use self::escapes::{escape, unescape};
use self::lines::{LogicalLine, LogicalLines, is_blank};

/// Largest configuration file or 318/25 request body that is read, in bytes. Apache's full broker
/// table is 30 KiB.
pub const PROPERTIES_SIZE_MAX_BYTES: usize = 1 << 20;

/// Most entries that one of them may have: nine times what Apache's full broker table has.
pub const PROPERTIES_ENTRIES_MAX: usize = 4096;

/// One `key=value` of a file, with the line its key stands on (1 is the first).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, unescaped.
    pub key: String,
    /// The value, unescaped; leading white space is cut, trailing white space is kept, as in Java.
    pub value: String,
    /// Line number of the key, counted from 1; 0 when it did not come from a file.
    pub line: u32,
}

/// A parsed file: its entries in file order. A key that appears twice counts with its last value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    entries: Vec<Entry>,
}

/// What is wrong with a properties text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// A `\u` that four hexadecimal digits do not follow.
    #[error("{}'\\u' needs four hexadecimal digits, found \"{found}\"", at_line(*line))]
    BadUnicodeEscape {
        /// Line of the escape, from 1; 0 when it did not come from a file.
        line: u32,
        /// What stood there.
        found: String,
    },
    /// The text is larger than [`PROPERTIES_SIZE_MAX_BYTES`].
    #[error("{have} bytes of configuration, at most {PROPERTIES_SIZE_MAX_BYTES} are read")]
    TooLarge {
        /// Its size in bytes.
        have: usize,
    },
    /// The text has more than [`PROPERTIES_ENTRIES_MAX`] entries.
    #[error("{}more than {PROPERTIES_ENTRIES_MAX} entries", at_line(*line))]
    TooMany {
        /// Line of the first one that is too many, from 1; 0 when it did not come from a file.
        line: u32,
    },
}

impl PropertiesError {
    fn without_line(mut self) -> Self {
        match &mut self {
            Self::BadUnicodeEscape { line, .. } | Self::TooMany { line } => *line = 0,
            Self::TooLarge { .. } => {}
        }
        self
    }
}

/// A value that does not fit its key: names key, line, what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{key} = \"{found}\": expected {expected}", at_line(*line))]
pub struct ValueError {
    /// The key as written.
    pub key: String,
    /// Its line, from 1; 0 when it did not come from a file.
    pub line: u32,
    /// The refused value.
    pub found: String,
    /// What would have been accepted, for a person.
    pub expected: String,
}

/// How a text about an entry begins: with its line, if it has one.
pub(crate) fn at_line(line: u32) -> String {
    if line == 0 { String::new() } else { format!("line {line}: ") }
}

impl Properties {
    /// Parses the body of a request: nothing that is said of it has a line, since who sent it
    /// wrote no file.
    ///
    /// # Errors
    /// As for [`Properties::parse`].
    pub fn of_request(body: &[u8]) -> Result<Self, PropertiesError> {
        let Self { entries } = Self::parse(body).map_err(PropertiesError::without_line)?;
        let entries = entries.into_iter().map(|entry| Entry { line: 0, ..entry });
        Ok(Self { entries: entries.collect() })
    }

    /// Parses a whole file.
    ///
    /// # Errors
    /// A malformed `\u` escape, more than [`PROPERTIES_SIZE_MAX_BYTES`], or more than
    /// [`PROPERTIES_ENTRIES_MAX`]; everything else is some property.
    pub fn parse(bytes: &[u8]) -> Result<Self, PropertiesError> {
        if bytes.len() > PROPERTIES_SIZE_MAX_BYTES {
            return Err(PropertiesError::TooLarge { have: bytes.len() });
        }
        let text = decode(bytes);
        let mut entries = Vec::new();
        for logical in LogicalLines::new(&text) {
            if entries.len() >= PROPERTIES_ENTRIES_MAX {
                return Err(PropertiesError::TooMany { line: logical.line });
            }
            entries.push(parse_line(&logical)?);
        }
        Ok(Self { entries })
    }

    /// All entries in file order, overridden ones included.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that counts for `key`: the last one.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }
}

impl Entry {
    /// The error for this entry's value: `expected` says what is allowed.
    pub fn refused(&self, expected: impl Into<String>) -> ValueError {
        ValueError {
            key: self.key.clone(),
            line: self.line,
            found: self.value.clone(),
            expected: expected.into(),
        }
    }

    /// The value as a number within `range`, blanks around it allowed.
    ///
    /// # Errors
    /// Not a decimal number, or outside the range; the message names the range.
    pub fn number(&self, range: std::ops::RangeInclusive<i64>) -> Result<i64, ValueError> {
        let number = self.value.trim().parse::<i64>().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            self.refused(format!("a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// The value as `true` or `false`, in any letter case.
    ///
    /// # Errors
    /// Anything else.
    pub fn boolean(&self) -> Result<bool, ValueError> {
        let text = self.value.trim();
        if text.eq_ignore_ascii_case("true") {
            Ok(true)
        } else if text.eq_ignore_ascii_case("false") {
            Ok(false)
        } else {
            Err(self.refused("true or false"))
        }
    }
}

/// Appends `key=value` and a line break, escaped so that [`Properties::parse`] and Java read the
/// same text back.
pub fn write_entry(out: &mut String, key: &str, value: &str) {
    escape(out, key, true);
    out.push('=');
    escape(out, value, false);
    out.push('\n');
}

fn decode(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect::<String>().into(),
    }
}

fn parse_line(logical: &LogicalLine) -> Result<Entry, PropertiesError> {
    let text = logical.text.as_str();
    let key_end = unescaped_end(text);
    let value = text[key_end..].trim_start_matches(is_blank);
    let value = value.strip_prefix(['=', ':']).unwrap_or(value).trim_start_matches(is_blank);
    let key = unescape(&text[..key_end], logical.line)?;
    let value = unescape(value, logical.line)?;
    Ok(Entry { key, value, line: logical.line })
}

/// Byte index of the first blank, `=` or `:` that no backslash protects.
fn unescaped_end(text: &str) -> usize {
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        if !escaped && (is_blank(character) || matches!(character, '=' | ':')) {
            return index;
        }
        escaped = character == '\\' && !escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests;
