//! What the indexes take from a message: its tag and its keys.
//!
//! The append step and recovery share this, so an index that is rebuilt from the log is the same
//! index.

use ringmq_protocol::properties::{Properties, keys};
use ringmq_protocol::record::{NewRecord, Record, sys_flag};
use ringmq_protocol::tags;

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

    /// Every key under which the message can be found.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a str> {
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
