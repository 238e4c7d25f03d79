//! The properties of a message on its way into the store: what the broker reads, removes and adds.
//!
//! One pass over the sender's text finds the properties that decide what happens to the message.
//! The stored text is the sender's, without the names that the broker writes itself, followed by
//! the broker's own. A text that holds none of those names, the usual case, is stored from where it
//! was received.

use ringmq_protocol::properties::{Properties, is_encodable, keys};
use ringmq_protocol::tags;

/// What the broker acts on among a message's properties.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Blank-separated keys of the index.
    pub keys: Option<&'a str>,
    /// The tag.
    pub tag: Option<&'a str>,
    /// The client's unique id of the message.
    pub unique_key: Option<&'a str>,
    /// The sender does not wait for the store (`WAIT=false`).
    pub is_impatient: bool,
    /// A delay level above 0: the message must not be seen yet.
    pub is_delayed: bool,
    /// A delay level that Java cannot read as an `int`, which fails the send there.
    pub has_unreadable_delay: bool,
    /// A delivery time: the message must not be seen yet.
    pub is_timed: bool,
    /// A half message of a transaction.
    pub is_prepared: bool,
    /// A request whose sender waits for a reply.
    pub is_request: bool,
    /// The mark of a whole batch in one record, which the broker alone sets.
    pub is_inner_batch: bool,
    /// The text holds names that the broker writes itself.
    pub needs_cleaning: bool,
}

impl<'a> Facts<'a> {
    /// Reads a sender's text.
    pub fn read(text: &'a str) -> Self {
        let mut facts = Self::default();
        let (mut correlation, mut reply_to, mut reply_in) = (false, false, false);
        for (name, value) in Properties::new(text).iter() {
            match name {
                keys::KEYS => facts.keys = Some(value),
                keys::TAGS => facts.tag = Some(value),
                keys::UNIQUE_KEY => facts.unique_key = Some(value),
                keys::WAIT_STORE_MSG_OK => facts.is_impatient = value == "false",
                keys::DELAY_TIME_LEVEL => match value.parse::<i32>() {
                    Ok(level) => facts.is_delayed |= level > 0,
                    Err(_) => facts.has_unreadable_delay = true,
                },
                keys::INNER_NUM => facts.is_inner_batch = true,
                keys::TIMER_DELAY_SEC | keys::TIMER_DELAY_MS | keys::TIMER_DELIVER_MS => {
                    facts.is_timed = true;
                }
                keys::TRANSACTION_PREPARED => {
                    facts.is_prepared = value.eq_ignore_ascii_case("true");
                }
                keys::CORRELATION_ID => correlation = true,
                keys::REPLY_TO_CLIENT => reply_to = true,
                keys::REPLY_TTL => reply_in = true,
                _ => facts.needs_cleaning |= is_ours(name),
            }
        }
        // Clients set all three for a request, and a user may well have one of them alone.
        facts.is_request = correlation && reply_to && reply_in;
        facts
    }

    /// Java's hash of the tag; 0 without one.
    pub fn tag_hash(&self) -> i64 {
        tags::tag_code(self.tag)
    }
}

/// Writes a sender's text without the names that the broker writes itself into `out`. A delay is
/// one that is not kept, since the message is stored where all can see it: it becomes Apache's mark
/// of that.
pub fn clean(text: &str, out: &mut String) {
    out.clear();
    for (name, value) in Properties::new(text).iter().filter(|(name, _)| !is_ours(name)) {
        let is_undone = name == keys::DELAY_TIME_LEVEL && is_delay(value);
        out.push_str(name);
        out.push('\u{1}');
        out.push_str(if is_undone { NO_DELAY } else { value });
        out.push('\u{2}');
    }
}

/// What a message that may be seen at once has for a delay level.
const NO_DELAY: &str = "-1";

fn is_delay(level: &str) -> bool {
    level.parse().is_ok_and(|level: i32| level > 0)
}

/// The stamp's names, and the mark of a popped copy: a sender's text may not carry them into the
/// store.
fn is_ours(name: &str) -> bool {
    matches!(name, keys::MSG_REGION | keys::TRACE_SWITCH | keys::CLUSTER | keys::POP_CK)
}

/// Most properties that the broker adds to a message.
const ADDED_MAX: usize = 4;

/// The properties that the broker adds to a message that is not part of a batch.
pub struct Added<'a> {
    entries: [(&'a str, &'a str); ADDED_MAX],
    len: usize,
}

