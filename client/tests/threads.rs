//! The threads of a client, counted: alone in its process, since others would count too. No server
//! is needed for them.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::block_on;
use ringmq_client::config::{ClientConfig, ConsumerConfig, ProducerConfig};
use ringmq_client::consumer::ConsumeStatus;
use ringmq_client::producer::Producer;
use ringmq_client::received::ReceivedMessage;
use ringmq_client::{Client, ClientError};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::{remote, shards, task};

const LISTENERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(10);

/// Names of all threads of this process that a client starts.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    // A thread may end between the two looks.
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    let names = names.map(|name| name.trim().to_owned());
    names.filter(|name| name.starts_with("ringmq") || name == "listener").collect()
}

fn wait_for_the_last_thread() {
    shards::block_on(async {
        let began = Instant::now();
        while !threads().is_empty() {
            assert!(began.elapsed() < PATIENCE, "still there: {:?}", threads());
            task::sleep(Duration::from_millis(5)).await;
        }
    });
}

/// A client with a producer and a push consumer; nobody listens at its name server's address.
fn start() -> (Client, Producer) {
    let client = Client::start_blocking(ClientConfig::new("127.0.0.1:9")).expect("started");
    let producer = block_on(async {
        let listener = |_: &[Arc<ReceivedMessage>]| ConsumeStatus::Success;
        let config = ConsumerConfig { consume_threads: LISTENERS, ..ConsumerConfig::new("g") };
        client.push_consumer(config, listener).await.expect("joined");
        client.producer(ProducerConfig::new("p")).await.expect("joined")
    });
    assert!(threads().len() > LISTENERS, "an executor and its listeners: {:?}", threads());
    (client, producer)
}

#[test]
fn no_thread_outlives_a_shutdown_or_the_last_handle() {
    // Handles that are left do not keep the executor: it has ended when the shutdown returns.
    let (client, producer) = start();
    client.shutdown_blocking();
    wait_for_the_last_thread();
    let refused = block_on(client.admin().topics());
    assert!(matches!(refused, Err(ClientError::ShutDown)), "{refused:?}");
    drop((client, producer));

    // Without a shutdown it ends with the last handle, also where a call is under way; and whoever
    // drops that handle does not wait.
    let (client, producer) = start();
    let (done, waiting) = remote::oneshot();
    let caller = client.clone();
    let ask = move || done.send(block_on(caller.admin().topics()).is_err());
    remote::spawn_thread("caller", ask).expect("a thread");
    let began = Instant::now();
    drop((client, producer));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "dropping took {took:?}");
    assert_eq!(block_on(waiting), Ok(true), "nobody is at the name server's address");
    wait_for_the_last_thread();
}
