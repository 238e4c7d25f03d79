//! The name server as brokers and clients see it: requests over loopback sockets.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ringmq_namesrv::{Config, Running, start};
use ringmq_protocol::bodies::register::RegisterBrokerBody;
use ringmq_protocol::bodies::topic::{DataVersion, TopicConfig};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::frame::ANSWER_BODY_MAX_BYTES;
use ringmq_protocol::headers::namesrv::{BrokerRequest, RegisterBrokerRequest};
use ringmq_protocol::{WriteHeader, json};
use ringmq_remoting::{Connection, ConnectionLimits, NoService, OwnedCommand, dial};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::{shards, task};

const PATIENCE: Duration = Duration::from_secs(10);

async fn start_in(directory: &Path, change: impl FnOnce(&mut Config)) -> Running {
    let kv_config_path = directory.join("made/later/kvConfig.json").to_string_lossy().into_owned();
    let bind_address = [127, 0, 0, 1].into();
    let mut config = Config { listen_port: 0, kv_config_path, bind_address, ..Config::default() };
    change(&mut config);
    start(config).await.expect("started")
}

/// Runs a test against a fresh name server.
fn check<F: Future<Output = ()>>(test: impl FnOnce(Running, Rc<Connection>) -> F) {
    let directory = tempfile::tempdir().expect("a directory");
    shards::block_on(async {
        let running = start_in(directory.path(), |_| {}).await;
        let connection = connect(&running).await;
        let limited = task::timeout(Duration::from_secs(30), test(running, connection)).await;
        limited.expect("the test came to its end in time");
    });
}

async fn connect(running: &Running) -> Rc<Connection> {
    let limits = ConnectionLimits::default();
    dial(running.address(), PATIENCE, Rc::new(NoService), limits).await.expect("connected")
}

async fn call(
    connection: &Rc<Connection>,
    code: i32,
    header: &impl WriteHeader,
    body: &[u8],
) -> OwnedCommand {
    connection.call(code, header, body, PATIENCE).await.expect("answered")
}

/// Calls and checks the response code; gives the body as text.
async fn expect(
    connection: &Rc<Connection>,
    code: i32,
    header: &impl WriteHeader,
    body: &[u8],
    expected: i32,
) -> String {
    let answer = call(connection, code, header, body).await;
    let command = answer.command();
    assert_eq!(command.code, expected, "request {code}: {:?}", command.remark());
    String::from_utf8(command.body.to_vec()).expect("text")
}

fn registration(name: &'static str) -> RegisterBrokerRequest<'static> {
    RegisterBrokerRequest {
        broker_name: name,
        broker_addr: "192.0.2.1:10911",
        cluster_name: "c1",
        ha_server_addr: "192.0.2.1:10912",
        broker_id: 0,
        heartbeat_timeout_ms: None,
        enable_acting_master: None,
        compressed: false,
        body_crc32: 0,
        zone_name: None,
    }
}

fn body_of(topics: &[&str]) -> RegisterBrokerBody {
    let mut body = RegisterBrokerBody::default();
    let table = &mut body.topic_config_serialize_wrapper;
    table.data_version = DataVersion { counter: 3, state_version: 0, timestamp: 1_700_000_000_000 };
    for topic in topics {
        let topic_name = (*topic).to_owned();
        let config = TopicConfig {
            topic_name,
            read_queue_nums: 4,
            write_queue_nums: 4,
            ..TopicConfig::default()
        };
        table.topic_config_table.insert((*topic).to_owned(), config);
    }
    body
}

async fn register(connection: &Rc<Connection>, name: &'static str, topics: &[&str]) {
    let body = json::to_vec(&body_of(topics));
    expect(connection, request::REGISTER_BROKER, &registration(name), &body, response::SUCCESS)
        .await;
}

async fn route(connection: &Rc<Connection>, topic: &str) -> Option<String> {
    let answer = call(connection, request::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)], &[]).await;
    match answer.code() {
        response::TOPIC_NOT_EXIST => None,
        code => {
            assert_eq!(code, response::SUCCESS);
            Some(String::from_utf8(answer.body().to_vec()).expect("text"))
        }
    }
}

