//! What members of groups are told, and for how long their locks count: whole brokers in the
//! simulated world.

mod support;

use std::rc::Rc;
use std::time::Duration;

use ringmq_broker::services::heartbeat::GROUPS_PER_HEARTBEAT_MAX;
use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::bodies::heartbeat::{HeartbeatData, ProducerData};
use ringmq_protocol::bodies::lock::LockBatchRequest;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::json;
use ringmq_remoting::OwnedCommand;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use support::boot::{BROKER, boot, connect};
use support::world::{Client, beat, create};

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

#[test]
fn a_member_hears_of_its_group_behind_the_answer_to_its_heartbeat_however_slow_the_device_is() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        boot(&here, 2, "broker-a");
        let client = Rc::new(connect(&here).await);
        let slow = Duration::from_secs(1);
        here.disk_faults(BROKER, |faults| faults.latency = (slow, slow));
        let beating = Rc::clone(&client);
        let beat = task::spawn("a first heartbeat", async move { beating.beat("a", &["T"]).await });
        task::sleep(slow / 2).await;
        assert!(!beat.is_finished(), "the retry topic is on its way");
        assert_eq!(client.take_told(request::NOTIFY_CONSUMER_IDS_CHANGED), 0);
        beat.await;
        client.told(request::NOTIFY_CONSUMER_IDS_CHANGED).await;
    });
}

async fn send_beat(client: &Client, beat: &HeartbeatData) -> OwnedCommand {
    client.call(request::HEART_BEAT, &(), &json::to_vec(beat)).await
}

/// Makes a connection a member of as many groups as it may be of.
async fn join_all_it_may(client: &Client) {
    for number in 0.. {
        let name = |group| ProducerData { group_name: format!("p-{number}-{group}") };
        let many = HeartbeatData {
            client_id: "c".into(),
            producer_data_set: (0..GROUPS_PER_HEARTBEAT_MAX).map(name).collect(),
            ..HeartbeatData::default()
        };
        if send_beat(client, &many).await.code() == response::SERVICE_NOT_AVAILABLE {
            return;
        }
    }
}

#[test]
fn a_group_that_is_refused_does_not_hide_that_another_wants_a_full_heartbeat() {
    let world = World::new(2);
    let here = world.clone();
    world.run(async move {
        boot(&here, 1, "broker-a");
        let client = connect(&here).await;
        client.beat("c", &["T"]).await;
        join_all_it_may(&client).await;
        let one_more = |topics: &[&str]| {
            let mut beat = HeartbeatData { heartbeat_fingerprint: 7, ..beat("c", topics) };
            beat.producer_data_set.push(ProducerData { group_name: "one more".into() });
            beat
        };
        let short = HeartbeatData { without_sub: true, ..one_more(&[]) };
        let full = one_more(&["T"]);
        let wish = send_beat(&client, &short).await;
        assert_eq!(wish.code(), response::SUCCESS, "{:?}", wish.command().remark());
        assert_eq!(wish.command().fields.get("IS_SUB_CHANGE"), Some("true"));
        for beat in [&full, &short] {
            assert_eq!(send_beat(&client, beat).await.code(), response::SERVICE_NOT_AVAILABLE);
        }
    });
}
