//! The lite pull consumer and the administration handle.

use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use ringmq_client::Client;
use ringmq_client::admin::{BrokerTarget, TopicSettings};
use ringmq_client::config::{ClientConfig, ConsumerConfig};
use ringmq_client::consumer::LitePullConsumer;
use ringmq_client::message::Message;
use ringmq_client::producer::Producer;
use ringmq_client::queue::MessageQueue;
use ringmq_protocol::codes::request;

use super::fake::FakeBroker;
use super::{client_of, group, numbers, producer_of, send};

/// Polls until `count` messages came; returns their bodies.
async fn poll(consumer: &LitePullConsumer, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        let messages = consumer.poll(10, Duration::from_secs(10)).await.expect("polled");
        assert!(!messages.is_empty(), "only {bodies:?} came");
        let texts = messages.iter().map(|m| String::from_utf8_lossy(&m.body).into_owned());
        bodies.extend(texts);
    }
    bodies
}

async fn send_to_queue(producer: &Producer, queue: usize, count: usize) {
    for number in 0..count {
        let message = Message::new("T", number.to_string());
        producer.send_select(message, move |_| queue).await.expect("sent");
    }
}

#[test]
fn a_subscription_is_polled_and_committed_by_itself() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    block_on(async {
        send(&producer_of(&client).await, 0, 30).await;
        let consumer = client.lite_pull_consumer(group("g")).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        let mut bodies = poll(&consumer, 30).await;
        bodies.sort_by_key(|body| body.parse::<u32>().expect("a number"));
        assert_eq!(bodies, numbers(30));
        assert_eq!(consumer.assignment().await.expect("known").len(), 4);
        // Who polls again has processed what the polls before brought.
        let none = consumer.poll(10, Duration::from_millis(20)).await.expect("polled");
        assert!(none.is_empty());
        broker.wait_for("commits", |state| state.committed("g", "T") == 30);
        consumer.shutdown().await;
        assert!(consumer.poll(1, Duration::ZERO).await.is_err());
    });
}

#[test]
fn assigned_queues_are_sought_paused_and_committed_by_hand() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    block_on(async {
        send_to_queue(&producer_of(&client).await, 2, 10).await;
        let config = ConsumerConfig { auto_commit: false, ..group("g") };
        let consumer = client.lite_pull_consumer(config).await.expect("joined");
        let queues = consumer.queues("T").await.expect("a route");
        let queue = queues.iter().find(|queue| queue.queue_id == 2).expect("there").clone();
        consumer.assign(vec![queue.clone()]).await.expect("assigned");
        assert_eq!(poll(&consumer, 10).await, numbers(10));
        assert_eq!(broker.state().committed("g", "T"), 0, "nothing is stored unasked");

        consumer.seek(queue.clone(), 7).await.expect("ours");
        assert_eq!(poll(&consumer, 3).await, ["7", "8", "9"]);
        consumer.seek(MessageQueue::new("T", "a", 0), 0).await.expect_err("not ours");

        consumer.seek(queue.clone(), 0).await.expect("ours");
        consumer.set_paused(vec![queue.clone()], true).await.expect("paused");
        let none = consumer.poll(10, Duration::from_millis(50)).await.expect("polled");
        assert!(none.is_empty(), "{none:?}");
        consumer.set_paused(vec![queue.clone()], false).await.expect("resumed");
        assert_eq!(poll(&consumer, 10).await, numbers(10));

        consumer.commit().await.expect("stored");
        assert_eq!(broker.state().committed("g", "T"), 10);
        assert_eq!(consumer.position(queue).await.expect("known"), 10);
    });
}

#[test]
fn a_queue_that_could_not_be_assigned_at_once_is_tried_again_soon() {
    let broker = FakeBroker::start("a");
    // Rebalances every 20 s.
    let client = Client::start_blocking(ClientConfig::new(&broker.address)).expect("started");
    block_on(async {
        send_to_queue(&producer_of(&client).await, 2, 3).await;
        let consumer = client.lite_pull_consumer(group("g")).await.expect("joined");
        broker.state().refused.insert(request::QUERY_CONSUMER_OFFSET);
        consumer.assign(vec![MessageQueue::new("T", "a", 2)]).await.expect("assigned");
        assert!(consumer.assignment().await.expect("known").is_empty(), "where does it begin?");
        broker.state().refused.clear();
        assert_eq!(poll(&consumer, 3).await, numbers(3));
    });
}

