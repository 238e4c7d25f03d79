//! Messages: sent, counted, found.

use crate::cluster::{check, mqadmin};

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
