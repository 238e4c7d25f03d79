//! Groups: made and deleted, what they have consumed, who is in them.

use std::time::Duration;

use futures_lite::future::block_on;
use ringmq_client::Client;
use ringmq_client::config::{ClientConfig, ConsumeFrom, ConsumerConfig, ProducerConfig};
use ringmq_client::consumer::LitePullConsumer;
use ringmq_client::message::Message;
use ringmq_client::producer::Producer;

use crate::cluster::{check, mqadmin};

/// A client with a member of the producer group `makers` and one of the consumer group `g`.
struct Members {
    client: Client,
    producer: Producer,
    consumer: LitePullConsumer,
}

impl Members {
    /// They send ten messages of `T`, which has one queue, and consume four.
    fn start(namesrv: u16) -> Self {
        let client = Client::start_blocking(ClientConfig::new(&format!("127.0.0.1:{namesrv}")));
        let client = client.expect("started");
        let producer = block_on(send_ten(&client));
        let consumer = block_on(consume_four(&client));
        Self { client, producer, consumer }
    }

    fn stop(self) {
        block_on(self.consumer.shutdown());
        drop(self.producer);
        self.client.shutdown_blocking();
    }
}

async fn send_ten(client: &Client) -> Producer {
    let producer = client.producer(ProducerConfig::new("makers")).await.expect("joined");
    for _ in 0..10 {
        producer.send(Message::new("T", "x")).await.expect("sent");
    }
    producer
}

async fn consume_four(client: &Client) -> LitePullConsumer {
    let config =
        ConsumerConfig { consume_from: ConsumeFrom::FirstOffset, ..ConsumerConfig::new("g") };
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
}

#[test]
fn progress_and_members_of_a_group_are_shown() {
    check(|namesrv, address| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        run(&["updateTopic", "-b", address, "-t", "T", "-r", "1", "-w", "1"]).text();
        let members = Members::start(namesrv);
        let progress = run(&["consumerProgress", "-g", "g", "--json"]).json();
        assert_eq!(progress["diffTotal"], 6, "{progress}");
        let queue = &progress["queues"][0];
        assert_eq!((&queue["brokerOffset"], &queue["consumerOffset"]), (&10.into(), &4.into()));
        let table = run(&["consumerProgress", "-g", "g", "-t", "T"]);
        assert!(table.text().contains("Consume Diff Total: 6"), "{}", table.out);
        let all = run(&["consumerProgress", "--json"]).json();
        assert_eq!((&all[0]["group"], &all[0]["diffTotal"]), (&"g".into(), &6.into()), "{all}");

        let shown = run(&["consumerConnection", "-g", "g", "--json"]).json();
        assert_eq!(shown["connectionSet"].as_array().map(Vec::len), Some(1), "{shown}");
        assert!(
            run(&["consumerConnection", "-g", "g"]).text().contains("MessageModel: CLUSTERING")
        );
        let makers = run(&["producerConnection", "-g", "makers", "-t", "T", "--json"]).json();
        assert_eq!(makers.as_array().map(Vec::len), Some(1), "{makers}");

        members.stop();
        let offline = run(&["consumerConnection", "-g", "g", "-b", address]);
        assert!(offline.failure(1).contains("the consumer group[g] is not online"));
        let nobody = run(&["consumerProgress", "-g", "nobody"]);
        let told = "no broker knows the consumer group nobody (topic %RETRY%nobody)";
        assert!(nobody.failure(1).contains(told), "{}", nobody.err);
    });
}

#[test]
fn progress_of_a_group_is_set_back_and_goes_with_the_group() {
    check(|namesrv, address| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        run(&["updateTopic", "-b", address, "-t", "T", "-r", "1", "-w", "1"]).text();
        Members::start(namesrv).stop();
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
fn a_group_is_made_and_deleted() {
    check(|namesrv, address| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        let made = run(&["updateSubGroup", "-b", address, "-g", "g", "-r", "3"]);
        assert!(made.text().contains(&format!("create subscription group to {address} success.")));
        assert!(made.out.contains("\"retryMaxTimes\":3"), "{}", made.out);
        let gone = run(&["deleteSubGroup", "-b", address, "-g", "g"]);
        assert!(gone.text().contains("delete subscription group [g] from broker"), "{}", gone.out);
    });
}
