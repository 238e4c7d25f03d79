//! The control plane through its wire interface: a whole broker with its name server in this
//! process, and clients that speak the protocol to both over loopback.

mod as_apache;
mod deleted;
mod flood;
mod limits;
mod members;
mod send_back;
#[path = "../support/mod.rs"]
mod support;
mod tags;
mod unwritten;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ringmq_broker::services::control::BODY_MAX_BYTES;
use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::bodies::group::{
    SubscriptionGroupConfig, SubscriptionGroupList, SubscriptionGroupTable,
};
use ringmq_protocol::bodies::heartbeat::HeartbeatData;
use ringmq_protocol::bodies::lock::{LockBatchRequest, LockBatchResponse};
use ringmq_protocol::bodies::send_stage::{SEND_STAGES, SendStage};
use ringmq_protocol::bodies::stats::TopicStatsTable;
use ringmq_protocol::bodies::topic::{KvTable, TopicConfig, TopicConfigTable};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::{
    AllTopicConfigRequest, CreateTopicRequest, DeleteGroupRequest, GroupRequest, TopicRequest,
};
use ringmq_protocol::headers::client::ResetOffsetRequest;
use ringmq_protocol::json;
use ringmq_protocol::properties::keys;
use ringmq_protocol::record::records;
use ringmq_remoting::OwnedCommand;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::{Listener, Reuse};

use support::world::{Client, beat, check, create, route, wait_for_route};
use support::{free_port, temp_dir};

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
fn members_learn_at_once_who_joins_and_leaves_whatever_shard_they_are_on() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        // Enough connections that both shards hold some.
        let mut clients = Vec::new();
        for number in 0..6 {
            let client = Client::connect(at.broker).await;
            client.beat(&format!("c{number}"), &["T"]).await;
            // Its own arrival, too: a consumer gets its first queues then.
            client.told(request::NOTIFY_CONSUMER_IDS_CHANGED).await;
            if let Some(first) = clients.first() {
                let first: &Client = first;
                first.told(request::NOTIFY_CONSUMER_IDS_CHANGED).await;
            }
            clients.push(client);
        }
        assert_eq!(clients[0].members().await, ["c0", "c1", "c2", "c3", "c4", "c5"]);

        let gone = clients.pop().expect("six clients");
        gone.connection.close("the test ends it");
        clients[0].told(request::NOTIFY_CONSUMER_IDS_CHANGED).await;
        assert_eq!(clients[0].members().await.len(), 5);

        clients[4].leave("c4").await;
        clients[0].told(request::NOTIFY_CONSUMER_IDS_CHANGED).await;
        assert_eq!(clients[1].members().await, ["c0", "c1", "c2", "c3"]);

        let header = TopicRequest { topic: "%RETRY%g", lo: None };
        clients[0].ask(request::GET_TOPIC_CONFIG, &header, &[]).await;
    });
}

#[test]
fn a_short_heartbeat_whose_subscriptions_are_unknown_is_answered_with_the_wish_for_a_full_one() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        let is_wished =
            |answer: OwnedCommand| answer.command().fields.get("IS_SUB_CHANGE").map(str::to_owned);
        let full = HeartbeatData { heartbeat_fingerprint: 7, ..beat("c", &["T"]) };
        let short = HeartbeatData { without_sub: true, heartbeat_fingerprint: 7, ..beat("c", &[]) };
        let (full, short) = (json::to_vec(&full), json::to_vec(&short));
        let first = client.ask(request::HEART_BEAT, &(), &short).await;
        assert_eq!(is_wished(first).as_deref(), Some("true"));
        let second = client.ask(request::HEART_BEAT, &(), &full).await;
        assert_eq!(is_wished(second).as_deref(), Some("false"));
        let third = client.ask(request::HEART_BEAT, &(), &short).await;
        assert_eq!(is_wished(third).as_deref(), Some("false"));
    });
}

/// Body that locks or unlocks queue 0 of topic `T` for a client of group `g`.
fn lock(client_id: &str) -> Vec<u8> {
    json::to_vec(&LockBatchRequest {
        client_id: client_id.into(),
        consumer_group: "g".into(),
        mq_set: vec![MessageQueue {
            broker_name: "broker-a".into(),
            queue_id: 0,
            topic: "T".into(),
        }],
        only_this_broker: false,
    })
}

