//! Which messages a subscription wants, decided from the tag hash alone.
//!
//! The queue index keeps Java's `String.hashCode` of a message's tag. A subscription of tags
//! becomes the set of their hashes, so a message is judged without touching the log. Two tags may
//! share a hash: the filter lets through a superset, and clients compare the text again.

use ringmq_protocol::tags;
use smallvec::SmallVec;

/// Tags of a subscription that are kept without an allocation; more go to the heap.
const TAGS_INLINE: usize = 6;

/// The wanted tag hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TagFilter {
    /// Every message, tagged or not.
    #[default]
    All,
    /// Messages whose tag hash is in the list, which is sorted.
    Hashes(SmallVec<[i32; TAGS_INLINE]>),
}

impl TagFilter {
    /// Reads a tag expression: `*` or nothing for all, otherwise tags separated by `||`. Text that
    /// names no tag lets everything through, as in Java.
    pub fn parse(expression: &str) -> Self {
        let mut hashes: SmallVec<_> = tags::tags_of(expression).map(tags::java_hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        if hashes.is_empty() { Self::All } else { Self::Hashes(hashes) }
    }

    /// Whether a message with this tag hash may be wanted.
    pub fn accepts(&self, tag_hash: i64) -> bool {
        match self {
            Self::All => true,
            Self::Hashes(hashes) => i32::try_from(tag_hash)
                .is_ok_and(|tag_hash| hashes.binary_search(&tag_hash).is_ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, accepted: &[&str], refused: &[&str]) {
        let filter = TagFilter::parse(expression);
        for tag in accepted {
            assert!(filter.accepts(i64::from(tags::java_hash(tag))), "{expression} takes {tag}");
        }
        for tag in refused {
            assert!(!filter.accepts(i64::from(tags::java_hash(tag))), "{expression} drops {tag}");
        }
    }

    #[test]
    fn star_and_nothing_take_everything() {
        check("*", &["A", ""], &[]);
        check("", &["A", ""], &[]);
        check("  ", &["A"], &[]);
        check("||", &["A"], &[]);
    }

    #[test]
    fn alternatives_are_trimmed_and_untagged_messages_are_refused() {
        check("TagA||  TagB ", &["TagA", "TagB"], &["TagC", ""]);
        check("A || ", &["A"], &["B", ""]);
    }

    #[test]
    fn tags_with_equal_hashes_pass_because_clients_compare_the_text() {
        // Java gives both the hash 2112.
        check("Aa", &["Aa", "BB"], &["AB"]);
    }
}
