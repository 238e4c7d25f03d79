//! One file of the log: how it is made, and its bytes by their place in it.
//!
//! A segment is zero-filled before records reach it (`filled`), because writes into unwritten
//! extents make every flush commit the file system's journal. Each starts with one step of zeros
//! and grows in the background (`maker.rs`), ahead of the writer, which may use what is filled; so
//! a file that is too short is always the newest one, and shows how far it was filled. Bytes count
//! as filled when they and the length of the file are durable: records written there then need no
//! further help of the file system to survive a kernel crash, which is what an acknowledgement
//! under ASYNC_FLUSH promises.

use std::io;
use std::ops::Range;
use std::path::Path;

use ringmq_runtime::buffer::{DmaBuffer, Shared};
use ringmq_runtime::disk::{Access, Disk, File};

use crate::options::PAGE_BYTES;

/// One write of recovery, which zeroes or rewrites what it found.
const REWRITE_STEP_BYTES: u64 = 1 << 20;

/// Least that a device writes whole.
pub(crate) const SECTOR_BYTES: u64 = 512;

/// One file of the log.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Log byte of its first byte.
    pub(crate) base: u64,
    pub(crate) file: File,
    /// Bytes of it that are zero-filled or written, durably so.
    pub(crate) filled: u64,
    /// Whether it was opened more than once: who got an earlier file may still read it unseen.
    pub(crate) is_reopened: bool,
}

/// Makes a segment of `len` zero bytes and opens it.
///
/// # Errors
/// As the file system says.
pub(crate) async fn create(disk: &Disk, path: &Path, base: u64, len: u64) -> io::Result<Segment> {
    match disk.create_zeroed(path, len).await {
        // An attempt before this one made it, whole, and could not open it, or not flush its name.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.sync_dir(path.parent().unwrap_or(Path::new(""))).await?;
        }
        made => made?,
    }
    let file = disk.open(path, Access::ReadWrite).await?;
    let filled = file.len()?;
    Ok(Segment { base, file, filled, is_reopened: false })
}

/// Writes zeros over `from..to` of a file; page borders are the caller's to keep.
///
/// # Errors
/// As the device says.
pub(crate) async fn write_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    debug_assert!(from.is_multiple_of(PAGE_BYTES) && to.is_multiple_of(PAGE_BYTES));
    let mut buffer: Option<DmaBuffer> = None;
    let mut at = from;
    while at < to {
        let len = (to - at).min(REWRITE_STEP_BYTES) as usize;
        let zeros = buffer
            .take()
            .filter(|buffer| buffer.len() == len)
            .unwrap_or_else(|| DmaBuffer::alloc(len));
        buffer = Some(file.write_at(at, zeros).await?);
        at += len as u64;
    }
    Ok(())
}

/// Writes the pages of `from..to` of a file once more, as they are.
///
/// # Errors
/// As the device says.
pub(crate) async fn rewrite(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from - from % PAGE_BYTES;
    while at < to {
        let len = (to.next_multiple_of(PAGE_BYTES) - at).min(REWRITE_STEP_BYTES) as usize;
        let bytes = read_padded(file, at, len).await?;
        let mut buffer = DmaBuffer::alloc(len);
        buffer.as_mut_slice().copy_from_slice(&bytes);
        file.write_at(at, buffer).await?;
        at += len as u64;
    }
    Ok(())
}

/// Reads `len` bytes at `at`; what lies behind the end of the file reads as zeros.
///
/// # Errors
/// As the device says.
pub(crate) async fn read_padded(file: &File, at: u64, len: usize) -> io::Result<Shared> {
    let bytes = file.read_at(at, len).await?;
    if bytes.len() >= len {
        return Ok(bytes);
    }
    let mut padded = vec![0; len];
    padded[..bytes.len()].copy_from_slice(&bytes);
    Ok(Shared::from(padded))
}

/// As [`read_padded`] where the device cannot read all of it: sectors that it cannot read are zeros
/// in what is given back, and told to `unread`, which may end the reading.
///
/// # Errors
/// Those of `unread`.
pub(crate) async fn read_readable(
    file: &File,
    at: u64,
    len: usize,
    mut unread: impl FnMut(Range<u64>, io::Error) -> io::Result<()>,
) -> io::Result<Shared> {
    let read = async |range: &Range<u64>| {
        read_padded(file, range.start, (range.end - range.start) as usize).await
    };
    let all = at..at + len as u64;
    if let Ok(bytes) = read(&all).await {
        return Ok(bytes);
    }
    let mut bytes = Vec::with_capacity(len);
    for page in parts(all, PAGE_BYTES) {
        if let Ok(part) = read(&page).await {
            bytes.extend_from_slice(&part);
            continue;
        }
        for sector in parts(page, SECTOR_BYTES) {
            match read(&sector).await {
                Ok(part) => bytes.extend_from_slice(&part),
                Err(error) => {
                    bytes.resize((sector.end - at) as usize, 0);
                    unread(sector, error)?;
                }
            }
        }
    }
    Ok(Shared::from(bytes))
}

/// Cuts a range at all multiples of `unit`.
fn parts(range: Range<u64>, unit: u64) -> impl Iterator<Item = Range<u64>> {
    let first = range.start - range.start % unit;
    (first..range.end)
        .step_by(unit as usize)
        .map(move |from| from.max(range.start)..(from + unit).min(range.end))
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::sim::World;

    use super::*;

    #[test]
    fn a_segment_that_an_earlier_attempt_made_keeps_its_name_when_the_power_fails() {
        for seed in 0..32 {
            let world = World::new(seed);
            let disk = world.disk(0);
            world.run(async {
                disk.create_dir_all("dir").await.expect("made");
                disk.create_zeroed("dir/other", 4096).await.expect("made");
                disk.rename("dir/other", "dir/0").await.expect("named, not durably");
                create(&disk, Path::new("dir/0"), 0, 4096).await.expect("it is there");
            });
            world.crash(0);
            assert!(world.run(disk.exists("dir/0")).expect("known"), "seed {seed}");
        }
    }
}
