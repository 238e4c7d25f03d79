//! Requests that ask for more than one client may have, and changes that have to wait.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use ringmq_broker::groups::subscriptions::TOPICS_MAX;
use ringmq_broker::services::control::BODY_MAX_BYTES;
use ringmq_broker::services::heartbeat::GROUPS_PER_HEARTBEAT_MAX;
use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::bodies::group::SubscriptionGroupTable;
use ringmq_protocol::bodies::heartbeat::ConsumerData;
use ringmq_protocol::bodies::lock::{LockBatchRequest, LockBatchResponse};
use ringmq_protocol::bodies::register::RegisterBrokerBody;
use ringmq_protocol::bodies::route::{QueueData, TopicRouteData};
use ringmq_protocol::bodies::stats::ConsumeStatsList;
use ringmq_protocol::bodies::topic::{TopicConfig, TopicConfigList};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::frame::ANSWER_BODY_MAX_BYTES;
use ringmq_protocol::headers::admin::{CreateTopicRequest, TopicRequest};
use ringmq_protocol::headers::client::ConsumerGroupRequest;
use ringmq_protocol::json;
use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::task;
use ringmq_settings::properties::PROPERTIES_SIZE_MAX_BYTES;

use crate::support::world::{Client, beat, check, create};
use crate::support::{TIMEOUT, free_port, temp_dir};

const ANY_PORT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);

#[test]
fn a_heartbeat_with_too_many_topics_is_refused_with_the_limit_and_others_go_on() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        let names: Vec<_> = (0..=TOPICS_MAX).map(|number| format!("t{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let body = json::to_vec(&beat("c", &names));
        let refused = client.call(request::HEART_BEAT, &(), &body).await;
        assert_eq!(refused.code(), response::INVALID_PARAMETER);
        let remark = refused.command().remark().map(str::to_owned).unwrap_or_default();
        assert!(remark.contains(&TOPICS_MAX.to_string()), "{remark}");
        client.beat("c", &names[..TOPICS_MAX]).await;
        assert_eq!(client.members().await, ["c"]);
    });
}

/// A heartbeat of one client in so many groups that consume.
fn wide_beat(groups: usize) -> Vec<u8> {
    let mut wide = beat("c", &["T"]);
    let group = wide.consumer_data_set.remove(0);
    wide.producer_data_set.clear();
    let name = |number| ConsumerData { group_name: format!("g{number}"), ..group.clone() };
    wide.consumer_data_set = (0..groups).map(name).collect();
    json::to_vec(&wide)
}

async fn has_members(client: &Client, group: &str) -> bool {
    let header = ConsumerGroupRequest { consumer_group: group };
    client.call(request::GET_CONSUMER_LIST_BY_GROUP, &header, &[]).await.code() == response::SUCCESS
}

#[test]
fn a_heartbeat_of_many_groups_is_taken_whole_and_they_leave_with_its_connection() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let (client, other) = (Client::connect(at.broker).await, Client::connect(at.broker).await);
        let too_many = wide_beat(GROUPS_PER_HEARTBEAT_MAX + 1);
        let refused = client.call(request::HEART_BEAT, &(), &too_many).await;
        assert_eq!(refused.code(), response::INVALID_PARAMETER);
        assert!(!has_members(&other, "g0").await);
        client.ask(request::HEART_BEAT, &(), &wide_beat(3_000)).await;
        for group in ["g0", "g1024", "g2999"] {
            assert!(has_members(&other, group).await, "{group}");
        }
        client.connection.close("the test leaves");
        let nobody_left = async {
            for number in 0..3_000 {
                while has_members(&other, &format!("g{number}")).await {
                    task::yield_now().await;
                }
            }
        };
        task::timeout(TIMEOUT, nobody_left).await.expect("all members leave with the connection");
    });
}

#[test]
fn progress_that_no_frame_holds_is_refused_and_smaller_is_answered() {
    for (groups, code) in [(1, response::SUCCESS), (1200, response::SYSTEM_ERROR)] {
        let dir = temp_dir();
        let config = dir.path().join("config");
        std::fs::create_dir(&config).expect("a new directory");
        let queues: Vec<_> = (0..300).map(|queue| format!("\"{queue}\":0")).collect();
        let queues = queues.join(",");
        let groups: Vec<_> =
            (0..groups).map(|group| format!("\"topic@g{group}\":{{{queues}}}")).collect();
        let text = format!("{{\"offsetTable\":{{{}}}}}", groups.join(","));
        std::fs::write(config.join("consumerOffset.json"), text).expect("a file");
        check(1, dir.path(), &[], move |at| async move {
            let client = Client::connect(at.broker).await;
            let answer = client.call(request::GET_ALL_CONSUMER_OFFSET, &(), &[]).await;
            assert_eq!(answer.code(), code, "{:?}", answer.command().remark());
            assert_eq!(answer.body().is_empty(), code == response::SYSTEM_ERROR);
        });
    }
}

