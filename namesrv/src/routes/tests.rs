//! The rules of the route table.

use ringmq_protocol::bodies::topic::TopicQueueMappingInfo;

use super::*;
use crate::admission::{
    BROKERS_MAX, FILTER_SERVERS_MAX, MAPPINGS_MAX_BYTES, NAME_MAX_BYTES, ROUTES_MAX_BYTES,
};
use crate::registration::{MasterAddresses, Registered, Registration};
use crate::views::{UnitTopics, keep_zone};

const NOW: Instant = Instant::from_nanos(1_000_000_000_000);

/// A broker as the tests describe it.
#[derive(Clone)]
struct Broker {
    cluster: &'static str,
    name: &'static str,
    id: i64,
    address: &'static str,
    zone: Option<&'static str>,
    acting: Option<bool>,
    timeout: Option<Duration>,
    version: DataVersion,
    topics: BTreeMap<String, TopicConfig>,
    mappings: BTreeMap<String, TopicQueueMappingInfo>,
    filter_servers: Vec<String>,
    connection: u64,
}

fn version(counter: i64) -> DataVersion {
    DataVersion { counter, ..DataVersion::default() }
}

fn topic(perm: i32) -> TopicConfig {
    TopicConfig { perm, read_queue_nums: 4, write_queue_nums: 4, ..TopicConfig::default() }
}

fn broker(name: &'static str, id: i64, address: &'static str) -> Broker {
    Broker {
        cluster: "c",
        name,
        id,
        address,
        zone: None,
        acting: Some(false),
        timeout: None,
        version: version(1),
        topics: ["T1", "T2"].map(|name| (name.to_owned(), topic(6))).into(),
        mappings: BTreeMap::new(),
        filter_servers: Vec::new(),
        connection: 1,
    }
}

impl Broker {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn register(&self, table: &mut RouteTable, now: Instant) -> Result<Registered, RegisterError> {
        let registration = Registration {
            cluster: self.cluster,
            broker_name: self.name,
            broker_id: self.id,
            address: self.address,
            ha_address: "ha",
            zone: self.zone,
            timeout: self.timeout,
            enable_acting_master: self.acting,
            data_version: self.version,
            topics: &self.topics,
            mappings: Some(&self.mappings),
            filter_servers: Some(&self.filter_servers),
            connection: self.connection,
        };
        table.register(&registration, now)
    }
}

fn table_of(brokers: &[Broker]) -> RouteTable {
    let mut table = RouteTable::default();
    for broker in brokers {
        broker.register(&mut table, NOW).expect("accepted");
    }
    table
}

/// Checks a route written as `name id=address,... perm;...`.
fn check_route(table: &RouteTable, topic: &str, expected: &str) {
    let found = table.route(topic).map(|route| {
        let brokers = route.broker_datas.iter().map(|broker| {
            let addresses: Vec<_> =
                broker.broker_addrs.iter().map(|(id, address)| format!("{id}={address}")).collect();
            let mut queues = route.queue_datas.iter();
            let queues = queues.find(|queues| queues.broker_name == broker.broker_name);
            let perm = queues.map_or(-1, |queues| queues.perm);
            format!("{} {} {perm}", broker.broker_name, addresses.join(","))
        });
        brokers.collect::<Vec<_>>().join(";")
    });
    assert_eq!(found.as_deref().unwrap_or("none"), expected, "route of {topic}");
}

#[test]
fn a_route_shows_all_brokers_of_a_topic_until_they_unregister() {
    let mut table = table_of(&[broker("a", 0, "a0"), broker("a", 1, "a1"), broker("b", 0, "b0")]);
    check_route(&table, "T1", "a 0=a0,1=a1 6;b 0=b0 6");
    check_route(&table, "T3", "none");
    table.unregister("c", "a", "a1");
    check_route(&table, "T1", "a 0=a0 6;b 0=b0 6");
    table.unregister("c", "a", "a0");
    check_route(&table, "T1", "b 0=b0 6");
    table.unregister("c", "b", "b0");
    check_route(&table, "T1", "none");
    assert_eq!(table.cluster_info(), Default::default());
}