#[test]
fn a_poll_that_is_dropped_takes_no_messages_with_it() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    block_on(async {
        let producer = producer_of(&client).await;
        send(&producer, 0, 1).await;
        let consumer = client.lite_pull_consumer(group("g")).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        assert_eq!(poll(&consumer, 1).await, ["0"]);
        for _ in 0..3 {
            // Begun, then dropped: its work in the client goes on.
            let dropped = std::pin::pin!(consumer.poll(10, Duration::from_secs(10)));
            assert!(poll_once(dropped).await.is_none(), "nothing is there yet");
        }
        send(&producer, 1, 8).await;
        let mut bodies = poll(&consumer, 8).await;
        bodies.sort_unstable();
        assert_eq!(bodies, numbers(9)[1..]);
    });
}

#[test]
fn what_is_polled_last_is_stored_when_the_consumer_leaves() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    block_on(async {
        send_to_queue(&producer_of(&client).await, 0, 3).await;
        let consumer = client.lite_pull_consumer(group("g")).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        assert_eq!(poll(&consumer, 3).await, numbers(3));
        consumer.shutdown().await;
    });
    assert_eq!(broker.state().committed("g", "T"), 3);
}

#[test]
fn a_queue_that_is_given_up_takes_no_commit_with_it_that_was_not_asked_for() {
    let broker = FakeBroker::start("a");
    let (first, second) = (client_of(&broker), client_of(&broker));
    block_on(async {
        send(&producer_of(&first).await, 0, 8).await;
        let config = ConsumerConfig { auto_commit: false, ..group("g") };
        let one = first.lite_pull_consumer(config.clone()).await.expect("joined");
        one.subscribe("T", "*").await.expect("subscribed");
        poll(&one, 8).await;
        let two = second.lite_pull_consumer(config).await.expect("joined");
        two.subscribe("T", "*").await.expect("subscribed");
        assert_eq!(poll(&two, 4).await.len(), 4, "two queues come again, from their beginning");
        one.shutdown().await;
    });
    assert_eq!(broker.state().committed("g", "T"), 0, "nobody committed");
}

#[test]
fn the_position_in_a_queue_of_others_is_looked_up_and_never_stored() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    block_on(async {
        send_to_queue(&producer_of(&client).await, 0, 2).await;
        let consumer = client.lite_pull_consumer(group("g")).await.expect("joined");
        consumer.assign(vec![MessageQueue::new("T", "a", 0)]).await.expect("assigned");
        poll(&consumer, 2).await;
        let of_others = MessageQueue::new("T", "a", 1);
        let key = key_of(1);
        for stored in [5, 9] {
            broker.state().offsets.insert(key.clone(), stored);
            let position = consumer.position(of_others.clone()).await.expect("asked");
            assert_eq!(position, stored);
        }
        // Its owner goes on.
        broker.state().offsets.insert(key.clone(), 12);
        consumer.commit().await.expect("stored");
    });
    assert_eq!(broker.state().offsets[&key_of(0)], 2);
    assert_eq!(broker.state().offsets[&key_of(1)], 12, "set back to what was looked up");
}

/// Where the fake keeps the progress of the group `g` in a queue of `T`.
fn key_of(queue: i32) -> (String, (String, i32)) {
    ("g".to_owned(), ("T".to_owned(), queue))
}

#[test]
fn a_commit_that_was_not_stored_says_so() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    block_on(async {
        send_to_queue(&producer_of(&client).await, 0, 2).await;
        let config = ConsumerConfig { auto_commit: false, ..group("g") };
        let consumer = client.lite_pull_consumer(config).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        poll(&consumer, 2).await;
        broker.state().refused.insert(request::UPDATE_CONSUMER_OFFSET);
        let error = consumer.commit().await.expect_err("refused");
        assert!(error.to_string().contains("trouble was asked for"), "{error}");
        broker.state().refused.clear();
        consumer.commit().await.expect("stored");
    });
    assert_eq!(broker.state().committed("g", "T"), 2);
}

#[test]
fn a_commit_goes_on_when_the_connection_is_lost() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    block_on(async {
        let producer = producer_of(&client).await;
        for queue in 0..4 {
            send_to_queue(&producer, queue, 1).await;
        }
        let config = ConsumerConfig { auto_commit: false, ..group("g") };
        let consumer = client.lite_pull_consumer(config).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        poll(&consumer, 4).await;
        broker.state().cut = Some(request::UPDATE_CONSUMER_OFFSET);
        consumer.commit().await.expect_err("one is not stored");
        assert_eq!(broker.state().committed("g", "T"), 3, "over a new connection");
    });
}

