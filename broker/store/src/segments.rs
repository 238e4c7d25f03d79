//! The files of a log: equal in size, named by their first position, in one row without holes.
//!
//! A segment is zero-filled before records reach it (`filled`), because writes into unwritten
//! extents make every flush commit the file system's journal. Each starts with one step of zeros
//! and grows in the background (`maker.rs`), ahead of the writer, which may use what is filled; so
//! a file that is too short is always the newest one, and shows how far it was filled. Bytes count
//! as filled when they and the length of the file are durable: records written there then need no
//! further help of the file system to survive a kernel crash, which is what an acknowledgement
//! under ASYNC_FLUSH promises.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ringmq_runtime::buffer::{DmaBuffer, Shared};
use ringmq_runtime::disk::{Access, Disk, File};

use crate::options::PAGE_BYTES;
use crate::position::{LOG_MAX_BYTES, LogId, parse_segment_name, segment_name};

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

/// The files of one log, oldest first. A clone has the same files, and the row as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    pub(crate) log: LogId,
    pub(crate) dir: PathBuf,
    pub(crate) size: u64,
    /// Zeroed bytes that the log shall have in front of it: as many as there can be, until its rate
    /// is known.
    pub(crate) lead_wanted: u64,
    files: VecDeque<Segment>,
}

/// A file found in the directory of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundFile {
    pub(crate) base: u64,
    pub(crate) len: u64,
}

impl Segments {
    pub(crate) fn new(log: LogId, dir: PathBuf, size: u64) -> Self {
        Self { log, dir, size, lead_wanted: u64::MAX, files: VecDeque::new() }
    }

    /// Path of the segment that starts at `base`.
    pub(crate) fn path(&self, base: u64) -> PathBuf {
        self.dir.join(segment_name(self.log.at(base)))
    }

    /// First byte that the log still has.
    pub(crate) fn min(&self) -> u64 {
        self.files.front().map_or(0, |first| first.base)
    }

    /// First byte behind the newest segment.
    pub(crate) fn end(&self) -> u64 {
        self.files.back().map_or(0, |last| last.base + self.size)
    }

    /// First byte that is not zero-filled yet.
    pub(crate) fn filled(&self) -> u64 {
        self.files.back().map_or(0, |last| last.base + last.filled)
    }

    /// Whether the log, which ends at `appended`, has too few zeros in front of it, and more can be
    /// made: the newest segment is not whole, or so far in use that the next one may be begun, if
    /// the log can have it.
    pub(crate) fn is_more_wanted(&self, appended: u64) -> bool {
        let (end, filled) = (self.end(), self.filled());
        let is_used = appended >= end - self.size + self.size / 8;
        let can_be_made = filled < end || (is_used && fits_log(end, self.size));
        can_be_made && filled.saturating_sub(appended) < self.lead_wanted
    }

    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Start of the segment that byte `byte` belongs to.
    pub(crate) fn base_of(&self, byte: u64) -> u64 {
        byte - byte % self.size
    }

    /// The segment of a byte.
    pub(crate) fn find(&self, byte: u64) -> Option<&Segment> {
        let index = byte.checked_sub(self.min())? / self.size;
        self.files.get(usize::try_from(index).ok()?)
    }

    /// The segments that have bytes of `range`, each with where they are in its file.
    pub(crate) fn parts_of(
        &self,
        range: Range<u64>,
    ) -> impl Iterator<Item = (&Segment, Range<u64>)> {
        let first = self.files.partition_point(|segment| segment.base + self.size <= range.start);
        let parts = self.files.range(first..).map(move |segment| {
            let in_file = |byte: u64| byte.saturating_sub(segment.base).min(self.size);
            (segment, in_file(range.start)..in_file(range.end))
        });
        parts.take_while(|(_, part)| !part.is_empty())
    }

    /// Writes the bytes of `range` once more, as they are.
    ///
    /// # Errors
    /// As the device says.
    pub(crate) async fn rewrite(&self, range: Range<u64>) -> io::Result<()> {
        for (segment, part) in self.parts_of(range) {
            rewrite(&segment.file, part.start, part.end).await?;
        }
        Ok(())
    }

    /// Flushes the files that have bytes of `range`.
    ///
    /// # Errors
    /// As the device says.
    pub(crate) async fn sync(&self, range: Range<u64>) -> io::Result<()> {
        for (segment, _) in self.parts_of(range) {
            segment.file.sync_data().await?;
        }
        Ok(())
    }

    pub(crate) fn newest(&self) -> Option<&Segment> {
        self.files.back()
    }

