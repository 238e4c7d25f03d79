//! One glommio executor: how it is built, and what runs on it.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use glommio::io::DmaBuffer;
use glommio::{LocalExecutorBuilder, Placement, PoolPlacement};

use super::driver::Driver;
use super::file::io_error;
use super::poller::Poller;
use super::scheduler::{self, Scheduler};
use super::sys::cores::CoreSet;
use super::watchdog::{self, Watched};
use super::{heartbeat, helpers, ring, stall, sys};
use crate::task::{Registry, Runner, Urgency, yield_now};

/// glommio has the thread at least this often while tasks keep the executor busy, and looks at what
/// its rings have ended. Measured: 0.2 ms costs 10 % of the network rate, and with 10 ms each of
/// these waits up to 10 ms.
const PREEMPT_TIMER: Duration = Duration::from_millis(1);

/// Threads per executor for glommio's own blocking work, which nothing here uses; the least that it
/// takes. Ours has `helpers`.
const BLOCKING_THREADS: usize = 1;

thread_local! {
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
    /// Time to spin before sleeping, in which nobody else has the core. Without effect unless bound
    /// to a core.
    pub spin: Duration,
    pub stall_limit_ns: u64,
}

/// Runs `future` on a new executor on this thread until it is done, and drops the tasks left.
pub(crate) fn run<T>(options: &Options, future: impl Future<Output = T>) -> io::Result<T> {
    cores_of_the_process();
    let placement = options.core.map_or(Placement::Unbound, Placement::Fixed);
    let builder = LocalExecutorBuilder::new(placement)
        .name(&options.name)
        .io_memory(options.io_memory_bytes)
        .ring_depth(options.ring_depth)
        .preempt_timer(PREEMPT_TIMER)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(BLOCKING_THREADS));
    helpers::prepare()?;
    let scheduler = Scheduler::new()?;
    let poller = Poller::new(scheduler.bell().as_fd())?;
    let executor = builder.make().map_err(io_error)?;
    stall::set_limit_ns(options.stall_limit_ns);
    sys::waits::end_timeouts_in_time();
    let spin = if options.core.is_some() { options.spin } else { Duration::ZERO };
    let world = World { scheduler, poller, spin };
    Ok(executor.run(root(watchdog::watch(&options.name), world, future)))
}

/// What an executor has beside glommio.
struct World {
    scheduler: Rc<Scheduler>,
    poller: Rc<Poller>,
    /// glommio itself does not spin: what it would spin for is waited for in the driver.
    spin: Duration,
}

async fn root<T>(watched_by: Watched, world: World, future: impl Future<Output = T>) -> T {
    watched_by.0.begin();
    let World { scheduler, poller, spin } = world;
    let mut driver = Driver::new(&scheduler, &poller, spin);
    let registry = Rc::new(Registry::default());
    let _entered = registry.enter();
    let _running = Running::begin();
    let _sockets = poller.enter();
    let writes = ring::Entered;
    let tasks = scheduler.enter();
    let heartbeat = glommio::spawn_local(heartbeat::run(watched_by));
    let mut main = std::pin::pin!(future);
    let value = poll_fn(|context| driver.poll(main.as_mut(), context)).await;
    registry.abort(|_| true);
    drop(tasks);
    drop(driver);
    drop(writes);
    heartbeat.cancel().await;
    // What was waited for in glommio leaves its queues in these rounds; glommio leaks the rest.
    for _ in 0..4 {
        yield_now().await;
    }
    value
}

struct Running;

impl Running {
    fn begin() -> Self {
        IS_RUNNING.set(true);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        IS_RUNNING.set(false);
    }
}

pub(crate) fn spawn<T: 'static>(runner: Runner<T>, urgency: Urgency) {
    scheduler::spawn(Box::pin(runner), urgency);
}

pub(crate) fn need_preempt() -> bool {
    glommio::executor().need_preempt()
}

/// Memory for direct I/O: registered with this thread's rings while that lasts, else plain.
pub(crate) fn allocate_dma(len: usize) -> DmaBuffer {
    if IS_RUNNING.get() {
        glommio::allocate_dma_buffer(len)
    } else {
        glommio::allocate_dma_buffer_global(len)
    }
}
