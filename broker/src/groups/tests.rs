use std::net::SocketAddr;

use ringmq_protocol::bodies::heartbeat::{MessageModel, SubscriptionData};

use super::*;

const EXPIRY_MS: u64 = 120_000;

fn key(id: u64) -> ConnectionKey {
    ConnectionKey { shard: 0, id }
}

fn client(id: &str, connection: u64) -> Client {
    let address = SocketAddr::from(([127, 0, 0, 1], 1000));
    Client { id: id.into(), connection: key(connection), address, language: "JAVA", version: 513 }
}

fn subscription(topic: &str, version: i64) -> SubscriptionData {
    SubscriptionData {
        topic: topic.into(),
        sub_string: "*".into(),
        sub_version: version,
        ..SubscriptionData::default()
    }
}

fn data(subscriptions: &[(&str, i64)]) -> ConsumerData {
    ConsumerData {
        group_name: "g".into(),
        subscription_data_set: subscriptions.iter().map(|(t, v)| subscription(t, *v)).collect(),
        ..ConsumerData::default()
    }
}

/// Sends a full heartbeat and checks (notify, publish).
fn check_heartbeat(
    live: &mut LiveGroups,
    who: &Client,
    topics: &[(&str, i64)],
    now: u64,
    says: (bool, bool),
) {
    let answer = live.consumer_heartbeat(&data(topics), who, 0, false, now).expect("room");
    assert_eq!((answer.must_notify, answer.must_publish), says, "{} {topics:?}", who.id);
}

fn ids(live: &LiveGroups) -> Vec<&str> {
    live.consumers("g").map_or(Vec::new(), |g| g.members.keys().map(String::as_str).collect())
}

#[test]
fn members_are_told_when_somebody_joins_or_topics_change_and_not_otherwise() {
    let mut live = LiveGroups::default();
    check_heartbeat(&mut live, &client("a", 1), &[("t", 1)], 0, (true, true));
    check_heartbeat(&mut live, &client("a", 1), &[("t", 1)], 1, (false, false));
    check_heartbeat(&mut live, &client("b", 2), &[("t", 1)], 2, (true, false));
    check_heartbeat(&mut live, &client("a", 1), &[("t", 1), ("u", 1)], 3, (true, true));
    check_heartbeat(&mut live, &client("a", 1), &[("u", 1)], 4, (true, true));
    // A newer expression for a known topic goes to the pulls, but moves no queue.
    check_heartbeat(&mut live, &client("a", 1), &[("u", 9)], 5, (false, true));
    check_heartbeat(&mut live, &client("a", 1), &[("u", 8)], 6, (false, false));
    assert_eq!(
        live.consumers("g").expect("group").subscriptions.get("u").expect("subscribed").sub_version,
        9
    );
}

#[test]
fn a_closed_connection_removes_its_clients_at_once() {
    let mut live = LiveGroups::default();
    check_heartbeat(&mut live, &client("a", 1), &[("t", 1)], 0, (true, true));
    check_heartbeat(&mut live, &client("b", 2), &[("t", 1)], 0, (true, false));
    live.producer_heartbeat("p", &client("a", 1), 0).expect("room");

    let left = live.connection_closed(key(1));
    assert_eq!((left.consumers, left.producers), (vec!["g".to_owned()], vec!["p".to_owned()]));
    assert_eq!(ids(&live), ["b"]);
    assert!(live.producers("p").is_none());
    assert_eq!(live.connection_closed(key(1)), Left::default());
}

#[test]
fn a_client_that_reconnected_survives_the_end_of_its_old_connection() {
    let mut live = LiveGroups::default();
    check_heartbeat(&mut live, &client("a", 1), &[("t", 1)], 0, (true, true));
    live.producer_heartbeat("p", &client("a", 1), 0).expect("room");
    check_heartbeat(&mut live, &client("a", 2), &[("t", 1)], 1, (false, false));
    live.producer_heartbeat("p", &client("a", 2), 1).expect("room");

    assert_eq!(live.connection_closed(key(1)), Left::default());
    assert_eq!(ids(&live), ["a"]);
    assert_eq!(live.connection_closed(key(2)).consumers, ["g"]);
    assert!(live.is_empty());
}

