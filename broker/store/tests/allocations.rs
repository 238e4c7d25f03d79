//! A warm append and a warm read from memory allocate nothing.
#![allow(unsafe_code, reason = "a counting allocator")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::PathBuf;

use ringmq_runtime::disk::Disk;
use ringmq_runtime::shards::block_on;
use ringmq_store::{
    FlushPolicy, Log, LogId, LogOptions, QueueOffset, ReadLimits, ReadNow, ReadQuery,
};

use common::{WIDE, message};

struct Counting;

thread_local!(static COUNT: Cell<u64> = const { Cell::new(0) });

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain cell of this
// thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn counted<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = COUNT.with(Cell::get);
    let value = work();
    (COUNT.with(Cell::get) - before, value)
}

fn append(log: &Log, number: u32) {
    let properties = "UNIQ_KEY\u{1}7F0000010000\u{2}KEYS\u{1}order payment\u{2}TAGS\u{1}TagA\u{2}";
    let message = message("topic", (number % 8) as i32, &[7; 1024], properties);
    log.append(&message, 1_700_000_000_000).expect("room");
}

#[test]
fn warm_appends_and_reads_from_memory_allocate_nothing() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("store-allocations");
    let _ = std::fs::remove_dir_all(&path);
    let disk = Disk::live(path).expect("a disk");
    block_on(async {
        let options = LogOptions {
            segment_size_bytes: 64 << 20,
            flush: FlushPolicy::Sync,
            tail_window_bytes: 4 << 20,
            // A checkpoint empties the rings of queue entries; without one they double now and
            // then.
            checkpoint_interval: std::time::Duration::from_secs(3600),
            checkpoint_bytes: u64::MAX,
            ..LogOptions::default()
        };
        let opened = Log::open(&disk, "log", LogId(0), options).await;
        let (log, _) = opened.expect("the log opens");
        // 1125 entries per queue: the rings hold 2048.
        for burst in 0..9 {
            (0..1000).for_each(|number| append(&log, burst * 1000 + number));
            while log.acknowledged() < log.end_position() {
                log.acknowledged_beyond(log.acknowledged()).await.expect("a healthy device");
            }
        }
        let (allocated, ()) = counted(|| (0..1000).for_each(|number| append(&log, number)));
        assert_eq!(allocated, 0, "1000 warm appends");

        while log.acknowledged() < log.end_position() {
            log.acknowledged_beyond(log.acknowledged()).await.expect("a healthy device");
        }
        let mut pieces = Vec::with_capacity(64);
        let limits = ReadLimits { count: 32, ..WIDE };
        let from = QueueOffset(log.next_offset("topic", 0).0 - 32);
        let query = ReadQuery { topic: "topic", queue_id: 0, from, limits };
        log.read_now(&query, &mut |_| true, &mut pieces);
        pieces.clear();
        let (allocated, now) = counted(|| log.read_now(&query, &mut |_| true, &mut pieces));
        assert!(matches!(now, ReadNow::Done(result) if result.count == 32), "{now:?}");
        assert_eq!(allocated, 0, "a warm read of 32 messages");
        log.close().await.expect("a clean stop");
    });
}
