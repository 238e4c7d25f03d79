//! The commands against a broker with its name server in this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::future::block_on;
use ringmq_broker::config::{EmbeddedNamesrv, Settings};
use ringmq_broker::setup::{self, Setup};
use ringmq_broker::start;
use ringmq_client::Client;
use ringmq_client::config::{ClientConfig, ConsumeFrom, ConsumerConfig, ProducerConfig};
use ringmq_client::message::Message;
use ringmq_protocol::bodies::register::RegisterBrokerBody;
use ringmq_protocol::bodies::topic::{TopicConfig, TopicConfigTable};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::namesrv::{KvRequest, RegisterBrokerRequest};
use ringmq_protocol::json;
use ringmq_remoting::{Connection, ConnectionLimits, NoService, dial};
use ringmq_runtime::net::free_ports;
use ringmq_runtime::shards::{self, Cores, ShardsConfig};
use ringmq_runtime::task::{self, LocalFuture};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(20);

/// How a command ended.
struct Ended {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    /// What it printed; it did what it was asked for, without a word on standard error.
    fn text(&self) -> &str {
        assert_eq!((self.status, self.err.as_str()), (Some(0), ""), "{}", self.out);
        &self.out
    }

    fn json(&self) -> Value {
        serde_json::from_str(self.text()).expect("one JSON value")
    }

    /// Why it failed; it printed nothing else.
    fn failure(&self, status: i32) -> &str {
        assert_eq!((self.status, self.out.as_str()), (Some(status), ""), "{}", self.err);
        &self.err
    }
}

/// Runs `mqadmin` for the name server on this port.
fn mqadmin(namesrv: u16, words: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqadmin"));
    command.args(words).arg("-n").arg(format!("127.0.0.1:{namesrv}"));
    ended(command.output().expect("mqadmin starts"))
}

fn ended(done: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended { status: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
}

/// Runs `scenario` with the port of a name server and the address of its broker "a" of
/// "DefaultCluster", which has registered.
fn check(scenario: impl FnOnce(u16, &str) + Send + 'static) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    run_with_broker(dir.path(), |namesrv| {
        let is_there = |ended: &Ended| ended.json().as_array().is_some_and(|all| !all.is_empty());
        let look = || mqadmin(namesrv, &["clusterList", "--json"]);
        let found = (0..500).map(|_| look()).find(is_there).expect("the broker registers").json();
        assert_eq!(found[0]["brokerName"], "a");
        scenario(namesrv, found[0]["addr"].as_str().expect("an address"));
    });
}

/// Runs `scenario` with the port of a name server beside a broker.
fn run_with_broker(dir: &Path, scenario: impl FnOnce(u16) + Send + 'static) {
    let [namesrv, port] = free_ports(2).expect("free ports")[..] else { unreachable!("two") };
    let settings = Settings {
        broker_name: "a".into(),
        bind_address: [127, 0, 0, 1].into(),
        broker_ip1: "127.0.0.1".into(),
        listen_port: port,
        embedded_namesrv: EmbeddedNamesrv::Yes,
        embedded_namesrv_port: namesrv,
        mapped_file_size_commit_log: 8 << 20,
        store_path_root_dir: dir.to_string_lossy().into_owned(),
        ..Settings::default()
    };
    let setup = Setup::new(settings, BTreeMap::new()).expect("good settings");
    let mut plan = setup.plan();
    plan.shards = ShardsConfig::new(Cores::Floating(1));
    let control = move |data| setup::control_plane(setup, data, Box::new(|_| ()));
    let panicked = Arc::new(Mutex::new(None));
    let report = Arc::clone(&panicked);
    let until = move |_| {
        Box::pin(async move {
            // The broker lives on this executor: commands run beside it.
            let run = task::blocking(move || {
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scenario(namesrv)))
            });
            let ended = task::timeout(Duration::from_secs(60), run).await;
            *report.lock().expect("not poisoned") = ended.expect("commands end").err();
        }) as LocalFuture<()>
    };
    let ran = start::run(&plan, Box::new(control), Box::new(until));
    if let Some(panic) = panicked.lock().expect("not poisoned").take() {
        std::panic::resume_unwind(panic);
    }
    ran.expect("the broker starts and stops cleanly");
}

