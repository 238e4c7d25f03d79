//! `bench limits`: what this machine allows, before any broker is judged by it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use ringmq_runtime::{clock, random};
use serde::Serialize;

use crate::args::{Durability, LimitsArgs};
use crate::driver::Load;
use crate::driver::lane::Lane;
use crate::ending::Ending;
use crate::error::BenchError;
use crate::limits::device::{Device, Writes};
use crate::limits::memory::{self, Bandwidth};
use crate::limits::{MEASURED, null_broker, null_server};
use crate::measure::{Measured, Used};
use crate::record::archive::Archive;
use crate::record::latencies::LatencySummary;
use crate::report::{Outcome, live, table};
use crate::target::caller;
use crate::target::child::OwnProcess;
use crate::target::embedded::scratch_directory;
use crate::workload::send::{BrokerTopic, SendPlan, SendWork};
use crate::workload::topics::{Spread, TopicDraw};

/// Sizes of a write: a lone message, groups of growing size.
const WRITE_SIZES_BYTES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// Writes at the same time.
const WRITE_DEPTHS: [u32; 3] = [1, 4, 16];

/// Blocks that are copied and summed: messages of common sizes, and a group.
const BLOCK_SIZES_BYTES: [usize; 4] = [256, 1 << 10, 4 << 10, 64 << 10];

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Limits {
    directory: PathBuf,
    device: Vec<DeviceRow>,
    memory: Vec<Bandwidth>,
    /// Round trip to a server that stores nothing, one in flight.
    round_trip: LatencySummary,
    /// The load that the null brokers got.
    load: String,
    null_brokers: Vec<NullBroker>,
}

/// Writes of one kind.
#[derive(Debug, Serialize)]
struct DeviceRow {
    size_bytes: usize,
    depth: u32,
    flush: bool,
    per_second: f64,
    megabytes_per_second: f64,
    latency: LatencySummary,
}

