//! The producer.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::block_on;
use ringmq_client::config::{ClientConfig, ProducerConfig};
use ringmq_client::message::Message;
use ringmq_client::producer::{Producer, SendStatus};
use ringmq_client::{Client, ClientError};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::properties::keys;
use ringmq_protocol::record::Record;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::remote;

use super::fake::{FakeBroker, Trouble};

fn connect(servers: &str, config: ProducerConfig) -> (Client, Producer) {
    let client = Client::start_blocking(ClientConfig::new(servers)).expect("started");
    let producer = block_on(client.producer(config)).expect("joined");
    (client, producer)
}

/// Gives up soon, yet long after an answer comes on a busy machine.
fn quick(group: &str) -> ProducerConfig {
    ProducerConfig { send_timeout: Duration::from_secs(1), ..ProducerConfig::new(group) }
}

#[test]
fn a_send_creates_its_topic_and_says_where_the_message_is() {
    let broker = FakeBroker::start("a");
    let (client, producer) = connect(&broker.address, ProducerConfig::new("p"));
    let sent = producer.send_blocking(Message::new("T", "hello").tag("A")).expect("sent");
    assert_eq!((sent.status, sent.queue_offset), (SendStatus::Ok, 0));
    let place = ("T".to_owned(), sent.queue.queue_id);
    let bytes = broker.state().queues[&place][0].clone();
    let record = Record::parse(&bytes).expect("a record");
    assert_eq!((record.body, record.properties.get(keys::TAGS)), (&b"hello"[..], Some("A")));
    assert_eq!(record.properties.get(keys::UNIQUE_KEY), Some(sent.message_id.as_str()));
    let viewed = block_on(client.admin().view_message(&sent.offset_message_id)).expect("found");
    assert_eq!(viewed.body, "hello");
    client.shutdown_blocking();
    let refused = producer.send_blocking(Message::new("T", "late"));
    assert!(matches!(refused, Err(ClientError::ShutDown)), "{refused:?}");
}

#[test]
fn a_broker_that_refuses_for_now_is_passed_over() {
    let (first, second) = (FakeBroker::start("a"), FakeBroker::start("b"));
    first.also_name(&second);
    let (_client, producer) = connect(&first.address, ProducerConfig::new("p"));
    for broker in [&first, &second] {
        broker.state().topics.insert("T".into());
    }
    first.state().trouble = [Trouble::Refuse(response::SYSTEM_BUSY); 20].into();
    for _ in 0..8 {
        let sent = producer.send_blocking(Message::new("T", "x")).expect("sent somewhere");
        assert_eq!(&*sent.queue.broker_name, "b");
    }
    assert!(first.state().trouble.len() < 20, "the first broker was asked, too");
    assert_eq!((first.state().stored("T"), second.state().stored("T")), (0, 8));
}

