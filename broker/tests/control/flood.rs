//! A client that asks for much and takes nothing.

use std::cell::Cell;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::{CreateTopicRequest, TopicRequest};
use ringmq_protocol::{Command, RequestHead, SerializeType, WriteHeader, json, write_request};
use ringmq_remoting::CallError;
use ringmq_runtime::net::{ReadHalf, Stream, WriteHalf};
use ringmq_runtime::{process, task};

use crate::support::temp_dir;
use crate::support::world::{Client, beat, check, create};

const PEERS: usize = 8;

/// Bytes that all floods together ask for, and what of it may be kept. The requests of each take
/// more than the buffers of its socket.
const WANTED_BYTES: usize = 16 << 30;
const KEPT_MAX_BYTES: u64 = 384 << 20;

#[test]
fn floods_of_requests_neither_fill_the_memory_nor_stop_other_clients() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        let answer = client.ask(request::GET_BROKER_CONFIG, &(), &[]).await;
        let requests = WANTED_BYTES / PEERS / answer.body().len();
        let all = Rc::new(flood(request::GET_BROKER_CONFIG, &(), requests));
        let before_bytes = process::rss_bytes();

        let mut floods = Vec::new();
        for _ in 0..PEERS {
            let all = Rc::clone(&all);
            floods.push(task::spawn("flood", async move {
                let stream = Stream::connect(at.broker, Duration::from_secs(20)).await;
                let (read, mut write) = stream.expect("the broker listens").split();
                // Writes as far as the broker reads, or until it closes the connection.
                let _ = write.write_all(&mut [IoSlice::new(&all)]).await;
                (read, write)
            }));
        }
        // Seconds; it was minutes behind all that the floods ask for.
        let asks = async {
            for _ in 0..50 {
                client.ask(request::GET_BROKER_CONFIG, &(), &[]).await;
            }
        };
        task::timeout(Duration::from_secs(60), asks).await.expect("others are served meanwhile");
        let are_read = floods.iter().filter(|flood| flood.is_finished()).count();
        assert_eq!(are_read, 0, "floods that the broker has read to their end, or closed");
        let grown_bytes = process::rss_bytes().saturating_sub(before_bytes);
        println!("{} MiB for answers that nobody takes", grown_bytes >> 20);
        assert!(grown_bytes < KEPT_MAX_BYTES, "{} MiB", grown_bytes >> 20);
    });
}

/// Equal requests, to be written at once.
fn flood(code: i32, header: &impl WriteHeader, count: usize) -> Vec<u8> {
    let mut one = Vec::new();
    let serialize = SerializeType::Json;
    let head = RequestHead { serialize, code, opaque: 1, oneway: false, remark: None };
    write_request(&mut one, head, header, &[]);
    one.repeat(count)
}

/// A topic over whose queues an answer takes long.
async fn create_wide_topic(client: &Client) {
    const QUEUES: i32 = 4_000;
    let topic =
        CreateTopicRequest { read_queue_nums: QUEUES, write_queue_nums: QUEUES, ..create("wide") };
    client.ask(request::UPDATE_AND_CREATE_TOPIC, &topic, &[]).await;
}

/// A connection on which these bytes were sent, and which reads no answers.
async fn connect_and_send(broker: SocketAddr, bytes: &[u8]) -> (ReadHalf, WriteHalf) {
    let stream = Stream::connect(broker, Duration::from_secs(20)).await;
    let (read, mut write) = stream.expect("the broker listens").split();
    write.write_all(&mut [IoSlice::new(bytes)]).await.expect("an open connection");
    (read, write)
}

#[test]
fn many_requests_for_all_queues_of_a_topic_do_not_hold_up_the_shard() {
    const REQUESTS: usize = 1_000;
    for shards in [1, 2] {
        let dir = temp_dir();
        check(shards, dir.path(), &[], |at| async move {
            let client = Client::connect(at.broker).await;
            create_wide_topic(&client).await;
            let header = TopicRequest { topic: "wide", lo: None };
            let all = flood(request::GET_TOPIC_STATS_INFO, &header, REQUESTS);
            let _flooding = connect_and_send(at.broker, &all).await;
            let asks = async {
                for _ in 0..10 {
                    client.ask(request::GET_BROKER_CONFIG, &(), &[]).await;
                }
                // Another one's turn comes, too.
                client.ask(request::GET_TOPIC_STATS_INFO, &header, &[]).await;
            };
            // One answer takes some 50 ms where nothing is optimized; all that wait take 20 s.
            task::timeout(Duration::from_secs(20), asks).await.expect("others are served");
        });
    }
}

#[test]
fn many_connections_with_requests_for_all_queues_leave_a_place_to_another() {
    const PEERS: usize = 20;
    const REQUESTS: usize = 64;
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        create_wide_topic(&client).await;
        let header = TopicRequest { topic: "wide", lo: None };
        let all = flood(request::GET_TOPIC_STATS_INFO, &header, REQUESTS);
        let mut peers = Vec::new();
        for _ in 0..PEERS {
            peers.push(connect_and_send(at.broker, &all).await);
        }
        // Until they are in line. Less time proves less.
        task::sleep(Duration::from_millis(300)).await;
        // Its turn comes after one request of each of them, not after all thousand.
        let ask = client.ask(request::GET_TOPIC_STATS_INFO, &header, &[]);
        task::timeout(Duration::from_secs(15), ask).await.expect("it is served");
    });
}

