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
fn check_beat(
    members: &mut Members,
    who: &Client,
    topics: &[(&str, i64)],
    now: u64,
    says: (bool, bool),
) {
    let answer = members.consumer_beat(&data(topics), who, 0, false, now).expect("room");
    assert_eq!((answer.must_notify, answer.must_publish), says, "{} {topics:?}", who.id);
}

fn ids(members: &Members) -> Vec<&str> {
    members.consumers("g").map_or(Vec::new(), |g| g.members.keys().map(String::as_str).collect())
}

#[test]
fn members_are_told_when_somebody_joins_or_topics_change_and_not_otherwise() {
    let mut members = Members::default();
    check_beat(&mut members, &client("a", 1), &[("t", 1)], 0, (true, true));
    check_beat(&mut members, &client("a", 1), &[("t", 1)], 1, (false, false));
    check_beat(&mut members, &client("b", 2), &[("t", 1)], 2, (true, false));
    check_beat(&mut members, &client("a", 1), &[("t", 1), ("u", 1)], 3, (true, true));
    check_beat(&mut members, &client("a", 1), &[("u", 1)], 4, (true, true));
    // A newer expression for a known topic goes to the pulls, but moves no queue.
    check_beat(&mut members, &client("a", 1), &[("u", 9)], 5, (false, true));
    check_beat(&mut members, &client("a", 1), &[("u", 8)], 6, (false, false));
    assert_eq!(members.consumers("g").expect("group").subscriptions["u"].sub_version, 9);
}

#[test]
fn a_closed_connection_removes_its_clients_at_once() {
    let mut members = Members::default();
    check_beat(&mut members, &client("a", 1), &[("t", 1)], 0, (true, true));
    check_beat(&mut members, &client("b", 2), &[("t", 1)], 0, (true, false));
    members.producer_beat("p", &client("a", 1), 0).expect("room");

    let left = members.connection_closed(key(1));
    assert_eq!((left.consumers, left.producers), (vec!["g".to_owned()], vec!["p".to_owned()]));
    assert_eq!(ids(&members), ["b"]);
    assert!(members.producers("p").is_none());
    assert_eq!(members.connection_closed(key(1)), Left::default());
}

#[test]
fn a_client_that_reconnected_survives_the_end_of_its_old_connection() {
    let mut members = Members::default();
    check_beat(&mut members, &client("a", 1), &[("t", 1)], 0, (true, true));
    members.producer_beat("p", &client("a", 1), 0).expect("room");
    check_beat(&mut members, &client("a", 2), &[("t", 1)], 1, (false, false));
    members.producer_beat("p", &client("a", 2), 1).expect("room");

    assert_eq!(members.connection_closed(key(1)), Left::default());
    assert_eq!(ids(&members), ["a"]);
    assert_eq!(members.connection_closed(key(2)).consumers, ["g"]);
    assert!(members.is_empty());
}

#[test]
fn unregistering_removes_one_client_from_the_named_groups_only() {
    let mut members = Members::default();
    check_beat(&mut members, &client("a", 1), &[("t", 1)], 0, (true, true));
    members.producer_beat("p", &client("a", 1), 0).expect("room");
    assert_eq!(members.unregister("a", Some("p"), None).producers, ["p"]);
    assert_eq!(ids(&members), ["a"]);
    assert_eq!(members.unregister("a", Some("p"), Some("g")).consumers, ["g"]);
    assert!(!members.is_registered(key(1)));
}

#[test]
fn silent_clients_expire_and_their_connections_are_named() {
    let mut members = Members::default();
    check_beat(&mut members, &client("a", 1), &[("t", 1)], 0, (true, true));
    check_beat(&mut members, &client("b", 2), &[("t", 1)], 50, (true, false));
    members.producer_beat("p", &client("b", 2), EXPIRY_MS).expect("room");

    let (left, silent) = members.expire(51);
    assert_eq!(left.consumers, ["g"]);
    assert_eq!(silent, [key(1)], "b still produces through its connection");
    assert!(ids(&members).is_empty());
    assert!(members.is_registered(key(2)));
}

#[test]
fn a_short_heartbeat_is_enough_only_when_its_subscriptions_are_known() {
    let mut members = Members::default();
    let beat = |members: &mut Members, fingerprint, is_short, topics: &[(&str, i64)]| {
        members
            .consumer_beat(&data(topics), &client("a", 1), fingerprint, is_short, 0)
            .expect("room")
    };
    // After a restart of the broker the first thing it sees may be the short form.
    let answer = beat(&mut members, 7, true, &[]);
    assert!(answer.wants_full && answer.must_notify);
    assert!(!beat(&mut members, 7, false, &[("t", 1)]).wants_full);
    assert_eq!(beat(&mut members, 7, true, &[]), Registered::default());
    assert_eq!(members.consumers("g").expect("group").subscriptions.len(), 1);
    assert!(beat(&mut members, 8, true, &[]).wants_full);

    // A pull named a version that no heartbeat brought.
    assert!(!beat(&mut members, 7, true, &[]).wants_full);
    members.want_full_beats("g");
    assert!(beat(&mut members, 7, true, &[]).wants_full);
    assert!(beat(&mut members, 7, false, &[("t", 2)]).must_publish);
    assert!(!beat(&mut members, 7, true, &[]).wants_full);
}

#[test]
fn a_member_s_model_and_start_are_those_of_the_newest_heartbeat() {
    let mut members = Members::default();
    check_beat(&mut members, &client("a", 1), &[("t", 1)], 0, (true, true));
    let broadcasting =
        ConsumerData { message_model: MessageModel::Broadcasting, ..data(&[("t", 1)]) };
    let answer = members.consumer_beat(&broadcasting, &client("b", 2), 0, false, 0).expect("room");
    assert!(answer.must_publish);
    assert!(members.consumers("g").expect("group").is_broadcasting());
}

#[test]
fn two_clients_on_one_connection_leave_one_by_one() {
    let mut members = Members::default();
    check_beat(&mut members, &client("a", 1), &[("t", 1)], 0, (true, true));
    check_beat(&mut members, &client("b", 1), &[("t", 1)], 0, (true, false));
    members.unregister("a", None, Some("g"));
    assert!(members.is_registered(key(1)), "b still consumes through it");
    assert_eq!(members.connection_closed(key(1)).consumers, ["g"]);
    assert!(members.is_empty() && !members.is_registered(key(1)));
}