#[test]
fn a_single_topic_is_refused_from_a_new_broker_and_taken_from_a_known_one() {
    let single = broker("a", 0, "a0").with(|broker| {
        broker.topics = [("T3".to_owned(), topic(6))].into();
        broker.version = version(2);
    });
    let mut table = RouteTable::default();
    assert_eq!(single.register(&mut table, NOW), Err(RegisterError::SingleTopicOfNewBroker));
    assert_eq!(table.cluster_info(), Default::default(), "nothing is left of it");
    broker("a", 0, "a0").register(&mut table, NOW).expect("accepted");
    single.register(&mut table, NOW).expect("accepted");
    check_route(&table, "T1", "a 0=a0 6");
    check_route(&table, "T3", "a 0=a0 6");
    assert_eq!(table.data_version("c", "a0"), Some(&version(2)));
}

#[test]
fn the_same_data_version_leaves_a_wiped_permission_alone() {
    let mut table = table_of(&[broker("a", 0, "a0")]);
    assert_eq!(table.wipe_write_permission("a"), 2);
    broker("a", 0, "a0").register(&mut table, NOW).expect("accepted");
    check_route(&table, "T1", "a 0=a0 4");
    let newer = broker("a", 0, "a0").with(|broker| broker.version = version(2));
    newer.register(&mut table, NOW).expect("accepted");
    check_route(&table, "T1", "a 0=a0 6");
    assert_eq!(table.add_write_permission("b"), 0);
}

#[test]
fn a_deleted_topic_comes_back_with_the_next_registration() {
    let mut table = table_of(&[broker("a", 0, "a0"), broker("b", 0, "b0")]);
    table.delete_topic("T1", None);
    check_route(&table, "T1", "none");
    broker("a", 0, "a0").register(&mut table, NOW).expect("accepted");
    check_route(&table, "T1", "a 0=a0 6");
    table.delete_topic("T1", Some("other"));
    check_route(&table, "T1", "a 0=a0 6");
    table.delete_topic("T1", Some("c"));
    check_route(&table, "T1", "none");
}

#[test]
fn topics_missing_from_a_registration_stay_unless_the_rule_says_otherwise() {
    let whole = broker("a", 0, "a0").with(|broker| {
        broker.topics.insert("T3".to_owned(), topic(6));
    });
    let fewer = whole.clone().with(|broker| {
        broker.topics.remove("T2");
        broker.version = version(2);
    });
    let mut table = table_of(&[whole, fewer.clone()]);
    check_route(&table, "T2", "a 0=a0 6");
    table.set_rules(RouteRules { delete_topic_with_registration: true, ..table.rules });
    fewer.register(&mut table, NOW).expect("accepted");
    check_route(&table, "T2", "none");
    check_route(&table, "T1", "a 0=a0 6");
}

#[test]
fn a_change_of_one_topic_removes_no_other() {
    let mut table = table_of(&[broker("a", 0, "a0")]);
    table.set_rules(RouteRules { delete_topic_with_registration: true, ..table.rules });
    let new = broker("a", 0, "a0").with(|broker| {
        broker.topics = [("T3".to_owned(), topic(6))].into();
        broker.version = version(2);
    });
    new.register(&mut table, NOW).expect("accepted");
    for name in ["T1", "T2", "T3"] {
        check_route(&table, name, "a 0=a0 6");
    }
}

#[test]
fn slaves_learn_their_master_and_write_no_topics() {
    let mut table = table_of(&[broker("a", 0, "a0")]);
    let slave = broker("a", 1, "a1").with(|broker| {
        broker.topics.insert("T9".to_owned(), topic(6));
    });
    let registered = slave.register(&mut table, NOW).expect("accepted");
    let master = MasterAddresses { address: "a0".to_owned(), ha_address: "ha".to_owned() };
    assert_eq!(registered.master, Some(master));
    check_route(&table, "T9", "none");
}

