//! What this machine allows: figures and tables of `bench limits`.

use std::path::PathBuf;

use comfy_table::Table;
use serde::Serialize;

use crate::args::limits::Durability;
use crate::environment::Environment;
use crate::limits::SENDS;
use crate::limits::device::READS;
use crate::limits::memory::Bandwidth;
use crate::record::latencies::LatencySummary;
use crate::report::outcome::Outcome;
use crate::report::{environment, table, terminal};

/// What `bench limits` found.
#[derive(Debug, Serialize)]
pub struct MachineLimits {
    /// Where.
    pub environment: Environment,
    /// Whose device was measured.
    pub directory: PathBuf,
    /// Its writes, without flushes and then with them.
    pub device: Vec<DeviceRow>,
    /// Reads past the page cache.
    pub device_read_bytes_per_s: f64,
    /// What one core copies and sums.
    pub memory: Vec<Bandwidth>,
    /// Round trip to a server that stores nothing, one in flight.
    pub round_trip: LatencySummary,
    /// The load that the null brokers got.
    pub load: String,
    /// Cores of those who put it there; none: one thread, bound to none.
    pub client_cores: Vec<usize>,
    /// What null brokers did that do more and more before they answer.
    pub null_brokers: Vec<NullRow>,
}

/// Writes of one kind.
#[derive(Debug, Serialize)]
pub struct DeviceRow {
    /// Bytes of one of them.
    pub size_bytes: usize,
    /// Under way at the same time.
    pub depth: u32,
    /// Whether each was flushed.
    pub flush: bool,
    /// Writes per second.
    pub per_second: f64,
    /// What these are in bytes.
    pub megabytes_per_second: f64,
    /// From the call to its end.
    pub latency: LatencySummary,
}

/// What the null broker did under the load.
#[derive(Debug, Serialize)]
pub struct NullRow {
    /// What it did before it answered.
    pub durability: Durability,
    /// The load as any broker's is told.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl MachineLimits {
    /// Prints it as tables.
    pub fn print(&self) {
        println!("\n{}\n", environment::place(&self.environment));
        println!("device: {}", self.directory.display());
        terminal::print(&device_table(&self.device));
        let megabytes_per_second = self.device_read_bytes_per_s / 1e6;
        println!("reads, {READS}: {megabytes_per_second:.0} MB/s");
        for bandwidth in &self.memory {
            println!(
                "one core, blocks of {} bytes: copy {:.1} GB/s, CRC-32 {:.1} GB/s",
                bandwidth.block_bytes, bandwidth.copy_gb_per_s, bandwidth.crc_gb_per_s
            );
        }
        println!("round trip to a null server, one in flight: {}", self.round_trip.describe());
        let client = environment::client(&self.client_cores, &[]);
        println!("\nnull broker: {}; client: {client}", self.load);
        terminal::print(&null_broker_table(&self.null_brokers));
    }
}

fn device_table(device: &[DeviceRow]) -> Table {
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
    let (plain, flushed): (Vec<_>, Vec<_>) = device.iter().partition(|row| !row.flush);
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
    table::name_rows(&mut rows, 2);
    rows
}

fn null_broker_table(null_brokers: &[NullRow]) -> Table {
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
