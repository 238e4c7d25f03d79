//! What producers do.

use std::collections::{BTreeMap, BTreeSet};

use ringmq_client::config::ProducerConfig;
use ringmq_client::message::Message;
use ringmq_client::producer::SendStatus;
use ringmq_client::{ClientError, error};
use ringmq_protocol::codes::response;
use ringmq_protocol::compression::Compression;
use ringmq_runtime::clock::Instant;

use crate::world::{World, body, number_of, send_all};

/// One after the other, to a topic that the first message makes.
pub async fn send_sync(world: World) {
    let (client, topic) = (world.client().await, world.topic());
    let producer = world.producer(&client).await;
    let mut places = BTreeSet::new();
    for number in 0..100 {
        let message = Message::new(&topic, body(number, 100)).keys("k").tag("t").flag(5);
        let sent = producer.send(message).await.expect("sent");
        assert_eq!(sent.status, SendStatus::Ok);
        assert!(places.insert((sent.queue, sent.queue_offset)), "a place is given twice");
    }
    let messages = world.read(&client, &topic, 100).await;
    assert_eq!(messages.len(), 100);
    for message in messages {
        assert!(places.remove(&(message.queue.clone(), message.queue_offset)), "{message:?}");
        assert_eq!((message.flag, message.tag(), message.keys()), (5, Some("t"), Some("k")));
    }
    client.shutdown().await;
}

/// 2,000 messages of different sizes in flight at once: each is where its answer says, as it was.
pub async fn intact(world: World) {
    const MESSAGES: usize = 2_000;
    let size_of = |number: usize| 8 + number * 7_919 % 9_000;
    let client = world.client().await;
    let topic = world.made_topic(&client, 4).await;
    let producer = world.producer(&client).await;
    let message = |number| Message::new(&topic, body(number, size_of(number)));
    let sent = send_all(&producer, 0..MESSAGES, message).await;
    let answers = sent.into_iter().map(|sent| (sent.queue, sent.queue_offset));
    let mut expected: BTreeMap<_, usize> = answers.zip(0..).collect();
    assert_eq!(expected.len(), MESSAGES, "a place is given twice");
    let mut next = BTreeMap::new();
    for message in world.read(&client, &topic, MESSAGES).await {
        let offset = next.entry(message.queue.clone()).or_insert(0);
        assert_eq!(message.queue_offset, *offset, "no gap, no repetition, in order");
        *offset += 1;
        let number = expected.remove(&(message.queue.clone(), message.queue_offset));
        let number = number.expect("an acknowledged place");
        assert!(message.body == body(number, size_of(number)), "message {number} differs");
    }
    assert!(expected.is_empty());
    client.shutdown().await;
}

/// Nobody answers; all arrive.
pub async fn send_oneway(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 4).await;
    let producer = world.producer(&client).await;
    for number in 0..200 {
        producer.send_oneway(Message::new(&topic, body(number, 50))).await.expect("handed over");
    }
    let messages = world.read(&client, &topic, 200).await;
    let numbers: BTreeSet<_> = messages.iter().map(number_of).collect();
    assert_eq!(numbers, (0..200).collect());
    client.shutdown().await;
}

/// One request, one queue, consecutive offsets, a key for each.
pub async fn batch(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 4).await;
    let producer = world.producer(&client).await;
    let messages = (0..50).map(|number| Message::new(&topic, body(number, 200)).tag("b")).collect();
    let sent = producer.send_batch(messages).await.expect("sent");
    let ids: Vec<_> = sent.message_id.split(',').map(str::to_owned).collect();
    assert_eq!(ids.len(), 50);
    for (message, number) in world.read(&client, &topic, 50).await.into_iter().zip(0..) {
        assert_eq!((&message.queue, message.queue_offset), (&sent.queue, number));
        let number = usize::try_from(number).expect("small");
        assert!(message.body == body(number, 200) && message.message_id() == ids[number]);
    }
    let mixed = vec![Message::new(&topic, "x"), Message::new("other", "x")];
    let refused = producer.send_batch(mixed).await;
    assert!(matches!(refused, Err(ClientError::Invalid { .. })), "{refused:?}");
    client.shutdown().await;
}

/// A selector by key keeps a key in one queue; a named queue is used.
pub async fn queue_selector(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 4).await;
    let producer = world.producer(&client).await;
    for number in 0..40 {
        let message = Message::new(&topic, body(number, 20));
        let sent = producer.send_select(message, move |_| number % 7).await.expect("sent");
        let index = usize::try_from(sent.queue.queue_id).expect("an index");
        assert_eq!(index, number % 7 % 4);
        let message = Message::new(&topic, body(number, 20));
        let there = producer.send_to(message, sent.queue.clone()).await.expect("sent");
        assert_eq!(there.queue, sent.queue);
    }
    client.shutdown().await;
}

/// Three formats travel packed and arrive plain.
pub async fn compression(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 1).await;
    for format in [Compression::Zlib, Compression::Lz4, Compression::Zstd] {
        let config = ProducerConfig { compression: format, ..ProducerConfig::new("compression") };
        let producer = client.producer(config).await.expect("joined");
        let text = vec![b'a'; 100_000];
        let sent = producer.send(Message::new(&topic, text.clone())).await.expect("sent");
        let found = client.admin().view_message(&sent.offset_message_id).await.expect("found");
        assert!(found.body == text && found.message_id() == sent.message_id, "{format:?}");
        assert_eq!(Compression::of(found.sys_flag).expect("known"), Some(format));
    }
    client.shutdown().await;
}

/// 4 MiB are taken and come back.
pub async fn largest_body(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 1).await;
    let producer = world.producer(&client).await;
    let largest = body(1, 4 << 20);
    let sent = producer.send(Message::new(&topic, largest.clone())).await.expect("sent");
    let found = client.admin().view_message(&sent.offset_message_id).await.expect("found");
    assert!(found.body == largest);
    client.shutdown().await;
}

/// One byte more is refused: here, and by the broker where the client lets it pass; at once.
pub async fn oversize_body(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 1).await;
    let message = || Message::new(&topic, body(1, (4 << 20) + 1));
    let refused = world.producer(&client).await.send(message()).await;
    assert!(matches!(refused, Err(ClientError::Invalid { .. })), "{refused:?}");
    let config =
        ProducerConfig { message_size_max_bytes: 8 << 20, ..ProducerConfig::new("oversize") };
    let producer = client.producer(config).await.expect("joined");
    let began = Instant::now();
    let refused = producer.send(message()).await.expect_err("refused by the broker");
    assert_eq!(refused.code(), Some(response::MESSAGE_ILLEGAL), "{refused}");
    assert_eq!(error::code_name(response::MESSAGE_ILLEGAL), "MESSAGE_ILLEGAL");
    let took = began.elapsed();
    assert!(took < producer.config().send_timeout, "{took:?}: it was not refused at once");
    client.shutdown().await;
}
