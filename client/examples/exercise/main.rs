//! Runs what this library can do against a cluster and checks what comes out:
//! `cargo run -p ringmq-client --example exercise -- 127.0.0.1:9876`.
//!
//! Works with Apache's brokers and with ours. It makes topics and groups whose names begin with
//! `exercise`, says what each step found, and panics at the first surprise. `RINGMQ_LOG=debug`
//! shows what the client does.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::sync::{Arc, Condvar, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::block_on;
use ringmq_client::Client;
use ringmq_client::admin::{BrokerTarget, TopicSettings};
use ringmq_client::config::{
    ClientConfig, ConsumeFrom, ConsumerConfig, MessageModel, ProducerConfig,
};
use ringmq_client::consumer::{ConsumeStatus, OrderlyContext, OrderlyStatus};
use ringmq_client::message::Message;
use ringmq_client::producer::Producer;
use ringmq_client::received::ReceivedMessage;
use ringmq_protocol::compression::Compression;
use ringmq_runtime::clock::{Instant, unix_ms};
use tracing_subscriber::EnvFilter;

const MESSAGES: usize = 2_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Messages that listeners saw.
#[derive(Clone, Default)]
struct Seen(Arc<(Mutex<Vec<Arc<ReceivedMessage>>>, Condvar)>);

impl Seen {
    fn add(&self, messages: &[Arc<ReceivedMessage>]) {
        self.0.0.lock().expect("no panic").extend_from_slice(messages);
        self.0.1.notify_all();
    }

    /// Waits for `count` different messages; a queue that changes hands may bring some twice.
    fn wait(&self, what: &str, count: usize) -> Vec<Arc<ReceivedMessage>> {
        let different = |seen: &[Arc<ReceivedMessage>]| {
            seen.iter().map(|message| number_of(message)).collect::<BTreeSet<_>>().len()
        };
        let seen = self.0.0.lock().expect("no panic");
        let too_few = |seen: &mut Vec<_>| different(seen) < count;
        let (seen, timeout) =
            self.0.1.wait_timeout_while(seen, PATIENCE, too_few).expect("no panic");
        assert!(!timeout.timed_out(), "{what}: {} of {count} came", different(&seen));
        seen.clone()
    }
}

/// A body of random size whose first bytes tell its number and whose rest is noise.
fn body(number: usize, size: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut noise = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut bytes = format!("{number:08}").into_bytes();
    bytes.extend((8..size.max(8)).map(|_| noise()));
    bytes
}

fn size_of(number: usize) -> usize {
    8 + number * 7_919 % 9_000
}

fn number_of(message: &ReceivedMessage) -> usize {
    std::str::from_utf8(&message.body[..8]).expect("digits").parse().expect("a number")
}

