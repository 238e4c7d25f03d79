//! The program `mqbroker`, as people and service managers start and stop it.

#[path = "../support/mod.rs"]
mod support;

mod many_queues;
mod modes;
mod network;
mod node;
mod refusals;
mod signals;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use ringmq_broker::config::ROWS;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_runtime::shards::block_on;

use node::{Node, client, mqbroker, name_server, route, wait_for_route};
use support::child::Child;
use support::{Client, TIMEOUT, free_port, pull_header, send_header, temp_dir};

#[test]
fn a_name_server_and_a_file_on_the_command_line_make_a_broker_that_clients_find() {
    block_on(async {
        let node = Node::new("brokerClusterName=c1");
        let port = free_port();
        let running = name_server(&node.store(), port).await;
        let mut command = node.command();
        command.args(["-n", &format!("127.0.0.1:{port}")]);
        let mut child = Child::start(&mut command);
        let line = child.booted().await;
        let expected = format!(
            "The broker[node, 127.0.0.1:{}] boot success. serializeType=JSON and name server is \
             127.0.0.1:{port}\n",
            node.port
        );
        assert_eq!(line, expected);

        let namesrv = client(port).await;
        let route = route(&namesrv, "TBW102").await.expect("registered before it says so");
        assert!(route.contains(&format!("\"0\":\"127.0.0.1:{}\"", node.port)), "{route}");
        let own = SocketAddr::from(([127, 0, 0, 1], node.namesrv_port));
        assert!(Client::connect(own).await.is_err(), "no name server of its own");
        let broker = node.client().await;
        broker.store("Mine", 0, b"hello").await;
        assert_eq!(broker.pull_all("Mine", 0).await[0].body, b"hello");

        child.stop("TERM").await;
        wait_for_route(&namesrv, "TBW102", false).await;
        running.stop(TIMEOUT).await;
    });
}

/// The lines that a run of `command` prints.
fn printed(command: &mut Command) -> Vec<String> {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn help_has_examples_and_every_exit_status_and_the_version_is_told() {
    let directory = temp_dir();
    let help = printed(mqbroker(directory.path()).arg("--help"));
    assert!(help.iter().any(|line| line == "Examples:"), "{help:?}");
    for status in 0..=5 {
        let start = format!("  {status}  ");
        assert!(help.iter().any(|line| line.starts_with(&start)), "{status}: {help:?}");
    }
    let version = printed(mqbroker(directory.path()).arg("--version"));
    assert_eq!(version, [format!("mqbroker {}", ringmq_version::VERSION)]);
}

#[test]
fn the_command_line_counts_before_the_file_and_the_file_before_the_environment() {
    let node = Node::new("");
    let namesrv_of = |command: &mut Command| {
        let lines = printed(command.arg("-p").env("NAMESRV_ADDR", "10.0.0.1:1"));
        let line =
            lines.into_iter().find_map(|line| Some(line.strip_prefix("namesrvAddr=")?.to_owned()));
        line.expect("every key is listed")
    };
    assert_eq!(namesrv_of(&mut mqbroker(node.store().parent().expect("a parent"))), "10.0.0.1:1");
    assert_eq!(namesrv_of(&mut node.command()), "10.0.0.1:1");
    node.configure("namesrvAddr=10.0.0.2:2;10.0.0.3:3");
    assert_eq!(namesrv_of(&mut node.command()), "10.0.0.2:2;10.0.0.3:3");
    assert_eq!(namesrv_of(node.command().args(["-n", "10.0.0.4:4"])), "10.0.0.4:4");
}

#[test]
fn a_name_server_of_the_environment_is_registered_with() {
    block_on(async {
        let (node, port) = (Node::new(""), free_port());
        let running = name_server(&node.store(), port).await;
        let address = format!("127.0.0.1:{port}");
        let mut child = Child::start_as_is(node.command().env("NAMESRV_ADDR", address));
        assert!(child.booted().await.contains(&format!("name server is 127.0.0.1:{port}")));
        assert!(route(&client(port).await, "TBW102").await.is_some());
        child.stop("INT").await;
        running.stop(TIMEOUT).await;
    });
}

#[test]
fn what_keeps_a_name_server_out_of_the_process_is_said_before_anything_can_fail() {
    block_on(async {
        let printed = async |lines: &str, words: &[&str]| {
            let node = Node::new(&format!("shardCores=8191\n{lines}"));
            let mut command = node.command();
            command.args(words).env("NAMESRV_ADDR", "127.0.0.1:1");
            let ended = Child::start_as_is(&mut command).ended().await;
            ended.expect(4, &["core 8191"]);
            ended.output
        };
        let told = "No name server in this process: ";
        let environment = format!("{told}NAMESRV_ADDR of the environment names 127.0.0.1:1\n");
        assert_eq!(printed("", &[]).await, environment);
        let file = format!("{told}namesrvAddr names 127.0.0.1:2;127.0.0.1:3\n");
        assert_eq!(printed("namesrvAddr=127.0.0.1:2;127.0.0.1:3", &[]).await, file);
        assert_eq!(printed("", &["-n", "127.0.0.1:4"]).await, "");
        assert_eq!(printed("embeddedNamesrv=true", &[]).await, "");
        assert_eq!(printed("embeddedNamesrv=false", &[]).await, "");
    });
}

#[test]
fn settings_are_printed_without_anything_being_started() {
    let node = Node::new("brokerName=shown\nsendMessageThreadPoolNums=4");
    let all = printed(node.command().arg("-p"));
    for row in ROWS {
        let start = format!("{}=", row.key);
        assert!(all.iter().any(|line| line.starts_with(&start)), "{} is missing", row.key);
    }
    for line in ["brokerName=shown", "sendMessageThreadPoolNums=4"] {
        assert!(all.iter().any(|found| found == line), "{line} is missing");
    }
    let important = printed(node.command().arg("-m"));
    assert!(important.iter().any(|line| line == "brokerName=shown"));
    assert!(important.len() < all.len() && important.iter().all(|line| all.contains(line)));
    assert!(!node.store().exists(), "no store was made");
}

/// Shown also when the test passes: the harness keeps only what `println!` and `eprintln!` write.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("standard error is open");
}

