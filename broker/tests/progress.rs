//! Consumers' progress, bounds of queues, look-ups, and what a restart keeps.

mod support;

use std::sync::Arc;

use ringmq_broker::view::{Change, Topic};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::offset::{
    MaxOffsetRequest, QueryOffsetRequest, QueueRequest, SearchOffsetRequest, UpdateOffsetRequest,
};
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_protocol::headers::query::{QueryMessageRequest, ViewMessageRequest};

use support::{Brokers, Client, messages, pull_header, temp_dir};

fn query<'h>(group: &'h str, queue_id: i32) -> QueryOffsetRequest<'h> {
    QueryOffsetRequest {
        consumer_group: group,
        topic: "T",
        queue_id,
        set_zero_if_not_found: None,
        broker_name: None,
    }
}

fn update(group: &str, queue_id: i32, commit_offset: i64) -> UpdateOffsetRequest<'_> {
    UpdateOffsetRequest {
        consumer_group: group,
        topic: "T",
        queue_id,
        commit_offset,
        broker_name: None,
    }
}

async fn progress(client: &Client, group: &str, queue: i32) -> Result<i64, i32> {
    let answer = client.call(request::QUERY_CONSUMER_OFFSET, &query(group, queue), &[]).await;
    match answer.code() {
        response::SUCCESS => Ok(support::field(&answer, "offset").parse().expect("a number")),
        code => Err(code),
    }
}

#[test]
fn progress_is_committed_by_request_and_by_pull() {
    for (shards, logs) in [(1, 1), (2, 3)] {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            for (number, client) in broker.clients().await.iter().enumerate() {
                let (group, queue) = (format!("g{number}"), number as i32 % 4);
                let empty = progress(client, &group, queue).await;
                assert_eq!(empty, Err(response::QUERY_NOT_FOUND), "nothing was ever sent here");
                let commit = update(&group, queue, 5);
                let answer = client.call(request::UPDATE_CONSUMER_OFFSET, &commit, &[]).await;
                assert_eq!(answer.code(), response::SUCCESS);
                assert_eq!(progress(client, &group, queue).await, Ok(5));
                let header = PullRequest {
                    consumer_group: &group,
                    sys_flag: pull_flag::SUBSCRIPTION | pull_flag::COMMIT_OFFSET,
                    commit_offset: 3,
                    ..pull_header("T", queue, 0)
                };
                client.pull_with(&header).await;
                assert_eq!(progress(client, &group, queue).await, Ok(3));
                let none = update(&group, queue, -1);
                client.call(request::UPDATE_CONSUMER_OFFSET, &none, &[]).await;
                assert_eq!(progress(client, &group, queue).await, Ok(3), "-1 means none");
            }
        });
    }
}

#[test]
fn progress_on_a_queue_that_a_topic_has_not_names_the_queues_it_has() {
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        let narrowed = Topic { read_queues: 2, ..support::topic("Narrowed", 4) };
        broker.data.publish(Change::Topic(Arc::new(narrowed)));
        let client = broker.client().await;
        let commit =
            |queue_id| UpdateOffsetRequest { topic: "Narrowed", ..update("g", queue_id, 1) };
        let written = client.call(request::UPDATE_CONSUMER_OFFSET, &commit(3), &[]).await;
        assert_eq!(written.code(), response::SUCCESS, "what was written before can be consumed");
        let missing = client.call(request::UPDATE_CONSUMER_OFFSET, &commit(4), &[]).await;
        let remark = missing.command().remark().unwrap_or_default().to_owned();
        let expected = "queueId 4 does not exist, topic Narrowed has queues 0 to 3 (the larger of \
                        readQueueNums and writeQueueNums)";
        assert_eq!(remark, expected);
    });
}

