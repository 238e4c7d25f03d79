//! Settings that change how a broker runs: memory-only acknowledgements, polling.

use std::process::Command;
use std::time::Duration;

use ringmq_runtime::shards::block_on;
use ringmq_runtime::{process, task};

use crate::node::Node;
use crate::support::child::Child;

/// Sends, pulls, and finds the message again after a clean stop.
fn check_messages(lines: &str) {
    block_on(async {
        let node = Node::new(lines);
        let child = node.boot().await;
        let broker = node.client().await;
        for number in 0..50_u8 {
            assert_eq!(broker.store("Mine", 0, &[number]).await, i64::from(number));
        }
        let before = broker.pull_all("Mine", 0).await;
        assert_eq!(before.len(), 50);
        child.stop("TERM").await;
        let child = node.boot().await;
        let broker = node.client().await;
        assert_eq!(broker.pull_all("Mine", 0).await, before);
        assert_eq!(broker.store("Mine", 0, b"next").await, 50);
        child.stop("TERM").await;
    });
}

#[test]
fn a_log_whose_lines_nobody_takes_does_not_end_the_broker() {
    block_on(async {
        let node = Node::new("");
        let mut mute = Command::new("sh");
        mute.args(["-c", "exec \"$0\" -c \"$1\" 2>/dev/full"]).env("RINGMQ_LOG", "info");
        mute.arg(env!("CARGO_BIN_EXE_mqbroker")).arg(node.file());
        let mut child = Child::start_as_is(&mut mute);
        child.booted().await;
        assert_eq!(node.client().await.store("Mine", 0, b"kept").await, 0);
        child.stop("TERM").await;
    });
}

#[test]
fn a_start_after_a_crash_says_in_one_line_what_it_recovered_and_a_clean_one_nothing() {
    block_on(async {
        let node = Node::new("commitLogCount=2");
        let told = "the store was not closed cleanly: recovered 3 messages of ";
        let child = node.boot().await;
        let broker = node.client().await;
        for number in 0..3_u8 {
            broker.store("Mine", i32::from(number), &[number]).await;
        }
        child.signal("KILL");
        assert!(!child.ended().await.errors.contains(told));
        let child = node.boot().await;
        child.signal("TERM");
        let errors = child.ended().await.errors;
        assert_eq!(errors.matches(told).count(), 1, "{errors}");
        let child = node.boot().await;
        child.signal("TERM");
        assert!(!child.ended().await.errors.contains("not closed cleanly"));
    });
}

#[test]
fn settings_of_features_that_are_not_there_are_warned_of_in_one_line() {
    block_on(async {
        let node =
            Node::new("messageDelayLevel=1s\ntransactionTimeOut=6000\nsendMessageThreadPoolNums=4");
        let child = node.boot().await;
        child.signal("TERM");
        let errors = child.ended().await.errors;
        let lines: Vec<_> = errors.lines().filter(|line| line.contains("without effect")).collect();
        let [line] = lines[..] else { panic!("{errors}") };
        assert!(line.contains("WARN") && line.ends_with("messageDelayLevel, transactionTimeOut"));
    });
}

#[test]
fn messages_acknowledged_in_memory_are_on_disk_after_a_clean_stop() {
    check_messages("flushDiskType=ASYNC_FLUSH\ntransientStorePoolEnable=true");
}

#[test]
fn a_broker_that_polls_works_as_one_that_sleeps() {
    check_messages("shardPollMicros=200");
}

/// Long enough for many ticks of the clock that CPU time is counted in.
const WATCHED: Duration = Duration::from_secs(1);

/// What of a second a broker without work wants of the processors, at most when it sleeps and at
/// least when it polls: nothing at all and all of it are usual.
const WANTED_BORDER: Duration = Duration::from_millis(300);

/// Whether a broker without work, which has these settings, comes to want CPU time as it should, in
/// one of twenty seconds: its start leaves work behind, such as files made ahead. What it waits for
/// a processor that others have counts as much as what it gets.
async fn comes_to_want(settings: &str, as_it_should: impl Fn(Duration) -> bool) -> bool {
    let node = Node::new(settings);
    let child = node.boot().await;
    node.client().await.store("Mine", 0, b"m").await;
    let wanted = || {
        let used = process::usage_of(child.pid()).expect("it runs");
        used.cpu + used.scheduling.cpu_wait
    };
    let mut comes = false;
    for _ in 0..20 {
        let before = wanted();
        task::sleep(WATCHED).await;
        comes = as_it_should(wanted().saturating_sub(before));
        if comes {
            break;
        }
    }
    child.stop("TERM").await;
    comes
}

#[test]
fn a_broker_without_work_leaves_the_processor_alone() {
    let quiet = block_on(comes_to_want("", |wanted| wanted < WANTED_BORDER));
    assert!(quiet, "without work it wants {WANTED_BORDER:?} of each of twenty seconds");
}

#[test]
fn a_broker_that_polls_takes_the_processor_without_work() {
    let polling = "shardPollMicros=1000000";
    let polls = block_on(comes_to_want(polling, |wanted| wanted > WANTED_BORDER));
    assert!(polls, "polling, it wants less than {WANTED_BORDER:?} of each of twenty seconds");
}

#[test]
fn connections_leave_the_log_descriptors_for_its_files() {
    const FILES: usize = 300;
    block_on(async {
        let node = Node::new("");
        let mut command = Command::new("sh");
        let limited = format!("ulimit -n {FILES} && exec \"$0\" -c \"$1\"");
        command.arg("-c").arg(limited).arg(env!("CARGO_BIN_EXE_mqbroker")).arg(node.file());
        let mut child = Child::start(&mut command);
        child.booted().await;
        let broker = node.client().await;
        let mut others = Vec::new();
        for _ in 0..FILES {
            others.push(node.client().await);
        }
        // Three segments.
        for number in 0..24 {
            assert_eq!(broker.store("Mine", 0, &vec![0; 1 << 20]).await, number);
        }
        child.stop("TERM").await;
    });
}
