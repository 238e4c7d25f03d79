//! Old files of the message log go when the settings of the moment say so, in the simulated world,
//! where hours take no time.

mod support;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_broker::config::Settings;
use ringmq_broker::shard::DataPlane;
use ringmq_broker::view::Change;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use support::simulated::{self, BROKER};
use support::{Brokers, Client};

/// Several files of 256 KiB.
const MESSAGES: u8 = 100;
const BODY_SIZE_BYTES: usize = 16 << 10;

const HOUR: Duration = Duration::from_secs(3600);

/// Longer than the pause between two looks for expired files.
const A_WHILE: Duration = Duration::from_secs(60);

/// Of the messages' files each has this size.
const FILE_BYTES: u32 = 256 << 10;

const MESSAGES_OF_FILE_MAX: i64 = FILE_BYTES as i64 / BODY_SIZE_BYTES as i64;

const FOUR_DAYS_MS: i64 = 4 * 24 * 3_600_000;

fn small_files(shards: usize, logs: u16) -> Brokers {
    let mut brokers = Brokers::simulated(shards, logs);
    brokers.settings.max_message_size = 64 << 10;
    brokers.settings.mapped_file_size_commit_log = FILE_BYTES;
    brokers
}

async fn live_through(data: Rc<DataPlane>, settings: Settings, address: SocketAddr) {
    // Connections on which nothing moves are closed.
    let client = || async { Client::connect(address).await.expect("it listens") };
    let first = client().await;
    for number in 0..MESSAGES {
        first.store("T", 0, &[number; BODY_SIZE_BYTES]).await;
    }
    task::sleep(2 * HOUR).await;
    assert_eq!(client().await.pull("T", 0, 0).await.min, 0, "72 hours are not over");

    let settings = Settings { file_reserved_time_hours: 1, ..settings };
    data.publish(Change::Settings(Arc::new(settings)));
    task::sleep(A_WHILE).await;
    let client = client().await;
    let min = client.pull("T", 0, 0).await.min;
    assert!(min > 0, "an hour is over: old files are gone");
    let left = client.pull("T", 0, min).await;
    assert_eq!((left.messages[0].queue_offset, left.max), (min, i64::from(MESSAGES)));
}

#[test]
fn a_shorter_retention_is_obeyed_without_a_restart() {
    let world = World::new(7);
    let address = simulated::address(&world);
    let brokers = small_files(1, 1);
    let settings = brokers.settings.clone();
    let until = move |data| live_through(data, settings, address);
    world.run(async { brokers.start_in(&world, until).await });
}

#[test]
fn a_clock_that_is_days_ahead_deletes_nothing_before_it_has_stayed_so() {
    let world = World::new(7);
    let brokers = small_files(1, 1);
    let oldest = || async { simulated::connect(&world).await.pull("T", 0, 0).await.min };
    world.run(async {
        let broker = brokers.start_in(&world, |_| task::sleep(3 * HOUR));
        let client = simulated::connect(&world).await;
        for number in 0..MESSAGES {
            client.store("T", 0, &[number; BODY_SIZE_BYTES]).await;
        }
        task::sleep(A_WHILE).await;
        world.step_wall_clock(FOUR_DAYS_MS);
        task::sleep(A_WHILE).await;
        world.step_wall_clock(-FOUR_DAYS_MS);
        task::sleep(A_WHILE).await;
        assert_eq!(oldest().await, 0, "the clock was wrong for a minute");
        world.step_wall_clock(FOUR_DAYS_MS);
        task::sleep(HOUR - A_WHILE).await;
        assert_eq!(oldest().await, 0, "it may be wrong");
        task::sleep(2 * A_WHILE).await;
        assert!(oldest().await > 0, "four days have passed");
        broker.await;
    });
}