    pub(crate) fn newest_mut(&mut self) -> Option<&mut Segment> {
        self.files.back_mut()
    }

    /// Adds the next segment.
    ///
    /// # Panics
    /// When it does not follow the newest.
    pub(crate) fn push(&mut self, segment: Segment) {
        let follows = self.files.is_empty() || segment.base == self.end();
        assert!(follows, "segment {} does not follow {}", segment.base, self.end());
        self.files.push_back(segment);
    }

    /// Takes the oldest segment out, for its deletion. The newest never goes.
    pub(crate) fn pop_oldest(&mut self) -> Option<Segment> {
        if self.files.len() < 2 { None } else { self.files.pop_front() }
    }
}

/// Whether the positions of a segment that starts at `base` are ones that a log can have.
pub(crate) fn fits_log(base: u64, size: u64) -> bool {
    base.saturating_add(size) <= LOG_MAX_BYTES
}

/// The segments in a directory, sorted; what is no segment of this log is left alone.
///
/// # Errors
/// As the file system says; a sentence when the row has holes or a file has the wrong size.
pub(crate) async fn find_files(
    disk: &Disk,
    dir: &Path,
    log: LogId,
    size: u64,
) -> io::Result<Result<Vec<FoundFile>, String>> {
    let mut found = Vec::new();
    for entry in disk.list(dir).await? {
        if entry.is_dir {
            continue;
        }
        if let Some(base) = parse_segment_name(log, &entry.name) {
            found.push(FoundFile { base, len: entry.len });
        }
    }
    found.sort_by_key(|file| file.base);
    Ok(check_row(&found, size).map(|()| found))
}

/// Whether files form one row: each starts where the one before ends, and only the newest may be
/// short.
fn check_row(files: &[FoundFile], size: u64) -> Result<(), String> {
    for (index, file) in files.iter().enumerate() {
        let is_newest = index + 1 == files.len();
        let is_whole = file.len == size || (is_newest && file.len < size);
        if !fits_log(file.base, size) {
            return Err(format!(
                "the file at {} has positions that no log can have, with segments of {size} bytes",
                file.base
            ));
        }
        if !is_whole || !file.base.is_multiple_of(size) {
            return Err(format!(
                "the file at {} has {} bytes, but segments of {size} bytes are configured",
                file.base, file.len
            ));
        }
        if let Some(next) = files.get(index + 1).filter(|next| next.base != file.base + size) {
            return Err(format!(
                "the file at {} is followed by {}, so bytes are missing between them",
                file.base, next.base
            ));
        }
    }
    Ok(())
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

    #[test]
    fn a_range_has_a_part_in_each_file_that_has_bytes_of_it() {
        let world = World::new(1);
        let disk = world.disk(0);
        let mut segments = Segments::new(LogId(0), "".into(), 4096);
        world.run(async {
            for base in [8192, 12288, 16384] {
                let made = create(&disk, &segments.path(base), base, 4096).await;
                segments.push(made.expect("room"));
            }
        });
        let parts = |range| {
            let parts = segments.parts_of(range);
            parts.map(|(segment, part)| (segment.base, part.start, part.end)).collect::<Vec<_>>()
        };
        assert_eq!(parts(9000..9000), []);
        assert_eq!(parts(9000..9001), [(8192, 808, 809)]);
        assert_eq!(parts(9000..12288), [(8192, 808, 4096)]);
        assert_eq!(parts(12287..12289), [(8192, 4095, 4096), (12288, 0, 1)]);
        assert_eq!(parts(0..16400), [(8192, 0, 4096), (12288, 0, 4096), (16384, 0, 16)]);
        assert_eq!(parts(16384..1 << 20), [(16384, 0, 4096)]);
        assert_eq!(parts(0..8192), []);
        assert_eq!(parts(20480..1 << 20), []);
    }

    fn file(base: u64, len: u64) -> FoundFile {
        FoundFile { base, len }
    }

    #[test]
    fn a_row_of_segments_has_no_holes_and_only_its_end_is_short() {
        let size = 4096;
        let good = [file(8192, size), file(12288, size), file(16384, 4000)];
        assert_eq!(check_row(&good, size), Ok(()));
        assert_eq!(check_row(&[], size), Ok(()));
        for bad in [
            [file(0, size), file(8192, size)],
            [file(0, 100), file(4096, size)],
            [file(0, size), file(4096, size + 1)],
            [file(100, size), file(4196, size)],
        ] {
            assert!(check_row(&bad, size).is_err(), "{bad:?}");
        }
    }
}
