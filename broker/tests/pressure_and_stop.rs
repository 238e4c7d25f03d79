//! More than the log can take at once, connections that end, and a broker that stops while it is
//! busy.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::Duration;

use ringmq_broker::config::FlushDiskType;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::query::ViewMessageRequest;
use ringmq_protocol::record::records;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use support::simulated::{self, BROKER};
use support::{Brokers, Client, field, in_time, pull_header, send_header, temp_dir};

#[test]
fn sends_that_find_the_log_full_wait_and_keep_their_order() {
    const SENDS: usize = 64;
    for (shards, logs) in [(1, 1), (2, 1)] {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            // 64 MiB at once, four times what may be unwritten.
            let client = broker.client().await;
            let body = vec![b'x'; 1 << 20];
            let calls: Vec<_> = (0..SENDS)
                .map(|_| {
                    let header = send_header("T", 0, "");
                    let (code, timeout) = (request::SEND_MESSAGE_V2, support::TIMEOUT);
                    client.connection.call(code, &header, &body, timeout)
                })
                .collect();
            for (number, call) in calls.into_iter().enumerate() {
                let answer = call.await.expect("an answer");
                assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
                assert_eq!(field(&answer, "queueOffset"), number.to_string());
            }
        });
    }
}

#[test]
fn a_send_that_waited_for_room_has_the_time_at_which_it_was_stored() {
    const SENDS: usize = 2_300;
    const UNWRITTEN_MAX_BYTES: i64 = 16 << 20;
    let slow = Duration::from_millis(500);
    let world = World::new(5);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    world.run(async {
        let broker = Brokers::simulated(1, 1).start_in(&world, |_| support::until_set(stopped));
        let client = simulated::connect(&world).await;
        let before = client.store("T", 0, b"first").await;
        world.disk_faults(BROKER, |faults| faults.latency = (slow, slow));
        // 18 MiB at once. Where they stop to find room others of the same read have just found it.
        let (header, body) = (send_header("T", 0, ""), vec![b'x'; 8 << 10]);
        let send = || {
            let (code, timeout) = (request::SEND_MESSAGE_V2, support::TIMEOUT);
            client.connection.call(code, &header, &body, timeout)
        };
        for call in (0..SENDS).map(|_| send()).collect::<Vec<_>>() {
            assert_eq!(call.await.expect("an answer").code(), response::SUCCESS);
        }
        world.disk_faults(BROKER, |faults| faults.latency = Default::default());
        let stored = stored_from(&client, before + 1).await;
        assert_eq!(stored.len(), SENDS);
        let (first_at, first_ms) = stored[0];
        let waited = |(at, _): &&(i64, i64)| at - first_at >= UNWRITTEN_MAX_BYTES;
        let early = stored.iter().filter(waited).filter(|(_, ms)| ms - first_ms < 500).count();
        assert!(stored.iter().any(|stored| waited(&stored)), "some waited for a write to end");
        assert_eq!(early, 0, "these have a time before that");
        stop.store(true, Ordering::Relaxed);
        broker.await;
    });
}

/// Where and when the messages of a queue were stored, from this offset on.
async fn stored_from(client: &Client, mut from: i64) -> Vec<(i64, i64)> {
    let mut stored = Vec::new();
    loop {
        let answer = client.call(request::PULL_MESSAGE, &pull_header("T", 0, from), &[]).await;
        let before = stored.len();
        for record in records(answer.body()) {
            let record = record.expect("whole");
            stored.push((record.physical_offset, record.stored_at_ms));
        }
        if stored.len() == before {
            return stored;
        }
        from += (stored.len() - before) as i64;
    }
}

