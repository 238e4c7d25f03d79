//! Bytes made by the Java classes of RocketMQ 4.9.7 and 5.5.0 (`cargo xtask golden`, see
//! `tools/compat/golden/README.md`): what we read of them, and that we write the same.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use ringmq_protocol::bodies::heartbeat::HeartbeatData;
use ringmq_protocol::bodies::lock::{LockBatchRequest, LockBatchResponse};
use ringmq_protocol::bodies::offset::ResetOffsetBody;
use ringmq_protocol::bodies::register::{REGISTER_SIZE_MAX_BYTES, RegisterBrokerBody};
use ringmq_protocol::bodies::route::{ClusterInfo, TopicRouteData};
use ringmq_protocol::bodies::topic::{KvTable, TopicList};
use ringmq_protocol::command::VERSION;
use ringmq_protocol::headers::pull::PullRequest;
use ringmq_protocol::headers::send::SendRequest;
use ringmq_protocol::ids::OffsetMessageId;
use ringmq_protocol::properties::Properties;
use ringmq_protocol::record::{self, NewRecord, Placement, Record, sys_flag};
use ringmq_protocol::{Command, Header, RequestHead, ResponseHead};
use ringmq_protocol::{batch, frame, json, tags};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One case of `golden.json`.
struct Case {
    name: String,
    facts: Value,
    bytes: Vec<u8>,
}

impl Case {
    fn text(&self, fact: &str) -> &str {
        self.facts[fact].as_str().unwrap_or_else(|| panic!("{}: no text `{fact}`", self.name))
    }

    fn number(&self, fact: &str) -> i64 {
        self.facts[fact].as_i64().unwrap_or_else(|| panic!("{}: no number `{fact}`", self.name))
    }

    fn is_v5(&self) -> bool {
        self.name.starts_with("v5-")
    }
}

/// Reads the cases of a kind; there must be some from each Java version.
fn cases(kind: &str) -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let list = std::fs::read(folder.join("golden.json")).expect("golden.json");
    let list: Vec<Value> = serde_json::from_slice(&list).expect("a list of cases");
    let cases: Vec<Case> = list
        .into_iter()
        .filter(|case| case["kind"] == kind)
        .map(|case| {
            let name = case["name"].as_str().expect("a name").to_owned();
            let bytes = std::fs::read_to_string(folder.join(format!("{name}.hex")));
            let bytes = bytes.map(|text| from_hex(&text)).unwrap_or_default();
            Case { name, facts: case["facts"].clone(), bytes }
        })
        .collect();
    for version in ["v4-", "v5-"] {
        assert!(cases.iter().any(|case| case.name.starts_with(version)), "no {version} {kind}");
    }
    cases
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hex"))
        .collect()
}

fn parse(bytes: &[u8]) -> Command<'_> {
    let (frame, used) = frame::cut(bytes, frame::FRAME_SIZE_MAX_BYTES).unwrap().expect("whole");
    assert_eq!(used, bytes.len());
    Command::parse(frame).unwrap()
}

fn field_map<'c>(command: &'c Command<'_>) -> BTreeMap<&'c str, &'c str> {
    command.fields.iter().collect()
}

fn facts_map(facts: &Value) -> BTreeMap<&str, &str> {
    let members = facts.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value.as_str().expect("text"))).collect()
}

#[test]
fn frames_are_read_and_come_back() {
    for case in cases("frame") {
        let command = parse(&case.bytes);
        let name = &case.name;
        assert_eq!(command.serialize.name(), case.text("serialize"), "{name}");
        assert_eq!(i64::from(command.code), case.number("code"), "{name}");
        assert_eq!(command.language.name(), case.text("language"), "{name}");
        assert_eq!(i64::from(command.version), case.number("version"), "{name}");
        assert_eq!(i64::from(command.opaque), case.number("opaque"), "{name}");
        assert_eq!(i64::from(command.flag), case.number("flag"), "{name}");
        assert_eq!(command.is_oneway(), case.facts["oneway"] == true, "{name}");
        assert_eq!(command.is_response(), case.facts["response"] == true, "{name}");
        assert_eq!(command.remark(), case.facts["remark"].as_str(), "{name}");
        assert_eq!(command.body, from_hex(case.text("body")), "{name}");
        assert_eq!(field_map(&command), facts_map(&case.facts["fields"]), "{name}");
        check_rewritten(name, &command);
    }
}