#[test]
fn one_address_has_one_id_and_a_lost_switch_changes_nothing() {
    let mut table = table_of(&[broker("a", 0, "x"), broker("a", 1, "y")]);
    broker("a", 0, "y").register(&mut table, NOW).expect("accepted");
    check_route(&table, "T1", "a 0=y 6");

    let newer = DataVersion { state_version: 2, ..version(1) };
    let winner = broker("a", 0, "y").with(|broker| broker.version = newer);
    winner.register(&mut table, NOW).expect("accepted");
    let loser = broker("a", 0, "x").register(&mut table, NOW);
    assert_eq!(loser, Ok(Registered::default()));
    check_route(&table, "T1", "a 0=y 6");
    assert!(table.data_version("c", "x").is_none());
}

#[test]
fn brokers_expire_after_their_own_time_or_120_seconds() {
    let quick = broker("b", 0, "b0").with(|broker| {
        broker.timeout = Some(Duration::from_secs(10));
        broker.connection = 2;
    });
    let mut table = table_of(&[broker("a", 0, "a0"), quick]);
    let after = |seconds| NOW + Duration::from_secs(seconds);
    assert_eq!(table.expire(after(10)).0, [0u64; 0]);
    table.heartbeat("c", "b0", after(5));
    assert_eq!(table.expire(after(15)).0, [0u64; 0]);
    assert_eq!(table.expire(after(16)).0, [2]);
    check_route(&table, "T1", "a 0=a0 6");
    assert_eq!(table.expire(after(121)).0, [1]);
    check_route(&table, "T1", "none");
    assert_eq!(table.expire(after(1000)).0, [0u64; 0]);
}

#[test]
fn a_closed_connection_takes_the_brokers_that_registered_on_it_last() {
    let mut table = table_of(&[broker("a", 0, "a0"), broker("b", 0, "b0")]);
    let again = broker("b", 0, "b0").with(|broker| broker.connection = 2);
    again.register(&mut table, NOW).expect("accepted");
    table.connection_closed(1);
    check_route(&table, "T1", "b 0=b0 6");
    table.connection_closed(3);
    check_route(&table, "T1", "b 0=b0 6");
}

#[test]
fn a_slave_acts_as_master_where_that_is_wanted() {
    let acting = |id, address| {
        broker("a", id, address).with(|broker| {
            broker.acting = Some(true);
            broker.connection = id.unsigned_abs();
        })
    };
    let mut table = table_of(&[acting(0, "a0"), acting(1, "a1"), acting(2, "a2")]);
    let change = table.unregister("c", "a", "a0").expect("the smallest id changed");
    assert_eq!((change.min_broker_id, change.offline_address.as_deref()), (1, Some("a0")));
    assert_eq!(change.recipients, ["a1", "a2"]);
    check_route(&table, "T1", "a 1=a1,2=a2 4");
    table.set_rules(RouteRules { support_acting_master: true, ..table.rules });
    check_route(&table, "T1", "a 0=a1,2=a2 4");
    let newer = acting(1, "a1").with(|broker| broker.version = version(5));
    newer.register(&mut table, NOW).expect("accepted");
    check_route(&table, "T1", "a 0=a1,2=a2 4");

    let change = acting(0, "a0").register(&mut table, NOW).expect("accepted").min_id_change;
    let change = change.expect("the smallest id changed");
    assert_eq!((change.min_broker_id, change.ha_address.as_deref()), (0, Some("ha")));
    assert_eq!(change.recipients, ["a1", "a2"]);
    check_route(&table, "T1", "a 0=a0,1=a1,2=a2 6");
}

