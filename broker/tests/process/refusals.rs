//! Starts that are refused: the exit status, and the text that tells what to change.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

use std::process::Command;

use ringmq_runtime::shards::block_on;

use crate::node::{Node, mqbroker, name_server};
use crate::support::child::Child;
use crate::support::{TIMEOUT, free_port, temp_dir};

fn check(lines: &str, code: i32, facts: &[&str]) {
    block_on(async { Node::new(lines).refused().await.expect(code, facts) });
}

#[test]
fn a_wrong_value_is_named_with_file_line_key_found_and_allowed() {
    let facts = ["broker.conf: line 9: flushDiskType = \"SOMETIMES\"", "ASYNC_FLUSH, SYNC_FLUSH"];
    check("flushDiskType=SOMETIMES", 3, &facts);
    check("maxMessageSize=much", 3, &["maxMessageSize = \"much\": expected", "1 to 67108864"]);
    check("bindAddress=elsewhere", 3, &["bindAddress = \"elsewhere\": expected an IP address"]);
    check("brokerRole=SLAVE", 3, &["broker.conf: brokerRole=SLAVE", "master only"]);
    let facts = ["broker.conf: line 9: tlsEnable = \"true\": expected false", "not have it"];
    check("tlsEnable=true", 3, &facts);
    let facts = [
        "broker.conf: several settings are refused:\n  line 9: maxMessageSize = \"much\"",
        "\n  line 10: bindAddress = \"elsewhere\"",
        "\n  brokerRole=SLAVE",
    ];
    check("maxMessageSize=much\nbindAddress=elsewhere\nbrokerRole=SLAVE", 3, &facts);
    check("a=\\u12", 3, &["broker.conf: line 9: '\\u' needs four hexadecimal digits"]);
}

#[test]
fn a_settings_file_that_is_none_is_named_with_what_to_give() {
    block_on(async {
        let directory = temp_dir();
        let refused = |argument: &str| {
            Child::start(mqbroker(directory.path()).args(["-c", argument])).ended()
        };
        let place = directory.path().to_string_lossy().into_owned();
        let facts = ["mqbroker: nope.conf: No such file", "fix: give -c the path", &place];
        refused("nope.conf").await.expect(3, &facts);
        refused("/").await.expect(3, &["/: ", "fix: give -c the path of a text file"]);
        refused(".").await.expect(3, &["fix: give -c the path of a text file"]);
        let wrong = Child::start(mqbroker(directory.path()).arg("--port")).ended().await;
        wrong.expect(2, &["--port", "--help"]);
    });
}

#[test]
fn a_taken_port_is_named_with_the_setting_that_moves_it() {
    block_on(async {
        let (taken, directory) = (free_port(), temp_dir());
        let running = name_server(directory.path(), taken).await;
        let node = Node::new(&format!("listenPort={taken}"));
        let addr = format!("cannot listen on 127.0.0.1:{taken}: Address already in use");
        let facts = [addr.as_str(), "fix: stop what listens on port", "or set listenPort"];
        node.refused().await.expect(4, &facts);
        node.configure(&format!("listenPort={}", taken + 2));
        node.refused().await.expect(4, &[&addr, "set listenPort (this port, of the VIP channel"]);
        node.configure(&format!("embeddedNamesrvPort={taken}"));
        let use_it = format!("-n 127.0.0.1:{taken}");
        node.refused().await.expect(4, &[&addr, "set embeddedNamesrvPort", &use_it]);
        running.stop(TIMEOUT).await;
    });
}

#[test]
fn an_address_of_another_machine_is_named_with_the_setting() {
    // Reserved for documentation: no machine has it.
    let lines = "bindAddress=192.0.2.1\nembeddedNamesrv=false";
    check(lines, 4, &["192.0.2.1 is no address of this machine: set bindAddress"]);
}

