use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicU32;

use super::super::epoll::Epoll;
use super::*;

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
