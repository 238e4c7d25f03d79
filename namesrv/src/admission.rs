//! What the route table takes at most: how many, how long, how much memory.

use ringmq_protocol::bodies::topic::TopicQueueMappingInfo;

use crate::by_broker::{ENTRY_BYTES, TOPIC_BYTES, Weight};
use crate::registration::{RegisterError, Registration};
use crate::routes::{Queues, RouteTable};

/// Topics of all brokers together; past it a registration that brings new ones is refused.
pub const TOPICS_MAX: usize = 1_000_000;

/// What brokers say of topics may take this much memory: a million topics that 14 brokers have, or
/// 100,000 that 200 have. Past it a registration that brings more is refused.
pub const ROUTES_MAX_BYTES: usize = 2 << 30;

/// The same for static topics, which are rare.
pub const MAPPINGS_MAX_BYTES: usize = 256 << 20;

/// One topic of one broker takes at most this.
const ROUTE_MAX_BYTES: usize = TOPIC_BYTES + ENTRY_BYTES + 2 * NAME_MAX_BYTES;

/// Broker addresses, names with one, and clusters; past it further brokers are refused.
pub const BROKERS_MAX: usize = 10_000;

/// Filter servers of one broker address, a process of Apache's before 4.3.
pub const FILTER_SERVERS_MAX: usize = 64;

/// Longest name of a topic, broker, cluster or zone, and longest address. The limits of the tables
/// count entries, so entries have one, too; those of brokers are smaller.
pub const NAME_MAX_BYTES: usize = 512;

impl RouteTable {
    /// Whether a registration may be taken.
    ///
    /// # Errors
    /// The first limit that it does not keep.
    pub(crate) fn check_admission(&self, broker: &Registration<'_>) -> Result<(), RegisterError> {
        let (zone, servers) =
            (broker.zone.into_iter(), broker.filter_servers.into_iter().flatten());
        let of_broker = [broker.cluster, broker.broker_name, broker.address, broker.ha_address];
        let of_topics = broker.topics.keys().chain(servers).map(String::as_str);
        check_names(of_broker.into_iter().chain(zone).chain(of_topics))?;
        check_names(broker.mappings.into_iter().flatten().flat_map(names_of_mapping))?;
        if broker.filter_servers.is_some_and(|servers| servers.len() > FILTER_SERVERS_MAX) {
            return Err(RegisterError::TooManyFilterServers);
        }
        let group = self.groups.get(broker.broker_name);
        let is_known = group.is_some_and(|group| group.addresses.contains_key(&broker.broker_id));
        if !is_known && broker.topics.len() == 1 {
            return Err(RegisterError::SingleTopicOfNewBroker);
        }
        if !self.has_room_for_broker(broker, is_known) {
            return Err(RegisterError::TooManyBrokers);
        }
        self.check_topics(broker)
    }

    /// An address can be a live one under several names, and a name may be in several clusters.
    fn has_room_for_broker(&self, broker: &Registration<'_>, is_known: bool) -> bool {
        let addresses = || self.groups.values().map(|group| group.addresses.len()).sum::<usize>();
        (self.live.contains_key(&broker.key()) || self.live.len() < BROKERS_MAX)
            && (is_known || addresses() < BROKERS_MAX)
            && (self.clusters.contains_key(broker.cluster) || self.clusters.len() < BROKERS_MAX)
    }

    fn check_topics(&self, broker: &Registration<'_>) -> Result<(), RegisterError> {
        // Counted one by one only where the sum could pass the limit.
        if self.topics.len() + broker.topics.len() > TOPICS_MAX {
            let new = broker.topics.keys().filter(|topic| !self.topics.contains(topic));
            if self.topics.len() + new.count() > TOPICS_MAX {
                return Err(RegisterError::TooManyTopics);
            }
        }
        if self.topics.bytes() + broker.topics.len() * ROUTE_MAX_BYTES > ROUTES_MAX_BYTES {
            let routes = broker.topics.iter();
            self.check_growth(
                routes.map(|(topic, config)| {
                    (topic.as_str(), broker.broker_name, Queues::of(config))
                }),
            )?;
        }
        let growth = broker.mappings.into_iter().flatten().map(|(topic, mapping)| {
            self.mappings.growth(topic, name_in_mapping(broker, mapping), mapping)
        });
        if self.mappings.bytes() + growth.sum::<usize>() > MAPPINGS_MAX_BYTES {
            return Err(RegisterError::TooManyMappings);
        }
        Ok(())
    }

    /// Whether routes of these topics and brokers fit; each is counted as if it came alone.
    pub(crate) fn check_growth<'a>(
        &self,
        routes: impl Iterator<Item = (&'a str, &'a str, Queues)>,
    ) -> Result<(), RegisterError> {
        let growth =
            routes.map(|(topic, broker, queues)| self.topics.growth(topic, broker, &queues));
        if self.topics.bytes() + growth.sum::<usize>() > ROUTES_MAX_BYTES {
            return Err(RegisterError::TooManyRoutes);
        }
        Ok(())
    }
}

impl Weight for Queues {
    fn bytes(&self) -> usize {
        0
    }
}

impl Weight for TopicQueueMappingInfo {
    fn bytes(&self) -> usize {
        let texts = [&self.bname, &self.scope, &self.topic];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        // A pair of numbers takes 8 bytes of a node that may be half empty.
        size_of::<Self>() + texts + 24 * self.curr_id_map.len()
    }
}

/// The broker name that a mapping is about.
pub(crate) fn name_in_mapping<'a>(
    broker: &Registration<'a>,
    mapping: &'a TopicQueueMappingInfo,
) -> &'a str {
    mapping.bname.as_deref().unwrap_or(broker.broker_name)
}

fn names_of_mapping<'a>(
    (topic, mapping): (&'a String, &'a TopicQueueMappingInfo),
) -> impl Iterator<Item = &'a str> {
    let texts = [&mapping.bname, &mapping.scope, &mapping.topic];
    std::iter::once(topic).chain(texts.into_iter().flatten()).map(String::as_str)
}

pub(crate) fn check_names<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> Result<(), RegisterError> {
    match names.into_iter().map(str::len).find(|len| *len > NAME_MAX_BYTES) {
        Some(len) => Err(RegisterError::NameTooLong(len)),
        None => Ok(()),
    }
}
