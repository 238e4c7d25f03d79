//! The executor of the simulated world: ready tasks, virtual time, the nodes.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::device::Device;
use super::net::Network;
use crate::random::Sequence;
use crate::task::Registry;

/// Number of a simulated machine.
pub type NodeId = u32;

/// Where the monotonic clock starts: not at 0, so that code which takes 0 for "never" is not
/// right by accident.
const BEGIN_NS: u64 = 1_000_000_000_000;

/// Where the wall clock starts: 2026-01-01 00:00:00 UTC.
const BEGIN_UNIX_MS: i64 = 1_767_225_600_000;

/// Polls per `run`: some seconds of real time. A simulation that needs more is a livelock.
const POLLS_MAX: u64 = 20_000_000;

/// Longest virtual time that one poll takes. Never 0: loops that wait for time to pass end.
const POLL_COST_MAX_NS: u64 = 2_000;

type LocalTask = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// The world whose `run` this thread is in, if any.
pub(crate) fn current() -> Option<Rc<Core>> {
    CURRENT.with_borrow(Clone::clone)
}

pub(crate) struct Core {
    seed: u64,
    random: RefCell<Sequence>,
    now_ns: Cell<u64>,
    wall_clock_step_ms: Cell<i64>,
    ready: Arc<ReadyQueue>,
    /// Futures by task number; absent while polled.
    tasks: RefCell<BTreeMap<u64, (LocalTask, Waker)>>,
    last_task: Cell<u64>,
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    last_timer: Cell<u64>,
    registry: Rc<Registry>,
    disks: RefCell<BTreeMap<NodeId, Rc<Device>>>,
    net: Network,
}

/// The future given to `run` has this number.
const MAIN_TASK: u64 = 0;

/// Numbers of tasks that can go on. Behind a mutex because wakers must be `Send`.
#[derive(Default)]
struct ReadyQueue(Mutex<Vec<Arc<TaskWaker>>>);

struct TaskWaker {
    number: u64,
    is_queued: AtomicBool,
    /// Of its world, which may be over: what is queued there must not keep it.
    queue: Weak<ReadyQueue>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if let Some(queue) = self.queue.upgrade()
            && !self.is_queued.swap(true, Ordering::Relaxed)
        {
            queue.0.lock().unwrap_or_else(PoisonError::into_inner).push(self);
        }
    }
}

