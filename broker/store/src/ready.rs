//! The last step of a start: what it found is made durable, and the log can take messages.

use std::io;

use crate::abort::{self, RunNote};
use crate::checkpoint;
use crate::index_expiry::expire_indexes;
use crate::log::Inner;
use crate::options::PAGE_BYTES;
use crate::segment::{self, Segment};
use crate::tail::Tail;
use crate::watermarks::Watermarks;

/// Makes what was scanned durable, `from` up to the end of the log, and marks the log as open.
///
/// # Errors
/// As the file system says; another start does the same again.
pub(crate) async fn make_ready(
    inner: &Inner,
    from: u64,
    end: u64,
    crashed: Option<RunNote>,
) -> io::Result<()> {
    // All of it counts as safe from here on, and a flush of its end may have failed before the
    // crash, unnoticed by this kernel: only a write makes that good.
    let doubtful = crashed.map_or(end, |run| end.saturating_sub(run.torn_window).max(from));
    let segments = inner.state.borrow().segments.clone();
    segments.rewrite(doubtful..end).await?;
    // And the file that the log goes on in, though it may have none of these bytes.
    segments.sync(from..end + 1).await?;
    complete_page(inner).await?;
    ensure_segment(inner, end).await?;
    if crashed.is_some() {
        settle_growth(inner, end).await?;
    }
    begin_tail(inner, end).await?;
    let min = inner.state.borrow().segments.min();
    expire_indexes(inner, min).await;
    if inner.indexed.get() < end || inner.state.borrow().queues.is_dirty() {
        checkpoint::save(inner, end).await?;
    }
    // Last, so that it speaks of records behind the last mark only.
    let note = RunNote {
        torn_window: inner.options.torn_window_bytes(),
        zero_until: None,
        has_checksums: inner.options.record_checksum,
    };
    abort::write(inner, note).await
}

/// Fills up the last page of the newest file with zeros: a file that was cut short, as a copy that
/// broke off, may end within one, and growing goes on at a page. What stands in it is kept.
async fn complete_page(inner: &Inner) -> io::Result<()> {
    let newest = inner.state.borrow().segments.newest().cloned();
    let Some(Segment { file, filled, .. }) = newest else { return Ok(()) };
    let len = file.len()?;
    if !len.is_multiple_of(PAGE_BYTES) {
        segment::rewrite(&file, filled, len).await?;
        file.sync_data().await?;
    }
    let newest = &mut inner.state.borrow_mut().segments;
    newest.newest_mut().expect("found above").filled = len.next_multiple_of(PAGE_BYTES);
    Ok(())
}

/// Makes the segment of `end` if there is none: quickly, it grows later.
async fn ensure_segment(inner: &Inner, end: u64) -> io::Result<()> {
    if inner.state.borrow().segments.find(end).is_some() {
        return Ok(());
    }
    let (base, path) = {
        let segments = &inner.state.borrow().segments;
        (segments.base_of(end), segments.path(segments.base_of(end)))
    };
    let len = inner.options.fill_step_bytes.min(inner.options.segment_size_bytes);
    let segment = segment::create(&inner.disk, &path, base, len).await?;
    inner.state.borrow_mut().segments.push(segment);
    Ok(())
}

/// Writes the last zeros of a segment that was growing once more: a flush of them, and of the
/// length of the file, may have failed before the crash, or not have begun.
async fn settle_growth(inner: &Inner, end: u64) -> io::Result<()> {
    let newest = inner.state.borrow().segments.newest().cloned().expect("ensured before");
    let used = end.saturating_sub(newest.base).next_multiple_of(PAGE_BYTES);
    let from = newest.filled.saturating_sub(inner.options.fill_step_bytes).max(used);
    newest.file.fill_zeros(from, newest.filled, 0).await?;
    newest.file.sync_data().await
}

/// Sets tail and watermarks to the end of the log, whose last page goes along with the next write.
async fn begin_tail(inner: &Inner, end: u64) -> io::Result<()> {
    let segment = inner.state.borrow().segments.find(end).cloned().expect("ensured before");
    let page = end - end % PAGE_BYTES;
    let lead = (end - page) as usize;
    let prefix = segment::read_padded(&segment.file, page - segment.base, lead).await?;
    let options = &inner.options;
    let mut state = inner.state.borrow_mut();
    state.tail = Tail::new(options, page, &prefix);
    state.marks = Watermarks::new(options.flush, options.segment_size_bytes, end);
    Ok(())
}
