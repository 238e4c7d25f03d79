//! What an append costs: `cargo run --release -p ringmq-store --example append_cost [DIRECTORY]
//! [--abort]`.
//!
//! Appends 1 KiB messages with a unique key and a tag to 16 queues, in bursts that fit the room for
//! unwritten bytes, and prints the time inside of the append step alone, the rate of the whole path
//! to the device, the latency of lone durable appends, and how long the log takes to open again.

use std::net::SocketAddr;
use std::time::Duration;

use ringmq_protocol::record::NewRecord;
use ringmq_runtime::clock::{Instant, unix_ms};
use ringmq_runtime::disk::Disk;
use ringmq_runtime::shards::block_on;
use ringmq_store::{AppendError, FlushPolicy, Log, LogId, LogOptions};

const MESSAGES: u64 = 1_000_000;
const BURST: u64 = 256;
const LONE: usize = 2000;

fn main() {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "target/append_cost".to_owned());
    let policies = [
        ("ASYNC_FLUSH", FlushPolicy::Async { interval: Duration::from_millis(500) }),
        ("SYNC_FLUSH", FlushPolicy::Sync),
    ];
    for (name, flush) in policies {
        for record_checksum in [false, true] {
            let options = LogOptions { flush, record_checksum, ..LogOptions::default() };
            let checksum = if record_checksum { "with" } else { "without" };
            println!("{name}, {checksum} whole-record checksum");
            block_on(measure(&directory, &options));
        }
    }
}

async fn measure(directory: &str, options: &LogOptions) {
    let disk = Disk::live(directory).expect("a directory");
    let (log, report) =
        Log::open(&disk, "log", LogId(0), options.clone()).await.expect("the log opens");
    println!("  opened in {:?}, {} records scanned", report.took, report.scanned_records);
    let started = Instant::now();
    let mut bursts = Vec::with_capacity((MESSAGES / BURST) as usize + 1);
    let mut number = 0;
    while number < MESSAGES {
        log.room().await;
        let burst = Instant::now();
        for _ in 0..BURST {
            append(&log, number);
            number += 1;
        }
        bursts.push(burst.elapsed());
        ringmq_runtime::task::yield_now().await;
    }
    let end = log.end_position();
    while log.acknowledged_beyond(log.acknowledged()).await.expect("a healthy device") < end {}
    let took = started.elapsed();
    let stats = log.stats();
    bursts.sort_unstable();
    // The median leaves out bursts in which other programs had the core.
    let step_ns = bursts[bursts.len() / 2].as_nanos() as f64 / BURST as f64;
    println!(
        "  append step {:.0} ns; {:.0} messages/s to the device, {:.0} per group; memory {} MiB",
        step_ns,
        MESSAGES as f64 / took.as_secs_f64(),
        stats.counters.records as f64 / stats.counters.groups as f64,
        stats.memory_bytes >> 20,
    );
    let mut lone = Vec::with_capacity(LONE);
    for _ in 0..LONE {
        let sent = Instant::now();
        let end = append(&log, number);
        number += 1;
        while log.acknowledged_beyond(log.acknowledged()).await.expect("a healthy device") < end {}
        lone.push(sent.elapsed());
    }
    lone.sort_unstable();
    println!("  lone append p50 {:?}, p99 {:?}", lone[LONE / 2], lone[LONE * 99 / 100]);
    if std::env::args().any(|argument| argument == "--abort") {
        println!("  aborting: run again to see how long the next open takes");
        std::process::abort();
    }
    log.close().await.expect("a clean stop");
}

fn append(log: &Log, number: u64) -> ringmq_store::LogPosition {
    const BODY: [u8; 1024] = [b'x'; 1024];
    let host = SocketAddr::from(([127, 0, 0, 1], 10911));
    let mut key =
        *b"UNIQ_KEY\x017F0000010000000000000000________\x02TAGS\x01TagA\x02WAIT\x01true\x02";
    let mut rest = number;
    for digit in key[33..41].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let message = NewRecord {
        topic: "BenchmarkTopic",
        queue_id: (number % 16) as i32,
        flag: 0,
        sys_flag: 0,
        born_at_ms: 0,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: &BODY,
        properties: std::str::from_utf8(&key).expect("ASCII"),
        extra: &[("CLUSTER", "DefaultCluster"), ("TRACE_ON", "true")],
        with_record_crc: false,
    };
    match log.append(&message, unix_ms()) {
        Ok(appended) => appended.end,
        Err(AppendError::Full { .. }) => panic!("a burst fits behind room()"),
        Err(error) => panic!("append: {error}"),
    }
}
