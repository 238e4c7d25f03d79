//! Members that outlive a crash of the broker and are ahead of what it left.

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::offset::{MaxOffsetRequest, SearchOffsetRequest};
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_runtime::sim::World;
use ringmq_runtime::{clock, task};

use super::support::boot::{BROKER, boot, connect};
use super::support::world::Client;
use super::{HELD_AFTER, QUEUE, consume, create_topic, hold, next, pull, reset, support};

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

/// Runs a test in the world of [`crashed`].
fn after_a_crash(has_progress: bool, test: impl AsyncFnOnce(&World, Client) + 'static) {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let client = crashed(&here, has_progress).await;
        test(&here, client).await;
    });
}

/// A connection from another host.
async fn connect_from_elsewhere(world: &World) -> Client {
    let here = world.clone();
    world.spawn_on(BROKER + 1, "another host", async move { connect(&here).await }).await
}

/// A pull that was answered, where it goes on.
async fn answered(client: &Client, at: i64) -> (i32, i64) {
    let answer = client.pull("T1", QUEUE, at).await;
    (answer.code(), next(&answer))
}

#[test]
fn members_ahead_of_what_a_crash_left_skip_no_new_message() {
    after_a_crash(true, async |_, client| {
        for (group, from) in [("g", SAVED), ("h", LEFT)] {
            let got = consume(&client, group, 100).await;
            assert_eq!(got, (from..END).collect::<Vec<_>>(), "{group}");
        }
    });
}