#[test]
fn unregistering_removes_one_client_from_the_named_groups_only() {
    let mut live = LiveGroups::default();
    check_heartbeat(&mut live, &client("a", 1), &[("t", 1)], 0, (true, true));
    live.producer_heartbeat("p", &client("a", 1), 0).expect("room");
    assert_eq!(live.unregister("a", Some("p"), None).producers, ["p"]);
    assert_eq!(ids(&live), ["a"]);
    assert_eq!(live.unregister("a", Some("p"), Some("g")).consumers, ["g"]);
    assert!(!live.is_registered(key(1)));
}

#[test]
fn silent_clients_expire_and_their_connections_are_named() {
    let mut live = LiveGroups::default();
    check_heartbeat(&mut live, &client("a", 1), &[("t", 1)], 0, (true, true));
    check_heartbeat(&mut live, &client("b", 2), &[("t", 1)], 50, (true, false));
    live.producer_heartbeat("p", &client("b", 2), EXPIRY_MS).expect("room");

    let (left, silent) = live.expire_next(&mut Look::default(), 51);
    assert_eq!(left.consumers, ["g"]);
    assert_eq!(silent, [key(1)], "b still produces through its connection");
    assert!(ids(&live).is_empty());
    assert!(live.is_registered(key(2)));
}

#[test]
fn a_short_heartbeat_is_enough_only_when_its_subscriptions_are_known() {
    let mut live = LiveGroups::default();
    let heartbeat = |live: &mut LiveGroups, fingerprint, is_short, topics: &[(&str, i64)]| {
        live.consumer_heartbeat(&data(topics), &client("a", 1), fingerprint, is_short, 0)
            .expect("room")
    };
    // After a restart of the broker the first thing it sees may be the short form.
    let answer = heartbeat(&mut live, 7, true, &[]);
    assert!(answer.wants_full && answer.must_notify);
    assert!(!heartbeat(&mut live, 7, false, &[("t", 1)]).wants_full);
    assert_eq!(heartbeat(&mut live, 7, true, &[]), Registered::default());
    assert_eq!(live.consumers("g").expect("group").subscriptions.len(), 1);
    assert!(heartbeat(&mut live, 8, true, &[]).wants_full);

    // A pull named a version that no heartbeat brought.
    assert!(!heartbeat(&mut live, 7, true, &[]).wants_full);
    assert_eq!(live.want_full_heartbeats("g", "", 2).as_deref(), Some("a"));
    assert_eq!(live.want_full_heartbeats("g", "a", 2), None);
    assert_eq!(live.want_full_heartbeats("none", "", 2), None);
    assert!(heartbeat(&mut live, 7, true, &[]).wants_full);
    assert!(heartbeat(&mut live, 7, false, &[("t", 2)]).must_publish);
    assert!(!heartbeat(&mut live, 7, true, &[]).wants_full);
}

#[test]
fn a_member_s_model_and_start_are_those_of_the_newest_heartbeat() {
    let mut live = LiveGroups::default();
    check_heartbeat(&mut live, &client("a", 1), &[("t", 1)], 0, (true, true));
    let broadcasting =
        ConsumerData { message_model: MessageModel::Broadcasting, ..data(&[("t", 1)]) };
    let answer =
        live.consumer_heartbeat(&broadcasting, &client("b", 2), 0, false, 0).expect("room");
    assert!(answer.must_publish);
    assert!(live.consumers("g").expect("group").is_broadcasting());
}

