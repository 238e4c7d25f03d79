//! What a start cuts off the end of a log, kept aside for people before it is zeroed.
//!
//! A crash explains what is cut, and mostly nobody misses it. But damage near the end looks the
//! same, and then messages that were acknowledged stand behind it. So the bytes go to a file in a
//! directory beside the log's files. It is named, as those are, by the position of its first byte;
//! behind that, all but the first have a number that is higher than that of any file before it.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::log::Inner;
use crate::options::PAGE_BYTES;
use crate::position::{LogId, parse_segment_name, segment_name};
use crate::segment;

/// Where they are kept, in the directory of the log.
const CUT_DIR: &str = "commitlog-cut";

/// Longest file: what default settings can have to cut, 64 MiB that were not flushed, a group and
/// two records of the largest size, and as much again.
pub(crate) const FILE_MAX_BYTES: u64 = 128 << 20;

/// Files kept: the oldest leaves for a further one, so that a broker that crashes all the time does
/// not fill its disk.
const FILES_MAX: usize = 4;

/// Read at once.
const READ_BYTES: u64 = 1 << 20;

/// Keeps what stands in `from..to` of the log, without the zeros at its end, durably. The path of
/// the file; `None` when there is nothing but zeros.
///
/// # Errors
/// As the file system says; `StorageFull` also when the space that a start may need for its indexes
/// would go.
pub(crate) async fn keep(inner: &Inner, from: u64, to: u64) -> io::Result<Option<PathBuf>> {
    let bytes = read(inner, from, to.min(from + FILE_MAX_BYTES)).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    inner.demand_space(bytes.len() as u64).await?;
    let dir = inner.dir.join(CUT_DIR);
    inner.disk.create_dir_all(&dir).await?;
    let entries = inner.disk.list(&dir).await?;
    let mut kept: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
    kept.sort_by_key(|name| order(inner.id, name));
    let newest = kept.last().and_then(|name| order(inner.id, name));
    let number = newest.map_or_else(String::new, |(number, _)| format!(".{}", number + 1));
    let name = segment_name(inner.id.at(from)) + &number;
    make_room(inner, &dir, &kept).await?;
    let path = dir.join(name);
    inner.disk.replace(&path, bytes).await?;
    Ok(Some(path))
}

/// By which files are in the order of their making: their number, and for those of versions that
/// counted anew at each place also that. None of a file that is not finished.
fn order(log: LogId, name: &str) -> Option<(u64, u64)> {
    let (position, number) = name.split_once('.').unwrap_or((name, "0"));
    Some((number.parse::<u32>().ok()?.into(), parse_segment_name(log, position)?))
}

/// The file of an earlier start that began to cut the log at `end` and did not come to an end.
pub(crate) async fn kept(inner: &Inner, end: u64) -> Option<PathBuf> {
    let dir = inner.dir.join(CUT_DIR);
    let entries = inner.disk.list(&dir).await.ok()?;
    let files = entries.into_iter().filter_map(|entry| {
        let (number, at) = order(inner.id, &entry.name)?;
        (at >= end).then_some((number, at, entry.name))
    });
    files.max().map(|(_, _, name)| dir.join(name))
}

async fn read(inner: &Inner, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let (mut bytes, mut unread) = (Vec::new(), 0);
    let mut at = from;
    while at < to {
        let found = inner.state.borrow().segments.find(at).cloned();
        let Some(segment) = found else { break };
        let segment_end = segment.base + inner.options.segment_size_bytes;
        let stop = (at - at % PAGE_BYTES + READ_BYTES).min(to).min(segment_end);
        let len = (stop - at) as usize;
        // No more than the look at the end of the log allowed.
        let count = |sector: Range<u64>, _| {
            unread += sector.end - sector.start;
            Ok(())
        };
        let read = segment::read_readable(&segment.file, at - segment.base, len, count);
        bytes.extend_from_slice(&read.await?[..len]);
        at = stop;
    }
    if unread > 0 {
        tracing::warn!(
            log = inner.id.0,
            "{unread} bytes that are cut off cannot be read: they are kept as zeros"
        );
    }
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(used);
    Ok(bytes)
}

/// Removes the oldest files, and unfinished ones, until one more may come.
async fn make_room(inner: &Inner, dir: &Path, oldest_first: &[String]) -> io::Result<()> {
    let surplus = (oldest_first.len() + 1).saturating_sub(FILES_MAX);
    for name in &oldest_first[..surplus] {
        inner.disk.remove_file(dir.join(name)).await?;
    }
    Ok(())
}
