//! What the machine allows, measured in the same run as the broker. A latency below the sum of a
//! round trip and a write is not to be had.

pub mod command;
mod device;
mod memory;
pub mod null_broker;
mod null_server;

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use crate::args::Flush;
use crate::error::BenchError;
use crate::limits::device::{Device, Writes};
use crate::workload::send::SendPlan;

/// How long each limit is measured: about 10,000 samples on a fast machine.
const MEASURED: Duration = Duration::from_millis(500);

/// One write of the device test: what a lone 1 KiB message costs on a 4 KiB sector.
const WRITE_SIZE_BYTES: usize = 4096;

/// Limits of this machine in microseconds, medians.
#[derive(Clone, Debug, Serialize)]
pub struct Limits {
    /// Policy of the broker that the limits are compared with.
    pub flush: &'static str,
    /// Round trip to a server that answers every send at once, one in flight.
    pub null_server_us: f64,
    /// One O_DIRECT write of 4 KiB into a zero-filled file on the store's file system.
    pub write_us: f64,
    /// The same with a flush of the device.
    pub write_and_flush_us: f64,
}

impl Limits {
    /// Measures them. `plan` is what the run sends, `store` lies on the store's file system.
    ///
    /// # Errors
    /// The directory cannot be written, or loopback connections fail.
    pub async fn measure(
        plan: Rc<SendPlan>,
        store: &Path,
        flush: Flush,
    ) -> Result<Self, BenchError> {
        let null_server_us = null_server::round_trips(plan, MEASURED).await?.percentile_us(50.0);
        let (write_us, write_and_flush_us) =
            device_us(store).await.map_err(|error| BenchError::file(store, error))?;
        Ok(Self { flush: flush.key(), null_server_us, write_us, write_and_flush_us })
    }

    /// The smallest latency of a lone send under the broker's policy.
    pub fn floor_us(&self) -> f64 {
        let device =
            if self.flush == Flush::Sync.key() { self.write_and_flush_us } else { self.write_us };
        self.null_server_us + device
    }

    /// The limits in one line, beside a median latency of the run.
    pub fn compare(&self, p50_us: f64) -> String {
        format!(
            "limits in this run: null server {:.0} us, write {:.0} us, write and flush {:.0} us; \
             p50 is {:.2} x ({} floor {:.0} us)",
            self.null_server_us,
            self.write_us,
            self.write_and_flush_us,
            p50_us / self.floor_us(),
            self.flush,
            self.floor_us(),
        )
    }
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
