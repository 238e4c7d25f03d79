//! What a name server's answer means: the queues to send to, the queues to pull from, and the
//! addresses of brokers. Pure: no connection is known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringmq_protocol::bodies::route::{BrokerData, QueueData, TopicRouteData};
use ringmq_protocol::names::{MASTER_ID, perm};

use crate::queue::MessageQueue;

/// Queues of a topic that this client is willing to hold; 100 bytes each make 6 MiB. The numbers
/// in an answer are 32 bits wide and come from a peer.
pub const QUEUES_PER_TOPIC_MAX: usize = 65_536;

/// One topic as this client sees it. Both lists are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicRoute {
    /// Queues to send to: writable, on brokers that have a master.
    pub publish: Vec<MessageQueue>,
    /// Queues to pull from: readable.
    pub subscribe: Vec<MessageQueue>,
    /// Broker sets that hold the topic.
    pub brokers: Vec<BrokerSet>,
}

/// A master and its slaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerSet {
    /// Name that master and slaves share.
    pub name: Arc<str>,
    /// Cluster they belong to.
    pub cluster: String,
    /// Address (`host:port`) by broker id; 0 is the master.
    pub addresses: BTreeMap<i64, String>,
}

/// An answer that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route of {topic} claims {queues} queues, the limit is {QUEUES_PER_TOPIC_MAX}")]
pub struct RouteTooLarge {
    /// The topic.
    pub topic: String,
    /// What the answer adds up to.
    pub queues: i64,
}

impl TopicRoute {
    /// Reads an answer for `topic`.
    ///
    /// # Errors
    /// [`RouteTooLarge`]: more queues than this client holds.
    pub fn new(topic: &str, data: &TopicRouteData) -> Result<Self, RouteTooLarge> {
        let brokers: Vec<_> = data.broker_datas.iter().map(broker_set).collect();
        let has_master = |name: &str| {
            let set = brokers.iter().find(|set| &*set.name == name);
            set.is_some_and(|set| set.addresses.contains_key(&MASTER_ID))
        };
        let subscribe = data.queue_datas.iter().filter(|queues| queues.perm & perm::READ != 0);
        let subscribe = subscribe.map(|q| (q.broker_name.as_str(), q.read_queue_nums));
        let subscribe = list(topic, subscribe)?;
        let ordered = data.order_topic_conf.as_deref().filter(|text| !text.is_empty());
        let publish = if let Some(text) = ordered {
            list(topic, ordered_queues(text))?
        } else {
            let writable = |q: &&QueueData| q.perm & perm::WRITE != 0 && has_master(&q.broker_name);
            let queues = data.queue_datas.iter().filter(writable);
            list(topic, queues.map(|q| (q.broker_name.as_str(), q.write_queue_nums)))?
        };
        Ok(Self { publish, subscribe, brokers })
    }

    /// The route that a topic will have once the first message creates it: that of the `template`
    /// topic, with at most `queues_max` queues per broker. Nothing can be consumed from it yet.
    ///
    /// # Errors
    /// See [`TopicRoute::new`].
    pub fn of_topic_to_create(
        topic: &str,
        template: &TopicRouteData,
        queues_max: i32,
    ) -> Result<Self, RouteTooLarge> {
        let mut data = template.clone();
        data.order_topic_conf = None;
        for queues in &mut data.queue_datas {
            let count = queues.read_queue_nums.min(queues_max);
            (queues.read_queue_nums, queues.write_queue_nums) = (count, count);
        }
        let route = Self::new(topic, &data)?;
        Ok(Self { subscribe: Vec::new(), ..route })
    }
}

fn broker_set(data: &BrokerData) -> BrokerSet {
    BrokerSet {
        name: data.broker_name.as_str().into(),
        cluster: data.cluster.clone(),
        addresses: data.broker_addrs.iter().map(|(id, address)| (*id, address.clone())).collect(),
    }
}

/// `broker-a:4;broker-b:2`; entries that do not read so are left out, as Java clients do.
fn ordered_queues(text: &str) -> impl Iterator<Item = (&str, i32)> + Clone {
    text.split(';').filter_map(|entry| {
        let (broker, count) = entry.split_once(':')?;
        Some((broker, count.trim().parse().ok()?))
    })
}

fn list<'a>(
    topic: &str,
    counts: impl Iterator<Item = (&'a str, i32)> + Clone,
) -> Result<Vec<MessageQueue>, RouteTooLarge> {
    let total: i64 = counts.clone().map(|(_, count)| i64::from(count.max(0))).sum();
    if total > QUEUES_PER_TOPIC_MAX as i64 {
        return Err(RouteTooLarge { topic: topic.into(), queues: total });
    }
    let topic: Arc<str> = topic.into();
    let mut queues = Vec::new();
    for (broker, count) in counts {
        let broker: Arc<str> = broker.into();
        queues.extend((0..count).map(|id| MessageQueue::new(topic.clone(), broker.clone(), id)));
    }
    queues.sort();
    queues.dedup();
    Ok(queues)
}

/// Addresses of all brokers that any known route names.
#[derive(Debug, Default)]
pub struct BrokerTable {
    sets: BTreeMap<Arc<str>, BrokerSet>,
}

/// Where to send a request for a broker set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// `host:port`.
    pub address: String,
    /// Whether it is a slave: it takes no commits and no sends.
    pub is_slave: bool,
}

