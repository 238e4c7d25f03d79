//! Messages that consumers send back.

use std::io::IoSlice;
use std::net::SocketAddr;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::properties::keys;
use ringmq_protocol::record::records;
use ringmq_protocol::{Command, frame};
use ringmq_runtime::net::Stream;
use ringmq_runtime::task;

use crate::locks::lock;
use crate::support::world::{Client, check, create};
use crate::support::{TIMEOUT, temp_dir};

#[test]
fn a_retry_too_many_or_of_an_ordered_group_is_a_dead_letter_without_a_delay() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T"), &[]).await;
        client.beat("c", &["T"]).await;
        // One that is to come again, later: there is nobody who could wait with it.
        assert_eq!(client.send_retry(1).await, response::MESSAGE_ILLEGAL);
        assert_eq!(client.send_retry(2).await, response::SUCCESS, "it came too often");
        client.ask(request::LOCK_BATCH_MQ, &(), &lock("c")).await;
        assert_eq!(client.send_retry(1).await, response::SUCCESS, "the group is an ordered one");

        let answer = client.pull("%DLQ%g", 0, 0).await;
        let records: Vec<_> =
            records(answer.body()).map(|record| record.expect("a whole record")).collect();
        assert_eq!(records.len(), 2, "{:?}", answer.command());
        for record in records {
            assert_eq!(record.properties.get(keys::DELAY_TIME_LEVEL), Some("-1"));
            assert_eq!(record.properties.get(keys::RETRY_TOPIC), Some("T"));
        }
    });
}

/// A message sent back, in the form of the Go client.
fn send_back(language: &str, opaque: i32) -> Vec<u8> {
    let header = format!(
        r#"{{"code":36,"language":"{language}","version":317,"opaque":{opaque},"flag":0,"remark":"",
        "extFields":{{"group":"g","offset":"0","delayLevel":"0","originMsgId":"id","originTopic":"T",
        "unitMode":"false","maxReconsumeTimes":"16"}}}}"#
    );
    let header_len = header.len() as u32;
    let mut bytes = (header_len + 4).to_be_bytes().to_vec();
    bytes.extend_from_slice(&header_len.to_be_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

/// Opaques and codes of what is answered to `requests`, up to the answer to `last`.
async fn answers(broker: SocketAddr, requests: Vec<u8>, last: i32) -> Vec<(i32, i32)> {
    let stream = Stream::connect(broker, TIMEOUT).await.expect("the broker listens");
    let (mut read, mut write) = stream.split();
    write.write_all(&mut [IoSlice::new(&requests)]).await.expect("an open connection");
    let (mut bytes, mut found) = (Vec::new(), Vec::new());
    while found.last().is_none_or(|(opaque, _)| *opaque != last) {
        let more = read.read_with(|read| {
            bytes.extend_from_slice(read);
            !read.is_empty()
        });
        assert!(more.await.expect("an open connection"), "the broker closed the connection");
        while let Some((frame, len)) = frame::cut(&bytes, 1 << 20).expect("whole frames") {
            let answer = Command::parse(frame).map(|answer| (answer.opaque, answer.code));
            found.push(answer.expect("an answer"));
            bytes.drain(..len);
        }
    }
    found
}

#[test]
fn a_go_client_gets_no_answer_since_it_takes_any_for_success_and_others_are_refused() {
    for shards in [1, 2] {
        let dir = temp_dir();
        check(shards, dir.path(), &[], |at| async move {
            // The kernel spreads them: both shards have some of so many, but for once in 30,000.
            for _ in 0..16 {
                let languages = ["GO", "JAVA", "GO", "RUST"].into_iter().zip(1..);
                let requests = languages.flat_map(|(language, opaque)| send_back(language, opaque));
                let answered = answers(at.broker, requests.collect(), 4);
                let answered = task::timeout(TIMEOUT, answered).await.expect("others are answered");
                let refused = response::REQUEST_CODE_NOT_SUPPORTED;
                assert_eq!(answered, [(2, refused), (4, refused)]);
            }
        });
    }
}
