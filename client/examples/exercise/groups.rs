//! How queues are divided when members of a group come and go.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringmq_client::Client;
use ringmq_client::config::ConsumerConfig;
use ringmq_client::consumer::LitePullConsumer;
use ringmq_client::consumer::allocation::{
    AllocationStrategy, Averagely, Circle, ConsistentHash, Fixed, MachineRoom, Nearby, RoomOf,
};
use ringmq_client::message::Message;
use ringmq_client::queue::MessageQueue;

use crate::world::{Seen, World, body, eventually, send_all};

/// A member joins and takes its share, and dies without a word: nothing is lost either time.
pub async fn rebalance(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 6).await;
    let producer = world.producer(&client).await;
    let (seen, seen_by_second) = (Seen::default(), Seen::default());
    let consumer = client.push_consumer(world.group("g"), seen.listener()).await.expect("joined");
    consumer.subscribe(&topic, "*").await.expect("subscribed");
    send_all(&producer, 0..100, |number| Message::new(&topic, body(number, 50))).await;
    seen.wait("the only member", 0..100).await;

    let second = world.client().await;
    let joined = second.push_consumer(world.group("g"), seen_by_second.listener()).await;
    joined.expect("joined").subscribe(&topic, "*").await.expect("subscribed");
    let mut next = 100;
    eventually("the second member to get messages", async || {
        let numbers = next..next + 12;
        next = numbers.end;
        send_all(&producer, numbers, |number| Message::new(&topic, body(number, 50))).await;
        (!seen_by_second.all().is_empty()).then_some(())
    })
    .await;
    let all = async || {
        let both = &seen.numbers() | &seen_by_second.numbers();
        (both.len() == next).then_some(())
    };
    eventually("all messages at two members", all).await;

    // All its handles are dropped: its connections close, and nobody says goodbye.
    drop(second);
    let before = seen.all().len();
    send_all(&producer, next..next + 100, |number| Message::new(&topic, body(number, 50))).await;
    let left = seen.wait("the member that is left", next..next + 100).await;
    assert!(left.len() >= before + 100);
    client.shutdown().await;
}

/// Everybody stands in the same room.
struct OneRoom;

impl RoomOf for OneRoom {
    fn broker(&self, _queue: &MessageQueue) -> Option<String> {
        Some("room".into())
    }

    fn member(&self, _client_id: &str) -> Option<String> {
        Some("room".into())
    }
}

async fn share(consumer: &LitePullConsumer) -> BTreeSet<MessageQueue> {
    consumer.assignment().await.expect("known").into_iter().collect()
}

/// Waits until the two shares are disjoint, together everything, and none is empty.
async fn divided(what: &str, all: &BTreeSet<MessageQueue>, members: [&LitePullConsumer; 2]) {
    eventually(what, async || {
        let (one, two) = (share(members[0]).await, share(members[1]).await);
        let is_fair = !one.is_empty() && !two.is_empty() && one.is_disjoint(&two);
        (is_fair && &one | &two == *all).then_some(())
    })
    .await;
}

/// Every strategy, with a member that joins and leaves.
pub async fn allocation(world: World) {
    let (first, second) = (world.client().await, world.client().await);
    // Enough that no member of a ring of hashes goes without: once in 30,000 runs.
    let topic = world.made_topic(&first, 16).await;
    let queues = first.admin().queues(&topic).await.expect("a route");
    let all: BTreeSet<_> = queues.iter().cloned().collect();
    let strategies: [Arc<dyn AllocationStrategy>; 4] = [
        Arc::new(Averagely),
        Arc::new(Circle),
        // Many points each, so that halves are near half.
        Arc::new(ConsistentHash::new(200)),
        Arc::new(Nearby::new(Arc::new(Averagely), Arc::new(OneRoom))),
    ];
    for strategy in strategies {
        let name = strategy.name();
        let config = ConsumerConfig { allocation: strategy, ..world.group(&name) };
        let one = first.lite_pull_consumer(config.clone()).await.expect("joined");
        one.subscribe(&topic, "*").await.expect("subscribed");
        let whole = async || (share(&one).await == all).then_some(());
        eventually(&format!("{name}: all queues for the only member"), whole).await;
        let two = second.lite_pull_consumer(config).await.expect("joined");
        two.subscribe(&topic, "*").await.expect("subscribed");
        divided(&format!("{name}: shares of two members"), &all, [&one, &two]).await;
        two.shutdown().await;
        eventually(&format!("{name}: all queues for the member that is left"), whole).await;
        one.shutdown().await;
    }
    fixed(&world, &first, &topic, &queues).await;
    first.shutdown().await;
    second.shutdown().await;
}

/// The strategies that do not ask who else is there, or give nothing to some.
async fn fixed(world: &World, client: &Client, topic: &str, queues: &[MessageQueue]) {
    let three: Vec<_> = queues[..3].to_vec();
    let strategies: [(Arc<dyn AllocationStrategy>, BTreeSet<_>); 2] = [
        (Arc::new(Fixed::new(three.clone())), three.iter().cloned().collect()),
        // No broker here is called `room@name`, so their queues are nobody's.
        (Arc::new(MachineRoom::new(["room".to_owned()])), BTreeSet::new()),
    ];
    for (strategy, expected) in strategies {
        let name = strategy.name();
        let config = ConsumerConfig { allocation: strategy, ..world.group(&name) };
        let consumer = client.lite_pull_consumer(config).await.expect("joined");
        consumer.subscribe(topic, "*").await.expect("subscribed");
        let there = async || (share(&consumer).await == expected).then_some(());
        eventually(&format!("{name}: its share"), there).await;
        consumer.shutdown().await;
    }
}
