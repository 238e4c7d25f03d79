//! The orderly consumer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use futures_lite::future::block_on;
use ringmq_client::Client;
use ringmq_client::config::{ClientConfig, ConsumerConfig};
use ringmq_client::consumer::{OrderlyContext, OrderlyStatus, PushConsumer};
use ringmq_client::message::Message;
use ringmq_client::received::ReceivedMessage;
use ringmq_protocol::codes::request;
use ringmq_runtime::clock::Instant;

use super::fake::{FakeBroker, PATIENCE, reset_to};
use super::{Seen, client_of, group, numbers, producer_of};

type Batch<'a> = &'a [Arc<ReceivedMessage>];

/// What listeners must not begin has this long to begin all the same.
const WATCHED_FOR: Duration = Duration::from_millis(500);

#[test]
fn an_orderly_listener_sees_each_queue_in_order_under_a_lock() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    let suspended = Arc::new(AtomicUsize::new(0));
    let listener = {
        let (seen, suspended) = (seen.clone(), suspended.clone());
        move |messages: Batch<'_>, context: &OrderlyContext| {
            let text = String::from_utf8_lossy(&messages[0].body).into_owned();
            if text == "3" && context.attempt == 0 {
                suspended.fetch_add(1, Ordering::Relaxed);
                return OrderlyStatus::Suspend;
            }
            messages.iter().for_each(|message| seen.push(&message.body));
            OrderlyStatus::Success
        }
    };
    block_on(async {
        let producer = producer_of(&client).await;
        for number in 0..10 {
            let message = Message::new("T", number.to_string());
            producer.send_select(message, |_| 1).await.expect("sent");
        }
        let config = ConsumerConfig { orderly_suspend: Duration::from_millis(10), ..group("g") };
        let consumer = client.orderly_consumer(config, listener).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
    });
    assert_eq!(seen.wait_unsorted(10), numbers(10));
    assert_eq!(suspended.load(Ordering::Relaxed), 1);
    assert!(!broker.state().locks.is_empty(), "queues are locked");
    client.shutdown_blocking();
    assert!(broker.state().locks.is_empty(), "and given back");
    assert_eq!(broker.state().committed("g", "T"), 10);
}

#[test]
fn a_queue_locked_by_another_member_is_not_consumed() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    let listener = {
        let seen = seen.clone();
        move |messages: Batch<'_>, _: &OrderlyContext| {
            messages.iter().for_each(|message| seen.push(&message.body));
            OrderlyStatus::Success
        }
    };
    let key = ("g".to_owned(), ("T".to_owned(), 0));
    broker.state().locks.insert(key.clone(), "somebody else".into());
    block_on(async {
        let producer = producer_of(&client).await;
        for queue in 0..4 {
            let message = Message::new("T", queue.to_string());
            producer.send_select(message, move |_| queue).await.expect("sent");
        }
        let consumer = client.orderly_consumer(group("g"), listener).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
    });
    assert_eq!(seen.wait(3), ["1", "2", "3"]);
    broker.state().locks.remove(&key);
    assert_eq!(seen.wait(4), numbers(4));
}

/// Listeners of one or more members that stay at work until they are let go, and what they saw of
/// each other.
#[derive(Default)]
struct Work {
    state: Mutex<WorkState>,
    changed: Condvar,
}

#[derive(Default)]
struct WorkState {
    /// Listeners at work, by queue.
    at_work: BTreeMap<i32, usize>,
    /// Most of one queue at once.
    most: usize,
    /// Batches begun.
    begun: usize,
    may_end: bool,
}

impl Work {
    fn listener(self: &Arc<Self>) -> impl Fn(Batch<'_>, &OrderlyContext) -> OrderlyStatus + use<> {
        let work = self.clone();
        move |_: Batch<'_>, context: &OrderlyContext| {
            let queue = context.queue.queue_id;
            let mut state = work.state();
            let at_work = state.at_work.entry(queue).or_default();
            *at_work += 1;
            state.most = state.most.max(state.at_work[&queue]);
            state.begun += 1;
            work.changed.notify_all();
            let longest = 2 * PATIENCE;
            let waited = work.changed.wait_timeout_while(state, longest, |state| !state.may_end);
            let (mut state, _) = waited.expect("no panic in a listener");
            *state.at_work.get_mut(&queue).expect("begun above") -= 1;
            work.changed.notify_all();
            OrderlyStatus::Success
        }
    }

    fn state(&self) -> MutexGuard<'_, WorkState> {
        self.state.lock().expect("no panic in a listener")
    }

    /// Waits until this is so; false: it was not for so long.
    fn wait_for(&self, patience: Duration, is_so: impl Fn(&WorkState) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), patience, |state| !is_so(state));
        !waited.expect("no panic in a listener").1.timed_out()
    }

    fn let_go(&self) {
        self.state().may_end = true;
        self.changed.notify_all();
    }
}