#[test]
fn a_route_is_compact_json_with_quoted_keys() {
    check(|_running, connection| async move {
        assert_eq!(route(&connection, "T1").await, None);
        register(&connection, "b1", &["T1", "T2"]).await;
        let expected = concat!(
            r#"{"brokerDatas":[{"brokerAddrs":{"0":"192.0.2.1:10911"},"brokerName":"b1","#,
            r#""cluster":"c1","enableActingMaster":false}],"filterServerTable":{},"#,
            r#""queueDatas":[{"brokerName":"b1","perm":6,"readQueueNums":4,"topicSysFlag":0,"#,
            r#""writeQueueNums":4}]}"#
        );
        assert_eq!(route(&connection, "T1").await.as_deref(), Some(expected));
        let clusters =
            expect(&connection, request::GET_BROKER_CLUSTER_INFO, &(), &[], response::SUCCESS)
                .await;
        let expected = concat!(
            r#"{"brokerAddrTable":{"b1":{"brokerAddrs":{"0":"192.0.2.1:10911"},"#,
            r#""brokerName":"b1","cluster":"c1","enableActingMaster":false}},"#,
            r#""clusterAddrTable":{"c1":["b1"]}}"#
        );
        assert_eq!(clusters, expected);
    });
}

#[test]
fn an_answer_that_no_frame_holds_is_refused_and_the_connection_goes_on() {
    check(|_running, connection| async move {
        // The longest names that there may be, in tables that a request has room for.
        let name = |number: usize| format!("{number:0>512}");
        let names: Vec<_> = (0..33_000).map(name).collect();
        for (broker, names) in ["b1", "b2", "b3"].into_iter().zip(names.chunks(11_000)) {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            register(&connection, broker, &names).await;
        }
        let code = request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
        let refused = call(&connection, code, &(), &[]).await;
        let remark = refused.command().remark().unwrap_or_default().to_owned();
        assert_eq!(refused.code(), response::SYSTEM_ERROR, "{remark}");
        assert!(remark.contains(&ANSWER_BODY_MAX_BYTES.to_string()), "{remark}");
        assert!(route(&connection, &names[0]).await.is_some());
        // Of the ones that are left an answer can tell.
        let gone = BrokerRequest {
            broker_name: "b1",
            broker_addr: "192.0.2.1:10911",
            cluster_name: "c1",
            broker_id: 0,
        };
        expect(&connection, request::UNREGISTER_BROKER, &gone, &[], response::SUCCESS).await;
        let text = expect(&connection, code, &(), &[], response::SUCCESS).await;
        assert!(text.len() > 22_000 * 512, "{}", text.len());
    });
}

#[test]
fn compressed_and_checked_registrations_are_read() {
    check(|_running, connection| async move {
        let body = body_of(&["T1", "T2"]).to_compressed();
        let crc = i32::try_from(crc32fast::hash(&body) & 0x7fff_ffff).expect("31 bits");
        // Brokers say `compressed=false` about compressed bodies.
        for (name, compressed, body_crc32) in [("b1", true, 0), ("b2", false, crc)] {
            let header = RegisterBrokerRequest { compressed, body_crc32, ..registration(name) };
            expect(&connection, request::REGISTER_BROKER, &header, &body, response::SUCCESS).await;
        }
        assert!(route(&connection, "T2").await.is_some_and(|route| route.contains("b2")));
        let header = RegisterBrokerRequest { body_crc32: crc ^ 1, ..registration("b3") };
        let answer = call(&connection, request::REGISTER_BROKER, &header, &body).await;
        assert_eq!(answer.code(), response::SYSTEM_ERROR);
        assert!(answer.command().remark().is_some_and(|remark| remark.contains("crc32")));
        let truncated = &body[..body.len() / 2];
        let header = registration("b3");
        expect(&connection, request::REGISTER_BROKER, &header, truncated, response::SYSTEM_ERROR)
            .await;
        expect(&connection, request::REGISTER_BROKER, &header, b"{]", response::SYSTEM_ERROR).await;
        let single = json::to_vec(&body_of(&["T1"]));
        expect(&connection, request::REGISTER_BROKER, &header, &single, response::SYSTEM_ERROR)
            .await;
    });
}

#[test]
fn data_versions_are_compared() {
    check(|_running, connection| async move {
        let header = BrokerRequest {
            broker_name: "b1",
            broker_addr: "192.0.2.1:10911",
            cluster_name: "c1",
            broker_id: 0,
        };
        let version = body_of(&[]).topic_config_serialize_wrapper.data_version;
        let version = json::to_vec(&version);
        let changed =
            |answer: &OwnedCommand| answer.command().fields.get("changed").map(str::to_owned);
        let answer = call(&connection, request::QUERY_DATA_VERSION, &header, &version).await;
        assert_eq!((changed(&answer).as_deref(), answer.body()), (Some("true"), b"".as_slice()));
        register(&connection, "b1", &["T1", "T2"]).await;
        let answer = call(&connection, request::QUERY_DATA_VERSION, &header, &version).await;
        let expected = (Some("false"), version.as_slice());
        assert_eq!((changed(&answer).as_deref(), answer.body()), expected);
        expect(&connection, request::UNREGISTER_BROKER, &header, &[], response::SUCCESS).await;
        assert_eq!(route(&connection, "T1").await, None);
    });
}

