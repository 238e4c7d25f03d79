//! JSON bodies in the dialects of all peers, and damage.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::bodies::group::SubscriptionGroupConfig;
use ringmq_protocol::bodies::heartbeat::{
    ConsumeFromWhere, ConsumeType, HeartbeatData, MessageModel, SubscriptionData,
};
use ringmq_protocol::bodies::offset::{ConsumerOffsetTable, ResetOffsetBody};
use ringmq_protocol::bodies::register::{
    REGISTER_SIZE_MAX_BYTES, RegisterBrokerBody, RegisterError,
};
use ringmq_protocol::bodies::route::{BrokerData, ClusterInfo, TopicRouteData};
use ringmq_protocol::bodies::running::ConsumerRunningInfo;
use ringmq_protocol::bodies::stats::TopicStatsTable;
use ringmq_protocol::bodies::topic::{KvTable, TopicConfig, TopicConfigTable, TopicList};
use ringmq_protocol::compression::{Compression, CompressionError, compress};
use ringmq_protocol::json::{self, DEPTH_MAX, JsonError};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn read<T: DeserializeOwned>(text: &str) -> T {
    json::from_slice(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn write<T: Serialize>(body: &T) -> String {
    String::from_utf8(json::to_vec(body)).expect("UTF-8")
}

/// Joins the lines of a JSON text that is wrapped in the source.
fn joined(text: &str) -> String {
    text.lines().map(str::trim).collect()
}

/// Reads `text` and expects that writing it gives `text` again, line breaks aside.
fn check_same<T: DeserializeOwned + Serialize>(text: &str) -> T {
    let text = joined(text);
    let body: T = read(&text);
    assert_eq!(write(&body), text);
    body
}

fn queue(queue_id: i32) -> MessageQueue {
    MessageQueue { broker_name: "b1".into(), queue_id, topic: "T1".into() }
}

#[test]
fn dialects_of_one_route_read_the_same() {
    let standard = r#"
        {"brokerAddrs":{"0":"10.0.0.1:10911","1":"10.0.0.2:10911"},"brokerName":"b1","cluster":"c1",
        "enableActingMaster":false}"#;
    let expected: BrokerData = check_same(standard);
    for text in [
        r#"{brokerAddrs:{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},brokerName:"b1",cluster:"c1"}"#,
        "{'brokerAddrs':{'0':'10.0.0.1:10911','1':'10.0.0.2:10911',},'brokerName':'b1',
          'cluster':'c1',}",
        "\u{FEFF}{ \"brokerAddrs\" : { 0 : \"10.0.0.1:10911\" ,, 1 : \"10.0.0.2:10911\" } ,\n
          \"brokerName\":\"b\\u0031\",\"cluster\":\"c1\",\"zoneName\":null,\"x\":{\"y\":[1]} }\n",
    ] {
        assert_eq!(read::<BrokerData>(text), expected, "{text}");
    }
}

#[test]
fn references_are_followed() {
    let text = r#"
        {"brokerAddrTable":{"b1":{"brokerAddrs":{0:"a:1"},"brokerName":"b1","cluster":"c"},
        "b2":{"$ref":"$.brokerAddrTable.b1"}},
        "clusterAddrTable":{"c.d":["b1"],"e":{"$ref":"$.clusterAddrTable.c\\.d"}}}"#;
    let info: ClusterInfo = read(text);
    assert_eq!(info.broker_addr_table["b2"], info.broker_addr_table["b1"]);
    assert_eq!(info.cluster_addr_table["e"], ["b1"]);
    let list: TopicList = read(r#"{"topicList":["a","b",{"$ref":"$.topicList[1]"}]}"#);
    assert_eq!(list.topic_list, ["a", "b", "b"]);
}

#[test]
fn references_that_lead_nowhere_or_round_in_circles_are_refused() {
    let read = |text: &str| json::from_slice::<TopicList>(text.as_bytes());
    let dangling = read(r#"{"topicList":[{"$ref":"$.nothing"}]}"#);
    assert_eq!(dangling, Err(JsonError::DanglingReference));
    for text in [
        r#"{"topicList":{"$ref":"$.topicList"}}"#,
        r#"{"topicList":[{"$ref":".."}]}"#,
        r#"{"topicList":[{"$ref":"$"}]}"#,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    // What nobody reads is not followed.
    assert!(read(r#"{"a":{"$ref":"$.nothing"},"topicList":[]}"#).is_ok());
}

#[test]
fn references_to_long_texts_are_followed_but_not_by_long_paths() {
    let read = |text: &str| json::from_slice::<TopicList>(text.as_bytes());
    let long = "x".repeat(1 << 20);
    let few = [r#"{"$ref":"$.a"}"#; 8].join(",");
    let few = format!(r#"{{"a":"{long}","topicList":[{few}]}}"#);
    assert_eq!(read(&few).expect("8 MiB of text").topic_list.len(), 8);
    let path = format!(r#"{{"{long}":"t","topicList":[{{"$ref":"$.{long}"}}]}}"#);
    assert_eq!(read(&path), Err(JsonError::DanglingReference));
}

#[test]
fn of_members_with_one_name_the_last_counts() {
    let list: TopicList =
        read(r#"{"topicList":["a"],"brokerAddr":"x","topicList":["b"],"brokerAddr":null}"#);
    assert_eq!((list.topic_list, list.broker_addr), (vec!["b".to_owned()], None));
    let table: KvTable = read(r#"{"table":{"a":"1","a":{"$ref":"$.table.b"},"b":"2","b":"3"}}"#);
    assert_eq!(table.table["a"], "3");
}

/// As text, a name in a name in a name would double its escapes with each level.
#[test]
fn names_that_are_objects_hold_plain_names() {
    let read = |text: &str| json::from_slice::<TopicList>(text.as_bytes());
    let nested =
        |levels: usize| format!("{}\"a\":1{}", "{".repeat(levels), "}:1".repeat(levels - 1) + "}");
    assert!(read(&nested(2)).is_ok());
    for levels in [3, 30, 60] {
        assert_eq!(read(&nested(levels)), Err(JsonError::TooDeep), "{levels} levels");
    }
}

#[test]
fn queues_as_keys_are_read_in_all_forms_and_written_as_objects() {
    let object = r#"
        {"offsetTable":{{"brokerName":"b1","queueId":0,"topic":"T1"}:12,{"brokerName":"b1",
        "queueId":1,"topic":"T1"}:13}}"#;
    let body: ResetOffsetBody = check_same(object);
    assert_eq!(body.offset_table, BTreeMap::from([(queue(0), 12), (queue(1), 13)]));
    for text in [
        r#"{"offsetTable":{"{\"topic\":\"T1\",\"queueId\":0,\"brokerName\":\"b1\"}":12,
            "{\"topic\":\"T1\",\"queueId\":\"1\",\"brokerName\":\"b1\"}":"13"}}"#,
        r#"{"offsetTable":[[{"brokerName":"b1","queueId":0,"topic":"T1"},12],
            [{"brokerName":"b1","queueId":1,"topic":"T1"},13]]}"#,
    ] {
        assert_eq!(read::<ResetOffsetBody>(text), body, "{text}");
    }
    assert!(json::from_slice::<ResetOffsetBody>(br#"{"offsetTable":{"nonsense":1}}"#).is_err());
}

#[test]
fn object_keys_keep_their_escapes() {
    let quoted = MessageQueue { topic: "a\"b\\c".into(), ..queue(0) };
    let body = ResetOffsetBody { offset_table: BTreeMap::from([(quoted, 1)]) };
    let text = write(&body);
    assert_eq!(text, r#"{"offsetTable":{{"brokerName":"b1","queueId":0,"topic":"a\"b\\c"}:1}}"#);
    assert_eq!(read::<ResetOffsetBody>(&text), body);
}

#[test]
fn text_keys_that_look_like_objects_stay_text() {
    let table = KvTable {
        table: BTreeMap::from([("{\"a\":1}".into(), "x".into()), (String::new(), "y".into())]),
    };
    let text = write(&table);
    assert_eq!(text, r#"{"table":{"":"y","{\"a\":1}":"x"}}"#);
    assert_eq!(read::<KvTable>(&text), table);
}

#[test]
fn integer_keys_are_quoted_when_written() {
    let text = r#"{"offsetTable":{"T1@g1":{"0":5,"1":6}}}"#;
    let body: ConsumerOffsetTable = check_same(text);
    assert_eq!(read::<ConsumerOffsetTable>(r#"{"offsetTable":{"T1@g1":{0:5,1:6}}}"#), body);
}

#[test]
fn values_stand_in_for_each_other() {
    let config: TopicConfig = read(
        r#"{"order":"true","perm":"6","readQueueNums":4.0,"topicName":17,"topicFilterType":1,
            "attributes":null,"writeQueueNums":"8"}"#,
    );
    assert!(config.order);
    assert_eq!((config.perm, config.read_queue_nums, config.write_queue_nums), (6, 4, 8));
    assert_eq!(config.topic_name, "17");
    assert_eq!(config.topic_filter_type.name(), "MULTI_TAG");
    for broken in [
        r#"{"perm":"six"}"#,
        r#"{"perm":1.5}"#,
        r#"{"perm":99999999999}"#,
        r#"{"perm":[]}"#,
        r#"{"topicName":{}}"#,
        "[]",
    ] {
        let error = json::from_slice::<TopicConfig>(broken.as_bytes());
        assert!(matches!(error, Err(JsonError::Mismatch(_))), "{broken}: {error:?}");
    }
}

#[test]
fn heartbeats_of_other_clients_are_read() {
    // C++: enums as numbers, no producers, a line end behind. Go: hashes as text.
    let cpp: HeartbeatData = read(
        "{\"clientID\":\"c\",\"consumerDataSet\":[{\"consumeFromWhere\":4,\"consumeType\":0,\
          \"groupName\":\"g\",\"messageModel\":1,\"subscriptionDataSet\":[{\"codeSet\":[\"65\"],\
          \"subString\":\"A\",\"subVersion\":\"12\",\"tagsSet\":[\"A\"],\"topic\":\"T1\"}]}]}\n",
    );
    let consumer = &cpp.consumer_data_set[0];
    assert_eq!(consumer.consume_from_where, ConsumeFromWhere::FirstOffset);
    assert_eq!(consumer.consume_type, ConsumeType::Actively);
    assert_eq!(consumer.message_model, MessageModel::Clustering);
    let subscription = &consumer.subscription_data_set[0];
    assert_eq!((subscription.code_set.as_slice(), subscription.sub_version), (&[65][..], 12));
    assert_eq!(subscription.expression_type, "TAG");
    assert!(cpp.producer_data_set.is_empty() && !cpp.without_sub);
    // A constant we do not know must not fail the heartbeat.
    let new: HeartbeatData = read(
        r#"{"clientID":"c","isWithoutSub":true,"consumerDataSet":[
            {"groupName":"g","messageModel":"FUTURE"},
            {"groupName":"l","messageModel":"LITE_SELECTIVE"}]}"#,
    );
    assert!(new.without_sub);
    assert_eq!(new.consumer_data_set[0].message_model, MessageModel::Clustering);
    assert_eq!(new.consumer_data_set[1].message_model, MessageModel::LiteSelective);
}

#[test]
fn subscriptions_by_tags_carry_their_hashes() {
    let text = r#"{"classFilterMode":false,"codeSet":[2598919,2598920],"expressionType":"TAG",
        "subString":"TagA || TagB","subVersion":5,"tagsSet":["TagA","TagB"],"topic":"T1"}"#;
    assert_eq!(
        check_same::<SubscriptionData>(text),
        SubscriptionData::tags("T1", "TagA || TagB", 5)
    );
    assert_eq!(SubscriptionData::tags("T1", "", 5).sub_string, "*");
}

#[test]
fn bodies_of_the_specification_are_written_like_java() {
    check_same::<TopicRouteData>(
        r#"{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911","1":"10.0.0.2:10911"},
            "brokerName":"b1","cluster":"c1","enableActingMaster":false}],"filterServerTable":{},
            "queueDatas":[{"brokerName":"b1","perm":6,"readQueueNums":4,"topicSysFlag":0,
            "writeQueueNums":4}]}"#,
    );
    check_same::<RegisterBrokerBody>(
        r#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":3,
            "stateVersion":0,"timestamp":1700000000000},"mappingDataVersion":{"counter":0,
            "stateVersion":0,"timestamp":1700000000000},"topicConfigTable":{"T1":{"attributes":{},
            "order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG",
            "topicName":"T1","topicSysFlag":0,"writeQueueNums":4}},"topicQueueMappingDetailMap":{},
            "topicQueueMappingInfoMap":{}}}"#,
    );
    check_same::<ConsumerRunningInfo>(
        r#"{"jstack":"","mqPopTable":{},"mqTable":{{"brokerName":"b1","queueId":0,
            "topic":"T1"}:{"cachedMsgCount":0,"cachedMsgMaxOffset":0,"cachedMsgMinOffset":0,
            "cachedMsgSizeInMiB":0,"commitOffset":9,"droped":false,"lastConsumeTimestamp":1,
            "lastLockTimestamp":1,"lastPullTimestamp":1,"locked":false,"transactionMsgCount":0,
            "transactionMsgMaxOffset":0,"transactionMsgMinOffset":0,"tryUnlockTimes":0}},
            "properties":{"PROP_CLIENT_VERSION":"V5_3_3"},
            "statusTable":{"T1":{"consumeFailedMsgs":0,"consumeFailedTPS":0.0,"consumeOKTPS":1.0,
            "consumeRT":0.5,"pullRT":1.0,"pullTPS":1.0}},"subscriptionSet":[],
            "userConsumerInfo":{}}"#,
    );
    check_same::<TopicStatsTable>(
        r#"{"offsetTable":{{"brokerName":"b1","queueId":0,"topic":"T1"}:{"lastUpdateTimestamp":0,
            "maxOffset":3,"minOffset":0}},"topicPutTps":0.0}"#,
    );
}