/// Joins group `g`, which consumes topic `T`.
async fn join(client: &Client, work: &Arc<Work>) -> PushConsumer {
    join_as(group("g"), client, work).await
}

async fn join_as(config: ConsumerConfig, client: &Client, work: &Arc<Work>) -> PushConsumer {
    let consumer = client.orderly_consumer(config, work.listener()).await.expect("joined");
    consumer.subscribe("T", "*").await.expect("subscribed");
    consumer
}

/// One message in each queue.
async fn send_to_all_queues(client: &Client) {
    let producer = producer_of(client).await;
    for queue in 0..4 {
        let message = Message::new("T", queue.to_string());
        producer.send_select(message, move |_| queue).await.expect("sent");
    }
}

#[test]
fn a_queue_changes_hands_when_the_batch_at_work_has_returned() {
    let broker = FakeBroker::start("a");
    let (first, second) = (client_of(&broker), client_of(&broker));
    let work = Arc::new(Work::default());
    block_on(async {
        send_to_all_queues(&first).await;
        for client in [&first, &second] {
            let consumer = client.orderly_consumer(group("g"), work.listener()).await;
            consumer.expect("joined").subscribe("T", "*").await.expect("subscribed");
            assert!(work.wait_for(PATIENCE, |work| work.begun >= 4), "all queues are at work");
        }
    });
    // Two queues are the second member's now: it asks for their locks once a second.
    let asked = broker.state().count(request::LOCK_BATCH_MQ);
    broker.wait_for("more requests for locks", |state| {
        state.count(request::LOCK_BATCH_MQ) >= asked + 3 || work.state().most > 1
    });
    assert!(!work.wait_for(WATCHED_FOR, |work| work.begun > 4), "nobody begins beside them");
    work.let_go();
    assert!(work.wait_for(PATIENCE, |work| work.begun >= 6), "the next owner begins");
    let holders = |state: &super::fake::State| {
        state.locks.values().collect::<std::collections::BTreeSet<_>>().len()
    };
    broker.wait_for("both to hold locks", |state| holders(state) == 2);
    assert_eq!(work.state().most, 1, "one listener of a queue at a time");
}

#[test]
fn a_queue_whose_batch_does_not_return_changes_hands_after_the_unlock_delay() {
    const DELAY: Duration = Duration::from_secs(3);
    /// Long before the delay that is usual.
    const LATE: Duration = Duration::from_secs(12);
    let broker = FakeBroker::start("a");
    let (first, second) = (client_of(&broker), client_of(&broker));
    let work = Arc::new(Work::default());
    let config = ConsumerConfig { orderly_unlock_delay: DELAY, ..group("g") };
    block_on(async {
        send_to_all_queues(&first).await;
        join_as(config, &first, &work).await;
        assert!(work.wait_for(PATIENCE, |work| work.begun >= 4), "all queues are at work");
    });
    // Queues are given up while the second member joins: later than this, however slow that is.
    let before = Instant::now();
    block_on(join(&second, &work));
    assert!(work.wait_for(LATE, |work| work.begun > 4), "the next owner waits no longer");
    assert!(before.elapsed() >= DELAY, "nobody begins beside them");
    assert!(work.wait_for(LATE, |work| work.begun >= 6), "of both queues");
    work.let_go();
}

#[test]
fn a_reset_queue_begins_anew_when_the_batch_at_work_has_returned() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    let work = Arc::new(Work::default());
    block_on(async {
        send_to_all_queues(&client).await;
        join(&client, &work).await;
    });
    assert!(work.wait_for(PATIENCE, |work| work.begun >= 4), "all queues are at work");
    let pulls = broker.state().count(request::PULL_MESSAGE);
    broker.state().asks.push_back(reset_to(0, 0));
    broker.wait_for("a new pull", |state| state.count(request::PULL_MESSAGE) > pulls);
    assert!(!work.wait_for(WATCHED_FOR, |work| work.begun > 4), "nobody begins beside it");
    work.let_go();
    assert!(work.wait_for(PATIENCE, |work| work.begun >= 5), "it is consumed again");
    assert_eq!(work.state().most, 1, "one listener of a queue at a time");
}

#[test]
fn a_stop_gives_back_the_locks_of_queues_that_were_just_given_up() {
    let broker = FakeBroker::start("a");
    let (client, seen) = (client_of(&broker), Seen::default());
    let listener = {
        let seen = seen.clone();
        move |messages: Batch<'_>, _: &OrderlyContext| {
            messages.iter().for_each(|message| seen.push(&message.body));
            OrderlyStatus::Success
        }
    };
    block_on(async {
        send_to_all_queues(&client).await;
        let consumer = client.orderly_consumer(group("g"), listener).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
    });
    assert_eq!(seen.wait(4), numbers(4));
    // Some queues are another member's now; the offset of the first is never stored.
    let mut state = broker.state();
    state.silence = Some(request::UPDATE_CONSUMER_OFFSET);
    state.members.entry("g".into()).or_default().insert("somebody else".into());
    drop(state);
    broker.wait_for("a queue to be given up", |state| state.silence.is_none());
    assert!(!broker.state().locks.is_empty(), "nothing is unlocked yet");
    client.shutdown_blocking();
    assert!(broker.state().locks.is_empty(), "or the other member waits for a minute");
}

