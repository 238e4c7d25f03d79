//! What a start cuts off the end of a log, kept aside for people before it is zeroed.
//!
//! A crash explains what is cut, and mostly nobody misses it. But damage near the end looks the
//! same, and then messages that were acknowledged stand behind it. So the bytes go to a file in a
//! directory beside the log's files. It is named, as those are, by the position of its first byte;
//! a further cut at the same place has a number behind that.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::log::Inner;
use crate::options::PAGE_BYTES;
use crate::position::{parse_segment_name, segment_name};
use crate::segments;

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
    let bytes = read(inner, from, to.min(from + FILE_MAX_BYTES)).await;
    if bytes.is_empty() {
        return Ok(None);
    }
    let needed = bytes.len() as u64 + inner.options.space_kept_bytes;
    let available = inner.disk.free_space().await?.available;
    if available < needed {
        let message = format!("{available} bytes are free, {needed} are needed");
        return Err(io::Error::new(io::ErrorKind::StorageFull, message));
    }
    let dir = inner.dir.join(CUT_DIR);
    inner.disk.create_dir_all(&dir).await?;
    make_room(inner, &dir).await?;
    let path = free_path(inner, &dir, from).await?;
    inner.disk.replace(&path, bytes).await?;
    Ok(Some(path))
}

/// A path that no earlier cut at the same place has: what that kept may be all there is of it.
async fn free_path(inner: &Inner, dir: &Path, from: u64) -> io::Result<PathBuf> {
    let name = segment_name(inner.id.at(from));
    let mut path = dir.join(&name);
    let mut further = 0;
    while inner.disk.exists(&path).await? {
        further += 1;
        path = dir.join(format!("{name}.{further}"));
    }
    Ok(path)
}

/// The file of an earlier start that began to cut the log at `end` and did not come to an end.
pub(crate) async fn kept(inner: &Inner, end: u64) -> Option<PathBuf> {
    let dir = inner.dir.join(CUT_DIR);
    let entries = inner.disk.list(&dir).await.ok()?;
    let is_behind = |name: &str| {
        let position = name.split('.').next().unwrap_or_default();
        parse_segment_name(inner.id, position).is_some_and(|at| at >= end)
    };
    let found = entries.into_iter().rfind(|entry| is_behind(&entry.name))?;
    Some(dir.join(found.name))
}

async fn read(inner: &Inner, from: u64, to: u64) -> Vec<u8> {
    let (mut bytes, mut unread) = (Vec::new(), 0);
    let mut at = from;
    while at < to {
        let found = inner.state.borrow().segments.find(at).cloned();
        let Some(segment) = found else { break };
        let segment_end = segment.base + inner.options.segment_size_bytes;
        let stop = (at - at % PAGE_BYTES + READ_BYTES).min(to).min(segment_end);
        let len = (stop - at) as usize;
        let count = |pages: Range<u64>| unread += pages.end - pages.start;
        let read = segments::read_readable(&segment.file, at - segment.base, len, count);
        bytes.extend_from_slice(&read.await[..len]);
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
    bytes
}

/// Removes the oldest files, and unfinished ones, until one more may come.
async fn make_room(inner: &Inner, dir: &Path) -> io::Result<()> {
    let kept = inner.disk.list(dir).await?;
    let surplus = (kept.len() + 1).saturating_sub(FILES_MAX);
    for oldest in &kept[..surplus] {
        inner.disk.remove_file(dir.join(&oldest.name)).await?;
    }
    Ok(())
}
