//! What the device takes and gives: writes, with and without a flush, of several sizes and depths,
//! and reads from the start to the end.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::buffer::DmaBuffer;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::{Access, Disk, File};
use ringmq_runtime::task;

use crate::files;
use crate::record::latencies::Latencies;

/// The file that is written over and over: zero-filled as a segment of a log is, small enough to be
/// made in a moment, larger than the caches of most devices' controllers care about.
const FILE_SIZE_BYTES: u64 = 64 << 20;

const FILE_NAME: &str = "bench-limits";

/// Size of a large read.
pub const READ_SIZE_BYTES: usize = 512 << 10;

/// The two ways in which the device is read, in turn. Which of them is faster depends on the device
/// and the hour: by up to 40 %, one way or the other.
const READ_WAYS: [Reads; 2] =
    [Reads { size_bytes: READ_SIZE_BYTES, depth: 4 }, Reads { size_bytes: 128 << 10, depth: 32 }];

/// The same in words.
pub const READS: &str =
    "the better of 512 KiB at a time, 4 of them in flight, and of 128 KiB, 32 of them";

/// Longest time of such reads, beyond which no other file is begun.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// Reads of one size.
#[derive(Clone, Copy, Debug)]
struct Reads {
    size_bytes: usize,
    /// How many at the same time.
    depth: u64,
}

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

/// A file of zeros, in place of one that a measurement ended by a signal left there.
///
/// # Errors
/// As the file system says.
pub async fn zeroed(disk: &Disk, name: &str, len: u64) -> std::io::Result<File> {
    if disk.exists(name).await? {
        disk.remove_file(name).await?;
    }
    disk.create_zeroed(name, len).await?;
    disk.open(name, Access::ReadWrite).await
}

impl Device {
    /// Makes the file in `directory`.
    ///
    /// # Errors
    /// As the file system says.
    pub async fn open(directory: &Path) -> std::io::Result<Self> {
        let disk = Disk::live(directory)?;
        let file = zeroed(&disk, FILE_NAME, FILE_SIZE_BYTES).await?;
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

/// What the file system of `directory` gives when a file is read from its start, past the page
/// cache, in the way that is faster.
///
/// # Errors
/// As the file system says.
pub async fn read_bytes_per_s(directory: &Path) -> std::io::Result<f64> {
    let device = Device::open(directory).await?;
    let read = files_bytes_per_s(&READ_WAYS.map(|_| directory.join(FILE_NAME))).await;
    device.remove().await?;
    read
}

/// What the device gives when files are read from their start, past the page cache: each second
/// file in the one way and the others in the other one, and the faster of the two.
///
/// # Errors
/// As the file system says.
pub async fn files_bytes_per_s(files: &[PathBuf]) -> std::io::Result<f64> {
    let begun = Instant::now();
    let mut sums = READ_WAYS.map(|reads| (reads, 0, Duration::ZERO));
    for (path, turn) in files.iter().zip((0..sums.len()).cycle()) {
        if begun.elapsed() > READ_LIMIT {
            break;
        }
        let (reads, bytes, took) = &mut sums[turn];
        let file_begun = Instant::now();
        *bytes += read(path, *reads).await?;
        *took += file_begun.elapsed();
    }
    let done = sums.iter().filter(|(_, bytes, _)| *bytes > 0);
    Ok(done.map(|(_, bytes, took)| *bytes as f64 / took.as_secs_f64()).fold(0.0, f64::max))
}

async fn read(path: &Path, reads: Reads) -> std::io::Result<u64> {
    let (folder, name) = files::split(path);
    let file = Disk::live(folder)?.open(name, Access::Read).await?;
    let len = file.len()?;
    let reader = |first: u64| {
        let file = file.clone();
        async move {
            let mut pos = first * reads.size_bytes as u64;
            while pos < len {
                file.read_at(pos, reads.size_bytes).await?;
                pos += reads.depth * reads.size_bytes as u64;
            }
            std::io::Result::Ok(())
        }
    };
    let readers: Vec<_> =
        (0..reads.depth).map(|first| task::spawn("bench device", reader(first))).collect();
    for reading in readers {
        reading.await?;
    }
    Ok(len)
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
