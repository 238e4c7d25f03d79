//! One glommio executor: how it is built, and what runs on it.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use glommio::io::DmaBuffer;
use glommio::{Latency, LocalExecutorBuilder, Placement, PoolPlacement, Shares, TaskQueueHandle};

use super::disk::io_error;
use super::poller::Poller;
use super::sys::CoreSet;
use super::watchdog::{self, Watched};
use super::{heartbeat, stall};
use crate::task::{Registry, Runner, Urgency, yield_now};

pub(crate) use glommio::timer::Timer;

/// glommio looks at I/O completions, timers and other threads' wake-ups at least this often while
/// tasks keep the executor busy. Measured: 0.2 ms costs 10 % of the network rate, and 10 ms makes
/// every one of these wait up to 10 ms.
const PREEMPT_TIMER: Duration = Duration::from_millis(1);

/// How soon an urgent task interrupts a busy executor.
const URGENT_LATENCY: Duration = Duration::from_micros(500);

/// Threads per executor for blocking work. Unbound: by default they would share the executor's
/// core and wait for it.
const BLOCKING_THREADS: usize = 2;

thread_local! {
    static URGENT_QUEUE: Cell<Option<TaskQueueHandle>> = const { Cell::new(None) };
    static IS_RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// The cores that this process may use, looked up before the first thread is bound to one.
pub(crate) fn cores_of_the_process() -> CoreSet {
    static CORES: OnceLock<CoreSet> = OnceLock::new();
    *CORES.get_or_init(CoreSet::of_this_thread)
}

/// How to build one executor.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub name: String,
    /// The core to run on, or any.
    pub core: Option<usize>,
    /// Memory registered with the kernel, which locks it three times.
    pub io_memory_bytes: usize,
    pub ring_depth: usize,
    /// Spin for so long before sleeping. Delays every flush by as much, since the kernel's flush
    /// worker shares the core. Without effect unless bound to a core.
    pub spin: Duration,
    pub stall_limit_ns: u64,
}

/// Runs `future` on a new executor on this thread until it is done, and drops the tasks left.
pub(crate) fn run<T>(options: &Options, future: impl Future<Output = T>) -> io::Result<T> {
    cores_of_the_process();
    let placement = options.core.map_or(Placement::Unbound, Placement::Fixed);
    let mut builder = LocalExecutorBuilder::new(placement)
        .name(&options.name)
        .io_memory(options.io_memory_bytes)
        .ring_depth(options.ring_depth)
        .preempt_timer(PREEMPT_TIMER)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(BLOCKING_THREADS));
    if !options.spin.is_zero() {
        builder = builder.spin_before_park(options.spin);
    }
    let poller = Poller::new()?;
    let executor = builder.make().map_err(io_error)?;
    stall::set_limit_ns(options.stall_limit_ns);
    Ok(executor.run(root(watchdog::watch(&options.name), poller, future)))
}

async fn root<T>(watched_by: Watched, poller: Rc<Poller>, future: impl Future<Output = T>) -> T {
    watched_by.0.begin();
    let registry = Rc::new(Registry::default());
    let _entered = registry.enter();
    let _running = Running::begin();
    let heartbeat = glommio::spawn_local(heartbeat::run(watched_by));
    let _sockets = poller.enter();
    let polling = glommio::spawn_local(poller.run());
    let value = watched(future).await;
    registry.abort(|_| true);
    heartbeat.cancel().await;
    polling.cancel().await;
    // Ended tasks close files and leave the run queue in these rounds; glommio leaks the rest.
    for _ in 0..4 {
        yield_now().await;
    }
    value
}

/// The main future, under the eye of the stall detector like any task.
async fn watched<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| stall::watch("main", || future.as_mut().poll(context))).await
}

struct Running;

impl Running {
    fn begin() -> Self {
        let queue = glommio::executor().create_task_queue(
            Shares::default(),
            Latency::Matters(URGENT_LATENCY),
            "urgent",
        );
        URGENT_QUEUE.set(Some(queue));
        IS_RUNNING.set(true);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        URGENT_QUEUE.set(None);
        IS_RUNNING.set(false);
    }
}

pub(crate) fn spawn<T: 'static>(runner: Runner<T>, urgency: Urgency) {
    match URGENT_QUEUE.get().filter(|_| urgency == Urgency::Urgent) {
        None => glommio::spawn_local(runner).detach(),
        Some(queue) => glommio::spawn_local_into(runner, queue)
            .expect("the urgent queue lives as long as its executor")
            .detach(),
    };
}

pub(crate) fn timer(duration: Duration) -> Timer {
    Timer::new(duration)
}

pub(crate) fn need_preempt() -> bool {
    glommio::executor().need_preempt()
}

pub(crate) async fn blocking<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    // A panic would end the helper thread and leave the caller waiting.
    let outcome =
        glommio::executor().spawn_blocking(move || catch_unwind(AssertUnwindSafe(work))).await;
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Memory for direct I/O: registered with this thread's rings while that lasts, else plain.
pub(crate) fn allocate_dma(len: usize) -> DmaBuffer {
    if IS_RUNNING.get() {
        glommio::allocate_dma_buffer(len)
    } else {
        glommio::allocate_dma_buffer_global(len)
    }
}
