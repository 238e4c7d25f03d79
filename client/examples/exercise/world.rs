//! What scenarios share: names of their own, clients, messages that can be told apart.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringmq_client::Client;
use ringmq_client::admin::{BrokerTarget, TopicSettings};
use ringmq_client::config::{ClientConfig, ConsumeFrom, ConsumerConfig, ProducerConfig};
use ringmq_client::consumer::ConsumeStatus;
use ringmq_client::message::Message;
use ringmq_client::producer::{Producer, SendResult};
use ringmq_client::received::ReceivedMessage;
use ringmq_runtime::clock::Instant;

/// Longest wait for anything. Below the 20 s after which groups rebalance by themselves: a broker
/// that does not tell them of a change is found out.
pub const PATIENCE: Duration = Duration::from_secs(18);

const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The surroundings of one scenario.
pub struct World {
    pub namesrv: String,
    /// Makes names of topics and groups unique.
    stamp: String,
}

impl World {
    pub fn new(namesrv: &str, scenario: &str, run_id: &str) -> Self {
        Self { namesrv: namesrv.into(), stamp: format!("ringmq_{scenario}_{run_id}") }
    }

    /// A topic of this scenario that nobody has made yet.
    pub fn topic(&self) -> String {
        format!("T_{}", self.stamp)
    }

    /// A topic of this scenario with this many queues.
    pub async fn made_topic(&self, client: &Client, queues: i32) -> String {
        self.make_topic(client, self.topic(), queues).await
    }

    /// Makes `topic`, or changes its number of queues.
    pub async fn make_topic(&self, client: &Client, topic: String, queues: i32) -> String {
        let admin = client.admin();
        let is_known = async || {
            let known = admin.queues(&topic).await.map_or(0, |queues| queues.len());
            i32::try_from(known) == Ok(queues)
        };
        let settings = TopicSettings::new(&topic, queues);
        let mut is_said_again = false;
        eventually("the route of a topic", async || {
            // Said again where it takes long: of topics that are changed at the same moment
            // Apache's broker may register one under a version that the name server has already.
            // It registers none again that is as it was, so it has to be another one in between.
            if std::mem::replace(&mut is_said_again, true) {
                let other = TopicSettings { is_ordered: true, ..settings.clone() };
                admin.create_topic(&BrokerTarget::All, &other).await.expect("changed");
            }
            admin.create_topic(&BrokerTarget::All, &settings).await.expect("created");
            for _ in 0..50 {
                if is_known().await {
                    return Some(());
                }
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
            None
        })
        .await;
        topic
    }

    /// A group of this scenario that begins with the oldest message.
    pub fn group(&self, name: &str) -> ConsumerConfig {
        let group = format!("G_{name}_{}", self.stamp);
        ConsumerConfig { consume_from: ConsumeFrom::FirstOffset, ..ConsumerConfig::new(group) }
    }

    pub fn config(&self) -> ClientConfig {
        ClientConfig {
            offset_persist: Duration::from_millis(500),
            route_refresh: Duration::from_secs(1),
            ..ClientConfig::new(&self.namesrv)
        }
    }

    pub async fn client(&self) -> Client {
        Client::start(self.config()).await.expect("started")
    }

    pub async fn producer(&self, client: &Client) -> Producer {
        let config = ProducerConfig::new(format!("P_{}", self.stamp));
        client.producer(config).await.expect("joined")
    }

    /// Messages of every queue of `topic`, from the first one on, until `count` have come.
    pub async fn read(&self, client: &Client, topic: &str, count: usize) -> Vec<ReceivedMessage> {
        let consumer = client.lite_pull_consumer(self.group("read")).await.expect("joined");
        consumer.assign(consumer.queues(topic).await.expect("a route")).await.expect("assigned");
        let mut found: Vec<ReceivedMessage> = Vec::new();
        while found.len() < count {
            let messages = consumer.poll(1000, PATIENCE).await.expect("polled");
            assert!(!messages.is_empty(), "{} of {count} messages came", found.len());
            found.extend(messages.iter().map(|message| ReceivedMessage::clone(message)));
        }
        consumer.shutdown().await;
        found
    }
}

/// Looks again and again until there is something.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// Sends `message(number)` for each number, all in flight at once, each from a task of its own.
pub async fn send_all(
    producer: &Producer,
    numbers: impl Iterator<Item = usize>,
    message: impl Fn(usize) -> Message,
) -> Vec<SendResult> {
    let start = |number| {
        let (producer, message) = (producer.clone(), message(number));
        tokio::spawn(async move { producer.send(message).await })
    };
    let tasks: Vec<_> = numbers.map(start).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("no panic").expect("sent"));
    }
    results
}

/// A body of 8 bytes or more whose first ones tell its number and whose rest is noise.
pub fn body(number: usize, size: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut noise = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut bytes = format!("{number:08}").into_bytes();
    bytes.extend((8..size).map(|_| noise()));
    bytes
}

/// The number that [`body`] was given.
pub fn number_of(message: &ReceivedMessage) -> usize {
    std::str::from_utf8(&message.body[..8]).expect("digits").parse().expect("a number")
}

/// Messages that listeners saw, on threads of the client.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Arc<ReceivedMessage>>>>);

impl Seen {
    /// A listener that is content with everything.
    pub fn listener(
        &self,
    ) -> impl Fn(&[Arc<ReceivedMessage>]) -> ConsumeStatus + Send + Sync + 'static {
        let seen = self.clone();
        move |messages| {
            seen.add(messages);
            ConsumeStatus::Success
        }
    }

    pub fn add(&self, messages: &[Arc<ReceivedMessage>]) {
        self.0.lock().expect("no panic").extend_from_slice(messages);
    }

    pub fn all(&self) -> Vec<Arc<ReceivedMessage>> {
        self.0.lock().expect("no panic").clone()
    }

    /// Numbers of all messages seen.
    pub fn numbers(&self) -> BTreeSet<usize> {
        self.all().iter().map(|message| number_of(message)).collect()
    }

    /// Waits until all of these numbers were seen, and returns every message.
    pub async fn wait(
        &self,
        what: &str,
        wanted: impl Iterator<Item = usize>,
    ) -> Vec<Arc<ReceivedMessage>> {
        let mut missing: BTreeSet<_> = wanted.collect();
        let all = missing.len();
        let began = Instant::now();
        while !missing.is_empty() {
            let left = missing.len();
            assert!(began.elapsed() < PATIENCE, "{what}: {left} of {all} never came");
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            missing = &missing - &self.numbers();
        }
        self.all()
    }
}