#[test]
fn a_topic_lives_from_update_topic_to_delete_topic() {
    check(|namesrv, address| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        let made = run(&["updatetopic", "-c", "DefaultCluster", "-t", "T", "-r", "2", "-w", "2"]);
        let told = made.text();
        assert!(told.contains(&format!("create topic to {address} success.")), "{told}");
        assert!(told.contains("readQueueNums=2, writeQueueNums=2, perm=RW-"), "{told}");
        assert!(run(&["topicList"]).text().lines().any(|topic| topic == "T"));
        let names = run(&["topicList", "--json"]).json();
        assert!(names.as_array().expect("names").contains(&"T".into()), "{names}");
        let by_cluster = run(&["topicList", "-c"]);
        let row = by_cluster.text().lines().find(|line| line.contains(" T")).map(str::trim);
        assert_eq!(row, Some("DefaultCluster  T"), "{}", by_cluster.out);

        let route = run(&["topicRoute", "-t", "T"]).json();
        assert_eq!(route["queueDatas"][0]["readQueueNums"], 2, "{route}");
        let table = run(&["topicRoute", "-t", "T", "-l"]);
        assert!(table.text().contains(&format!("0:{address}")), "{}", table.out);
        assert!(table.out.contains("Total: 1 brokers, 2 read queues, 2 write queues"));

        let grown =
            run(&["updateTopic", "-b", address, "-t", "T", "-r", "3", "-w", "3", "-p", "4"]);
        assert!(grown.text().contains("perm=R--"), "{}", grown.out);
        let refused = run(&["sendMessage", "-t", "T", "-p", "x"]);
        assert!(refused.failure(1).contains("topic T has no writable queue"), "{}", refused.err);

        let gone = run(&["deleteTopic", "-c", "DefaultCluster", "-t", "T"]);
        assert!(gone.text().contains("delete topic [T] from cluster [DefaultCluster] success."));
        let missing = run(&["topicRoute", "-t", "T"]);
        assert!(missing.failure(1).contains("TOPIC_NOT_EXIST (17)"), "{}", missing.err);
    });
}

#[test]
fn the_name_server_keeps_the_queues_of_an_ordered_topic() {
    check(|namesrv, address| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        let order = || order_of_topic(namesrv);
        let make = |which: &[&str], queues, ordered| {
            let words = ["updateTopic", "-t", "T", "-r", queues, "-w", queues, "-o", ordered];
            run(&[&words[..], which].concat()).text().contains("success.").then_some(()).unwrap();
        };
        make(&["-c", "DefaultCluster"], "2", "false");
        assert_eq!(order(), None);
        make(&["-c", "DefaultCluster"], "2", "true");
        assert_eq!(order().as_deref(), Some("a:2"));
        make(&["-b", address], "3", "true");
        assert_eq!(order().as_deref(), Some("a:3"));
    });
}

/// What the name server keeps of topic `T`; routes tell it only with `orderMessageEnable`.
fn order_of_topic(namesrv: u16) -> Option<String> {
    let header = KvRequest { namespace: "ORDER_TOPIC_CONFIG", key: "T" };
    shards::block_on(async {
        let connection = connect(namesrv).await;
        let answer = connection.call(request::GET_KV_CONFIG, &header, &[], TIMEOUT).await;
        let answer = answer.expect("an answer");
        let value = answer.command().fields.get("value").map(str::to_owned);
        connection.close("the test ends it");
        value
    })
}

async fn connect(namesrv: u16) -> Rc<Connection> {
    let namesrv = SocketAddr::from(([127, 0, 0, 1], namesrv));
    let limits = ConnectionLimits::default();
    dial(namesrv, TIMEOUT, Rc::new(NoService), limits).await.expect("it listens")
}

