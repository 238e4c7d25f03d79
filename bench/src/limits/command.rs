//! `bench limits`: what this machine allows, before any broker is judged by it, or what the way to
//! a broker elsewhere takes.

use std::path::{Path, PathBuf};

use ringmq_runtime::clock;
use serde::Serialize;

use crate::args::commands::{Durability, LimitsArgs};
use crate::driver::clients::{Clients, warn_of_shared};
use crate::ending::Ending;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::limits::device::{self, Device, READS, Writes};
use crate::limits::memory::{self, Bandwidth};
use crate::limits::null_load::NullLoad;
use crate::limits::null_server::Ends;
use crate::limits::round_trip::{self, RoundTrip};
use crate::limits::{MEASURED, SENDS, floor};
use crate::record::latencies::LatencySummary;
use crate::record::tally::Tally;
use crate::report::outcome::Outcome;
use crate::report::{environment, live, table};
use crate::target::routes::Routes;
use crate::target::scratch::Scratch;

/// Sizes of a write: a lone message, groups of growing size.
const WRITE_SIZES_BYTES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// Writes at the same time.
const WRITE_DEPTHS: [u32; 3] = [1, 4, 16];

/// Blocks that are copied and summed: messages of common sizes, and a group.
const BLOCK_SIZES_BYTES: [usize; 4] = [256, 1 << 10, 4 << 10, 64 << 10];

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct MachineLimits {
    environment: Environment,
    directory: PathBuf,
    device: Vec<DeviceRow>,
    /// Reads past the page cache.
    device_read_bytes_per_s: f64,
    memory: Vec<Bandwidth>,
    /// Round trip to a server that stores nothing, one in flight.
    round_trip: LatencySummary,
    /// The load that the null brokers got.
    load: String,
    /// Cores of those who put it there; none: one thread, bound to none.
    client_cores: Vec<usize>,
    null_brokers: Vec<NullRow>,
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
struct NullRow {
    durability: Durability,
    #[serde(flatten)]
    outcome: Outcome,
}

/// The way to brokers that somebody else started.
#[derive(Debug, Serialize)]
struct Network {
    environment: Environment,
    /// Round trip to a server on this machine that stores nothing, one in flight.
    loopback: LatencySummary,
    brokers: Vec<RoundTrip>,
}

/// Measures and prints the limits.
///
/// # Errors
/// The directory cannot be written, or a process or connection of our own fails; a broker that was
/// named cannot be reached.
pub async fn run(args: &LimitsArgs) -> Result<Ending, BenchError> {
    match (&args.namesrv, &args.broker) {
        (Some(namesrv), _) => {
            let masters = Routes::connect(namesrv).await?.masters().await?;
            network(&masters, args).await
        }
        (None, Some(broker)) => network(std::slice::from_ref(broker), args).await,
        (None, None) => machine(args).await,
    }
}

async fn network(addrs: &[String], args: &LimitsArgs) -> Result<Ending, BenchError> {
    let ends = Ends::on_one_core()?;
    let loopback = floor::send_round_trips(&ends, &args.message, MEASURED).await?.summary();
    let mut brokers = Vec::new();
    for addr in addrs {
        brokers.push(RoundTrip::measure(addr).await?);
    }
    let environment = Environment::of_machine().await;
    let network = Network { environment, loopback, brokers };
    match args.json {
        true => print_json(&network),
        false => {
            println!("\n{}", environment::place(&network.environment));
            println!("\nto a null server on this machine and back: {}", p50_p99(&network.loopback));
            println!("{}", round_trip::overview(&network.brokers));
        }
    }
    Ok(Ending::Good)
}

async fn machine(args: &LimitsArgs) -> Result<Ending, BenchError> {
    let clients = Clients::start(args.client_cores())?;
    warn_of_shared(clients.cores(), args.core..args.core + 1);
    let mut scratch = Scratch::new_in(&args.directory).await?;
    let directory = scratch.path().to_owned();
    eprintln!("files in {}", directory.display());
    let device =
        device_rows(&directory).await.map_err(|error| BenchError::file(&directory, error))?;
    eprintln!("memory and loopback");
    let memory = BLOCK_SIZES_BYTES.map(memory::measure).to_vec();
    let ends = Ends::of_run(args.core, &clients);
    let round_trip = floor::send_round_trips(&ends, &args.message, MEASURED).await?.summary();
    let null = NullLoad {
        directory: &directory,
        core: args.core,
        clients: &clients,
        pace: &args.pace,
        watch: &|_, _| Box::pin(async {}),
        tally: &Tally::default,
    };
    let mut null_brokers = Vec::new();
    for durability in [Durability::None, Durability::Async, Durability::Sync] {
        eprintln!("null broker, {}", durability.describe());
        let measured = null.sends(durability, &args.message, live::line).await?;
        null_brokers.push(NullRow { durability, outcome: Outcome::of_run(&measured) });
    }
    eprintln!("device, reads");
    let read = device::read_bytes_per_s(&directory).await;
    let device_read_bytes_per_s = read.map_err(|error| BenchError::file(&directory, error))?;
    scratch.remove_at_end();
    let load = format!("{}, {}", args.pace.describe(), args.message.describe());
    let limits = MachineLimits {
        environment: Environment::of_directory(&args.directory).await,
        directory,
        device,
        device_read_bytes_per_s,
        memory,
        round_trip,
        load,
        client_cores: clients.cores().to_vec(),
        null_brokers,
    };
    match args.json {
        true => print_json(&limits),
        false => print(&limits),
    }
    Ok(Ending::of(limits.null_brokers.iter().map(|null| null.outcome.failures()).sum()))
}

fn print_json(limits: &impl Serialize) {
    let text = serde_json::to_string_pretty(limits).expect("limits are plain data");
    println!("{text}");
}

fn p50_p99(latencies: &LatencySummary) -> String {
    format!("p50 {} us, p99 {} us", latencies.told("p50", 0), latencies.told("p99", 0))
}

async fn device_rows(directory: &Path) -> std::io::Result<Vec<DeviceRow>> {
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

fn print(limits: &MachineLimits) {
    println!("\n{}\n", environment::place(&limits.environment));
    println!("device: {}", limits.directory.display());
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
            row.extend(["p50", "p99"].map(|name| side.latency.told(name, 0)));
            row.push(format!("{:.0}", side.per_second));
            row.push(format!("{:.0}", side.megabytes_per_second));
        }
        rows.add_row(row);
    }
    table::align_numbers(&mut rows, 0);
    println!("{rows}");
    let megabytes_per_second = limits.device_read_bytes_per_s / 1e6;
    println!("reads, {READS}: {megabytes_per_second:.0} MB/s");
    for bandwidth in &limits.memory {
        println!(
            "one core, blocks of {} bytes: copy {:.1} GB/s, CRC-32 {:.1} GB/s",
            bandwidth.block_bytes, bandwidth.copy_gb_per_s, bandwidth.crc_gb_per_s
        );
    }
    println!("round trip to a null server, one in flight: {}", p50_p99(&limits.round_trip));
    let client = environment::client(&limits.client_cores, &[]);
    println!("\nnull broker: {}; client: {client}", limits.load);
    println!("{}", null_broker_table(&limits.null_brokers));
}

fn null_broker_table(null_brokers: &[NullRow]) -> comfy_table::Table {
    let mut rows = table::plain();
    let is_closed =
        null_brokers.iter().any(|NullRow { outcome, .. }| outcome.is_closed_loop(SENDS));
    let p50 = if is_closed { "closed loop: p50 us" } else { "p50 us" };
    rows.set_header(["answers after", "msg/s", "MB/s", "CPU us/msg", p50, "p99", "max"]);
    for NullRow { durability, outcome } in null_brokers {
        let cpu = outcome.broker.map_or(0.0, |broker| broker.cpu_us_per_message);
        rows.add_row([
            durability.describe().to_owned(),
            format!("{:.0}", outcome.messages_per_second),
            format!("{:.1}", outcome.megabytes_per_second),
            format!("{cpu:.2}"),
            outcome.response.told("p50", 0),
            outcome.response.told("p99", 0),
            format!("{:.0}", outcome.response.max_us),
        ]);
    }
    table::align_numbers(&mut rows, 1);
    rows
}
