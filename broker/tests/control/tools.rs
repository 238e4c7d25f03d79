//! What tools change: topics, groups, settings and the positions of groups.

use std::collections::BTreeMap;

use ringmq_protocol::bodies::group::{
    SubscriptionGroupConfig, SubscriptionGroupList, SubscriptionGroupTable,
};
use ringmq_protocol::bodies::stats::TopicStatsTable;
use ringmq_protocol::bodies::topic::{TopicConfig, TopicConfigTable};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::{
    AllTopicConfigRequest, CreateTopicRequest, DeleteGroupRequest, GroupRequest, TopicRequest,
};
use ringmq_protocol::headers::client::ResetOffsetRequest;
use ringmq_protocol::json;

use crate::support::temp_dir;
use crate::support::world::{Client, check, create, route, wait_for_route};

#[test]
fn a_topic_made_by_a_tool_is_in_the_routes_when_the_tool_is_answered_and_after_a_restart() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let (broker, namesrv) =
            (Client::connect(at.broker).await, Client::connect(at.namesrv).await);
        wait_for_route(&namesrv, "TBW102").await;
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        let route = route(&namesrv, "T1").await.expect("registered before the answer");
        assert_eq!(route.queue_datas[0].read_queue_nums, 4);
        assert_eq!(route.broker_datas[0].broker_addrs[&0], at.broker.to_string());

        let refused = broker.call(request::UPDATE_AND_CREATE_TOPIC, &create("TBW102"), &[]).await;
        assert_eq!(refused.code(), response::INVALID_PARAMETER);
        let header = TopicRequest { topic: "T1", lo: None };
        let stats = broker.ask(request::GET_TOPIC_STATS_INFO, &header, &[]).await;
        let stats: TopicStatsTable = json::from_slice(stats.body()).expect("a table");
        assert_eq!(stats.offset_table.len(), 4, "every queue, empty ones included");
    });
    check(1, dir.path(), &[], |at| async move {
        let (broker, namesrv) =
            (Client::connect(at.broker).await, Client::connect(at.namesrv).await);
        let header = TopicRequest { topic: "T1", lo: None };
        let topic = broker.ask(request::GET_TOPIC_CONFIG, &header, &[]).await;
        let topic: TopicConfig = json::from_slice(topic.body()).expect("a topic");
        assert_eq!(topic.write_queue_nums, 4);
        wait_for_route(&namesrv, "T1").await;

        broker.ask(request::DELETE_TOPIC_IN_BROKER, &header, &[]).await;
        let gone = broker.call(request::GET_TOPIC_CONFIG, &header, &[]).await;
        assert_eq!(gone.code(), response::TOPIC_NOT_EXIST);
    });
}

#[test]
fn settings_change_while_it_runs_and_routes_follow_the_permission() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let (broker, namesrv) =
            (Client::connect(at.broker).await, Client::connect(at.namesrv).await);
        wait_for_route(&namesrv, "TBW102").await;
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        broker.ask(request::UPDATE_BROKER_CONFIG, &(), b"brokerPermission=4\n").await;
        let route = route(&namesrv, "T1").await.expect("still there");
        assert_eq!(route.queue_datas[0].perm, 4);

        let shown = broker.ask(request::GET_BROKER_CONFIG, &(), &[]).await;
        let text = String::from_utf8(shown.body().to_vec()).expect("text");
        assert!(text.lines().any(|line| line == "brokerPermission=4"), "{text}");

        let bad = broker.call(request::UPDATE_BROKER_CONFIG, &(), b"brokerPermission=99\n").await;
        assert_eq!(bad.code(), response::INVALID_PARAMETER);
        assert!(bad.command().remark().is_some_and(|remark| remark.contains("0 to 7")));
        let forbidden = broker.call(request::UPDATE_BROKER_CONFIG, &(), b"rocketmqHome=/x\n").await;
        assert_eq!(forbidden.code(), response::NO_PERMISSION);
    });
    let kept = std::path::Path::new(dir.path()).join("config/overrides.json");
    assert!(kept.exists(), "the change is kept for the next start");
}