#[test]
fn a_broker_that_is_gone_hides_neither_the_others_rows_nor_their_changes() {
    check(|namesrv, address| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        run(&["updateTopic", "-c", "DefaultCluster", "-t", "T"]).text();
        run(&["sendMessage", "-t", "T", "-p", "x"]).text();
        let [gone] = free_ports(1).expect("a free port")[..] else { unreachable!("one") };
        let gone = format!("127.0.0.1:{gone}");
        beside_gone_broker(namesrv, &gone, &["Lost", "%RETRY%lost"], || {
            let listing = run(&["topicList", "-c"]);
            assert_eq!(listing.status, Some(1), "{}", listing.err);
            assert!(listing.out.lines().any(|line| line.trim() == "DefaultCluster  T"));
            assert!(
                listing.err.contains("Lost: ") && listing.err.contains(&gone),
                "{}",
                listing.err
            );
            let progress = run(&["consumerProgress"]);
            assert_eq!(progress.status, Some(1), "{}", progress.err);
            assert!(progress.out.contains("#Diff Total"), "{}", progress.out);
            assert!(progress.err.contains("lost: "), "{}", progress.err);

            let half = run(&["updateTopic", "-c", "DefaultCluster", "-t", "Half"]);
            let told = half.failure(1);
            assert!(told.contains(&format!("done at {address}")) && told.contains(&gone), "{told}");
        });
    });
}

/// Runs `commands` while the broker "gone" of "DefaultCluster" is registered with topics of one
/// queue, at an address where nobody listens.
fn beside_gone_broker(namesrv: u16, address: &str, topics: &[&str], commands: impl FnOnce()) {
    let config = |name: &&str| TopicConfig {
        topic_name: (*name).to_owned(),
        read_queue_nums: 1,
        write_queue_nums: 1,
        ..TopicConfig::default()
    };
    let topics = topics.iter().map(config).map(|topic| (topic.topic_name.clone(), topic));
    let wrapper =
        TopicConfigTable { topic_config_table: topics.collect(), ..TopicConfigTable::default() };
    let body = RegisterBrokerBody {
        topic_config_serialize_wrapper: wrapper,
        ..RegisterBrokerBody::default()
    };
    let header = RegisterBrokerRequest {
        broker_name: "gone",
        broker_addr: address,
        cluster_name: "DefaultCluster",
        ha_server_addr: address,
        broker_id: 0,
        heartbeat_timeout_ms: None,
        enable_acting_master: None,
        compressed: false,
        body_crc32: 0,
        zone_name: None,
    };
    shards::block_on(async {
        let namesrv = SocketAddr::from(([127, 0, 0, 1], namesrv));
        let limits = ConnectionLimits::default();
        let connection =
            dial(namesrv, TIMEOUT, Rc::new(NoService), limits).await.expect("it listens");
        let body = json::to_vec(&body);
        let answer = connection.call(request::REGISTER_BROKER, &header, &body, TIMEOUT).await;
        assert_eq!(answer.expect("an answer").code(), response::SUCCESS);
        // The name server forgets a broker whose connection ends.
        commands();
        connection.close("the test ends it");
    });
}