#[test]
fn a_table_that_no_frame_holds_is_refused_and_its_pages_are_answered() {
    let dir = temp_dir();
    let config = dir.path().join("config");
    std::fs::create_dir(&config).expect("a new directory");
    let name = |number: usize| format!("{number:0>200}");
    let group = |number| format!("\"{0}\":{{\"groupName\":\"{0}\"}}", name(number));
    let groups: Vec<_> = (0..24_000).map(group).collect();
    let text = format!("{{\"subscriptionGroupTable\":{{{}}}}}", groups.join(","));
    std::fs::write(config.join("subscriptionGroup.json"), text).expect("a file");
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        let code = request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG;
        let refused = client.call(code, &(), &[]).await;
        let remark = refused.command().remark().unwrap_or_default().to_owned();
        assert_eq!(refused.code(), response::SYSTEM_ERROR, "{remark}");
        assert!(remark.contains(&ANSWER_BODY_MAX_BYTES.to_string()), "{remark}");
        let page = client.ask(code, &[("groupSeq", "0")], &[]).await;
        let table: SubscriptionGroupTable = json::from_slice(page.body()).expect("a table");
        assert_eq!(table.subscription_group_table.len(), 2_000);
    });
}

/// A registration of so many topics.
fn registration(topics: usize) -> RegisterBrokerBody {
    let topic = |number: usize| TopicConfig {
        topic_name: format!("topic-of-usual-length-{number}"),
        read_queue_nums: 4,
        write_queue_nums: 4,
        perm: 6,
        ..TopicConfig::default()
    };
    let mut body = RegisterBrokerBody::default();
    let table = &mut body.topic_config_serialize_wrapper.topic_config_table;
    table.extend((0..topics).map(topic).map(|topic| (topic.topic_name.clone(), topic)));
    body
}

#[test]
fn a_registration_that_would_hold_up_a_shard_is_refused_by_the_name_server_of_a_broker() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let namesrv = Client::connect(at.namesrv).await;
        let register = async |body: &[u8], compressed: &str| {
            let fields = [
                ("brokerName", "other"),
                ("brokerAddr", "127.0.0.1:1"),
                ("clusterName", "c"),
                ("haServerAddr", "127.0.0.1:2"),
                ("brokerId", "0"),
                ("compressed", compressed),
                ("bodyCrc32", "0"),
            ];
            namesrv.call(request::REGISTER_BROKER, &fields, body).await
        };
        let usual = registration(10_000);
        for (body, compressed) in [(json::to_vec(&usual), "false"), (usual.to_compressed(), "true")]
        {
            let answer = register(&body, compressed).await;
            assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
        }
        let large = [
            (json::to_vec(&registration(30_000)), "false"),
            (registration(100_000).to_compressed(), "true"),
        ];
        for (body, compressed) in large {
            let refused = register(&body, compressed).await;
            assert_eq!(refused.code(), response::SYSTEM_ERROR);
            let remark = refused.command().remark().map(str::to_owned).unwrap_or_default();
            assert!(remark.contains(&BODY_MAX_BYTES.to_string()), "{remark}");
            assert!(remark.contains("mqnamesrv"), "{remark}");
        }
    });
}

#[test]
fn no_body_of_a_request_holds_up_a_broker_for_long_at_its_name_server() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let namesrv = Client::connect(at.namesrv).await;
        let queues = QueueData { broker_name: "of nobody".into(), ..QueueData::default() };
        let route = |count| TopicRouteData {
            queue_datas: vec![queues.clone(); count],
            ..TopicRouteData::default()
        };
        let code = request::REGISTER_TOPIC_IN_NAMESRV;
        let usual = json::to_vec(&route(1_000));
        namesrv.ask(code, &[("topic", "T")], &usual).await;
        let large = json::to_vec(&route(BODY_MAX_BYTES / (usual.len() / 1_000) + 1_000));
        let version =
            [("brokerName", "b"), ("brokerAddr", "a"), ("clusterName", "c"), ("brokerId", "0")];
        let refused = [
            namesrv.call(code, &[("topic", "T")], &large).await,
            namesrv.call(request::QUERY_DATA_VERSION, &version, &large).await,
        ];
        for refused in refused {
            let remark = refused.command().remark().unwrap_or_default().to_owned();
            assert_eq!(refused.code(), response::SYSTEM_ERROR, "{remark}");
            assert!(remark.contains(&BODY_MAX_BYTES.to_string()), "{remark}");
        }
    });
}

