//! Members of groups that go on at a position which is void: their group was reset, or the topic
//! was deleted and made again.
//!
//! In a process of its own, as `deletion` is.

#[path = "resets/deletions.rs"]
mod deletions;
#[path = "resets/lost_index.rs"]
mod lost_index;
#[path = "resets/races.rs"]
mod races;
mod support;
#[path = "resets/survivors.rs"]
mod survivors;

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::TopicRequest;
use ringmq_protocol::headers::client::ResetOffsetRequest;
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_protocol::record::records;
use ringmq_remoting::OwnedCommand;
use ringmq_runtime::sim::World;
use ringmq_runtime::task::{self, Task};

use support::boot::{BROKER, boot, connect};
use support::world::{Client, create};

const QUEUE: i32 = 1;

/// By then a pull that was begun is held.
const HELD_AFTER: Duration = Duration::from_secs(1);

/// Pulls as a member that has consumed all before `at`; waits for messages when `waits`.
async fn pull(client: &Client, group: &str, at: i64, waits: bool) -> OwnedCommand {
    let wait = if waits { pull_flag::SUSPEND } else { 0 };
    let header = PullRequest {
        consumer_group: group,
        sys_flag: pull_flag::SUBSCRIPTION | pull_flag::COMMIT_OFFSET | wait,
        // A new group has nothing to commit yet, and Apache's clients commit no 0.
        commit_offset: if group == "new" || at == 0 { -1 } else { at },
        ..support::pull_header("T1", QUEUE, at)
    };
    client.call(request::PULL_MESSAGE, &header, &[]).await
}

/// Begins a pull that finds no message yet; the code of its answer, when that comes.
fn hold(client: &Rc<Client>, group: &'static str, at: i64) -> Task<i32> {
    let client = Rc::clone(client);
    task::spawn("a held pull", async move { pull(&client, group, at, true).await.code() })
}

fn next(answer: &OwnedCommand) -> i64 {
    support::field(answer, "nextBeginOffset").parse().expect("a number")
}

/// The queue offsets that a member gets which was at `at`, and goes where it is told.
async fn consume(client: &Client, group: &str, mut at: i64) -> Vec<i64> {
    let mut got = Vec::new();
    loop {
        let answer = pull(client, group, at, false).await;
        match answer.code() {
            response::SUCCESS => {
                let records = records(answer.body());
                got.extend(records.map(|record| record.expect("a record").queue_offset));
            }
            response::PULL_OFFSET_MOVED => {}
            _ => return got,
        }
        at = next(&answer);
    }
}

async fn delete_topic(client: &Client) {
    delete(client, "T1").await;
}

async fn delete(client: &Client, topic: &str) {
    let header = TopicRequest { topic, lo: None };
    client.ask(request::DELETE_TOPIC_IN_BROKER, &header, &[]).await;
}

async fn create_topic(client: &Client, messages: usize) {
    client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
    for _ in 0..messages {
        client.send("T1", QUEUE).await;
    }
}

/// Two groups are at the end of a topic that is deleted and made again: one has committed that, the
/// other only waits there.
async fn next_topic(world: &World, shards: usize, restarts: bool) {
    boot(world, shards, "broker-a");
    let client = Rc::new(connect(world).await);
    create_topic(&client, 10).await;
    client.commit("T1", QUEUE, 10).await;
    let waiting = ["g", "new"].map(|group| hold(&client, group, 10));
    task::sleep(HELD_AFTER).await;
    delete_topic(&client).await;
    for held in waiting {
        assert_eq!(held.await, response::TOPIC_NOT_EXIST, "not held for the next topic");
    }
    let client = if restarts {
        world.kill(BROKER);
        boot(world, shards, "broker-a");
        Rc::new(connect(world).await)
    } else {
        client
    };
    create_topic(&client, 12).await;
    client.commit("T1", QUEUE, 10).await;
    for group in ["g", "new"] {
        let got = consume(&client, group, 10).await;
        assert_eq!(got, (0..12).collect::<Vec<_>>(), "{shards} shards, {group}");
    }
    assert_eq!(client.committed("T1", QUEUE).await, "12");
}

#[test]
fn who_waits_in_a_deleted_topic_gets_every_message_of_the_next_one() {
    for shards in [1, 2] {
        for restarts in [false, true] {
            let world = World::new(shards as u64);
            let here = world.clone();
            world.run(async move { next_topic(&here, shards, restarts).await });
        }
    }
}

