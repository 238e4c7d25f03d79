//! The push consumer.

use std::sync::Arc;

use futures_lite::future::block_on;
use ringmq_client::config::{ConsumerConfig, MessageModel};
use ringmq_client::consumer::ConsumeStatus;
use ringmq_client::message::Message;
use ringmq_client::received::ReceivedMessage;
use ringmq_protocol::bodies::running::ConsumerRunningInfo;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::json;
use ringmq_protocol::properties::keys;

use super::fake::{FakeBroker, Trouble, reset_to};
use super::{Seen, client_of, group, numbers, producer_of, send};

type Batch<'a> = &'a [Arc<ReceivedMessage>];

pub fn record(seen: &Seen) -> impl Fn(Batch<'_>) -> ConsumeStatus + Send + Sync + 'static {
    let seen = seen.clone();
    move |messages: Batch<'_>| {
        messages.iter().for_each(|message| seen.push(&message.body));
        ConsumeStatus::Success
    }
}

#[test]
fn every_message_is_consumed_once_and_progress_outlives_the_consumer() {
    let broker = FakeBroker::start("a");
    let (first, seen) = (client_of(&broker), Seen::default());
    block_on(async {
        let producer = producer_of(&first).await;
        send(&producer, 0, 50).await;
        let consumer = first.push_consumer(group("g"), record(&seen)).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        send(&producer, 50, 50).await;
    });
    assert_eq!(seen.wait(100), numbers(100));
    first.shutdown_blocking();
    assert_eq!(broker.state().committed("g", "T"), 100);
    assert!(broker.state().members["g"].is_empty(), "it said goodbye");

    let (second, seen) = (client_of(&broker), Seen::default());
    block_on(async {
        let consumer = second.push_consumer(group("g"), record(&seen)).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        producer_of(&second).await.send(Message::new("T", "new")).await.expect("sent");
    });
    assert_eq!(seen.wait(1), ["new"]);
    second.shutdown_blocking();
}

#[test]
fn offsets_are_stored_while_the_consumer_runs() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    block_on(async {
        send(&producer_of(&client).await, 0, 10).await;
        let consumer = client.push_consumer(group("g"), record(&seen)).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
    });
    broker.wait_for("commits", |state| state.committed("g", "T") == 10);
}

#[test]
fn only_wanted_tags_reach_the_listener() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    block_on(async {
        let producer = producer_of(&client).await;
        for (number, tag) in ["A", "B", "C", "A"].into_iter().enumerate() {
            let message = Message::new("T", number.to_string()).tag(tag);
            producer.send(message).await.expect("sent");
        }
        let consumer = client.push_consumer(group("g"), record(&seen)).await.expect("joined");
        // The fake does not filter, as a broker lets colliding hashes through.
        consumer.subscribe("T", "A || C").await.expect("subscribed");
    });
    assert_eq!(seen.wait(3), ["0", "2", "3"]);
    broker.wait_for("commits past filtered", |state| state.committed("g", "T") == 4);
    assert_eq!(seen.len(), 3);
}

#[test]
fn an_unreadable_body_costs_that_message_and_not_its_neighbours() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    block_on(async {
        let producer = producer_of(&client).await;
        for number in 0..5 {
            let message = Message::new("T", number.to_string());
            producer.send_select(message, |_| 1).await.expect("sent");
        }
        // The third says that it is compressed, and is not: as a client with an error sends it.
        broker.state().spoil("T", 1, 2);
        let consumer = client.push_consumer(group("g"), record(&seen)).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
    });
    assert_eq!(seen.wait(4), ["0", "1", "3", "4"]);
    broker.wait_for("commits past it", |state| state.committed("g", "T") == 5);
}

#[test]
fn a_failed_message_comes_again_through_the_retry_topic() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    let topics = Seen::default();
    let listener = {
        let (seen, topics) = (seen.clone(), topics.clone());
        move |messages: Batch<'_>| {
            let message = &messages[0];
            seen.push(&message.body);
            topics.push(message.topic.as_bytes());
            match message.reconsume_times {
                0 => ConsumeStatus::RetryLater(0),
                _ => ConsumeStatus::Success,
            }
        }
    };
    block_on(async {
        producer_of(&client).await.send(Message::new("T", "again")).await.expect("sent");
        let consumer = client.push_consumer(group("g"), listener).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
    });
    assert_eq!(seen.wait(2), ["again", "again"]);
    assert_eq!(topics.wait(2), ["T", "T"], "the application sees its own topic");
    let state = broker.state();
    assert_eq!(state.count(request::CONSUMER_SEND_MSG_BACK), 1, "first it is sent back");
    let record = ringmq_protocol::record::Record::parse(
        &state
            .queues
            .iter()
            .find(|((topic, _), _)| topic == "%RETRY%g")
            .expect("then sent to the retry topic")
            .1[0],
    )
    .expect("a record")
    .reconsume_times;
    assert_eq!(record, 1);
}

