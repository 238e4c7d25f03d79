//! Sends that wait for room in their log.
#![allow(missing_docs)]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use support::simulated::{self, BROKER};
use support::{Brokers, send_header};

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
