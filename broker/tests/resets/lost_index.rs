//! Members at positions in a queue that begins anew, as the index that knew its end was lost.

use std::time::Duration;

use ringmq_protocol::codes::response;
use ringmq_protocol::headers::pull::PullRequest;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use super::support::simulated::{BROKER, connect};
use super::support::{Brokers, Client, pull_header};

const QUEUE: i32 = 0;

/// Messages of the queue that go with the first file of the log.
const GONE: i64 = 10;

/// Longer than messages are kept.
const LIFE: Duration = Duration::from_secs(2 * 3600);

fn brokers() -> Brokers {
    let mut brokers = Brokers::simulated(1, 1);
    brokers.settings.max_message_size = 64 << 10;
    brokers.settings.mapped_file_size_commit_log = 256 << 10;
    brokers.settings.file_reserved_time_hours = 1;
    brokers
}

/// A store that was closed well when all messages of the queue had expired, without its index.
async fn lose_index(world: &World) {
    let broker = brokers().start_in(world, |_| task::sleep(LIFE));
    let client = connect(world).await;
    for _ in 0..GONE {
        client.store("T", QUEUE, b"gone").await;
    }
    // Several files.
    for _ in 0..100 {
        client.store("T", QUEUE + 1, &[7; 16 << 10]).await;
    }
    broker.await;
    let disk = world.disk(BROKER);
    for entry in disk.list("queueindex").await.expect("a list") {
        disk.remove_file(format!("queueindex/{}", entry.name)).await.expect("removable");
    }
}

/// The queue offsets that a member gets which was at `at`, and goes where it is told.
async fn consume(client: &Client, mut at: i64) -> Vec<i64> {
    let mut got = Vec::new();
    loop {
        let header = PullRequest { consumer_group: "g", ..pull_header("T", QUEUE, at) };
        let pulled = client.pull_with(&header).await;
        if pulled.code == response::PULL_NOT_FOUND {
            return got;
        }
        got.extend(pulled.messages.iter().map(|message| message.queue_offset));
        at = pulled.next;
    }
}

#[test]
fn members_ahead_of_a_queue_that_begins_anew_skip_none_of_its_messages() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        lose_index(&here).await;
        let broker = brokers().start_in(&here, |_| task::sleep(LIFE));
        let client = connect(&here).await;
        let end = GONE + 2;
        for number in 0..end {
            assert_eq!(client.store("T", QUEUE, b"new").await, number);
        }
        assert_eq!(consume(&client, GONE).await, (0..end).collect::<Vec<_>>());
        drop(broker);
    });
}
