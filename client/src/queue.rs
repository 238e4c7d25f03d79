//! The name of one queue, and the order in which every client of a group must see queues.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ringmq_protocol::bodies;
use serde::{Deserialize, Serialize};

/// One queue of a topic on one broker name.
///
/// Ordered by topic, broker name and queue id, the order that Java clients sort by before they
/// divide queues among the members of a group. Cloning costs two reference counts.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageQueue {
    /// Topic as the broker knows it.
    pub topic: Arc<str>,
    /// Name of the broker set (master and slaves share it).
    pub broker_name: Arc<str>,
    /// Number of the queue on that broker, from 0.
    pub queue_id: i32,
}

impl MessageQueue {
    /// Names a queue.
    pub fn new(topic: impl Into<Arc<str>>, broker: impl Into<Arc<str>>, queue_id: i32) -> Self {
        Self { topic: topic.into(), broker_name: broker.into(), queue_id }
    }

    /// Whether a body names this queue.
    pub(crate) fn is(&self, named: &bodies::MessageQueue) -> bool {
        *self.topic == *named.topic
            && *self.broker_name == *named.broker_name
            && self.queue_id == named.queue_id
    }
}

/// What belongs to queues, by the name of their broker, in the order that it has.
pub(crate) fn by_broker<T>(
    items: impl IntoIterator<Item = T>,
    queue: impl Fn(&T) -> &MessageQueue,
) -> BTreeMap<Arc<str>, Vec<T>> {
    let mut groups: BTreeMap<Arc<str>, Vec<T>> = BTreeMap::new();
    for item in items {
        let broker = queue(&item).broker_name.clone();
        groups.entry(broker).or_default().push(item);
    }
    groups
}

impl From<&MessageQueue> for bodies::MessageQueue {
    fn from(queue: &MessageQueue) -> Self {
        Self {
            broker_name: queue.broker_name.to_string(),
            queue_id: queue.queue_id,
            topic: queue.topic.to_string(),
        }
    }
}

impl From<&bodies::MessageQueue> for MessageQueue {
    fn from(queue: &bodies::MessageQueue) -> Self {
        Self::new(queue.topic.as_str(), queue.broker_name.as_str(), queue.queue_id)
    }
}

impl fmt::Debug for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.topic, self.broker_name, self.queue_id)
    }
}

impl Ord for MessageQueue {
    fn cmp(&self, other: &Self) -> Ordering {
        java_order(&self.topic, &other.topic)
            .then_with(|| java_order(&self.broker_name, &other.broker_name))
            .then_with(|| self.queue_id.cmp(&other.queue_id))
    }
}

impl PartialOrd for MessageQueue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares two texts as Java's `String.compareTo` does: by UTF-16 unit, not by code point.
///
/// The two orders differ only for characters beyond the basic plane, but a group whose members
/// sort differently would consume queues twice.
pub fn java_order(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() {
        return a.cmp(b);
    }
    a.encode_utf16().cmp(b.encode_utf16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_sort_by_topic_then_broker_then_number() {
        let mut queues = [("b", "x", 0), ("a", "y", 0), ("a", "x", 10), ("a", "x", 9)]
            .map(|(topic, broker, id)| MessageQueue::new(topic, broker, id));
        queues.sort();
        let text: Vec<_> = queues.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["a@x:9", "a@x:10", "a@y:0", "b@x:0"]);
    }

    #[test]
    fn surrogate_pairs_sort_before_the_private_use_area_as_in_java() {
        let (emoji, private) = ("\u{1F600}", "\u{E000}");
        assert_eq!(java_order(emoji, private), Ordering::Less);
        assert_eq!(emoji.cmp(private), Ordering::Greater);
    }

    #[test]
    fn json_form_has_the_keys_of_the_protocol() {
        let text = serde_json::to_string(&MessageQueue::new("T1", "b1", 3)).expect("encodes");
        assert_eq!(text, r#"{"topic":"T1","brokerName":"b1","queueId":3}"#);
    }
}