#[test]
fn what_the_machine_does_not_give_is_named_with_the_way_to_get_it() {
    check("shardCores=8191", 4, &["core 8191 is not usable", "fix: choose among ["]);
    check("storePathRootDir=/proc/here", 4, &["cannot write in /proc/here", "fix: "]);
    let file = env!("CARGO_BIN_EXE_mqbroker");
    let fix = format!("fix: {file} is a file and has to be a directory: move it away, or name");
    check(&format!("storePathRootDir={file}"), 4, &[&fix]);
    check(&format!("storePathRootDir={file}/store"), 4, &[&fix]);
    block_on(async {
        let node = Node::new("");
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -l 64 && exec \"$0\" -c \"$1\""]);
        limited.arg(env!("CARGO_BIN_EXE_mqbroker")).arg(node.file());
        let facts = ["limit of locked memory is too small: 65536 bytes", "ulimit -l unlimited"];
        Child::start(&mut limited).ended().await.expect(4, &facts);
    });
}

#[test]
fn a_store_has_one_broker_at_a_time() {
    block_on(async {
        let node = Node::new("");
        let child = node.boot().await;
        let store = node.store().display().to_string();
        let other = Node::new(&format!("storePathRootDir={store}"));
        let facts = [&store, "another broker uses it; stop that one, or set another"];
        other.refused().await.expect(5, &facts);
        child.stop("TERM").await;
        other.boot().await.stop("TERM").await;
    });
}

#[test]
fn the_number_of_logs_of_a_store_does_not_change() {
    block_on(async {
        let node = Node::new("commitLogCount=2");
        let child = node.boot().await;
        for queue_id in 0..4 {
            node.client().await.store("Mine", queue_id, b"kept").await;
        }
        child.stop("TERM").await;
        node.configure("commitLogCount=3");
        let store = node.store().display().to_string();
        let facts =
            [&store, "made with commitLogCount=2", "says 3", "Set it to 2 or 0, or use a new"];
        node.refused().await.expect(5, &facts);
        for lines in ["commitLogCount=0", "commitLogCount=2"] {
            node.configure(lines);
            let child = node.boot().await;
            for queue_id in 0..4 {
                assert_eq!(node.client().await.pull_all("Mine", queue_id).await.len(), 1);
            }
            child.stop("TERM").await;
        }
    });
}

#[test]
fn a_stop_that_cannot_save_everything_says_what_and_has_a_status_of_its_own() {
    block_on(async {
        let node = Node::new("");
        let child = node.boot().await;
        node.client().await.store("Mine", 0, b"kept").await;
        std::fs::rename(node.store(), node.store().with_extension("moved")).expect("moved");
        child.signal("TERM");
        child.ended().await.expect(1, &["mqbroker: ", "No such file"]);
    });
}

#[test]
fn damaged_changes_of_an_earlier_run_are_named_with_the_way_on() {
    block_on(async {
        let node = Node::new("");
        std::fs::create_dir_all(node.store().join("config")).expect("made");
        std::fs::write(node.store().join("config/overrides.json"), "{\"a\":").expect("written");
        node.refused().await.expect(5, &["config/overrides.json", "fix: move it away"]);
    });
}

#[test]
fn a_start_that_fails_names_the_changes_of_an_earlier_run() {
    block_on(async {
        let node = Node::new("commitLogCount=2");
        let child = node.boot().await;
        node.client().await.store("Mine", 0, b"kept").await;
        child.stop("TERM").await;
        let overrides = node.store().join("config/overrides.json");
        let keep = |text: &str| std::fs::write(&overrides, text).expect("written");
        keep("{\"shardCores\":\"8191\",\"traceOn\":\"false\"}");
        let facts = ["core 8191 is not usable", "config/overrides.json", "sets shardCores=8191"];
        node.refused().await.expect(4, &facts);
        // Earlier versions kept such changes, and did not start any more.
        keep("{\"commitLogCount\":\"3\",\"storePathRootDir\":\"/elsewhere\"}");
        let child = node.boot().await;
        assert_eq!(node.client().await.pull_all("Mine", 0).await[0].body, b"kept");
        child.stop("TERM").await;
    });
}

#[test]
fn a_damaged_document_of_the_store_is_named_and_has_the_status_of_the_store() {
    block_on(async {
        let documents = [
            "config/topics.json",
            "config/subscriptionGroup.json",
            "config/consumerOffset.json",
            "namesrv/kvConfig.json",
            "ringmq.json",
        ];
        for document in documents {
            let node = Node::new("");
            let path = node.store().join(document);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, "{\"a\":").expect("written");
            node.refused().await.expect(5, &[document]);
        }
    });
}
