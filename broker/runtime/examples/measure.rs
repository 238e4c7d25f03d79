//! What the runtime costs on this machine: the floor that everything above it stands on.
//!
//! `cargo run --release -p ringmq-runtime --example measure -- DIRECTORY`, on a quiet machine.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::time::Duration;

use ringmq_runtime::buffer::DmaBuffer;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::{Access, Disk};
use ringmq_runtime::net::{Listener, Reuse, Stream};
use ringmq_runtime::shards::{Cores, ShardsConfig, run, run_with};
use ringmq_runtime::{mesh, process, task};

fn main() {
    let directory = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let config = ShardsConfig::new(Cores::Pinned(1));
    let started = run(&config, |_| async {
        idle().await;
        tasks().await;
        echo().await;
        appends(&directory).await;
    });
    started.expect("started");
    hops();
    println!("{:<44}{:>9.1} MiB", "resident", process::rss_bytes() as f64 / f64::from(1 << 20));
}

fn show(what: &str, value: f64, unit: &str) {
    println!("{what:<44}{value:>9.2} {unit}");
}

/// Median and 99th percentile of what `samples` took, in microseconds.
fn show_latency(what: &str, mut samples: Vec<Duration>) {
    samples.sort();
    let at = |part: f64| samples[(samples.len() as f64 * part) as usize].as_secs_f64() * 1e6;
    println!("{what:<44}{:>9.1} us p50 {:>9.1} us p99", at(0.5), at(0.99));
}

async fn idle() {
    task::sleep(Duration::from_millis(200)).await;
    let (start, cpu) = (Instant::now(), process::cpu_time());
    task::sleep(Duration::from_secs(3)).await;
    let used = process::cpu_time() - cpu;
    show("idle", 100.0 * used.as_secs_f64() / start.elapsed().as_secs_f64(), "% of a core");
}

async fn tasks() {
    const ROUNDS: u32 = 300_000;
    let per_round = |start: Instant| start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS);
    let start = Instant::now();
    for _ in 0..ROUNDS {
        task::spawn("empty", async {}).await;
    }
    show("spawn and await a task", per_round(start), "ns");
    let start = Instant::now();
    task::spawn("yields", async {
        for _ in 0..ROUNDS {
            task::yield_now().await;
        }
    })
    .await;
    show("yield (one watched poll)", per_round(start), "ns");
    let start = Instant::now();
    for _ in 0..ROUNDS {
        std::hint::black_box(Instant::now());
    }
    show("read the clock", per_round(start), "ns");
}

/// Round trips of 128 bytes to another shard's thread would measure its wake-up too; here both
/// ends share the shard.
async fn echo() {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Reuse::No).expect("bind");
    let addr = listener.local_addr().expect("address");
    let server = task::spawn("server", async move {
        let (mut read, mut write) = listener.accept().await.expect("accept").0.split();
        loop {
            let bytes = read.read_with(<[u8]>::to_vec).await.expect("read");
            if bytes.is_empty() {
                return;
            }
            write.write_all(&mut [IoSlice::new(&bytes)]).await.expect("write");
        }
    });
    let stream = Stream::connect(addr, Duration::from_secs(1)).await.expect("connect");
    let (mut read, write) = stream.split();
    let mut samples = Vec::new();
    let cpu = process::cpu_time();
    for _ in 0..20_000 {
        let start = Instant::now();
        write.try_write(&[IoSlice::new(&[0; 128])]).expect("room");
        read.read_with(<[u8]>::len).await.expect("read");
        samples.push(start.elapsed());
    }
    let used = (process::cpu_time() - cpu).as_secs_f64() * 1e6 / samples.len() as f64;
    show_latency("echo of 128 bytes, one shard", samples);
    show("echo of 128 bytes, CPU of both ends", used, "us");
    drop((read, write));
    server.await;
}

async fn appends(directory: &str) {
    const FILE: &str = "measure.tmp-log";
    const LEN: u64 = 256 << 20;
    let disk = Disk::live(directory).expect("path");
    let start = Instant::now();
    disk.create_zeroed(FILE, LEN).await.expect("create");
    let rate = LEN as f64 / start.elapsed().as_secs_f64() / 1e6;
    show("zero-fill", rate, "MB/s");
    let file = disk.open(FILE, Access::ReadWrite).await.expect("open");
    for kib in [4, 64, 1024] {
        let mut buffer = DmaBuffer::alloc(kib << 10);
        for on_helper in [false, true] {
            let mut samples = Vec::new();
            let cpu = process::cpu_time();
            for number in 0..200 {
                let pos = number * ((kib as u64) << 10);
                let start = Instant::now();
                if on_helper {
                    buffer = file.write_and_sync(pos, buffer).await.expect("write");
                } else {
                    buffer = file.write_at(pos, buffer).await.expect("write");
                    file.sync_data().await.expect("sync");
                }
                samples.push(start.elapsed());
            }
            let used = (process::cpu_time() - cpu).as_secs_f64() * 1e6 / samples.len() as f64;
            let how = if on_helper { "by a helper thread" } else { "by the ring" };
            show_latency(&format!("write and sync {kib} KiB {how}"), samples);
            show(&format!("write and sync {kib} KiB {how}, CPU"), used, "us");
        }
    }
    disk.remove_file(FILE).await.expect("remove");
}

/// Messages between two shards and back.
fn hops() {
    let ports = mesh::build::<u32>(2, 1024);
    let config = ShardsConfig::new(Cores::Pinned(2));
    let outcome = run_with(&config, ports, |context, port| async move {
        let mut samples = Vec::new();
        for number in 0..20_000 {
            let start = Instant::now();
            if context.shard == 0 {
                port.send(1, number).await;
                port.recv().await;
                samples.push(start.elapsed());
            } else {
                let (from, number) = port.recv().await;
                port.send(from, number).await;
            }
        }
        samples
    });
    match outcome {
        Ok(samples) => show_latency("mesh: there and back", samples[0].clone()),
        Err(error) => println!("mesh: not measured: {error}"),
    }
}