#[test]
fn all_that_a_closed_connection_stood_for_leaves_at_once() {
    let of = |name, id, address, connection| {
        broker(name, id, address).with(|broker| {
            broker.acting = Some(true);
            broker.connection = connection;
        })
    };
    let gone = [of("a", 0, "a0", 7), of("b", 0, "b0", 7), of("b", 1, "b1", 7)];
    let left_behind = [of("c", 0, "c0", 7), of("c", 1, "c1", 8), of("d", 0, "d0", 9)];
    let mut table = table_of(&[gone, left_behind].concat());
    check_route(&table, "T1", "a 0=a0 6;b 0=b0,1=b1 6;c 0=c0,1=c1 6;d 0=d0 6");
    let changes = table.connection_closed(7);
    // `b` has a new smallest id, too, until its last address leaves.
    let told = changes.iter().map(|change| (change.broker_name.as_str(), change.min_broker_id));
    assert_eq!(told.collect::<Vec<_>>(), [("b", 1), ("c", 1)]);
    check_route(&table, "T1", "c 1=c1 4;d 0=d0 6");
    check_route(&table, "T2", "c 1=c1 4;d 0=d0 6");
    assert!(table.connection_closed(7).is_empty());
}

#[test]
fn a_zone_keeps_its_brokers_and_those_without_a_master() {
    let zoned =
        |name, id, address, zone| broker(name, id, address).with(|broker| broker.zone = Some(zone));
    let mut table = table_of(&[
        zoned("a", 0, "a0", "Z1"),
        zoned("b", 0, "b0", "z2"),
        zoned("d", 0, "d0", "z2"),
    ]);
    zoned("d", 1, "d1", "z2").register(&mut table, NOW).expect("accepted");
    table.unregister("c", "d", "d0");
    let mut route = table.route("T1").expect("known");
    keep_zone(&mut route, "z1");
    let names = route.broker_datas.iter().map(|broker| broker.broker_name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["a", "d"]);
    assert_eq!(route.queue_datas.len(), 2);
}

#[test]
fn topic_lists_are_by_cluster_and_by_unit_flags() {
    let other = broker("b", 0, "b0").with(|broker| {
        broker.cluster = "d";
        let flagged = |flag| TopicConfig { topic_sys_flag: flag, ..topic(6) };
        broker.topics = [("U".into(), flagged(1)), ("S".into(), flagged(2))].into();
    });
    let table = table_of(&[broker("a", 0, "a0"), other]);
    assert_eq!(table.all_topics().topic_list, ["S", "T1", "T2", "U"]);
    assert_eq!(table.topics_of_cluster("c").topic_list, ["T1", "T2"]);
    assert_eq!(table.topics_of_cluster("x").topic_list, [""; 0]);
    assert_eq!(table.unit_topics(UnitTopics::Unit).topic_list, ["U"]);
    assert_eq!(table.unit_topics(UnitTopics::Subscribed).topic_list, ["S"]);
    let system = table.system_topics();
    assert_eq!(system.topic_list, ["c", "a", "d", "b"]);
    assert_eq!(system.broker_addr, Some("a0"));
}

#[test]
fn a_topic_registers_on_known_brokers_only() {
    let queues = |name: &str| QueueData { broker_name: name.into(), perm: 6, ..Default::default() };
    let mut table = table_of(&[broker("a", 0, "a0")]);
    table.register_topic("N", &[queues("a"), queues("unknown")]).expect("room");
    check_route(&table, "N", "none");
    table.register_topic("N", &[queues("a")]).expect("room");
    check_route(&table, "N", "a 0=a0 6");
}

#[test]
fn names_that_nothing_real_has_are_refused() {
    let mut table = RouteTable::default();
    let long = "x".repeat(NAME_MAX_BYTES + 1);
    let with_long_topic = broker("a", 0, "1").with(|broker| {
        broker.topics.insert(long.clone(), topic(6));
    });
    let refused = with_long_topic.register(&mut table, NOW);
    assert_eq!(refused, Err(RegisterError::NameTooLong(NAME_MAX_BYTES + 1)));
    let with_long_zone = broker("a", 0, "1").with(|broker| broker.zone = Some(long.clone().leak()));
    assert!(with_long_zone.register(&mut table, NOW).is_err());
    let with_long_scope = broker("a", 0, "1").with(|broker| {
        let mapping = TopicQueueMappingInfo { scope: Some(long.clone()), ..Default::default() };
        broker.mappings.insert("T1".into(), mapping);
    });
    assert!(with_long_scope.register(&mut table, NOW).is_err());
    assert!(table.topics.len() == 0 && table.live.is_empty());
    broker("a", 0, "1").register(&mut table, NOW).expect("accepted");
    assert!(table.register_topic(&long, &[]).is_err());
}