#[test]
fn a_clock_that_is_days_ahead_at_the_start_deletes_nothing_before_it_has_stayed_so() {
    let world = World::new(7);
    let oldest = || async { simulated::connect(&world).await.pull("T", 0, 0).await.min };
    world.run(async {
        let broker = small_files(1, 1).start_in(&world, |_| task::sleep(A_WHILE));
        let client = simulated::connect(&world).await;
        for number in 0..MESSAGES {
            client.store("T", 0, &[number; BODY_SIZE_BYTES]).await;
        }
        broker.await;
        world.step_wall_clock(FOUR_DAYS_MS);
        let broker = small_files(1, 1).start_in(&world, |_| task::sleep(2 * HOUR));
        simulated::connect(&world).await.store("T", 0, b"stored in the future").await;
        task::sleep(HOUR - 2 * A_WHILE).await;
        assert_eq!(oldest().await, 0, "the clock may be wrong");
        task::sleep(4 * A_WHILE).await;
        assert!(oldest().await > 0, "four days have passed");
        broker.await;
    });
}

/// Leaves so little space that files of so many bytes have to go.
async fn lack_space(world: &World, bytes: u32) {
    let space = world.disk(BROKER).free_space().await.expect("known");
    let fits = space.total - space.available - u64::from(bytes);
    world.disk_faults(BROKER, |faults| faults.capacity_bytes = fits * 100 / 85);
}

/// Has queues 0 and 1 filled, each in a log of its own, and then so little space that one file has
/// to go.
async fn check_older_goes_first(world: &World, shards: usize, older: i32) {
    let broker = small_files(shards, 2).start_in(world, |_| task::sleep(3 * A_WHILE));
    let newer = 1 - older;
    for queue in [older, newer] {
        let client = simulated::connect(world).await;
        for number in 0..MESSAGES / 2 {
            client.store("T", queue, &[number; BODY_SIZE_BYTES]).await;
        }
        // Files are made ahead, and indexes saved, for a while.
        task::sleep(Duration::from_secs(3)).await;
    }
    lack_space(world, FILE_BYTES / 2).await;
    task::sleep(A_WHILE).await;
    let client = simulated::connect(world).await;
    let oldest = async |queue| client.pull("T", queue, 0).await.min;
    let (of_older, of_newer) = (oldest(older).await, oldest(newer).await);
    assert!(of_older > 0, "{shards} shards: queue {older} has the oldest file");
    assert!(of_older <= MESSAGES_OF_FILE_MAX, "{shards} shards: {of_older} went, not one file");
    assert_eq!(of_newer, 0, "{shards} shards: queue {newer} has none that old");
    world.disk_faults(BROKER, |faults| faults.capacity_bytes = 1 << 40);
    broker.await;
}

#[test]
fn for_lack_of_space_the_oldest_file_of_all_logs_goes_first() {
    for (shards, older) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        let world = World::new(7);
        world.run(check_older_goes_first(&world, shards, older));
    }
}

#[test]
fn for_lack_of_space_files_of_all_shards_go_in_turn() {
    let world = World::new(7);
    world.run(async {
        let broker = small_files(2, 2).start_in(&world, |_| task::sleep(3 * A_WHILE));
        let client = simulated::connect(&world).await;
        for number in 0..MESSAGES {
            for queue in [0, 1] {
                client.store("T", queue, &[number; BODY_SIZE_BYTES]).await;
            }
            // The files of both are as old as each other, and each older than the next.
            task::sleep(Duration::from_millis(10)).await;
        }
        // Files are made ahead, and indexes saved, for a while.
        task::sleep(Duration::from_secs(3)).await;
        lack_space(&world, FILE_BYTES * 3 / 2).await;
        task::sleep(A_WHILE).await;
        for queue in [0, 1] {
            let min = client.pull("T", queue, 0).await.min;
            let of_one_file = 1..=MESSAGES_OF_FILE_MAX;
            assert!(of_one_file.contains(&min), "queue {queue} begins at {min}: one file went");
        }
        world.disk_faults(BROKER, |faults| faults.capacity_bytes = 1 << 40);
        broker.await;
    });
}
