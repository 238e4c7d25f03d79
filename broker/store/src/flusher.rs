//! The flusher: makes durable what was written, in the background, when groups are not flushed one
//! by one.
//!
//! The watermark `durable` follows `written` by at most the flush interval, and by no more than may
//! be unflushed: at half of that a flush begins early. A flush covers what was written when it
//! began, in the segments that have it, also in those that are full meanwhile. One that fails
//! fences the log and is not tried again: the device may have dropped what it was to keep.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::task::{self, Task};

use crate::log::Inner;
use crate::maker::growth_flushed;

/// Starts the background flusher, when groups are not flushed one by one.
pub(crate) fn start(inner: &Rc<Inner>) -> Option<Task<()>> {
    let interval = inner.options.flush_interval()?;
    let inner = inner.clone();
    Some(task::spawn("log-flusher", async move {
        loop {
            let unflushed = inner.signals.unflushed.notified();
            if inner.is_fenced() {
                return;
            }
            let (written, durable) = written_and_durable(&inner);
            if written == durable {
                if inner.is_closing() && inner.state.borrow().marks.next_group().is_none() {
                    return;
                }
                unflushed.await;
                continue;
            }
            drop(unflushed);
            pause(&inner, interval).await;
            if let Err(error) = flush_written(&inner).await {
                return inner.fail("a flush of the log", &error);
            }
        }
    }))
}

fn written_and_durable(inner: &Inner) -> (u64, u64) {
    let state = inner.state.borrow();
    (state.marks.written(), state.marks.durable())
}

/// Lets writes collect for `interval`, but not beyond half of what may be unflushed.
async fn pause(inner: &Inner, interval: Duration) {
    let is_urgent = || {
        let (written, durable) = written_and_durable(inner);
        let is_urgent = inner.is_closing()
            || inner.is_fenced()
            || written - durable >= inner.options.unflushed_max_bytes / 2
            || inner.deletions.wants_flush(durable);
        is_urgent.then_some(())
    };
    // An elapsed pause is the usual case.
    let _ = task::timeout(interval, inner.signals.unflushed.until(is_urgent)).await;
}

/// Flushes everything that is written now, also in segments that are full meanwhile.
async fn flush_written(inner: &Inner) -> io::Result<()> {
    let (segments, to) = {
        let state = inner.state.borrow();
        let (from, to) = (state.marks.durable(), state.marks.written());
        let parts = state.segments.parts_of(from..to);
        (parts.map(|(segment, _)| segment.clone()).collect::<Vec<_>>(), to)
    };
    for segment in &segments {
        segment.file.sync_data().await?;
        if !growth_flushed(inner, segment.base).await {
            return Ok(());
        }
    }
    {
        let mut state = inner.state.borrow_mut();
        state.marks.synced(to);
        state.counters.flushes += segments.len() as u64;
    }
    inner.signals.flushed.notify_all();
    inner.signals.unsaved.notify_one();
    Ok(())
}