fn topics_in(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).expect("a file");
    text.matches("\"topicName\": \"many-").count()
}

#[test]
fn a_list_of_topics_costs_one_write_of_the_table() {
    let dir = temp_dir();
    let config = dir.path().join("config");
    check(1, dir.path(), &[], move |at| async move {
        let client = Client::connect(at.broker).await;
        let topic = |topic_name: String| TopicConfig {
            topic_name,
            read_queue_nums: 4,
            write_queue_nums: 4,
            perm: 6,
            ..TopicConfig::default()
        };
        let mut list: Vec<_> = (0..500).map(|number| topic(format!("many-{number}"))).collect();
        let body = json::to_vec(&TopicConfigList { topic_config_list: list.clone() });
        client.ask(request::UPDATE_AND_CREATE_TOPIC_LIST, &(), &body).await;
        assert_eq!(topics_in(&config.join("topics.json")), 500);
        // The version before this one knew none of them.
        assert_eq!(topics_in(&config.join("topics.json.bak")), 0);

        // What stands before a refused one is made, as it always was.
        list = vec![topic("many-more".into()), topic("not allowed".into()), topic("after".into())];
        let body = json::to_vec(&TopicConfigList { topic_config_list: list });
        let refused = client.call(request::UPDATE_AND_CREATE_TOPIC_LIST, &(), &body).await;
        assert_eq!(refused.code(), response::INVALID_PARAMETER);
        let shown = |topic| TopicRequest { topic, lo: None };
        client.ask(request::GET_TOPIC_CONFIG, &shown("many-more"), &[]).await;
        assert_eq!(topics_in(&config.join("topics.json")), 501);
        let after = client.call(request::GET_TOPIC_CONFIG, &shown("after"), &[]).await;
        assert_eq!(after.code(), response::TOPIC_NOT_EXIST);
    });
}

#[test]
fn a_key_that_waits_for_the_next_start_keeps_its_value_until_then() {
    let dir = temp_dir();
    let overrides = dir.path().join("config/overrides.json");
    check(1, dir.path(), &[], move |at| async move {
        let client = Client::connect(at.broker).await;
        let change = b"maxMessageSize=10\ndefaultQueryMaxNum=7\n";
        let answer = client.ask(request::UPDATE_BROKER_CONFIG, &(), change).await;
        let remark = answer.command().remark().map(str::to_owned);
        assert_eq!(remark.as_deref(), Some("in force after the next start: maxMessageSize"));
        let shown = client.ask(request::GET_BROKER_CONFIG, &(), &[]).await;
        let shown = String::from_utf8(shown.body().to_vec()).expect("text");
        for line in ["maxMessageSize=4194304", "defaultQueryMaxNum=7"] {
            assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
        }
        let kept = std::fs::read_to_string(&overrides).expect("a file");
        assert!(kept.contains("maxMessageSize"), "{kept}");
    });
}

#[test]
fn changes_of_settings_are_kept_up_to_a_limit_of_all_together() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        // Without effect here, so any text will do.
        let change = async |key: &str, bytes: usize| {
            let change = format!("{key}={}\n", "x".repeat(bytes));
            client.call(request::UPDATE_BROKER_CONFIG, &(), change.as_bytes()).await
        };
        let large = PROPERTIES_SIZE_MAX_BYTES * 2 / 3;
        assert_eq!(change("storePathEpochFile", large).await.code(), response::SUCCESS);
        let refused = change("configName", large).await;
        let remark = refused.command().remark().unwrap_or_default().to_owned();
        assert_eq!(refused.code(), response::INVALID_PARAMETER, "{remark}");
        assert!(remark.contains(&PROPERTIES_SIZE_MAX_BYTES.to_string()), "{remark}");
        let shown = client.ask(request::GET_BROKER_CONFIG, &(), &[]).await;
        assert!(!String::from_utf8_lossy(shown.body()).contains("configName"));
        assert_eq!(change("storePathEpochFile", 7).await.code(), response::SUCCESS);
        assert_eq!(change("configName", large).await.code(), response::SUCCESS);
    });
}

