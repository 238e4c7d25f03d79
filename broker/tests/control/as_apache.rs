//! Requests of clients and tools whose answers follow rules of Apache's broker that nothing else
//! shows.

use std::collections::BTreeSet;

use ringmq_protocol::bodies::stats::ConsumeStats;
use ringmq_protocol::bodies::topic::TopicConfig;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::{ConsumeStatsRequest, TopicRequest};
use ringmq_protocol::headers::send::SendRequest;
use ringmq_protocol::json;
use ringmq_protocol::names::topic_flag;

use crate::support::world::{Client, check, create};
use crate::support::{send_header, temp_dir};

#[test]
fn a_pull_whose_expression_has_an_empty_type_filters_by_tag() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T"), &[]).await;
        client.send_with("T", 0, "TAGS\u{1}a\u{2}").await;
        for (kind, code) in
            [("", response::SUCCESS), ("TAG", response::SUCCESS), ("SQL92", response::SYSTEM_ERROR)]
        {
            let answer = client.pull_as("T", 0, 0, &[("expressionType", kind)]).await;
            assert_eq!(answer.code(), code, "type {kind:?}: {:?}", answer.command().remark());
        }
    });
}

#[test]
fn a_topic_that_a_client_in_unit_mode_has_made_is_one_of_its_unit() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        client.beat("c", &[]).await;
        for (topic, unit_mode, flag) in [("Plain", false, 0), ("Unit", true, topic_flag::UNIT)] {
            let header = SendRequest { unit_mode, ..send_header(topic, 0, "") };
            client.ask(request::SEND_MESSAGE_V2, &header, b"body").await;
            let header = TopicRequest { topic, lo: None };
            let made = client.ask(request::GET_TOPIC_CONFIG, &header, &[]).await;
            let made: TopicConfig = json::from_slice(made.body()).expect("a topic");
            assert_eq!(made.topic_sys_flag, flag, "{topic}");
        }
    });
}

#[test]
fn a_topic_that_an_online_group_left_no_longer_counts_as_behind() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        for topic in ["Kept", "Left"] {
            client.ask(request::UPDATE_AND_CREATE_TOPIC, &create(topic), &[]).await;
        }
        client.beat("c", &["Kept", "Left"]).await;
        for topic in ["Kept", "Left"] {
            client.send(topic, 0).await;
            client.commit(topic, 0, 1).await;
        }
        assert_eq!(topics_behind(&client).await, ["Kept", "Left"].map(str::to_owned).into());
        client.beat("c", &["Kept"]).await;
        assert_eq!(topics_behind(&client).await, ["Kept"].map(str::to_owned).into());
        // A group that nobody is in has all of its progress shown.
        client.leave("c").await;
        assert_eq!(topics_behind(&client).await, ["Kept", "Left"].map(str::to_owned).into());
    });
}

/// Topics of group `g` in its statistics, without those for retries.
async fn topics_behind(client: &Client) -> BTreeSet<String> {
    let header = ConsumeStatsRequest { consumer_group: "g", topic: None, topic_list: None };
    let stats = client.ask(request::GET_CONSUME_STATS, &header, &[]).await;
    let stats: ConsumeStats = json::from_slice(stats.body()).expect("statistics");
    let topics = stats.offset_table.into_keys().map(|queue| queue.topic);
    topics.filter(|topic| !topic.starts_with('%')).collect()
}