/// Each connection sends several times of what may be under way to another shard, and stops being
/// read until that tells it to go on.
#[test]
fn a_connection_that_is_never_answered_is_read_on_by_the_shard_beside_the_log() {
    const SENDS: i64 = 24;
    let dir = temp_dir();
    Brokers::new(2, 1).run(dir.path(), |broker| async move {
        let (clients, body) = (broker.clients().await, vec![b'x'; 64 << 10]);
        for client in &clients {
            // The topic is there from then on.
            client.store("T", 0, b"first").await;
            for _ in 0..SENDS {
                let header = send_header("T", 0, "");
                client.connection.send_oneway(request::SEND_MESSAGE_V2, &header, &body);
            }
        }
        let all = clients.len() as i64 * (1 + SENDS);
        let (watcher, fields) = (broker.client().await, [("topic", "T"), ("queueId", "0")]);
        let all_stored = async {
            while watcher.number(request::GET_MAX_OFFSET, &fields, "offset").await < all {
                task::sleep(Duration::from_millis(1)).await;
            }
        };
        in_time("all one-way sends are stored", all_stored).await;
    });
}

#[test]
fn shard_0_hears_of_registered_clients_that_go_away() {
    let dir = temp_dir();
    Brokers::new(2, 1).run(dir.path(), |broker| async move {
        let (clients, watcher) = (broker.clients().await, broker.client().await);
        for client in &clients {
            client.call(request::HEART_BEAT, &(), b"{}").await;
        }
        let stranger = broker.client().await;
        stranger.store("T", 0, b"never registered").await;
        stranger.connection.close("the test");
        let registered = clients.len();
        for client in clients {
            client.connection.close("the test");
        }
        let all_heard = async {
            loop {
                let answer = watcher.call(request::GET_BROKER_RUNTIME_INFO, &(), &[]).await;
                let text = String::from_utf8_lossy(answer.body());
                let closed: usize = text.parse().expect("a number");
                assert!(closed <= registered, "{closed} of {registered}");
                if closed == registered {
                    break;
                }
                task::sleep(Duration::from_millis(1)).await;
            }
        };
        in_time("shard 0 hears of every registered client", all_heard).await;
    });
}

#[test]
fn what_was_acknowledged_while_the_broker_stopped_is_there_after_a_restart() {
    let dir = temp_dir();
    let (sender, receiver) = mpsc::channel();
    Brokers::new(2, 3).run(dir.path(), |broker| async move {
        let acknowledged = Rc::new(RefCell::new(0));
        for (number, client) in broker.clients().await.into_iter().enumerate() {
            let (sender, acknowledged) = (sender.clone(), Rc::clone(&acknowledged));
            let queue = number as i32 % 4;
            task::spawn("a producer", async move {
                loop {
                    let header = send_header("T", queue, "");
                    let (code, timeout) = (request::SEND_MESSAGE_V2, support::TIMEOUT);
                    let call = client.connection.call(code, &header, &[1; 100], timeout);
                    let Ok(answer) = call.await else { return };
                    if answer.code() == response::SUCCESS {
                        let offset: i64 = field(&answer, "queueOffset").parse().expect("a number");
                        sender.send((queue, offset)).expect("the test waits");
                        *acknowledged.borrow_mut() += 1;
                    }
                }
            })
            .detach();
        }
        let under_way = async {
            while *acknowledged.borrow() < 200 {
                task::sleep(Duration::from_millis(1)).await;
            }
        };
        in_time("200 sends are acknowledged", under_way).await;
        // The broker stops now, with the producers still at work.
    });
    let acknowledged: Vec<(i32, i64)> = receiver.iter().collect();
    Brokers::new(1, 3).run(dir.path(), move |broker| async move {
        let client = broker.client().await;
        for queue in 0..4 {
            let stored = client.pull_all("T", queue).await.len() as i64;
            let last = acknowledged.iter().filter(|(of, _)| *of == queue).map(|(_, at)| *at).max();
            assert!(last.is_some_and(|last| last < stored), "{last:?} of {stored} in {queue}");
        }
    });
}