#[test]
fn without_arguments_a_whole_node_starts_or_names_the_port_that_is_taken() {
    block_on(async {
        let directory = temp_dir();
        // The default ports are the machine's: somebody may be there, and must be told apart.
        let mut child = Child::start(&mut mqbroker(directory.path()));
        let Some(line) = child.boots().await else {
            let ended = child.ended().await;
            let taken = ["9876", "10911", "10909"].map(|port| format!("0.0.0.0:{port}"));
            assert!(taken.iter().any(|port| ended.errors.contains(port)), "{ended:?}");
            say("without arguments: a default port is taken here, which is what was said");
            return ended.expect(4, &["fix: stop what listens on port"]);
        };
        say("without arguments: the default ports are free, a whole node starts");
        assert!(line.contains("10911] boot success."), "{line}");
        assert!(line.contains("name server is 127.0.0.1:9876"), "{line}");
        assert!(directory.path().join("data/commitlog").exists(), "data lies in ./data");
        let (broker, namesrv) = (client(10911).await, client(9876).await);
        broker.store("Mine", 0, b"hello").await;
        wait_for_route(&namesrv, "Mine", true).await;
        assert_eq!(broker.pull_all("Mine", 0).await.len(), 1);
        child.signal("INT");
        let ended = child.ended().await;
        ended.expect(0, &[]);
        let next = ended.output.lines().find_map(|line| line.split_once(" run: ")).expect("told");
        let words: Vec<&str> = next.1.split_ascii_whitespace().collect();
        assert_eq!(words[words.len() - 3..], ["produce", "-n", "127.0.0.1:9876"]);
        let is_there = words[0].contains('/') && directory.path().join(words[0]).exists();
        assert!(is_there || words[..2] == ["cargo", "run"], "{ended:?}");
    });
}

#[test]
fn a_signal_to_end_answers_what_waits_and_keeps_what_was_acknowledged() {
    const SENDS: usize = 100;
    block_on(async {
        let node = Node::new("");
        for (round, signal) in ["TERM", "INT", "HUP"].into_iter().enumerate() {
            let child = node.boot().await;
            let (broker, waiting) = (node.client().await, node.client().await);
            broker.store("Mine", 0, b"first").await;
            let held = PullRequest {
                sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
                ..pull_header("Mine", 1, 0)
            };
            let held = waiting.connection.call(request::PULL_MESSAGE, &held, &[], TIMEOUT);
            // Answered behind the pull, which therefore waits by now.
            waiting.store("Mine", 0, b"second").await;
            let header = send_header("Mine", 0, "");
            let sends: Vec<_> = (0..SENDS)
                .map(|_| broker.connection.call(request::SEND_MESSAGE_V2, &header, b"m", TIMEOUT))
                .collect();
            broker.store("Mine", 2, b"behind them").await;
            let stopping = child.stop(signal);
            let (held, ()) = futures_lite::future::zip(held, stopping).await;
            let code = held.expect("answered, not dropped").code();
            assert!([response::PULL_NOT_FOUND, response::PULL_RETRY_IMMEDIATELY].contains(&code));
            for send in sends {
                assert_eq!(send.await.expect("answered").code(), response::SUCCESS);
            }
            let child = node.boot().await;
            let kept = node.client().await.pull_all("Mine", 0).await.len();
            assert_eq!(kept, (round + 1) * (SENDS + 2));
            child.signal(signal);
            let told = child.ended().await.output;
            let words = [format!("stops (SIG{signal})"), "has stopped".into()];
            assert!(words.iter().all(|words| told.contains(words)), "{told}");
        }
    });
}
