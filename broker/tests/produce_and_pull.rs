//! Sending and pulling through the wire.

mod support;

use ringmq_protocol::batch;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_protocol::headers::send::SendRequest;
use ringmq_protocol::properties::Properties;

use support::{Brokers, field, pull_header, send_header, temp_dir};

/// Runs every scenario on the layouts that matter: one log, several logs on one core, cores and
/// logs that do not divide.
fn layouts() -> [(usize, u16); 3] {
    [(1, 1), (1, 3), (2, 3)]
}

#[test]
fn what_was_sent_is_pulled_as_it_was() {
    for (shards, logs) in layouts() {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            let clients = broker.clients().await;
            for (number, client) in clients.iter().enumerate() {
                let body = format!("message {number}");
                let queue = number as i32 % 4;
                let answer = client.send_with("T", queue, body.as_bytes(), "TAGS\u{1}A\u{2}").await;
                assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
                assert_eq!(field(&answer, "queueId"), queue.to_string());
                assert_eq!(field(&answer, "queueOffset"), (number / 4).to_string());
                assert_eq!(field(&answer, "MSG_REGION"), "DefaultRegion");
                assert_eq!(field(&answer, "msgId").len(), 32);
            }
            for client in &clients {
                for queue in 0..4 {
                    let pulled = client.pull("T", queue, 0).await;
                    assert_eq!((pulled.code, pulled.remark.as_str()), (0, "FOUND"));
                    assert_eq!((pulled.next, pulled.min, pulled.max), (2, 0, 2));
                    let bodies: Vec<_> =
                        pulled.messages.iter().map(|message| message.body.clone()).collect();
                    let expected = [queue, queue + 4].map(|n| format!("message {n}").into_bytes());
                    assert_eq!(bodies, expected);
                    let properties = &pulled.messages[0].properties;
                    for part in ["TAGS\u{1}A", "CLUSTER\u{1}DefaultCluster", "UNIQ_KEY\u{1}"] {
                        assert!(properties.contains(part), "{part} in {properties:?}");
                    }
                }
            }
        });
    }
}

#[test]
fn a_topic_that_nobody_made_is_made_by_the_first_send_from_any_shard() {
    for (shards, logs) in layouts() {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            for (number, client) in broker.clients().await.iter().enumerate() {
                let topic = format!("New-{number}");
                assert_eq!(client.store(&topic, 3, b"first").await, 0);
                assert_eq!(client.store(&topic, 3, b"second").await, 1);
                let pulled = client.pull(&topic, 3, 0).await;
                assert_eq!(pulled.messages.len(), 2, "{pulled:?}");
            }
        });
    }
}

#[test]
fn a_queue_left_to_the_broker_is_one_that_exists() {
    for (shards, logs) in layouts() {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            for client in broker.clients().await {
                let answer = client.send("T", -1, b"anywhere").await;
                assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
                let queue: i32 = field(&answer, "queueId").parse().expect("a number");
                let offset = field(&answer, "queueOffset").parse().expect("a number");
                let pulled = client.pull("T", queue, offset).await;
                assert_eq!(pulled.messages[0].body, b"anywhere");
            }
        });
    }
}

#[test]
fn a_send_that_breaks_a_rule_is_refused_with_its_code() {
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        let client = broker.client().await;
        let large = vec![b'x'; (4 << 20) + 1];
        let long = format!("a\u{1}{}\u{2}", "v".repeat(33_000));
        let delayed = "DELAY\u{1}3\u{2}";
        let prepared = "TRAN_MSG\u{1}true\u{2}";
        // What Java cannot read as an `int` fails the send there.
        let unreadable = ["DELAY\u{1} 3\u{2}", "DELAY\u{1}99999999999\u{2}"];
        let inner_batch = "INNER_NUM\u{1}2\u{2}";
        let request = "CORRELATION_ID\u{1}i\u{2}REPLY_TO_CLIENT\u{1}c\u{2}TTL\u{1}3000\u{2}";
        let cases: [(&str, i32, &[u8], &str, i32); 14] = [
            ("T", 4, b"x", "", response::INVALID_PARAMETER),
            ("T", 0, b"", "", response::MESSAGE_ILLEGAL),
            ("T", 0, &large, "", response::MESSAGE_ILLEGAL),
            ("T", 0, b"x", &long, response::MESSAGE_ILLEGAL),
            ("T", 0, b"x", delayed, response::MESSAGE_ILLEGAL),
            ("T", 0, b"x", unreadable[0], response::MESSAGE_ILLEGAL),
            ("T", 0, b"x", unreadable[1], response::MESSAGE_ILLEGAL),
            ("T", 0, b"x", inner_batch, response::MESSAGE_ILLEGAL),
            ("T", 0, b"x", request, response::MESSAGE_ILLEGAL),
            ("T", 0, b"x", prepared, response::NO_PERMISSION),
            ("not a topic", 0, b"x", "", response::INVALID_PARAMETER),
            ("", 0, b"x", "", response::INVALID_PARAMETER),
            ("SCHEDULE_TOPIC_XXXX", 0, b"x", "", response::NO_PERMISSION),
            ("%RETRY%nobody", 0, b"x", "", response::SUBSCRIPTION_GROUP_NOT_EXIST),
        ];
        for (topic, queue, body, properties, code) in cases {
            let answer = client.send_with(topic, queue, body, properties).await;
            assert_eq!(answer.code(), code, "{topic} {queue} {properties:?}");
            assert!(!answer.command().remark().unwrap_or_default().is_empty(), "{topic} {queue}");
        }
        let inner_batch = SendRequest { sys_flag: 0x80, ..send_header("T", 0, "") };
        let answer = client.call(request::SEND_MESSAGE_V2, &inner_batch, b"x").await;
        assert_eq!(answer.code(), response::MESSAGE_ILLEGAL);
        assert_eq!(client.store("T", 0, &large[1..]).await, 0, "exactly 4 MiB is allowed");
        assert_eq!(client.pull("T", 0, 0).await.messages[0].body.len(), 4 << 20);
    });
}