#[test]
fn missing_group_settings_are_javas_defaults() {
    let group: SubscriptionGroupConfig = read(r#"{"groupName":"g"}"#);
    assert_eq!((group.retry_max_times, group.retry_queue_nums), (16, 1));
    assert!(group.consume_enable && group.consume_broadcast_enable);
    assert_eq!(group.which_broker_when_consume_slowly, 1);
}

#[test]
fn registrations_of_every_age_are_read() {
    let topics = r#"{"dataVersion":{"counter":1,"timestamp":5},"topicConfigTable":{"T1":{"perm":6,
        "readQueueNums":4,"topicName":"T1","writeQueueNums":4}}}"#;
    let bare =
        RegisterBrokerBody::from_slice(topics.as_bytes(), false, 36, REGISTER_SIZE_MAX_BYTES)
            .unwrap();
    let table: TopicConfigTable = read(topics);
    assert_eq!(bare.topic_config_serialize_wrapper, table);
    assert_eq!(
        RegisterBrokerBody::from_slice(b"", false, 400, REGISTER_SIZE_MAX_BYTES),
        Ok(RegisterBrokerBody::default())
    );
}

#[test]
fn broken_compressed_registrations_are_refused() {
    let packed = RegisterBrokerBody::default().to_compressed();
    for len in 0..packed.len() - 4 {
        assert!(
            RegisterBrokerBody::from_slice(&packed[..len], true, 513, REGISTER_SIZE_MAX_BYTES)
                .is_err(),
            "{len}"
        );
    }
    let plain = b"\0\0\0\x02{}\0\0\0\x01\0\0\0\x04T1 x";
    let error = RegisterBrokerBody::from_slice(
        &compress(Compression::Zlib, plain),
        true,
        513,
        REGISTER_SIZE_MAX_BYTES,
    );
    assert!(matches!(error, Err(RegisterError::TopicLine(line)) if line == "T1 x"));
    // A count that promises more than there is.
    let plain = b"\0\0\0\x02{}\0\x0F\xFF\xFF";
    let error = RegisterBrokerBody::from_slice(
        &compress(Compression::Zlib, plain),
        true,
        513,
        REGISTER_SIZE_MAX_BYTES,
    );
    assert!(matches!(error, Err(RegisterError::Layout(_))));
}