#[test]
fn changes_with_which_no_broker_could_start_here_are_refused() {
    let dir = temp_dir();
    let overrides = dir.path().join("config/overrides.json");
    check(1, dir.path(), &[], move |at| async move {
        let client = Client::connect(at.broker).await;
        let (own, taken) = (at.broker.port(), Listener::bind(ANY_PORT.into(), Reuse::No));
        let taken = taken.expect("a free port");
        let port = taken.local_addr().expect("bound").port();
        let (forbidden, invalid) = (response::NO_PERMISSION, response::INVALID_PARAMETER);
        let cases = [
            ("storePathRootDir", "/elsewhere".to_owned(), forbidden),
            ("commitLogCount", "3".to_owned(), forbidden),
            ("mappedFileSizeCommitLog", (16 << 20).to_string(), forbidden),
            ("shardCores", "8191".to_owned(), invalid),
            // Reserved for documentation: no machine has it.
            ("bindAddress", "192.0.2.1".to_owned(), invalid),
            ("brokerIP1", "nonsense".to_owned(), invalid),
            ("namesrvAddr", "localhost".to_owned(), invalid),
            ("embeddedNamesrvPort", own.to_string(), invalid),
            ("embeddedNamesrvPort", (own - 2).to_string(), invalid),
            ("embeddedNamesrvPort", port.to_string(), invalid),
            ("listenPort", at.namesrv.port().to_string(), invalid),
            ("listenPort", (port + 2).to_string(), invalid),
        ];
        for (key, value, code) in cases {
            let change = format!("{key}={value}\n");
            let answer = client.call(request::UPDATE_BROKER_CONFIG, &(), change.as_bytes()).await;
            let remark = answer.command().remark().unwrap_or_default().to_owned();
            assert_eq!(answer.code(), code, "{change}{remark}");
            assert!(remark.contains(key), "{change}{remark}");
        }
        assert!(!overrides.exists(), "nothing is kept of them");
        let free = free_port();
        for value in [free, own] {
            let change = format!("listenPort={value}\nbrokerIP1=::1\nbindAddress=127.0.0.1\n");
            client.ask(request::UPDATE_BROKER_CONFIG, &(), change.as_bytes()).await;
        }
        assert!(overrides.exists());
    });
}

#[test]
fn only_queues_that_exist_are_locked() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        let uneven = CreateTopicRequest { read_queue_nums: 8, ..create("T") };
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &uneven, &[]).await;
        let queue = |topic: &str, queue_id| MessageQueue {
            topic: topic.to_owned(),
            broker_name: "broker-a".to_owned(),
            queue_id,
        };
        let asked =
            vec![queue("T", 0), queue("T", 7), queue("T", 8), queue("T", -1), queue("U", 0)];
        let wanted = LockBatchRequest {
            consumer_group: "g".to_owned(),
            client_id: "c".to_owned(),
            mq_set: asked,
            ..LockBatchRequest::default()
        };
        let answer = client.ask(request::LOCK_BATCH_MQ, &(), &json::to_vec(&wanted)).await;
        let locked: LockBatchResponse = json::from_slice(answer.body()).expect("locks");
        assert_eq!(locked.locked, [queue("T", 0), queue("T", 7)]);
    });
}

#[test]
fn progress_in_more_queues_than_an_answer_holds_is_refused_and_any_offset_adds_up() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("narrow"), &[]).await;
        client.beat("c", &["narrow"]).await;
        for queue in 0..4 {
            client.commit("narrow", queue, i64::MAX).await;
        }
        let all = [("isOrder", "false")];
        let answer = client.ask(request::GET_BROKER_CONSUME_STATS, &all, &[]).await;
        let stats: ConsumeStatsList = json::from_slice(answer.body()).expect("statistics");
        assert_eq!(stats.total_diff, i64::MIN, "nothing is there, and all of it was consumed");

        for topic in ["wide-a", "wide-b"] {
            let (read_queue_nums, write_queue_nums) = (60_000, 60_000);
            let wide = CreateTopicRequest { read_queue_nums, write_queue_nums, ..create(topic) };
            client.ask(request::UPDATE_AND_CREATE_TOPIC, &wide, &[]).await;
        }
        client.beat("c", &["narrow", "wide-a", "wide-b"]).await;
        let of_group = [("consumerGroup", "g")];
        let refused = client.call(request::GET_BROKER_CONSUME_STATS, &all, &[]).await;
        assert_eq!(refused.code(), response::SYSTEM_ERROR);
        let refused = client.call(request::GET_CONSUME_STATS, &of_group, &[]).await;
        assert_eq!(refused.code(), response::SYSTEM_ERROR);
        let one = [("consumerGroup", "g"), ("topic", "wide-a")];
        client.ask(request::GET_CONSUME_STATS, &one, &[]).await;
    });
}
