//! The files of a log: equal in size, named by their first position, in one row without holes.
//!
//! Only the newest may be too short: it grows in the background (`maker.rs`).

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ringmq_runtime::disk::Disk;

use crate::position::{LOG_MAX_BYTES, LogId, parse_segment_name, segment_name};
use crate::segment::{Segment, rewrite};

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

#[cfg(test)]
mod tests {
    use ringmq_runtime::sim::World;

    use super::*;
    use crate::segment::create;

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
