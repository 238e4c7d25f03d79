//! The lines of a properties file: comments left out, continued ones joined.

/// One property line after joining continuations: `text` starts at its first visible character.
pub(super) struct LogicalLine {
    pub(super) text: String,
    pub(super) line: u32,
}

pub(super) struct LogicalLines<'a> {
    natural: std::iter::Peekable<NaturalLines<'a>>,
}

impl<'a> LogicalLines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { natural: NaturalLines { rest: text, line: 0 }.peekable() }
    }
}

impl Iterator for LogicalLines<'_> {
    type Item = LogicalLine;

    fn next(&mut self) -> Option<LogicalLine> {
        loop {
            let (line, text) = self.natural.next()?;
            let text = text.trim_start_matches(is_blank);
            if text.is_empty() || text.starts_with(['#', '!']) {
                continue;
            }
            let mut joined = text.to_owned();
            while ends_with_continuation(&joined) {
                joined.pop();
                match self.natural.next() {
                    Some((_, more)) => joined.push_str(more.trim_start_matches(is_blank)),
                    None => break,
                }
            }
            return Some(LogicalLine { text: joined, line });
        }
    }
}

/// Lines ended by `\n`, `\r` or `\r\n`, with their numbers.
struct NaturalLines<'a> {
    rest: &'a str,
    line: u32,
}

impl<'a> Iterator for NaturalLines<'a> {
    type Item = (u32, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let end = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
        let (text, tail) = self.rest.split_at(end);
        self.rest = tail.strip_prefix("\r\n").unwrap_or(tail.get(1..).unwrap_or(""));
        Some((self.line, text))
    }
}

pub(super) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\u{c}')
}

fn ends_with_continuation(text: &str) -> bool {
    // An odd number of backslashes: the last one is not itself escaped.
    text.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}
