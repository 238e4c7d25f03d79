//! What the broker tells of itself while it runs.

use ringmq_protocol::bodies::send_stage::{SEND_STAGES, SendStage};
use ringmq_protocol::bodies::topic::KvTable;
use ringmq_protocol::codes::request;
use ringmq_protocol::json;

use crate::support::temp_dir;
use crate::support::world::{Client, check, create};

#[test]
fn runtime_information_has_what_the_exporter_parses() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        let answer = broker.ask(request::GET_BROKER_RUNTIME_INFO, &(), &[]).await;
        let table = json::from_slice::<KvTable>(answer.body()).expect("a table").table;
        for key in [
            "putTps",
            "getMissTps",
            "getTotalTps",
            "getFoundTps",
            "getTransferredTps",
            "getTransferedTps",
        ] {
            let numbers: Vec<f64> =
                table[key].split(' ').map(|part| part.parse().expect("a number")).collect();
            assert_eq!(numbers.len(), 3, "{key}={}", table[key]);
        }
        for key in ["brokerVersion", "bootTimestamp", "commitLogMaxOffset", "putMessageTimesTotal"]
        {
            table[key].parse::<i64>().expect(key);
        }
        let capacity: Vec<&str> = table["commitLogDirCapacity"].split(' ').collect();
        assert!(capacity[2].parse::<f64>().is_ok() && capacity[6].parse::<f64>().is_ok());
    });
}

#[test]
fn messages_count_when_they_are_stored_whether_their_senders_wait_or_not() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        broker.send("T1", 0).await;
        broker.send_with("T1", 0, "WAIT\u{1}false\u{2}").await;
        broker.send_oneway("T1", 0);
        // Behind the others in their queue, so all are stored.
        broker.send("T1", 0).await;
        let answer = broker.ask(request::GET_BROKER_RUNTIME_INFO, &(), &[]).await;
        let table = json::from_slice::<KvTable>(answer.body()).expect("a table").table;
        let number = |key: &str| table[key].parse::<usize>().expect("a number");
        assert_eq!((number("msgPutTotalTodayNow"), number("putMessageTimesTotal")), (4, 4));
        let pulled = broker.pull("T1", 0, 0).await;
        assert_eq!(number("putMessageSizeTotal"), pulled.body().len(), "the bytes of records");
        // Two asked when they are safe.
        let times = table["putMessageDistributeTime"].split_whitespace();
        let timed = times.filter_map(|class| class.rsplit(':').next()?.parse::<u64>().ok());
        assert_eq!(timed.sum::<u64>(), 2, "{}", table["putMessageDistributeTime"]);
    });
}

#[test]
fn stages_of_sends_are_told_while_they_are_asked_for() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        let stages = async || {
            let answer = broker.ask(request::GET_BROKER_RUNTIME_INFO, &(), &[]).await;
            let table = json::from_slice::<KvTable>(answer.body()).expect("a table").table;
            SendStage::read_all(&table)
        };
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;
        broker.send("T1", 0).await;
        assert_eq!(stages().await, []);
        broker.ask(request::UPDATE_BROKER_CONFIG, &(), b"sendStageTracing=true\n").await;
        assert!(stages().await.iter().all(|stage| stage.count == 0), "all shards know of it");
        broker.send("T1", 0).await;
        let told = stages().await;
        assert_eq!(told.len(), 3 * SEND_STAGES.len(), "all shards together, and each of two");
        let flushed = told.iter().find(|stage| stage.stage == "flushed").expect("told");
        assert!(flushed.count == 1 && flushed.p50_us > 0.0, "{told:?}");
        broker.ask(request::UPDATE_BROKER_CONFIG, &(), b"sendStageTracing=false\n").await;
        assert_eq!(stages().await, []);
    });
}
