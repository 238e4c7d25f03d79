//! From which size on a range of a file should leave by `sendfile`, and not through memory.
//!
//! `cargo run --release -p ringmq-runtime --example sendfile_crossover -- DIRECTORY` prints the CPU
//! time of both ends of a connection per KiB, for answers of rising size that consist of a head and
//! a body:
//!
//! | column | how the body leaves |
//! |---|---|
//! | memory | a slice that is there, in one gathered write with the head |
//! | copy | copied first, from a cache of chunks that holds it |
//! | chunk | the same, and the chunks of 128 KiB are read past the page cache |
//! | warm | `sendfile` from the page cache, after a write for the head |
//! | cold | the same, and the page cache has to read it |
//!
//! The store's constant for it is `FILE_RUN_MIN_BYTES` in `broker/store/src/fetch.rs`.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::time::Duration;

use ringmq_runtime::buffer::{DmaBuffer, Shared};
use ringmq_runtime::disk::{Access, Disk, File};
use ringmq_runtime::net::{Listener, Reuse, Stream, WriteHalf};
use ringmq_runtime::shards::{Cores, ShardsConfig, run};
use ringmq_runtime::{process, task};

const FILE: &str = "sendfile-crossover.tmp";
const FILE_BYTES: usize = 64 << 20;

/// The unit of the store's read cache.
const CHUNK_BYTES: usize = 128 << 10;

/// Times that the file is sent for each value; the median counts.
const PARTS: usize = 3;

/// Head of a pull answer.
const HEAD: [u8; 200] = [7; 200];

#[derive(Clone, Copy)]
enum Way {
    Memory,
    Copy,
    Chunk,
    Warm,
    Cold,
}

const WAYS: [Way; 5] = [Way::Memory, Way::Copy, Way::Chunk, Way::Warm, Way::Cold];

fn main() {
    let directory = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let config = ShardsConfig::new(Cores::Pinned(1));
    run(&config, |_| async { measure(&directory).await }).expect("started");
}

async fn measure(directory: &str) {
    let disk = Disk::live(directory).expect("path");
    disk.create_zeroed(FILE, FILE_BYTES as u64).await.expect("create");
    let file = disk.open(FILE, Access::ReadWrite).await.expect("open");
    file.write_at(0, DmaBuffer::alloc(1 << 20)).await.expect("write");
    let memory = file.read_at(0, FILE_BYTES).await.expect("read");
    let mut to = connect().await;
    // Into the page cache.
    to.send_file(&file.view(), 0, FILE_BYTES as u64).await.expect("send");

    print!("ns of CPU per KiB");
    ["memory", "copy", "chunk", "warm", "cold"].iter().for_each(|way| print!("{way:>10}"));
    println!();
    for size in [1, 4, 8, 16, 24, 32, 48, 64, 128, 256].map(|kib| kib << 10) {
        print!("{:>13} KiB", size >> 10);
        for way in WAYS {
            let mut samples = [0.0; PARTS];
            for sample in &mut samples {
                *sample = ns_per_kib(&mut to, &file, &memory, way, size).await;
            }
            samples.sort_by(f64::total_cmp);
            print!("{:>10.0}", samples[PARTS / 2]);
        }
        println!();
    }
    disk.remove_file(FILE).await.expect("remove");
}

/// A connection whose other end takes everything at once.
async fn connect() -> WriteHalf {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Reuse::No).expect("bind");
    let addr = listener.local_addr().expect("address");
    let reader = async move {
        let (mut from, _to) = listener.accept().await.expect("accept").0.split();
        while from.read_with(<[u8]>::len).await.expect("read") > 0 {}
    };
    task::spawn("reader", reader).detach();
    Stream::connect(addr, Duration::from_secs(1)).await.expect("connect").split().1
}

async fn ns_per_kib(
    to: &mut WriteHalf,
    file: &File,
    memory: &Shared,
    way: Way,
    size: usize,
) -> f64 {
    let view = file.view();
    if matches!(way, Way::Cold) {
        forget_pages(file).await;
    }
    let cpu = process::cpu_time();
    // Records do not begin at pages.
    let mut pos = 1000;
    let mut sent = 0;
    let mut read_until = 0;
    while pos + size <= FILE_BYTES {
        let slice = || memory.slice(pos..pos + size);
        match way {
            Way::Memory => send(to, &slice()).await,
            Way::Copy => send(to, &Shared::copy_of(&slice())).await,
            Way::Chunk => {
                while read_until < pos + size {
                    file.read_at(read_until as u64, CHUNK_BYTES).await.expect("read");
                    read_until += CHUNK_BYTES;
                }
                send(to, &Shared::copy_of(&slice())).await;
            }
            Way::Warm | Way::Cold => {
                to.write_all(&mut [IoSlice::new(&HEAD)]).await.expect("write");
                to.send_file(&view, pos as u64, size as u64).await.expect("send");
            }
        }
        sent += size;
        pos += size;
    }
    let used = process::cpu_time() - cpu;
    used.as_secs_f64() * 1e9 / (sent as f64 / 1024.0)
}

/// Takes the file out of the page cache, by direct writes.
async fn forget_pages(file: &File) {
    let mut buffer = DmaBuffer::alloc(1 << 20);
    for at in (0..FILE_BYTES).step_by(1 << 20) {
        buffer = file.write_at(at as u64, buffer).await.expect("write");
    }
}

async fn send(to: &mut WriteHalf, body: &[u8]) {
    to.write_all(&mut [IoSlice::new(&HEAD), IoSlice::new(body)]).await.expect("write");
}
