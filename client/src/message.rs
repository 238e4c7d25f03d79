//! A message on its way to a broker.

use bytes::Bytes;
use ringmq_protocol::properties::{self, PROPERTIES_SIZE_MAX_BYTES, keys};

use crate::error::ClientError;

/// Longest topic name that brokers take, in bytes.
const TOPIC_LENGTH_MAX: usize = 127;

/// A message to send: topic, body, and properties.
///
/// Cloning shares the body. Building never fails: what a broker would refuse is said at the send.
#[derive(Debug, Clone, Default)]
pub struct Message {
    pub(crate) topic: String,
    pub(crate) body: Bytes,
    pub(crate) flag: i32,
    properties: Vec<(String, String)>,
}

impl Message {
    /// A message with no properties. The body is not copied when it is `Bytes`, `Vec` or static.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), body: body.into(), ..Self::default() }
    }

    /// Tag that consumers filter by.
    #[must_use]
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.property(keys::TAGS, tag)
    }

    /// Keys by which the message can be found later, separated by blanks. Brokers
    /// index the first 127 of them.
    #[must_use]
    pub fn keys(self, keys: impl Into<String>) -> Self {
        self.property(keys::KEYS, keys)
    }

    /// Delivery after the delay of this level: 1 to 18, 1 s to 2 h in the broker's default table.
    #[must_use]
    pub fn delay_level(self, level: u8) -> Self {
        self.property(keys::DELAY_TIME_LEVEL, level.to_string())
    }

    /// Whether the broker answers only when the message is as safe as it is configured to be. On by
    /// default; a message that is not waited for may be lost though its send succeeded.
    #[must_use]
    pub fn wait_stored(self, wait: bool) -> Self {
        self.property(keys::WAIT_STORE_MSG_OK, wait.to_string())
    }

    /// A property of the application, or one of RocketMQ's own by its name. An empty value removes
    /// it.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(name.into(), value.into());
        self
    }

    /// A number that travels beside the body and means what the application likes.
    #[must_use]
    pub fn flag(mut self, flag: i32) -> Self {
        self.flag = flag;
        self
    }

    /// Topic of the message.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Body of the message.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether its send ends when it is stored safely: what [`Message::wait_stored`] said, or the
    /// default. Anything but `true` says no, in any case of its letters.
    pub(crate) fn waits_for_store(&self) -> bool {
        self.get(keys::WAIT_STORE_MSG_OK).is_none_or(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(crate) fn set(&mut self, name: String, value: String) {
        self.properties.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            self.properties.push((name, value));
        }
    }

    /// Properties as they travel: `name 0x01 value 0x02` each.
    pub(crate) fn properties_text(&self) -> String {
        let mut text = String::with_capacity(self.properties_len());
        for (name, value) in &self.properties {
            properties::push_entry(&mut text, name, value);
        }
        text
    }

    fn properties_len(&self) -> usize {
        self.properties.iter().map(|(name, value)| properties::entry_len(name, value)).sum()
    }

    /// Refuses what no broker would take, before it costs a round trip.
    pub(crate) fn check(&self, body_size_max_bytes: usize) -> Result<(), ClientError> {
        check_topic(&self.topic)?;
        if self.body.is_empty() {
            return Err(ClientError::invalid("the body of a message must not be empty"));
        }
        if self.body.len() > body_size_max_bytes {
            let size = self.body.len();
            let what = format!("body of {size} bytes exceeds the limit of {body_size_max_bytes}");
            return Err(ClientError::invalid(what));
        }
        for (name, value) in &self.properties {
            if !properties::is_encodable(name) || !properties::is_encodable(value) {
                let what = format!("property {name:?} = {value:?}: empty name, or a byte 1 or 2");
                return Err(ClientError::invalid(what));
            }
        }
        let len = self.properties_len();
        if len > PROPERTIES_SIZE_MAX_BYTES {
            let what = format!("properties of {len} bytes, limit {PROPERTIES_SIZE_MAX_BYTES}");
            return Err(ClientError::invalid(what));
        }
        Ok(())
    }
}

/// Refuses topic names that no broker takes.
pub(crate) fn check_topic(topic: &str) -> Result<(), ClientError> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "%|-_".contains(c);
    if topic.is_empty() || topic.len() > TOPIC_LENGTH_MAX || !topic.chars().all(is_legal) {
        let what = format!(
            "topic {topic:?}: expected 1 to {TOPIC_LENGTH_MAX} letters, digits, `_`, `-`, `%`, `|`"
        );
        return Err(ClientError::invalid(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_property_wins_and_an_empty_one_removes_it() {
        let message = Message::new("T", "x").tag("A").keys("k1 k2").tag("B").keys("");
        assert_eq!(message.properties_text(), "TAGS\u{1}B\u{2}");
    }

    #[test]
    fn a_message_that_need_not_be_stored_says_so_as_brokers_read_it() {
        let hasty = Message::new("T", "x").wait_stored(false);
        assert_eq!(hasty.properties_text(), "WAIT\u{1}false\u{2}");
        assert_eq!(hasty.wait_stored(true).properties_text(), "WAIT\u{1}true\u{2}");
    }

    #[test]
    fn what_a_broker_would_refuse_is_refused_here() {
        let refused = [
            Message::new("", "x"),
            Message::new("a b", "x"),
            Message::new("t".repeat(128), "x"),
            Message::new("T", ""),
            Message::new("T", "12345"),
            Message::new("T", "x").property("a\u{1}", "b"),
            Message::new("T", "x").property("a", "b\u{2}"),
            Message::new("T", "x").property("a", "b".repeat(32_767)),
        ];
        for message in refused {
            message.check(4).expect_err("refused");
        }
        Message::new("%RETRY%g-1_2|x", "1234").check(4).expect("fine");
    }
}