#[test]
fn a_fault_of_the_message_is_reported_after_one_attempt() {
    let broker = FakeBroker::start("a");
    let (_client, producer) = connect(&broker.address, ProducerConfig::new("p"));
    broker.state().trouble.push_back(Trouble::Refuse(response::MESSAGE_ILLEGAL));
    let error = producer.send_blocking(Message::new("T", "x")).expect_err("refused");
    assert_eq!(error.code(), Some(response::MESSAGE_ILLEGAL));
    assert_eq!(broker.state().count(request::SEND_MESSAGE_V2), 1);
    let text = error.to_string();
    for part in ["send to topic T", "a at 127.0.0.1", "MESSAGE_ILLEGAL (13)", "asked for"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
}

#[test]
fn a_broker_that_stays_silent_costs_the_send_timeout_and_no_more() {
    let broker = FakeBroker::start("a");
    let (_client, producer) = connect(&broker.address, quick("p"));
    producer.send_blocking(Message::new("T", "warm-up")).expect("sent");
    broker.state().trouble.push_back(Trouble::Silence);
    let error = producer.send_blocking(Message::new("T", "x")).expect_err("no answer");
    assert!(error.to_string().contains("no answer within"), "{error}");
    producer.send_blocking(Message::new("T", "y")).expect("the connection still works");
}

#[test]
fn a_broker_that_goes_away_late_costs_the_send_timeout_and_no_more() {
    let broker = FakeBroker::start("a");
    let send_timeout = Duration::from_secs(2);
    let config = ProducerConfig { send_timeout, ..ProducerConfig::new("p") };
    let (_client, producer) = connect(&broker.address, config);
    producer.send_blocking(Message::new("T", "warm-up")).expect("sent");
    let late = Trouble::RefuseLate(response::GO_AWAY, send_timeout * 3 / 4);
    broker.state().trouble = [late, Trouble::Silence].into();
    let began = Instant::now();
    let error = producer.send_blocking(Message::new("T", "x")).expect_err("no answer");
    let took = Instant::now().saturating_since(began);
    assert!(took < send_timeout * 3 / 2, "{took:?}: {error}");
    assert!(broker.state().trouble.is_empty(), "it was asked twice");
}

#[test]
fn without_a_name_server_the_error_names_every_address_that_was_tried() {
    let closed = || {
        let socket = FakeBroker::start("gone");
        socket.address.clone()
    };
    let (one, two) = (closed(), closed());
    let (_client, producer) = connect(&format!("{one};{two}"), quick("p"));
    let error = producer.send_blocking(Message::new("T", "x")).expect_err("nobody there");
    let text = error.to_string();
    assert!(text.contains(&one) && text.contains(&two), "{text}");
}

#[test]
fn batches_one_way_sends_and_chosen_queues_arrive() {
    let broker = FakeBroker::start("a");
    let (_client, producer) = connect(&broker.address, ProducerConfig::new("p"));
    block_on(async {
        let batch = (0..5).map(|n| Message::new("T", format!("m{n}"))).collect();
        let sent = producer.send_batch(batch).await.expect("sent");
        assert_eq!(sent.message_id.split(',').count(), 5);
        assert_eq!(sent.offset_message_id.split(',').count(), 5);
        for _ in 0..3 {
            let select = |queues: &[ringmq_client::queue::MessageQueue]| queues.len() + 2;
            let sent = producer.send_select(Message::new("T", "s"), select).await.expect("sent");
            assert_eq!(sent.queue.queue_id, 2);
        }
        producer.send_oneway(Message::new("T", "nobody answers")).await.expect("handed over");
        let last = producer.send_to(Message::new("T", "after"), sent.queue).await.expect("sent");
        assert_eq!(last.status, SendStatus::Ok);
    });
    assert_eq!(broker.state().stored("T"), 5 + 3 + 1 + 1);
}

/// Polls all futures together until each has ended.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).map(Some).collect();
    let mut outputs = Vec::new();
    poll_fn(|context| {
        for slot in &mut futures {
            let Some(future) = slot else { continue };
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                outputs.push(output);
                *slot = None;
            }
        }
        if futures.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs
}

#[test]
fn many_sends_of_many_threads_are_in_flight_at_once() {
    let broker = FakeBroker::start("a");
    let config = ProducerConfig { in_flight_max: 16, ..ProducerConfig::new("p") };
    let (_client, producer) = connect(&broker.address, config);
    let start = |_| {
        let (producer, (done, result)) = (producer.clone(), remote::oneshot());
        let send_all = move || {
            let sends = (0..50).map(|n| producer.send(Message::new("T", format!("{n}")))).collect();
            let sent = block_on(join_all(sends));
            done.send(sent.iter().filter(|sent| sent.is_ok()).count());
        };
        remote::spawn_thread("sender", send_all).expect("a thread");
        result
    };
    let threads: Vec<_> = (0..4).map(start).collect();
    for result in threads {
        assert_eq!(block_on(result), Ok(50));
    }
    assert_eq!(broker.state().stored("T"), 200);
}
