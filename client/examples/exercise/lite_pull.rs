//! The consumer that is polled, and looking for offsets.

use std::collections::BTreeSet;
use std::time::Duration;

use ringmq_client::admin::BrokerTarget;
use ringmq_client::config::ConsumerConfig;
use ringmq_client::message::Message;
use ringmq_protocol::bodies::group::SubscriptionGroupConfig;
use ringmq_runtime::clock;

use crate::world::{PATIENCE, World, body, eventually, number_of, send_all};

/// Named queues: seek, pause, commit by hand, and going on there.
pub async fn assign(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 2).await;
    let producer = world.producer(&client).await;
    for number in 0..40 {
        let message = Message::new(&topic, body(number, 20));
        producer.send_select(message, |_| 1).await.expect("sent");
    }
    let config = ConsumerConfig { auto_commit: false, ..world.group("g") };
    let consumer = client.lite_pull_consumer(config.clone()).await.expect("joined");
    let queue = consumer.queues(&topic).await.expect("a route")[1].clone();
    consumer.assign(vec![queue.clone()]).await.expect("assigned");
    let first = consumer.poll(1, PATIENCE).await.expect("polled");
    assert_eq!(number_of(&first[0]), 0);
    consumer.seek(queue.clone(), 30).await.expect("ours");
    let sought = consumer.poll(1, PATIENCE).await.expect("polled");
    assert_eq!(number_of(&sought[0]), 30);
    consumer.set_paused(vec![queue.clone()], true).await.expect("ours");
    let none = consumer.poll(1, Duration::from_millis(300)).await.expect("polled");
    assert!(none.is_empty(), "a paused queue brings nothing");
    consumer.set_paused(vec![queue.clone()], false).await.expect("ours");
    let next = consumer.poll(1, PATIENCE).await.expect("polled");
    assert_eq!(number_of(&next[0]), 31);
    assert_eq!(consumer.position(queue.clone()).await.expect("known"), 32);
    consumer.commit().await.expect("stored");
    consumer.shutdown().await;
    let again = client.lite_pull_consumer(config).await.expect("joined");
    again.assign(vec![queue]).await.expect("assigned");
    let resumed = again.poll(1, PATIENCE).await.expect("polled");
    assert_eq!(number_of(&resumed[0]), 32, "where it was committed");
    assert!(again.subscribe(&topic, "*").await.is_err(), "assign or subscribe, not both");
    client.shutdown().await;
}

/// Divided queues, committed by themselves; the next consumer goes on there.
pub async fn subscribe(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 4).await;
    let producer = world.producer(&client).await;
    let mut expected = 0..0;
    for _ in 0..2 {
        expected = expected.end..expected.end + 100;
        let message = |number| Message::new(&topic, body(number, 50));
        send_all(&producer, expected.clone(), message).await;
        let consumer = client.lite_pull_consumer(world.group("g")).await.expect("joined");
        consumer.subscribe(&topic, "*").await.expect("subscribed");
        let mut numbers = BTreeSet::new();
        while numbers.len() < 100 {
            let messages = consumer.poll(32, PATIENCE).await.expect("polled");
            assert!(!messages.is_empty(), "only {} messages came", numbers.len());
            for message in messages {
                assert!(numbers.insert(number_of(&message)), "one came twice");
            }
        }
        assert_eq!(numbers, expected.clone().collect());
        consumer.shutdown().await;
    }
    client.shutdown().await;
}

/// Offsets by time, ends of a queue, and a group's progress as others see and set it.
pub async fn search_offset(world: World) {
    let client = world.client().await;
    let topic = world.made_topic(&client, 1).await;
    let (producer, admin) = (world.producer(&client).await, client.admin());
    let mut times = Vec::new();
    for number in 0..10 {
        let sent = producer.send(Message::new(&topic, body(number, 20))).await.expect("sent");
        let stored = admin.view_message(&sent.offset_message_id).await.expect("found");
        times.push(stored.stored_at_ms);
        // The next one gets another time.
        eventually("the next millisecond", async || {
            (clock::unix_ms() > stored.stored_at_ms + 1).then_some(())
        })
        .await;
    }
    let queue = admin.queues(&topic).await.expect("a route")[0].clone();
    let ends = eventually("ten messages", async || {
        let ends = admin.queue_offsets(queue.clone()).await.expect("known");
        (ends.max == 10).then_some(ends)
    })
    .await;
    assert_eq!((ends.min, ends.earliest_stored_at_ms), (0, times[0]));
    for (offset, time) in (0..).zip(&times) {
        let found = admin.offset_by_time(queue.clone(), *time).await.expect("known");
        assert_eq!(found, offset, "at {time} of {times:?}");
    }
    let group = world.group("g").group;
    let settings =
        SubscriptionGroupConfig { group_name: group.clone(), ..SubscriptionGroupConfig::default() };
    admin.create_group(&BrokerTarget::All, &settings).await.expect("created");
    // Brokers answer 0 for a new group while the queue still has its first message.
    let stored = admin.consumer_offset(&group, queue.clone()).await.expect("asked");
    assert!(matches!(stored, None | Some(0)), "{stored:?}");
    admin.set_consumer_offset(&group, queue.clone(), 6).await.expect("stored");
    assert_eq!(admin.consumer_offset(&group, queue).await.expect("asked"), Some(6));
    client.shutdown().await;
}
