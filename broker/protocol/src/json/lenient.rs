//! Reads everything that fastjson, Go and Node write into a tree of plain JSON.

use serde_json::{Map, Number, Value};

use super::{JsonError, escape, reference};

/// Deepest nesting; the deepest known body has 6 levels.
pub const DEPTH_MAX: usize = 64;

/// Most values in one body (64 MiB of tree); a register with 100,000 topics has 0.9 million.
pub const VALUES_MAX: usize = 2_000_000;

/// The member name that stands for "the same as over there".
pub(super) const REFERENCE: &str = "$ref";

pub(super) fn parse(body: &[u8]) -> Result<Value, JsonError> {
    let text = str::from_utf8(body)
        .map_err(|error| JsonError::Malformed { at: error.valid_up_to(), expected: "UTF-8" })?;
    let mut parser = Parser { text, at: 0, values: 0, has_reference: false, in_key: false };
    if text.starts_with('\u{FEFF}') {
        parser.at = '\u{FEFF}'.len_utf8();
    }
    let value = parser.value(0)?;
    if parser.peek().is_some() {
        return Err(parser.malformed("the end of the body"));
    }
    if parser.has_reference { reference::resolve(value) } else { Ok(value) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    values: usize,
    has_reference: bool,
    in_key: bool,
}

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
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
            Some(b'"' | b'\'') => self.string().map(Value::String),
            _ => self.literal(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut members = Map::new();
        while !self.closes(b'}', "a member or `}`")? {
            let key = self.key(depth)?;
            if self.peek() != Some(b':') {
                return Err(self.malformed("`:`"));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            self.has_reference |= key == REFERENCE;
            members.insert(key, value);
            self.separator(b'}')?;
        }
        Ok(Value::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.closes(b']', "a value or `]`")? {
            items.push(self.value(depth + 1)?);
            self.separator(b']')?;
        }
        Ok(Value::Array(items))
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

    /// A member name as text; an object as key becomes its JSON text.
    fn key(&mut self, depth: usize) -> Result<String, JsonError> {
        match self.peek() {
            Some(b'"' | b'\'') => self.string(),
            // A key in a key in a key: each level would double the escapes of those inside.
            Some(b'{' | b'[') if self.in_key => Err(JsonError::TooDeep),
            Some(b'{' | b'[') => {
                self.in_key = true;
                let key = self.value(depth + 1)?.to_string();
                self.in_key = false;
                Ok(key)
            }
            _ => match self.word() {
                "" => Err(self.malformed("a member name")),
                word => Ok(word.to_owned()),
            },
        }
    }

    fn literal(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        match self.word() {
            "null" | "undefined" | "NaN" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            word => number(word)
                .map(Value::Number)
                .ok_or(JsonError::Malformed { at: start, expected: "a value" }),
        }
    }

    /// The characters up to the next delimiter or white space.
    fn word(&mut self) -> &str {
        let rest = &self.text[self.at..];
        let is_end = |character: char| character.is_whitespace() || ",:{}[]\"'".contains(character);
        let len = rest.find(is_end).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let quote = self.text.as_bytes()[self.at];
        self.at += 1;
        let mut content = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(len) = memchr::memchr2(quote, b'\\', rest.as_bytes()) else {
                return Err(self.malformed("the end of a string"));
            };
            content.push_str(&rest[..len]);
            self.at += len + 1;
            if rest.as_bytes()[len] == quote {
                return Ok(content);
            }
            let Some((character, used)) = escape::read(&self.text[self.at..]) else {
                return Err(self.malformed("an escape sequence"));
            };
            content.push(character);
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

/// Rust's parsers also know words such as `inf`; a number begins with a digit, sign or point.
fn number(word: &str) -> Option<Number> {
    if !word.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return None;
    }
    if let Ok(number) = word.parse::<i64>() {
        return Some(number.into());
    }
    if let Ok(number) = word.parse::<u64>() {
        return Some(number.into());
    }
    Number::from_f64(word.parse().ok()?)
}
