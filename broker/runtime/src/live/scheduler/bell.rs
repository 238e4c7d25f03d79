//! How other threads wake the tasks of an executor.
//!
//! A wake-up from another thread goes into a queue that any thread may push to. Only if the
//! executor sleeps does it take a system call: the bell's eventfd. Nothing is lost: a caller pushes
//! and then looks whether the executor sleeps; the executor says that it sleeps and then looks at
//! the queue. The fences order both, so one of them sees the other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam_queue::SegQueue;

use super::Handle;
use crate::live::sys;

/// What other threads ring when they wake a task.
pub(crate) struct Bell {
    /// Tasks that were woken.
    pub(super) called: SegQueue<Arc<Handle>>,
    /// The executor waits, or is about to.
    is_asleep: AtomicBool,
    /// Nobody listens any more.
    pub(super) is_over: AtomicBool,
    fd: OwnedFd,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            called: SegQueue::new(),
            is_asleep: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            fd: sys::waits::event_fd()?,
        })
    }

    /// Wakes a task of an executor on another thread.
    pub(super) fn ring(handle: Arc<Handle>) {
        let bell = Arc::clone(&handle.bell);
        bell.called.push(handle);
        fence(Ordering::SeqCst);
        if bell.is_asleep.load(Ordering::Relaxed) && bell.is_asleep.swap(false, Ordering::Relaxed) {
            sys::waits::add_to_event(bell.fd.as_fd());
        }
        if bell.is_over.load(Ordering::Relaxed) {
            while bell.called.pop().is_some() {}
        }
    }

    /// From now on the bell is rung loudly; false if somebody called already.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.is_asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.called.is_empty() {
            return true;
        }
        self.wake_up();
        false
    }

    /// The executor looks by itself.
    pub(crate) fn wake_up(&self) {
        self.is_asleep.store(false, Ordering::Relaxed);
    }
}

impl AsFd for Bell {
    /// Becomes readable, again and again, when it is rung while the executor sleeps.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::live::epoll::Epoll;

    const PATIENCE_NS: u64 = 10_000_000_000;

    /// The two race from the same moment on; a call that is lost would be waited for in vain.
    #[test]
    fn a_call_is_seen_before_the_executor_sleeps_or_ends_its_sleep() {
        const TIMES: u32 = 20_000;
        let bell = Arc::new(Bell::new().expect("an eventfd"));
        let set = Epoll::new().expect("an epoll set");
        set.add(bell.as_fd().as_raw_fd(), 0).expect("watched");
        let (now, kept) = (Arc::new(AtomicU32::new(0)), Arc::clone(&bell));
        let called = Arc::clone(&now);
        let caller = std::thread::spawn(move || {
            for time in 1..=TIMES {
                while called.load(Ordering::Acquire) < time {
                    std::thread::yield_now();
                }
                let (bell, is_queued) = (Arc::clone(&kept), AtomicBool::new(true));
                Bell::ring(Arc::new(Handle { key: 0, is_urgent: false, is_queued, bell }));
            }
        });
        for time in 1..=TIMES {
            now.store(time, Ordering::Release);
            while bell.called.pop().is_none() {
                // As long as the driver takes from its look at the calls to its sleep, or not.
                (0..time % 100).for_each(|_| std::hint::spin_loop());
                if bell.fall_asleep() {
                    assert_eq!(set.fetch(PATIENCE_NS, drop), 1, "call {time} was lost");
                    bell.wake_up();
                }
            }
        }
        caller.join().expect("the caller has ended");
    }
}