/// Writes what was read, reads it again, and expects the same.
fn check_rewritten(name: &str, command: &Command<'_>) {
    let mut out = Vec::new();
    let Command { serialize, code, opaque, .. } = *command;
    let remark = command.remark();
    if command.is_response() {
        let head = ResponseHead { serialize, opaque, code, remark };
        ringmq_protocol::write_response(&mut out, head, &command.fields, command.body);
    } else {
        let oneway = command.is_oneway();
        let head = RequestHead { serialize, code, opaque, oneway, remark };
        ringmq_protocol::write_request(&mut out, head, &command.fields, command.body);
    }
    let again = parse(&out);
    assert_eq!(again.serialize, serialize, "{name}");
    assert_eq!((again.code, again.opaque, again.flag), (code, opaque, command.flag), "{name}");
    assert_eq!((again.remark(), again.body), (remark, command.body), "{name}");
    assert_eq!(again.version, i32::from(VERSION), "{name}");
    assert_eq!(field_map(&again), field_map(command), "{name}");
}

#[test]
fn every_truncated_frame_is_incomplete_and_every_truncated_header_refused() {
    for case in cases("frame") {
        for len in 0..case.bytes.len() {
            let cut = frame::cut(&case.bytes[..len], frame::FRAME_SIZE_MAX_BYTES);
            assert_eq!(cut, Ok(None), "{} at {len}", case.name);
        }
        let (whole, _) = frame::cut(&case.bytes, frame::FRAME_SIZE_MAX_BYTES).unwrap().unwrap();
        for len in 0..whole.header.len() {
            let part = frame::Frame { header: &whole.header[..len], ..whole };
            assert!(Command::parse(part).is_err(), "{} at {len}", case.name);
        }
    }
}

#[test]
fn sends_in_both_spellings_decode_to_the_same_header() {
    let sends = cases("frame");
    let sends = sends.iter().filter(|case| case.name.contains("request-send-v"));
    let mut count = 0;
    for case in sends {
        let command = parse(&case.bytes);
        let send = SendRequest::decode(&command.fields).unwrap();
        assert_eq!((send.producer_group, send.topic), ("golden_group", "golden_topic"));
        assert_eq!((send.default_topic, send.default_topic_queue_nums), ("TBW102", 4));
        assert_eq!((send.queue_id, send.sys_flag, send.flag), (2, 0, 5));
        assert_eq!((send.born_at_ms, send.reconsume_times), (1_700_000_000_123, 0));
        assert_eq!((send.unit_mode, send.batch), (false, false));
        let properties = Properties::new(send.properties.expect("properties"));
        assert_eq!(properties.get("user"), Some("你好 = \"1\""), "{}", case.name);
        count += 1;
    }
    assert_eq!(count, 8);
}

#[test]
fn pulls_decode() {
    for case in cases("frame").iter().filter(|case| case.name.contains("request-pull-")) {
        let command = parse(&case.bytes);
        let pull = PullRequest::decode(&command.fields).unwrap();
        let facts = facts_map(&case.facts["fields"]);
        assert_eq!((pull.consumer_group, pull.topic), ("golden_group", "golden_topic"));
        assert_eq!(pull.queue_offset.to_string(), facts["queueOffset"]);
        assert_eq!(pull.sub_version.to_string(), facts["subVersion"]);
        assert_eq!(pull.subscription, facts.get("subscription").copied());
    }
}

#[test]
fn records_are_read_and_written_byte_for_byte() {
    for case in cases("record") {
        let name = &case.name;
        let found = Record::parse(&case.bytes).unwrap();
        let host = |fact| case.text(fact).parse().expect("a host");
        assert_eq!(found.topic, case.text("topic"), "{name}");
        assert_eq!(i64::from(found.queue_id), case.number("queue_id"), "{name}");
        assert_eq!(i64::from(found.flag), case.number("flag"), "{name}");
        assert_eq!(i64::from(found.sys_flag), case.number("sys_flag"), "{name}");
        assert_eq!(found.queue_offset, case.number("queue_offset"), "{name}");
        assert_eq!(found.physical_offset, case.number("position"), "{name}");
        assert_eq!(found.born_at_ms, case.number("born_at_ms"), "{name}");
        assert_eq!(found.born_host, host("born_host"), "{name}");
        assert_eq!(found.stored_at_ms, case.number("stored_at_ms"), "{name}");
        assert_eq!(found.store_host, host("store_host"), "{name}");
        assert_eq!(i64::from(found.body_crc), case.number("body_crc"), "{name}");
        assert_eq!(i64::from(found.reconsume_times), case.number("reconsume_times"), "{name}");
        let prepared = found.prepared_transaction_offset;
        assert_eq!(prepared, case.number("prepared_transaction_offset"), "{name}");
        assert_eq!(found.body, from_hex(case.text("body")), "{name}");
        let properties: BTreeMap<_, _> = found.properties.iter().collect();
        assert_eq!(properties, facts_map(&case.facts["properties"]), "{name}");
        assert_eq!(found.verify_body(), Ok(()), "{name}");
        check_written(&case, &found);
        for len in 0..case.bytes.len() {
            assert!(Record::parse(&case.bytes[..len]).is_err(), "{name} at {len}");
        }
    }
}

