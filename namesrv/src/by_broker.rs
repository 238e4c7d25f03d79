//! What brokers say of topics, and how much memory that takes.

use std::collections::BTreeMap;

/// A topic takes its entry, and a node of the tree of its brokers, which has room for eleven.
pub(crate) const TOPIC_BYTES: usize = 512;

/// A broker's entry in it.
pub(crate) const ENTRY_BYTES: usize = 96;

/// What a value takes outside its own struct, and the struct where it is large.
pub(crate) trait Weight {
    fn bytes(&self) -> usize;
}

/// One value for each topic and broker name, sorted.
#[derive(Debug)]
pub(crate) struct ByBroker<T> {
    topics: BTreeMap<String, BTreeMap<String, T>>,
    bytes: usize,
}

impl<T> Default for ByBroker<T> {
    fn default() -> Self {
        Self { topics: BTreeMap::new(), bytes: 0 }
    }
}

impl<T: Weight> ByBroker<T> {
    /// Memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of topics.
    pub(crate) fn len(&self) -> usize {
        self.topics.len()
    }

    pub(crate) fn contains(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// What the brokers of a topic say.
    pub(crate) fn get(&self, topic: &str) -> Option<&BTreeMap<String, T>> {
        self.topics.get(topic)
    }

    /// All topics.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &BTreeMap<String, T>)> {
        self.topics.iter()
    }

    /// Bytes that it would grow by with this value, as long as nothing else is put in.
    pub(crate) fn growth(&self, topic: &str, broker: &str, value: &T) -> usize {
        let wanted = entry_bytes(broker, value);
        match self.topics.get(topic) {
            None => topic_bytes(topic) + wanted,
            Some(by_broker) => {
                let known = by_broker.get(broker).map_or(0, |known| entry_bytes(broker, known));
                wanted.saturating_sub(known)
            }
        }
    }

    /// As if it held that much more.
    #[cfg(test)]
    pub(crate) fn pretend(&mut self, more_bytes: usize) {
        self.bytes += more_bytes;
    }

    /// Puts in or replaces a value.
    pub(crate) fn insert(&mut self, topic: &str, broker: &str, value: T) {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), BTreeMap::new());
            self.bytes += topic_bytes(topic);
        }
        let by_broker = self.topics.get_mut(topic).expect("it was put there");
        self.bytes += entry_bytes(broker, &value);
        if let Some(replaced) = by_broker.insert(broker.to_owned(), value) {
            self.bytes -= entry_bytes(broker, &replaced);
        }
    }

    /// Changes the values of the brokers that are `wanted`, not their weight; returns how many
    /// there are.
    pub(crate) fn change(
        &mut self,
        wanted: impl Fn(&str) -> bool,
        change: impl Fn(&mut T),
    ) -> usize {
        let values = self.topics.values_mut().flatten().filter(|(broker, _)| wanted(broker));
        values.map(|(_, value)| change(value)).count()
    }

    /// Keeps the values that `keep` says of topic and broker, and topics that have any left.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        let bytes = &mut self.bytes;
        self.topics.retain(|topic, by_broker| retain_of(topic, by_broker, bytes, &mut keep));
    }

    /// As [`ByBroker::retain`], of one topic.
    pub(crate) fn retain_of(&mut self, topic: &str, mut keep: impl FnMut(&str) -> bool) {
        let Some(by_broker) = self.topics.get_mut(topic) else { return };
        let bytes = &mut self.bytes;
        if !retain_of(topic, by_broker, bytes, &mut |_, broker| keep(broker)) {
            self.topics.remove(topic);
        }
    }
}

/// Whether the topic has brokers left.
fn retain_of<T: Weight>(
    topic: &str,
    by_broker: &mut BTreeMap<String, T>,
    bytes: &mut usize,
    keep: &mut impl FnMut(&str, &str) -> bool,
) -> bool {
    by_broker.retain(|broker, value| {
        let is_kept = keep(topic, broker);
        if !is_kept {
            *bytes -= entry_bytes(broker, value);
        }
        is_kept
    });
    if by_broker.is_empty() {
        *bytes -= topic_bytes(topic);
    }
    !by_broker.is_empty()
}

fn topic_bytes(topic: &str) -> usize {
    TOPIC_BYTES + topic.len()
}

fn entry_bytes<T: Weight>(broker: &str, value: &T) -> usize {
    ENTRY_BYTES + broker.len() + value.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weight for &'static str {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn what_comes_is_what_it_said_it_would_grow_by_and_what_goes_is_given_back() {
        let mut table = ByBroker::default();
        let texts = ["", "a longer one", "long", "the longest of all of them"];
        for round in 0..3 {
            for (number, (topic, broker)) in
                [("t", "a"), ("t", "b"), ("u", "a"), ("t", "a")].into_iter().enumerate()
            {
                let value = texts[(number + round) % texts.len()];
                let (before, growth) = (table.bytes(), table.growth(topic, broker, &value));
                table.insert(topic, broker, value);
                let grown = table.bytes().saturating_sub(before);
                assert_eq!(grown, growth, "{round} {topic} {broker}");
            }
        }
        assert_eq!((table.len(), table.change(|broker| broker == "a", |_| {})), (2, 2));
        table.retain(|_, broker| broker != "b");
        assert_eq!(table.get("t").map(BTreeMap::len), Some(1));
        table.retain_of("t", |broker| broker != "a");
        assert!(!table.contains("t") && table.contains("u"));
        table.retain(|topic, _| topic != "u");
        assert_eq!((table.len(), table.bytes()), (0, 0));
    }
}