#[test]
fn who_leaves_a_large_group_leaves_alone_and_those_who_share_a_connection_in_parts() {
    const MANY: usize = 2 * LEAVING_AT_ONCE_MAX;
    let mut live = LiveGroups::default();
    let own = MANY as u64;
    // Those with an even number share a connection, the others have one each.
    for number in 0..own {
        let connection = if number % 2 == 0 { own } else { number };
        for id in [format!("c{number}"), format!("d{number}")] {
            let client = client(&id, connection);
            live.consumer_heartbeat(&data(&[]), &client, 0, false, 0).expect("room");
        }
    }
    assert_eq!(live.connection_closed(key(1)).consumers, ["g"]);
    assert_eq!(live.connection_closed(key(1)), Left::default());
    assert!(!ids(&live).iter().any(|id| ["c1", "d1"].contains(id)));
    assert_eq!(live.len(), 2 * MANY - 2);
    for left in [MANY + LEAVING_AT_ONCE_MAX, MANY] {
        live.connection_closed(key(own));
        assert_eq!(live.len(), left - 2, "no more than so many at once");
    }
    assert!(!live.is_registered(key(own)) && live.is_registered(key(3)));
    for number in (3..own).step_by(2) {
        live.unregister(&format!("c{number}"), None, Some("g"));
        assert!(live.is_registered(key(number)), "its other client is there");
        live.unregister(&format!("d{number}"), None, Some("g"));
        assert!(!live.is_registered(key(number)));
    }
    assert!(live.is_empty());
}

#[test]
fn two_clients_on_one_connection_leave_one_by_one() {
    let mut live = LiveGroups::default();
    check_heartbeat(&mut live, &client("a", 1), &[("t", 1)], 0, (true, true));
    check_heartbeat(&mut live, &client("b", 1), &[("t", 1)], 0, (true, false));
    live.unregister("a", None, Some("g"));
    assert!(live.is_registered(key(1)), "b still consumes through it");
    assert_eq!(live.connection_closed(key(1)).consumers, ["g"]);
    assert!(live.is_empty() && !live.is_registered(key(1)));
}

/// Sends a full heartbeat of `group` from a client of its own.
fn heartbeat_of(
    live: &mut LiveGroups,
    group: &str,
    wanted: Vec<SubscriptionData>,
) -> Result<Registered, HeartbeatError> {
    let data = ConsumerData {
        group_name: group.into(),
        subscription_data_set: wanted,
        ..ConsumerData::default()
    };
    live.consumer_heartbeat(&data, &client(group, 1), 0, false, 0)
}

#[test]
fn subscriptions_are_counted_while_their_group_has_members() {
    let mut live = LiveGroups::default();
    let wanted = || vec![subscription("t", 5), subscription("u", 1)];
    heartbeat_of(&mut live, "g", wanted()).expect("room");
    let bytes = live.consumers.bytes();
    assert!(bytes > 2 * size_of::<SubscriptionData>());
    heartbeat_of(&mut live, "g", wanted()).expect("room");
    assert_eq!(live.consumers.bytes(), bytes, "what stays is not counted again");
    heartbeat_of(&mut live, "h", wanted()).expect("room");
    assert_eq!(live.consumers.bytes(), 2 * bytes);
    // Named twice, and an older version than the one that is known: still one topic.
    heartbeat_of(&mut live, "h", vec![subscription("t", 1), subscription("t", 2)]).expect("room");
    let kept = live.consumers("h").expect("group");
    assert_eq!((kept.subscriptions.len(), kept.subscriptions.bytes()), (1, bytes / 2));
    assert_eq!(kept.subscriptions.get("t").expect("subscribed").sub_version, 5);
    live.unregister("g", None, Some("g"));
    live.connection_closed(key(1));
    assert_eq!(live.consumers.bytes(), 0);
}

#[test]
fn a_group_that_subscribes_to_too_much_is_refused_and_unchanged() {
    let mut live = LiveGroups::default();
    let topics = |count: usize| (0..count).map(|n| subscription(&format!("t{n}"), 1)).collect();
    heartbeat_of(&mut live, "g", topics(subscriptions::TOPICS_MAX)).expect("as many as allowed");
    let too_many = subscriptions::TOPICS_MAX + 1;
    for group in ["g", "new"] {
        let refused = heartbeat_of(&mut live, group, topics(too_many));
        assert_eq!(refused, Err(HeartbeatError::Topics(too_many)));
    }
    assert!(live.consumers("new").is_none());
    let kept = &live.consumers("g").expect("group").subscriptions;
    assert_eq!(kept.len(), subscriptions::TOPICS_MAX);
}