#[test]
fn a_group_of_the_system_is_made_by_use_whatever_the_settings_say() {
    let dir = temp_dir();
    let mut brokers = Brokers::new(1, 1);
    brokers.settings.auto_create_subscription_group = false;
    brokers.run(dir.path(), |broker| async move {
        let client = broker.client().await;
        let missing = response::SUBSCRIPTION_GROUP_NOT_EXIST;
        for (group, expected) in
            [("CID_RMQ_SYS_puller", response::PULL_NOT_FOUND), ("puller", missing)]
        {
            let header = PullRequest { consumer_group: group, ..pull_header("T", 0, 0) };
            let pulled = client.pull_with(&header).await;
            assert_eq!(pulled.code, expected, "a pull as {group}: {}", pulled.remark);
        }
        for (group, expected) in
            [("CID_RMQ_SYS_committer", response::SUCCESS), ("committer", missing)]
        {
            let commit = update(group, 0, 1);
            let answer = client.call(request::UPDATE_CONSUMER_OFFSET, &commit, &[]).await;
            assert_eq!(answer.code(), expected, "a commit as {group}");
        }
    });
}

#[test]
fn a_new_group_starts_at_the_beginning_of_a_young_queue() {
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        let client = broker.client().await;
        client.store("T", 0, b"x").await;
        assert_eq!(progress(&client, "new", 0).await, Ok(0));
        let strict = QueryOffsetRequest { set_zero_if_not_found: Some(false), ..query("new", 0) };
        let answer = client.call(request::QUERY_CONSUMER_OFFSET, &strict, &[]).await;
        assert_eq!(answer.code(), response::QUERY_NOT_FOUND);
    });
}

#[test]
fn the_bounds_of_a_queue_are_found_by_offset_and_time() {
    for (shards, logs) in [(1, 1), (2, 3)] {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            let client = broker.client().await;
            for queue_id in 0..4 {
                let max =
                    MaxOffsetRequest { topic: "T", queue_id, committed: true, broker_name: None };
                let queue = QueueRequest { topic: "T", queue_id, broker_name: None };
                assert_eq!(client.number(request::GET_MAX_OFFSET, &max, "offset").await, 0);
                let earliest = request::GET_EARLIEST_MSG_STORETIME;
                assert_eq!(client.number(earliest, &queue, "timestamp").await, -1);
                for _ in 0..3 {
                    client.store("T", queue_id, b"x").await;
                }
                assert_eq!(client.number(request::GET_MAX_OFFSET, &max, "offset").await, 3);
                assert_eq!(client.number(request::GET_MIN_OFFSET, &queue, "offset").await, 0);
                assert!(client.number(earliest, &queue, "timestamp").await > 1_700_000_000_000);
                for (timestamp_ms, expected) in [(0, 0), (i64::MAX / 2, 3)] {
                    let search = SearchOffsetRequest {
                        topic: "T",
                        queue_id,
                        timestamp_ms,
                        boundary_type: Some("lower"),
                        lite_topic: None,
                        broker_name: None,
                    };
                    let code = request::SEARCH_OFFSET_BY_TIMESTAMP;
                    assert_eq!(client.number(code, &search, "offset").await, expected);
                }
            }
        });
    }
}

#[test]
fn messages_are_found_by_key_and_by_id() {
    for (shards, logs) in [(1, 1), (2, 3)] {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            for client in broker.clients().await {
                for queue in 0..4 {
                    let properties = "KEYS\u{1}order-7 vip\u{2}";
                    client.send_with("T", queue, &[queue as u8], properties).await;
                }
                let query = |key| QueryMessageRequest {
                    topic: "T",
                    key,
                    max_num: 100,
                    begin_timestamp_ms: 0,
                    end_timestamp_ms: i64::MAX,
                    unique_key_query: false,
                    index_type: None,
                    last_key: None,
                };
                let answer = client.call(request::QUERY_MESSAGE, &query("vip"), &[]).await;
                assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
                let found = messages(answer.body());
                assert!(found.len() >= 4, "one of each queue, {} found", found.len());
                let answer = client.call(request::QUERY_MESSAGE, &query("nobody"), &[]).await;
                assert_eq!(answer.code(), response::QUERY_NOT_FOUND);
                for message in found {
                    let offset = message.physical_offset;
                    let view = ViewMessageRequest { offset, topic: None };
                    let answer = client.call(request::VIEW_MESSAGE_BY_ID, &view, &[]).await;
                    assert_eq!(messages(answer.body()), [message]);
                    for wrong in [offset + 1, -1, 200 << 45, i64::MAX] {
                        let view = ViewMessageRequest { offset: wrong, topic: None };
                        let answer = client.call(request::VIEW_MESSAGE_BY_ID, &view, &[]).await;
                        assert_eq!(answer.code(), response::SYSTEM_ERROR, "offset {wrong}");
                    }
                }
            }
        });
    }
}

