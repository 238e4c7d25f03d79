//! What push consumers do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringmq_client::Client;
use ringmq_client::config::{ClientConfig, ConsumerConfig, MessageModel};
use ringmq_client::consumer::{ConsumeStatus, OrderlyContext, OrderlyStatus};
use ringmq_client::message::Message;
use ringmq_client::received::ReceivedMessage;
use ringmq_runtime::clock::Instant;

use crate::world::{Seen, World, body, eventually, number_of, send_all};

/// Numbers from here on are probes.
const PROBES_FROM: usize = 1_000_000;

async fn push(client: &Client, config: ConsumerConfig, topic: &str, expression: &str) -> Seen {
    let seen = Seen::default();
    let consumer = client.push_consumer(config, seen.listener()).await.expect("joined");
    consumer.subscribe(topic, expression).await.expect("subscribed");
    seen
}

/// Two members share a topic: once each has half of the queues, each message comes once, to one of
/// them. That a member gets something is too little to go by: it takes its queues one by one.
pub async fn clustering(world: World) {
    let (first, second) = (world.client().await, world.client().await);
    let topic = world.made_topic(&first, 4).await;
    let seen = [
        push(&first, world.group("g"), &topic, "*").await,
        push(&second, world.group("g"), &topic, "*").await,
    ];
    let producer = world.producer(&first).await;
    let mut probes = PROBES_FROM..;
    eventually("half of the queues for each member", async || {
        let round: Vec<_> = probes.by_ref().take(4).collect();
        send_all(&producer, round.iter().copied(), |n| Message::new(&topic, body(n, 8))).await;
        let shares = || seen.each_ref().map(|seen| queues_of(seen, &round));
        eventually("the probes", async || (shares().concat().len() >= 4).then_some(())).await;
        let is_half = |share: &Vec<i32>| share.len() == 2;
        let queues: BTreeSet<_> = shares().concat().into_iter().collect();
        (shares().iter().all(is_half) && queues.len() == 4).then_some(())
    })
    .await;
    send_all(&producer, 0..500, |number| Message::new(&topic, body(number, 300))).await;
    let deliveries = || seen.iter().flat_map(|seen| seen.all()).collect::<Vec<_>>();
    let is_ours = |message: &&Arc<ReceivedMessage>| number_of(message) < PROBES_FROM;
    eventually("500 messages", async || {
        (deliveries().iter().filter(is_ours).count() >= 500).then_some(())
    })
    .await;
    let mut times = BTreeMap::new();
    for message in deliveries().iter().filter(is_ours) {
        *times.entry(number_of(message)).or_insert(0) += 1;
    }
    assert!(times.len() == 500 && times.values().all(|times| *times == 1), "each once: {times:?}");
    first.shutdown().await;
    second.shutdown().await;
}

/// The queues from which these numbers came, one for each time.
fn queues_of(seen: &Seen, numbers: &[usize]) -> Vec<i32> {
    let all = seen.all();
    let wanted = all.iter().filter(|message| numbers.contains(&number_of(message)));
    wanted.map(|message| message.queue.queue_id).collect()
}

/// Only messages with a wanted tag arrive.
pub async fn tag_filter(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 4).await;
    let producer = world.producer(&client).await;
    let tag = |number: usize| ["a", "b", "c", "d"][number % 4];
    send_all(&producer, 0..200, |n| Message::new(&topic, body(n, 30)).tag(tag(n))).await;
    let seen = push(&client, world.group("g"), &topic, "a || c").await;
    let wanted = (0..200).filter(|number| number % 2 == 0);
    let messages = seen.wait("tags", wanted).await;
    assert!(messages.iter().all(|message| matches!(message.tag(), Some("a" | "c"))));
    client.shutdown().await;
}

/// A message that comes while the broker holds the pull is there at once.
pub async fn long_poll(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 1).await;
    let seen = push(&client, world.group("g"), &topic, "*").await;
    let producer = world.producer(&client).await;
    producer.send(Message::new(&topic, body(0, 8))).await.expect("sent");
    seen.wait("the first message", 0..1).await;
    for number in 1..10 {
        let began = Instant::now();
        producer.send(Message::new(&topic, body(number, 8))).await.expect("sent");
        seen.wait("a message", number..number + 1).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "message {number} took {took:?}");
    }
    client.shutdown().await;
}

