//! What changes of groups cost.

use ringmq_protocol::bodies::heartbeat::HeartbeatData;
use ringmq_protocol::codes::request;
use ringmq_protocol::json;
use ringmq_runtime::task;

use crate::support::world::{Client, beat, check};
use crate::support::{TIMEOUT, temp_dir};

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
