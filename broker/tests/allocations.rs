//! Steady sends and pulls allocate nothing.
//!
//! Every allocation is charged to the task that was running. What is left on the way of a message
//! is the executor's own: one small block for each write to the device (glommio's `Source`),
//! whether that write is for one message or for hundreds. What the executor does between tasks (its
//! timers and its ring, some 20 blocks each time round) is in no task. The client is on the same
//! executor, as the task `main`.
#![expect(unsafe_code, reason = "an allocator that counts")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::offset::MaxOffsetRequest;
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_runtime::task;

use support::raw::{RawClient, requests};
use support::{Broker, Brokers, pull_header, send_header, temp_dir};

/// Tasks of different names that are told apart.
const TASKS_MAX: usize = 64;

/// Of all shards.
static COUNTS: Mutex<[(&str, u64); TASKS_MAX]> = Mutex::new([("", 0); TASKS_MAX]);

/// Charges one allocation to the task that runs.
fn count() {
    let Some(name) = task::running() else { return };
    let mut counts = COUNTS.lock().expect("not poisoned");
    let found = counts.iter_mut().find(|(known, _)| *known == name || known.is_empty());
    let (known, count) = found.expect("few tasks have names of their own");
    *known = name;
    *count += 1;
}

struct Counting;

// SAFETY: every call goes to the system's allocator with the arguments as they came; counting
// neither allocates nor has a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: u64 = 200;
const MANY: usize = 32;

/// The 40 KiB of [`MANY`] messages may come in parts, and the part of a frame at the end of one is
/// kept until the rest is there (measured: 18 and 19 blocks in all rounds). One a round is out of
/// noise's reach; one block for each message would be 6,400. A single message comes whole, and its
/// reader takes none.
const PARTS_MAX: u64 = ROUNDS;

/// Tasks that work by the clock or by the megabyte, so a few times during the rounds, with what
/// that may take: about twice what was measured where the rounds took longest. None of it grows
/// with the messages of a second.
const BACKGROUND: [(&str, u64); 6] = [
    // 31 or 32 for a segment of the log.
    ("segment-maker", 64),
    // 3 to 27: a flush each half second.
    ("log-flusher", 60),
    // 20 to 111, and 220 on a machine whose cores are all busy: blocks of the index stream, once a
    // second.
    ("index-checkpoint", 400),
    // 1 or 2 each for a timer of seconds.
    ("connection sweep", 10),
    ("connection deadlines", 10),
    // 10 for one look at the files.
    ("retention", 40),
];

/// Memory of the log's tail that is not used again during the rounds, 7 MiB.
const TAIL_BLOCKS_MAX: u64 = 16;

/// What crosses to another shard wakes it, and glommio keeps wake-ups in blocks of 31; and buffers
/// that go back and forth reach their size one after the other.
const CROSSING: [&str; 5] =
    ["mesh", "mesh replies", "mesh lane", "acknowledge", "connection reader"];
const CROSSING_MAX: u64 = ROUNDS / 6;

/// Writes to the device so far.
fn groups(broker: &Broker) -> u64 {
    broker.data.local.logs().map(|owned| owned.log.stats().counters.groups).sum()
}

/// Runs steady rounds and checks every task of the broker.
async fn check(broker: &Broker, client: &mut RawClient, round: &[u8], answers: usize) {
    let groups_before = groups(broker);
    COUNTS.lock().expect("not poisoned").iter_mut().for_each(|(_, count)| *count = 0);
    for _ in 0..ROUNDS {
        client.exchange(round, answers).await;
    }
    let counts = *COUNTS.lock().expect("not poisoned");
    let groups = groups(broker) - groups_before;
    let counts = counts.iter().filter(|(name, count)| *count > 0 && *name != "main");
    for (name, count) in counts {
        println!("{answers} per round, {groups} groups: {name} {count}");
        let most = match *name {
            "connection reader" if answers > 1 => PARTS_MAX,
            // A megabyte of the tail is a new block now and then.
            "log-writer" => groups + TAIL_BLOCKS_MAX,
            name if CROSSING.contains(&name) && broker.data.local.placement.shards() > 1 => {
                CROSSING_MAX
            }
            name => {
                BACKGROUND.iter().find(|(known, _)| *known == name).map_or(0, |(_, most)| *most)
            }
        };
        assert!(*count <= most, "{name} allocated {count} times, at most {most} are explained");
    }
}

fn brokers(shards: usize) -> Brokers {
    let mut brokers = Brokers::new(shards, 1);
    // The first progress of each client would be saved in one of the rounds.
    brokers.settings.flush_consumer_offset_interval_ms = 3_600_000;
    brokers
}

#[test]
fn steady_sends_and_pulls_allocate_nothing() {
    // With two shards, the kernel gives some of the clients to the one that does not own the log.
    for (shards, clients, is_traced) in [(1, 1, false), (2, 3, false), (1, 1, true), (2, 3, true)] {
        let dir = temp_dir();
        let mut brokers = brokers(shards);
        brokers.settings.send_stage_tracing = is_traced;
        brokers.run(dir.path(), move |broker| async move {
            for _ in 0..clients {
                check_client(&broker).await;
            }
        });
    }
    check_after_a_crash();
}

/// While members are looked for that are ahead of what a crash left.
fn check_after_a_crash() {
    let dir = temp_dir();
    brokers(1).run(dir.path(), |broker| async move {
        broker.data.local.logs().for_each(|owned| owned.look_for_survivors());
        check_client(&broker).await;
        let ahead = PullRequest { consumer_group: "ahead", ..pull_header("T", 2, 1) };
        let pulled = broker.client().await.pull_with(&ahead).await;
        assert_eq!((pulled.code, pulled.next), (response::PULL_OFFSET_MOVED, 0), "it looks");
    });
}

async fn check_client(broker: &Broker) {
    let mut client = RawClient::connect(broker.address).await;
    let header = send_header("T", 1, "KEYS\u{1}order-1\u{2}TAGS\u{1}A\u{2}WAIT\u{1}true\u{2}");
    let code = request::SEND_MESSAGE_V2;
    // Buffers and tables reach their size.
    let many = requests(code, &header, &[7; 1024], MANY);
    for _ in 0..ROUNDS {
        client.exchange(&many, MANY).await;
    }
    check(broker, &mut client, &requests(code, &header, &[7; 1024], 1), 1).await;
    check(broker, &mut client, &many, MANY).await;

    let newest = broker.client().await.pull("T", 1, 0).await.max - 3;
    let header = PullRequest {
        sys_flag: pull_flag::SUBSCRIPTION | pull_flag::COMMIT_OFFSET,
        commit_offset: newest,
        ..pull_header("T", 1, newest)
    };
    let code = request::PULL_MESSAGE;
    // A member that begins at the end asks for it, and may be there after a crash.
    let end = MaxOffsetRequest { topic: "T", queue_id: 1, committed: true, broker_name: None };
    client.exchange(&requests(request::GET_MAX_OFFSET, &end, &[], 1), 1).await;
    let many = requests(code, &header, &[], MANY);
    for _ in 0..ROUNDS {
        client.exchange(&many, MANY).await;
    }
    check(broker, &mut client, &requests(code, &header, &[], 1), 1).await;
    check(broker, &mut client, &many, MANY).await;
}