fn check_written(case: &Case, found: &Record<'_>) {
    let new = NewRecord {
        topic: found.topic,
        queue_id: found.queue_id,
        flag: found.flag,
        sys_flag: found.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6),
        born_at_ms: found.born_at_ms,
        born_host: found.born_host,
        store_host: found.store_host,
        reconsume_times: found.reconsume_times,
        prepared_transaction_offset: found.prepared_transaction_offset,
        body: found.body,
        properties: found.properties.as_text(),
        extra: &[],
        with_record_crc: false,
    };
    let placement = Placement {
        queue_offset: found.queue_offset,
        physical_offset: found.physical_offset,
        stored_at_ms: found.stored_at_ms,
    };
    let mut out = vec![0; record::encoded_len(&new).unwrap()];
    record::encode(&mut out, &new, placement).unwrap();
    let ends_with_separator =
        found.properties.as_text().is_empty() || found.properties.as_text().ends_with('\u{2}');
    if ends_with_separator {
        assert_eq!(out, case.bytes, "{}", case.name);
    } else {
        // The client's form of 4.9 lacks the last separator; a stored record has it.
        assert_eq!(out.len(), case.bytes.len() + 1, "{}", case.name);
    }
}

#[test]
fn batches_are_read_and_written() {
    for case in cases("batch") {
        let items: Vec<_> = batch::items(&case.bytes).map(Result::unwrap).collect();
        let facts = case.facts["items"].as_array().expect("items");
        assert_eq!(items.len(), facts.len(), "{}", case.name);
        let mut out = Vec::new();
        for (item, facts) in items.iter().zip(facts) {
            assert_eq!(Some(i64::from(item.flag)), facts["flag"].as_i64());
            assert_eq!(item.body, from_hex(facts["body"].as_str().expect("body")));
            let properties: BTreeMap<_, _> = item.properties.iter().collect();
            assert_eq!(properties, facts_map(&facts["properties"]), "{}", case.name);
            batch::push(&mut out, item).unwrap();
        }
        assert_eq!(out, case.bytes, "{}", case.name);
    }
}

#[test]
fn properties_are_read_as_java_reads_them() {
    for case in cases("properties") {
        let text = str::from_utf8(&case.bytes).expect("UTF-8");
        let found: BTreeMap<_, _> = Properties::new(text).iter().collect();
        assert_eq!(found, facts_map(&case.facts["read"]), "{}", case.name);
    }
}

#[test]
fn hashes_and_message_ids_are_those_of_java() {
    for case in cases("hashes") {
        for fact in case.facts["hashes"].as_array().expect("hashes") {
            let text = fact["text"].as_str().expect("text");
            assert_eq!(Some(i64::from(tags::java_hash(text))), fact["hash"].as_i64(), "{text}");
        }
    }
    for case in cases("message-id") {
        let host = case.text("store_host").parse().expect("a host");
        let id = OffsetMessageId { host, physical_offset: case.number("position") };
        assert_eq!(id.to_string(), case.text("id"));
        assert_eq!(case.text("id").parse(), Ok(id));
    }
}

/// Reads a body, writes it, and reads that again. Java 5's text must come back byte for byte but
/// for integer keys, which we quote.
fn check_body<T>(case: &Case) -> T
where
    T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug,
{
    let body: T = json::from_slice(&case.bytes).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let written = json::to_vec(&body);
    assert_eq!(json::from_slice::<T>(&written), Ok(body), "{}", case.name);
    if case.is_v5() {
        let java = str::from_utf8(&case.bytes).expect("UTF-8");
        let quoted = java.replace("{0:", "{\"0\":").replace(",1:", ",\"1\":");
        assert_eq!(str::from_utf8(&written), Ok(quoted.as_str()), "{}", case.name);
    }
    json::from_slice(&case.bytes).unwrap()
}

