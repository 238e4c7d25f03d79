//! A cursor over JSON text that hands out pieces of it.

use crate::error::CommandError;
use crate::fields::{Fields, Text};

/// Deepest nesting that is skipped in a header; nothing we read nests deeper than 2.
const DEPTH_MAX: usize = 32;

pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), CommandError> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.malformed(expected)),
        }
    }

    /// Only white space may follow.
    pub fn expect_end(&mut self) -> Result<(), CommandError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.malformed("the end of the header")),
        }
    }

    /// Whether another member follows; eats the comma or the closing brace.
    pub fn next_member(&mut self, first: &mut bool) -> Result<bool, CommandError> {
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b',', "`,` or `}`")?;
        }
        Ok(true)
    }

    pub fn member_name(&mut self, fields: &mut Fields<'a>) -> Result<Text<'a>, CommandError> {
        self.expect(b'"', "a member name")?;
        let name = self.string_rest(fields)?;
        self.expect(b':', "`:`")?;
        Ok(name)
    }

    /// Eats `null` if it comes next.
    pub fn null(&mut self) -> bool {
        self.peek();
        let found = self.text[self.at..].starts_with("null");
        self.at += if found { 4 } else { 0 };
        found
    }

    /// The text of a value: a string's content, or a number, boolean or nested value as written;
    /// `None` for null.
    pub fn scalar(&mut self, fields: &mut Fields<'a>) -> Result<Option<Text<'a>>, CommandError> {
        if self.null() {
            return Ok(None);
        }
        if self.peek() == Some(b'"') {
            self.at += 1;
            return self.string_rest(fields).map(Some);
        }
        let start = self.at;
        self.skip_value()?;
        Ok(Some(Text::Borrowed(&self.text[start..self.at])))
    }

    /// Skips any value.
    pub fn skip_value(&mut self) -> Result<(), CommandError> {
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(b'{' | b'[') => {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(self.malformed("less nesting"));
                    }
                    self.at += 1;
                    continue;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':') if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                Some(b'"') => {
                    self.at += 1;
                    self.skip_string_rest()?;
                }
                Some(byte) if is_literal(byte) => {
                    let rest = &self.text.as_bytes()[self.at..];
                    let len = rest.iter().position(|byte| !is_literal(*byte));
                    self.at += len.unwrap_or(rest.len());
                }
                _ => return Err(self.malformed("a value")),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn skip_string_rest(&mut self) -> Result<(), CommandError> {
        let bytes = self.text.as_bytes();
        while let Some(offset) = memchr::memchr2(b'"', b'\\', &bytes[self.at..]) {
            self.at += offset + 1;
            if bytes[self.at - 1] == b'"' {
                return Ok(());
            }
            if self.at == bytes.len() {
                break;
            }
            // The escaped character may have several bytes; the search finds its way from any of
            // them.
            self.at += 1;
        }
        self.at = bytes.len();
        Err(self.malformed("the end of a string"))
    }

    /// The content of a string whose opening quote was read.
    fn string_rest(&mut self, fields: &mut Fields<'a>) -> Result<Text<'a>, CommandError> {
        let rest = &self.text[self.at..];
        match memchr::memchr2(b'"', b'\\', rest.as_bytes()) {
            Some(len) if rest.as_bytes()[len] == b'"' => {
                self.at += len + 1;
                Ok(Text::Borrowed(&rest[..len]))
            }
            Some(_) => self.escaped_string_rest(fields),
            None => {
                self.at = self.text.len();
                Err(self.malformed("the end of a string"))
            }
        }
    }

    fn escaped_string_rest(&mut self, fields: &mut Fields<'a>) -> Result<Text<'a>, CommandError> {
        let start = fields.begin_unescaped();
        loop {
            let rest = &self.text[self.at..];
            let Some(len) = memchr::memchr2(b'"', b'\\', rest.as_bytes()) else {
                self.at = self.text.len();
                return Err(self.malformed("the end of a string"));
            };
            fields.push_unescaped(&rest[..len]);
            self.at += len + 1;
            if rest.as_bytes()[len] == b'"' {
                return Ok(fields.end_unescaped(start));
            }
            let Some((character, used)) = super::escape::read(&self.text[self.at..]) else {
                return Err(self.malformed("an escape sequence"));
            };
            self.at += used;
            fields.push_unescaped(character.encode_utf8(&mut [0; 4]));
        }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        super::peek(self.text, &mut self.at)
    }

    fn malformed(&self, expected: &'static str) -> CommandError {
        CommandError::Malformed { at: self.at, expected }
    }
}

/// Bytes of numbers and of the words true, false, null.
fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}