/// What the null broker did under the load.
#[derive(Debug, Serialize)]
struct NullBroker {
    durability: Durability,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Measures and prints the limits.
///
/// # Errors
/// The directory cannot be written, or a process or connection of our own fails.
pub async fn run(args: &LimitsArgs) -> Result<Ending, BenchError> {
    let mut scratch = scratch_directory(&args.directory).await?;
    let directory = scratch.path().to_owned();
    eprintln!("files in {}", directory.display());
    let device = device(&directory).await.map_err(|error| BenchError::file(&directory, error))?;
    eprintln!("memory and loopback");
    let memory = BLOCK_SIZES_BYTES.map(memory::measure).to_vec();
    let plan = plan(args);
    let round_trip = null_server::round_trips(plan.clone(), MEASURED).await?.summary();
    let mut null_brokers = Vec::new();
    for durability in [Durability::None, Durability::Async, Durability::Sync] {
        eprintln!("null broker, {}", durability.describe());
        let outcome = Outcome::of_run(&null_broker(args, &plan, &directory, durability).await?);
        null_brokers.push(NullBroker { durability, outcome });
    }
    scratch.disable_cleanup(false);
    let load = format!("{}, {}", args.pace.describe(), args.message.describe());
    let limits = Limits { directory, device, memory, round_trip, load, null_brokers };
    match args.json {
        true => {
            let text = serde_json::to_string_pretty(&limits).expect("limits are plain data");
            println!("{text}");
        }
        false => print(&limits),
    }
    Ok(Ending::of(limits.null_brokers.iter().map(|null| null.outcome.failures()).sum()))
}

async fn device(directory: &Path) -> std::io::Result<Vec<DeviceRow>> {
    let device = Device::open(directory).await?;
    let mut rows = Vec::new();
    for flush in [false, true] {
        eprintln!("device, {}", if flush { "write and flush" } else { "write" });
        for size_bytes in WRITE_SIZES_BYTES {
            for depth in WRITE_DEPTHS {
                let writes = Writes { size_bytes, depth, flush };
                let started = clock::Instant::now();
                let latencies = device.measure(writes, MEASURED).await?;
                let per_second = latencies.count() as f64 / started.elapsed().as_secs_f64();
                rows.push(DeviceRow {
                    size_bytes,
                    depth,
                    flush,
                    per_second,
                    megabytes_per_second: per_second * size_bytes as f64 / 1e6,
                    latency: latencies.summary(),
                });
            }
        }
    }
    device.remove().await?;
    Ok(rows)
}

/// What the connections to the null broker send: the same requests as to a broker.
fn plan(args: &LimitsArgs) -> Rc<SendPlan> {
    let topic = BrokerTopic { number: 0, name: "BenchTopic".to_owned(), queues: 4 };
    Rc::new(SendPlan {
        run: random::seed_u64(),
        broker: 0,
        topics: vec![topic],
        draw: TopicDraw::new(1, Spread::Uniform),
        message: args.message.plan(),
        batch: args.message.batch,
        // The null broker takes request numbers from where this form has them.
        serialize: ringmq_protocol::SerializeType::RocketMq,
    })
}

/// Starts a null broker and puts the load on it.
async fn null_broker(
    args: &LimitsArgs,
    plan: &Rc<SendPlan>,
    directory: &Path,
    durability: Durability,
) -> Result<Measured, BenchError> {
    let core = args.core.to_string();
    let words = [
        "serve-null".as_ref(),
        directory.as_os_str(),
        "--durability".as_ref(),
        durability.word().as_ref(),
        "--core".as_ref(),
        core.as_ref(),
    ];
    let (server, line) = OwnProcess::start(&words, null_broker::READY)?;
    let port = line.trim_start_matches(null_broker::READY).trim();
    let addr = format!("127.0.0.1:{port}");
    let load = Load::new(args.pace.schedule(plan.run));
    for lane in 0..args.pace.connections {
        let (read, write) = caller::connect(&addr).await?.split();
        let work = SendWork::new(lane, plan.clone(), None, args.pace.depth);
        load.add_lane(Lane::new(work, write, args.pace.depth), read);
    }
    let before = server.usage();
    let archive = load.run(args.pace.timing(), Archive::default(), live::line).await;
    let used = before.zip(server.usage()).map(|(before, after)| Used {
        cpu: after.cpu.saturating_sub(before.cpu),
        rss_bytes: after.rss_bytes,
        flushes: None,
        messages: load.messages(),
    });
    Ok(Measured { archive, used })
}

fn print(limits: &Limits) {
    println!("\ndevice: {}", limits.directory.display());
    let mut rows = table::plain();
    rows.set_header([
        "bytes",
        "depth",
        "write us p50",
        "p99",
        "per s",
        "MB/s",
        "write+flush us p50",
        "p99",
        "per s",
        "MB/s",
    ]);
    let (plain, flushed): (Vec<_>, Vec<_>) = limits.device.iter().partition(|row| !row.flush);
    for (plain, flushed) in plain.into_iter().zip(flushed) {
        let mut row = vec![plain.size_bytes.to_string(), plain.depth.to_string()];
        for side in [plain, flushed] {
            row.push(format!("{:.0}", side.latency.percentiles_us["p50"]));
            row.push(format!("{:.0}", side.latency.percentiles_us["p99"]));
            row.push(format!("{:.0}", side.per_second));
            row.push(format!("{:.0}", side.megabytes_per_second));
        }
        rows.add_row(row);
    }
    table::align_numbers(&mut rows, 0);
    println!("{rows}");
    for bandwidth in &limits.memory {
        println!(
            "one core, blocks of {} bytes: copy {:.1} GB/s, CRC-32 {:.1} GB/s",
            bandwidth.block_bytes, bandwidth.copy_gb_per_s, bandwidth.crc_gb_per_s
        );
    }
    println!(
        "round trip to a null server, one in flight: p50 {:.0} us, p99 {:.0} us",
        limits.round_trip.percentiles_us["p50"], limits.round_trip.percentiles_us["p99"]
    );
    println!("\nnull broker: {}", limits.load);
    println!("{}", null_broker_table(&limits.null_brokers));
}

fn null_broker_table(null_brokers: &[NullBroker]) -> comfy_table::Table {
    let mut rows = table::plain();
    rows.set_header(["answers after", "msg/s", "MB/s", "CPU us/msg", "p50 us", "p99", "max"]);
    for NullBroker { durability, outcome } in null_brokers {
        let cpu = outcome.broker.map_or(0.0, |broker| broker.cpu_us_per_message);
        rows.add_row([
            durability.describe().to_owned(),
            format!("{:.0}", outcome.messages_per_second),
            format!("{:.1}", outcome.megabytes_per_second),
            format!("{cpu:.2}"),
            format!("{:.0}", outcome.response.percentiles_us["p50"]),
            format!("{:.0}", outcome.response.percentiles_us["p99"]),
            format!("{:.0}", outcome.response.max_us),
        ]);
    }
    table::align_numbers(&mut rows, 1);
    rows
}