#[test]
fn a_retry_too_many_or_of_an_ordered_group_is_a_dead_letter_without_a_delay() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T"), &[]).await;
        client.beat("c", &["T"]).await;
        // One that is to come again, later: there is nobody who could wait with it.
        assert_eq!(client.send_retry(1).await, response::MESSAGE_ILLEGAL);
        assert_eq!(client.send_retry(2).await, response::SUCCESS, "it came too often");
        client.ask(request::LOCK_BATCH_MQ, &(), &lock("c")).await;
        assert_eq!(client.send_retry(1).await, response::SUCCESS, "the group is an ordered one");

        let answer = client.pull("%DLQ%g", 0, 0).await;
        let records: Vec<_> =
            records(answer.body()).map(|record| record.expect("a whole record")).collect();
        assert_eq!(records.len(), 2, "{:?}", answer.command());
        for record in records {
            assert_eq!(record.properties.get(keys::DELAY_TIME_LEVEL), Some("-1"));
            assert_eq!(record.properties.get(keys::RETRY_TOPIC), Some("T"));
        }
    });
}

#[test]
fn a_queue_is_locked_for_one_client_until_it_unlocks() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T"), &[]).await;
        let owned = |answer: OwnedCommand| {
            json::from_slice::<LockBatchResponse>(answer.body()).expect("locks").locked.len()
        };
        assert_eq!(owned(client.ask(request::LOCK_BATCH_MQ, &(), &lock("a")).await), 1);
        assert_eq!(owned(client.ask(request::LOCK_BATCH_MQ, &(), &lock("b")).await), 0);
        client.ask(request::UNLOCK_BATCH_MQ, &(), &lock("a")).await;
        assert_eq!(owned(client.ask(request::LOCK_BATCH_MQ, &(), &lock("b")).await), 1);
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
fn every_name_server_knows_the_topics_also_one_that_comes_later() {
    let dir = temp_dir();
    let late_port = free_port();
    let kept = dir.path().join("late-namesrv/kvConfig.json").to_string_lossy().into_owned();
    check(1, dir.path(), &[late_port], move |at| async move {
        let (broker, namesrv) =
            (Client::connect(at.broker).await, Client::connect(at.namesrv).await);
        wait_for_route(&namesrv, "TBW102").await;
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;

        let late = ringmq_namesrv::Config {
            listen_port: late_port,
            bind_address: [127, 0, 0, 1].into(),
            kv_config_path: kept,
            ..ringmq_namesrv::Config::default()
        };
        let late = ringmq_namesrv::start(late).await.expect("a free port");
        let client = Client::connect(late.address()).await;
        let route = wait_for_route(&client, "T1").await;
        assert_eq!(route.broker_datas[0].broker_name, "broker-a");
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T2"), &[]).await;
        for namesrv in [&namesrv, &client] {
            wait_for_route(namesrv, "T2").await;
        }
        late.stop(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_name_server_that_never_answers_holds_up_one_change_and_no_more() {
    let dir = temp_dir();
    let port = free_port();
    // The kernel takes its connections, and nobody reads them.
    let silent = Listener::bind(SocketAddr::from(([127, 0, 0, 1], port)), Reuse::No);
    check(1, dir.path(), &[port], |at| async move {
        let (broker, namesrv) =
            (Client::connect(at.broker).await, Client::connect(at.namesrv).await);
        let started = Instant::now();
        for number in 0..8 {
            let name = format!("t{number}");
            broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create(&name), &[]).await;
            wait_for_route(&namesrv, &name).await;
        }
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "eight changes took {took:?}");
    });
    drop(silent);
}

#[test]
fn groups_and_topics_are_made_changed_listed_and_deleted_by_tools() {
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

#[test]
fn runtime_information_has_what_the_exporter_parses() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        let answer = broker.ask(request::GET_BROKER_RUNTIME_INFO, &(), &[]).await;
        let table = json::from_slice::<KvTable>(answer.body()).expect("a table").table;
        for key in [
            "putTps",
            "getMissTps",
            "getTotalTps",
            "getFoundTps",
            "getTransferredTps",
            "getTransferedTps",
        ] {
            let numbers: Vec<f64> =
                table[key].split(' ').map(|part| part.parse().expect("a number")).collect();
            assert_eq!(numbers.len(), 3, "{key}={}", table[key]);
        }
        for key in ["brokerVersion", "bootTimestamp", "commitLogMaxOffset", "putMessageTimesTotal"]
        {
            table[key].parse::<i64>().expect(key);
        }
        let capacity: Vec<&str> = table["commitLogDirCapacity"].split(' ').collect();
        assert!(capacity[2].parse::<f64>().is_ok() && capacity[6].parse::<f64>().is_ok());
    });
}

