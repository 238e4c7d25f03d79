//! What one lone request cannot be faster than.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::args::load::MessageArgs;
use crate::args::target::Flush;
use crate::error::BenchError;
use crate::limits::device::{self, Device, READS, Writes};
use crate::limits::null_server::Ends;
use crate::limits::prepared::Prepared;
use crate::limits::round_trip::{self, RoundTrip};
use crate::limits::sample::Sample;
use crate::limits::{MEASURED, WRITE_SIZE_BYTES, null_load, null_server};
use crate::record::latencies::Latencies;
use crate::report::outcome::Outcome;
use crate::workload::pull::PullPlan;
use crate::workload::send::SendWork;

/// The floor of a request of some kind; the fields tell which.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Floor {
    /// Of a send to a broker that bench started.
    Send(SendFloor),
    /// Of a pull from such a broker.
    Pull(PullFloor),
    /// Of any request to a running cluster, whose machines are not this one.
    Remote {
        /// The way to each of its masters and back.
        round_trips: Vec<RoundTrip>,
    },
}

/// Medians, in microseconds, one at a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SendFloor {
    /// Policy of the broker.
    pub flush: String,
    /// Round trip to a server that answers every send at once.
    pub null_server_us: f64,
    /// One O_DIRECT write of 4 KiB into a zero-filled file on the store's file system.
    pub write_us: f64,
    /// The same with a flush of the device.
    pub write_and_flush_us: f64,
}

/// What a pull is measured against.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PullFloor {
    /// Median round trip, in microseconds, to a server that answers every pull at once with the
    /// same messages.
    pub null_server_us: f64,
    /// Messages of such an answer: as many as the run's had in the mean.
    pub answer_messages: u64,
    /// Bytes of them as they are stored.
    pub answer_bytes: u64,
    /// What the store's device gives when it is read from start to end past the page cache, in the
    /// way of [`READS`].
    pub device_read_bytes_per_s: f64,
}

impl SendFloor {
    /// Measures it on the file system of `store`.
    ///
    /// # Errors
    /// The directory cannot be written, or loopback connections fail.
    pub async fn measure(
        ends: &Ends,
        message: &MessageArgs,
        store: &Path,
        flush: Flush,
    ) -> Result<Self, BenchError> {
        let round_trips = send_round_trips(ends, message, MEASURED).await?;
        let null_server_us = round_trips.percentile_us(50.0);
        let (write_us, write_and_flush_us) =
            device_us(store).await.map_err(|error| BenchError::file(store, error))?;
        let flush = flush.key().to_owned();
        Ok(Self { flush, null_server_us, write_us, write_and_flush_us })
    }

    /// Round trip and write, as the policy wants it.
    pub fn us(&self) -> f64 {
        let device =
            if self.flush == Flush::Sync.key() { self.write_and_flush_us } else { self.write_us };
        self.null_server_us + device
    }
}

impl PullFloor {
    /// Measures it for answers like `sample`, on the file system of `store`.
    ///
    /// # Errors
    /// As for [`SendFloor::measure`].
    pub async fn measure(
        ends: &Ends,
        plan: &PullPlan,
        sample: &Sample,
        store: &Path,
    ) -> Result<Self, BenchError> {
        let plan = null_load::pull_plan(plan);
        let work = move || null_load::pulls(&Rc::new(plan), 1);
        let prepared = Prepared::to_pull(sample.bytes.clone());
        let round_trips = null_server::round_trips(ends, work, prepared, MEASURED).await?;
        let read = device::read_bytes_per_s(store).await;
        Ok(Self {
            null_server_us: round_trips.percentile_us(50.0),
            answer_messages: sample.messages,
            answer_bytes: sample.bytes.len() as u64,
            device_read_bytes_per_s: read.map_err(|error| BenchError::file(store, error))?,
        })
    }

    /// Messages per second that the device gives where none is in memory.
    fn cold_messages_per_s(&self) -> f64 {
        self.device_read_bytes_per_s * self.answer_messages as f64 / self.answer_bytes as f64
    }
}

impl Floor {
    /// The smallest latency, in microseconds; none when there is nobody to ask.
    pub fn us(&self) -> Option<f64> {
        match self {
            Self::Send(floor) => Some(floor.us()),
            Self::Pull(floor) => Some(floor.null_server_us),
            Self::Remote { round_trips } => round_trip::shortest_us(round_trips),
        }
    }

    /// The floor, its parts and the share of it, a line each; `latency_of` tells what the outcome's
    /// latencies are of.
    pub fn describe(&self, latency_of: &str, outcome: &Outcome) -> Vec<String> {
        let mut lines = match self {
            Self::Send(floor) => vec![floor.describe()],
            Self::Pull(floor) => floor.describe(outcome).into(),
            Self::Remote { round_trips } => round_trips.iter().map(RoundTrip::describe).collect(),
        };
        let floor = self.us().filter(|us| *us > 0.0);
        lines.extend(floor.zip(outcome.service.percentile_us("p50")).map(|(floor, us)| {
            format!("median {latency_of}, service time: {:.2} x that floor", us / floor)
        }));
        lines
    }
}

impl SendFloor {
    fn describe(&self) -> String {
        format!(
            "floor of a lone send with {}: {:.0} us (null server {:.0} us, write {:.0} us, write \
             and flush {:.0} us)",
            self.flush,
            self.us(),
            self.null_server_us,
            self.write_us,
            self.write_and_flush_us,
        )
    }
}

impl PullFloor {
    fn describe(&self, outcome: &Outcome) -> [String; 2] {
        let cold = self.cold_messages_per_s();
        [
            format!(
                "the device reads {:.0} MB/s ({READS}): {cold:.0} msg/s of a cold log; the \
                 broker's are {:.0} % of that",
                self.device_read_bytes_per_s / 1e6,
                100.0 * outcome.messages_per_second / cold,
            ),
            format!(
                "floor of a lone pull of {} messages, {} bytes: {:.0} us (null server)",
                self.answer_messages, self.answer_bytes, self.null_server_us
            ),
        ]
    }
}

/// Round trips of sends to a null server, measured for the given time.
///
/// # Errors
/// Loopback connections fail.
pub async fn send_round_trips(
    ends: &Ends,
    message: &MessageArgs,
    measured: Duration,
) -> Result<Latencies, BenchError> {
    let plan = null_load::plan(message);
    let work = move || SendWork::new(0, plan, None, 1);
    null_server::round_trips(ends, work, Prepared::to_send(), measured).await
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
