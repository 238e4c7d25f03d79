//! What comes while the device takes long with something else: a reset, or the end of a topic.

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_remoting::OwnedCommand;
use ringmq_runtime::sim::{DiskFaults, PageCache, World};
use ringmq_runtime::task::{self, Task};

use super::support::boot::{BROKER, boot, connect};
use super::support::send_header;
use super::support::world::Client;
use super::{QUEUE, consume, create_topic, delete_topic, next, pull, reset};

/// Messages of the topic at first.
const MESSAGES: usize = 8;

/// Until all that a broker does on its own is done.
const QUIET_AFTER: Duration = Duration::from_secs(10);

/// Until members that come are no longer asked whether they have seen what a crash took.
const SURVIVORS_CAME: Duration = Duration::from_secs(11 * 60);

/// What one read takes that the others do not wait for.
const SLOW: Duration = Duration::from_secs(5);

/// A broker that was started when its topic was there already, so that the device alone has it, and
/// that knows the group `g`.
async fn boot_cold(world: &World) -> Rc<Client> {
    boot(world, 1, "broker-a");
    let client = connect(world).await;
    client.beat("c", &["T1"]).await;
    create_topic(&client, MESSAGES).await;
    // More than a start keeps in memory of the end of the log.
    for _ in 0..4 {
        client.ask(request::SEND_MESSAGE_V2, &send_header("T2", 0, ""), &[7; 1 << 20]).await;
    }
    task::sleep(QUIET_AFTER).await;
    world.kill(BROKER);
    world.disk_faults(BROKER, |faults| faults.page_cache = PageCache::Brought);
    boot(world, 1, "broker-a");
    task::sleep(SURVIVORS_CAME).await;
    Rc::new(connect(world).await)
}

/// Has something begin with a read that takes long; whatever is read later does not.
async fn begin_slowly<T: 'static>(
    world: &World,
    slow: impl Future<Output = T> + 'static,
) -> Task<T> {
    world.disk_faults(BROKER, |faults| faults.latency = (SLOW, SLOW));
    let begun = task::spawn("slow", slow);
    // The request is on its way for less than a millisecond.
    task::sleep(Duration::from_millis(5)).await;
    world.disk_faults(BROKER, |faults| faults.latency = DiskFaults::default().latency);
    begun
}

/// Begins a pull that reads for a long time.
async fn pull_slowly(
    world: &World,
    client: &Rc<Client>,
    group: &'static str,
    at: i64,
) -> Task<OwnedCommand> {
    let client = Rc::clone(client);
    begin_slowly(world, async move { pull(&client, group, at, false).await }).await
}

#[test]
fn a_pull_that_waits_for_the_device_is_told_of_a_reset_that_comes_meanwhile() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = boot_cold(&here).await;
        let pulled = pull_slowly(&here, &client, "g", 3).await;
        reset(&client, 5).await;
        assert!(!pulled.is_finished(), "the device has it");
        let answer = pulled.await;
        assert_eq!((answer.code(), next(&answer)), (response::PULL_OFFSET_MOVED, 5));
        assert_eq!(consume(&client, "g", 5).await, (5..MESSAGES as i64).collect::<Vec<_>>());
        assert_eq!(client.committed("T1", QUEUE).await, MESSAGES.to_string());
    });
}

#[test]
fn a_group_without_progress_whose_pull_waits_for_the_device_begins_anew_in_the_next_topic() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = boot_cold(&here).await;
        let pulled = pull_slowly(&here, &client, "new", 3).await;
        delete_topic(&client).await;
        create_topic(&client, 12).await;
        assert!(!pulled.is_finished(), "the device has it");
        let answer = pulled.await;
        assert_eq!((answer.code(), next(&answer)), (response::PULL_OFFSET_MOVED, 0));
        assert_eq!(consume(&client, "new", 3).await, (0..12).collect::<Vec<_>>());
    });
}
