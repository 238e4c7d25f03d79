//! A server with a service for tests, its peers, and the worlds that each test runs in.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::{Command, RequestHead, SerializeType, frame, write_request};
use ringmq_remoting::{
    Connection, ConnectionLimits, NoService, Permit, ReplyTo, Server, ServerLimits, Service, dial,
    serve,
};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::{Listener, Reuse, Stream};
use ringmq_runtime::sim::World;
use ringmq_runtime::{shards, task};

pub const ECHO: i32 = 1;
/// Answered when the test says so.
pub const HOLD: i32 = 2;
/// Answered with as many bytes as the body says.
pub const LARGE: i32 = 3;
/// The service makes a call back over the same connection and answers with what it got.
pub const CALL_BACK: i32 = 4;
/// Answered at once; others have a turn before the next request.
pub const LONG: i32 = 5;

pub const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct TestService {
    pub held: RefCell<Vec<(ReplyTo, Rc<Connection>, Permit)>>,
    pub requests: RefCell<Vec<i32>>,
    /// How many requests there were at the end of each turn.
    pub turns: RefCell<Vec<usize>>,
    pub closed: RefCell<Vec<u64>>,
}

impl Service for TestService {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, frame: &[u8]) {
        self.requests.borrow_mut().push(command.opaque);
        let to = ReplyTo::of(command);
        match command.code {
            ECHO => connection.reply(&to, 0, None, &(), command.body),
            HOLD => {
                let permit = connection.admit(frame.len());
                self.held.borrow_mut().push((to, Rc::clone(connection), permit));
            }
            LARGE => {
                let len = command.body.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
                connection.reply(&to, 0, None, &(), &vec![7; len]);
            }
            CALL_BACK => {
                let connection = Rc::clone(connection);
                let call = connection.call(ECHO, &(), b"from the server", PATIENCE);
                let answer = async move {
                    let body = call.await.map(|answer| answer.body().to_vec());
                    connection.reply(&to, 0, None, &(), &body.expect("answered"));
                };
                task::spawn("call back", answer).detach();
            }
            LONG => {
                connection.reply(&to, 0, None, &(), &[]);
                connection.give_way();
            }
            _ => connection.reply_unsupported(command),
        }
    }

    fn on_read_end(&self, _: &Rc<Connection>) {
        self.turns.borrow_mut().push(self.requests.borrow().len());
    }

    fn on_close(&self, connection: &Rc<Connection>) {
        self.closed.borrow_mut().push(connection.id());
    }
}

pub struct Fixture {
    pub server: Rc<Server<TestService>>,
    pub service: Rc<TestService>,
    pub address: SocketAddr,
}

impl Fixture {
    pub fn start(limits: ServerLimits) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(loopback, Reuse::No).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let service = Rc::new(TestService::default());
        let server = serve(listener, Rc::clone(&service), limits);
        Self { server, service, address }
    }

    pub async fn dial(&self) -> Rc<Connection> {
        let limits = ConnectionLimits::default();
        dial(self.address, PATIENCE, Rc::new(NoService), limits).await.expect("connected")
    }
}

/// Simulated networks that each test runs in: each splits and delays the streams in its own way.
pub const SEEDS: std::ops::Range<u64> = 1..4;

/// Runs a test on real sockets and in simulated networks, with a limit.
pub fn check<F: Future<Output = ()>>(limits: ServerLimits, test: impl Fn(Fixture) -> F) {
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
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        task::sleep(Duration::from_millis(1)).await;
    }
}

pub fn request(opaque: i32, code: i32, oneway: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let serialize = SerializeType::Json;
    let head = RequestHead { serialize, code, opaque, oneway, remark: None };
    write_request(&mut bytes, head, &(), body);
    bytes
}

/// A client that knows only bytes.
pub struct RawClient {
    reader: ringmq_runtime::net::ReadHalf,
    writer: ringmq_runtime::net::WriteHalf,
    received: Vec<u8>,
}

impl RawClient {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = Stream::connect(address, PATIENCE).await.expect("connected");
        let (reader, writer) = stream.split();
        Self { reader, writer, received: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(&mut [IoSlice::new(bytes)]).await
    }

    /// The next answer as opaque, code and body; `None` when the connection was closed.
    pub async fn answer(&mut self) -> Option<(i32, i32, Vec<u8>)> {
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
