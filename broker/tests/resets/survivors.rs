//! Members that outlive a crash of the broker and are ahead of what it left.

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::offset::MaxOffsetRequest;
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use super::boot::{BROKER, boot, connect};
use super::world::Client;
use super::{QUEUE, consume, create_topic, next, pull, reset, support};

/// Where the progress of `g` is saved, if it has any, and what a crash leaves of 100 messages that
/// members have got; 50 new ones follow.
const SAVED: i64 = 55;
const LEFT: i64 = 60;
const END: i64 = 110;

async fn crashed(world: &World, has_progress: bool) -> Client {
    boot(world, 2, "broker-a");
    let client = connect(world).await;
    create_topic(&client, LEFT as usize).await;
    if has_progress {
        client.commit("T1", QUEUE, SAVED).await;
    }
    // Longer than messages and progress stay in memory alone, but for those that follow.
    task::sleep(Duration::from_secs(10)).await;
    for _ in LEFT..100 {
        client.send("T1", QUEUE).await;
    }
    for group in ["g", "h"] {
        // It commits nothing.
        let header = PullRequest { consumer_group: group, ..support::pull_header("T1", QUEUE, 90) };
        let got = client.call(request::PULL_MESSAGE, &header, &[]).await;
        assert_eq!((got.code(), next(&got)), (response::SUCCESS, 100));
    }
    world.crash(BROKER);
    boot(world, 2, "broker-a");
    let client = connect(world).await;
    for _ in LEFT..END {
        client.send("T1", QUEUE).await;
    }
    client
}

/// A pull that was answered, where it goes on.
async fn answered(client: &Client, at: i64) -> (i32, i64) {
    let answer = client.pull("T1", QUEUE, at).await;
    (answer.code(), next(&answer))
}

#[test]
fn members_ahead_of_what_a_crash_left_skip_no_new_message() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = crashed(&here, true).await;
        for (group, from) in [("g", SAVED), ("h", LEFT)] {
            let got = consume(&client, group, 100).await;
            assert_eq!(got, (from..END).collect::<Vec<_>>(), "{group}");
        }
    });
}

#[test]
fn a_member_that_has_got_what_it_has_not_consumed_gets_that_again() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = crashed(&here, false).await;
        let header = PullRequest {
            consumer_group: "g",
            sys_flag: pull_flag::SUBSCRIPTION | pull_flag::COMMIT_OFFSET,
            commit_offset: SAVED,
            ..support::pull_header("T1", QUEUE, 100)
        };
        let moved = client.call(request::PULL_MESSAGE, &header, &[]).await;
        assert_eq!((moved.code(), next(&moved)), (response::PULL_OFFSET_MOVED, SAVED));
    });
}

#[test]
fn who_is_ahead_is_seen_though_another_member_asks_before() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = crashed(&here, true).await;
        // Another asks for the queue, and begins there.
        assert_eq!(client.committed("T1", QUEUE).await, SAVED.to_string());
        assert_eq!(answered(&client, SAVED).await, (response::SUCCESS, SAVED + 32));
        let got = consume(&client, "g", 100).await;
        assert_eq!(got, (SAVED..END).collect::<Vec<_>>());
    });
}

#[test]
fn progress_that_is_taken_back_for_who_is_ahead_is_so_for_the_next_member() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = crashed(&here, true).await;
        assert_eq!(answered(&client, LEFT).await, (response::SUCCESS, LEFT + 32));
        client.commit("T1", QUEUE, LEFT + 20).await;
        assert_eq!(client.committed("T1", QUEUE).await, (LEFT + 20).to_string());
        assert_eq!(answered(&client, 100).await, (response::PULL_OFFSET_MOVED, LEFT));
        assert_eq!(answered(&client, LEFT).await.0, response::SUCCESS);
        assert_eq!(client.committed("T1", QUEUE).await, LEFT.to_string());
    });
}

#[test]
fn progress_of_who_is_ahead_skips_no_new_message() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = crashed(&here, true).await;
        client.commit("T1", QUEUE, 90).await;
        assert_eq!(client.committed("T1", QUEUE).await, SAVED.to_string(), "by request");
        // With a pull of a position that anybody may be at.
        let header = PullRequest {
            consumer_group: "g",
            sys_flag: pull_flag::SUBSCRIPTION | pull_flag::COMMIT_OFFSET,
            commit_offset: 90,
            ..support::pull_header("T1", QUEUE, 0)
        };
        let got = client.call(request::PULL_MESSAGE, &header, &[]).await;
        assert_eq!(got.code(), response::SUCCESS);
        assert_eq!(client.committed("T1", QUEUE).await, SAVED.to_string(), "with a pull");
    });
}

#[test]
fn who_begins_after_a_crash_goes_on_undisturbed() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        boot(&here, 2, "broker-a");
        let client = connect(&here).await;
        create_topic(&client, 10).await;
        client.commit("T1", QUEUE, 5).await;
        here.kill(BROKER);
        boot(&here, 2, "broker-a");
        let client = connect(&here).await;
        for _ in 0..10 {
            client.send("T1", QUEUE).await;
        }
        assert_eq!(answered(&client, 10).await, (response::SUCCESS, 20), "it was here before");
        client.commit("T1", QUEUE, 15).await;
        assert_eq!(client.committed("T1", QUEUE).await, "15");
        assert_eq!(pull(&client, "g", 15, false).await.code(), response::SUCCESS);
        assert_eq!(pull(&client, "g", 20, false).await.code(), response::PULL_NOT_FOUND);
        assert_eq!(client.committed("T1", QUEUE).await, "20");
    });
}

/// A pull waits at the end of the queue, which is committed, and gets the next message.
async fn waits_at_the_end(client: Rc<Client>) {
    let held = {
        let client = Rc::clone(&client);
        task::spawn("a held pull", async move { pull(&client, "g", END, true).await.code() })
    };
    task::sleep(Duration::from_secs(1)).await;
    client.commit("T1", QUEUE, END).await;
    assert_eq!(client.committed("T1", QUEUE).await, END.to_string());
    client.send("T1", QUEUE).await;
    assert_eq!(held.await, response::SUCCESS);
}

#[test]
fn a_new_group_begins_at_the_end_that_it_was_told() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = crashed(&here, false).await;
        let queue =
            MaxOffsetRequest { topic: "T1", queue_id: QUEUE, committed: true, broker_name: None };
        let end = client.ask(request::GET_MAX_OFFSET, &queue, &[]).await;
        assert_eq!(support::field(&end, "offset"), END.to_string());
        waits_at_the_end(Rc::new(client)).await;
    });
}

#[test]
fn who_is_reset_after_a_crash_begins_there() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = crashed(&here, true).await;
        client.beat("c", &["T1"]).await;
        reset(&client, END).await;
        waits_at_the_end(Rc::new(client)).await;
    });
}

#[test]
fn a_client_that_goes_its_own_way_after_a_crash_is_let_go() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = crashed(&here, true).await;
        for _ in 0..16 {
            let moved = pull(&client, "g", END, false).await;
            assert_eq!((moved.code(), next(&moved)), (response::PULL_OFFSET_MOVED, SAVED));
        }
        waits_at_the_end(Rc::new(client)).await;
    });
}
