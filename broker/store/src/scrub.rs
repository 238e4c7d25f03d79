//! The scrubber: reads what is durable once more, slowly, and says what the device has lost.
//!
//! Damage in a segment that nobody reads would otherwise show when it is needed, with the last
//! good copy gone by then. A pass goes from the oldest segment to what was durable when it began
//! and checks every record as recovery does. Behind damage it goes on with the next record that
//! names its own place, but skips the rest of a segment that has too much of it. It changes
//! nothing: what to do is a person's decision.

use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::task::{self, Task};

use crate::log::Inner;
use crate::scan::{self, Found, Scanner};
use crate::segments::Segments;

/// What is checked between two pauses: one read of the scanner.
const STEP_BYTES: u64 = 1 << 20;

/// Damaged places of a segment that a pass tells of before it skips the rest.
const DAMAGES_MAX: usize = 16;

/// Starts the scrubber of a log, unless its rate is 0.
pub(crate) fn start(inner: &Rc<Inner>) -> Option<Task<()>> {
    let rate = inner.options.scrub_bytes_per_s;
    let step = Duration::from_micros((STEP_BYTES * 1_000_000).checked_div(rate)?);
    let inner = inner.clone();
    Some(task::spawn("log-scrubber", async move {
        while !ends_within(&inner, inner.options.scrub_pause).await {
            pass(&inner, step).await;
        }
    }))
}

/// Waits; true as soon as the log is closed or fenced.
async fn ends_within(inner: &Inner, pause: Duration) -> bool {
    let ended = inner.signals.ended.notified();
    if inner.is_closing() || inner.is_fenced() {
        return true;
    }
    task::timeout(pause, ended).await.is_ok()
}

async fn pass(inner: &Inner, step: Duration) {
    let mut scanner = Scanner::new(inner.id, false);
    // The scanner keeps what it has read: behind this it could be old.
    let until = inner.state.borrow().marks.durable();
    let (mut at, mut unpaced) = (0, 0);
    let mut damages = Damages::default();
    while let Some(segments) = segment_of(inner, &mut at, until) {
        let next = match check(&mut scanner, &segments, at).await {
            Ok(next) => {
                inner.state.borrow_mut().counters.scrubbed_bytes += next - at;
                next
            }
            Err(problem) => {
                let next = match damages.add(&segments) {
                    ..DAMAGES_MAX => next_record(inner, &segments, at).await,
                    _ => None,
                };
                report(inner, &segments, at, next, &problem);
                next.unwrap_or(segments.end())
            }
        };
        unpaced += next - at;
        at = next;
        if unpaced >= STEP_BYTES {
            unpaced = 0;
            if ends_within(inner, step).await {
                return;
            }
        }
        task::yield_if_needed().await;
    }
}

/// Checks what stands at `at`; tells where the next record stands.
///
/// # Errors
/// What is wrong with it.
async fn check(scanner: &mut Scanner, segments: &Segments, at: u64) -> Result<u64, String> {
    match scanner.look(segments, at).await {
        Ok(Found::Record(bytes)) => Ok(at + bytes.len() as u64),
        Ok(Found::EndMark) => Ok(segments.end()),
        Ok(Found::Damaged(problem)) => Err(problem),
        Ok(Found::Nothing | Found::NoFile) => {
            Err("nothing stands where a record was written".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The damaged places of the segment that a pass has come to.
#[derive(Default)]
struct Damages {
    /// End of the segment.
    of: u64,
    count: usize,
}

impl Damages {
    /// Counts one of a segment, which is alone here; how many that has so far.
    fn add(&mut self, segment: &Segments) -> usize {
        if self.of != segment.end() {
            *self = Self { of: segment.end(), count: 0 };
        }
        self.count += 1;
        self.count
    }
}

/// The next record behind `at` that names its own place. A body can hold what looks like one, and
/// then what follows it is told of, too.
async fn next_record(inner: &Inner, segments: &Segments, at: u64) -> Option<u64> {
    let until = at + 1 + 2 * inner.options.record_size_max_bytes as u64;
    scan::survey(segments, at + 1, u64::MAX, until).await.ok()?.near
}

/// The segment of `at`, alone; `None` behind `until`. Moves `at` up to the oldest one.
fn segment_of(inner: &Inner, at: &mut u64, until: u64) -> Option<Segments> {
    let state = inner.state.borrow();
    *at = (*at).max(state.segments.min());
    if *at >= until || inner.is_closing() || inner.is_fenced() {
        return None;
    }
    let segment = state.segments.find(*at)?.clone();
    let mut alone = Segments::new(inner.id, state.segments.dir.clone(), state.segments.size);
    alone.push(segment);
    Some(alone)
}

/// Says what is damaged, and in which file.
fn report(inner: &Inner, segments: &Segments, at: u64, next: Option<u64>, problem: &str) {
    let mut state = inner.state.borrow_mut();
    if at < state.segments.min() {
        // Retention was faster.
        return;
    }
    state.counters.damages += 1;
    let base = segments.base_of(at);
    let rest = next.map_or_else(
        || "the rest of this file was not checked".to_owned(),
        |next| format!("the next message stands at {}", next - base),
    );
    tracing::error!(
        log = inner.id.0,
        "the device has damaged {} at byte {}: {problem}; {rest}; \
         restore it from a copy, or let retention remove it",
        segments.path(base).display(),
        at - base
    );
}