#[test]
fn groups_are_made_changed_listed_and_deleted_by_tools() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        let group = |name: &str, retries| SubscriptionGroupConfig {
            group_name: name.into(),
            retry_max_times: retries,
            ..SubscriptionGroupConfig::default()
        };
        let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        broker.ask(code, &(), &json::to_vec(&group("g1", 3))).await;
        broker.ask(code, &(), &json::to_vec(&group("g1", 5))).await;
        let list =
            SubscriptionGroupList { group_config_list: vec![group("g2", 1), group("g3", 2)] };
        let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST;
        broker.ask(code, &(), &json::to_vec(&list)).await;
        let code = request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG;
        let all = broker.ask(code, &(), &[]).await;
        let all: SubscriptionGroupTable = json::from_slice(all.body()).expect("a table");
        assert_eq!(all.subscription_group_table["g1"].retry_max_times, 5);
        assert_eq!(all.subscription_group_table["g3"].retry_max_times, 2);

        let header = DeleteGroupRequest { group_name: "g1", clean_offset: true };
        broker.ask(request::DELETE_SUBSCRIPTIONGROUP, &header, &[]).await;
        let header = GroupRequest { group: "g1" };
        let gone = broker.call(request::GET_SUBSCRIPTIONGROUP_CONFIG, &header, &[]).await;
        assert_eq!(gone.code(), response::SUBSCRIPTION_GROUP_NOT_EXIST);
    });
}

#[test]
fn topics_are_made_changed_and_listed_in_pages_by_tools() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        let wider = CreateTopicRequest { read_queue_nums: 8, ..create("T1") };
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &wider, &[]).await;
        let mut seen = BTreeMap::new();
        let mut total = usize::MAX;
        while seen.len() < total {
            let first = i32::try_from(seen.len()).expect("few topics");
            let header = AllTopicConfigRequest {
                topic_seq: Some(first),
                data_version: None,
                max_topic_num: Some(4),
            };
            let page = broker.ask(request::GET_ALL_TOPIC_CONFIG, &header, &[]).await;
            let count = page.command().fields.get("totalTopicNum").map(str::parse);
            total = count.expect("a total").expect("a number");
            let page: TopicConfigTable = json::from_slice(page.body()).expect("a table");
            assert!(!page.topic_config_table.is_empty(), "each page goes on");
            seen.extend(page.topic_config_table);
        }
        assert_eq!((seen["T1"].read_queue_nums, seen["T1"].write_queue_nums), (8, 4));
    });
}

#[test]
fn a_reset_moves_the_group_and_outlives_the_commits_of_its_old_position() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        broker.beat("c", &["T1"]).await;
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        for _ in 0..3 {
            broker.send("T1", 1).await;
        }
        broker.commit("T1", 1, 3).await;

        let reset = ResetOffsetRequest {
            topic: "T1",
            group: "g",
            queue_id: 1,
            offset: Some(1),
            timestamp_ms: 0,
            is_force: true,
        };
        broker.ask(request::INVOKE_BROKER_TO_RESET_OFFSET, &reset, &[]).await;
        broker.commit("T1", 1, 3).await;
        assert_eq!(broker.committed("T1", 1).await, "1", "the old position is not taken");

        let moved = broker.pull("T1", 1, 3).await;
        assert_eq!(moved.code(), response::PULL_OFFSET_MOVED);
        assert_eq!(moved.command().fields.get("nextBeginOffset"), Some("1"));
        assert_eq!(broker.pull("T1", 1, 1).await.code(), response::SUCCESS);
        broker.commit("T1", 1, 2).await;
        assert_eq!(broker.committed("T1", 1).await, "2");

        let beyond = ResetOffsetRequest { offset: Some(99), ..reset };
        let refused = broker.call(request::INVOKE_BROKER_TO_RESET_OFFSET, &beyond, &[]).await;
        assert_eq!(refused.code(), response::SYSTEM_ERROR);
    });
}
