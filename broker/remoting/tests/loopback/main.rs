//! Servers and connections, over loopback sockets and in simulated networks.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::{
    Command, RequestHead, ResponseHead, SerializeType, frame, write_request, write_response_head,
};
use ringmq_remoting::{
    CallError, Connection, ConnectionLimits, DialError, Dialer, NoService, Permit, ReplyTo, Server,
    ServerLimits, Service, dial, serve,
};
use ringmq_runtime::buffer::Shared;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::{Access, Disk, File};
use ringmq_runtime::net::{Listener, Reuse, Stream};
use ringmq_runtime::sim::World;
use ringmq_runtime::{shards, task};

const ECHO: i32 = 1;
/// Answered when the test says so.
const HOLD: i32 = 2;
/// Answered with as many bytes as the body says.
const LARGE: i32 = 3;
/// The service makes a call back over the same connection and answers with what it got.
const CALL_BACK: i32 = 4;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct TestService {
    held: RefCell<Vec<(ReplyTo, Rc<Connection>, Permit)>>,
    requests: RefCell<Vec<i32>>,
    closed: RefCell<Vec<u64>>,
}

impl Service for TestService {
    fn on_request(&self, conn: &Rc<Connection>, command: &Command<'_>, frame: &[u8]) {
        self.requests.borrow_mut().push(command.opaque);
        let to = ReplyTo::of(command);
        match command.code {
            ECHO => conn.reply(&to, 0, None, &(), command.body),
            HOLD => {
                let permit = conn.admit(frame.len());
                self.held.borrow_mut().push((to, Rc::clone(conn), permit));
            }
            LARGE => {
                let len = command.body.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
                conn.reply(&to, 0, None, &(), &vec![7; len]);
            }
            CALL_BACK => {
                let conn = Rc::clone(conn);
                let call = conn.call(ECHO, &(), b"from the server", PATIENCE);
                let answer = async move {
                    let body = call.await.map(|answer| answer.body().to_vec());
                    conn.reply(&to, 0, None, &(), &body.expect("answered"));
                };
                task::spawn("call back", answer).detach();
            }
            _ => conn.reply_unsupported(command),
        }
    }

    fn on_close(&self, conn: &Rc<Connection>) {
        self.closed.borrow_mut().push(conn.id());
    }
}

struct Fixture {
    server: Rc<Server<TestService>>,
    service: Rc<TestService>,
    address: SocketAddr,
}

impl Fixture {
    fn start(limits: ServerLimits) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(loopback, Reuse::No).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let service = Rc::new(TestService::default());
        let server = serve(listener, Rc::clone(&service), limits);
        Self { server, service, address }
    }

    async fn dial(&self) -> Rc<Connection> {
        let limits = ConnectionLimits::default();
        dial(self.address, PATIENCE, Rc::new(NoService), limits).await.expect("connected")
    }
}

/// Simulated networks that each test runs in: each splits and delays the streams in its own way.
const SEEDS: std::ops::Range<u64> = 1..4;

/// Runs a test on real sockets and in simulated networks, with a limit.
fn check<F: Future<Output = ()>>(limits: ServerLimits, test: impl Fn(Fixture) -> F) {
    let limited = async || {
        let fixture = Fixture::start(limits.clone());
        let limited = task::timeout(Duration::from_secs(30), test(fixture)).await;
        limited.expect("the test came to its end in time");
    };
    shards::block_on(limited());
    for seed in SEEDS {
        World::new(seed).run(limited());
    }
}

/// Waits until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        task::sleep(Duration::from_millis(1)).await;
    }
}

fn request(opaque: i32, code: i32, oneway: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let serialize = SerializeType::Json;
    let head = RequestHead { serialize, code, opaque, oneway, remark: None };
    write_request(&mut bytes, head, &(), body);
    bytes
}

/// A client that knows only bytes.
struct RawClient {
    reader: ringmq_runtime::net::ReadHalf,
    writer: ringmq_runtime::net::WriteHalf,
    received: Vec<u8>,
}

impl RawClient {
    async fn connect(address: SocketAddr) -> Self {
        let stream = Stream::connect(address, PATIENCE).await.expect("connected");
        let (reader, writer) = stream.split();
        Self { reader, writer, received: Vec::new() }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(&mut [IoSlice::new(bytes)]).await
    }