#[test]
fn bodies_are_read_and_written() {
    for case in cases("json") {
        match case.name.split_once("-json-").expect("a body's name").1 {
            "route" => check_route(&case, &check_body(&case)),
            "cluster-info" => {
                let body: ClusterInfo = check_body(&case);
                let broker = &body.broker_addr_table[case.text("broker")];
                assert_eq!(broker.broker_addrs[&1], "10.0.0.2:10911");
                assert_eq!(body.cluster_addr_table[case.text("cluster")], [case.text("broker")]);
            }
            "heartbeat" | "heartbeat-reference" => check_heartbeat(&case, &check_body(&case)),
            "heartbeat-v2" => {
                let body: HeartbeatData = check_body(&case);
                assert!(body.without_sub && body.heartbeat_fingerprint == 123_456);
            }
            "lock-request" => {
                let body: LockBatchRequest = check_body(&case);
                assert_eq!(body.consumer_group, case.text("group"));
                let ids: Vec<i32> = body.mq_set.iter().map(|queue| queue.queue_id).collect();
                assert_eq!(ids, [0, 1]);
            }
            "lock-response" => {
                let body: LockBatchResponse = check_body(&case);
                assert_eq!(body.locked.len(), 2);
                assert_eq!(body.locked[1].broker_name, case.text("broker"));
            }
            "reset-offset" => {
                let body: ResetOffsetBody = check_body(&case);
                assert_eq!(
                    body.offset_table.values().copied().collect::<Vec<_>>(),
                    [12, 9_000_000_000]
                );
            }
            "kv-table" => {
                assert_eq!(
                    check_body::<KvTable>(&case).table["golden_topic"],
                    "broker-a:4;broker-b:4"
                );
            }
            "topic-list" => assert_eq!(check_body::<TopicList>(&case).topic_list, ["T1", "T2"]),
            other => panic!("no check for the body `{other}`"),
        }
    }
}

fn check_route(case: &Case, body: &TopicRouteData) {
    let broker = &body.broker_datas[0];
    assert_eq!(broker.broker_name, case.text("broker"));
    assert_eq!(broker.cluster, case.text("cluster"));
    assert_eq!(broker.broker_addrs[&0], "10.0.0.1:10911");
    let queues = &body.queue_datas[0];
    assert_eq!(i64::from(queues.read_queue_nums), case.number("read_queues"));
    assert_eq!(i64::from(queues.write_queue_nums), case.number("write_queues"));
    assert_eq!(i64::from(queues.perm), case.number("perm"));
}

fn check_heartbeat(case: &Case, body: &HeartbeatData) {
    assert_eq!(body.client_id, case.text("client_id"));
    let groups: Vec<_> = body.consumer_data_set.iter().map(|data| &data.group_name).collect();
    let expected: Vec<_> = case.facts["consumers"].as_array().expect("consumers").iter().collect();
    assert_eq!(groups, expected);
    for consumer in &body.consumer_data_set {
        let subscription = &consumer.subscription_data_set[0];
        assert_eq!(subscription.topic, case.text("topic"), "{}", case.name);
        assert_eq!(subscription.sub_string, case.text("expression"));
        assert_eq!(subscription.code_set, [2_598_919, 2_598_920]);
        assert_eq!(subscription.sub_version, case.number("sub_version"));
    }
}

#[test]
fn registrations_are_read_plain_and_compressed() {
    for (kind, compressed) in [("register-body", false), ("register-body-compressed", true)] {
        for case in cases(kind) {
            let version = if case.is_v5() { 513 } else { 407 };
            let body = RegisterBrokerBody::from_slice(
                &case.bytes,
                compressed,
                version,
                REGISTER_SIZE_MAX_BYTES,
            )
            .unwrap();
            let table = &body.topic_config_serialize_wrapper;
            assert_eq!(table.data_version.counter, case.number("counter"), "{}", case.name);
            assert_eq!(table.data_version.timestamp, case.number("timestamp"));
            assert_eq!(body.filter_server_list, ["10.0.0.1:9000"]);
            let (first, second) =
                (&table.topic_config_table["T1"], &table.topic_config_table["T2"]);
            assert_eq!((first.read_queue_nums, first.write_queue_nums, first.perm), (8, 4, 6));
            assert_eq!((second.read_queue_nums, second.write_queue_nums, second.perm), (1, 1, 4));
            let packed = body.to_compressed();
            let again = RegisterBrokerBody::from_slice(&packed, true, 513, REGISTER_SIZE_MAX_BYTES)
                .unwrap();
            assert_eq!(
                again.topic_config_serialize_wrapper.topic_config_table,
                table.topic_config_table
            );
            if !compressed && case.is_v5() {
                assert_eq!(json::to_vec(&body), case.bytes, "{}", case.name);
            }
        }
    }
}
