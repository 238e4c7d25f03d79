//! Ten thousand topics cost no file and no descriptor each, and every name server hears of all.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

use std::path::Path;
use std::time::Duration;

use ringmq_protocol::bodies::topic::TopicList;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::json;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::shards::block_on;

use crate::node::Node;
use crate::support::{Client, TIMEOUT};

const TOPICS: usize = 10_000;

/// Requests under way at once.
const AT_ONCE: usize = 500;

/// Files and descriptors may come and go with segments, connections and saved tables.
const SLACK: usize = 16;

/// Boots take a tenth of it; an optimised build and a quiet machine a hundredth.
const RESTART_MAX: Duration = Duration::from_secs(20);

fn name(number: usize) -> String {
    format!("topic-{number:05}")
}

async fn create_all(broker: &Client) {
    for first in (0..TOPICS).step_by(AT_ONCE) {
        let calls: Vec<_> = (first..first + AT_ONCE)
            .map(|number| {
                let topic = name(number);
                let header = [
                    ("topic", topic.as_str()),
                    ("defaultTopic", "TBW102"),
                    ("readQueueNums", "4"),
                    ("writeQueueNums", "4"),
                    ("perm", "6"),
                    ("topicFilterType", "SINGLE_TAG"),
                    ("order", "false"),
                ];
                let code = request::UPDATE_AND_CREATE_TOPIC;
                broker.connection.call(code, &header, &[], TIMEOUT)
            })
            .collect();
        for call in calls {
            let answer = call.await.expect("answered");
            assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
        }
    }
}

async fn topics_of(namesrv: &Client) -> usize {
    let code = request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
    let answer = namesrv.call(code, &(), &[]).await;
    let list: TopicList = json::from_slice(answer.body()).expect("a list");
    list.topic_list.iter().filter(|topic| topic.starts_with("topic-")).count()
}

fn files_in(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let count = |path: &Path| if path.is_dir() { files_in(path) } else { 1 };
    entries.map(|entry| count(&entry.expect("an entry").path())).sum()
}

fn open_files_of(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
}

/// Every hundredth topic, each time another queue.
fn sample() -> impl Iterator<Item = (String, i32)> {
    (0..TOPICS)
        .step_by(100)
        .zip([0, 1, 2, 3].into_iter().cycle())
        .map(|(n, queue)| (name(n), queue))
}

#[test]
fn ten_thousand_topics_take_no_file_and_no_descriptor_each() {
    block_on(async {
        let node = Node::new("commitLogCount=1");
        let child = node.boot().await;
        let broker = node.client().await;
        broker.store("first", 0, b"m").await;
        let (files, open) = (files_in(&node.store()), open_files_of(child.pid()));
        create_all(&broker).await;
        for (topic, queue) in sample() {
            broker.store(&topic, queue, topic.as_bytes()).await;
        }
        let files_now = files_in(&node.store());
        assert!(files_now <= files + SLACK, "{files} files before, {files_now} now");
        let open_now = open_files_of(child.pid());
        assert!(open_now <= open + SLACK, "{open} open files before, {open_now} now");
        assert_eq!(topics_of(&node.namesrv().await).await, TOPICS);
        child.stop("TERM").await;

        let start = Instant::now();
        let child = node.boot().await;
        let took = start.elapsed();
        assert!(took < RESTART_MAX, "the restart took {took:?}");
        // The name server is a new one: it has heard of everything at once.
        assert_eq!(topics_of(&node.namesrv().await).await, TOPICS);
        let broker = node.client().await;
        for (topic, queue) in sample() {
            let found = broker.pull_all(&topic, queue).await;
            assert_eq!((found.len(), found[0].body.as_slice()), (1, topic.as_bytes()));
        }
        child.stop("TERM").await;
    });
}
