use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::shards::block_on;
use crate::{remote, task};

/// Each wait is ended by another thread alone. (That none is lost between the two is tested
/// with the bell: glommio's timer ends a wait after a millisecond.)
fn wait_for_other_threads(times: u32, pause: impl Fn(u32) -> Duration) {
    block_on(async {
        for time in 0..times {
            let (sender, receiver) = remote::oneshot();
            let pause = pause(time);
            let value = task::blocking(move || {
                let thread = std::thread::spawn(move || {
                    std::thread::sleep(pause);
                    sender.send(time);
                });
                drop(thread);
                time
            });
            assert_eq!((value.await, receiver.await), (time, Ok(time)));
        }
    });
}

#[test]
fn other_threads_end_waits_of_the_executor_by_itself() {
    wait_for_other_threads(3_000, |time| Duration::from_micros(u64::from(time % 50)));
}

#[test]
fn other_threads_end_waits_in_glommio_too() {
    wait_for_other_threads(300, |_| Duration::from_micros(1_500));
}

/// The first timer after a quiet stretch is the last thing that happens before it waits.
#[test]
fn a_timer_that_is_set_when_nothing_else_happens_ends() {
    block_on(async {
        for _ in 0..5 {
            task::sleep(Duration::from_millis(3)).await;
            task::timeout(Duration::from_millis(3), std::future::pending::<()>())
                .await
                .unwrap_err();
        }
    });
}

#[test]
fn tasks_that_wake_each_other_let_timers_and_others_have_their_turn() {
    block_on(async {
        let spins = |name| {
            task::spawn(name, async {
                loop {
                    task::yield_now().await;
                }
            })
        };
        let urgent = task::spawn_urgent("urgent spin", async {
            loop {
                task::yield_now().await;
            }
        });
        let spinning = [spins("spin"), spins("another spin")];
        task::sleep(Duration::from_millis(5)).await;
        drop((urgent, spinning));
    });
}

#[test]
fn an_executor_ends_with_tasks_that_wake_each_other_when_they_are_dropped() {
    struct Wakes(Rc<RefCell<Vec<std::task::Waker>>>);
    impl Drop for Wakes {
        fn drop(&mut self) {
            self.0.borrow_mut().drain(..).for_each(std::task::Waker::wake);
        }
    }
    let wakers = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        for _ in 0..3 {
            let wakes = Wakes(Rc::clone(&wakers));
            task::spawn("waits", async move {
                std::future::poll_fn(|context| {
                    wakes.0.borrow_mut().push(context.waker().clone());
                    std::task::Poll::<()>::Pending
                })
                .await;
            })
            .detach();
        }
        task::yield_now().await;
        task::yield_now().await;
    });
    assert!(wakers.borrow().is_empty());
}