    /// The next answer as opaque, code and body; `None` when the connection was closed.
    async fn answer(&mut self) -> Option<(i32, i32, Vec<u8>)> {
        loop {
            let cut = frame::cut(&self.received, usize::MAX >> 1).expect("a valid answer");
            let found = cut.map(|(frame, used)| {
                let command = Command::parse(frame).expect("a valid header");
                (used, (command.opaque, command.code, command.body.to_vec()))
            });
            if let Some((used, answer)) = found {
                self.received.drain(..used);
                return Some(answer);
            }
            let received = &mut self.received;
            let read = self.reader.read_with(|bytes| {
                received.extend_from_slice(bytes);
                bytes.len()
            });
            if !matches!(read.await, Ok(1..)) {
                return None;
            }
        }
    }
}

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
        fixture.server.for_each_connection(|conn| peers.push(conn.peer_addr().to_string()));
        assert_eq!(peers, ["192.0.2.7:40001"]);
    });
}

/// Answers with reply bytes, shared memory and a range of a file, several times over.
struct Pieces {
    file: File,
}

/// Bytes of the file that each answer carries, from this position on.
const FILE_RANGE: (u64, u64) = (1000, 150_000);

impl Service for Pieces {
    fn on_request(&self, conn: &Rc<Connection>, command: &Command<'_>, _frame: &[u8]) {
        let ReplyTo { opaque, serialize, .. } = ReplyTo::of(command);
        let memory = Shared::copy_of(&[b'm'; 5000]);
        let (pos, len) = FILE_RANGE;
        let body_len = memory.len() + usize::try_from(len).expect("small");
        conn.out(|out| {
            let head = ResponseHead { serialize, opaque, code: 0, remark: None };
            out.append(|out| write_response_head(out, head, &(), body_len));
            out.push_shared(memory);
            out.push_file(self.file.view(), pos, len);
        });
        conn.flush_soon();
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

#[test]
fn a_peer_that_does_not_read_is_not_read_from_and_loses_nothing() {
    let mut limits = ServerLimits::default();
    limits.connection.out_limit_bytes = 256 << 10;
    check(limits, |fixture| async move {
        let count = 100;
        let size: usize = 200_000;
        let size_bytes = u32::try_from(size).expect("small").to_be_bytes();
        let mut client = RawClient::connect(fixture.address).await;
        for opaque in 0..count {
            client.send(&request(opaque, LARGE, false, &size_bytes)).await.expect("sent");
        }
        let mut largest = 0;
        let mut steady = 0;
        while steady < 20 {
            let mut waiting = 0;
            fixture.server.for_each_connection(|conn| waiting = conn.out_bytes());
            largest = largest.max(waiting);
            steady = if waiting > 0 { steady + 1 } else { 0 };
            task::sleep(Duration::from_millis(1)).await;
        }
        let bound = (256 << 10) + 2 * (size as u64 + 200);
        assert!(largest <= bound, "{largest} bytes waited, bound {bound}");
        assert!(fixture.service.requests.borrow().len() < 100, "reading has stopped");
        for opaque in 0..count {
            let (found, code, body) = client.answer().await.expect("answered");
            assert_eq!((found, code, body.len()), (opaque, 0, size));
        }
    });
}

#[test]
fn a_peer_that_takes_nothing_past_the_hard_limit_is_disconnected() {
    let mut limits = ServerLimits::default();
    limits.connection.out_limit_bytes = 64 << 10;
    limits.connection.out_hard_limit_bytes = 1 << 20;
    limits.connection.write_timeout = Duration::from_millis(50);
    check(limits, |fixture| async move {
        let mut client = RawClient::connect(fixture.address).await;
        let size_bytes = (15_000_000u32).to_be_bytes();
        client.send(&request(1, LARGE, false, &size_bytes)).await.expect("sent");
        until("disconnected", || !fixture.service.closed.borrow().is_empty()).await;
    });
}

#[test]
fn a_peer_that_has_more_made_for_it_than_it_may_is_disconnected_at_once() {
    let mut limits = ServerLimits::default();
    limits.connection.out_copied_max_bytes = 2 << 20;
    check(limits, |fixture| async move {
        // Answers to requests that were read before reading stopped: nobody takes them.
        let mut client = RawClient::connect(fixture.address).await;
        for opaque in 0..16 {
            client.send(&request(opaque, HOLD, false, &[])).await.expect("sent");
        }
        until("all are held", || fixture.service.held.borrow().len() == 16).await;
        let answer = vec![7; 256 << 10];
        let mut largest = 0;
        for (to, conn, permit) in fixture.service.held.take() {
            conn.reply(&to, 0, None, &(), &answer);
            largest = largest.max(conn.out_bytes());
            drop(permit);
        }
        assert!(largest <= 3 << 20, "{largest} bytes were kept");
        until("disconnected", || !fixture.service.closed.borrow().is_empty()).await;

        // One that takes its answers may have any number of them.
        let mut client = RawClient::connect(fixture.address).await;
        for opaque in 0..16 {
            let size_bytes = (256u32 << 10).to_be_bytes();
            client.send(&request(opaque, LARGE, false, &size_bytes)).await.expect("sent");
            let (found, _, body) = client.answer().await.expect("answered");
            assert_eq!((found, body.len()), (opaque, 256 << 10));
        }
    });
}

#[test]
fn reading_stops_while_too_much_is_in_flight() {
    let limits = ServerLimits { in_flight_max_bytes: 1000, ..ServerLimits::default() };
    check(limits, |fixture| async move {
        let mut client = RawClient::connect(fixture.address).await;
        for opaque in 0..20 {
            client.send(&request(opaque, HOLD, false, &[0; 400])).await.expect("sent");
        }
        until("the gate is closed", || !fixture.server.in_flight().has_room()).await;
        let mut released = 0;
        while released < 20 {
            until("one is held", || !fixture.service.held.borrow().is_empty()).await;
            let held = fixture.service.held.borrow().len();
            assert!(held <= 3, "{held} requests of 500 bytes in flight, 1000 allowed");
            let (to, conn, permit) = fixture.service.held.borrow_mut().remove(0);
            conn.reply(&to, 0, None, &(), &[]);
            drop(permit);
            assert_eq!(client.answer().await.map(|answer| answer.0), Some(released));
            released += 1;
        }
        assert_eq!(fixture.server.in_flight().used_bytes(), 0);
    });
}

#[test]
fn calls_are_answered_in_both_directions() {
    check(ServerLimits::default(), |fixture| async move {
        let service = Rc::new(TestService::default());
        let limits = ConnectionLimits::default();
        let conn = dial(fixture.address, PATIENCE, service, limits).await.expect("connected");
        let answer = conn.call(ECHO, &(), b"hello", PATIENCE).await.expect("answered");
        assert_eq!((answer.code(), answer.body()), (0, b"hello".as_slice()));
        let answer = conn.call(CALL_BACK, &(), b"", PATIENCE).await.expect("answered");
        assert_eq!(answer.body(), b"from the server");
    });
}

#[test]
fn pending_calls_fail_when_the_connection_closes() {
    check(ServerLimits::default(), |fixture| async move {
        let conn = fixture.dial().await;
        let first = conn.call(HOLD, &(), b"", PATIENCE);
        let second = conn.call(HOLD, &(), b"", PATIENCE);
        until("both arrived", || fixture.service.held.borrow().len() == 2).await;
        fixture.server.for_each_connection(|conn| conn.close("test"));
        assert!(matches!(first.await, Err(CallError::Closed { .. })));
        assert!(matches!(second.await, Err(CallError::Closed { .. })));
        assert!(conn.is_closed());
        let third = conn.call(ECHO, &(), b"", PATIENCE).await;
        assert!(matches!(third, Err(CallError::Closed { .. })));
    });
}

#[test]
fn calls_time_out_one_by_one_and_late_answers_are_dropped() {
    check(ServerLimits::default(), |fixture| async move {
        let conn = fixture.dial().await;
        let started = Instant::now();
        let long = conn.call(HOLD, &(), b"", Duration::from_millis(60));
        let short = conn.call(HOLD, &(), b"", Duration::from_millis(20));
        let timeout = Duration::from_millis(20);
        assert_eq!(short.await, Err(CallError::Timeout { timeout }));
        assert!(started.elapsed() >= timeout);
        let timeout = Duration::from_millis(60);
        assert_eq!(long.await, Err(CallError::Timeout { timeout }));
        assert!(started.elapsed() >= timeout);
        let held = std::mem::take(&mut *fixture.service.held.borrow_mut());
        for (to, conn, _) in held {
            conn.reply(&to, 0, None, &(), b"late");
        }
        let answer = conn.call(ECHO, &(), b"next", PATIENCE).await.expect("answered");
        assert_eq!(answer.body(), b"next");
    });
}

#[test]
fn more_calls_than_allowed_fail_at_once() {
    check(ServerLimits::default(), |fixture| async move {
        let limits = ConnectionLimits { calls_max: 2, ..ConnectionLimits::default() };
        let service = Rc::new(NoService);
        let conn = dial(fixture.address, PATIENCE, service, limits).await.expect("connected");
        let first = conn.call(HOLD, &(), b"", PATIENCE);
        let _second = conn.call(HOLD, &(), b"", PATIENCE);
        let third = conn.call(ECHO, &(), b"", PATIENCE).await;
        assert_eq!(third, Err(CallError::TooMany { limit: 2 }));
        drop(first);
        assert!(conn.call(ECHO, &(), b"", PATIENCE).await.is_ok());
    });
}

#[test]
fn connections_past_the_limit_are_closed_at_once() {
    let limits = ServerLimits { connections_max: 2, ..ServerLimits::default() };
    check(limits, |fixture| async move {
        let _first = fixture.dial().await;
        let _second = fixture.dial().await;
        until("both accepted", || fixture.server.stats().connections == 2).await;
        let third = fixture.dial().await;
        assert!(third.call(ECHO, &(), b"", PATIENCE).await.is_err());
        assert_eq!(fixture.server.stats().refused, 1);
    });
}

#[test]
fn a_stop_lets_open_requests_be_answered() {
    check(ServerLimits::default(), |fixture| async move {
        let conn = fixture.dial().await;
        let call = conn.call(HOLD, &(), b"", PATIENCE);
        until("it arrived", || fixture.service.held.borrow().len() == 1).await;
        let server = Rc::clone(&fixture.server);
        let stop = task::spawn("stop", async move { server.stop(PATIENCE).await });
        until("the port is free", || Listener::bind(fixture.address, Reuse::No).is_ok()).await;
        assert!(!stop.is_finished());
        let held = std::mem::take(&mut *fixture.service.held.borrow_mut());
        for (to, conn, permit) in held {
            conn.reply(&to, 0, None, &(), b"at last");
            drop(permit);
        }
        assert_eq!(call.await.expect("answered").body(), b"at last");
        stop.await;
        assert_eq!(fixture.server.stats().connections, 0);
        assert_eq!(fixture.service.closed.borrow().len(), 1);
    });
}

#[test]
fn a_dialer_shares_connections_backs_off_and_reconnects() {
    check(ServerLimits::default(), |fixture| async move {
        let limits = ConnectionLimits::default();
        let dialer = Rc::new(Dialer::new(Rc::new(NoService), limits, PATIENCE));
        let address = format!("localhost:{}", fixture.address.port());
        let others: Vec<_> = (0..3)
            .map(|_| {
                let (dialer, address) = (Rc::clone(&dialer), address.clone());
                task::spawn("dial", async move { dialer.get(&address).await.map(|conn| conn.id()) })
            })
            .collect();
        let conn = dialer.get(&address).await.expect("connected");
        for other in others {
            assert_eq!(other.await.expect("connected"), conn.id());
        }
        conn.close("test");
        let again = dialer.get(&address).await.expect("connected");
        assert_ne!(again.id(), conn.id());

        fixture.server.stop(Duration::ZERO).await;
        until("noticed", || again.is_closed()).await;
        assert!(matches!(dialer.get(&address).await, Err(DialError::Connect { .. })));
        assert!(matches!(dialer.get(&address).await, Err(DialError::Backoff { .. })));
        assert!(matches!(dialer.get("no port").await, Err(DialError::Resolve { .. })));
    });
}
