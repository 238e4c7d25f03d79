//! Reads everything that fastjson, Go and Node write into a tree of its values.

use std::ops::Range;

use super::tree::{Kind, Tree, number};
use super::{JsonError, escape};

/// Deepest nesting; the deepest known body has 6 levels.
pub const DEPTH_MAX: usize = 64;

/// Most values in one body (48 MB of tree, names of members included); a register with 100,000
/// topics has 0.9 million.
pub const VALUES_MAX: usize = 2_000_000;

pub(super) fn parse(body: &[u8]) -> Result<Tree<'_>, JsonError> {
    if u32::try_from(body.len()).is_err() {
        return Err(JsonError::TooManyValues);
    }
    let text = str::from_utf8(body)
        .map_err(|error| JsonError::Malformed { at: error.valid_up_to(), expected: "UTF-8" })?;
    let mut parser = Parser { text, at: 0, values: 0, in_key: false, tree: Tree::new(text) };
    if text.starts_with('\u{FEFF}') {
        parser.at = '\u{FEFF}'.len_utf8();
    }
    parser.value(0)?;
    if parser.peek().is_some() {
        return Err(parser.malformed("the end of the body"));
    }
    Ok(parser.tree)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    values: usize,
    in_key: bool,
    tree: Tree<'a>,
}

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(JsonError::TooManyValues);
        }
        if depth > DEPTH_MAX {
            return Err(JsonError::TooDeep);
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"' | b'\'') => self.string(),
            _ => self.literal(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        self.at += 1;
        let object = self.tree.open(Kind::Object);
        while !self.closes(b'}', "a member or `}`")? {
            self.key(depth)?;
            if self.peek() != Some(b':') {
                return Err(self.malformed("`:`"));
            }
            self.at += 1;
            self.value(depth + 1)?;
            self.separator(b'}')?;
        }
        self.tree.close(object);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        self.at += 1;
        let array = self.tree.open(Kind::Array);
        while !self.closes(b']', "a value or `]`")? {
            self.value(depth + 1)?;
            self.separator(b']')?;
        }
        self.tree.close(array);
        Ok(())
    }

    /// Eats the closing bracket; stray commas in front of it are skipped, as fastjson does.
    fn closes(&mut self, close: u8, expected: &'static str) -> Result<bool, JsonError> {
        while self.peek() == Some(b',') {
            self.at += 1;
        }
        match self.peek() {
            None => Err(self.malformed(expected)),
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }

    /// After a member or item there must be a comma or the end.
    fn separator(&mut self, close: u8) -> Result<(), JsonError> {
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(byte) if byte == close => {}
            _ => return Err(self.malformed("`,` or the closing bracket")),
        }
        Ok(())
    }

    /// A member name; an object as a name stays the text it is.
    fn key(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"' | b'\'') => self.string(),
            // A key in a key in a key: each level would be read once more than the one around it.
            Some(b'{' | b'[') if self.in_key => Err(JsonError::TooDeep),
            Some(b'{' | b'[') => {
                let (start, node) = (self.at, self.tree.len());
                self.in_key = true;
                self.value(depth + 1)?;
                self.in_key = false;
                self.tree.replace_by_text(node, start..self.at);
                Ok(())
            }
            _ => match self.word() {
                word if word.is_empty() => Err(self.malformed("a member name")),
                word => {
                    self.tree.push_text(Kind::Text, word);
                    Ok(())
                }
            },
        }
    }

    fn literal(&mut self) -> Result<(), JsonError> {
        let range = self.word();
        match &self.text[range.clone()] {
            "null" | "undefined" | "NaN" => self.tree.push_plain(Kind::Null),
            "true" => self.tree.push_plain(Kind::Bool(true)),
            "false" => self.tree.push_plain(Kind::Bool(false)),
            word if number(word).is_some() => self.tree.push_text(Kind::Number, range),
            _ => return Err(JsonError::Malformed { at: range.start, expected: "a value" }),
        }
        Ok(())
    }

    /// The characters up to the next delimiter or white space.
    fn word(&mut self) -> Range<usize> {
        let (start, rest) = (self.at, &self.text[self.at..]);
        let is_end = |character: char| character.is_whitespace() || ",:{}[]\"'".contains(character);
        self.at += rest.find(is_end).unwrap_or(rest.len());
        start..self.at
    }

    fn string(&mut self) -> Result<(), JsonError> {
        let quote = self.text.as_bytes()[self.at];
        self.at += 1;
        let start = self.at;
        let mut unescaped_from = None;
        loop {
            let rest = &self.text[self.at..];
            let Some(len) = memchr::memchr2(quote, b'\\', rest.as_bytes()) else {
                return Err(self.malformed("the end of a string"));
            };
            let is_end = rest.as_bytes()[len] == quote;
            let end = self.at + len;
            self.at = end + 1;
            if is_end && unescaped_from.is_none() {
                self.tree.push_text(Kind::Text, start..end);
                return Ok(());
            }
            let unescaped = self.tree.unescaped();
            let from = *unescaped_from.get_or_insert(unescaped.len());
            unescaped.push_str(&rest[..len]);
            if is_end {
                self.tree.push_unescaped(from);
                return Ok(());
            }
            let Some((character, used)) = escape::read(&self.text[self.at..]) else {
                return Err(self.malformed("an escape sequence"));
            };
            self.tree.unescaped().push(character);
            self.at += used;
        }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        super::peek(self.text, &mut self.at)
    }

    fn malformed(&self, expected: &'static str) -> JsonError {
        JsonError::Malformed { at: self.at, expected }
    }
}