#[test]
fn a_message_is_sent_counted_and_found_by_each_of_its_names() {
    check(|namesrv, _| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        let unknown = run(&["sendMessage", "-t", "Nowhere", "-p", "hello"]);
        assert!(unknown.failure(1).contains("Nowhere"), "{}", unknown.err);
        run(&["updateTopic", "-c", "DefaultCluster", "-t", "T", "-r", "2", "-w", "2"]).text();
        let words = ["sendMessage", "-t", "T", "-p", "hello", "-k", "k1 k2", "-c", "red", "--json"];
        let sent = run(&words).json();
        assert_eq!(
            (&sent[0]["sendResult"], &sent[0]["brokerName"]),
            (&"SEND_OK".into(), &"a".into())
        );
        let there = run(&["sendMessage", "-t", "T", "-p", "there", "-b", "a", "-i", "1", "--json"]);
        assert_eq!(there.json()[0]["qid"], 1);

        let status = run(&["topicStatus", "-t", "T", "--json"]).json();
        let ends = status.as_array().expect("rows").iter().map(|row| row["maxOffset"].as_i64());
        assert_eq!(ends.flatten().sum::<i64>(), 2, "{status}");
        assert!(run(&["topicStatus", "-t", "T"]).text().contains("#Max Offset"));

        let by_key = run(&["queryMsgByKey", "-t", "T", "-k", "k2", "--json"]).json();
        assert_eq!(
            (&by_key[0]["body"], by_key.as_array().map(Vec::len)),
            (&"hello".into(), Some(1))
        );
        assert_eq!(by_key[0]["properties"]["TAGS"], "red");
        let id = by_key[0]["offsetId"].as_str().expect("an id");
        assert_eq!(run(&["queryMsgById", "-i", id, "--json"]).json(), by_key);
        let key = sent[0]["msgId"].as_str().expect("an id");
        let by_unique_key = run(&["queryMsgById", "-t", "T", "-i", key]);
        let told = by_unique_key.text();
        assert!(told.contains(&format!("OffsetID:            {id}\n")), "{told}");
        assert!(told.contains("Keys:                k1 k2\n"), "{told}");
        assert!(told.contains("Body:                hello\n"), "{told}");

        let none = run(&["queryMsgByKey", "-t", "T", "-k", "k3"]);
        assert!(none.failure(1).contains("no message of T has the key k3"), "{}", none.err);
        let odd = run(&["queryMsgById", "-i", "xyz"]);
        let hint = "xyz is no offset id; give the topic with -t if xyz is a unique key";
        assert!(odd.failure(1).contains(hint), "{}", odd.err);
        let odd = run(&["queryMsgById", "-i", "xyz", "-t", "T"]);
        let hint = "xyz is no offset id; no message of T has xyz as its unique key";
        assert!(odd.failure(1).contains(hint), "{}", odd.err);
    });
}

#[test]
fn progress_of_a_group_is_shown_and_set_back() {
    check(|namesrv, address| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        run(&["updateTopic", "-b", address, "-t", "T", "-r", "1", "-w", "1"]).text();
        let client = Client::start_blocking(ClientConfig::new(&format!("127.0.0.1:{namesrv}")));
        let client = client.expect("started");
        let producer = block_on(async {
            let producer = client.producer(ProducerConfig::new("makers")).await.expect("joined");
            for _ in 0..10 {
                producer.send(Message::new("T", "x")).await.expect("sent");
            }
            producer
        });
        let config =
            ConsumerConfig { consume_from: ConsumeFrom::FirstOffset, ..ConsumerConfig::new("g") };
        let consumer = block_on(async {
            let consumer = client.lite_pull_consumer(config).await.expect("joined");
            consumer.subscribe("T", "*").await.expect("subscribed");
            let mut seen = 0;
            while seen < 4 {
                let wait = Duration::from_secs(20);
                let messages = consumer.poll(4 - seen, wait).await.expect("polled");
                assert!(!messages.is_empty(), "only {seen} messages came");
                seen += messages.len();
            }
            consumer.commit().await.expect("stored");
            consumer
        });

        let progress = run(&["consumerProgress", "-g", "g", "--json"]).json();
        assert_eq!(progress["diffTotal"], 6, "{progress}");
        let queue = &progress["queues"][0];
        assert_eq!((&queue["brokerOffset"], &queue["consumerOffset"]), (&10.into(), &4.into()));
        let table = run(&["consumerProgress", "-g", "g", "-t", "T"]);
        assert!(table.text().contains("Consume Diff Total: 6"), "{}", table.out);
        let all = run(&["consumerProgress", "--json"]).json();
        assert_eq!((&all[0]["group"], &all[0]["diffTotal"]), (&"g".into(), &6.into()), "{all}");

        let members = run(&["consumerConnection", "-g", "g", "--json"]).json();
        assert_eq!(members["connectionSet"].as_array().map(Vec::len), Some(1), "{members}");
        assert!(
            run(&["consumerConnection", "-g", "g"]).text().contains("MessageModel: CLUSTERING")
        );
        let makers = run(&["producerConnection", "-g", "makers", "-t", "T", "--json"]).json();
        assert_eq!(makers.as_array().map(Vec::len), Some(1), "{makers}");

        block_on(consumer.shutdown());
        drop(producer);
        client.shutdown_blocking();
        let offline = run(&["consumerConnection", "-g", "g", "-b", address]);
        assert!(offline.failure(1).contains("the consumer group[g] is not online"));
        let nobody = run(&["consumerProgress", "-g", "nobody"]);
        let told = "no broker knows the consumer group nobody (topic %RETRY%nobody)";
        assert!(nobody.failure(1).contains(told), "{}", nobody.err);
        let reset =
            |when: &str| run(&["resetOffsetByTime", "-g", "g", "-t", "T", "-s", when, "--json"]);
        assert!(reset("then").failure(1).contains("yyyy-MM-dd#HH:mm:ss:SSS"));
        let reset = reset("2001-02-03#04:05:06:007").json();
        assert_eq!(
            (&reset[0]["offset"], &reset[0]["brokerName"]),
            (&0.into(), &"a".into()),
            "{reset}"
        );

        let gone = run(&["deleteSubGroup", "-c", "DefaultCluster", "-g", "g", "-r", "true"]);
        assert!(gone.text().contains("delete subscription group [g] from broker"), "{}", gone.out);
        let missing = run(&["topicRoute", "-t", "%RETRY%g"]);
        assert!(missing.failure(1).contains("(17)"), "its retry topic went with it");
    });
}

