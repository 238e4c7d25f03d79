//! Leaving a group and shutting a client down, while others do so too or heartbeats are under way.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use ringmq_client::Client;
use ringmq_client::config::ClientConfig;
use ringmq_client::consumer::ConsumeStatus;
use ringmq_client::received::ReceivedMessage;
use ringmq_protocol::codes::request;
use ringmq_runtime::remote::spawn_thread;

use super::fake::{FakeBroker, PATIENCE, State};
use super::{Seen, client_of, group, producer_of, send};

type Batch<'a> = &'a [Arc<ReceivedMessage>];

/// What must not happen has this long to happen all the same.
const WATCHED_FOR: Duration = Duration::from_millis(500);

#[test]
fn whoever_shuts_down_second_waits_for_the_first() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    let (let_go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let listener = {
        let seen = seen.clone();
        move |messages: Batch<'_>| {
            seen.push(&messages[0].body);
            let _ = gate.lock().expect("no panic").recv_timeout(PATIENCE);
            ConsumeStatus::Success
        }
    };
    let consumer = block_on(async {
        send(&producer_of(&client).await, 0, 1).await;
        let consumer = client.push_consumer(group("g"), listener).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        consumer
    });
    seen.wait(1);
    // Begun: it waits for the listener.
    let first = std::pin::pin!(consumer.shutdown());
    assert!(block_on(poll_once(first)).is_none());
    let (down, second) = mpsc::channel();
    let other = client.clone();
    let shut_down = move || {
        other.shutdown_blocking();
        let _ = down.send(());
    };
    spawn_thread("second shutdown", shut_down).expect("a thread");
    assert!(second.recv_timeout(WATCHED_FOR).is_err(), "the first is cut off");
    let_go.send(()).expect("a listener waits");
    second.recv_timeout(PATIENCE).expect("ends with the first");
    assert_eq!(broker.state().committed("g", "T"), 1, "what the first had to store");
}

#[test]
fn a_heartbeat_that_is_under_way_says_nothing_of_a_member_that_left() {
    let (first, second) = (FakeBroker::start("a"), FakeBroker::start("b"));
    first.also_name(&second);
    let client = Client::start_blocking(ClientConfig {
        heartbeat: Duration::from_millis(100),
        call_timeout: Duration::from_secs(1),
        ..ClientConfig::new(&first.address)
    })
    .expect("started");
    let join = async |name: &str| {
        let done = |_: Batch<'_>| ConsumeStatus::Success;
        let consumer = client.push_consumer(group(name), done).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        consumer
    };
    let beats = |state: &State| state.count(request::HEART_BEAT);
    block_on(async {
        send(&producer_of(&client).await, 0, 1).await;
        let (leaves, _stays) = (join("g").await, join("h").await);
        second.wait_for("the member", |state| state.members.contains_key("g"));
        first.state().silence = Some(request::HEART_BEAT);
        first.wait_for("a heartbeat", |state| state.silence.is_none());
        // It will go on to the second broker when the first has not answered in time.
        let before = beats(&second.state());
        leaves.shutdown().await;
        assert!(second.state().members["g"].is_empty(), "it said goodbye");
        second.wait_for("the rest of that heartbeat", |state| beats(state) > before);
    });
    assert!(second.state().members["g"].is_empty(), "a member again");
    client.shutdown_blocking();
}

#[test]
fn a_stop_waits_once_for_a_broker_that_does_not_answer() {
    let (first, second) = (FakeBroker::start("a"), FakeBroker::start("b"));
    first.also_name(&second);
    let client = Client::start_blocking(ClientConfig {
        offset_persist: Duration::from_secs(60),
        call_timeout: Duration::from_millis(500),
        ..ClientConfig::new(&first.address)
    })
    .expect("started");
    let seen = Seen::default();
    let listener = {
        let seen = seen.clone();
        move |messages: Batch<'_>| {
            seen.push(&messages[0].body);
            ConsumeStatus::Success
        }
    };
    block_on(async {
        send(&producer_of(&client).await, 0, 8).await;
        let consumer = client.push_consumer(group("g"), listener).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
        seen.wait(8);
        first.state().silent.insert(request::UPDATE_CONSUMER_OFFSET);
        consumer.shutdown().await;
    });
    let asked = first.state().count(request::UPDATE_CONSUMER_OFFSET);
    assert_eq!(asked, 1, "each costs the time of a call");
    assert_eq!(second.state().committed("g", "T"), 4, "the other broker answers");
}

#[test]
fn a_handle_of_before_does_not_end_the_group_joined_again() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    let listener = || {
        let seen = seen.clone();
        move |messages: Batch<'_>| {
            messages.iter().for_each(|message| seen.push(&message.body));
            ConsumeStatus::Success
        }
    };
    block_on(async {
        let before = client.push_consumer(group("g"), listener()).await.expect("joined");
        before.shutdown().await;
        let now = client.push_consumer(group("g"), listener()).await.expect("joined again");
        before.shutdown().await;
        let refused = before.subscribe("Other", "*").await.expect_err("it has left");
        assert!(matches!(refused, ringmq_client::ClientError::ShutDown), "{refused}");
        now.subscribe("T", "*").await.expect("still there");
        send(&producer_of(&client).await, 0, 1).await;
    });
    seen.wait(1);
}