#[test]
fn a_request_without_its_fields_or_with_an_unknown_code_is_answered() {
    let dir = temp_dir();
    Brokers::new(2, 1).run(dir.path(), |broker| async move {
        for client in broker.clients().await {
            for code in [request::SEND_MESSAGE_V2, request::PULL_MESSAGE, request::GET_MAX_OFFSET] {
                let answer = client.call(code, &(), &[]).await;
                assert_eq!(answer.code(), response::SYSTEM_ERROR, "code {code}");
                let remark = answer.command().remark().unwrap_or_default().to_owned();
                assert!(remark.contains("missing"), "code {code}: {remark}");
            }
            let answer = client.call(31_000, &(), &[]).await;
            assert_eq!(answer.code(), response::REQUEST_CODE_NOT_SUPPORTED);
        }
    });
}

#[test]
fn a_batch_is_stored_as_messages_of_its_own() {
    for (shards, logs) in layouts() {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            for client in broker.clients().await {
                let mut body = Vec::new();
                for number in 0..5_u8 {
                    let properties = Properties::new("TAGS\u{1}A\u{2}");
                    let item = batch::Item { flag: 3, body: &[number; 10], properties };
                    batch::push(&mut body, &item).expect("room");
                }
                let header = SendRequest { batch: true, ..send_header("T", 1, "") };
                let answer = client.call(request::SEND_BATCH_MESSAGE, &header, &body).await;
                assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
                assert_eq!(field(&answer, "msgId").split(',').count(), 5);
                let first: i64 = field(&answer, "queueOffset").parse().expect("a number");
                let pulled = client.pull("T", 1, first).await;
                assert_eq!(pulled.messages.len(), 5);
                for (number, message) in pulled.messages.iter().enumerate() {
                    assert_eq!(message.body, [number as u8; 10]);
                    assert_eq!(message.queue_offset, first + number as i64);
                    assert_eq!(message.properties.matches("CLUSTER").count(), 0);
                }
            }
        });
    }
}

#[test]
fn an_item_of_a_batch_is_refused_as_a_message_of_its_own_is() {
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        let client = broker.client().await;
        let refused = [
            "TRAN_MSG\u{1}true\u{2}",
            "INNER_NUM\u{1}2\u{2}",
            "DELAY\u{1}3\u{2}",
            "DELAY\u{1} 3\u{2}",
            "TIMER_DELAY_MS\u{1}9\u{2}",
            "CORRELATION_ID\u{1}i\u{2}REPLY_TO_CLIENT\u{1}c\u{2}TTL\u{1}3000\u{2}",
        ];
        for properties in refused {
            let alone = client.send_with("T", 0, b"x", properties).await;
            let mut body = Vec::new();
            for properties in ["", properties] {
                let properties = Properties::new(properties);
                let item = batch::Item { flag: 0, body: b"x", properties };
                batch::push(&mut body, &item).expect("room");
            }
            let header = SendRequest { batch: true, ..send_header("T", 0, "") };
            let item = client.call(request::SEND_BATCH_MESSAGE, &header, &body).await;
            assert_ne!(item.code(), response::SUCCESS, "{properties:?}");
            assert_eq!(item.code(), alone.code(), "{properties:?}");
            assert_eq!(item.command().remark(), alone.command().remark(), "{properties:?}");
        }
        assert_eq!(client.store("T", 0, b"first").await, 0, "what is refused leaves no trace");
    });
}