#[test]
fn a_group_that_begins_anew_in_an_empty_topic_has_progress_there() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        boot(&here, 2, "broker-a");
        let client = connect(&here).await;
        create_topic(&client, 10).await;
        client.commit("T1", QUEUE, 10).await;
        delete_topic(&client).await;
        create_topic(&client, 0).await;
        let moved = pull(&client, "g", 10, false).await;
        assert_eq!((moved.code(), next(&moved)), (response::PULL_OFFSET_MOVED, 0));
        pull(&client, "g", 0, false).await;
        assert_eq!(client.committed("T1", QUEUE).await, "0", "for the next owner of the queue");
    });
}

/// A group that has consumed 90 of 100 messages, and is sent to 0.
async fn reset_group(world: &World) -> Client {
    boot(world, 2, "broker-a");
    let client = connect(world).await;
    client.beat("c", &["T1"]).await;
    create_topic(&client, 100).await;
    client.commit("T1", QUEUE, 90).await;
    // Longer than progress stays in memory alone.
    task::sleep(Duration::from_secs(10)).await;
    reset(&client, 0).await;
    client
}

async fn reset(client: &Client, offset: i64) {
    assert_eq!(ask_reset(client, offset).await.code(), response::SUCCESS);
}

async fn ask_reset(client: &Client, offset: i64) -> OwnedCommand {
    let reset = ResetOffsetRequest {
        topic: "T1",
        group: "g",
        queue_id: QUEUE,
        offset: Some(offset),
        timestamp_ms: 0,
        is_force: true,
    };
    client.call(request::INVOKE_BROKER_TO_RESET_OFFSET, &reset, &[]).await
}

#[test]
fn a_reset_that_was_answered_outlives_a_kill_of_the_broker_and_the_members_that_it_meets_then() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        reset_group(&here).await;
        here.kill(BROKER);
        boot(&here, 2, "broker-a");
        let client = connect(&here).await;
        assert_eq!(client.committed("T1", QUEUE).await, "0");
        client.commit("T1", QUEUE, 90).await;
        assert_eq!(client.committed("T1", QUEUE).await, "0");
        let moved = pull(&client, "g", 90, false).await;
        assert_eq!((moved.code(), next(&moved)), (response::PULL_OFFSET_MOVED, 0));
    });
}

#[test]
fn positions_at_messages_that_a_crash_takes_skip_none_of_those_in_their_places() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        boot(&here, 2, "broker-a");
        let client = connect(&here).await;
        client.beat("c", &["T1"]).await;
        create_topic(&client, 60).await;
        // Longer than messages stay in memory alone, but for those that follow.
        task::sleep(Duration::from_secs(10)).await;
        for _ in 60..100 {
            client.send("T1", QUEUE).await;
        }
        pull(&client, "h", 100, false).await;
        // Saves what the other has consumed, too.
        reset(&client, 100).await;
        here.crash(BROKER);
        boot(&here, 2, "broker-a");
        let client = connect(&here).await;
        let end: i64 = client.committed("T1", QUEUE).await.parse().expect("a number");
        assert!((60..100).contains(&end), "{end}");
        for _ in end..110 {
            client.send("T1", QUEUE).await;
        }
        for group in ["g", "h"] {
            let got = consume(&client, group, 100).await;
            assert_eq!(got, (end..110).collect::<Vec<_>>(), "{group}");
        }
    });
}

#[test]
fn a_group_is_told_of_its_reset_until_one_of_its_pulls_begins_there() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = reset_group(&here).await;
        // The first answer is lost, the second reaches a member that has just lost the queue, and
        // commits what it is told; the third pull is the new owner's.
        for at in [90, 90, 95] {
            let moved = pull(&client, "g", at, false).await;
            assert_eq!((moved.code(), next(&moved)), (response::PULL_OFFSET_MOVED, 0), "{at}");
            client.commit("T1", QUEUE, at).await;
            client.commit("T1", QUEUE, 0).await;
            assert_eq!(client.committed("T1", QUEUE).await, "0", "{at}");
        }
        assert_eq!(pull(&client, "g", 0, false).await.code(), response::SUCCESS);
        client.commit("T1", QUEUE, 5).await;
        assert_eq!(client.committed("T1", QUEUE).await, "5");
        assert_eq!(pull(&client, "g", 95, false).await.code(), response::SUCCESS);
    });
}

#[test]
fn a_consumer_with_positions_of_its_own_is_let_go() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = reset_group(&here).await;
        let mut told = 0;
        while pull(&client, "g", 90, false).await.code() == response::PULL_OFFSET_MOVED {
            told += 1;
        }
        assert_eq!(told, 16);
        pull(&client, "g", 90, false).await;
        assert_eq!(client.committed("T1", QUEUE).await, "90");
    });
}
