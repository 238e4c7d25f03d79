//! Connections in simulated networks that lose, delay and cut. A failure names its seed; the world
//! of a seed is always the same.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::{Command, RequestHead, SerializeType, write_request};
use ringmq_remoting::{
    Connection, ConnectionLimits, Dialer, NoService, ReplyTo, Server, ServerLimits, Service, dial,
    serve,
};
use ringmq_runtime::net::{Listener, Reuse, Stream};
use ringmq_runtime::sim::{Chance, World};
use ringmq_runtime::task;

const PORT: u16 = 9876;
const SERVER: u32 = 1;
const CLIENT: u32 = 2;
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Echo {
    opened_and_closed: Cell<u64>,
}

impl Service for Echo {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, _frame: &[u8]) {
        connection.reply(&ReplyTo::of(command), 0, None, &(), command.body);
    }

    fn on_close(&self, _connection: &Rc<Connection>) {
        self.opened_and_closed.set(self.opened_and_closed.get() + 1);
    }
}

/// Starts a server on its node, and gives it out.
async fn start(world: &World) -> (Rc<Server<Echo>>, Rc<Echo>, SocketAddr) {
    let address = SocketAddr::new(world.ip(SERVER), PORT);
    let service = Rc::new(Echo::default());
    let of_task = Rc::clone(&service);
    let serving = world.spawn_on(SERVER, "server", async move {
        let listener = Listener::bind(address, Reuse::No).expect("a free port");
        serve(listener, of_task, ServerLimits::default())
    });
    (serving.await, service, address)
}

/// Makes calls over connections that break and come back; returns how many were answered.
async fn call_many(address: SocketAddr, count: u32) -> u32 {
    let limits = ConnectionLimits::default();
    let dialer = Dialer::new(Rc::new(NoService), limits, TIMEOUT);
    let mut answered = 0;
    for number in 0..count {
        let Ok(connection) = dialer.get(&address.to_string()).await else {
            task::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let body = number.to_be_bytes().repeat(1 + number as usize % 300);
        // Two at a time, so that answers are matched and not only taken in order.
        let other = connection.call(1, &(), b"other", TIMEOUT);
        if let Ok(answer) = connection.call(1, &(), &body, TIMEOUT).await {
            assert!(answer.body() == body, "the answer to another call");
            answered += 1;
        }
        if let Ok(answer) = other.await {
            assert_eq!(answer.body(), b"other");
        }
    }
    answered
}

#[test]
fn calls_get_their_own_answer_or_an_error_while_connections_break() {
    for seed in 0..20 {
        let world = World::new(seed);
        world.run(async {
            let (server, service, address) = start(&world).await;
            world.net_faults(|faults| faults.reset = Chance::per_mille(20));
            let calls = world.spawn_on(CLIENT, "client", call_many(address, 100));
            let answered = calls.await;
            assert!((1..100).contains(&answered), "seed {seed}: {answered} answered");
            world.net_faults(|faults| faults.reset = Chance::NEVER);
            // The pauses after failed attempts last 5 s at most.
            task::sleep(Duration::from_secs(6)).await;
            let answered = world.spawn_on(CLIENT, "client", call_many(address, 50)).await;
            assert_eq!(answered, 50, "seed {seed}: in a network that works again");
            let stats = server.stats();
            let closed = service.opened_and_closed.get();
            assert_eq!(stats.accepted, closed + stats.connections as u64, "seed {seed}");
        });
    }
}

#[test]
fn calls_time_out_in_a_partition_and_go_on_after_it() {
    for seed in 0..10 {
        let world = World::new(seed);
        world.run(async {
            let (_server, _, address) = start(&world).await;
            world.net_faults(|faults| faults.partitions.push((SERVER, 0)));
            let cut_off = Dialer::new(Rc::new(NoService), ConnectionLimits::default(), TIMEOUT);
            assert!(cut_off.get(&address.to_string()).await.is_err(), "seed {seed}");
            world.net_faults(|faults| faults.partitions.clear());

            let limits = ConnectionLimits::default();
            let connection =
                dial(address, TIMEOUT, Rc::new(NoService), limits).await.expect("connected");
            world.net_faults(|faults| faults.partitions.push((SERVER, 0)));
            assert!(connection.call(1, &(), b"lost", TIMEOUT).await.is_err(), "seed {seed}");
            world.net_faults(|faults| faults.partitions.clear());
            let answer = connection.call(1, &(), b"found", TIMEOUT).await.expect("answered");
            assert_eq!(answer.body(), b"found", "seed {seed}: not the late answer");
        });
    }
}

/// Long before the next sweep.
const SOON: Duration = Duration::from_secs(1);

#[test]
fn many_peers_that_take_nothing_do_not_add_up() {
    const PEERS: usize = 6;
    const BYTES: usize = 4 << 20;
    for seed in 0..3 {
        let world = World::new(seed);
        world.run(async {
            let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], PORT)), Reuse::No);
            let mut limits =
                ServerLimits { out_copied_total_max_bytes: 14 << 20, ..Default::default() };
            limits.idle_timeout = Duration::from_secs(3600);
            let service = Rc::new(Echo::default());
            let server = serve(listener.expect("a free port"), Rc::clone(&service), limits);
            let address = SocketAddr::from(([127, 0, 0, 1], PORT));
            let mut peers = Vec::new();
            for _ in 0..PEERS {
                // Connected, and never reads.
                peers.push(Stream::connect(address, TIMEOUT).await.expect("connected"));
            }
            while server.stats().connections < PEERS {
                task::sleep(Duration::from_millis(1)).await;
            }
            server.for_each_connection(|connection| {
                let push = vec![7; BYTES];
                connection.send_oneway(1, &(), &push);
            });
            task::sleep(SOON).await;
            let left = server.stats().connections;
            assert!(left >= 3, "{left} connections are within the limit");
            assert!(left < PEERS, "all were kept");
            let mut waiting = 0;
            server.for_each_connection(|connection| waiting += connection.out_bytes());
            assert!(waiting <= 14 << 20, "{waiting} bytes wait");
            assert_eq!(service.opened_and_closed.get(), (PEERS - left) as u64);
        });
    }
}

