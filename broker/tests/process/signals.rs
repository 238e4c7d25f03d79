//! Signals that come more than once, or that whoever started the broker wants to be ignored.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Duration;

use ringmq_protocol::codes::request;
use ringmq_runtime::shards::block_on;
use ringmq_runtime::task;

use crate::node::Node;
use crate::support::child::Child;
use crate::support::{pull_header, raw};

/// A broker that stops and still has answers for a client that does not read them, with that
/// client: so it takes its time.
async fn stopping(node: &Node) -> (Child, raw::RawClient) {
    let mut child = node.boot().await;
    let client = node.client().await;
    client.store("Mine", 0, &vec![b'x'; 2 << 20]).await;
    let pulls = raw::requests(request::PULL_MESSAGE, &pull_header("Mine", 0, 0), &[], 20);
    let mut silent = raw::RawClient::connect(client.connection.peer_addr()).await;
    silent.write(&pulls).await;
    // Answered behind the pulls of the other, as far as those are read.
    client.store("Mine", 0, b"behind them").await;
    child.signal("TERM");
    child.says("stops (SIGTERM)").await.expect("it has begun to stop");
    (child, silent)
}

#[test]
fn a_second_signal_ends_it_at_once_and_says_so() {
    block_on(async {
        let node = Node::new("");
        let (child, _silent) = stopping(&node).await;
        // Sooner it would be the same one.
        task::sleep(Duration::from_millis(150)).await;
        child.signal("TERM");
        let ended = child.ended().await;
        assert_eq!(ended.status.signal(), Some(15), "{ended:?}");
        assert!(ended.errors.contains("second signal: ended at once"), "{ended:?}");
    });
}

#[test]
fn a_signal_that_is_sent_twice_at_once_is_one() {
    block_on(async {
        let node = Node::new("");
        let child = node.boot().await;
        // As `timeout` does, to its child and to the group of its child; often, since two may meet
        // before either is handled. Far within 100 ms, all told.
        let often = "i=0; while [ $i -lt 10 ]; do kill -TERM $0; i=$((i + 1)); done";
        let sent = Command::new("sh").args(["-c", often, &child.pid().to_string()]).output();
        sent.expect("a shell");
        child.ended().await.expect(0, &[]);
    });
}

#[test]
fn a_terminal_that_closes_does_not_cut_a_stop_short() {
    block_on(async {
        let node = Node::new("");
        let (child, silent) = stopping(&node).await;
        for _ in 0..2 {
            child.signal("HUP");
        }
        drop(silent);
        let ended = child.ended().await;
        ended.expect(0, &[]);
    });
}

#[test]
fn a_broker_under_nohup_outlives_its_terminal() {
    block_on(async {
        let node = Node::new("");
        let mut nohup = Command::new("sh");
        nohup.args(["-c", "trap '' HUP && exec \"$0\" -c \"$1\""]);
        nohup.arg(env!("CARGO_BIN_EXE_mqbroker")).arg(node.file());
        let mut child = Child::start(&mut nohup);
        child.booted().await;
        child.signal("HUP");
        node.client().await.store("Mine", 0, b"still there").await;
        child.stop("TERM").await;
    });
}
