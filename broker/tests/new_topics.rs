//! Sends that come while their topic is being created.

mod support;

use ringmq_protocol::codes::{request, response};
use ringmq_remoting::{Call, OwnedCommand};
use ringmq_runtime::task;

use support::{
    Brokers, Client, HELD_TOPIC, REFUSED_TOPIC, RELEASE, TIMEOUT, field, in_time, send_header,
    temp_dir,
};

fn start_send(client: &Client, topic: &str, queue_id: i32) -> Call {
    let header = send_header(topic, queue_id, "");
    client.connection.call(request::SEND_MESSAGE_V2, &header, b"body", TIMEOUT)
}

async fn offset(
    call: impl Future<Output = Result<OwnedCommand, ringmq_remoting::CallError>>,
) -> String {
    let answer = call.await.expect("an answer");
    assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
    field(&answer, "queueOffset")
}

#[test]
fn a_send_does_not_overtake_the_one_that_asked_for_the_topic() {
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        let client = broker.client().await;
        let first = start_send(&client, HELD_TOPIC, 0);
        let published = async {
            while broker.data.local.view().topic(HELD_TOPIC).is_none() {
                task::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        in_time("the topic is published", published).await;
        // The topic is known by now, and the first send still waits.
        let second = start_send(&client, HELD_TOPIC, 0);
        client.call(RELEASE, &(), &[]).await;
        assert_eq!((offset(first).await, offset(second).await), ("0".into(), "1".into()));
    });
}

#[test]
fn pipelined_sends_to_a_new_topic_are_stored_in_order_on_any_shard() {
    const SENDS: usize = 300;
    for (shards, logs) in [(1, 1), (2, 1), (3, 2)] {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            for (number, client) in broker.clients().await.into_iter().enumerate() {
                let topic = format!("New{number}");
                for queue_id in 0..2 {
                    let calls: Vec<_> =
                        (0..SENDS).map(|_| start_send(&client, &topic, queue_id)).collect();
                    for (expected, call) in calls.into_iter().enumerate() {
                        assert_eq!(offset(call).await, expected.to_string(), "{topic}");
                    }
                }
            }
        });
    }
}

#[test]
fn the_refusal_of_a_topic_is_told_to_each_who_waited() {
    let dir = temp_dir();
    Brokers::new(2, 1).run(dir.path(), |broker| async move {
        for client in broker.clients().await {
            // The first of a line asks for a topic that may not be made; so does each behind it.
            let calls: Vec<_> = (0..8).map(|_| start_send(&client, REFUSED_TOPIC, 0)).collect();
            for call in calls {
                let answer = call.await.expect("an answer");
                assert_eq!(answer.code(), response::TOPIC_NOT_EXIST);
            }
        }
    });
}

#[test]
fn one_connection_does_not_keep_all_places_of_sends_that_wait() {
    const SENDS: usize = 9000;
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        let (greedy, client) = (broker.client().await, broker.client().await);
        let mut calls: Vec<_> = (0..SENDS).map(|_| start_send(&greedy, HELD_TOPIC, 0)).collect();
        let last = calls.pop().expect("the last send");
        let refused = in_time("the last is refused", last).await.expect("an answer");
        assert_eq!(refused.code(), response::SYSTEM_BUSY, "{:?}", refused.command().remark());

        let other = start_send(&client, HELD_TOPIC, 0);
        client.call(RELEASE, &(), &[]).await;
        assert_eq!(offset(calls.swap_remove(0)).await, "0");
        assert_eq!(offset(other).await, "8192", "behind half of the places");
    });
}