impl Core {
    pub(super) fn new(seed: u64) -> Rc<Self> {
        Rc::new(Self {
            seed,
            random: RefCell::new(Sequence::new(seed)),
            now_ns: Cell::new(BEGIN_NS),
            wall_clock_step_ms: Cell::new(0),
            ready: Arc::default(),
            tasks: RefCell::default(),
            last_task: Cell::new(MAIN_TASK),
            timers: RefCell::default(),
            last_timer: Cell::new(0),
            registry: Rc::default(),
            disks: RefCell::default(),
            net: Network::default(),
        })
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn run<T>(self: Rc<Self>, future: impl Future<Output = T>) -> T {
        let _entered = Entered::new(&self, 0);
        let mut main = pin!(future);
        let main_waker = self.waker(MAIN_TASK);
        main_waker.wake_by_ref();
        let mut polls = 0;
        loop {
            let number = self.next_ready();
            polls += 1;
            assert!(polls < POLLS_MAX, "livelock: {POLLS_MAX} polls and no end");
            self.pass(1 + self.below(POLL_COST_MAX_NS));
            if number != MAIN_TASK {
                self.poll_task(number);
                continue;
            }
            let mut context = Context::from_waker(&main_waker);
            if let Poll::Ready(value) = main.as_mut().poll(&mut context) {
                return value;
            }
        }
    }

    /// Draws a ready task; if there is none, time moves on to the next timer.
    fn next_ready(&self) -> u64 {
        loop {
            let drawn = {
                let mut ready = self.ready.0.lock().unwrap_or_else(PoisonError::into_inner);
                let count = u64::try_from(ready.len()).unwrap_or(u64::MAX);
                let index = usize::try_from(self.below(count)).unwrap_or(0);
                (count > 0).then(|| ready.swap_remove(index))
            };
            if let Some(task) = drawn {
                task.is_queued.store(false, Ordering::Relaxed);
                return task.number;
            }
            let next_ns = self.timers.borrow().keys().next().map(|(deadline_ns, _)| *deadline_ns);
            let Some(next_ns) = next_ns else {
                panic!("deadlock: no task can go on and no timer is set");
            };
            self.now_ns.set(self.now_ns.get().max(next_ns));
            self.fire_timers();
        }
    }

    fn fire_timers(&self) {
        loop {
            let due = {
                let mut timers = self.timers.borrow_mut();
                match timers.first_entry() {
                    Some(timer) if timer.key().0 <= self.now_ns.get() => Some(timer.remove()),
                    _ => None,
                }
            };
            let Some(waker) = due else { return };
            waker.wake();
        }
    }

    fn pass(&self, ns: u64) {
        self.now_ns.set(self.now_ns.get() + ns);
        self.fire_timers();
    }

    fn poll_task(&self, number: u64) {
        // Gone if it ended after it was woken.
        let Some((mut task, waker)) = self.tasks.borrow_mut().remove(&number) else { return };
        let mut context = Context::from_waker(&waker);
        if task.as_mut().poll(&mut context).is_pending() {
            self.tasks.borrow_mut().insert(number, (task, waker));
        }
    }

    fn waker(&self, number: u64) -> Waker {
        let queue = Arc::downgrade(&self.ready);
        Waker::from(Arc::new(TaskWaker { number, is_queued: AtomicBool::new(false), queue }))
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let number = self.last_task.get() + 1;
        self.last_task.set(number);
        let waker = self.waker(number);
        self.tasks.borrow_mut().insert(number, (Box::pin(task), waker.clone()));
        waker.wake();
    }

    /// Calls `work` so that what it spawns belongs to `node`.
    pub(super) fn on_node<T>(&self, node: NodeId, work: impl FnOnce() -> T) -> T {
        let before = self.registry.group.replace(node);
        let value = work();
        self.registry.group.set(before);
        value
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    pub(super) fn age(&self) -> Duration {
        Duration::from_nanos(self.now_ns.get() - BEGIN_NS)
    }

    pub(crate) fn unix_ms(&self) -> i64 {
        let age_ms = i64::try_from(self.age().as_millis()).unwrap_or(i64::MAX);
        BEGIN_UNIX_MS + age_ms + self.wall_clock_step_ms.get()
    }

    pub(super) fn step_wall_clock(&self, milliseconds: i64) {
        self.wall_clock_step_ms.set(self.wall_clock_step_ms.get() + milliseconds);
    }

    /// The node that the running task belongs to.
    pub(super) fn node(&self) -> NodeId {
        self.registry.group.get()
    }

    pub(super) fn random(&self) -> RefMut<'_, Sequence> {
        self.random.borrow_mut()
    }

    pub(crate) fn draw(&self) -> u64 {
        self.random.borrow_mut().next_u64()
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().below(bound)
    }

    /// Key of all maps' hashers: fixed by the seed, and never drawn, so that a new map somewhere
    /// does not change the course of events.
    pub(crate) fn hash_key(&self) -> u64 {
        Sequence::new(self.seed).next_u64()
    }

    /// Arms a timer, `key` being the one it had before.
    pub(super) fn set_timer(&self, deadline_ns: u64, key: &mut Option<(u64, u64)>, waker: &Waker) {
        let key = *key.get_or_insert_with(|| {
            self.last_timer.set(self.last_timer.get() + 1);
            (deadline_ns, self.last_timer.get())
        });
        self.timers.borrow_mut().insert(key, waker.clone());
    }

    pub(super) fn cancel_timer(&self, key: (u64, u64)) {
        self.timers.borrow_mut().remove(&key);
    }

    pub(super) fn disk(&self, node: NodeId) -> Rc<Device> {
        self.disks.borrow_mut().entry(node).or_default().clone()
    }

    pub(crate) fn net(&self) -> &Network {
        &self.net
    }

    pub(super) fn crash(self: &Rc<Self>, node: NodeId) {
        self.disk(node).lose_power(&mut self.random());
        self.net.lose_power(self, node);
        self.end_tasks(node);
    }

    pub(super) fn crash_kernel(self: &Rc<Self>, node: NodeId) {
        self.disk(node).lose_kernel(&mut self.random());
        self.net.lose_power(self, node);
        self.end_tasks(node);
    }

    pub(super) fn kill(self: &Rc<Self>, node: NodeId) {
        self.disk(node).lose_process(&mut self.random());
        self.net.lose_process(node);
        self.end_tasks(node);
    }

    /// Drops all tasks.
    pub(super) fn end(self: &Rc<Self>) {
        let outside = current().is_none().then(|| Entered::new(self, 0));
        self.registry.abort(|_| true);
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        drop(outside);
    }

    /// After disk and network know: what destructors still do with them has no effect.
    fn end_tasks(self: &Rc<Self>, node: NodeId) {
        let outside = current().is_none().then(|| Entered::new(self, node));
        self.registry.abort(|group| group == node);
        drop(outside);
    }
}

/// Makes a world the current one of this thread until dropped.
struct Entered {
    seed: u64,
    _registry: crate::task::Entered,
}

impl Entered {
    fn new(core: &Rc<Core>, node: NodeId) -> Self {
        let registry = core.registry.enter();
        core.registry.group.set(node);
        CURRENT.set(Some(core.clone()));
        Self { seed: core.seed, _registry: registry }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|current| current.take());
        if std::thread::panicking() {
            eprintln!("simulated world: seed {}", self.seed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_that_is_over_leaves_no_queue_of_tasks_behind() {
        let core = Core::new(1);
        let queue = Arc::downgrade(&core.ready);
        core.clone().run(async {
            crate::task::spawn("waits", std::future::pending::<()>()).detach();
            crate::task::yield_now().await;
        });
        // Its tasks are woken to find that they are gone, and nobody takes them from the queue.
        core.end();
        drop(core);
        assert!(queue.upgrade().is_none());
    }
}
