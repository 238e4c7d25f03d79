//! Steady sends and pulls allocate nothing per message.
//!
//! What a round costs besides its messages (waking tasks, asking the kernel) is not ours to avoid
//! and does not grow with them. So rounds of one message are compared with rounds of many: the
//! difference is what messages cost. The client runs on the same executor and allocates nothing
//! itself.
#![expect(unsafe_code, reason = "an allocator that counts")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use ringmq_protocol::codes::request;
use ringmq_protocol::{RequestHead, SerializeType, WriteHeader, write_request};
use support::raw::RawClient;
use support::{Setup, pull_header, send_header, temp_dir};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator with the arguments as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: u64 = 200;
const MANY: usize = 32;

/// On a busy machine a round of many takes a few reads and groups more than a round of one. One
/// allocation per message would be a thousand.
const PER_THOUSAND_MAX: u64 = 250;

fn requests(code: i32, header: &impl WriteHeader, body: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for opaque in 0..count as i32 {
        let serialize = SerializeType::RocketMq;
        let head = RequestHead { serialize, code, opaque, oneway: false, remark: None };
        write_request(&mut bytes, head, header, body);
    }
    bytes
}

async fn allocations(client: &mut RawClient, round: &[u8], answers: usize) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..ROUNDS {
        client.exchange(round, answers).await;
    }
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// Runs rounds of one and of many requests and checks what the many cost more.
async fn check(what: &str, client: &mut RawClient, one: &[u8], many: &[u8]) {
    // Buffers and tables reach their size.
    allocations(client, many, MANY).await;
    allocations(client, one, 1).await;
    let of_one = allocations(client, one, 1).await;
    let of_many = allocations(client, many, MANY).await;
    let messages = ROUNDS * (MANY as u64 - 1);
    let more = of_many.saturating_sub(of_one);
    println!("{what}: {of_one} with 1 per round, {of_many} with {MANY}: {more} for {messages}");
    assert!(
        more * 1000 <= messages * PER_THOUSAND_MAX,
        "{what}: {more} allocations for {messages} messages"
    );
}

#[test]
fn steady_sends_and_pulls_allocate_nothing_per_message() {
    let dir = temp_dir();
    Setup::new(1, 1).run(dir.path(), |bench| async move {
        let mut client = RawClient::connect(bench.address).await;
        let header = send_header("T", 1, "KEYS\u{1}order-1\u{2}TAGS\u{1}A\u{2}WAIT\u{1}true\u{2}");
        let code = request::SEND_MESSAGE_V2;
        let (one, many) =
            (requests(code, &header, &[7; 1024], 1), requests(code, &header, &[7; 1024], MANY));
        check("sends", &mut client, &one, &many).await;

        let newest = bench.client().await.pull("T", 1, 0).await.max - 3;
        let header = pull_header("T", 1, newest);
        let code = request::PULL_MESSAGE;
        let (one, many) = (requests(code, &header, &[], 1), requests(code, &header, &[], MANY));
        check("pulls of three messages", &mut client, &one, &many).await;
    });
}
