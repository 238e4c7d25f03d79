//! What the indexes take from a message: its tag and its keys.
//!
//! The append step and recovery share this, so an index that is rebuilt from the log is the same
//! index.

use ringmq_protocol::properties::{Properties, keys};
use ringmq_protocol::record::{NewRecord, Record, sys_flag};
use ringmq_protocol::tags;
use smallvec::SmallVec;

use crate::entry::key_hash;

/// Most keys of a message that are indexed, its unique key among them. Each takes 24 bytes of
/// memory until the index is on disk, and sends wait when too many are there.
pub(crate) const KEYS_MAX: usize = 128;

/// The parts of a message that are indexed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms<'a> {
    tag: Option<&'a str>,
    keys: Option<&'a str>,
    unique_key: Option<&'a str>,
}

impl<'a> Terms<'a> {
    /// The terms of a message that is about to be stored.
    pub(crate) fn of_new(message: &NewRecord<'a>) -> Self {
        let mut terms = Self::default();
        Properties::new(message.properties)
            .iter()
            .chain(message.extra.iter().copied())
            .for_each(|(name, value)| terms.take(name, value));
        terms
    }

    /// The terms of a stored message.
    pub(crate) fn of_stored(record: &Record<'a>) -> Self {
        let mut terms = Self::default();
        record.properties.iter().for_each(|(name, value)| terms.take(name, value));
        terms
    }

    fn take(&mut self, name: &'a str, value: &'a str) {
        match name {
            keys::TAGS => self.tag = Some(value),
            keys::KEYS => self.keys = Some(value),
            keys::UNIQUE_KEY => self.unique_key = Some(value),
            _ => {}
        }
    }

    /// Hash of the tag as consumers know it; 0 without one.
    pub(crate) fn tag_hash(&self) -> i64 {
        tags::tag_code(self.tag)
    }

    /// Visits the hash of every key under which a message of `topic` is indexed, each once: of its
    /// unique key and the words of its KEYS the first [`KEYS_MAX`].
    pub(crate) fn each_key_hash(&self, topic: &str, mut visit: impl FnMut(u64)) {
        let mut visited = SmallVec::<[u64; KEYS_MAX]>::new();
        for hash in self.keys().take(KEYS_MAX).map(|key| key_hash(topic, key)) {
            // Keys of one hash would be the same entry.
            if !visited.contains(&hash) {
                visited.push(hash);
                visit(hash);
            }
        }
    }

    /// Whether the message has this key, indexed or not.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.keys().any(|one| one == key)
    }

    fn keys(&self) -> impl Iterator<Item = &'a str> {
        let words = self.keys.unwrap_or("").split(' ').filter(|word| !word.is_empty());
        self.unique_key.into_iter().chain(words)
    }
}

/// Whether a queue shows the message: prepared and rolled back ones have queue offset 0 and no
/// entry.
pub(crate) fn is_queued(flags: i32) -> bool {
    !matches!(
        flags & sys_flag::TRANSACTION_MASK,
        sys_flag::TRANSACTION_PREPARED | sys_flag::TRANSACTION_ROLLBACK
    )
}

/// Whether the key index knows the message.
pub(crate) fn is_keyed(flags: i32) -> bool {
    flags & sys_flag::TRANSACTION_MASK != sys_flag::TRANSACTION_ROLLBACK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_keys(unique_key: Option<&str>, keys: &str, expected: &[&str]) {
        let terms = Terms { tag: None, keys: Some(keys), unique_key };
        let mut found = Vec::new();
        terms.each_key_hash("t", |hash| found.push(hash));
        let expected: Vec<_> = expected.iter().map(|key| key_hash("t", key)).collect();
        assert_eq!(found, expected, "{unique_key:?}, {keys:?}");
    }

    #[test]
    fn each_key_is_indexed_once_and_no_more_than_so_many_of_a_message() {
        check_keys(None, "", &[]);
        check_keys(Some("u"), "", &["u"]);
        check_keys(Some("u"), " a  b ", &["u", "a", "b"]);
        check_keys(Some("u"), "a u b a b", &["u", "a", "b"]);
        check_keys(None, &"a ".repeat(16_000), &["a"]);
        let words: Vec<_> = (0..2 * KEYS_MAX).map(|number| format!("k{number}")).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        check_keys(None, &words.join(" "), &words[..KEYS_MAX]);
        let with_unique: Vec<_> = ["u"].into_iter().chain(words.iter().copied()).collect();
        check_keys(Some("u"), &words.join(" "), &with_unique[..KEYS_MAX]);
    }
}
