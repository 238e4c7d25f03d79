//! What subscriptions of many tags cost those who come after them.

use std::time::Duration;

use ringmq_broker::groups::subscriptions::TAGS_MAX;
use ringmq_protocol::bodies::heartbeat::{HeartbeatData, SubscriptionData};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::TopicRequest;
use ringmq_protocol::json;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::{process, task};

use crate::support::temp_dir;
use crate::support::world::{Client, beat, check, create};

/// A heartbeat of group "g" that wants so many tags of topic "T".
fn tagged_beat(tags: usize) -> HeartbeatData {
    let mut tagged = beat("c", &["T"]);
    let tags: Vec<_> = (0..tags).map(|number| format!("tag{number}")).collect();
    tagged.consumer_data_set[0].subscription_data_set[0].sub_string = tags.join("||");
    tagged
}

#[test]
fn held_pulls_share_the_tags_of_their_group() {
    const PULLS: usize = 2_000;
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T"), &[]).await;
        client.ask(request::HEART_BEAT, &(), &json::to_vec(&tagged_beat(TAGS_MAX))).await;
        let before_bytes = process::rss_bytes();
        let fields = [
            ("consumerGroup", "g"),
            ("topic", "T"),
            ("queueId", "0"),
            ("queueOffset", "0"),
            ("maxMsgNums", "32"),
            // May be held, and wants what the group's heartbeat says.
            ("sysFlag", "2"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "15000"),
            ("subVersion", "1"),
        ];
        for _ in 0..PULLS {
            let wait = Duration::from_secs(20);
            client.connection.call_with(request::PULL_MESSAGE, &fields, &[], wait, |_| ());
        }
        // Answered behind them all.
        client.members().await;
        let grown_bytes = process::rss_bytes().saturating_sub(before_bytes);
        println!("{PULLS} held pulls take {} MiB", grown_bytes >> 20);
        assert!(grown_bytes < 32 << 20, "{} MiB", grown_bytes >> 20);
    });
}

#[test]
fn too_many_tags_cost_a_client_that_group_alone_and_are_refused_with_the_limit() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        let mut both = tagged_beat(TAGS_MAX + 1);
        let other = beat("c", &["T"]).consumer_data_set.remove(0);
        both.consumer_data_set[0].group_name = "tagged".into();
        both.consumer_data_set.push(other);
        let refused = client.call(request::HEART_BEAT, &(), &json::to_vec(&both)).await;
        assert_eq!(refused.code(), response::INVALID_PARAMETER);
        let remark = refused.command().remark().map(str::to_owned).unwrap_or_default();
        assert!(remark.contains(&TAGS_MAX.to_string()), "{remark}");
        assert_eq!(client.members().await, ["c"], "the group behind the refused one is taken");
        let retry_topic = TopicRequest { topic: "%RETRY%g", lo: None };
        client.ask(request::GET_TOPIC_CONFIG, &retry_topic, &[]).await;
        client.ask(request::HEART_BEAT, &(), &json::to_vec(&tagged_beat(TAGS_MAX))).await;
    });
}

#[test]
fn requests_for_locks_do_not_hold_up_others_however_many_tags_the_group_wants() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let (client, other) = (Client::connect(at.broker).await, Client::connect(at.broker).await);
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T"), &[]).await;
        let mut wide = tagged_beat(TAGS_MAX);
        let subscriptions = &mut wide.consumer_data_set[0].subscription_data_set;
        for number in 0..10 {
            let further =
                SubscriptionData { topic: format!("t{number}"), ..subscriptions[0].clone() };
            subscriptions.push(further);
        }
        client.ask(request::HEART_BEAT, &(), &json::to_vec(&wide)).await;
        let queue = r#"{"brokerName":"broker-a","queueId":0,"topic":"T"}"#;
        for queues in ["", queue] {
            let body = format!(r#"{{"consumerGroup":"g","clientId":"c","mqSet":[{queues}]}}"#);
            for _ in 0..100 {
                for code in [request::LOCK_BATCH_MQ, request::UNLOCK_BATCH_MQ] {
                    let wait = Duration::from_secs(60);
                    client.connection.call_with(code, &(), body.as_bytes(), wait, |_| ());
                }
            }
        }
        let started = Instant::now();
        task::sleep(Duration::from_millis(1)).await;
        other.members().await;
        println!("another client waited for {:?}", started.elapsed());
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    });
}
