//! The end of a log after a crash: a verdict on what stands behind it, and zeros where nothing must
//! be found.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use ringmq_runtime::buffer::DmaBuffer;

use crate::abort::{self, RunNote};
use crate::cut;
use crate::error::OpenError;
use crate::log::Inner;
use crate::options::{LogOptions, PAGE_BYTES};
use crate::scan::{self, Rest};
use crate::segment::{self, Segment};
use crate::segments::Segments;
use crate::verdict::{Evidence, Verdict, judge};

/// What was cut off the end of a log.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Bytes behind the end that were zeroed.
    pub(crate) cut_bytes: u64,
    /// Heads of messages that were seen in there.
    pub(crate) cut_heads: u64,
    /// The file that has what these bytes were.
    pub(crate) kept_in: Option<PathBuf>,
}

/// Looks at what stands behind the last good record and acts on the verdict.
///
/// # Errors
/// When the device fails, or when the verdict is to refuse.
pub(crate) async fn settle_end(
    inner: &Inner,
    end: u64,
    crashed: Option<RunNote>,
    damage: Option<&str>,
) -> Result<Settled, OpenError> {
    let log = inner.id;
    let segments = inner.state.borrow().segments.clone();
    let (verdict, rest) = examine(&segments, &inner.options, end, crashed, damage).await?;
    let (cut_bytes, kept_in) = match verdict {
        Verdict::Continue => return Ok(Settled::default()),
        Verdict::Cut => {
            let kept_in = keep_rest(inner, end, rest, crashed).await;
            let zeroed = zero_rest(inner, end, rest, crashed).await;
            zeroed.map_err(OpenError::io(log, "zeroing a torn tail"))?;
            (rest.dirty.map_or(0, |(from, to)| to - from.max(end)), kept_in)
        }
        Verdict::Refuse => unreachable!("an error of the look at the end"),
    };
    Ok(Settled { cut_bytes, cut_heads: rest.heads, kept_in })
}

/// What stands behind the last good record, and the verdict on it, which is not to refuse.
///
/// # Errors
/// When the verdict is to refuse, or the device cannot read what would decide.
pub(crate) async fn examine(
    segments: &Segments,
    options: &LogOptions,
    end: u64,
    crashed: Option<RunNote>,
    damage: Option<&str>,
) -> Result<(Verdict, Rest), OpenError> {
    let window = crashed.map_or(0, |run| run.torn_window);
    let page_end = end - end % PAGE_BYTES + PAGE_BYTES;
    // Behind damage that no crash explains, the largest record may hide the next head.
    let until = match (crashed, damage) {
        (None, None) => page_end,
        _ => end + window + 2 * options.record_size_max_bytes as u64,
    };
    // What cannot be read behind the end of a log that was closed, and shows no damage, is nothing.
    let window = if crashed.is_none() && damage.is_none() { u64::MAX } else { window };
    let rest = scan::survey(segments, end, window, until).await;
    let mut rest =
        rest.map_err(OpenError::io(segments.log, "looking behind the last sound message"))?;
    // Zeros that were written before may not be on the device.
    if let Some(until) = crashed.and_then(|run| run.zero_until).filter(|until| *until > end) {
        let dirty_until = rest.dirty.map_or(0, |(_, to)| to);
        rest.dirty = Some((end, until.max(dirty_until)));
    }
    let evidence = Evidence {
        was_clean: crashed.is_none(),
        has_rest: rest.dirty.is_some(),
        has_near_record: rest.near.is_some(),
        has_far_record: rest.far.is_some(),
    };
    let log = segments.log;
    match judge(evidence) {
        Verdict::Refuse => Err(OpenError::Corrupt {
            log,
            at: log.at(end),
            damage: damage.unwrap_or("nothing was written").to_owned(),
            valid_at: log.at(rest.near.or(rest.far).expect("damage is proved by a record")),
        }),
        verdict => Ok((verdict, rest)),
    }
}

/// Keeps what is going to be zeroed, where that can be done: a log must start without it too. The
/// file, if there is one.
async fn keep_rest(
    inner: &Inner,
    end: u64,
    rest: Rest,
    crashed: Option<RunNote>,
) -> Option<PathBuf> {
    let (from, to) = rest.dirty?;
    // A start before this one kept it, and some of it may be zeros by now.
    if crashed.is_some_and(|run| run.zero_until.is_some()) {
        return cut::kept(inner, end).await;
    }
    let kept = cut::keep(inner, from.max(end), to).await;
    kept.unwrap_or_else(|error| {
        tracing::warn!(log = inner.id.0, "the bytes that are cut off are not kept: {error}");
        None
    })
}

/// Leaves word for the next start that zeros were being written: a failed flush would not show
/// later.
async fn note_zeroing(inner: &Inner, until: u64, crashed: Option<RunNote>) -> io::Result<()> {
    let note =
        crashed.unwrap_or(RunNote { torn_window: 0, zero_until: None, has_checksums: false });
    abort::write(inner, RunNote { zero_until: Some(until), ..note }).await
}

/// Zeroes what a crash left behind the end.
async fn zero_rest(
    inner: &Inner,
    end: u64,
    rest: Rest,
    crashed: Option<RunNote>,
) -> io::Result<()> {
    let Some((from, to)) = rest.dirty else { return Ok(()) };
    note_zeroing(inner, to, crashed).await?;
    let segments = inner.state.borrow().segments.clone();
    zero(&segments, from.max(end)..to).await
}

/// Zeroes the bytes of `range`, durably, where files have them. It ends at a page border.
async fn zero(segments: &Segments, range: Range<u64>) -> io::Result<()> {
    for (segment, part) in segments.parts_of(range) {
        let stop = part.end.min(segment.file.len()?.next_multiple_of(PAGE_BYTES));
        if part.start < stop {
            zero_in_file(segment, part.start, stop).await?;
            segment.file.sync_data().await?;
        }
    }
    Ok(())
}

async fn zero_in_file(segment: &Segment, start: u64, stop: u64) -> io::Result<()> {
    let page = start - start % PAGE_BYTES;
    if page < start {
        let kept = segment::read_padded(&segment.file, page, (start - page) as usize).await?;
        let mut buffer = DmaBuffer::alloc(PAGE_BYTES as usize);
        buffer.as_mut_slice().fill(0);
        buffer.as_mut_slice()[..kept.len()].copy_from_slice(&kept);
        segment.file.write_at(page, buffer).await?;
    }
    segment::write_zeros(&segment.file, start.next_multiple_of(PAGE_BYTES), stop).await
}