#[test]
fn a_batch_whose_answer_would_not_fit_a_frame_is_refused_before_it_is_stored() {
    let dir = temp_dir();
    let mut brokers = Brokers::new(1, 1);
    brokers.settings.max_message_size = 64 << 20;
    brokers.settings.mapped_file_size_commit_log = 80 << 20;
    brokers.run(dir.path(), |broker| async move {
        let client = broker.client().await;
        let mut item = Vec::new();
        let empty = batch::Item { flag: 0, body: &[], properties: Properties::new("") };
        batch::push(&mut item, &empty).expect("room");
        let header = SendRequest { batch: true, ..send_header("T", 1, "") };
        let send =
            async |body: &[u8]| client.call(request::SEND_BATCH_MESSAGE, &header, body).await;
        let refused = send(&item.repeat(250_001)).await;
        assert_eq!(refused.code(), response::MESSAGE_ILLEGAL);
        let remark =
            "the batch has more than 250000 messages, which is the limit: send it in parts";
        assert_eq!(refused.command().remark(), Some(remark));
        let stored = send(&item.repeat(250_000)).await;
        assert_eq!(stored.code(), response::SUCCESS, "{:?}", stored.command().remark());
        assert_eq!(field(&stored, "queueOffset"), "0", "nothing was stored before");
        assert_eq!(field(&stored, "msgId").split(',').count(), 250_000);
    });
}

#[test]
fn one_way_sends_are_stored_and_not_answered() {
    for (shards, logs) in layouts() {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            let client = broker.client().await;
            for number in 0..100_u8 {
                let header = send_header("T", 2, "");
                client.connection.send_oneway(request::SEND_MESSAGE_V2, &header, &[number]);
            }
            // Requests of one connection to one queue are handled in order.
            assert_eq!(client.store("T", 2, b"last").await, 100);
            let pulled = client.pull("T", 2, 98).await;
            assert_eq!(pulled.messages[0].body, [98]);
            assert_eq!(pulled.messages.len(), 3);
        });
    }
}

#[test]
fn a_sender_that_does_not_wait_is_answered_and_its_message_becomes_visible() {
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        let client = broker.client().await;
        let answer = client.send_with("T", 0, b"hasty", "WAIT\u{1}false\u{2}").await;
        assert_eq!(answer.code(), response::SUCCESS);
        let header = PullRequest {
            sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
            ..pull_header("T", 0, 0)
        };
        assert_eq!(client.pull_with(&header).await.messages[0].body, b"hasty");
    });
}

#[test]
fn pulls_say_where_to_go_on() {
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        let client = broker.client().await;
        let outcome = async |from| {
            let pulled = client.pull("T", 0, from).await;
            (pulled.code, pulled.next)
        };
        assert_eq!(outcome(0).await, (response::PULL_NOT_FOUND, 0));
        assert_eq!(outcome(7).await, (response::PULL_OFFSET_MOVED, 0));
        for _ in 0..3 {
            client.store("T", 0, b"x").await;
        }
        assert_eq!(outcome(0).await, (response::SUCCESS, 3));
        assert_eq!(outcome(3).await, (response::PULL_NOT_FOUND, 3));
        assert_eq!(outcome(9).await, (response::PULL_OFFSET_MOVED, 3));
        assert_eq!(outcome(-1).await, (response::PULL_OFFSET_MOVED, 0));
        assert_eq!(client.pull("Missing", 0, 0).await.code, response::TOPIC_NOT_EXIST);
        assert_eq!(client.pull("T", 4, 0).await.code, response::INVALID_PARAMETER);
        let limited = PullRequest { max_msg_nums: 2, ..pull_header("T", 0, 0) };
        assert_eq!(client.pull_with(&limited).await.next, 2);
    });
}

#[test]
fn a_pull_gets_the_tags_it_asked_for() {
    let dir = temp_dir();
    Brokers::new(2, 3).run(dir.path(), |broker| async move {
        for (queue, client) in (0..4).zip(broker.clients().await) {
            for tag in ["A", "B", "C", "A"] {
                let properties = format!("TAGS\u{1}{tag}\u{2}");
                client.send_with("T", queue, tag.as_bytes(), &properties).await;
            }
            client.store("T", queue, b"untagged").await;
            let header = PullRequest { subscription: Some("A || C"), ..pull_header("T", queue, 0) };
            let pulled = client.pull_with(&header).await;
            let bodies: Vec<_> =
                pulled.messages.iter().map(|found| found.body.as_slice()).collect();
            assert_eq!(bodies, [b"A", b"C", b"A"]);
            assert_eq!(pulled.next, 5);
            let header = PullRequest { subscription: Some("Z"), ..pull_header("T", queue, 0) };
            let pulled = client.pull_with(&header).await;
            assert_eq!((pulled.code, pulled.next), (response::PULL_RETRY_IMMEDIATELY, 5));
            let header = PullRequest {
                expression_type: Some("SQL92"),
                subscription: Some("a > 1"),
                ..pull_header("T", queue, 0)
            };
            assert_eq!(client.pull_with(&header).await.code, response::SYSTEM_ERROR);
            let header = PullRequest { sys_flag: 0, ..pull_header("T", queue, 0) };
            assert_eq!(client.pull_with(&header).await.code, response::SUBSCRIPTION_NOT_EXIST);
        }
    });
}
