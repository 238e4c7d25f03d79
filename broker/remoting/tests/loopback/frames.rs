//! Frames in, answers out: any split of a stream, what no frame is, and answers in pieces.

use std::net::SocketAddr;
use std::rc::Rc;

use ringmq_protocol::{
    Command, RequestHead, ResponseHead, SerializeType, write_request, write_response_head,
};
use ringmq_remoting::{Connection, ReplyTo, ServerLimits, Service, serve};
use ringmq_runtime::buffer::Shared;
use ringmq_runtime::disk::{Access, Disk, File};
use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::sim::World;
use ringmq_runtime::{shards, task};

use crate::fixture::{ECHO, LONG, RawClient, SEEDS, check, request, until};

#[test]
fn pipelined_frames_are_answered_in_order_wherever_the_stream_is_split() {
    check(ServerLimits::default(), |fixture| async move {
        let stream = [
            request(1, ECHO, false, b"one"),
            request(2, ECHO, false, b""),
            request(3, ECHO, false, &[3; 700]),
        ]
        .concat();
        for split in (1..stream.len()).step_by(3) {
            let mut client = RawClient::connect(fixture.address).await;
            client.send(&stream[..split]).await.expect("sent");
            task::yield_now().await;
            client.send(&stream[split..]).await.expect("sent");
            assert_eq!(client.answer().await, Some((1, 0, b"one".to_vec())), "split {split}");
            assert_eq!(client.answer().await, Some((2, 0, Vec::new())), "split {split}");
            assert_eq!(client.answer().await, Some((3, 0, vec![3; 700])), "split {split}");
        }
    });
}

#[test]
fn thousands_of_pipelined_requests_are_all_answered() {
    check(ServerLimits::default(), |fixture| async move {
        let count = 5_000;
        let stream: Vec<u8> =
            (0..count).flat_map(|opaque| request(opaque, ECHO, false, b"body")).collect();
        let mut client = RawClient::connect(fixture.address).await;
        client.send(&stream).await.expect("sent");
        for opaque in 0..count {
            assert_eq!(client.answer().await, Some((opaque, 0, b"body".to_vec())));
        }
    });
}

#[test]
fn others_have_a_turn_behind_each_request_that_takes_long() {
    const REQUESTS: i32 = 100;
    check(ServerLimits::default(), |fixture| async move {
        let mut client = RawClient::connect(fixture.address).await;
        let requests: Vec<_> =
            (0..REQUESTS).map(|opaque| request(opaque, LONG, false, &[])).collect();
        client.send(&requests.concat()).await.expect("sent");
        for opaque in 0..REQUESTS {
            assert_eq!(client.answer().await, Some((opaque, 0, Vec::new())));
        }
        let mut before = 0;
        for &handled in &*fixture.service.turns.borrow() {
            assert!(handled <= before + 1, "{} of {REQUESTS} in one turn", handled - before);
            before = handled;
        }
    });
}

#[test]
fn one_way_requests_are_never_answered_and_unknown_codes_always() {
    check(ServerLimits::default(), |fixture| async move {
        let mut client = RawClient::connect(fixture.address).await;
        let stream = [
            request(1, ECHO, true, b"one-way"),
            request(2, 4711, true, b"unknown and one-way"),
            request(3, 4711, false, b"unknown"),
        ]
        .concat();
        client.send(&stream).await.expect("sent");
        let (opaque, code, _) = client.answer().await.expect("answered");
        assert_eq!((opaque, code), (3, 3));
        assert_eq!(*fixture.service.requests.borrow(), [1, 2, 3]);
    });
}

#[test]
fn lengths_that_no_frame_has_close_the_connection() {
    check(ServerLimits::default(), |fixture| async move {
        for start in [[1, 0, 0, 0], [0, 0, 0, 3], [0xff; 4], *b"GET "] {
            let mut client = RawClient::connect(fixture.address).await;
            client.send(&start).await.expect("sent");
            assert_eq!(client.answer().await, None, "{start:?}");
        }
    });
}

#[test]
fn malformed_headers_close_the_connection() {
    check(ServerLimits::default(), |fixture| async move {
        for bytes in [b"\0\0\0\x06\0\0\0\x02{x".as_slice(), b"\0\0\0\x04\x07\0\0\0"] {
            let mut client = RawClient::connect(fixture.address).await;
            client.send(bytes).await.expect("sent");
            assert_eq!(client.answer().await, None, "{bytes:?}");
        }
        until("connections gone", || fixture.server.stats().connections == 0).await;
        assert_eq!(fixture.service.closed.borrow().len(), 2);
    });
}

