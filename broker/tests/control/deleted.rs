//! What is left of a topic that was deleted.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::{DeleteGroupRequest, TopicRequest};
use ringmq_protocol::record::records;

use crate::support::temp_dir;
use crate::support::world::{Client, check, create};

const KEYS: &str = "KEYS\u{1}order-1\u{2}";

/// Queue offsets of the messages that carry the key, newest first; `None` when there are none.
async fn found(broker: &Client) -> Option<Vec<i64>> {
    let fields = [
        ("topic", "T1"),
        ("key", "order-1"),
        ("maxNum", "32"),
        ("beginTimestamp", "0"),
        ("endTimestamp", "9999999999999"),
    ];
    let answer = broker.call(request::QUERY_MESSAGE, &fields, &[]).await;
    if answer.code() == response::QUERY_NOT_FOUND {
        return None;
    }
    assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
    let records = records(answer.body());
    Some(records.map(|record| record.expect("a record").queue_offset).collect())
}

#[test]
fn a_query_by_key_does_not_find_what_was_deleted_with_its_topic() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        for _ in 0..3 {
            broker.send_with("T1", 1, KEYS).await;
        }
        assert_eq!(found(&broker).await, Some(vec![2, 1, 0]));

        let header = TopicRequest { topic: "T1", lo: None };
        broker.ask(request::DELETE_TOPIC_IN_BROKER, &header, &[]).await;
        assert_eq!(found(&broker).await, None);

        // The offsets of the new topic are those of the old one again.
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        for _ in 0..2 {
            broker.send_with("T1", 1, KEYS).await;
        }
        assert_eq!(found(&broker).await, Some(vec![1, 0]));
    });
}

#[test]
fn progress_that_went_with_its_group_is_off_the_disk_when_the_tool_is_answered() {
    let dir = temp_dir();
    let config = dir.path().join("config");
    let is_kept = move || {
        let files = ["consumerOffset.json", "consumerOffset.1.json"].map(|name| config.join(name));
        let texts = files.map(|file| std::fs::read_to_string(file).unwrap_or_default());
        texts.iter().any(|text| text.contains("T1@g"))
    };
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        broker.beat("c", &["T1"]).await;
        for queue in 0..4 {
            broker.send("T1", queue).await;
            broker.commit("T1", queue, 1).await;
        }
        // Any deletion of a topic has progress written.
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T2"), &[]).await;
        let header = TopicRequest { topic: "T2", lo: None };
        broker.ask(request::DELETE_TOPIC_IN_BROKER, &header, &[]).await;
        assert!(is_kept(), "it was written before");

        let header = DeleteGroupRequest { group_name: "g", clean_offset: true };
        broker.ask(request::DELETE_SUBSCRIPTIONGROUP, &header, &[]).await;
        assert!(!is_kept());
    });
}