#[test]
fn messages_count_when_they_are_stored_whether_their_senders_wait_or_not() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        broker.send("T1", 0).await;
        broker.send_with("T1", 0, "WAIT\u{1}false\u{2}").await;
        broker.send_oneway("T1", 0);
        // Behind the others in their queue, so all are stored.
        broker.send("T1", 0).await;
        let answer = broker.ask(request::GET_BROKER_RUNTIME_INFO, &(), &[]).await;
        let table = json::from_slice::<KvTable>(answer.body()).expect("a table").table;
        let number = |key: &str| table[key].parse::<usize>().expect("a number");
        assert_eq!((number("msgPutTotalTodayNow"), number("putMessageTimesTotal")), (4, 4));
        let pulled = broker.pull("T1", 0, 0).await;
        assert_eq!(number("putMessageSizeTotal"), pulled.body().len(), "the bytes of records");
        // Two asked when they are safe.
        let times = table["putMessageDistributeTime"].split_whitespace();
        let timed = times.filter_map(|class| class.rsplit(':').next()?.parse::<u64>().ok());
        assert_eq!(timed.sum::<u64>(), 2, "{}", table["putMessageDistributeTime"]);
    });
}

#[test]
fn stages_of_sends_are_told_while_they_are_asked_for() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        let stages = async || {
            let answer = broker.ask(request::GET_BROKER_RUNTIME_INFO, &(), &[]).await;
            let table = json::from_slice::<KvTable>(answer.body()).expect("a table").table;
            SendStage::read_all(&table)
        };
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        broker.send("T1", 0).await;
        assert_eq!(stages().await, []);
        broker.ask(request::UPDATE_BROKER_CONFIG, &(), b"sendStageTracing=true\n").await;
        assert!(stages().await.iter().all(|stage| stage.count == 0), "all shards know of it");
        broker.send("T1", 0).await;
        let told = stages().await;
        assert_eq!(told.len(), 3 * SEND_STAGES.len(), "all shards together, and each of two");
        let flushed = told.iter().find(|stage| stage.stage == "flushed").expect("told");
        assert!(flushed.count == 1 && flushed.p50_us > 0.0, "{told:?}");
        broker.ask(request::UPDATE_BROKER_CONFIG, &(), b"sendStageTracing=false\n").await;
        assert_eq!(stages().await, []);
    });
}

#[test]
fn codes_that_nobody_serves_are_answered_and_never_left_hanging() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        for code in [1, 999, 200_070, 5001] {
            let answer = broker.call(code, &(), &[]).await;
            assert_eq!(answer.code(), response::REQUEST_CODE_NOT_SUPPORTED);
            let remark = answer.command().remark().map(str::to_owned);
            let remark = remark.expect("words for a person");
            assert!(remark.starts_with(&format!(" request type {code} ")), "{remark}");
            let says = |words: &str| remark.contains(words);
            match request::name(code) {
                Some(name) => assert!(says(&format!("({name}) ")) && says("Honest limits")),
                None => assert!(remark.ends_with(" not supported"), "{remark}"),
            }
        }
        let malformed = broker.call(request::HEART_BEAT, &(), b"not json").await;
        assert_eq!(malformed.code(), response::SYSTEM_ERROR);
        let huge = vec![b' '; BODY_MAX_BYTES + 1];
        for code in [request::HEART_BEAT, request::LOCK_BATCH_MQ, request::UPDATE_BROKER_CONFIG] {
            let refused = broker.call(code, &(), &huge).await;
            assert_eq!(refused.code(), response::INVALID_PARAMETER);
            let remark = refused.command().remark().map(str::to_owned).unwrap_or_default();
            assert!(remark.contains(&BODY_MAX_BYTES.to_string()), "{remark}");
        }
    });
}
