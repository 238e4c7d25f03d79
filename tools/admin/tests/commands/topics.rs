//! Topics: made, changed, routed, deleted.

use ringmq_protocol::codes::request;
use ringmq_protocol::headers::namesrv::KvRequest;
use ringmq_runtime::shards;

use crate::cluster::{TIMEOUT, check, connect, mqadmin};

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
            assert!(run(&[&words[..], which].concat()).text().contains("success."));
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

#[test]
fn a_cluster_that_is_nowhere_is_told_with_those_that_are() {
    check(|namesrv, _| {
        let nowhere = mqadmin(namesrv, &["deleteTopic", "-c", "NoSuchCluster", "-t", "T"]);
        let told = nowhere.failure(1);
        assert!(
            told.contains("no cluster NoSuchCluster") && told.contains("DefaultCluster"),
            "{told}"
        );
    });
}
