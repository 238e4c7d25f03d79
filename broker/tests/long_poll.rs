//! Pulls that wait.

mod support;

use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use support::{Broker, Brokers, Client, Pulled, in_time, pull_header, pulled, temp_dir};

fn waiting<'h>(topic: &'h str, queue: i32, from: i64, tags: &'h str) -> PullRequest<'h> {
    PullRequest {
        sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
        subscription: Some(tags),
        ..pull_header(topic, queue, from)
    }
}

/// Sends a pull without waiting for its answer.
fn start(client: &Client, header: &PullRequest<'_>) -> task::Task<Pulled> {
    let call = client.connection.call(request::PULL_MESSAGE, header, &[], support::TIMEOUT);
    task::spawn("a waiting pull", async move { pulled(&call.await.expect("an answer")) })
}

/// Waits until so many pulls are held by the whole broker.
async fn until_held(broker: &Broker, held: usize) {
    let all_held = async {
        loop {
            let counts = broker
                .data
                .on_all_shards(
                    |data| async move { ringmq_broker::services::pull::held::count(&data) },
                )
                .await;
            if counts.iter().sum::<usize>() == held {
                return;
            }
            task::sleep(Duration::from_millis(1)).await;
        }
    };
    in_time("all pulls are held", all_held).await;
}

#[test]
fn a_message_wakes_the_pulls_that_want_it_on_any_shard() {
    for (shards, logs) in [(1, 1), (2, 3)] {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            let (consumers, producer) = (broker.clients().await, broker.client().await);
            let mut pulls = Vec::new();
            for (number, client) in consumers.iter().enumerate() {
                pulls.push(start(client, &waiting("T", number as i32 % 4, 0, "A")));
            }
            until_held(&broker, pulls.len()).await;
            for queue in 0..4 {
                producer.send_with("T", queue, b"other", "TAGS\u{1}B\u{2}").await;
            }
            until_held(&broker, pulls.len()).await;
            for queue in 0..4 {
                producer.send_with("T", queue, b"wanted", "TAGS\u{1}A\u{2}").await;
            }
            for pull in pulls {
                let pulled = pull.await;
                assert_eq!((pulled.code, pulled.next), (response::SUCCESS, 2));
                assert_eq!(pulled.messages.len(), 1);
                assert_eq!(pulled.messages[0].body, b"wanted");
            }
        });
    }
}

#[test]
fn a_pull_whose_time_is_up_is_told_that_nothing_was_found() {
    for (shards, logs) in [(1, 1), (2, 1)] {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            let started = Instant::now();
            let mut pulls = Vec::new();
            for (number, client) in broker.clients().await.iter().enumerate() {
                let suspend_timeout_ms = 50 + 10 * number as i64;
                let header = PullRequest { suspend_timeout_ms, ..waiting("T", 0, 0, "*") };
                pulls.push(start(client, &header));
            }
            for pull in pulls {
                let pulled = pull.await;
                assert_eq!((pulled.code, pulled.next), (response::PULL_NOT_FOUND, 0));
            }
            assert!(started.elapsed() >= Duration::from_millis(120), "the last one waited");
        });
    }
}

#[test]
fn pulls_whose_connection_ended_leave_long_before_their_time_is_up() {
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        let (gone, here) = (broker.client().await, broker.client().await);
        let header = PullRequest { suspend_timeout_ms: 100_000, ..waiting("T", 0, 0, "*") };
        let mut lost = Vec::new();
        for _ in 0..10 {
            lost.push(gone.connection.call(request::PULL_MESSAGE, &header, &[], support::TIMEOUT));
        }
        let kept = start(&here, &header);
        until_held(&broker, 11).await;
        gone.connection.close("the test leaves");
        until_held(&broker, 1).await;
        for call in lost {
            call.await.expect_err("nobody answers");
        }
        here.store("T", 0, b"a message").await;
        assert_eq!(kept.await.messages.len(), 1);
    });
}

#[test]
fn pulls_that_wait_are_answered_when_the_broker_stops() {
    let dir = temp_dir();
    let (sender, receiver) = std::sync::mpsc::channel();
    Brokers::new(2, 1).run(dir.path(), |broker| async move {
        for client in broker.clients().await {
            let pull = start(&client, &waiting("T", 0, 0, "*"));
            let sender = sender.clone();
            task::spawn("answered at the end", async move {
                sender.send(pull.await.code).expect("the test waits");
            })
            .detach();
        }
        until_held(&broker, 8).await;
    });
    let codes: Vec<i32> = receiver.iter().collect();
    assert_eq!(codes, [response::PULL_NOT_FOUND; 8]);
}

#[test]
fn thousands_of_waiting_pulls_are_woken_one_by_one() {
    const PULLS: i64 = 4_000;
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        let client = broker.client().await;
        // Each wants a later message than the one before.
        let pulls: Vec<_> = (0..PULLS)
            .map(|number| start(&client, &waiting("T", (number % 4) as i32, 0, "*")))
            .collect();
        until_held(&broker, PULLS as usize).await;
        for queue in 0..4 {
            client.store("T", queue, b"for all").await;
        }
        for pull in pulls {
            assert_eq!(pull.await.messages.len(), 1);
        }
    });
}

#[test]
fn pulls_that_ask_for_more_than_a_connection_may_have_are_answered_in_turn() {
    const PULLS: usize = 48;
    for (shards, logs) in [(1, 1), (2, 3)] {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            let (client, producer) = (broker.client().await, broker.client().await);
            let body = vec![7; 1 << 20];
            for queue in 0..4 {
                let pull = || start(&client, &waiting("T", queue, 0, "*"));
                let held: Vec<_> = (0..PULLS).map(|_| pull()).collect();
                until_held(&broker, PULLS).await;
                producer.store("T", queue, &body).await;
                let mut pulls: Vec<_> = (0..PULLS).map(|_| pull()).collect();
                let moved = start(&client, &waiting("T", queue, -1, "*"));
                pulls.extend(held);
                for pull in pulls {
                    let pulled = pull.await;
                    assert!(pulled.messages.len() == 1 && pulled.messages[0].body == body);
                }
                let moved = moved.await;
                assert_eq!((moved.code, moved.next), (response::PULL_OFFSET_MOVED, 0));
            }
        });
    }
}

#[test]
fn a_queue_with_many_pulls_of_certain_tags_answers_the_last_of_them_after_a_second() {
    const IN_LINE: usize = 1 << 10;
    const OUTSIDE: usize = 8;
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        let client = broker.client().await;
        let mut pulls: Vec<_> =
            (0..IN_LINE + OUTSIDE).map(|_| start(&client, &waiting("T", 0, 0, "A"))).collect();
        until_held(&broker, IN_LINE + OUTSIDE).await;
        for outside in pulls.split_off(IN_LINE) {
            assert_eq!(outside.await.code, response::PULL_NOT_FOUND);
        }
        until_held(&broker, IN_LINE).await;
        for _ in 0..IN_LINE {
            pulls.push(start(&client, &waiting("T", 0, 0, "*")));
        }
        until_held(&broker, 2 * IN_LINE).await;
        client.send_with("T", 0, b"for all in line", "TAGS\u{1}A\u{2}").await;
        for pull in pulls {
            assert_eq!(pull.await.messages.len(), 1);
        }
    });
}
