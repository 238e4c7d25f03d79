//! The task that makes room for the log before it is needed.
//!
//! The newest segment grows as `pace.rs` says, until it has its full size. The next one is begun
//! when more zeros are wanted and an eighth of it is used, so an idle store keeps one file, and
//! gets its name with the first step of zeros. The writer may use a segment as far as it is
//! zeroed: should the device be slower than the log, the log waits for one step and not for a
//! whole file. The last space of the disk is left to what else a broker saves.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::buffer::DmaBuffer;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::Access;
use ringmq_runtime::task::{self, Task};

use crate::lifetime;
use crate::log::Inner;
use crate::options::PAGE_BYTES;
use crate::pace::Pace;
use crate::segment;

/// Pause after a failed attempt, most likely for lack of space.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Steps after which a segment that grows is opened anew: half the lead that is ample, so that the
/// log seldom passes what the file knew when it was opened.
const REOPEN_STEPS: u64 = 16;

/// Starts the maker of segments of a log.
pub(crate) fn start(inner: &Rc<Inner>) -> Task<()> {
    let inner = inner.clone();
    task::spawn("segment-maker", async move {
        let appended = inner.state.borrow().marks.appended();
        lifetime::tell(inner.id, 0, appended);
        let mut pace = Pace::new(Instant::now(), appended);
        loop {
            let wanted = inner.signals.segment_wanted.notified();
            if is_done(&inner) {
                return;
            }
            let (is_wanted, is_begun) = {
                let state = inner.state.borrow();
                let (filled, end) = (state.segments.filled(), state.segments.end());
                (state.segments.is_more_wanted(state.marks.appended()), filled < end)
            };
            if !is_wanted {
                inner.state.borrow_mut().no_space = None;
                wanted.await;
                continue;
            }
            drop(wanted);
            let made = if is_begun { grow(&inner, &mut pace).await } else { begin(&inner).await };
            let has_failed = made.is_err();
            match made {
                Ok(()) => inner.state.borrow_mut().no_space = None,
                Err(Failed::Flush(error)) if is_in_use(&inner) => {
                    return inner.fail("zero-filling the newest segment", &error);
                }
                Err(Failed::Flush(error) | Failed::Zeros(error)) => note_no_space(&inner, &error),
            }
            // Before any pause: a group of this file may wait for the end of the attempt alone.
            inner.signals.segment_ready.notify_all();
            if has_failed {
                wait_for_retry(&inner).await;
            }
        }
    })
}

/// The writer may still wait for room while the log is being closed.
fn is_done(inner: &Inner) -> bool {
    let nothing_left = inner.state.borrow().marks.next_group().is_none();
    inner.is_fenced() || (inner.is_closing() && nothing_left)
}

/// Why there is no more room, by what it says about records.
enum Failed {
    /// Space or zeros: nothing, whatever the system calls it (a quota, a limit, a bad place).
    Zeros(io::Error),
    /// The flush of zeros: records too, if there are any in the file, for want of space as well.
    Flush(io::Error),
}

/// Whether the log has reached the newest segment.
fn is_in_use(inner: &Inner) -> bool {
    let state = inner.state.borrow();
    state.marks.appended() > state.segments.end() - state.segments.size
}

/// Lets the newest segment grow by one step.
async fn grow(inner: &Inner, pace: &mut Pace) -> Result<(), Failed> {
    let step = inner.options.fill_step_bytes;
    let (file, from, lead, left) = {
        let mut state = inner.state.borrow_mut();
        let appended = state.marks.appended();
        pace.note(Instant::now(), appended);
        state.segments.lead_wanted = pace.ample_lead(step);
        let lead = state.segments.filled().saturating_sub(appended);
        let left = state.segments.end() - state.segments.filled();
        let newest = state.segments.newest_mut().expect("growing");
        (newest.file.clone(), newest.filled, lead, left)
    };
    let to = from + step.min(left);
    inner.demand_space(to - from).await.map_err(Failed::Zeros)?;
    let rate = pace.fill_rate(lead, step, inner.options.fill_rate_bytes_per_s);
    inner.state.borrow_mut().is_growth_unproven = true;
    // A failed attempt may have left anything behind `from`; all of it is written again.
    file.fill_zeros(from, to, rate).await.map_err(Failed::Zeros)?;
    set_growth_flush(inner, true);
    // The last page once more, since the flush comes with a write; it needs no space any more.
    let last_page = to - PAGE_BYTES;
    let flushed = file.write_and_sync(last_page, DmaBuffer::alloc(PAGE_BYTES as usize)).await;
    set_growth_flush(inner, false);
    flushed.map_err(Failed::Flush)?;
    {
        let state = &mut *inner.state.borrow_mut();
        state.segments.newest_mut().expect("growing").filled = to;
        state.is_growth_unproven = false;
    }
    // Groups wait for this, not for what follows.
    inner.signals.segment_ready.notify_all();
    if to == inner.options.segment_size_bytes || (to / step).is_multiple_of(REOPEN_STEPS) {
        reopen(inner).await;
    }
    Ok(())
}