#[test]
fn a_lost_connection_takes_its_broker_at_once() {
    check(|running, connection| async move {
        let broker = connect(&running).await;
        register(&broker, "b1", &["T1", "T2"]).await;
        assert!(route(&connection, "T1").await.is_some());
        broker.close("test");
        let deadline = Instant::now() + PATIENCE;
        while route(&connection, "T1").await.is_some() {
            assert!(Instant::now() < deadline, "the route is still there");
        }
    });
}

#[test]
fn unknown_codes_and_broken_headers_are_answered() {
    check(|_running, connection| async move {
        let expected = response::REQUEST_CODE_NOT_SUPPORTED;
        expect(&connection, 4711, &(), &[], expected).await;
        let expected = response::SYSTEM_ERROR;
        expect(&connection, request::GET_ROUTEINFO_BY_TOPIC, &(), &[], expected).await;
        expect(&connection, request::REGISTER_BROKER, &[("brokerId", "x")], &[], expected).await;
    });
}

#[test]
fn key_values_and_settings_survive_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let order = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "T1"), ("value", "b1:4")];
    shards::block_on(async {
        let running = start_in(directory.path(), |_| {}).await;
        let connection = connect(&running).await;
        expect(&connection, request::GET_KV_CONFIG, &order, &[], response::QUERY_NOT_FOUND).await;
        expect(&connection, request::PUT_KV_CONFIG, &order, &[], response::SUCCESS).await;
        let change = b"orderMessageEnable=true\n";
        expect(&connection, request::UPDATE_NAMESRV_CONFIG, &(), change, response::SUCCESS).await;
        let change = b"kvConfigPath=/elsewhere\n";
        expect(&connection, request::UPDATE_NAMESRV_CONFIG, &(), change, response::NO_PERMISSION)
            .await;
        // Escapes would make a file of it that the next start does not read.
        let change = format!("productEnvName={}\n", "\u{e4}".repeat(200_000));
        let refused = response::SYSTEM_ERROR;
        expect(&connection, request::UPDATE_NAMESRV_CONFIG, &(), change.as_bytes(), refused).await;
        running.stop(PATIENCE).await;
    });
    shards::block_on(async {
        let running = start_in(directory.path(), |_| {}).await;
        let connection = connect(&running).await;
        let answer = call(&connection, request::GET_KV_CONFIG, &order, &[]).await;
        assert_eq!(answer.command().fields.get("value"), Some("b1:4"));
        let config =
            expect(&connection, request::GET_NAMESRV_CONFIG, &(), &[], response::SUCCESS).await;
        assert!(config.contains("orderMessageEnable=true\n"), "{config}");

        let body = json::to_vec(&body_of(&["T1", "T2"]));
        let answer = call(&connection, request::REGISTER_BROKER, &registration("b1"), &body).await;
        assert_eq!(answer.body(), br#"{"table":{"T1":"b1:4"}}"#);
        let route = route(&connection, "T1").await.expect("known");
        assert!(route.contains(r#""orderTopicConf":"b1:4""#), "{route}");

        expect(&connection, request::DELETE_KV_CONFIG, &order, &[], response::SUCCESS).await;
        let namespace = [order[0]];
        let expected = response::QUERY_NOT_FOUND;
        expect(&connection, request::GET_KVLIST_BY_NAMESPACE, &namespace, &[], expected).await;
    });
}

#[test]
fn a_used_port_and_a_broken_file_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    shards::block_on(async {
        let running = start_in(directory.path(), |_| {}).await;
        let port = running.address().port();
        let kv_config_path = directory.path().join("other.json").to_string_lossy().into_owned();
        let bind_address = [127, 0, 0, 1].into();
        let config =
            Config { listen_port: port, kv_config_path, bind_address, ..Config::default() };
        let error = start(config).await.err().expect("refused").to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
    });
    std::fs::write(directory.path().join("kvConfig.json"), "{\"configTable\":[").expect("written");
    shards::block_on(async {
        let path = directory.path().join("kvConfig.json").to_string_lossy().into_owned();
        let config = Config { listen_port: 0, kv_config_path: path.clone(), ..Config::default() };
        let error = start(config).await.err().expect("refused").to_string();
        assert!(error.contains(&path), "{error}");
    });
}
