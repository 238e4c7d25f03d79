//! A body as a list of its values in the order of the text: 12 bytes each, texts where they stand.

use std::ops::Range;

use serde_json::Number;

/// What a node is; the range of texts is one of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    /// Its digits, in the body.
    Number,
    /// A string without escapes, a bare name, or an object as a name: as it stands in the body.
    Text,
    /// A string whose escapes were read.
    Unescaped,
    /// Followed by its items.
    Array,
    /// Followed by its members: name, value, name, value.
    Object,
}

/// A value or a name.
#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    /// Where its text begins.
    from: u32,
    /// Where its text ends; of containers the node behind their last.
    to: u32,
}

const _: () = assert!(size_of::<Node>() == 12);

/// A body that was parsed. Values are known by the place of their node; the root has 0.
pub(super) struct Tree<'a> {
    text: &'a str,
    unescaped: String,
    nodes: Vec<Node>,
}

impl<'a> Tree<'a> {
    /// Of a text shorter than 4 GiB, with nothing in it yet.
    pub fn new(text: &'a str) -> Self {
        assert!(u32::try_from(text.len()).is_ok(), "places in the text have 32 bits");
        Self { text, unescaped: String::new(), nodes: Vec::new() }
    }

    pub fn push_plain(&mut self, kind: Kind) {
        self.push(kind, 0..0);
    }

    /// A number or text that stands in the body.
    pub fn push_text(&mut self, kind: Kind, range: Range<usize>) {
        self.push(kind, range);
    }

    /// Text with its escapes read, added in pieces since [`Tree::unescaped`] gave `from`.
    pub fn push_unescaped(&mut self, from: usize) {
        self.push(Kind::Unescaped, from..self.unescaped.len());
    }

    /// Where text with escapes is collected: never longer than the body, as no escape is.
    pub fn unescaped(&mut self) -> &mut String {
        &mut self.unescaped
    }

    /// A container; what is pushed until [`Tree::close`] belongs to it.
    pub fn open(&mut self, kind: Kind) -> usize {
        self.push(kind, 0..0);
        self.nodes.len() - 1
    }

    pub fn close(&mut self, container: usize) {
        self.nodes[container].to = as_u32(self.nodes.len());
    }

    /// Nodes so far.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Replaces all from node `from` on by the piece of the body that they were read from.
    pub fn replace_by_text(&mut self, from: usize, range: Range<usize>) {
        self.nodes.truncate(from);
        self.push(Kind::Text, range);
    }

    fn push(&mut self, kind: Kind, range: Range<usize>) {
        self.nodes.push(Node { kind, from: as_u32(range.start), to: as_u32(range.end) });
    }

    pub fn kind(&self, at: usize) -> Kind {
        self.nodes[at].kind
    }

    /// The text of a string, name or number; nothing of others.
    pub fn text(&self, at: usize) -> &str {
        let Node { kind, from, to } = self.nodes[at];
        let range = from as usize..to as usize;
        match kind {
            Kind::Number | Kind::Text => &self.text[range],
            Kind::Unescaped => &self.unescaped[range],
            Kind::Null | Kind::Bool(_) | Kind::Array | Kind::Object => "",
        }
    }

    /// The content of a string.
    pub fn string(&self, at: usize) -> Option<&str> {
        matches!(self.kind(at), Kind::Text | Kind::Unescaped).then(|| self.text(at))
    }

    pub fn number(&self, at: usize) -> Option<Number> {
        (self.kind(at) == Kind::Number).then(|| number(self.text(at))).flatten()
    }

    /// The node behind a value and all in it.
    pub fn end(&self, at: usize) -> usize {
        match self.kind(at) {
            Kind::Array | Kind::Object => self.nodes[at].to as usize,
            _ => at + 1,
        }
    }

    /// The items of an array, or names and values of an object by turns.
    pub fn inside(&self, container: usize) -> Inside<'_> {
        Inside { tree: self, next: container + 1, end: self.end(container) }
    }
}

/// Walks over the values in a container.
pub(super) struct Inside<'t> {
    tree: &'t Tree<'t>,
    next: usize,
    end: usize,
}

impl Iterator for Inside<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let at = self.next;
        if at >= self.end {
            return None;
        }
        self.next = self.tree.end(at);
        Some(at)
    }
}

impl<'t> Inside<'t> {
    /// The next name with its value.
    pub fn member(&mut self) -> Option<(&'t str, usize)> {
        let name = self.next()?;
        Some((self.tree.text(name), self.next()?))
    }
}

/// Rust's parsers also know words such as `inf`; a number begins with a digit, sign or point.
pub(super) fn number(word: &str) -> Option<Number> {
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

fn as_u32(place: usize) -> u32 {
    u32::try_from(place).expect("a body is shorter than 4 GiB and has fewer values than bytes")
}
