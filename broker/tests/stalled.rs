//! Sends that wait for room in their log.
#![allow(missing_docs)]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_remoting::OwnedCommand;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use support::simulated::{self, BROKER};
use support::{Brokers, Client, send_header};

/// Shared by the broker's shard, which watches how its log grows, and the client.
#[derive(Default)]
struct Watched {
    /// Most messages that were stored from one turn of the watcher to the next.
    most: AtomicU64,
    total: AtomicU64,
}

#[test]
fn others_have_turns_while_many_that_waited_for_room_are_stored() {
    const SENDS: usize = 2_500;
    let world = World::new(5);
    let watched = Arc::new(Watched::default());
    let noted = Arc::clone(&watched);
    world.run(async {
        let broker = Brokers::simulated(1, 1).start_in(&world, move |data| async move {
            let log = &data.local.logs().next().expect("one log").log;
            while noted.total.load(Ordering::Relaxed) <= SENDS as u64 {
                let before = log.stats().counters.records;
                task::sleep(Duration::from_nanos(1)).await;
                let now = log.stats().counters.records;
                noted.most.fetch_max(now - before, Ordering::Relaxed);
                noted.total.store(now, Ordering::Relaxed);
            }
        });
        let client = simulated::connect(&world).await;
        client.store("T", 0, b"first").await;
        let slow = Duration::from_millis(500);
        world.disk_faults(BROKER, |faults| faults.latency = (slow, slow));
        let (header, wait) = (send_header("T", 0, ""), Duration::from_secs(300));
        let send =
            || client.connection.call(request::SEND_MESSAGE_V2, &header, &[b'x'; 8192], wait);
        for call in (0..SENDS).map(|_| send()).collect::<Vec<_>>() {
            assert_eq!(call.await.expect("an answer").code(), response::SUCCESS);
        }
        broker.await;
    });
    let most = watched.most.load(Ordering::Relaxed);
    assert!(most < 64, "{most} messages stored in one step");
}

/// Sends, and waits for as long as it takes.
fn send(client: &Client, queue: i32, body: &[u8]) -> task::Task<OwnedCommand> {
    let (header, wait) = (send_header("T", queue, ""), Duration::from_secs(300));
    let call = client.connection.call(request::SEND_MESSAGE_V2, &header, body, wait);
    task::spawn("a send", async move { call.await.expect("an answer") })
}

/// Has one connection send to queues in all of the logs of a shard, which take nothing more.
fn check_places(logs: u16) {
    // More than the logs take unwritten, and than may wait.
    const SENDS: usize = 120;
    let world = World::new(5);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    world.run(async {
        let broker = Brokers::simulated(1, logs).start_in(&world, |_| support::until_set(stopped));
        let (greedy, client) = (simulated::connect(&world).await, simulated::connect(&world).await);
        client.store("T", 0, b"first").await;
        let stuck = Duration::from_secs(30);
        world.disk_faults(BROKER, |faults| faults.latency = (stuck, stuck));
        let body = vec![b'x'; 1 << 20];
        let queues = (0..i32::from(logs)).cycle();
        let mut sends: Vec<_> =
            queues.take(SENDS).map(|queue| send(&greedy, queue, &body)).collect();
        // What came before is handled when this is answered.
        let last = sends.pop().expect("many").await;
        assert_eq!(last.code(), response::SYSTEM_BUSY, "{:?}", last.command().remark());

        let other = send(&client, 0, &body);
        let fields = [("topic", "T"), ("queueId", "0")];
        client.number(request::GET_MAX_OFFSET, &fields, "offset").await;
        assert!(!other.is_finished(), "it waits, too");
        world.disk_faults(BROKER, |faults| faults.latency = Default::default());
        let other = other.await;
        assert_eq!(other.code(), response::SUCCESS, "{:?}", other.command().remark());
        let mut taken = 0;
        for send in sends {
            taken += usize::from(send.await.code() == response::SUCCESS);
        }
        assert!((64..SENDS - 16).contains(&taken), "{taken} of the greedy one's were taken");
        stop.store(true, Ordering::Relaxed);
        broker.await;
    });
}

#[test]
fn one_connection_does_not_take_all_places_of_sends_that_wait_for_room() {
    check_places(1);
}

#[test]
fn logs_of_a_shard_share_the_places_of_sends_that_wait_for_room() {
    check_places(2);
}
