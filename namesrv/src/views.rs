//! What clients, brokers and tools ask of the route table.

use std::collections::BTreeMap;

use ringmq_protocol::bodies::route::{
    BrokerData, BrokerMemberGroup, ClusterInfo, QueueData, TopicRouteData,
};
use ringmq_protocol::bodies::topic::TopicList;
use ringmq_protocol::names::{MASTER_ID, perm, topic_flag};

use crate::routes::{BrokerGroup, BrokerKey, Queues, RouteTable};

/// Topics with this start are never routed to an acting master, as in Apache.
const SYNC_MEMBER_TOPIC_START: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

/// Which unit topics a tool asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitTopics {
    /// Unit topics (311).
    Unit,
    /// Topics with unit subscriptions (312).
    Subscribed,
    /// Topics with unit subscriptions that are not unit topics themselves (313).
    SubscribedNotUnit,
}

impl UnitTopics {
    fn contains(self, sys_flag: i32) -> bool {
        let is_unit = sys_flag & topic_flag::UNIT != 0;
        let is_subscribed = sys_flag & topic_flag::UNIT_SUBSCRIPTION != 0;
        match self {
            Self::Unit => is_unit,
            Self::Subscribed => is_subscribed,
            Self::SubscribedNotUnit => is_subscribed && !is_unit,
        }
    }
}

impl RouteTable {
    /// Brokers and queues of a topic; `None` when nobody has it.
    pub fn route(&self, topic: &str) -> Option<TopicRouteData> {
        let by_broker = self.topics.get(topic)?;
        let mut route = TopicRouteData::default();
        for (name, queues) in by_broker {
            route.queue_datas.push(queues.to_data(name));
            let Some(group) = self.groups.get(name) else { continue };
            route.broker_datas.push(group.to_data(name));
            self.add_filter_servers(group, &mut route);
        }
        if route.broker_datas.is_empty() {
            return None;
        }
        route.topic_queue_mapping_by_broker = self.mappings.get(topic).cloned();
        if self.rules.support_acting_master && !topic.starts_with(SYNC_MEMBER_TOPIC_START) {
            show_acting_masters(&mut route);
        }
        Some(route)
    }

    fn add_filter_servers(&self, group: &BrokerGroup, route: &mut TopicRouteData) {
        if self.filter_servers.is_empty() {
            return;
        }
        for address in group.addresses.values() {
            let key = BrokerKey { cluster: group.cluster.clone(), address: address.clone() };
            if let Some(servers) = self.filter_servers.get(&key) {
                route.filter_server_table.insert(address.clone(), servers.clone());
            }
        }
    }

    /// All clusters and brokers.
    pub fn cluster_info(&self) -> ClusterInfo {
        let brokers = self.groups.iter();
        let clusters = self.clusters.iter();
        ClusterInfo {
            broker_addr_table: brokers
                .map(|(name, group)| (name.clone(), group.to_data(name)))
                .collect(),
            cluster_addr_table: clusters
                .map(|(cluster, names)| (cluster.clone(), names.iter().cloned().collect()))
                .collect(),
        }
    }

    /// The members of a broker name; without addresses when it is unknown.
    pub fn member_group(&self, cluster: &str, broker_name: &str) -> BrokerMemberGroup {
        let group = self.groups.get(broker_name);
        BrokerMemberGroup {
            broker_addrs: group.map(|group| group.addresses.clone()).unwrap_or_default(),
            broker_name: broker_name.to_owned(),
            cluster: cluster.to_owned(),
        }
    }

    /// All topics.
    pub fn all_topics(&self) -> TopicList<&str> {
        self.topics_where(|_| true)
    }

    /// The topics of a cluster's brokers; none when it is unknown.
    pub fn topics_of_cluster(&self, cluster: &str) -> TopicList<&str> {
        let names = self.clusters.get(cluster);
        self.topics_where(|by_broker| {
            names.is_some_and(|names| by_broker.keys().any(|name| names.contains(name)))
        })
    }

    /// Unit topics; the flags of the first broker decide, as they should agree.
    pub fn unit_topics(&self, which: UnitTopics) -> TopicList<&str> {
        self.topics_where(|by_broker| {
            by_broker.values().next().is_some_and(|queues| which.contains(queues.sys_flag))
        })
    }

    /// Lends the names: there may be a million, far more than an answer has room for.
    fn topics_where(&self, wanted: impl Fn(&BTreeMap<String, Queues>) -> bool) -> TopicList<&str> {
        let topics = self.topics.iter().filter(|(_, by_broker)| wanted(by_broker));
        TopicList {
            broker_addr: None,
            topic_list: topics.map(|(topic, _)| topic.as_str()).collect(),
        }
    }

    /// Names of clusters and brokers, which are topics too, and the address of some broker.
    pub fn system_topics(&self) -> TopicList<&str> {
        let names = self.clusters.iter().flat_map(|(cluster, names)| {
            std::iter::once(cluster.as_str()).chain(names.iter().map(String::as_str))
        });
        let mut addresses = self.groups.values().filter_map(BrokerGroup::min);
        TopicList {
            broker_addr: addresses.next().map(|(_, address)| address.as_str()),
            topic_list: names.collect(),
        }
    }
}

impl BrokerGroup {
    fn to_data(&self, name: &str) -> BrokerData {
        BrokerData {
            broker_addrs: self.addresses.clone(),
            broker_name: name.to_owned(),
            cluster: self.cluster.clone(),
            enable_acting_master: self.enable_acting_master,
            zone_name: self.zone.clone(),
        }
    }
}

impl Queues {
    fn to_data(self, broker_name: &str) -> QueueData {
        QueueData {
            broker_name: broker_name.to_owned(),
            perm: self.perm,
            read_queue_nums: self.read,
            topic_sys_flag: self.sys_flag,
            write_queue_nums: self.write,
        }
    }
}

/// Shows the smallest slave as master where there is none and the queues are read-only.
fn show_acting_masters(route: &mut TopicRouteData) {
    for broker in &mut route.broker_datas {
        if !broker.enable_acting_master || broker.broker_addrs.contains_key(&MASTER_ID) {
            continue;
        }
        let queues = route.queue_datas.iter().find(|data| data.broker_name == broker.broker_name);
        let is_read_only = queues.is_some_and(|data| data.perm & perm::WRITE == 0);
        if is_read_only && let Some((_, address)) = broker.broker_addrs.pop_first() {
            broker.broker_addrs.insert(MASTER_ID, address);
        }
    }
}

/// Keeps the brokers of a zone, and those without a master: reading from another zone beats not
/// reading. Their queues and filter servers stay, the others go.
pub fn keep_zone(route: &mut TopicRouteData, zone: &str) {
    let is_kept = |broker: &BrokerData| {
        !broker.broker_addrs.contains_key(&MASTER_ID)
            || broker.zone_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(zone))
    };
    let (kept, removed): (Vec<_>, Vec<_>) =
        std::mem::take(&mut route.broker_datas).into_iter().partition(is_kept);
    route.broker_datas = kept;
    for broker in removed {
        route.queue_datas.retain(|queues| queues.broker_name != broker.broker_name);
        for address in broker.broker_addrs.values() {
            route.filter_server_table.remove(address);
        }
    }
}
