//! A topic that is deleted, and made again, in the simulated world: whole brokers that crash.
//!
//! In a process of its own, since the simulated disks are memory, which other tests measure.

mod support;

use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::TopicRequest;
use ringmq_protocol::record::records;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use support::TIMEOUT;
use support::boot::{BROKER, boot, connect};
use support::world::create;

/// Crashes. A broker that is killed never lets its simulated disk go, so each keeps some 120 MiB.
const SEEDS: u64 = 8;

/// One topic, deleted while the broker crashes, at any step or just behind the answer. The next one
/// of its name must have neither messages nor progress of groups.
async fn delete_and_crash(world: &World, seed: u64) {
    let mut random = world.sequence();
    boot(world, 1 + seed as usize % 3, "broker-a");
    let client = connect(world).await;
    client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
    for number in 0..4 + random.next_u64() % 20 {
        client.send("T1", number as i32 % 4).await;
    }
    for queue in 0..4 {
        client.commit("T1", queue, 1).await;
    }
    task::sleep(Duration::from_millis(random.next_u64() % 3000)).await;
    client.send("T1", 0).await;
    let header = TopicRequest { topic: "T1", lo: None };
    let limit = Duration::from_micros(random.next_u64() % 20_000);
    let call = client.connection.call(request::DELETE_TOPIC_IN_BROKER, &header, &[], TIMEOUT);
    let answer = if seed.is_multiple_of(2) {
        task::timeout(limit, call).await.ok()
    } else {
        Some(call.await)
    };
    let is_answered = answer.is_some_and(|answer| {
        assert_eq!(answer.expect("no fault").code(), response::SUCCESS, "seed {seed}");
        true
    });
    if random.next_u64().is_multiple_of(2) {
        world.kill(BROKER)
    } else {
        world.crash(BROKER)
    }

    boot(world, 2, "broker-a");
    let client = connect(world).await;
    let found = client.call(request::GET_TOPIC_CONFIG, &header, &[]).await;
    if found.code() == response::SUCCESS {
        assert!(!is_answered, "seed {seed}: it is back");
        client.ask(request::DELETE_TOPIC_IN_BROKER, &header, &[]).await;
    }
    client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
    for queue in 0..4 {
        let pulled = client.pull("T1", queue, 0).await;
        assert!(pulled.body().is_empty(), "seed {seed}, queue {queue}: old messages");
        let fields = pulled.command().fields;
        assert_eq!((fields.get("minOffset"), fields.get("maxOffset")), (Some("0"), Some("0")));
        client.send("T1", queue).await;
        let pulled = client.pull("T1", queue, 0).await;
        assert_eq!(records(pulled.body()).count(), 1, "seed {seed}, queue {queue}");
        assert_eq!(client.committed("T1", queue).await, "0", "seed {seed}, queue {queue}");
    }
}

#[test]
fn a_topic_of_an_old_name_begins_empty_wherever_a_crash_met_the_deletion() {
    for seed in 0..SEEDS {
        let world = World::new(seed);
        let here = world.clone();
        world.run(async move { delete_and_crash(&here, seed).await });
    }
}