#[test]
fn a_stop_gives_back_the_locks_of_queues_that_are_being_taken() {
    let broker = FakeBroker::start("a");
    let client = Client::start_blocking(ClientConfig {
        call_timeout: Duration::from_millis(500),
        ..ClientConfig::new(&broker.address)
    })
    .expect("started");
    block_on(async {
        send_to_all_queues(&client).await;
        // They are locked first, and nobody says where they begin.
        broker.state().silent.insert(request::QUERY_CONSUMER_OFFSET);
        let listener = |_: Batch<'_>, _: &OrderlyContext| OrderlyStatus::Success;
        let consumer = client.orderly_consumer(group("g"), listener).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
    });
    broker.wait_for("locks", |state| {
        state.count(request::QUERY_CONSUMER_OFFSET) > 0 && !state.locks.is_empty()
    });
    client.shutdown_blocking();
    assert!(broker.state().locks.is_empty(), "or other members wait for a minute");
}

#[test]
fn a_dead_letter_tells_the_broker_how_often_it_came() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    block_on(async {
        send_to_all_queues(&client).await;
        let config = ConsumerConfig {
            reconsume_times_max: 3,
            orderly_suspend: Duration::from_millis(1),
            ..group("g")
        };
        let listener = |_: Batch<'_>, _: &OrderlyContext| OrderlyStatus::Suspend;
        let consumer = client.orderly_consumer(config, listener).await.expect("joined");
        consumer.subscribe("T", "*").await.expect("subscribed");
    });
    broker.wait_for("all to be sent there", |state| state.stored("%RETRY%g") == 4);
    let state = broker.state();
    let dead = state.queues.iter().filter(|((topic, _), _)| topic == "%RETRY%g");
    for record in dead.flat_map(|(_, records)| records) {
        let record = ringmq_protocol::record::Record::parse(record).expect("our own record");
        assert_eq!(record.reconsume_times, 3, "or a 4.x broker delivers it again");
    }
}

#[test]
fn who_joins_again_consumes_no_queue_whose_batch_is_still_at_work() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    let work = Arc::new(Work::default());
    block_on(async {
        send_to_all_queues(&client).await;
        let leaves = join(&client, &work).await;
        assert!(work.wait_for(PATIENCE, |work| work.begun >= 4), "all queues are at work");
        // Does not wait for ever for listeners.
        leaves.shutdown().await;
        join(&client, &work).await;
    });
    let pulls = broker.state().count(request::PULL_MESSAGE);
    broker.wait_for("new pulls", |state| state.count(request::PULL_MESSAGE) > pulls);
    assert!(!work.wait_for(WATCHED_FOR, |work| work.begun > 4), "nobody begins beside them");
    work.let_go();
    assert!(work.wait_for(PATIENCE, |work| work.begun >= 8), "all are consumed again");
    assert_eq!(work.state().most, 1, "one listener of a queue at a time");
}

#[test]
fn a_batch_of_a_queue_given_up_before_the_stop_leaves_the_lock_to_who_joined_again() {
    let broker = FakeBroker::start("a");
    let client = client_of(&broker);
    let work = Arc::new(Work::default());
    let other = "somebody else";
    block_on(async {
        send_to_all_queues(&client).await;
        let leaves = join(&client, &work).await;
        assert!(work.wait_for(PATIENCE, |work| work.begun >= 4), "all queues are at work");
        broker.state().members.entry("g".into()).or_default().insert(other.into());
        // Two for each pass: one for each topic.
        let passes = broker.state().count(request::GET_CONSUMER_LIST_BY_GROUP);
        broker.wait_for("two queues to be given up", |state| {
            state.count(request::GET_CONSUMER_LIST_BY_GROUP) >= passes + 5
        });
        leaves.shutdown().await;
        broker.state().members.entry("g".into()).or_default().remove(other);
        let pulls = broker.state().count(request::PULL_MESSAGE);
        join(&client, &work).await;
        // Four that wait for messages of the retry topic, two of each queue of the other.
        broker.wait_for("new pulls", |state| state.count(request::PULL_MESSAGE) >= pulls + 12);
    });
    work.let_go();
    broker.wait_for("all to be consumed", |state| state.committed("g", "T") == 4);
    let state = broker.state();
    let locked = state.locks.keys().filter(|(_, (topic, _))| topic == "T").count();
    assert_eq!(locked, 4, "the batches of the first member unlocked what the second has");
}
