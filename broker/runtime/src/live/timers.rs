//! The timers of one executor, in order of their deadlines.
//!
//! glommio's own fire when it looks, which takes system calls; the `driver` looks at these for the
//! price of a comparison.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::sys;

thread_local! {
    static WAITING: RefCell<BTreeMap<Key, Waker>> = const { RefCell::new(BTreeMap::new()) };
    static NEXT_NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// When it ends, in nanoseconds of the clock, and a number that no other timer has.
type Key = (u64, u64);

/// Ready when its time is over.
#[derive(Debug)]
pub(crate) struct Timer {
    key: Key,
    is_waiting: bool,
    /// Keys are this thread's.
    _of_this_thread: PhantomData<*const ()>,
}

impl Timer {
    pub(crate) fn new(duration: Duration) -> Self {
        let duration_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let number = NEXT_NUMBER.get();
        NEXT_NUMBER.set(number + 1);
        let key = (sys::clocks::monotonic_ns().saturating_add(duration_ns), number);
        Self { key, is_waiting: false, _of_this_thread: PhantomData }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.key.0 <= sys::clocks::monotonic_ns() {
            return Poll::Ready(());
        }
        self.is_waiting = true;
        WAITING.with_borrow_mut(|waiting| {
            let waker = waiting.entry(self.key).or_insert_with(|| context.waker().clone());
            waker.clone_from(context.waker());
        });
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.is_waiting {
            // The thread may be ending. The waker is dropped after the borrow.
            let _ = WAITING.try_with(|waiting| waiting.borrow_mut().remove(&self.key));
        }
    }
}

/// Wakes whoever waited until `now_ns` or before; when the next one ends.
pub(super) fn fire(now_ns: u64) -> Option<u64> {
    loop {
        let due = WAITING.with_borrow_mut(|waiting| {
            let first = waiting.first_entry().ok_or(None)?;
            match first.key().0 {
                deadline_ns if deadline_ns <= now_ns => Ok(first.remove()),
                deadline_ns => Err(Some(deadline_ns)),
            }
        });
        match due {
            Ok(waker) => waker.wake(),
            Err(next) => return next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_that_are_dropped_are_forgotten_and_the_next_one_is_told() {
        let mut context = Context::from_waker(Waker::noop());
        let mut timer = |ms| {
            let mut timer = Box::pin(Timer::new(Duration::from_millis(ms)));
            assert!(timer.as_mut().poll(&mut context).is_pending());
            timer
        };
        let (first, second) = (timer(50_000), timer(60_000));
        let now_ns = sys::clocks::monotonic_ns();
        assert_eq!(fire(now_ns), Some(first.key.0));
        drop(first);
        assert_eq!(fire(now_ns), Some(second.key.0));
        assert_eq!(fire(second.key.0), None, "its time is over");
    }
}
