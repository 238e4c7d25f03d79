//! What the machine does for a moment before and after a run: whether two runs may be compared.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::args::load::MessageArgs;
use crate::error::BenchError;
use crate::limits::device::{Device, Writes};
use crate::limits::null_server::Ends;
use crate::limits::{WRITE_SIZE_BYTES, floor};

/// Medians, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bracket {
    /// One O_DIRECT write of 4 KiB with a flush of the device, one at a time.
    pub write_and_flush_us: f64,
    /// The round trip over loopback to a server that answers at once, one in flight, both ends on
    /// one core.
    pub round_trip_us: f64,
}

/// Measures each of the two for half of `measured`, on the file system of `directory`.
///
/// # Errors
/// The directory cannot be written, or loopback connections fail.
pub async fn measure(
    directory: &Path,
    message: &MessageArgs,
    measured: Duration,
) -> Result<Bracket, BenchError> {
    let flush_us = async {
        let device = Device::open(directory).await?;
        let writes = Writes { size_bytes: WRITE_SIZE_BYTES, depth: 1, flush: true };
        let latencies = device.measure(writes, measured / 2).await?;
        device.remove().await?;
        Ok(latencies.percentile_us(50.0))
    };
    let write_and_flush_us = flush_us.await.map_err(|error| BenchError::file(directory, error))?;
    let ends = Ends::on_one_core()?;
    let round_trips = floor::send_round_trips(&ends, message, measured / 2).await?;
    Ok(Bracket { write_and_flush_us, round_trip_us: round_trips.percentile_us(50.0) })
}