#[test]
fn a_query_by_key_answers_with_the_newest_messages_of_all_logs_that_fit() {
    for (shards, logs) in [(1, 1), (2, 3), (3, 2)] {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            let client = broker.client().await;
            for number in 0..16 {
                let body = vec![number; 1 << 20];
                client.send_with("T", i32::from(number) % 4, &body, "KEYS\u{1}k\u{2}").await;
            }
            for (max_num, expected) in [(3, 3), (100, 7)] {
                let query = QueryMessageRequest {
                    topic: "T",
                    key: "k",
                    max_num,
                    begin_timestamp_ms: 0,
                    end_timestamp_ms: i64::MAX,
                    unique_key_query: false,
                    index_type: None,
                    last_key: None,
                };
                let answer = client.call(request::QUERY_MESSAGE, &query, &[]).await;
                assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
                let found = messages(answer.body());
                let mut numbers: Vec<u8> = found.iter().map(|message| message.body[0]).collect();
                numbers.sort_unstable();
                assert_eq!(numbers, (16 - expected..16).collect::<Vec<_>>());
            }
        });
    }
}

#[test]
fn a_restart_keeps_messages_and_progress_whatever_the_number_of_shards() {
    let dir = temp_dir();
    for (round, shards) in [2, 1, 3].into_iter().enumerate() {
        Brokers::new(shards, 3).run(dir.path(), move |broker| async move {
            let clients = broker.clients().await;
            for (queue, client) in (0..4).zip(&clients) {
                let before = round as i64 * 5;
                if round > 0 {
                    assert_eq!(progress(client, "g", queue).await, Ok(before));
                }
                let bodies: Vec<_> =
                    client.pull_all("T", queue).await.into_iter().map(|found| found.body).collect();
                let expected: Vec<_> = (0..before).map(|n| n.to_string().into_bytes()).collect();
                assert_eq!(bodies, expected);
                for number in before..before + 5 {
                    assert_eq!(
                        client.store("T", queue, number.to_string().as_bytes()).await,
                        number
                    );
                }
                let commit = update("g", queue, before + 5);
                client.call(request::UPDATE_CONSUMER_OFFSET, &commit, &[]).await;
            }
        });
    }
}

#[test]
fn cold_messages_are_read_from_the_device() {
    let dir = temp_dir();
    let body = |number: i64| vec![number as u8; 40_000];
    Brokers::new(1, 1).run(dir.path(), move |broker| async move {
        let client = broker.client().await;
        for number in 0..20 {
            client.store("T", 0, &body(number)).await;
        }
    });
    Brokers::new(2, 1).run(dir.path(), move |broker| async move {
        for client in broker.clients().await {
            let mut next = 0;
            while next < 20 {
                let pulled = client.pull("T", 0, next).await;
                assert_eq!(pulled.code, response::SUCCESS, "{}", pulled.remark);
                for message in &pulled.messages {
                    assert_eq!((message.queue_offset, &message.body), (next, &body(next)));
                    next += 1;
                }
                assert_eq!(pulled.next, next);
            }
        }
    });
}

#[test]
fn answers_from_the_device_are_short_only_far_behind_the_end() {
    let dir = temp_dir();
    let run = |ratio, messages: usize| {
        let mut brokers = Brokers::new(1, 1);
        brokers.settings.access_message_in_memory_max_ratio = ratio;
        brokers.run(dir.path(), move |broker| async move {
            let client = broker.client().await;
            assert_eq!(client.pull("T", 0, 0).await.messages.len(), messages);
            for _ in messages..40 {
                client.store("T", 0, &[1; 1000]).await;
            }
        });
    };
    run(40, 0);
    // Nothing is in memory now.
    run(40, 32);
    run(0, 8);
}
