//! The task that makes segments before they are needed.
//!
//! The next segment is begun when an eighth of the newest is used, so an idle store keeps one file,
//! and filled at twice the rate at which the log grows, so that it is ready in time without being
//! in the way. A segment that the log already waits for is filled at full speed.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::task::{self, Task};

use crate::log::Inner;
use crate::segments::{self, FILL_STEP_BYTES, Segment};

/// Pause after a failed attempt, most likely for lack of space.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Shortest pause worth a timer while a file grows.
const PACE_STEP: Duration = Duration::from_millis(2);

/// Starts the maker of segments of a log.
pub(crate) fn start(inner: &Rc<Inner>) -> Task<()> {
    let inner = inner.clone();
    task::spawn("segment-maker", async move {
        let mut pace = Pace { since: Instant::now(), byte: inner.state.borrow().marks.appended() };
        loop {
            let wanted = inner.signals.segment_wanted.notified();
            // The writer may still wait for a segment while the log is being closed.
            let is_done = inner.is_closing() && inner.state.borrow().marks.next_group().is_none();
            if is_done || inner.is_fenced() {
                return;
            }
            if is_growing(&inner) {
                drop(wanted);
                match grow(&inner, &mut pace).await {
                    Ok(()) => inner.state.borrow_mut().no_space = None,
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                        report_no_space(&inner, &error).await;
                    }
                    Err(error) => return inner.fail("zero-filling the newest segment", &error),
                }
            } else if needs_next(&inner) {
                drop(wanted);
                make_next(&inner, &mut pace).await;
            } else {
                wanted.await;
            }
        }
    })
}

/// How fast the log grew since the last segment was made.
struct Pace {
    since: Instant,
    byte: u64,
}

impl Pace {
    /// The rate for the next fill; 0, full speed, when the log waits for it.
    fn rate(&self, inner: &Inner, is_urgent: bool) -> u64 {
        if is_urgent {
            return 0;
        }
        let grown = inner.state.borrow().marks.appended() - self.byte;
        let micros = self.since.elapsed().as_micros().max(1);
        let own_rate = u128::from(grown) * 1_000_000 / micros;
        inner.options.fill_rate_bytes_per_s.max(2 * own_rate as u64)
    }
}

fn is_growing(inner: &Inner) -> bool {
    let mut state = inner.state.borrow_mut();
    let size = state.segments.size;
    state.segments.newest_mut().is_some_and(|newest| newest.filled < size)
}

fn needs_next(inner: &Inner) -> bool {
    let state = inner.state.borrow();
    let newest_used_from = state.segments.end() - state.segments.size + state.segments.size / 8;
    state.marks.appended() >= newest_used_from
}

/// Lets the newest segment grow by one step, ahead of the writer.
async fn grow(inner: &Inner, pace: &mut Pace) -> io::Result<()> {
    let (file, from, to, is_urgent) = {
        let mut state = inner.state.borrow_mut();
        let (size, appended) = (state.segments.size, state.marks.appended());
        let newest = state.segments.newest_mut().expect("growing");
        // Writes end at any byte, steps at pages; both leave zeros behind.
        let from = newest.filled.next_multiple_of(crate::options::PAGE_BYTES);
        let is_urgent = appended + FILL_STEP_BYTES >= newest.base + from;
        (newest.file.clone(), from, size.min(from + FILL_STEP_BYTES), is_urgent)
    };
    segments::write_zeros(&file, from, to).await?;
    let is_complete = {
        let mut state = inner.state.borrow_mut();
        let size = state.segments.size;
        let newest = state.segments.newest_mut().expect("growing");
        newest.filled = newest.filled.max(to);
        newest.filled == size
    };
    inner.signals.segment_ready.notify_all();
    if is_complete {
        file.sync_data().await?;
    }
    let rate = pace.rate(inner, is_urgent);
    if let Some(pause) = (to - from).saturating_mul(1_000_000).checked_div(rate) {
        let pause = Duration::from_micros(pause);
        // Timers below a millisecond overshoot; sleep for several steps at once, at random ones.
        if pause >= PACE_STEP || to % (4 * FILL_STEP_BYTES) == 0 {
            let steps = if pause >= PACE_STEP { 1 } else { 4 };
            let wanted = inner.signals.segment_wanted.notified();
            let _ = task::timeout(pause * steps, wanted).await;
        }
    }
    Ok(())
}

/// Makes the segment behind the newest one. A failure is kept for those who need it, and tried
/// again.
async fn make_next(inner: &Inner, pace: &mut Pace) {
    let (path, base, size, is_urgent) = {
        let state = inner.state.borrow();
        let base = state.segments.end();
        (state.segments.path(base), base, state.segments.size, state.marks.appended() >= base)
    };
    let rate = pace.rate(inner, is_urgent);
    *pace = Pace { since: Instant::now(), byte: inner.state.borrow().marks.appended() };
    let made = segments::create(&inner.disk, &path, base, size, rate);
    let made = async { Some(made.await) };
    // A log that is closed should not wait for a file that nobody needs.
    match futures_lite::future::or(made, no_longer_needed(inner)).await {
        Some(Ok(segment)) => add(inner, segment),
        Some(Err(error)) => report_no_space(inner, &error).await,
        None => {}
    }
}

async fn no_longer_needed<T>(inner: &Inner) -> Option<T> {
    loop {
        let wanted = inner.signals.segment_wanted.notified();
        let nothing_left = inner.state.borrow().marks.next_group().is_none();
        if inner.is_fenced() || (inner.is_closing() && nothing_left) {
            return None;
        }
        wanted.await;
    }
}

/// Keeps the reason for those who need the space, and waits a while.
async fn report_no_space(inner: &Inner, error: &io::Error) {
    tracing::warn!(log = inner.id.0, "no space for the next segment: {error}");
    inner.state.borrow_mut().no_space = Some(error.to_string());
    let _ = task::timeout(RETRY_PAUSE, no_longer_needed::<()>(inner)).await;
}

fn add(inner: &Inner, segment: Segment) {
    {
        let mut state = inner.state.borrow_mut();
        state.no_space = None;
        state.segments.push(segment);
    }
    inner.signals.segment_ready.notify_all();
}
