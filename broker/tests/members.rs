//! What members of groups are told, and for how long their locks count: whole brokers in the
//! simulated world.

#[path = "control/boot.rs"]
mod boot;
mod support;
#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "control/world.rs"]
mod world;

use std::time::Duration;

use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::bodies::lock::LockBatchRequest;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::json;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use boot::{boot, connect};
use world::{Client, create};

/// Takes the lock of a queue of topic `T` for a client of group `g`, or gives it back.
async fn ask_lock(client: &Client, code: i32, client_id: &str, queue_id: i32) {
    let queue = MessageQueue { broker_name: "broker-a".into(), queue_id, topic: "T".into() };
    let wanted = LockBatchRequest {
        consumer_group: "g".into(),
        client_id: client_id.into(),
        mq_set: vec![queue],
        ..LockBatchRequest::default()
    };
    client.ask(code, &(), &json::to_vec(&wanted)).await;
}

#[test]
fn a_group_is_an_ordered_one_no_longer_than_it_holds_locks() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        boot(&here, 2, "broker-a");
        let client = connect(&here).await;
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T"), &[]).await;
        client.beat("a", &["T"]).await;
        ask_lock(&client, request::LOCK_BATCH_MQ, "a", 0).await;
        task::sleep(Duration::from_secs(50)).await;
        for code in [request::LOCK_BATCH_MQ, request::UNLOCK_BATCH_MQ] {
            ask_lock(&client, code, "b", 1).await;
        }
        assert_eq!(client.send_retry(1).await, response::SUCCESS, "a dead letter");
        // The lock of "a" lapses after 60 s, which is seen within 10.
        task::sleep(Duration::from_secs(22)).await;
        assert_eq!(client.send_retry(1).await, response::MESSAGE_ILLEGAL, "it is to come again");
    });
}