#[test]
fn groups_and_settings_change_and_mistakes_are_told() {
    check(|namesrv, address| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        let made = run(&["updateSubGroup", "-b", address, "-g", "g", "-r", "3"]);
        assert!(made.text().contains(&format!("create subscription group to {address} success.")));
        assert!(made.out.contains("\"retryMaxTimes\":3"), "{}", made.out);
        let gone = run(&["deleteSubGroup", "-b", address, "-g", "g"]);
        assert!(gone.text().contains("delete subscription group [g] from broker"), "{}", gone.out);

        run(&["updateBrokerConfig", "-b", address, "-k", "brokerPermission", "-v", "4"]).text();
        let all = run(&["getBrokerConfig", "-c", "DefaultCluster", "--json"]).json();
        assert_eq!(all[address]["brokerPermission"], "4");
        let bad = run(&["updateBrokerConfig", "-b", address, "-k", "brokerPermission", "-v", "9"]);
        assert!(bad.failure(1).contains("0 to 7"), "{}", bad.err);
        let unknown = run(&["updateBrokerConfig", "-b", address, "-k", "traceOm", "-v", "false"]);
        let told = unknown.failure(1);
        assert!(told.contains("unknown key traceOm, ignored; did you mean traceOn?"), "{told}");
        // One of Apache's that nothing follows from here is taken, and read back.
        let idle = ["updateBrokerConfig", "-b", address, "-k", "sendMessageThreadPoolNums"];
        run(&[&idle[..], &["-v", "9"]].concat()).text();
        let status = run(&["brokerStatus", "-b", address, "--json"]).json();
        assert!(status[address]["bootTimestamp"].is_string(), "{status}");
        assert!(run(&["brokerStatus", "-c", "DefaultCluster"]).text().contains("bootTimestamp"));
        let silent = run(&["sendStages", "-b", address]);
        assert!(silent.text().contains("-k sendStageTracing -v true"), "{}", silent.out);
        run(&["updateBrokerConfig", "-b", address, "-k", "sendStageTracing", "-v", "true"]).text();
        let stages = run(&["sendStages", "-c", "DefaultCluster", "--json"]).json();
        assert_eq!(stages[address][7]["stage"], "total");
        assert!(run(&["sendStages", "-b", address]).text().contains("#P999(us)"));
        assert!(run(&["clusterList", "-m"]).text().contains("#InTotalToday"));

        let wiped = run(&["wipeWritePerm", "-b", "a"]);
        assert!(wiped.text().contains("wipe write perm of broker[a] in name server["));
        assert!(run(&["addWritePerm", "-b", "a"]).text().contains("add write perm of broker[a]"));
        let nowhere = run(&["deleteTopic", "-c", "NoSuchCluster", "-t", "T"]);
        let told = nowhere.failure(1);
        assert!(
            told.contains("no cluster NoSuchCluster") && told.contains("DefaultCluster"),
            "{told}"
        );
    });
}