impl BrokerTable {
    /// Takes over what a route says of its brokers; `true` if any of that is new.
    pub fn learn(&mut self, route: &TopicRoute) -> bool {
        let mut is_new = false;
        for set in &route.brokers {
            is_new |= self.sets.insert(set.name.clone(), set.clone()).as_ref() != Some(set);
        }
        is_new
    }

    /// Forgets brokers that none of `routes` names.
    pub fn keep_only<'a>(&mut self, routes: impl Iterator<Item = &'a TopicRoute> + Clone) {
        self.sets.retain(|name, _| {
            routes.clone().any(|route| route.brokers.iter().any(|set| set.name == *name))
        });
    }

    /// Address of the master of a broker set.
    pub fn master(&self, name: &str) -> Option<&str> {
        self.sets.get(name)?.addresses.get(&MASTER_ID).map(String::as_str)
    }

    /// Where to read from: broker `preferred` (what the last answer suggested), else the one after
    /// it if it is a slave, else any.
    pub fn reader(&self, name: &str, preferred: i64) -> Option<BrokerAddress> {
        let addresses = &self.sets.get(name)?.addresses;
        let mut found = addresses.get_key_value(&preferred);
        if found.is_none() && preferred != MASTER_ID {
            found = addresses.get_key_value(&preferred.saturating_add(1));
        }
        if found.is_none() {
            found = addresses.iter().next();
        }
        found.map(|(id, address)| BrokerAddress {
            address: address.clone(),
            is_slave: *id != MASTER_ID,
        })
    }

    /// Every broker: name, id, address.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<str>, i64, &str)> {
        self.sets.values().flat_map(|set| {
            set.addresses.iter().map(|(id, address)| (&set.name, *id, address.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str) -> TopicRouteData {
        ringmq_protocol::json::from_slice(text.as_bytes()).expect("a route")
    }

    fn two_brokers() -> TopicRouteData {
        data(
            r#"{"brokerDatas":[
                {"brokerAddrs":{"0":"10.0.0.1:10911","1":"10.0.0.2:10911"},
                 "brokerName":"b1","cluster":"c"},
                {"brokerAddrs":{"1":"10.0.0.3:10911"},"brokerName":"b2","cluster":"c"}],
              "filterServerTable":{},
              "queueDatas":[
                {"brokerName":"b2","perm":6,"readQueueNums":1,"writeQueueNums":1},
                {"brokerName":"b1","perm":6,"readQueueNums":2,"writeQueueNums":3}]}"#,
        )
    }

    fn text(queues: &[MessageQueue]) -> String {
        let names: Vec<_> = queues.iter().map(ToString::to_string).collect();
        names.join(" ")
    }

    #[test]
    fn publish_needs_a_master_and_subscribe_does_not() {
        let route = TopicRoute::new("T", &two_brokers()).expect("fits");
        assert_eq!(text(&route.publish), "T@b1:0 T@b1:1 T@b1:2");
        assert_eq!(text(&route.subscribe), "T@b1:0 T@b1:1 T@b2:0");
    }

    #[test]
    fn permissions_hide_queues() {
        let mut route = two_brokers();
        route.queue_datas[1].perm = 4;
        assert_eq!(TopicRoute::new("T", &route).expect("fits").publish, []);
        route.queue_datas[1].perm = 2;
        assert_eq!(text(&TopicRoute::new("T", &route).expect("fits").subscribe), "T@b2:0");
    }

    #[test]
    fn an_ordered_topic_is_published_to_exactly_the_configured_queues() {
        let mut route = two_brokers();
        route.order_topic_conf = Some("b2:2;b1:x;broken;b1:1".into());
        let route = TopicRoute::new("T", &route).expect("fits");
        assert_eq!(text(&route.publish), "T@b1:0 T@b2:0 T@b2:1");
    }

    #[test]
    fn a_topic_to_create_has_few_queues_and_nothing_to_consume() {
        let route = TopicRoute::of_topic_to_create("New", &two_brokers(), 1).expect("fits");
        assert_eq!(text(&route.publish), "New@b1:0");
        assert_eq!(route.subscribe, []);
    }

    #[test]
    fn absurd_numbers_are_refused_before_memory_is_taken() {
        let mut route = two_brokers();
        route.queue_datas[0].read_queue_nums = i32::MAX;
        let refused = TopicRoute::new("T", &route).expect_err("too large");
        assert_eq!(refused.queues, i64::from(i32::MAX) + 2);
        route.queue_datas[0].read_queue_nums = -5;
        assert_eq!(TopicRoute::new("T", &route).expect("fits").subscribe.len(), 2);
    }

    #[test]
    fn readers_go_where_the_broker_suggests_and_else_where_they_can() {
        let mut table = BrokerTable::default();
        let route = TopicRoute::new("T", &two_brokers()).expect("fits");
        assert!(table.learn(&route) && !table.learn(&route), "new once");
        let reader = |name, id| table.reader(name, id).map(|found| found.address);
        assert_eq!(reader("b1", 1).as_deref(), Some("10.0.0.2:10911"));
        assert_eq!(reader("b1", 7).as_deref(), Some("10.0.0.1:10911"));
        assert_eq!(reader("b1", i64::MAX).as_deref(), Some("10.0.0.1:10911"), "any number comes");
        assert_eq!(reader("b2", 0).as_deref(), Some("10.0.0.3:10911"));
        assert_eq!(table.master("b2"), None);
    }
}
