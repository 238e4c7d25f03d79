//! What a push consumer gets of topics that come, go and are asked for in vain.

use std::time::Duration;

use futures_lite::future::block_on;
use ringmq_client::consumer::subscription::Filter;
use ringmq_client::message::Message;
use ringmq_protocol::codes::request;

use super::fake::FakeBroker;
use super::push::record;
use super::{Seen, client_of, group, numbers, producer_of, send};

/// What must not happen has this long to happen all the same.
const WATCHED_FOR: Duration = Duration::from_millis(500);

#[test]
fn a_topic_that_comes_into_being_later_is_consumed_then() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    block_on(async {
        let consumer = client.push_consumer(group("g"), record(&seen)).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed, waits");
        let other = client_of(&broker);
        send(&producer_of(&other).await, 0, 8).await;
    });
    assert_eq!(seen.wait(8), numbers(8));
}

#[test]
fn a_broker_that_knows_no_sql_says_so_at_the_subscription() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    block_on(async {
        send(&producer_of(&client).await, 0, 1).await;
        let listener = record(&Seen::default());
        let consumer = client.push_consumer(group("g"), listener).await.expect("joined");
        let filter = Filter::Sql("a > 1".into());
        let error = consumer.subscribe_with("T", filter).await.expect_err("refused");
        assert!(error.to_string().contains("check of the subscription of T"), "{error}");
    });
}

#[test]
fn nothing_of_a_topic_is_delivered_once_it_is_not_subscribed_any_more() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    block_on(async {
        let producer = producer_of(&client).await;
        producer.send(Message::new("T", "first").tag("A")).await.expect("sent");
        let consumer = client.push_consumer(group("g"), record(&seen)).await.expect("joined");
        consumer.subscribe("T", "A").await.expect("subscribed");
        seen.wait(1);
        // Queues are not divided again while nobody says who is in the group.
        broker.state().silent.insert(request::GET_CONSUMER_LIST_BY_GROUP);
        consumer.unsubscribe("T").await.expect("there");
        for _ in 0..4 {
            producer.send(Message::new("T", "late").tag("B")).await.expect("sent");
        }
    });
    assert!(!seen.come_within(WATCHED_FOR, 2), "delivered all the same");
}
