//! Tasks and timers, in both worlds.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::shards::block_on;
use ringmq_runtime::sim::World;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;
use tracing_subscriber::fmt::MakeWriter;

fn in_both_worlds<F: Future<Output = ()>>(test: impl Fn() -> F) {
    block_on(test());
    for seed in 0..20 {
        World::new(seed).run(test());
    }
}

#[test]
fn a_task_gives_its_value_and_never_runs_inside_spawn() {
    in_both_worlds(|| async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let inner = log.clone();
        let borrowed = log.borrow_mut();
        let task = task::spawn("writer", async move {
            inner.borrow_mut().push("task");
            5
        });
        let urgent = task::spawn_urgent("urgent", async { 6 });
        drop(borrowed);
        log.borrow_mut().push("caller");
        assert_eq!((task.await, urgent.await), (5, 6));
        assert_eq!(*log.borrow(), ["caller", "task"]);
    });
}

struct OnDrop(Rc<Cell<u32>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn dropping_a_task_drops_its_future_at_once() {
    in_both_worlds(|| async {
        let drops = Rc::new(Cell::new(0));
        let guard = OnDrop(drops.clone());
        let task = task::spawn("waits", async move {
            std::future::pending::<()>().await;
            drop(guard);
        });
        task::yield_now().await;
        assert_eq!(drops.get(), 0);
        drop(task);
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn a_task_may_drop_its_own_handle() {
    in_both_worlds(|| async {
        let drops = Rc::new(Cell::new(0));
        let own: Rc<RefCell<Option<task::Task<()>>>> = Rc::default();
        let (guard, handle) = (OnDrop(drops.clone()), own.clone());
        *own.borrow_mut() = Some(task::spawn("suicidal", async move {
            let _guard = guard;
            task::yield_now().await;
            handle.borrow_mut().take();
            task::yield_now().await;
            panic!("runs on after its end");
        }));
        for _ in 0..10 {
            task::yield_now().await;
        }
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn tasks_left_at_the_end_are_dropped() {
    let drops = Rc::new(Cell::new(0));
    let guard = OnDrop(drops.clone());
    block_on(async {
        task::spawn("forever", async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        })
        .detach();
    });
    assert_eq!(drops.get(), 1);
}

#[test]
fn timers_fire_in_order_and_not_early() {
    in_both_worlds(|| async {
        let start = Instant::now();
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = [30, 10, 20]
            .into_iter()
            .map(|ms| {
                let order = order.clone();
                task::spawn("sleeper", async move {
                    task::sleep_until(start + Duration::from_millis(ms)).await;
                    assert!(start.elapsed() >= Duration::from_millis(ms));
                    order.borrow_mut().push(ms);
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        assert_eq!(*order.borrow(), [10, 20, 30]);
    });
}

#[test]
fn a_timeout_ends_what_takes_too_long() {
    in_both_worlds(|| async {
        let limit = Duration::from_millis(5);
        let slow = task::timeout(limit, std::future::pending::<()>()).await;
        assert_eq!(slow, Err(task::Elapsed));
        assert_eq!(task::timeout(limit, async { 3 }).await, Ok(3));
    });
}

#[test]
fn a_busy_task_lets_timers_run_when_it_offers_to() {
    in_both_worlds(|| async {
        let ticks = Rc::new(Cell::new(0));
        let counted = ticks.clone();
        let ticker = task::spawn("ticker", async move {
            loop {
                task::sleep(Duration::from_millis(1)).await;
                counted.set(counted.get() + 1);
            }
        });
        let start = Instant::now();
        while ticks.get() < 5 {
            assert!(start.elapsed() < Duration::from_secs(10), "the ticker starves");
            task::yield_if_needed().await;
        }
        drop(ticker);
    });
}

#[test]
fn blocking_work_runs_elsewhere_and_its_panic_comes_back() {
    block_on(async {
        let here = std::thread::current().id();
        assert_ne!(task::blocking(|| std::thread::current().id()).await, here);
    });
    let caught = std::panic::catch_unwind(|| {
        block_on(async { task::blocking(|| panic!("in the helper")).await });
    });
    let message = caught.expect_err("panics");
    assert_eq!(message.downcast_ref::<&str>(), Some(&"in the helper"));
}

#[test]
fn a_notified_task_runs_while_others_are_busy() {
    in_both_worlds(|| async {
        let notify = Rc::new(Notify::new());
        let rounds = Rc::new(Cell::new(0));
        let (waiting, counted) = (notify.clone(), rounds.clone());
        let waiter = task::spawn("waiter", async move {
            for _ in 0..1000 {
                waiting.notified().await;
                counted.set(counted.get() + 1);
            }
        });
        while !waiter.is_finished() {
            notify.notify_one();
            task::yield_now().await;
        }
        assert_eq!(rounds.get(), 1000);
    });
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lines").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Polls a task again and again until the log says what is expected of it: a busy machine may hide
/// it behind its own lack of CPU for a while.
fn check_log(name: &'static str, hold_up: fn(), level: &str, expected: &str) {
    let lines = Lines::default();
    let log = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    let text = || String::from_utf8(lines.0.lock().expect("lines").clone()).expect("text");
    let says = |line: &str| [expected, name, level].iter().all(|part| line.contains(part));
    let is_told = || text().lines().any(says);
    tracing::subscriber::with_default(log, || {
        block_on(async {
            for _ in 0..100 {
                task::spawn(name, async move { hold_up() }).await;
                if is_told() {
                    return;
                }
            }
        });
    });
    assert!(is_told(), "{}", text());
}

#[test]
fn a_task_that_holds_up_its_shard_is_named_in_the_log() {
    let run = || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(12) {}
    };
    check_log("greedy", run, " INFO ", "held up its shard: it ran");
    let block = || std::thread::sleep(Duration::from_millis(6));
    check_log("sleepy", block, " INFO ", "held up its shard: it blocked");
    let block = || std::thread::sleep(Duration::from_millis(25));
    check_log("asleep", block, " WARN ", "held up its shard: it blocked");
}

#[test]
fn the_task_that_runs_has_a_name_and_outside_of_tasks_there_is_none() {
    assert_eq!(task::running(), None);
    block_on(async {
        assert_eq!(task::running(), Some("main"));
        let name = task::spawn("a task", async { task::running() }).await;
        assert_eq!(name, Some("a task"));
    });
    assert_eq!(task::running(), None);
}
