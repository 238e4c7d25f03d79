//! What a group wants to read, by topic, and how much memory that takes.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use ringmq_protocol::bodies::heartbeat::{SubscriptionData, is_tag_type};
use ringmq_protocol::tags;

use crate::filter::TagFilter;
use crate::view;

/// Topics of one group. Groups read a handful, a gateway's hundreds.
pub const TOPICS_MAX: usize = 10_000;

/// Tags of one subscription. What people write fits into a line; generators write some hundred. A
/// group's filter by the most takes 64 KiB, which all shards share.
pub const TAGS_MAX: usize = 1 << 14;

/// Subscriptions of all groups together, as [`Subscriptions::bytes`] counts them; every shard is
/// told the part that pulls need, at most as much again. 200,000 groups that read a topic each, and
/// their retry topic, take about 150 MiB.
pub const ALL_MAX_BYTES: usize = 512 << 20;

/// Beside its texts an entry takes its struct, two counters, and its share of a tree's node.
const ENTRY_BYTES: usize = size_of::<SubscriptionData>() + 128;

/// The subscriptions of a group.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions {
    by_topic: BTreeMap<String, Entry>,
    bytes: usize,
    /// Put together when it is first asked for.
    for_pulls: OnceCell<Arc<view::Subscriptions>>,
}

/// The subscription of a topic, and what pulls look at of it.
#[derive(Clone, Debug)]
struct Entry {
    data: Arc<SubscriptionData>,
    filter: TagFilter,
}

impl Entry {
    fn new(data: &SubscriptionData) -> Self {
        // An expression that names no tag selects nothing that we could name: let the client
        // decide.
        let is_tag = is_tag_type(&data.expression_type);
        let filter = if is_tag { TagFilter::parse(&data.sub_string) } else { TagFilter::All };
        Self { data: Arc::new(data.clone()), filter }
    }

    fn for_pulls(&self) -> view::Subscription {
        view::Subscription {
            version: self.data.sub_version,
            is_tag: is_tag_type(&self.data.expression_type),
            filter: self.filter.clone(),
        }
    }

    fn bytes(&self) -> usize {
        bytes_of(&self.data) + self.filter.shared_bytes()
    }
}

impl Subscriptions {
    /// The topics of `wanted`, each as the newest version of both says; entries that stay are
    /// shared.
    pub(super) fn merge(before: Option<&Self>, wanted: &[SubscriptionData]) -> Self {
        let mut merged = Self::default();
        for subscription in wanted {
            let topic = subscription.topic.as_str();
            let taken = merged.by_topic.get(topic);
            let known = taken.or_else(|| before.and_then(|before| before.by_topic.get(topic)));
            let newest = match known {
                Some(known) if known.data.sub_version >= subscription.sub_version => known.clone(),
                _ => Entry::new(subscription),
            };
            merged.bytes += newest.bytes();
            if let Some(replaced) = merged.by_topic.insert(topic.to_owned(), newest) {
                merged.bytes -= replaced.bytes();
            }
        }
        merged
    }

    /// Memory that they take, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of topics.
    pub fn len(&self) -> usize {
        self.by_topic.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    /// The subscription of a topic.
    pub fn get(&self, topic: &str) -> Option<&Arc<SubscriptionData>> {
        self.by_topic.get(topic).map(|entry| &entry.data)
    }

    /// What pulls look at.
    pub fn for_pulls(&self) -> Arc<view::Subscriptions> {
        let collect = || {
            let all = self.by_topic.iter();
            Arc::new(all.map(|(topic, entry)| (topic.clone(), entry.for_pulls())).collect())
        };
        Arc::clone(self.for_pulls.get_or_init(collect))
    }

    /// All of them, sorted by topic.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Arc<SubscriptionData>)> {
        self.by_topic.iter().map(|(topic, entry)| (topic, &entry.data))
    }

    pub(super) fn has_topics_of(&self, other: &Self) -> bool {
        self.by_topic.keys().eq(other.by_topic.keys())
    }

    /// To be asked when the topics are the same.
    pub(super) fn has_versions_of(&self, other: &Self) -> bool {
        let others = other.by_topic.values().map(|one| one.data.sub_version);
        self.by_topic.values().map(|one| one.data.sub_version).eq(others)
    }
}

/// How many tags a subscription names.
pub(super) fn tags_in(subscription: &SubscriptionData) -> usize {
    if is_tag_type(&subscription.expression_type) {
        tags::tags_of(&subscription.sub_string).count()
    } else {
        0
    }
}

fn bytes_of(subscription: &SubscriptionData) -> usize {
    let SubscriptionData { topic, sub_string, expression_type, tags_set, code_set, .. } =
        subscription;
    let tags: usize = tags_set.iter().map(|tag| 2 * size_of::<String>() + tag.len()).sum();
    // The topic is the key, too.
    let texts = 2 * topic.len() + sub_string.len() + expression_type.len();
    ENTRY_BYTES + texts + tags + size_of_val(code_set.as_slice())
}