#[test]
fn a_header_with_text_that_is_not_utf8_is_answered() {
    check(ServerLimits::default(), |fixture| async move {
        let mut client = RawClient::connect(fixture.address).await;
        let mut bytes = Vec::new();
        let serialize = SerializeType::Json;
        let head = RequestHead { serialize, code: ECHO, opaque: 7, oneway: false, remark: None };
        write_request(&mut bytes, head, &[("keys", "KK")], b"body");
        let at = bytes.windows(2).position(|pair| pair == b"KK").expect("the value");
        bytes[at..at + 2].copy_from_slice(&[0xD6, 0xD0]);
        client.send(&bytes).await.expect("sent");
        assert_eq!(client.answer().await, Some((7, 0, b"body".to_vec())));
    });
}

#[test]
fn tls_is_refused_and_a_proxy_header_names_the_peer() {
    check(ServerLimits::default(), |fixture| async move {
        let mut client = RawClient::connect(fixture.address).await;
        client.send(&[0x16, 3, 1, 2, 0, 1]).await.expect("sent");
        assert_eq!(client.answer().await, None);

        let mut client = RawClient::connect(fixture.address).await;
        client.send(b"PROXY TCP4 192.0.2.7 192.0.2.9 40001 9876\r\n").await.expect("sent");
        client.send(&request(5, ECHO, false, b"x")).await.expect("sent");
        assert_eq!(client.answer().await, Some((5, 0, b"x".to_vec())));
        let mut peers = Vec::new();
        fixture
            .server
            .for_each_connection(|connection| peers.push(connection.peer_addr().to_string()));
        assert_eq!(peers, ["192.0.2.7:40001"]);
    });
}

#[test]
fn a_second_proxy_header_is_refused_however_it_arrives() {
    const HEADERS: [&[u8]; 2] = [
        b"PROXY TCP4 192.0.2.7 192.0.2.9 40001 9876\r\n",
        b"PROXY TCP4 192.0.2.8 192.0.2.9 40002 9876\r\n",
    ];
    check(ServerLimits::default(), |fixture| async move {
        let peer_of_first = || {
            let mut peers = Vec::new();
            fixture
                .server
                .for_each_connection(|connection| peers.push(connection.peer_addr().to_string()));
            peers == ["192.0.2.7:40001"]
        };
        let mut client = RawClient::connect(fixture.address).await;
        client.send(HEADERS[0]).await.expect("sent");
        until("the first is read", peer_of_first).await;
        client.send(HEADERS[1]).await.expect("sent");
        // It may be closed by then.
        let _ = client.send(&request(5, ECHO, false, b"x")).await;
        assert_eq!(client.answer().await, None, "two reads");

        let mut client = RawClient::connect(fixture.address).await;
        client.send(&HEADERS.concat()).await.expect("sent");
        assert_eq!(client.answer().await, None, "one read");
        assert!(fixture.service.requests.borrow().is_empty());
    });
}

/// Answers with reply bytes, shared memory and a range of a file, several times over.
struct Pieces {
    file: File,
}

/// Bytes of the file that each answer carries, from this position on.
const FILE_RANGE: (u64, u64) = (1000, 150_000);

impl Service for Pieces {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, _frame: &[u8]) {
        let ReplyTo { opaque, serialize, .. } = ReplyTo::of(command);
        let memory = Shared::copy_of(&[b'm'; 5000]);
        let (pos, len) = FILE_RANGE;
        let body_len = memory.len() + usize::try_from(len).expect("small");
        connection.out(|out| {
            let head = ResponseHead { serialize, opaque, code: 0, remark: None };
            out.append(|out| write_response_head(out, head, &(), body_len));
            out.push_shared(memory);
            out.push_file(self.file.view(), pos, len);
        });
        connection.flush_soon();
    }
}

async fn check_pieces(disk: Disk) {
    let contents: Vec<u8> = (0..200_000u32).map(|position| (position % 251) as u8).collect();
    disk.replace("file", &*contents).await.expect("written");
    let file = disk.open("file", Access::Read).await.expect("opened");
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Reuse::No).expect("bound");
    let address = listener.local_addr().expect("bound");
    let _server = serve(listener, Rc::new(Pieces { file }), ServerLimits::default());
    let mut client = RawClient::connect(address).await;
    for opaque in 0..20 {
        client.send(&request(opaque, ECHO, false, b"")).await.expect("sent");
    }
    let (pos, len) = FILE_RANGE;
    let range = usize::try_from(pos).expect("small")..usize::try_from(pos + len).expect("small");
    let expected = [&[b'm'; 5000], &contents[range]].concat();
    for opaque in 0..20 {
        let (found, code, body) = client.answer().await.expect("answered");
        assert_eq!((found, code), (opaque, 0));
        assert!(body == expected, "answer {opaque}");
    }
}

#[test]
fn reply_bytes_memory_and_files_leave_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    shards::block_on(async {
        check_pieces(Disk::live(directory.path()).expect("a directory")).await;
    });
    for seed in SEEDS {
        let world = World::new(seed);
        let disk = world.disk(0);
        world.run(check_pieces(disk));
    }
}