impl<'a> Added<'a> {
    /// What this broker adds; `unique_key` is given when the sender set none.
    pub fn new(
        region: &'a str,
        is_trace_on: bool,
        cluster: &'a str,
        unique_key: Option<&'a str>,
    ) -> Self {
        let mut added = Self { entries: [("", ""); ADDED_MAX], len: 0 };
        let trace = if is_trace_on { "true" } else { "false" };
        added.push(keys::UNIQUE_KEY, unique_key.unwrap_or_default());
        added.push(keys::MSG_REGION, region);
        added.push(keys::TRACE_SWITCH, trace);
        added.push(keys::CLUSTER, cluster);
        added
    }

    /// The entries, for the record.
    pub fn entries(&self) -> &[(&'a str, &'a str)] {
        &self.entries[..self.len]
    }

    /// Values that cannot be stored, such as an empty region, are left out.
    fn push(&mut self, name: &'static str, value: &'a str) {
        if is_encodable(value) {
            self.entries[self.len] = (name, value);
            self.len += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_adds_what_the_sender_left_out() {
        let names = |unique_key| {
            let added = Added::new("R", true, "C", unique_key);
            added
                .entries()
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(None), ["MSG_REGION=R", "TRACE_ON=true", "CLUSTER=C"]);
        assert_eq!(names(Some("K"))[0], "UNIQ_KEY=K");
        assert_eq!(Added::new("", false, "", None).entries(), [("TRACE_ON", "false")]);
    }

    #[test]
    fn a_message_that_was_stored_before_loses_its_old_stamp() {
        let sent = "POP_CK\u{1}x\u{2}TAGS\u{1}A\u{2}CLUSTER\u{1}C\u{2}RECONSUME_TIME\u{1}1";
        assert!(Facts::read(sent).needs_cleaning);
        let mut out = String::from("left over");
        clean(sent, &mut out);
        assert_eq!(out, "TAGS\u{1}A\u{2}RECONSUME_TIME\u{1}1\u{2}");
        assert!(!Facts::read(&out).needs_cleaning);
    }

    #[test]
    fn facts_are_read_in_one_pass() {
        let text =
            "KEYS\u{1}a b\u{2}TAGS\u{1}T\u{2}WAIT\u{1}false\u{2}TRAN_MSG\u{1}true\u{2}junk\u{2}";
        let facts = Facts::read(text);
        assert_eq!((facts.keys, facts.tag, facts.unique_key), (Some("a b"), Some("T"), None));
        assert!(facts.is_impatient && facts.is_prepared && !facts.is_delayed);
        assert_eq!(Facts::read("").tag_hash(), 0);
    }

    #[test]
    fn every_kind_of_delay_is_seen_and_level_zero_is_none() {
        assert!(Facts::read("DELAY\u{1}3\u{2}").is_delayed);
        for text in ["TIMER_DELAY_SEC\u{1}1\u{2}", "TIMER_DELIVER_MS\u{1}9\u{2}"] {
            assert!(Facts::read(text).is_timed, "{text:?}");
        }
        assert!(!Facts::read("DELAY\u{1}0\u{2}").is_delayed);
        assert!(!Facts::read("DELAY\u{1}-1\u{2}").is_delayed);
        for level in [" 3", "3 ", "x", "2147483648"] {
            let facts = format!("DELAY\u{1}{level}\u{2}");
            assert!(Facts::read(&facts).has_unreadable_delay, "{facts:?}");
        }
        assert!(!Facts::read("DELAY\u{1}+3\u{2}").has_unreadable_delay);
    }

    #[test]
    fn a_request_is_told_by_all_that_a_requester_sets() {
        let (id, client) = ("CORRELATION_ID\u{1}i\u{2}", "REPLY_TO_CLIENT\u{1}c\u{2}");
        let is_request = |text: &str| Facts::read(text).is_request;
        assert!(is_request(&format!("{client}TAGS\u{1}A\u{2}TTL\u{1}3000\u{2}{id}")));
        for text in [id, client, "TTL\u{1}3000\u{2}", &format!("{id}TTL\u{1}1\u{2}")] {
            assert!(!is_request(text), "{text:?}");
        }
    }

    #[test]
    fn a_delay_that_is_not_kept_is_marked_as_none() {
        let mut out = String::new();
        clean("TAGS\u{1}A\u{2}DELAY\u{1}3\u{2}", &mut out);
        assert_eq!(out, "TAGS\u{1}A\u{2}DELAY\u{1}-1\u{2}");
        clean("DELAY\u{1}0\u{2}", &mut out);
        assert_eq!(out, "DELAY\u{1}0\u{2}");
    }
}
