//! Commands for all brokers, one of which is gone.

use ringmq_protocol::bodies::register::RegisterBrokerBody;
use ringmq_protocol::bodies::topic::{TopicConfig, TopicConfigTable};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::namesrv::RegisterBrokerRequest;
use ringmq_protocol::json;
use ringmq_runtime::net::free_ports;
use ringmq_runtime::shards;

use crate::cluster::{TIMEOUT, check, connect, mqadmin};

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
        let connection = connect(namesrv).await;
        let body = json::to_vec(&body);
        let answer = connection.call(request::REGISTER_BROKER, &header, &body, TIMEOUT).await;
        assert_eq!(answer.expect("an answer").code(), response::SUCCESS);
        // The name server forgets a broker whose connection ends.
        commands();
        connection.close("the test ends it");
    });
}
