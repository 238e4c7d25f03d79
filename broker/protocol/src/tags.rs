//! Tags: the hash stored with a message, and the expressions consumers subscribe with.

/// Java's `String.hashCode`: over UTF-16 units, wrapping at 32 bits. The empty text has 0.
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The hash of a message's tag as the queue index keeps it; 0 for no tag.
pub fn tag_code(tag: Option<&str>) -> i64 {
    tag.map_or(0, |tag| i64::from(java_hash(tag)))
}

/// The tags of a TAG expression: `*` or nothing for all, else tags joined by `||`.
///
/// Yields trimmed, non-empty tags. An expression for all messages yields none; tell it apart with
/// [`is_everything`].
pub fn tags_of(expression: &str) -> impl Iterator<Item = &str> {
    let expression = if is_everything(expression) { "" } else { expression };
    expression.split("||").map(str::trim).filter(|tag| !tag.is_empty())
}

/// Whether a TAG expression lets every message through.
pub fn is_everything(expression: &str) -> bool {
    matches!(expression.trim(), "" | "*")
}

/// A TAG expression, ready to match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagExpression {
    /// Sorted; empty lets every message through.
    codes: Vec<i32>,
    tags: Vec<Box<str>>,
}

impl TagExpression {
    /// Reads an expression; never fails, as in Java (text without a tag lets everything through).
    pub fn parse(expression: &str) -> Self {
        let tags: Vec<Box<str>> = tags_of(expression).map(Box::from).collect();
        let mut codes: Vec<i32> = tags.iter().map(|tag| java_hash(tag)).collect();
        codes.sort_unstable();
        codes.dedup();
        Self { codes, tags }
    }

    /// Whether every message passes.
    pub fn is_everything(&self) -> bool {
        self.codes.is_empty()
    }

    /// Hashes of the tags, ascending.
    pub fn codes(&self) -> &[i32] {
        &self.codes
    }

    /// Tags in the order of the expression.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(AsRef::as_ref)
    }

    /// Whether a message with this tag passes.
    pub fn matches_tag(&self, tag: Option<&str>) -> bool {
        self.is_everything() || tag.is_some_and(|tag| self.tags.iter().any(|known| **known == *tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_java() {
        for (tag, hash) in [("A", 65), ("TagA", 2598919), ("TagB", 2598920), ("", 0)] {
            assert_eq!(java_hash(tag), hash);
        }
        // U+1F600 is the surrogate pair D83D DE00: 0xD83D * 31 + 0xDE00.
        assert_eq!(java_hash("\u{1F600}"), 0xD83D * 31 + 0xDE00);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
    }

    #[test]
    fn expressions_split_at_double_bars_and_trim() {
        let expression = TagExpression::parse(" TagA||TagB || ");
        assert_eq!(expression.tags().collect::<Vec<_>>(), ["TagA", "TagB"]);
        assert_eq!(expression.codes(), [2598919, 2598920]);
        assert!(expression.matches_tag(Some("TagA")) && !expression.matches_tag(None));
    }

    #[test]
    fn star_and_nothing_let_everything_through() {
        for text in ["*", "", "  ", " * ", "||"] {
            let expression = TagExpression::parse(text);
            assert!(expression.is_everything() && expression.matches_tag(None), "{text}");
        }
    }
}