/// Runs `mqadmin` as it is, without a name server.
fn mqadmin_alone(words: &[&str]) -> Ended {
    let done = Command::new(env!("CARGO_BIN_EXE_mqadmin")).args(words).output();
    ended(done.expect("mqadmin starts"))
}

#[test]
fn a_wrong_address_is_told_with_what_is_expected_there() {
    check(|namesrv, broker| {
        let told = |words: &[&str]| mqadmin_alone(words).failure(1).to_owned();
        for words in [["clusterList", "-n", "127.0.0.1"], ["brokerStatus", "-b", "127.0.0.1"]] {
            let told = told(&words);
            assert!(told.contains("\"127.0.0.1\": expected host:port, such as "), "{told}");
        }
        let namesrv = format!("127.0.0.1:{namesrv}");
        for words in [["clusterList", "-n", broker], ["brokerStatus", "-b", &namesrv]] {
            let told = told(&words);
            assert!(
                told.contains("(3): request type ") && told.contains("not supported"),
                "{told}"
            );
            assert!(told.contains("-n takes the address of a name server (by default "), "{told}");
        }
        let free = free_ports(1).expect("a port")[0];
        let refused = told(&["clusterList", "-n", &format!("127.0.0.1:{free}")]);
        assert!(refused.contains("Connection refused"), "{refused}");
        assert!(refused.contains("is a server running there? -n takes"), "{refused}");
    });
}

#[test]
fn help_has_examples_and_every_exit_status_and_the_version_is_told() {
    let said = |argument: &str| {
        let done = Command::new(env!("CARGO_BIN_EXE_mqadmin")).arg(argument).output();
        let done = done.expect("mqadmin starts");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).expect("UTF-8")
    };
    let help = said("--help");
    for part in ["\nExamples:\n  mqadmin ", "\n  0  ", "\n  1  ", "\n  2  "] {
        assert!(help.contains(part), "{part:?} is missing in: {help}");
    }
    assert_eq!(said("--version"), format!("mqadmin {}\n", ringmq_version::VERSION));
}

#[test]
fn who_cannot_be_reached_is_named_and_a_wrong_command_line_is_another_status() {
    let [nobody, nobody_either] = free_ports(2).expect("free ports")[..] else {
        unreachable!("two")
    };
    let silent = mqadmin(nobody, &["clusterList"]);
    assert!(silent.failure(1).contains(&format!("127.0.0.1:{nobody}")), "{}", silent.err);
    let broker = format!("127.0.0.1:{nobody_either}");
    let silent = mqadmin(nobody, &["brokerStatus", "-b", &broker]);
    assert!(silent.failure(1).contains(&broker), "{}", silent.err);
    for (address, hint) in [
        (broker.as_str(), "is a server running there?"),
        ("localhost", "an address is host:port"),
        ("localhost:x", "an address is host:port"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mqadmin"));
        let told = ended(command.args(["clusterList", "-n", address]).output().expect("it starts"));
        assert!(told.failure(1).contains(hint), "{address}: {}", told.err);
        assert!(!told.err.contains("in time"), "no time has passed: {}", told.err);
    }
    let wrong = mqadmin(nobody, &["updateTopic", "-t", "T"]);
    assert!(wrong.failure(2).contains("--clusterName"), "{}", wrong.err);
    assert!(mqadmin(nobody, &["dance"]).failure(2).contains("dance"));
}
