//! What the machine allows, measured in the same run as the broker: a server that answers without
//! storing, and the device on its own. A latency below their sum is not to be had.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::response;
use ringmq_protocol::headers::send::SendResponse;
use ringmq_protocol::{ResponseHead, write_response};
use ringmq_runtime::buffer::DmaBuffer;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::{Access, Disk, File};
use ringmq_runtime::net::{Listener, Reuse, Stream};
use ringmq_runtime::{remote, task};
use serde::Serialize;

use crate::args::Flush;
use crate::driver::lane::Lane;
use crate::driver::{Load, Timing};
use crate::error::BenchError;
use crate::record::archive::Archive;
use crate::record::latencies::Latencies;
use crate::target::caller;
use crate::wire::Assembler;
use crate::workload::send::{SendPlan, SendWork};

/// How long each limit is measured: about 10,000 samples on a fast machine.
const MEASURED: Duration = Duration::from_millis(500);

/// One write of the device test: what a lone 1 KiB message costs on a 4 KiB sector.
const WRITE_SIZE_BYTES: usize = 4096;

/// The file that the device test writes over and over, small enough to be made in a moment.
const FILE_SIZE_BYTES: u64 = 16 << 20;

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
        let null_server_us = null_server(plan).await?;
        let (write_us, write_and_flush_us) =
            device(store).await.map_err(|error| BenchError::file(store, error))?;
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

/// Median round trip to a server on another thread that answers every request at once.
async fn null_server(plan: Rc<SendPlan>) -> Result<f64, BenchError> {
    let server = remote::spawn_executor("null server")
        .map_err(|error| BenchError::protocol("null server", error))?;
    let bound = server
        .run(|| async {
            let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Reuse::No)?;
            let addr = listener.local_addr();
            task::spawn("null server", serve(listener)).detach();
            addr
        })
        .await
        .map_err(|error| BenchError::protocol("null server", error))?;
    let addr = bound.map_err(BenchError::NoPorts)?;
    let (read, write) = caller::connect(&addr.to_string()).await?.split();
    let load = Load::new(None);
    load.add_lane(Lane::new(SendWork::new(0, plan, None, 1), write, 1), read);
    let timing = Timing { warm_up: Duration::ZERO, duration: MEASURED };
    let archive = load.run(timing, Archive::default(), |_, _| ()).await;
    Ok(archive.total.service.percentile_us(50.0))
}

async fn serve(listener: Listener) {
    while let Ok((stream, _)) = listener.accept().await {
        task::spawn("null connection", answer(stream)).detach();
    }
}

async fn answer(stream: Stream) {
    let (mut read, mut write) = stream.split();
    let mut assembler = Assembler::default();
    let mut out = Vec::new();
    let header = SendResponse {
        msg_id: "7F00000100002A9F0000000000000000",
        queue_id: 0,
        queue_offset: 0,
        transaction_id: None,
        batch_uniq_id: None,
        recall_handle: None,
        msg_region: Some("DefaultRegion"),
        trace_on: Some("true"),
    };
    loop {
        let open = read.read_with(|bytes| {
            let fed = assembler.feed(bytes, |command| {
                let head = ResponseHead {
                    serialize: command.serialize,
                    opaque: command.opaque,
                    code: response::SUCCESS,
                    remark: None,
                };
                write_response(&mut out, head, &header, &[]);
            });
            fed.is_ok() && !bytes.is_empty()
        });
        if !matches!(open.await, Ok(true)) {
            return;
        }
        if write.write_all(&mut [IoSlice::new(&out)]).await.is_err() {
            return;
        }
        out.clear();
    }
}

/// Medians of a write, and of a write with a flush.
async fn device(directory: &Path) -> std::io::Result<(f64, f64)> {
    const NAME: &str = "bench-limits";
    let disk = Disk::live(directory)?;
    disk.create_zeroed(NAME, FILE_SIZE_BYTES).await?;
    let file = disk.open(NAME, Access::ReadWrite).await?;
    let write = writes(&file, false).await?;
    let flush = writes(&file, true).await?;
    disk.remove_file(NAME).await?;
    Ok((write, flush))
}

async fn writes(file: &File, flush: bool) -> std::io::Result<f64> {
    let mut latencies = Latencies::default();
    let mut buffer = DmaBuffer::alloc(WRITE_SIZE_BYTES);
    let started = Instant::now();
    let mut position = 0;
    while started.elapsed() < MEASURED {
        let begin = Instant::now();
        buffer = file.write_at(position, buffer).await?;
        if flush {
            file.sync_data().await?;
        }
        latencies.record(begin.elapsed());
        position = (position + WRITE_SIZE_BYTES as u64) % FILE_SIZE_BYTES;
    }
    Ok(latencies.percentile_us(50.0))
}