/// Clients of all shards send to the log of one, which is stopped during the flush.
async fn stop_during_a_flush(world: &World, seed: u64) {
    const CLIENTS: i64 = 8;
    let mut brokers = Brokers::simulated(3, 3);
    brokers.settings.flush_disk_type = FlushDiskType::Sync;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let broker = brokers.start_in(world, move |_| async move {
        while !stopped.load(Ordering::Relaxed) {
            task::sleep(Duration::from_micros(100)).await;
        }
    });
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let client = simulated::connect(world).await;
        assert_eq!(client.store("T", 0, b"first").await, number);
        clients.push(client);
    }
    let slow = Duration::from_millis(40);
    world.disk_faults(BROKER, |faults| faults.latency = (slow, slow));
    let send = |client: Client| async move { client.send("T", 0, b"last").await };
    let senders: Vec<_> =
        clients.into_iter().map(|client| task::spawn("sender", send(client))).collect();
    // More than the way there, less than a write and a flush.
    task::sleep(Duration::from_millis(2 + seed % 8)).await;
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        let answer = sender.await;
        assert_eq!(
            answer.code(),
            response::SUCCESS,
            "seed {seed}: {:?}",
            answer.command().remark()
        );
    }
    broker.await;
}

#[test]
fn who_sent_before_the_stop_is_answered_whatever_shard_holds_the_connection() {
    for seed in 0..20 {
        let world = World::new(seed);
        let here = world.clone();
        world.run(async move { stop_during_a_flush(&here, seed).await });
    }
}

#[test]
fn a_broker_that_was_killed_or_stopped_leaves_no_shard_in_memory() {
    for is_killed in [true, false] {
        let world = World::new(1);
        let here = world.clone();
        world.run(async move {
            let stop = Arc::new(AtomicBool::new(false));
            // All shards share them, so they are gone when no shard is left.
            let settings = Arc::new(Mutex::new(Weak::new()));
            let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&settings));
            let broker = Brokers::simulated(2, 3).start_in(&here, move |data| async move {
                *shared.lock().expect("not poisoned") =
                    Arc::downgrade(data.local.view().settings());
                support::until_set(stopped).await;
            });
            let client = simulated::connect(&here).await;
            client.store("T", 0, b"body").await;
            let are_in_use = || settings.lock().expect("not poisoned").strong_count() > 0;
            assert!(are_in_use());
            if is_killed {
                here.kill(BROKER);
            } else {
                stop.store(true, Ordering::Relaxed);
                broker.await;
            }
            assert!(!are_in_use(), "killed: {is_killed}");
        });
    }
}

#[test]
fn a_flood_of_large_lookups_waits_for_its_connection() {
    const LOOKUPS: usize = 200;
    let dir = temp_dir();
    Brokers::new(2, 1).run(dir.path(), |broker| async move {
        for client in broker.clients().await {
            let stored = client.store("T", 0, &vec![b'x'; 1 << 20]).await;
            let offset = client.pull("T", 0, stored).await.messages[0].physical_offset;
            // 200 MiB of answers to a few kilobytes of requests.
            let view = ViewMessageRequest { offset, topic: None };
            let calls: Vec<_> = (0..LOOKUPS)
                .map(|_| {
                    let (code, timeout) = (request::VIEW_MESSAGE_BY_ID, support::TIMEOUT);
                    client.connection.call(code, &view, &[], timeout)
                })
                .collect();
            for call in calls {
                let answer = call.await.expect("an answer");
                assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
                assert!(answer.body().len() > 1 << 20);
            }
        }
    });
}

#[test]
fn a_send_whose_fields_name_two_queues_is_refused_by_both_logs_but_one() {
    let dir = temp_dir();
    Brokers::new(2, 3).run(dir.path(), |broker| async move {
        let client = broker.client().await;
        for queue in 0..4 {
            // The router looks at the letters, the header takes whichever comes last.
            let other = ((queue + 1) % 4).to_string();
            let header = (send_header("T", queue, ""), [("queueId", other.as_str())]);
            let answer = client.call(request::SEND_MESSAGE_V2, &header, b"x").await;
            let expected = [response::SUCCESS, response::SERVICE_NOT_AVAILABLE];
            assert!(expected.contains(&answer.code()), "code {}", answer.code());
        }
        // Whatever was taken can be read where it says it is.
        for queue in 0..4 {
            for message in client.pull_all("T", queue).await {
                assert_eq!(message.body, b"x");
            }
        }
    });
}