#[test]
fn a_queue_that_is_given_up_during_a_commit_is_left_to_its_next_owner() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    let queue = |id| MessageQueue::new("T", "a", id);
    let consumer = block_on(async {
        let producer = producer_of(&client).await;
        for queue in 0..4 {
            send_to_queue(&producer, queue, 2).await;
        }
        let config = ConsumerConfig { auto_commit: false, ..group("g") };
        let consumer = client.lite_pull_consumer(config).await.expect("joined");
        consumer.assign((0..4).map(queue).collect()).await.expect("assigned");
        poll(&consumer, 8).await;
        consumer
    });
    // The broker takes nothing in as long as this is held.
    let mut state = broker.state();
    let mut commit = std::pin::pin!(consumer.commit());
    assert!(block_on(poll_once(commit.as_mut())).is_none(), "the first has no answer");
    block_on(consumer.assign(vec![queue(0)])).expect("asks nobody");
    for id in 1..4 {
        state.offsets.insert(key_of(id), 500);
    }
    drop(state);
    block_on(commit).expect("stored");
    let stored = (0..4).map(|id| broker.state().offsets[&key_of(id)]).collect::<Vec<_>>();
    assert_eq!(stored[0], 2, "still ours");
    // Of whichever queue it is, the first had left before the queue was given up.
    let set_back = stored[1..].iter().filter(|&&offset| offset != 500).count();
    assert!(set_back <= 1, "the next owner's are set back: {stored:?}");
}

#[test]
fn an_assignment_ends_what_the_one_before_it_still_began() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    let queue = |id| MessageQueue::new("T", "a", id);
    let consumer = block_on(async {
        send_to_queue(&producer_of(&client).await, 1, 2).await;
        let consumer = client.lite_pull_consumer(group("g")).await.expect("joined");
        consumer.assign(vec![queue(0)]).await.expect("assigned");
        consumer
    });
    // The broker says nothing as long as this is held.
    let state = broker.state();
    let mut wide = std::pin::pin!(consumer.assign((0..4).map(queue).collect()));
    assert!(block_on(poll_once(wide.as_mut())).is_none(), "asks where the queues begin");
    let mut narrow = std::pin::pin!(consumer.assign(vec![queue(0)]));
    let _ = block_on(poll_once(narrow.as_mut()));
    // Both have begun when what is asked behind them is answered.
    block_on(consumer.assignment()).expect("known");
    drop(state);
    block_on(narrow).expect("assigned");
    block_on(wide).expect("overtaken");
    let assigned = block_on(consumer.assignment()).expect("known");
    assert_eq!(assigned, [queue(0)]);
    let polled = block_on(consumer.poll(10, Duration::from_millis(50))).expect("polled");
    assert!(polled.is_empty(), "of a queue that is not assigned: {polled:?}");
}

#[test]
fn the_two_ways_to_get_queues_exclude_each_other() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    block_on(async {
        send(&producer_of(&client).await, 0, 1).await;
        let consumer = client.lite_pull_consumer(group("g")).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        let queue = MessageQueue::new("T", "a", 0);
        consumer.assign(vec![queue]).await.expect_err("refused");
        let again = client.lite_pull_consumer(group("g")).await;
        assert!(again.is_err(), "one client is one member of a group");
    });
}

#[test]
fn administration_creates_topics_and_looks_up_offsets() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    let admin = client.admin();
    block_on(async {
        let unknown = admin.topic_route("T").await.expect_err("no such topic");
        assert_eq!(unknown.code(), Some(17));
        let settings = TopicSettings::new("T", 4);
        admin.create_topic(&BrokerTarget::All, &settings).await.expect("created");
        assert_eq!(admin.queues("T").await.expect("a route").len(), 4);
        send_to_queue(&producer_of(&client).await, 1, 3).await;
        let queue = MessageQueue::new("T", "a", 1);
        let offsets = admin.queue_offsets(queue.clone()).await.expect("known");
        assert_eq!((offsets.min, offsets.max), (0, 3));
        let stored = admin.consumer_offset("g", queue.clone()).await.expect("asked");
        assert_eq!(stored, None);
        admin.set_consumer_offset("g", queue.clone(), 2).await.expect("stored");
        assert_eq!(admin.consumer_offset("g", queue).await.expect("asked"), Some(2));
        let cluster = admin.cluster().await.expect("known");
        assert_eq!(cluster.broker_addr_table.keys().collect::<Vec<_>>(), ["a"]);
        let nowhere = BrokerTarget::Cluster("nowhere".into());
        let refused = admin.create_topic(&nowhere, &TopicSettings::new("U", 1)).await;
        assert!(refused.expect_err("no broker").to_string().contains("nowhere"));
    });
}
