//! `bench limits`: what this machine allows, before any broker is judged by it, or what the way to
//! a broker elsewhere takes.

use std::path::Path;

use ringmq_runtime::clock;
use serde::Serialize;

use crate::args::limits::{Durability, LimitsArgs};
use crate::args::load::MessageArgs;
use crate::driver::clients::{Clients, warn_of_shared};
use crate::ending::Ending;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::limits::device::{self, Device, Writes};
use crate::limits::machine::{DeviceRow, MachineLimits, NullRow};
use crate::limits::memory;
use crate::limits::null_load::NullLoad;
use crate::limits::null_server::Ends;
use crate::limits::round_trip::{self, RoundTrip};
use crate::limits::{MEASURED, floor};
use crate::record::latencies::LatencySummary;
use crate::record::tally::Tally;
use crate::report::outcome::Outcome;
use crate::report::{environment, live, terminal};
use crate::target::routes::Routes;
use crate::target::scratch::Scratch;

/// Sizes of a write: a lone message, groups of growing size.
const WRITE_SIZES_BYTES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// Writes at the same time.
const WRITE_DEPTHS: [u32; 3] = [1, 4, 16];

/// Blocks that are copied and summed: messages of common sizes, and a group.
const BLOCK_SIZES_BYTES: [usize; 4] = [256, 1 << 10, 4 << 10, 64 << 10];

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
            println!(
                "\nto a null server on this machine and back: {}",
                network.loopback.describe()
            );
            terminal::print(&round_trip::overview(&network.brokers));
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
    let null_brokers = null_rows(null, &args.message).await?;
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
        false => limits.print(),
    }
    Ok(Ending::of(limits.null_brokers.iter().map(|null| null.outcome.failures()).sum()))
}

/// Null brokers that do more and more before they answer, each under the load.
async fn null_rows(null: NullLoad<'_>, message: &MessageArgs) -> Result<Vec<NullRow>, BenchError> {
    let mut rows = Vec::new();
    for durability in [Durability::None, Durability::Async, Durability::Sync] {
        eprintln!("null broker, {}", durability.describe());
        let measured = null.sends(durability, message, live::line).await?;
        rows.push(NullRow { durability, outcome: Outcome::of_run(&measured) });
    }
    Ok(rows)
}

fn print_json(limits: &impl Serialize) {
    let text = serde_json::to_string_pretty(limits).expect("limits are plain data");
    println!("{text}");
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