#[test]
fn a_member_that_has_got_what_it_has_not_consumed_gets_that_again() {
    after_a_crash(false, async |_, client| {
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
    after_a_crash(true, async |_, client| {
        // Another asks for the queue, and begins there.
        assert_eq!(client.committed("T1", QUEUE).await, SAVED.to_string());
        assert_eq!(answered(&client, SAVED).await, (response::SUCCESS, SAVED + 32));
        let got = consume(&client, "g", 100).await;
        assert_eq!(got, (SAVED..END).collect::<Vec<_>>());
    });
}

#[test]
fn members_that_hold_one_queue_at_once_do_not_hide_each_other() {
    after_a_crash(true, async |here, client| {
        // The first that is back finds itself alone in the group, and begins in all queues.
        let other = connect_from_elsewhere(here).await;
        assert_eq!(answered(&other, SAVED).await, (response::SUCCESS, SAVED + 32));
        assert_eq!(answered(&other, SAVED + 32).await, (response::SUCCESS, END));
        client.commit("T1", QUEUE, 100).await;
        assert_eq!(client.committed("T1", QUEUE).await, SAVED.to_string());
        assert_eq!(answered(&client, 100).await, (response::PULL_OFFSET_MOVED, SAVED));
        // It loses the queue before it obeys, and the other goes on.
        assert_eq!(answered(&other, END).await, (response::PULL_OFFSET_MOVED, SAVED));
        assert_eq!(answered(&other, SAVED).await, (response::SUCCESS, SAVED + 32));
        other.commit("T1", QUEUE, 90).await;
        assert_eq!(answered(&client, 100).await, (response::PULL_OFFSET_MOVED, 90));
    });
}

#[test]
fn who_is_ahead_skips_what_its_group_has_consumed() {
    after_a_crash(true, async |here, client| {
        let other = connect_from_elsewhere(here).await;
        consume(&other, "g", SAVED).await;
        other.commit("T1", QUEUE, 100).await;
        assert_eq!(answered(&client, 100).await, (response::SUCCESS, END));
    });
}

#[test]
fn who_comes_from_another_host_goes_on_at_the_progress_of_its_group() {
    after_a_crash(true, async |here, client| {
        consume(&client, "g", SAVED).await;
        client.commit("T1", QUEUE, LEFT + 20).await;
        let again = connect(here).await;
        assert_eq!(
            answered(&again, END).await.0,
            response::PULL_NOT_FOUND,
            "it lost its connection"
        );
        let client = connect_from_elsewhere(here).await;
        assert_eq!(answered(&client, END).await, (response::PULL_OFFSET_MOVED, LEFT + 20));
        assert_eq!(answered(&client, LEFT + 20).await.0, response::SUCCESS);
        assert_eq!(client.committed("T1", QUEUE).await, (LEFT + 20).to_string());
        client.commit("T1", QUEUE, END).await;
        assert_eq!(client.committed("T1", QUEUE).await, END.to_string());
    });
}

#[test]
fn progress_of_who_is_ahead_skips_no_new_message() {
    after_a_crash(true, async |_, client| {
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
    let held = hold(&client, "g", END);
    task::sleep(HELD_AFTER).await;
    client.commit("T1", QUEUE, END).await;
    assert_eq!(client.committed("T1", QUEUE).await, END.to_string());
    client.send("T1", QUEUE).await;
    assert_eq!(held.await, response::SUCCESS);
}

/// The end of the queue, as a member without progress asks for it.
async fn ask_end(client: &Client) -> i64 {
    let queue =
        MaxOffsetRequest { topic: "T1", queue_id: QUEUE, committed: true, broker_name: None };
    let answer = client.ask(request::GET_MAX_OFFSET, &queue, &[]).await;
    support::field(&answer, "offset").parse().expect("a number")
}

/// The first offset that was stored since, as a member without progress asks for it.
async fn ask_time(client: &Client, timestamp_ms: i64) -> i64 {
    let header = SearchOffsetRequest {
        topic: "T1",
        queue_id: QUEUE,
        timestamp_ms,
        boundary_type: None,
        lite_topic: None,
        broker_name: None,
    };
    let answer = client.ask(request::SEARCH_OFFSET_BY_TIMESTAMP, &header, &[]).await;
    support::field(&answer, "offset").parse().expect("a number")
}

#[test]
fn a_new_group_begins_at_the_end_that_it_was_told() {
    after_a_crash(false, async |_, client| {
        assert_eq!(ask_end(&client).await, END);
        waits_at_the_end(Rc::new(client)).await;
    });
}

#[test]
fn a_new_group_begins_at_the_time_that_it_was_told() {
    after_a_crash(false, async |_, client| {
        task::sleep(Duration::from_secs(1)).await;
        let now_ms = clock::unix_ms();
        for _ in 0..5 {
            client.send("T1", QUEUE).await;
        }
        assert_eq!(ask_time(&client, now_ms).await, END);
        assert_eq!(answered(&client, END).await, (response::SUCCESS, END + 5));
        client.commit("T1", QUEUE, END + 3).await;
        assert_eq!(client.committed("T1", QUEUE).await, (END + 3).to_string());
    });
}

#[test]
fn who_is_ahead_without_progress_is_seen_though_others_ask_for_the_end() {
    after_a_crash(false, async |here, client| {
        let other = connect_from_elsewhere(here).await;
        assert_eq!(ask_end(&other).await, END);
        assert_eq!(ask_time(&other, i64::MAX).await, END);
        assert_eq!(answered(&client, 100).await, (response::PULL_OFFSET_MOVED, LEFT));
    });
}

#[test]
fn who_is_reset_after_a_crash_begins_there() {
    after_a_crash(true, async |_, client| {
        client.beat("c", &["T1"]).await;
        reset(&client, END).await;
        waits_at_the_end(Rc::new(client)).await;
    });
}

#[test]
fn a_client_that_goes_its_own_way_after_a_crash_is_let_go() {
    after_a_crash(true, async |_, client| {
        for _ in 0..16 {
            let moved = pull(&client, "g", END, false).await;
            assert_eq!((moved.code(), next(&moved)), (response::PULL_OFFSET_MOVED, SAVED));
        }
        waits_at_the_end(Rc::new(client)).await;
    });
}
