use std::net::SocketAddr;

use ringmq_remoting::OUT_COPIED_MAX_BYTES;
use ringmq_runtime::buffer::Shared;
use ringmq_runtime::{mesh, shards};
use ringmq_store::Piece;

use super::*;

fn closed(id: u64) -> ShardMessage {
    ShardMessage::Closed(ConnectionKey { shard: 0, id })
}

fn id_of(message: ShardMessage) -> u64 {
    match message {
        ShardMessage::Closed(connection) => connection.id,
        _ => panic!("only closed connections were sent"),
    }
}

#[test]
fn a_full_mesh_keeps_the_order_and_drops_nothing() {
    shards::block_on(async {
        let mut ports = mesh::build(2, 2);
        let backlog = Backlog::new(2);
        let there = Link::new(ports.remove(1), backlog.clone());
        let here = Link::new(ports.remove(0), backlog);
        for id in 0..100 {
            here.send(1, closed(id));
        }
        assert!(here.is_congested(1) && !here.is_congested(0));
        for expected in 0..100 {
            let (from, message) = there.receive().await;
            assert_eq!((from, id_of(message)), (0, expected));
            // What is sent meanwhile must not overtake.
            if expected < 50 {
                here.send(1, closed(100 + expected));
            }
        }
        for expected in 100..150 {
            assert_eq!(id_of(there.receive().await.1), expected);
        }
        here.wait_for_room().await;
        assert!(!here.is_congested(1));
    });
}

#[test]
fn large_requests_congest_a_shard_until_it_has_handled_them() {
    shards::block_on(async {
        let mut ports = mesh::build(2, 1024);
        let backlog = Backlog::new(2);
        let there = Link::new(ports.remove(1), backlog.clone());
        let here = Link::new(ports.remove(0), backlog);
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let key = ConnectionKey { shard: 0, id: 1 };
        let connection = RemoteConnection { key, peer: addr, local: addr };
        let mut sent = 0;
        while !here.is_congested(1) {
            here.send_requests(1, connection, vec![0; 16 << 20], 1, None);
            sent += 1;
        }
        assert_eq!(sent, 4);
        let room = task::spawn("room", async move { here.wait_for_room().await });
        for _ in 0..sent {
            let (_, message) = there.receive().await;
            let ShardMessage::Requests { frames, .. } = message else { panic!("requests") };
            there.handled(frames);
        }
        room.await;
    });
}

#[test]
fn more_answers_in_one_turn_than_a_connection_may_have_are_not_kept() {
    shards::block_on(async {
        let mut ports = mesh::build(2, 16);
        let backlog = Backlog::new(2);
        let there = Link::new(ports.remove(1), backlog.clone());
        let here = Link::new(ports.remove(0), backlog);
        let answer = vec![7; 16 << 20];
        for _ in 0..=OUT_COPIED_MAX_BYTES / answer.len() as u64 {
            let to = ConnectionKey { shard: 1, id: 7 };
            here.reply(to, |reply| reply.bytes.extend_from_slice(&answer));
        }
        let (_, message) = there.receive().await;
        let ShardMessage::Reply { connection: 7, reply } = message else { panic!("a reply") };
        assert!(reply.is_overfull && reply.bytes.capacity() == 0);
    });
}

#[test]
fn a_connection_that_many_turns_have_answered_has_much_to_read_until_it_is_found_to_have_room() {
    shards::block_on(async {
        let mut ports = mesh::build(2, 16);
        let backlog = Backlog::new(2);
        let there = Link::new(ports.remove(1), backlog.clone());
        let here = Link::new(ports.remove(0), backlog);
        let to = ConnectionKey { shard: 1, id: 7 };
        let answer = Shared::copy_of(&[7; 3 << 20]);
        for turn in 0..6 {
            assert!(!here.has_answered_much(to), "turn {turn}");
            here.reply(to, |reply| {
                reply.piece_bytes += answer.len() as u64;
                reply.pieces.push((0, Piece::Memory(answer.clone())));
            });
            assert!(matches!(there.receive().await.1, ShardMessage::Reply { .. }));
        }
        assert!(here.has_answered_much(to), "18 MiB, and nobody knows whether they have left");
        here.found_room(to);
        assert!(!here.has_answered_much(to));
    });
}

#[test]
fn answers_of_one_turn_cross_as_one_message_per_connection() {
    shards::block_on(async {
        let mut ports = mesh::build(2, 16);
        let backlog = Backlog::new(2);
        let there = Link::new(ports.remove(1), backlog.clone());
        let here = Link::new(ports.remove(0), backlog);
        for id in [7, 8, 7] {
            let to = ConnectionKey { shard: 1, id };
            here.reply(to, |reply| reply.bytes.extend_from_slice(b"answer."));
            here.credit(to, 5);
        }
        let mut received = Vec::new();
        for _ in 0..2 {
            let (_, message) = there.receive().await;
            let ShardMessage::Reply { connection, reply } = message else {
                panic!("only answers were sent");
            };
            received.push((connection, reply.bytes, reply.handled_bytes));
        }
        received.sort_unstable();
        let expected = [(7, b"answer.answer.".to_vec(), 10), (8, b"answer.".to_vec(), 5)];
        assert_eq!(received, expected);
        assert!(there.port.try_recv().is_none());
    });
}

#[test]
fn a_link_is_drained_when_its_last_message_is_in_an_inbox() {
    shards::block_on(async {
        let mut ports = mesh::build(3, 2);
        let backlog = Backlog::new(3);
        let there = Link::new(ports.remove(1), backlog.clone());
        let here = Link::new(ports.remove(0), backlog);
        // Nobody takes what shard 2 is sent.
        for id in 0..10 {
            here.send(1, closed(id));
            here.send(2, closed(id));
        }
        here.reply(ConnectionKey { shard: 1, id: 7 }, |reply| reply.bytes.push(1));
        let waiting = Rc::clone(&here);
        let drained = task::spawn("drained", async move { waiting.drained(1..2).await });
        for expected in 0..8 {
            assert!(!drained.is_finished());
            assert_eq!(id_of(there.receive().await.1), expected);
        }
        // Three are left for an inbox of two.
        assert_eq!(id_of(there.receive().await.1), 8);
        drained.await;
        assert_eq!(id_of(there.receive().await.1), 9);
        assert!(matches!(there.receive().await.1, ShardMessage::Reply { connection: 7, .. }));
    });
}