async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| Some(Box::pin(future))).collect();
    let mut outputs = Vec::new();
    poll_fn(|context| {
        for slot in &mut waiting {
            if let Some(Poll::Ready(output)) = slot.as_mut().map(|f| f.as_mut().poll(context)) {
                outputs.push(output);
                *slot = None;
            }
        }
        if waiting.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs
}

struct Exercise {
    servers: String,
    client: Client,
    producer: Producer,
    topic: String,
    /// Makes names unique.
    stamp: i64,
}

impl Exercise {
    fn group(&self, name: &str) -> ConsumerConfig {
        let group = format!("exercise_{name}_{}", self.stamp);
        ConsumerConfig { consume_from: ConsumeFrom::FirstOffset, ..ConsumerConfig::new(group) }
    }

    fn another_client(&self) -> Client {
        Client::start_blocking(ClientConfig::new(&self.servers)).expect("started")
    }

    fn sends(&self) {
        let began = Instant::now();
        let send = |number| {
            let tag = if number % 5 == 0 { "five" } else { "other" };
            self.producer.send(Message::new(&self.topic, body(number, size_of(number))).tag(tag))
        };
        let sent = block_on(join_all((0..MESSAGES).map(send)));
        for result in &sent {
            assert!(result.is_ok(), "{result:?}");
        }
        println!("sends: {MESSAGES} pipelined in {:?}", began.elapsed());
        let began = Instant::now();
        for number in 0..100 {
            let message = Message::new(format!("{}_one", self.topic), body(number, 100));
            self.producer.send_blocking(message).expect("sent");
        }
        println!("sends: 100 one after the other in {:?}", began.elapsed());
    }

    fn clustering(&self) {
        let seen = Seen::default();
        let second = self.another_client();
        for client in [&self.client, &second] {
            let seen = seen.clone();
            let listener = move |messages: &[Arc<ReceivedMessage>]| {
                seen.add(messages);
                ConsumeStatus::Success
            };
            block_on(async {
                let consumer =
                    client.push_consumer(self.group("cluster"), listener).await.expect("joined");
                consumer.subscribe(&self.topic, "*").await.expect("subscribed");
            });
        }
        let messages = seen.wait("clustering", MESSAGES);
        for message in &messages {
            let number = number_of(message);
            assert!(message.body == body(number, size_of(number)), "message {number} differs");
        }
        println!("clustering: {} deliveries of {MESSAGES} to two members", messages.len());
        second.shutdown_blocking();
    }

    fn tags(&self) {
        let seen = Seen::default();
        let listener = {
            let seen = seen.clone();
            move |messages: &[Arc<ReceivedMessage>]| {
                seen.add(messages);
                ConsumeStatus::Success
            }
        };
        block_on(async {
            let consumer = self.client.push_consumer(self.group("tags"), listener).await;
            let consumer = consumer.expect("joined");
            consumer.subscribe(&self.topic, "five || none").await.expect("subscribed");
        });
        let messages = seen.wait("tags", MESSAGES / 5);
        assert!(messages.iter().all(|message| message.tag() == Some("five")));
        println!("tags: {} messages with the wanted tag", messages.len());
    }

    fn orderly(&self) {
        let seen = Seen::default();
        let listener = {
            let seen = seen.clone();
            move |messages: &[Arc<ReceivedMessage>], _: &OrderlyContext| {
                seen.add(messages);
                OrderlyStatus::Success
            }
        };
        block_on(async {
            let config = ConsumerConfig { consume_batch: 16, ..self.group("orderly") };
            let consumer = self.client.orderly_consumer(config, listener).await.expect("joined");
            consumer.subscribe(&self.topic, "*").await.expect("subscribed");
        });
        let mut last = BTreeMap::new();
        for message in seen.wait("orderly", MESSAGES) {
            let before = last.insert(message.queue.clone(), message.queue_offset);
            assert!(before.is_none_or(|before| before + 1 == message.queue_offset), "{message:?}");
        }
        println!("orderly: {} queues, each in order", last.len());
    }

    fn broadcasting(&self) {
        let directory = std::env::temp_dir().join(format!("ringmq-exercise-{}", self.stamp));
        let start = || {
            let seen = Seen::default();
            let config = ClientConfig {
                local_offset_dir: directory.clone(),
                ..ClientConfig::new(&self.servers)
            };
            let client = Client::start_blocking(config).expect("started");
            let listener = {
                let seen = seen.clone();
                move |messages: &[Arc<ReceivedMessage>]| {
                    seen.add(messages);
                    ConsumeStatus::Success
                }
            };
            let config =
                ConsumerConfig { model: MessageModel::Broadcasting, ..self.group("broadcast") };
            block_on(async {
                let consumer = client.push_consumer(config, listener).await.expect("joined");
                consumer.subscribe(&self.topic, "*").await.expect("subscribed");
            });
            (client, seen)
        };
        let (first, seen) = start();
        let count = seen.wait("broadcasting", MESSAGES).len();
        first.shutdown_blocking();
        let message = Message::new(&self.topic, body(MESSAGES, 100)).tag("late");
        self.producer.send_blocking(message).expect("sent");
        let (second, seen) = start();
        let resumed = seen.wait("broadcasting, resumed", 1);
        assert_eq!(number_of(&resumed[0]), MESSAGES, "it goes on where it was");
        second.shutdown_blocking();
        println!("broadcasting: {count} messages, then resumed from a local file");
    }

    fn lite_pull(&self) {
        block_on(async {
            let config = ConsumerConfig { auto_commit: false, ..self.group("lite") };
            let consumer = self.client.lite_pull_consumer(config).await.expect("joined");
            let queue = consumer.queues(&self.topic).await.expect("a route")[0].clone();
            consumer.assign(vec![queue.clone()]).await.expect("assigned");
            let first = consumer.poll(1, PATIENCE).await.expect("polled");
            assert_eq!(first[0].queue_offset, 0);
            consumer.seek(queue.clone(), 10).await.expect("ours");
            let sought = consumer.poll(1, PATIENCE).await.expect("polled");
            assert_eq!(sought[0].queue_offset, 10);
            consumer.commit().await.expect("stored");
            assert_eq!(consumer.position(queue).await.expect("known"), 11);
            consumer.shutdown().await;
        });
        println!("lite pull: assign, seek, commit");
    }

    fn retry(&self) {
        let (seen, topic) = (Seen::default(), format!("{}_one", self.topic));
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
        block_on(async {
            let consumer = self.client.push_consumer(self.group("retry"), listener).await;
            consumer.expect("joined").subscribe(&topic, "*").await.expect("subscribed");
        });
        let messages = seen.wait("retry", 100);
        let again: Vec<_> = messages.iter().filter(|m| m.reconsume_times > 0).collect();
        assert_eq!(again.len(), 1);
        assert_eq!((number_of(again[0]), again[0].topic.as_str()), (7, topic.as_str()));
        println!("retry: message 7 came again from {}", again[0].queue);
    }

    fn bodies(&self) {
        for format in [Compression::Zlib, Compression::Lz4, Compression::Zstd] {
            let config = ProducerConfig { compression: format, ..ProducerConfig::new("exercise") };
            let producer = block_on(self.client.producer(config)).expect("joined");
            let text = vec![b'a'; 100_000];
            let message = Message::new(&self.topic, text.clone()).tag("late");
            let sent = producer.send_blocking(message).expect("sent");
            let admin = self.client.admin();
            let found = block_on(admin.view_message(&sent.offset_message_id)).expect("found");
            assert!(found.body == text && found.message_id() == sent.message_id, "{format:?}");
        }
        let largest = Message::new(&self.topic, body(1, 4 << 20)).tag("late");
        self.producer.send_blocking(largest).expect("4 MiB are accepted");
        let larger = Message::new(&self.topic, body(1, (4 << 20) + 1)).tag("late");
        let error = self.producer.send_blocking(larger).expect_err("refused");
        println!("bodies: three compressions, 4 MiB, and: {error}");
    }
}

fn main() {
    tracing_subscriber::fmt().with_env_filter(EnvFilter::from_env("RINGMQ_LOG")).init();
    let servers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9876".into());
    let client = Client::start_blocking(ClientConfig::new(&servers)).expect("started");
    let producer = block_on(client.producer(ProducerConfig::new("exercise"))).expect("joined");
    let stamp = unix_ms();
    let topic = format!("exercise_{stamp}");
    let settings = TopicSettings::new(&topic, 4);
    block_on(client.admin().create_topic(BrokerTarget::All, settings)).expect("created");
    let exercise = Exercise { servers, client, producer, topic, stamp };
    exercise.sends();
    exercise.clustering();
    exercise.tags();
    exercise.orderly();
    exercise.lite_pull();
    exercise.broadcasting();
    exercise.bodies();
    exercise.retry();
    let began = Instant::now();
    exercise.client.shutdown_blocking();
    println!("shutdown in {:?}", began.elapsed());
}
