use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::record::records;
use ringmq_protocol::{RequestHead, SerializeType, write_request};
use ringmq_runtime::net::{Listener, ReadHalf, Reuse, Stream};
use ringmq_runtime::shards;

use super::*;
use crate::wire::Assembler;

/// A send of each body.
fn group(bodies: &[&[u8]]) -> Vec<u8> {
    let mut frames = Vec::new();
    for body in bodies {
        let head = RequestHead {
            serialize: SerializeType::RocketMq,
            code: request::SEND_MESSAGE_V2,
            opaque: 1,
            oneway: false,
            remark: None,
        };
        write_request(&mut frames, head, &(), body);
    }
    frames
}

/// A connection of a client, and the null broker's side of it.
async fn connection(all: &Rc<Deliveries>) -> (ReadHalf, Rc<Outbox>, Puller) {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Reuse::No).unwrap();
    let limit = Duration::from_secs(10);
    let client = Stream::connect(listener.local_addr().unwrap(), limit).await.unwrap();
    let (_, write) = listener.accept().await.unwrap().0.split();
    let peer = Outbox::new(write);
    let puller = Puller::new(all.clone(), &peer);
    (client.split().0, peer, puller)
}

/// The number, the code and the bodies of the next answer.
async fn answer(read: &mut ReadHalf) -> (i32, i32, Vec<String>) {
    let (mut assembler, mut found) = (Assembler::default(), None);
    while found.is_none() {
        let take = |bytes: &[u8]| {
            assembler.feed(bytes, |answer| {
                let body = |it: &[u8]| String::from_utf8(it.to_vec()).unwrap();
                let bodies = records(answer.body).map(|it| body(it.unwrap().body)).collect();
                found = Some((answer.opaque, answer.code, bodies));
            })
        };
        read.read_with(take).await.unwrap().unwrap();
    }
    found.unwrap()
}

fn found(opaque: i32, bodies: &[&str]) -> (i32, i32, Vec<String>) {
    (opaque, response::SUCCESS, bodies.iter().map(|&body| body.to_owned()).collect())
}

#[test]
fn what_is_written_goes_to_the_pulls_in_turn_that_wait_or_come_next() {
    shards::block_on(async {
        let all = Deliveries::new();
        let (mut one_reads, one_peer, mut one) = connection(&all).await;
        let (mut other_reads, other_peer, mut other) = connection(&all).await;
        all.deliver(&group(&[b"early"]));
        assert!(one.pull(7_i32.to_be_bytes()) && other.pull(9_i32.to_be_bytes()));
        one_peer.flush();
        assert_eq!(answer(&mut one_reads).await, found(7, &["early"]));
        assert!(one.pull(7_i32.to_be_bytes()));
        all.deliver(&group(&[b"a", b"bb", b"c"]));
        assert_eq!(answer(&mut one_reads).await, found(7, &["a", "c"]));
        assert_eq!(answer(&mut other_reads).await, found(9, &["bb"]));
        // Nobody pulls now, and what comes is kept.
        all.deliver(&group(&[b"d", b"e"]));
        all.deliver(&group(&[b"f"]));
        assert!(other.pull(9_i32.to_be_bytes()));
        other_peer.flush();
        assert_eq!(answer(&mut other_reads).await, found(9, &["d", "f"]));
        assert_eq!(all.kept_bytes.get(), all.record.len(b"e"));
        drop(one);
        assert_eq!((all.kept_bytes.get(), all.pulls.borrow().len()), (0, 1));
    });
}

#[test]
fn a_pull_is_held_no_longer_than_its_time_and_messages_have_a_bound() {
    shards::block_on(async {
        let all = Deliveries::new();
        let (mut reads, _peer, mut puller) = connection(&all).await;
        assert!(puller.pull(3_i32.to_be_bytes()));
        let nothing = (3, response::PULL_NOT_FOUND, Vec::new());
        assert_eq!(answer(&mut reads).await, nothing);
        let body = vec![1; KEPT_MAX_BYTES / 2];
        all.deliver(&group(&[&body, &body]));
        assert_eq!(all.kept_bytes.get(), all.record.len(&body), "the second does not fit");
    });
}
