//! Members of groups: who learns of them, and what changes cost.

use ringmq_protocol::bodies::heartbeat::HeartbeatData;
use ringmq_protocol::codes::request;
use ringmq_protocol::headers::admin::TopicRequest;
use ringmq_protocol::json;
use ringmq_remoting::OwnedCommand;
use ringmq_runtime::task;

use crate::support::world::{Client, beat, check};
use crate::support::{TIMEOUT, temp_dir};

#[test]
fn members_learn_at_once_who_joins_and_leaves_whatever_shard_they_are_on() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        // Enough connections that both shards hold some.
        let mut clients = Vec::new();
        for number in 0..6 {
            let client = Client::connect(at.broker).await;
            client.beat(&format!("c{number}"), &["T"]).await;
            // Its own arrival, too: a consumer gets its first queues then.
            client.told(request::NOTIFY_CONSUMER_IDS_CHANGED).await;
            if let Some(first) = clients.first() {
                let first: &Client = first;
                first.told(request::NOTIFY_CONSUMER_IDS_CHANGED).await;
            }
            clients.push(client);
        }
        assert_eq!(clients[0].members().await, ["c0", "c1", "c2", "c3", "c4", "c5"]);

        let gone = clients.pop().expect("six clients");
        gone.connection.close("the test ends it");
        clients[0].told(request::NOTIFY_CONSUMER_IDS_CHANGED).await;
        assert_eq!(clients[0].members().await.len(), 5);

        clients[4].leave("c4").await;
        clients[0].told(request::NOTIFY_CONSUMER_IDS_CHANGED).await;
        assert_eq!(clients[1].members().await, ["c0", "c1", "c2", "c3"]);

        let header = TopicRequest { topic: "%RETRY%g", lo: None };
        clients[0].ask(request::GET_TOPIC_CONFIG, &header, &[]).await;
    });
}

#[test]
fn a_short_heartbeat_whose_subscriptions_are_unknown_is_answered_with_the_wish_for_a_full_one() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        let is_wished =
            |answer: OwnedCommand| answer.command().fields.get("IS_SUB_CHANGE").map(str::to_owned);
        let full = HeartbeatData { heartbeat_fingerprint: 7, ..beat("c", &["T"]) };
        let short = HeartbeatData { without_sub: true, heartbeat_fingerprint: 7, ..beat("c", &[]) };
        let (full, short) = (json::to_vec(&full), json::to_vec(&short));
        let first = client.ask(request::HEART_BEAT, &(), &short).await;
        assert_eq!(is_wished(first).as_deref(), Some("true"));
        let second = client.ask(request::HEART_BEAT, &(), &full).await;
        assert_eq!(is_wished(second).as_deref(), Some("false"));
        let third = client.ask(request::HEART_BEAT, &(), &short).await;
        assert_eq!(is_wished(third).as_deref(), Some("false"));
    });
}

/// Requests that are read at once.
fn heartbeats(client: &Client, beats: &[HeartbeatData]) {
    for beat in beats {
        client.connection.call_with(request::HEART_BEAT, &(), &json::to_vec(beat), TIMEOUT, |_| ());
    }
}

#[test]
fn members_are_told_once_of_many_changes_that_come_together() {
    const MEMBERS: usize = 2_000;
    const CHANGES: usize = 20;
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let (members, changing) =
            (Client::connect(at.broker).await, Client::connect(at.broker).await);
        let many: Vec<_> = (0..MEMBERS).map(|number| beat(&format!("c{number}"), &["T"])).collect();
        heartbeats(&members, &many);
        assert_eq!(members.members().await.len(), MEMBERS);
        // Until what those heartbeats changed is told.
        while members.take_told(request::NOTIFY_CONSUMER_IDS_CHANGED) > 0 {
            members.members().await;
        }
        let topics = ["A", "B"];
        let changes: Vec<_> = (0..CHANGES).map(|number| beat("x", &[topics[number % 2]])).collect();
        heartbeats(&changing, &changes);
        assert_eq!(changing.members().await.len(), MEMBERS + 1);
        let all_told = async {
            let mut told = 0;
            loop {
                // What the broker has to say by now comes before its answer.
                members.members().await;
                let more = members.take_told(request::NOTIFY_CONSUMER_IDS_CHANGED);
                told += more;
                if more == 0 && told >= MEMBERS {
                    return told;
                }
            }
        };
        let told = task::timeout(TIMEOUT, all_told).await.expect("all members are told");
        println!("{MEMBERS} members are told {told} times of {CHANGES} changes");
        assert!(told < MEMBERS * CHANGES / 2, "{told}");
    });
}