#[test]
fn a_registration_longer_than_its_reader_wants_is_refused_with_both_lengths() {
    let body = RegisterBrokerBody::default();
    let (plain, packed) = (json::to_vec(&body), body.to_compressed());
    let (len, max) = (plain.len(), plain.len() - 1);
    assert!(RegisterBrokerBody::from_slice(&plain, false, 513, len).is_ok());
    let error = RegisterBrokerBody::from_slice(&plain, false, 513, max);
    assert_eq!(error, Err(RegisterError::TooLong { len, max }));
    let error = RegisterBrokerBody::from_slice(&packed, true, 513, 10);
    assert_eq!(error, Err(CompressionError::TooLong { max: 10 }.into()));
}

#[test]
fn nesting_and_syntax_are_bounded() {
    let deep = "[".repeat(DEPTH_MAX + 2);
    let read = |text: &str| json::from_slice::<TopicList>(text.as_bytes());
    assert_eq!(read(&deep), Err(JsonError::TooDeep));
    let keys = "{".repeat(1000);
    assert_eq!(read(&keys), Err(JsonError::TooDeep));
    for (text, at) in [
        ("", 0),
        ("{", 1),
        ("{\"topicList\":[\"a\"}", 17),
        ("{\"topicList\":[\"a\" \"b\"]}", 18),
        ("{} x", 3),
        ("{\"a\":inf}", 5),
        ("{:1}", 1),
        ("{\"a\" 1}", 5),
        ("{\"a\":\"\\q\"}", 7),
    ] {
        match read(text) {
            Err(JsonError::Malformed { at: found, .. }) => assert_eq!(found, at, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(json::from_slice::<TopicList>(b"\xFF").is_err());
}

#[test]
fn every_truncated_body_is_refused() {
    let whole = r#"
        {"offsetTable":{{"brokerName":"b1","queueId":0,"topic":"T\u00311"}:12,{'brokerName':'b1',
        'queueId':1}:13}}"#;
    let whole = joined(whole);
    for len in 0..whole.len() {
        let part = &whole.as_bytes()[..len];
        assert!(json::from_slice::<ResetOffsetBody>(part).is_err(), "{len}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(
        text in "[{}\\[\\]:,\"'\\\\a0$.\\PC]{0,60}",
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let _ = json::from_slice::<serde_json::Value>(text.as_bytes());
        let _ = json::from_slice::<TopicRouteData>(text.as_bytes());
        let _ = json::from_slice::<serde_json::Value>(&bytes);
        let _ = RegisterBrokerBody::from_slice(&bytes, true, 513, REGISTER_SIZE_MAX_BYTES);
    }

    #[test]
    fn any_table_round_trips(
        table in prop::collection::btree_map(any::<String>(), any::<String>(), 0..20),
    ) {
        let table = KvTable { table };
        prop_assert_eq!(json::from_slice::<KvTable>(&json::to_vec(&table)), Ok(table));
    }

    #[test]
    fn any_queue_offsets_round_trip(
        offsets in prop::collection::btree_map(
            (any::<String>(), any::<String>(), any::<i32>()),
            any::<i64>(),
            0..20,
        ),
    ) {
        let entry = |((broker_name, topic, queue_id), offset)| {
            (MessageQueue { broker_name, queue_id, topic }, offset)
        };
        let body = ResetOffsetBody { offset_table: offsets.into_iter().map(entry).collect() };
        prop_assert_eq!(json::from_slice::<ResetOffsetBody>(&json::to_vec(&body)), Ok(body));
    }
}
