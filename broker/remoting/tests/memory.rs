//! What connections cost: counted by an allocator, per thread, so that tests do not disturb each
//! other.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::{
    Command, RequestHead, ResponseHead, SerializeType, write_request, write_response,
};
use ringmq_remoting::{Connection, ReplyTo, Server, ServerLimits, Service, serve};
use ringmq_runtime::net::{Listener, ReadHalf, Reuse, Stream, WriteHalf};
use ringmq_runtime::{shards, task};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(allocations: u64, bytes: i64) {
    // The thread-locals have no destructor, so they can be used to the end of a thread.
    ALLOCATIONS.with(|counter| counter.set(counter.get() + allocations));
    LIVE_BYTES.with(|counter| counter.set(counter.get() + bytes));
}

// SAFETY: every call goes to the system allocator unchanged; counting touches no memory of it.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(1, new_size as i64 - layout.size() as i64);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Echoes bodies, and counts what it allocates between the first frame of a read and its end.
#[derive(Default)]
struct Echo {
    requests: Cell<u64>,
    started_at: Cell<Option<u64>>,
    allocations: Cell<u64>,
}

impl Service for Echo {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, _frame: &[u8]) {
        if self.started_at.get().is_none() {
            self.started_at.set(Some(ALLOCATIONS.get()));
        }
        self.requests.set(self.requests.get() + 1);
        connection.reply(&ReplyTo::of(command), 0, None, &(), command.body);
    }

    fn on_read_end(&self, connection: &Rc<Connection>) {
        connection.flush();
        if let Some(started_at) = self.started_at.take() {
            self.allocations.set(self.allocations.get() + ALLOCATIONS.get() - started_at);
        }
    }
}

fn start() -> (Rc<Server<Echo>>, Rc<Echo>, SocketAddr) {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(loopback, Reuse::No).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let service = Rc::new(Echo::default());
    (serve(listener, Rc::clone(&service), ServerLimits::default()), service, address)
}

async fn connect(address: SocketAddr) -> (ReadHalf, WriteHalf) {
    Stream::connect(address, Duration::from_secs(10)).await.expect("connected").split()
}

/// Sends `batch` and reads the `answer_len` bytes of its answers, `rounds` times.
async fn rounds(
    (reader, writer): (&mut ReadHalf, &mut WriteHalf),
    batch: &[u8],
    answer_len: usize,
    rounds: u32,
) {
    for _ in 0..rounds {
        writer.write_all(&mut [IoSlice::new(batch)]).await.expect("sent");
        let mut received = 0;
        while received < answer_len {
            let read = reader.read_with(<[u8]>::len).await.expect("received");
            assert!(read > 0, "closed after {received} of {answer_len} bytes");
            received += read;
        }
    }
}

#[test]
fn steady_requests_and_replies_allocate_nothing() {
    const BODY: [u8; 1024] = [7; 1024];
    let (mut batch, mut answers) = (Vec::new(), Vec::new());
    for (opaque, serialize) in [(1, SerializeType::Json), (2, SerializeType::RocketMq)] {
        let head = RequestHead { serialize, code: 10, opaque, oneway: false, remark: None };
        write_request(&mut batch, head, &[("topic", "T"), ("queueId", "3")], &BODY);
        let head = ResponseHead { serialize, opaque, code: 0, remark: None };
        write_response(&mut answers, head, &(), &BODY);
    }
    let (batch, answer_len) = (batch.repeat(8), answers.len() * 8);
    shards::block_on(async {
        let (_server, service, address) = start();
        let (mut reader, mut writer) = connect(address).await;
        rounds((&mut reader, &mut writer), &batch, answer_len, 20).await;
        service.allocations.set(0);
        let before = ALLOCATIONS.get();
        rounds((&mut reader, &mut writer), &batch, answer_len, 200).await;
        assert_eq!(service.requests.get(), 220 * 16);
        assert_eq!(service.allocations.get(), 0, "from the first frame of a read to its reply");
        // The rest is the executor's, on both sides of the connection: per read, not per request.
        let all = ALLOCATIONS.get() - before;
        println!("{all} allocations of the executor in 200 round trips of 16 requests");
        assert!(all < 200 * 16, "{all} allocations in 200 round trips of 16 requests");
    });
}

#[test]
fn idle_connections_are_small() {
    shards::block_on(async {
        let (server, _, address) = start();
        let mut clients = Vec::with_capacity(500);
        clients.push(connect(address).await);
        let before = LIVE_BYTES.get();
        for _ in 1..500 {
            clients.push(connect(address).await);
        }
        while server.stats().connections < 500 {
            task::yield_now().await;
        }
        let each = (LIVE_BYTES.get() - before) / 499;
        println!("{each} bytes per pair of idle connections");
        assert!(each < 6_000, "{each} bytes per pair of idle connections");
    });
}

#[test]
fn announced_frames_cost_only_the_bytes_that_came() {
    shards::block_on(async {
        let (_server, service, address) = start();
        let mut clients = Vec::with_capacity(100);
        let before = LIVE_BYTES.get();
        for _ in 0..100 {
            let (reader, mut writer) = connect(address).await;
            // In one piece with a request, whose count tells that it has come.
            let mut start = Vec::new();
            let serialize = SerializeType::Json;
            let head = RequestHead { serialize, code: 1, opaque: 1, oneway: true, remark: None };
            write_request(&mut start, head, &(), &[]);
            start.extend_from_slice(&[0, 0xff, 0xff, 0xf0, 0, 0, 0, 9, 1]);
            writer.write_all(&mut [IoSlice::new(&start)]).await.expect("sent");
            clients.push((reader, writer));
        }
        while service.requests.get() < 100 {
            task::yield_now().await;
        }
        let each = (LIVE_BYTES.get() - before) / 100;
        assert!(each < 8_000, "{each} bytes for an announcement of 16 MiB");
    });
}