#[test]
fn beyond_the_memory_for_subscriptions_only_those_who_grow_none_are_taken() {
    let mut live = LiveGroups::default();
    let long = |version| {
        let sub_string = "tag || ".repeat(1 << 10);
        vec![SubscriptionData { sub_string, ..subscription("t", version) }]
    };
    heartbeat_of(&mut live, "g", long(1)).expect("room");
    let one = live.consumers.bytes();
    let others = subscriptions::ALL_MAX_BYTES - one - one / 2;
    live.consumers.bytes_changed(0, others);
    assert_eq!(heartbeat_of(&mut live, "h", long(1)), Err(HeartbeatError::Subscriptions(one)));
    assert!(live.consumers("h").is_none() && !live.is_empty());
    heartbeat_of(&mut live, "g", long(2)).expect("a newer version of the same size");
    heartbeat_of(&mut live, "h", vec![subscription("t", 1)]).expect("a short one fits");
}

#[test]
fn a_look_for_the_silent_goes_over_one_large_group_and_many_small_ones_in_parts() {
    const MANY: usize = 3 * LEAVING_AT_ONCE_MAX;
    // A third of them is heard of again.
    let filled = || {
        let mut live = LiveGroups::default();
        for (clock_ms, step) in [(0, 1), (9, 3)] {
            for number in (0..MANY).step_by(step) {
                let client = client(&format!("c{number}"), 1);
                live.consumer_heartbeat(&data(&[]), &client, 0, false, clock_ms).expect("room");
                let group = format!("p{number}");
                live.producer_heartbeat(&group, &client, clock_ms).expect("room");
            }
        }
        live
    };
    for (before_clock_ms, left) in [(0, 2 * MANY), (5, 2 * MANY / 3), (10, 0)] {
        let (mut live, mut look, mut parts) = (filled(), Look::default(), 0);
        while !look.is_over() {
            let before = live.len();
            let (gone, _) = live.expire_next(&mut look, before_clock_ms);
            assert_eq!(gone == Left::default(), live.len() == before);
            assert!(before - live.len() <= 2 * LEAVING_AT_ONCE_MAX, "of two tables");
            parts += 1;
        }
        assert_eq!((live.len(), parts), (left, 4), "{before_clock_ms}: the last finds the end");
    }
}

/// How many producer groups a connection gets into, one after the other.
fn fill(live: &mut LiveGroups, connection: u64, groups: usize) -> usize {
    let client = client(&format!("c{connection}"), connection);
    let taken = (0..groups)
        .take_while(|number| live.producer_heartbeat(&format!("p{number}"), &client, 0).is_ok());
    taken.count()
}

#[test]
fn one_connection_has_its_share_of_members_and_leaves_in_parts() {
    let mut live = LiveGroups::default();
    let share = MEMBERS_MAX / (MEMBERS_PART + 1);
    assert_eq!(fill(&mut live, 1, MEMBERS_MAX), share);
    assert_eq!(fill(&mut live, 1, share), share, "those it has are renewed");
    assert_eq!(fill(&mut live, 2, 1_000), 1_000, "others find room");
    let mut parts = 0;
    loop {
        let left = live.connection_closed(key(1));
        if left.is_empty() {
            break;
        }
        assert!(left.producers.len() <= LEAVING_AT_ONCE_MAX);
        parts += 1;
    }
    assert!(parts >= share / LEAVING_AT_ONCE_MAX, "{parts}");
    assert!(!live.is_registered(key(1)));
    assert_eq!((live.len(), fill(&mut live, 3, 2_000)), (1_000, 2_000));
    let (mut silent, mut look) = (Vec::new(), Look::default());
    while !look.is_over() {
        let (left, connections) = live.expire_next(&mut look, 1);
        assert!(left.producers.len() <= LEAVING_AT_ONCE_MAX);
        silent.extend(connections);
    }
    assert!(live.is_empty());
    silent.sort_unstable();
    assert_eq!(silent, [key(2), key(3)]);
}
