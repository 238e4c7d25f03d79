//! What the device takes: writes, with and without a flush, of several sizes and depths.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::buffer::DmaBuffer;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::{Access, Disk, File};
use ringmq_runtime::task;

use crate::record::latencies::Latencies;

/// The file that is written over and over: zero-filled as a segment of a log is, small enough to be
/// made in a moment, larger than the caches of most devices' controllers care about.
const FILE_SIZE_BYTES: u64 = 64 << 20;

const FILE_NAME: &str = "bench-limits";

/// A zero-filled file on the file system to be measured.
pub struct Device {
    disk: Disk,
    file: File,
}

/// Writes of one size.
#[derive(Clone, Copy, Debug)]
pub struct Writes {
    /// Bytes of each, a multiple of 4096.
    pub size_bytes: usize,
    /// How many at the same time.
    pub depth: u32,
    /// Whether each is made durable.
    pub flush: bool,
}

impl Device {
    /// Makes the file in `directory`.
    ///
    /// # Errors
    /// As the file system says.
    pub async fn open(directory: &Path) -> std::io::Result<Self> {
        let disk = Disk::live(directory)?;
        disk.create_zeroed(FILE_NAME, FILE_SIZE_BYTES).await?;
        let file = disk.open(FILE_NAME, Access::ReadWrite).await?;
        Ok(Self { disk, file })
    }

    /// Measures `writes` for `measured`; each latency is that of one write, with its flush.
    ///
    /// # Errors
    /// As the device says.
    pub async fn measure(&self, writes: Writes, measured: Duration) -> std::io::Result<Latencies> {
        let until = Instant::now() + measured;
        let tasks: Vec<_> = (0..writes.depth)
            .map(|number| {
                task::spawn("bench device", write(self.file.clone(), number, writes, until))
            })
            .collect();
        let mut all = Latencies::default();
        for task in tasks {
            all.add(&*task.await?);
        }
        Ok(all)
    }

    /// Removes the file.
    ///
    /// # Errors
    /// As the file system says.
    pub async fn remove(self) -> std::io::Result<()> {
        self.disk.remove_file(FILE_NAME).await
    }
}

/// Writes one block after the other, each `depth` blocks from the last.
async fn write(
    file: File,
    number: u32,
    writes: Writes,
    until: Instant,
) -> std::io::Result<Rc<Latencies>> {
    let mut latencies = Latencies::default();
    let mut buffer = DmaBuffer::alloc(writes.size_bytes);
    let size = writes.size_bytes as u64;
    let mut block = u64::from(number);
    while Instant::now() < until {
        let begin = Instant::now();
        let position = block * size % FILE_SIZE_BYTES;
        buffer = match (writes.flush, writes.depth) {
            (true, 1) => file.write_and_sync(position, buffer).await?,
            (false, _) => file.write_at(position, buffer).await?,
            // Only two calls of `write_and_sync` run at once; these all do.
            (true, _) => {
                let buffer = file.write_at(position, buffer).await?;
                file.sync_data().await?;
                buffer
            }
        };
        latencies.record(begin.elapsed());
        block += u64::from(writes.depth);
    }
    Ok(Rc::new(latencies))
}