#[test]
fn a_table_that_is_full_takes_what_it_knows_and_nothing_more() {
    let mapping = || TopicQueueMappingInfo {
        curr_id_map: [(0, 0), (1, 1)].into(),
        ..TopicQueueMappingInfo::default()
    };
    let with_mapping = broker("a", 0, "a0").with(|broker| {
        broker.mappings.insert("T1".into(), mapping());
    });
    let mut table = table_of(std::slice::from_ref(&with_mapping));
    let (routes, mappings) = (table.topics.bytes(), table.mappings.bytes());
    table.topics.pretend(ROUTES_MAX_BYTES - routes);
    table.mappings.pretend(MAPPINGS_MAX_BYTES - mappings);

    let again = with_mapping.clone().with(|broker| broker.version = version(2));
    again.register(&mut table, NOW).expect("nothing new");
    let other = broker("b", 0, "b0");
    assert_eq!(other.register(&mut table, NOW), Err(RegisterError::TooManyRoutes));
    let queues = QueueData { broker_name: "a".into(), perm: 6, ..Default::default() };
    assert_eq!(table.register_topic("N", &[queues]), Err(RegisterError::TooManyRoutes));
    let larger = again.with(|broker| {
        broker.mappings.get_mut("T1").expect("it has one").curr_id_map.insert(2, 2);
    });
    assert_eq!(larger.register(&mut table, NOW), Err(RegisterError::TooManyMappings));
    check_route(&table, "T1", "a 0=a0 6");
    check_route(&table, "N", "none");

    table.unregister("c", "a", "a0");
    assert_eq!(table.topics.bytes(), ROUTES_MAX_BYTES - routes);
    assert_eq!(table.mappings.bytes(), MAPPINGS_MAX_BYTES - mappings);
}

#[test]
fn one_address_is_no_more_brokers_than_are_allowed() {
    let mut table = RouteTable::default();
    let named = |number: usize| {
        broker("", 0, "one").with(|broker| {
            broker.name = format!("b{number}").leak();
            broker.topics.clear();
        })
    };
    for number in 0..BROKERS_MAX - 1 {
        let group = BrokerGroup { addresses: [(0, "one".into())].into(), ..Default::default() };
        table.groups.insert(format!("b{number}"), group);
    }
    named(BROKERS_MAX - 1).register(&mut table, NOW).expect("room");
    let refused = named(BROKERS_MAX).register(&mut table, NOW);
    assert_eq!(refused, Err(RegisterError::TooManyBrokers));
    named(7).register(&mut table, NOW).expect("it is known");

    let servers = |count| {
        named(0).with(|broker| broker.filter_servers = vec!["127.0.0.1:1".to_owned(); count])
    };
    servers(FILTER_SERVERS_MAX).register(&mut table, NOW).expect("as many as allowed");
    let refused = servers(FILTER_SERVERS_MAX + 1).register(&mut table, NOW);
    assert_eq!(refused, Err(RegisterError::TooManyFilterServers));
}

#[test]
fn an_address_in_two_clusters_expires_in_both() {
    let other = broker("a", 0, "a0").with(|broker| broker.cluster = "d");
    let mut table = table_of(&[broker("a", 0, "a0"), other]);
    table.expire(NOW + BROKER_EXPIRY + Duration::from_secs(1));
    assert!(table.live.is_empty() && table.groups.is_empty() && table.clusters.is_empty());
}
