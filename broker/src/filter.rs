//! Which messages a subscription wants, decided from the tag hash alone.
//!
//! The queue index keeps Java's `String.hashCode` of a message's tag. A subscription of tags
//! becomes the set of their hashes, so a message is judged without touching the log. Two tags may
//! share a hash: the filter lets through a superset, and clients compare the text again.

use std::sync::Arc;

use ringmq_protocol::tags;
use smallvec::SmallVec;

/// Tags of a subscription that each copy of its filter has for itself; copies share more of them.
const TAGS_INLINE: usize = 6;

/// The wanted tag hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TagFilter {
    /// Every message, tagged or not.
    #[default]
    All,
    /// Messages whose tag hash is in the list, which is sorted and short.
    Few(SmallVec<[i32; TAGS_INLINE]>),
    /// The same of a long list: every held pull of a group has a copy of the group's filter.
    Many(Arc<[i32]>),
}

impl TagFilter {
    /// Reads a tag expression: `*` or nothing for all, otherwise tags separated by `||`. Text that
    /// names no tag lets everything through, as in Java.
    pub fn parse(expression: &str) -> Self {
        let mut hashes: SmallVec<[i32; TAGS_INLINE]> =
            tags::tags_of(expression).map(tags::java_hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        match hashes.len() {
            0 => Self::All,
            1..=TAGS_INLINE => Self::Few(SmallVec::from_slice(&hashes)),
            _ => Self::Many(hashes.as_slice().into()),
        }
    }

    /// Memory beside itself, which its copies share.
    pub fn shared_bytes(&self) -> usize {
        match self {
            Self::All | Self::Few(_) => 0,
            Self::Many(hashes) => size_of_val::<[i32]>(hashes),
        }
    }

    /// Whether a message with this tag hash may be wanted.
    pub fn accepts(&self, tag_hash: i64) -> bool {
        let hashes: &[i32] = match self {
            Self::All => return true,
            Self::Few(hashes) => hashes,
            Self::Many(hashes) => hashes,
        };
        i32::try_from(tag_hash).is_ok_and(|tag_hash| hashes.binary_search(&tag_hash).is_ok())
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
    fn long_lists_are_shared_by_copies_and_short_ones_take_nothing() {
        let names: Vec<_> = (0..100).map(|number| format!("tag{number}")).collect();
        let (long, short) = (TagFilter::parse(&names.join("||")), TagFilter::parse("A||B||B"));
        assert_eq!((long.shared_bytes(), short.shared_bytes()), (400, 0));
        let (TagFilter::Many(of), TagFilter::Many(copy)) = (&long, &long.clone()) else {
            panic!("{long:?}");
        };
        assert!(Arc::ptr_eq(of, copy));
        check(&names.join("||"), &["tag0", "tag99"], &["tag100", ""]);
        // Not more than they are, however often they are named.
        assert_eq!(TagFilter::parse(&"A||".repeat(50)), TagFilter::parse("A"));
    }

    #[test]
    fn tags_with_equal_hashes_pass_because_clients_compare_the_text() {
        // Java gives both the hash 2112.
        check("Aa", &["Aa", "BB"], &["AB"]);
    }
}
