//! The client over real connections, against a fake broker in the same process.

mod fake;
mod lite_pull;
mod orderly;
mod producer;
mod push;
mod stop;
mod subscription;

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ringmq_client::Client;
use ringmq_client::config::{ClientConfig, ConsumeFrom, ConsumerConfig, ProducerConfig};
use ringmq_client::message::Message;
use ringmq_client::producer::Producer;

use fake::{FakeBroker, PATIENCE};

/// A client of one fake whose timers are quick.
fn client_of(broker: &FakeBroker) -> Client {
    let config = ClientConfig {
        offset_persist: Duration::from_millis(50),
        rebalance: Duration::from_secs(1),
        ..ClientConfig::new(&broker.address)
    };
    Client::start_blocking(config).expect("started")
}

async fn producer_of(client: &Client) -> Producer {
    client.producer(ProducerConfig::new("p")).await.expect("joined")
}

/// A group that begins with the oldest message.
fn group(name: &str) -> ConsumerConfig {
    ConsumerConfig { consume_from: ConsumeFrom::FirstOffset, ..ConsumerConfig::new(name) }
}

/// Sends `count` messages with the bodies `0`, `1`, ... to topic `T`.
async fn send(producer: &Producer, from: usize, count: usize) {
    for number in from..from + count {
        producer.send(Message::new("T", number.to_string())).await.expect("sent");
    }
}

/// What listeners of other threads have seen.
#[derive(Clone, Default)]
struct Seen {
    bodies: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Seen {
    fn push(&self, body: &[u8]) {
        let (bodies, changed) = &*self.bodies;
        let text = String::from_utf8_lossy(body).into_owned();
        bodies.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        changed.notify_all();
    }

    /// Waits until `count` bodies were seen, and returns all, sorted as numbers if they are.
    fn wait(&self, count: usize) -> Vec<String> {
        let mut all = self.wait_unsorted(count);
        all.sort_by_key(|body| (body.parse::<u64>().unwrap_or(u64::MAX), body.clone()));
        all
    }

    fn wait_unsorted(&self, count: usize) -> Vec<String> {
        self.wait_until(|all| all.len() >= count)
    }

    /// Waits until all of these were seen, whatever else was.
    fn wait_to_contain(&self, expected: &[String]) {
        self.wait_until(|all| expected.iter().all(|body| all.contains(body)));
    }

    fn wait_until(&self, is_enough: impl Fn(&Vec<String>) -> bool) -> Vec<String> {
        let (bodies, changed) = &*self.bodies;
        let all = bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, timeout) = changed
            .wait_timeout_while(all, PATIENCE, |all| !is_enough(all))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "waited in vain; seen: {all:?}");
        all.clone()
    }

    /// Whether `count` bodies are seen within so long.
    fn come_within(&self, patience: Duration, count: usize) -> bool {
        let (bodies, changed) = &*self.bodies;
        let all = bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(all, patience, |all| all.len() < count);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn len(&self) -> usize {
        self.bodies.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// The bodies that [`send`] sends.
fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}