fn set_growth_flush(inner: &Inner, is_flushing: bool) {
    let state = &mut *inner.state.borrow_mut();
    let newest = state.segments.end() - state.segments.size;
    state.growth_flush = is_flushing.then_some(newest);
}

/// Waits until no growth of the segment at `base` is being flushed.
///
/// A flush that fails takes unflushed writes of the whole file with it, so one of the same file
/// that succeeded at the same time proves nothing before the other has succeeded too. False when
/// the log was fenced.
pub(crate) async fn growth_flushed(inner: &Inner, base: u64) -> bool {
    let outcome = || {
        let state = inner.state.borrow();
        let is_over = state.fenced.is_some() || state.growth_flush != Some(base);
        is_over.then_some(state.fenced.is_none())
    };
    inner.signals.segment_ready.until(outcome).await
}

/// Opens the newest segment once more, since a file knows its pages in the page cache only as far
/// as it reached when it was opened.
async fn reopen(inner: &Inner) {
    let path = {
        let state = inner.state.borrow();
        state.segments.path(state.segments.end() - state.segments.size)
    };
    match inner.disk.open(path, Access::ReadWrite).await {
        Ok(file) => {
            let mut state = inner.state.borrow_mut();
            let newest = state.segments.newest_mut().expect("growing");
            (newest.file, newest.is_reopened) = (file, true);
        }
        // Readers then go through helper threads.
        Err(error) => tracing::warn!(log = inner.id.0, "opening a segment again: {error}"),
    }
}

/// Makes the first step of the segment behind the newest one.
async fn begin(inner: &Inner) -> Result<(), Failed> {
    let (path, base) = {
        let state = inner.state.borrow();
        let base = state.segments.end();
        (state.segments.path(base), base)
    };
    let len = inner.options.fill_step_bytes.min(inner.options.segment_size_bytes);
    inner.demand_space(len).await.map_err(Failed::Zeros)?;
    let created = segment::create(&inner.disk, &path, base, len).await;
    let segment = created.map_err(Failed::Zeros)?;
    inner.state.borrow_mut().segments.push(segment);
    lifetime::tell(inner.id, base, base + inner.options.segment_size_bytes);
    Ok(())
}

impl Inner {
    /// Asks for `len` bytes that a log can do without: they must not take the last space of the
    /// disk, which indexes and settings need.
    ///
    /// # Errors
    /// `StorageFull` when they would.
    pub(crate) async fn demand_space(&self, len: u64) -> io::Result<()> {
        let kept = self.options.space_kept_bytes;
        // Where the space cannot be told, the attempt itself will show.
        let Ok(space) = self.disk.free_space().await else { return Ok(()) };
        let free = space.available;
        if free >= len + kept {
            return Ok(());
        }
        let message = format!(
            "{free} bytes are free, {len} are wanted, and {kept} are kept for indexes and settings"
        );
        Err(io::Error::new(io::ErrorKind::StorageFull, message))
    }
}

/// Keeps the reason for those who need the space.
fn note_no_space(inner: &Inner, error: &io::Error) {
    tracing::warn!(log = inner.id.0, "no space for the next segment: {error}");
    inner.state.borrow_mut().no_space = Some(error.to_string());
}

/// Waits a while before the next attempt; not when nobody will need it.
async fn wait_for_retry(inner: &Inner) {
    let no_longer_needed = inner.signals.segment_wanted.until(|| is_done(inner).then_some(()));
    let _ = task::timeout(RETRY_PAUSE, no_longer_needed).await;
}
