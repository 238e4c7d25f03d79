//! Routes that change, and the client's threads: from many of them, at the end, and without one.

use std::collections::BTreeSet;
use std::time::Duration;

use ringmq_client::config::{ClientConfig, ProducerConfig};
use ringmq_client::message::Message;
use ringmq_client::{Client, ClientError};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::remote;

use crate::world::{PATIENCE, Seen, World, body, eventually, send_all};

/// A topic gets more queues: producers send to them and consumers take them, without a restart.
pub async fn route_refresh(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 2).await;
    let producer = world.producer(&client).await;
    let seen = Seen::default();
    let consumer = client.push_consumer(world.group("g"), seen.listener()).await.expect("joined");
    consumer.subscribe(&topic, "*").await.expect("subscribed");
    send_all(&producer, 0..20, |number| Message::new(&topic, body(number, 20))).await;
    seen.wait("messages of two queues", 0..20).await;
    // Another client changes it: this one must find out by itself.
    let other = world.client().await;
    world.make_topic(&other, topic.clone(), 5).await;
    let mut next = 20;
    eventually("sends to the new queues", async || {
        let numbers = next..next + 10;
        next = numbers.end;
        let sent = send_all(&producer, numbers, |n| Message::new(&topic, body(n, 20))).await;
        let queues: BTreeSet<_> = sent.iter().map(|sent| sent.queue.queue_id).collect();
        (queues == (0..5).collect()).then_some(())
    })
    .await;
    seen.wait("messages of five queues", 0..next).await;
    other.shutdown().await;
    client.shutdown().await;
}

/// One producer and one consumer, used by plain threads with the calls that block.
pub async fn many_threads(world: World) {
    const THREADS: usize = 4;
    const EACH: usize = 100;
    let client = world.client().await;
    let topic = world.made_topic(&client, 4).await;
    let producer = world.producer(&client).await;
    let consumer = client.lite_pull_consumer(world.group("g")).await.expect("joined");
    consumer.subscribe(&topic, "*").await.expect("subscribed");
    let (mut ended, polled) = (Vec::new(), Seen::default());
    for thread in 0..THREADS {
        let (producer, topic) = (producer.clone(), topic.clone());
        let (done, result) = remote::oneshot();
        let send = move || {
            for number in thread * EACH..(thread + 1) * EACH - 10 {
                let message = Message::new(&topic, body(number, 64));
                producer.send_blocking(message).expect("sent");
            }
            let last = (thread + 1) * EACH - 10..(thread + 1) * EACH;
            let messages = last.map(|number| Message::new(&topic, body(number, 64))).collect();
            producer.send_batch_blocking(messages).expect("sent");
            done.send(());
        };
        remote::spawn_thread("sender", send).expect("a thread");
        ended.push(result);
        let (consumer, polled) = (consumer.clone(), polled.clone());
        let (done, result) = remote::oneshot();
        let poll = move || {
            while polled.numbers().len() < THREADS * EACH {
                let wait = Duration::from_millis(500);
                polled.add(&consumer.poll_blocking(16, wait).expect("polled"));
            }
            done.send(());
        };
        remote::spawn_thread("poller", poll).expect("a thread");
        ended.push(result);
    }
    for result in ended {
        let ended = tokio::time::timeout(PATIENCE, result).await;
        ended.expect("threads end in time").expect("no thread panics");
    }
    assert_eq!(polled.all().len(), THREADS * EACH, "each message to one thread");
    client.shutdown().await;
}

/// Everything fails afterwards, at once; a second shutdown is nothing.
pub async fn shutdown(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 1).await;
    let producer = world.producer(&client).await;
    let seen = Seen::default();
    let consumer = client.push_consumer(world.group("g"), seen.listener()).await.expect("joined");
    consumer.subscribe(&topic, "*").await.expect("subscribed");
    producer.send(Message::new(&topic, body(0, 8))).await.expect("sent");
    seen.wait("a message", 0..1).await;
    let began = Instant::now();
    client.shutdown().await;
    client.shutdown().await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "shutdown took {took:?}");
    let refused = producer.send(Message::new(&topic, "late")).await;
    assert!(matches!(refused, Err(ClientError::ShutDown)), "{refused:?}");
    assert!(matches!(consumer.subscribe(&topic, "*").await, Err(ClientError::ShutDown)));
    assert!(matches!(client.admin().topics().await, Err(ClientError::ShutDown)));
}

/// Sends that nobody waits for, and handles that go without a shutdown, hold up nobody.
pub async fn dropped_handles(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 4).await;
    let producer = world.producer(&client).await;
    for number in 0..50 {
        let send = producer.send(Message::new(&topic, body(number, 20)));
        // Given up as soon as it is under way.
        let _ = tokio::time::timeout(Duration::ZERO, send).await;
    }
    producer.send(Message::new(&topic, body(50, 20))).await.expect("sent");
    let seen = Seen::default();
    let consumer = client.push_consumer(world.group("g"), seen.listener()).await.expect("joined");
    consumer.subscribe(&topic, "*").await.expect("subscribed");
    seen.wait("the message that was waited for", 50..51).await;
    let waiting = tokio::spawn({
        let (client, group) = (client.clone(), world.group("idle"));
        async move {
            let consumer = client.lite_pull_consumer(group).await.expect("joined");
            consumer.poll(1, Duration::from_secs(3600)).await
        }
    });
    let began = Instant::now();
    waiting.abort();
    let _ = waiting.await;
    drop((consumer, producer, client));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "dropping took {took:?}");
}

/// Without a name server a client starts and stops, and says whom it asked in vain.
pub async fn nobody_there(_: World) {
    // Nobody listens on the port of a service that is long gone.
    let config = ClientConfig::new("127.0.0.1:9");
    let client = Client::start(config).await.expect("started");
    let producer = client.producer(ProducerConfig::new("p")).await.expect("joined");
    let began = Instant::now();
    let failed = producer.send(Message::new("T", "x")).await.expect_err("nobody is there");
    assert!(failed.to_string().contains("127.0.0.1:9"), "{failed}");
    assert!(began.elapsed() < producer.config().send_timeout + Duration::from_secs(1));
    client.shutdown().await;
}
