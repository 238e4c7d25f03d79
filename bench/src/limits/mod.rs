//! What the machine allows, measured in the same run as the broker: a latency below the sum of a
//! round trip and a write is not to be had, nor more throughput than a broker has that only
//! collects, writes and answers.

pub mod bracket;
pub mod command;
mod device;
mod memory;
pub mod null_broker;
pub mod null_load;
mod null_server;

use std::path::Path;
use std::time::Duration;

use comfy_table::Table;
use serde::{Deserialize, Serialize};

use crate::args::commands::Durability;
use crate::args::load::{MessageArgs, PaceArgs};
use crate::args::target::Flush;
use crate::error::BenchError;
use crate::limits::device::{Device, Writes};
use crate::report::{Outcome, table};
use crate::target::scratch::Scratch;

/// How long each limit is measured: about 10,000 samples on a fast machine.
const MEASURED: Duration = Duration::from_millis(500);

/// One write of the device test: what a lone 1 KiB message costs on a 4 KiB sector.
const WRITE_SIZE_BYTES: usize = 4096;

/// How long the null broker is loaded beside a run: not counted, and counted.
const NULL_BROKER_TIMES: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_millis(2_000));

/// Core of the null broker, the first one of a broker that bench starts.
const NULL_BROKER_CORE: usize = 0;

/// Limits of this machine; times are medians in microseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Policy of the broker that the limits are compared with.
    pub flush: String,
    /// Round trip to a server that answers every send at once, one in flight.
    pub null_server_us: f64,
    /// One O_DIRECT write of 4 KiB into a zero-filled file on the store's file system.
    pub write_us: f64,
    /// The same with a flush of the device.
    pub write_and_flush_us: f64,
    /// The null broker under the same load and policy.
    pub null_broker: NullBroker,
}

/// What the null broker did under a load.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct NullBroker {
    /// Messages answered per second.
    pub messages_per_second: f64,
    /// User and system CPU time per message, in microseconds.
    pub cpu_us_per_message: f64,
    /// Median from the intended time.
    pub p50_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
}

impl Limits {
    /// Measures them for a load and the policy of a broker; `store` lies on its file system.
    ///
    /// # Errors
    /// The directory cannot be written, or processes or connections of our own fail.
    pub async fn measure(
        pace: &PaceArgs,
        message: &MessageArgs,
        store: &Path,
        flush: Flush,
    ) -> Result<Self, BenchError> {
        let plan = null_load::plan(message);
        let null_server_us = null_server::round_trips(plan, MEASURED).await?.percentile_us(50.0);
        let (write_us, write_and_flush_us) =
            device_us(store).await.map_err(|error| BenchError::file(store, error))?;
        let null_broker = null_broker(pace, message, store, flush).await?;
        let flush = flush.key().to_owned();
        Ok(Self { flush, null_server_us, write_us, write_and_flush_us, null_broker })
    }

    /// The smallest latency of a lone send under the broker's policy.
    pub fn floor_us(&self) -> f64 {
        let device =
            if self.flush == Flush::Sync.key() { self.write_and_flush_us } else { self.write_us };
        self.null_server_us + device
    }

    /// The broker beside the null broker: what a run came to, as shares and multiples.
    pub fn table(&self, outcome: &Outcome) -> Table {
        let null = &self.null_broker;
        // Both follow the schedule of an open loop, so there the share says nothing about either.
        let rate = if outcome.has_one_clock() { "msg/s" } else { "msg/s, as scheduled" };
        let percentile = |name: &str| outcome.response.percentiles_us[name];
        let cpu = outcome.broker.map(|broker| broker.cpu_us_per_message);
        let mut table = table::plain();
        table.set_header(["under this load", "null broker", "the broker", "of the null broker"]);
        table.add_row([
            rate.to_owned(),
            format!("{:.0}", null.messages_per_second),
            format!("{:.0}", outcome.messages_per_second),
            format!("{:.0} %", 100.0 * outcome.messages_per_second / null.messages_per_second),
        ]);
        for (name, limit, value) in [
            ("CPU us per message", null.cpu_us_per_message, cpu),
            ("p50 us", null.p50_us, Some(percentile("p50"))),
            ("p99 us", null.p99_us, Some(percentile("p99"))),
        ] {
            let Some(value) = value else { continue };
            let cells = [format!("{limit:.1}"), format!("{value:.1}")];
            let times = format!("{:.2} x", value / limit);
            table.add_row([name.to_owned()].into_iter().chain(cells).chain([times]));
        }
        table::align_numbers(&mut table, 1);
        table
    }

    /// What a lone send cannot be faster than, in a line.
    pub fn floor(&self, outcome: &Outcome) -> String {
        format!(
            "floor of a lone send with {}: {:.0} us (null server {:.0} us, write {:.0} us, write \
             and flush {:.0} us); the median service time is {:.2} x",
            self.flush,
            self.floor_us(),
            self.null_server_us,
            self.write_us,
            self.write_and_flush_us,
            outcome.service.percentiles_us["p50"] / self.floor_us(),
        )
    }
}

/// Loads a null broker for a moment as the run will load the broker.
async fn null_broker(
    pace: &PaceArgs,
    message: &MessageArgs,
    store: &Path,
    flush: Flush,
) -> Result<NullBroker, BenchError> {
    let mut scratch = Scratch::new_in(store).await?;
    let durability = match flush {
        Flush::Sync => Durability::Sync,
        Flush::Async => Durability::Async,
    };
    let (warm_up, duration) = NULL_BROKER_TIMES;
    let pace = PaceArgs { warm_up, duration, ..pace.clone() };
    let asked = (&pace, message);
    let core = NULL_BROKER_CORE;
    let measured = null_load::measure(scratch.path(), durability, core, asked, |_, _| ()).await?;
    scratch.remove_at_end();
    let outcome = Outcome::of_run(&measured);
    Ok(NullBroker {
        messages_per_second: outcome.messages_per_second,
        cpu_us_per_message: outcome.broker.map_or(0.0, |broker| broker.cpu_us_per_message),
        p50_us: outcome.response.percentiles_us["p50"],
        p99_us: outcome.response.percentiles_us["p99"],
    })
}

/// Medians of a write, and of a write with a flush, one at a time.
async fn device_us(directory: &Path) -> std::io::Result<(f64, f64)> {
    let device = Device::open(directory).await?;
    let writes = |flush| Writes { size_bytes: WRITE_SIZE_BYTES, depth: 1, flush };
    let write = device.measure(writes(false), MEASURED).await?;
    let flush = device.measure(writes(true), MEASURED).await?;
    device.remove().await?;
    Ok((write.percentile_us(50.0), flush.percentile_us(50.0)))
}
