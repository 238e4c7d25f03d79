//! Topics and groups when the disk refuses their tables, and when their settings are unusual: whole
//! brokers in the simulated world.

mod support;

use ringmq_protocol::bodies::group::SubscriptionGroupConfig;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::{CreateTopicRequest, TopicRequest};
use ringmq_protocol::json;
use ringmq_remoting::OwnedCommand;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use support::boot::{BROKER, boot, connect};
use support::world::{Client, create};
use support::{TIMEOUT, send_header};

const T1: TopicRequest<'_> = TopicRequest { topic: "T1", lo: None };

/// Leaves the disk no room for a table, only for small files.
async fn fill_disk(world: &World) {
    let space = world.disk(BROKER).free_space().await.expect("no fault");
    let used = space.total - space.available;
    world.disk_faults(BROKER, |faults| faults.capacity_bytes = used + 1024);
}

fn free_disk(world: &World) {
    world.disk_faults(BROKER, |faults| faults.capacity_bytes = 1 << 40);
}

/// Repeats a request, as people and clients do, until its answer is a success.
async fn repeat(what: &str, ask: impl AsyncFn() -> i32) {
    let succeeds = async {
        while ask().await != response::SUCCESS {
            task::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    task::timeout(TIMEOUT, succeeds).await.unwrap_or_else(|_| panic!("{what} goes on failing"));
}

async fn send_code(client: &Client, topic: &str) -> i32 {
    let header = send_header(topic, 0, "");
    client.call(request::SEND_MESSAGE_V2, &header, b"body").await.code()
}

#[test]
fn what_failed_on_a_full_disk_succeeds_when_it_is_repeated_with_room() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        boot(&here, 2, "broker-a");
        let client = connect(&here).await;
        let wider = CreateTopicRequest { read_queue_nums: 8, write_queue_nums: 8, ..create("T1") };
        let group = SubscriptionGroupConfig {
            group_name: "g2".into(),
            ..SubscriptionGroupConfig::default()
        };
        let group = json::to_vec(&group);
        let make_group = async || {
            client.call(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &(), &group).await.code()
        };
        let widen =
            async || client.call(request::UPDATE_AND_CREATE_TOPIC, &wider, &[]).await.code();
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;

        fill_disk(&here).await;
        assert_ne!(send_code(&client, "New").await, response::SUCCESS);
        assert_ne!(widen().await, response::SUCCESS);
        assert_ne!(make_group().await, response::SUCCESS);
        client.beat("c", &["T1"]).await;
        free_disk(&here);

        repeat("a group", make_group).await;
        repeat("the first send to a topic", async || send_code(&client, "New").await).await;
        repeat("a change of a topic", widen).await;
        client.send("T1", 7).await;
        // The group's next heartbeat finds its retry topic in the table, and all shards get it.
        client.beat("c", &["T1"]).await;
        assert_ne!(client.pull("%RETRY%g", 0, 0).await.code(), response::TOPIC_NOT_EXIST);
    });
}

#[test]
fn a_deletion_that_the_disk_refused_is_not_confirmed_before_it_is_there() {
    let world = World::new(2);
    let here = world.clone();
    world.run(async move {
        boot(&here, 1, "broker-a");
        let client = connect(&here).await;
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        let delete = async || client.call(request::DELETE_TOPIC_IN_BROKER, &T1, &[]).await.code();
        fill_disk(&here).await;
        assert_ne!(delete().await, response::SUCCESS);
        assert_ne!(delete().await, response::SUCCESS, "the disk is still full");
        free_disk(&here);
        repeat("a deletion", delete).await;

        here.kill(BROKER);
        boot(&here, 1, "broker-a");
        let client = connect(&here).await;
        let found = client.call(request::GET_TOPIC_CONFIG, &T1, &[]).await;
        assert_eq!(found.code(), response::TOPIC_NOT_EXIST, "it is back");
    });
}

#[test]
fn a_broker_that_is_named_like_a_topic_leaves_it_its_queues() {
    let world = World::new(3);
    let here = world.clone();
    world.run(async move {
        boot(&here, 1, "broker-a");
        let client = connect(&here).await;
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        client.send("T1", 3).await;
        for key in ["brokerName", "brokerClusterName"] {
            let change = format!("{key}=T1\n");
            let refused = client.call(request::UPDATE_BROKER_CONFIG, &(), change.as_bytes()).await;
            assert_eq!(refused.code(), response::INVALID_PARAMETER);
            let remark = refused.command().remark().expect("a reason").to_owned();
            assert!(remark.contains(&format!("{key}=T1")), "{remark}");
        }
        let own = b"brokerName=broker-a\nbrokerClusterName=DefaultCluster\n";
        client.ask(request::UPDATE_BROKER_CONFIG, &(), own).await;

        here.kill(BROKER);
        boot(&here, 1, "T1");
        let client = connect(&here).await;
        assert_eq!(client.pull("T1", 3, 0).await.code(), response::SUCCESS);
        client.send("T1", 3).await;
    });
}

#[test]
fn a_topic_without_queues_to_write_to_takes_no_message_for_any_queue() {
    let world = World::new(4);
    let here = world.clone();
    world.run(async move {
        boot(&here, 2, "broker-a");
        let client = connect(&here).await;
        let any_queue = send_header("T1", -1, "");
        let send = async || client.call(request::SEND_MESSAGE_V2, &any_queue, b"body").await;
        for (read_queue_nums, write_queue_nums) in [(0, 0), (4, 0)] {
            let draining = CreateTopicRequest { read_queue_nums, write_queue_nums, ..create("T1") };
            client.ask(request::UPDATE_AND_CREATE_TOPIC, &draining, &[]).await;
            let refused = send().await;
            assert_eq!(refused.code(), response::SYSTEM_ERROR);
            let remark = refused.command().remark().expect("a reason").to_owned();
            assert!(remark.contains("T1") && remark.contains("writeQueueNums=0"), "{remark}");
        }
        let writable =
            CreateTopicRequest { read_queue_nums: 1, write_queue_nums: 1, ..create("T1") };
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &writable, &[]).await;
        assert_eq!(send().await.code(), response::SUCCESS);
    });
}

/// Code and remark of an answer.
fn refused(answer: &OwnedCommand) -> (i32, String) {
    (answer.code(), answer.command().remark().unwrap_or_default().to_owned())
}

#[test]
fn a_topic_without_queues_to_read_says_so_and_takes_messages() {
    let world = World::new(5);
    let here = world.clone();
    world.run(async move {
        boot(&here, 2, "broker-a");
        let client = connect(&here).await;
        let without = |write_queue_nums| CreateTopicRequest {
            read_queue_nums: 0,
            write_queue_nums,
            ..create("T1")
        };
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &without(4), &[]).await;
        client.send("T1", 0).await;
        let pulled = client.pull("T1", 0, 0).await;
        let remark = "topic T1 has no queue on this broker (readQueueNums is 0)";
        assert_eq!(refused(&pulled), (response::INVALID_PARAMETER, remark.to_owned()));

        client.ask(request::UPDATE_AND_CREATE_TOPIC, &without(0), &[]).await;
        let header = send_header("T1", 0, "");
        let sent = client.call(request::SEND_MESSAGE_V2, &header, b"body").await;
        let remark = "topic T1 has no queue on this broker (the larger of readQueueNums and \
                      writeQueueNums is 0)";
        assert_eq!(refused(&sent), (response::INVALID_PARAMETER, remark.to_owned()));
    });
}