/// Queue by queue in order, one batch at a time, also where the listener asks for the same again.
pub async fn orderly(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 4).await;
    let producer = world.producer(&client).await;
    send_all(&producer, 0..400, |number| Message::new(&topic, body(number, 100))).await;
    let (seen, suspended) = (Seen::default(), Arc::new(AtomicUsize::new(0)));
    let listener = {
        let (seen, suspended) = (seen.clone(), suspended.clone());
        move |messages: &[Arc<ReceivedMessage>], context: &OrderlyContext| {
            if context.attempt == 0 && messages[0].queue_offset == 0 {
                suspended.fetch_add(1, Ordering::Relaxed);
                return OrderlyStatus::Suspend;
            }
            seen.add(messages);
            OrderlyStatus::Success
        }
    };
    let config = ConsumerConfig {
        consume_batch: 16,
        orderly_suspend: Duration::from_millis(100),
        ..world.group("g")
    };
    let consumer = client.orderly_consumer(config, listener).await.expect("joined");
    consumer.subscribe(&topic, "*").await.expect("subscribed");
    let mut next = BTreeMap::new();
    for message in seen.wait("orderly", 0..400).await {
        let offset = next.entry(message.queue.clone()).or_insert(0);
        assert_eq!(message.queue_offset, *offset, "in order, none twice");
        *offset += 1;
    }
    assert_eq!(suspended.load(Ordering::Relaxed), next.len(), "once in each queue");
    client.shutdown().await;
}

/// Every member gets everything; where it is stays in a local file.
pub async fn broadcasting(world: World) {
    let first = world.client().await;
    let topic = world.made_topic(&first, 4).await;
    let producer = world.producer(&first).await;
    send_all(&producer, 0..200, |number| Message::new(&topic, body(number, 100))).await;
    let directory = tempfile::tempdir().expect("a directory");
    let member = async |name: &str| {
        let config =
            ClientConfig { local_offset_dir: directory.path().join(name), ..world.config() };
        let client = Client::start(config).await.expect("started");
        let group = ConsumerConfig { model: MessageModel::Broadcasting, ..world.group("g") };
        let seen = push(&client, group, &topic, "*").await;
        (client, seen)
    };
    let ((one, seen_by_one), (two, seen_by_two)) = (member("one").await, member("two").await);
    assert_eq!(seen_by_one.wait("the first member", 0..200).await.len(), 200);
    assert_eq!(seen_by_two.wait("the second member", 0..200).await.len(), 200);
    one.shutdown().await;
    send_all(&producer, 200..220, |number| Message::new(&topic, body(number, 100))).await;
    let (one, seen_by_one) = member("one").await;
    let late = seen_by_one.wait("the first member, back again", 200..220).await;
    assert_eq!(late.len(), 20, "it goes on where it was");
    seen_by_two.wait("the second member", 0..220).await;
    for client in [first, one, two] {
        client.shutdown().await;
    }
}

/// A new consumer of the group goes on where the old one stopped.
pub async fn resume(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 4).await;
    let producer = world.producer(&client).await;
    send_all(&producer, 0..300, |number| Message::new(&topic, body(number, 100))).await;
    let first = world.client().await;
    let seen = push(&first, world.group("g"), &topic, "*").await;
    assert_eq!(seen.wait("the first consumer", 0..300).await.len(), 300);
    first.shutdown().await;
    send_all(&producer, 300..340, |number| Message::new(&topic, body(number, 100))).await;
    let second = world.client().await;
    let seen = push(&second, world.group("g"), &topic, "*").await;
    assert_eq!(seen.wait("the second consumer", 300..340).await.len(), 40);
    second.shutdown().await;
    client.shutdown().await;
}

/// A message that the listener refused comes again and says so, whether the broker takes it back
/// or not; others are not held up.
pub async fn retry(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 4).await;
    let producer = world.producer(&client).await;
    send_all(&producer, 0..50, |number| Message::new(&topic, body(number, 100))).await;
    let seen = Seen::default();
    let listener = {
        let seen = seen.clone();
        move |messages: &[Arc<ReceivedMessage>]| {
            if number_of(&messages[0]) == 7 && messages[0].reconsume_times == 0 {
                return ConsumeStatus::RetryLater(1);
            }
            seen.add(messages);
            ConsumeStatus::Success
        }
    };
    let consumer = client.push_consumer(world.group("g"), listener).await.expect("joined");
    consumer.subscribe(&topic, "*").await.expect("subscribed");
    let messages = seen.wait("every message", 0..50).await;
    let again: Vec<_> = messages.iter().filter(|message| message.reconsume_times > 0).collect();
    assert_eq!(again.iter().map(|message| number_of(message)).collect::<Vec<_>>(), [7]);
    assert_eq!(again[0].topic, topic, "the application sees its own topic");
    consumer.shutdown().await;
    client.shutdown().await;
}