#[test]
fn a_panic_of_the_listener_counts_as_failure_and_not_as_the_end() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    let listener = {
        let seen = seen.clone();
        move |messages: Batch<'_>| {
            assert!(messages[0].reconsume_times > 0, "the first delivery fails");
            seen.push(&messages[0].body);
            ConsumeStatus::Success
        }
    };
    block_on(async {
        send(&producer_of(&client).await, 0, 3).await;
        let config = ConsumerConfig { consume_threads: 1, ..group("g") };
        let consumer = client.push_consumer(config, listener).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
    });
    assert_eq!(seen.wait(3), numbers(3));
}

#[test]
fn two_members_share_the_queues_and_the_one_that_stays_takes_over() {
    let broker = FakeBroker::start("a");
    let (first, second) = (client_of(&broker), client_of(&broker));
    let (all, by_first, by_second) = (Seen::default(), Seen::default(), Seen::default());
    let record_both = |own: &Seen| {
        let (all, own) = (all.clone(), own.clone());
        move |messages: Batch<'_>| {
            own.push(&messages[0].body);
            all.push(&messages[0].body);
            ConsumeStatus::Success
        }
    };
    let producer = block_on(producer_of(&first));
    let mut sent = 1;
    block_on(async {
        send(&producer, 0, 1).await;
        for (client, seen) in [(&first, &by_first), (&second, &by_second)] {
            let consumer = client.push_consumer(group("g"), record_both(seen)).await;
            consumer.expect("joined").subscribe("T", "*").await.expect("subscribed");
        }
        broker.wait_for("two members", |state| state.members["g"].len() == 2);
        // Sends until both take part: then the queues are divided.
        while by_first.len() == 0 || by_second.len() == 0 {
            send(&producer, sent, 4).await;
            sent += 4;
        }
    });
    // A queue that changes hands may bring messages twice, never lose one.
    all.wait_to_contain(&numbers(sent));
    first.shutdown_blocking();
    let producer = block_on(producer_of(&second));
    block_on(send(&producer, sent, 8));
    by_second.wait_to_contain(&numbers(sent + 8)[sent..]);
    second.shutdown_blocking();
}

#[test]
fn broadcasting_reaches_every_client_and_resumes_from_a_local_file() {
    let broker = FakeBroker::start("a");
    let start = |directory: &std::path::Path, seen: &Seen| {
        let client = ringmq_client::Client::start_blocking(ringmq_client::config::ClientConfig {
            local_offset_dir: directory.to_owned(),
            ..ringmq_client::config::ClientConfig::new(&broker.address)
        })
        .expect("started");
        block_on(async {
            let config = ConsumerConfig { model: MessageModel::Broadcasting, ..group("g") };
            let consumer = client.push_consumer(config, record(seen)).await.expect("joined");
            consumer.subscribe("T", "*").await.expect("subscribed");
        });
        client
    };
    let directories =
        [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("too")];
    let seen = [Seen::default(), Seen::default()];
    let sender = client_of(&broker);
    let producer = block_on(producer_of(&sender));
    block_on(send(&producer, 0, 20));
    let clients = [0, 1].map(|n: usize| start(directories[n].path(), &seen[n]));
    for seen in &seen {
        assert_eq!(seen.wait(20), numbers(20));
    }
    clients.iter().for_each(ringmq_client::Client::shutdown_blocking);
    assert_eq!(broker.state().committed("g", "T"), 0, "brokers keep no such offsets");
    block_on(producer.send(Message::new("T", "new"))).expect("sent");
    let again = Seen::default();
    let client = start(directories[0].path(), &again);
    assert_eq!(again.wait(1), ["new"]);
    client.shutdown_blocking();
}