/// Has a client ask another one for its state, so many times; returns how often it is refused for
/// lack of places, once all were taken in.
async fn ask_the_silent(asker: &Client, requests: usize) -> usize {
    let fields = [("consumerGroup", "g"), ("clientId", "silent"), ("jstackEnable", "false")];
    let refused = Rc::new(Cell::new(0));
    for _ in 0..requests {
        let refused = Rc::clone(&refused);
        let count = move |answer: Result<&Command<'_>, CallError>| {
            let is_busy = answer.is_ok_and(|answer| answer.code == response::SYSTEM_BUSY);
            refused.set(refused.get() + usize::from(is_busy));
        };
        let (code, wait) = (request::GET_CONSUMER_RUNNING_INFO, Duration::from_secs(20));
        asker.connection.call_with(code, &fields, &[], wait, count);
    }
    // Answered at once, behind all of those that are refused.
    asker.ask(request::GET_BROKER_CONFIG, &(), &[]).await;
    refused.get()
}

#[test]
fn answers_that_wait_for_another_client_are_bounded() {
    const REQUESTS: usize = 4_000;
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        // It never answers what it is asked.
        let silent = Client::connect(at.broker).await;
        silent.beat("silent", &["T"]).await;
        let asker = Client::connect(at.broker).await;
        let refused = ask_the_silent(&asker, REQUESTS).await;
        assert!((1_000..3_900).contains(&refused), "{refused} are refused");
    });
}

#[test]
fn many_connections_that_ask_silent_clients_take_no_places_of_heartbeats() {
    const PEERS: usize = 64;
    const REQUESTS: usize = 400;
    const BEATS: usize = 100;
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let silent = Client::connect(at.broker).await;
        silent.beat("silent", &["T"]).await;
        let mut askers = Vec::new();
        for _ in 0..PEERS {
            let asker = Client::connect(at.broker).await;
            ask_the_silent(&asker, REQUESTS).await;
            askers.push(asker);
        }
        let client = Client::connect(at.broker).await;
        let body = json::to_vec(&beat("other", &["T"]));
        let beat =
            || client.connection.call(request::HEART_BEAT, &(), &body, Duration::from_secs(20));
        let beats: Vec<_> = (0..BEATS).map(|_| beat()).collect();
        for beat in beats {
            assert_eq!(beat.await.expect("an answer").code(), response::SUCCESS);
        }
    });
}

/// A list of a few kilobytes, and those of `padding`, that unfolds to 7 MiB for 800 `uses`: one
/// topic of a long attribute, again and again.
fn wide_list(uses: usize, padding: &str) -> Vec<u8> {
    let uses = vec!["{$ref:'$.x'}"; uses].join(",");
    let text = "v".repeat(8 << 10);
    format!(
        "{{x:{{topicName:'T',attributes:{{a:'{text}'}}}},topicConfigList:[{uses}],y:'{padding}'}}"
    )
    .into_bytes()
}

#[test]
fn a_list_that_never_finds_a_place_is_not_answered_as_one_to_try_again() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        // As much as may be unfolded of a body that long.
        let body = wide_list(4_000, &"p".repeat(3 << 20));
        let code = request::UPDATE_AND_CREATE_TOPIC_LIST;
        let refused = client.call(code, &(), &body).await;
        let remark = refused.command().remark().unwrap_or_default().to_owned();
        assert_eq!(refused.code(), response::SYSTEM_ERROR, "{remark}");
        assert!(remark.contains("in parts"), "{remark}");
    });
}

#[test]
fn lists_that_wait_count_as_what_they_unfolded_to() {
    const LISTS: usize = 12;
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        let body = wide_list(800, "");
        assert!(body.len() < 20 << 10);
        let (code, wait) = (request::UPDATE_AND_CREATE_TOPIC_LIST, Duration::from_secs(20));
        // They wait for the end of a deletion, which goes through the topic in slices.
        let queues = 65_535;
        let many =
            CreateTopicRequest { read_queue_nums: queues, write_queue_nums: queues, ..create("T") };
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &many, &[]).await;
        let gone = TopicRequest { topic: "T", lo: None };
        let deletion = client.connection.call(request::DELETE_TOPIC_IN_BROKER, &gone, &[], wait);
        let calls: Vec<_> =
            (0..LISTS).map(|_| client.connection.call(code, &(), &body, wait)).collect();
        assert_eq!(deletion.await.expect("an answer").code(), response::SUCCESS);
        let mut refused = 0;
        for call in calls {
            let answer = call.await.expect("an answer");
            refused += usize::from(answer.code() == response::SYSTEM_BUSY);
        }
        assert!((LISTS / 2..LISTS).contains(&refused), "{refused} are refused");
        let answer = client.call(code, &(), &body).await;
        assert_ne!(answer.code(), response::SYSTEM_BUSY, "those before it have gone");
    });
}