#[test]
fn frames_that_never_end_do_not_add_up() {
    const SENT: [usize; 4] = [1 << 20, 2 << 20, 2 << 20, 12 << 20];
    let world = World::new(1);
    world.run(async {
        let address = SocketAddr::from(([127, 0, 0, 1], PORT));
        let listener = Listener::bind(address, Reuse::No).expect("a free port");
        let limits = ServerLimits { unfinished_total_max_bytes: 14 << 20, ..Default::default() };
        let service = Rc::new(Echo::default());
        let server = serve(listener, Rc::clone(&service), limits);
        let mut peers = Vec::new();
        for sent in SENT {
            let stream = Stream::connect(address, TIMEOUT).await.expect("connected");
            let (read, mut write) = stream.split();
            let mut begun = (15_i32 << 20).to_be_bytes().to_vec();
            begun.resize(sent, 0);
            // The largest is closed in the middle of it.
            let written = write.write_all(&mut [IoSlice::new(&begun)]).await;
            assert!(written.is_ok() || sent == SENT[3], "{sent}");
            peers.push((read, write));
        }
        task::sleep(SOON).await;
        // Without the largest of them the others are within the limit.
        assert_eq!(server.stats().connections, SENT.len() - 1);
        let (mut largest, _writer) = peers.pop().expect("the last one");
        assert!(largest.read_with(<[u8]>::is_empty).await.unwrap_or(true), "it was closed");
        assert_eq!(service.opened_and_closed.get(), 1);
    });
}

/// Pauses the connection of the first request until the test lets it go on.
#[derive(Default)]
struct Pausing {
    first: RefCell<Option<Rc<Connection>>>,
    requests: Cell<usize>,
}

impl Service for Pausing {
    fn on_request(&self, connection: &Rc<Connection>, _command: &Command<'_>, _frame: &[u8]) {
        self.requests.set(self.requests.get() + 1);
        if self.first.borrow().is_none() {
            connection.pause_reading();
            *self.first.borrow_mut() = Some(Rc::clone(connection));
        }
    }
}

#[test]
fn whole_frames_that_wait_for_a_paused_connection_are_not_held_against_it() {
    const FRAMES: usize = 100;
    for seed in 1..4 {
        let world = World::new(seed);
        world.run(async {
            let address = SocketAddr::from(([127, 0, 0, 1], PORT));
            let listener = Listener::bind(address, Reuse::No).expect("a free port");
            // Less than what of them is read before the pause.
            let limits = ServerLimits { unfinished_total_max_bytes: 100, ..Default::default() };
            let service = Rc::new(Pausing::default());
            let server = serve(listener, Rc::clone(&service), limits);
            let stream = Stream::connect(address, TIMEOUT).await.expect("connected");
            let (_read, mut write) = stream.split();
            let mut frames = Vec::new();
            for opaque in 0..FRAMES {
                let serialize = SerializeType::Json;
                let opaque = i32::try_from(opaque).expect("few");
                let head = RequestHead { serialize, code: 1, opaque, oneway: false, remark: None };
                write_request(&mut frames, head, &(), &[7; 500]);
            }
            write.write_all(&mut [IoSlice::new(&frames)]).await.expect("sent");
            task::sleep(Duration::from_secs(20)).await;
            assert_eq!((server.stats().connections, service.requests.get()), (1, 1));
            let paused = service.first.borrow().clone().expect("the first request came");
            paused.resume_reading();
            task::sleep(Duration::from_secs(1)).await;
            assert_eq!((server.stats().connections, service.requests.get()), (1, FRAMES));
        });
    }
}

#[test]
fn a_peer_that_vanished_is_let_go_after_the_idle_time() {
    let world = World::new(7);
    world.run(async {
        let (server, service, address) = start(&world).await;
        let client = world.spawn_on(CLIENT, "client", async move {
            let limits = ConnectionLimits::default();
            let dialed = dial(address, TIMEOUT, Rc::new(NoService), limits).await;
            let connection = dialed.expect("connected");
            connection.call(1, &(), b"hello", TIMEOUT).await.expect("answered");
            std::future::pending::<()>().await;
        });
        task::sleep(Duration::from_secs(1)).await;
        assert_eq!(server.stats().connections, 1);
        world.net_faults(|faults| {
            faults.partitions.extend([(SERVER, CLIENT), (CLIENT, SERVER)]);
        });
        task::sleep(Duration::from_secs(100)).await;
        assert_eq!(server.stats().connections, 1);
        task::sleep(Duration::from_secs(30)).await;
        assert_eq!((server.stats().connections, service.opened_and_closed.get()), (0, 1));
        drop(client);
    });
}