#[test]
fn a_message_property_survives_the_way_through_the_broker() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    let listener = {
        let seen = seen.clone();
        move |messages: Batch<'_>| {
            let message = &messages[0];
            seen.push(message.property("colour").unwrap_or_default().as_bytes());
            seen.push(message.property(keys::KEYS).unwrap_or_default().as_bytes());
            seen.push(&message.body[..4]);
            ConsumeStatus::Success
        }
    };
    block_on(async {
        let large = Message::new("T", vec![b'z'; 10_000]).property("colour", "blue").keys("k1");
        producer_of(&client).await.send(large).await.expect("sent");
        let consumer = client.push_consumer(group("g"), listener).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
    });
    assert_eq!(seen.wait_unsorted(3), ["blue", "k1", "zzzz"], "compressed on the way only");
}

#[test]
fn a_lost_connection_is_opened_again_and_the_broker_learns_the_group_at_once() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    let producer = block_on(producer_of(&client));
    block_on(async {
        send(&producer, 0, 4).await;
        let consumer = client.push_consumer(group("g"), record(&seen)).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
    });
    seen.wait(4);
    let beats = |state: &super::fake::State| state.count(request::HEART_BEAT);
    let before = beats(&broker.state());
    broker.state().trouble.push_back(Trouble::Disconnect);
    block_on(send(&producer, 4, 4));
    // The timer beats every 30 s, longer than this waits.
    broker.wait_for("a heartbeat", |state| beats(state) > before);
    seen.wait_to_contain(&numbers(8));
    client.shutdown_blocking();
}

#[test]
fn dropping_the_last_handle_frees_the_connections() {
    let broker = FakeBroker::start("a");
    let seen = Seen::default();
    {
        let client = client_of(&broker);
        let producer = block_on(producer_of(&client));
        block_on(send(&producer, 0, 1));
        let consumer = block_on(client.push_consumer(group("g"), record(&seen))).expect("joined");
        block_on(consumer.subscribe("T", "*")).expect("subscribed");
        seen.wait(1);
        assert_eq!(broker.state().closed, 0);
    }
    broker.wait_for("the end of the connection", |state| state.closed > 0);
}

#[test]
fn an_administrator_resets_offsets_and_looks_into_a_consumer() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    let producer = block_on(producer_of(&client));
    block_on(async {
        send(&producer, 0, 8).await;
        let consumer = client.push_consumer(group("g"), record(&seen)).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
    });
    seen.wait(8);
    broker.state().asks.push_back(reset_to(0, 0));
    // Queue 0 holds two of the eight; they come again.
    assert_eq!(seen.wait(10).len(), 10);

    let fields = vec![("consumerGroup", "g".to_owned()), ("clientId", "any".to_owned())];
    let ask = (request::GET_CONSUMER_RUNNING_INFO, fields, Vec::new());
    broker.state().asks.push_back(ask);
    broker.wait_for("running information", |state| state.answers.len() == 2);
    let (code, body) = broker.state().answers[1].clone();
    let info: ConsumerRunningInfo = json::from_slice(&body).expect("a body");
    let of_topic = info.mq_table.keys().filter(|queue| queue.topic == "T").count();
    assert_eq!((code, of_topic, info.subscription_set.len()), (0, 4, 2));
    client.shutdown_blocking();
}

#[test]
fn a_consumer_that_left_lets_go_of_its_listener() {
    /// Tells when it is dropped.
    struct Token(Seen);
    impl Drop for Token {
        fn drop(&mut self) {
            self.0.push(b"dropped");
        }
    }
    let broker = FakeBroker::start("a");
    let (client, seen, end) = (client_of(&broker), Seen::default(), Seen::default());
    let token = Token(end.clone());
    let listener = {
        let seen = seen.clone();
        move |messages: Batch<'_>| {
            let _kept = &token;
            seen.push(&messages[0].body);
            ConsumeStatus::Success
        }
    };
    block_on(async {
        send(&producer_of(&client).await, 0, 1).await;
        let consumer = client.push_consumer(group("g"), listener).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        seen.wait(1);
        consumer.shutdown().await;
    });
    assert_eq!(end.wait(1), ["dropped"], "though the client and its long polls live on");
    client.shutdown_blocking();
}

#[test]
fn a_server_that_goes_away_answers_what_it_was_asked_before() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    let producer = block_on(producer_of(&client));
    block_on(async {
        send(&producer, 0, 1).await;
        let consumer = client.push_consumer(group("g"), record(&seen)).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        seen.wait(1);
        broker.state().trouble.push_back(Trouble::Refuse(response::GO_AWAY));
        send(&producer, 1, 3).await;
    });
    assert_eq!(seen.wait(4), numbers(4));
    assert_eq!(broker.state().closed, 0, "pulls of the retry topic wait for their answers");
    client.shutdown_blocking();
}
