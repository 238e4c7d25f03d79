//! Tasks of one executor, and time to wait for.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

use crate::clock::Instant;
use crate::live;
#[cfg(feature = "sim")]
use crate::sim;

/// A boxed future that stays on its shard.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Starts a task on this executor; it first runs after the caller has given way.
///
/// `name` appears in the log if the task holds up its shard. Awaiting the [`Task`] gives its
/// value, dropping it cancels the task, [`Task::detach`] lets it run. Tasks that are left when
/// the executor ends are dropped.
pub fn spawn<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + 'static,
{
    spawn_with(name, Urgency::Normal, future)
}

/// Starts a task that runs ahead of the others: of those that are ready one of its kind has every
/// second turn.
///
/// For tasks that other threads wake and that hand work on at once, such as the receiver of a
/// mesh port: a plain task would wait until all tasks had their turn that are ready before it.
pub fn spawn_urgent<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + 'static,
{
    spawn_with(name, Urgency::Urgent, future)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    Normal,
    Urgent,
}

fn spawn_with<F>(name: &'static str, urgency: Urgency, future: F) -> Task<F::Output>
where
    F: Future + 'static,
{
    let registry = Registry::current();
    let state = Rc::new(State {
        future: Cell::new(Some(Box::pin(future) as LocalFuture<F::Output>)),
        value: Cell::new(None),
        joiner: Cell::new(None),
        runner: Cell::new(None),
        is_aborted: Cell::new(false),
    });
    let group = registry.group.get();
    let key = registry.entries.borrow_mut().insert(Entry { group, task: state.clone() });
    let runner = Runner { state: state.clone(), registry, key, group, name, is_started: false };
    start(runner, urgency);
    Task { state: Some(state) }
}

fn start<T: 'static>(runner: Runner<T>, urgency: Urgency) {
    #[cfg(feature = "sim")]
    if let Some(world) = sim::current() {
        return world.spawn(runner);
    }
    live::executor::spawn(runner, urgency);
}

/// A started task. See [`spawn`].
#[must_use = "dropping a task cancels it: await it or call detach()"]
pub struct Task<T> {
    state: Option<Rc<State<T>>>,
}

impl<T> Task<T> {
    /// Lets the task run without anybody waiting for it.
    pub fn detach(mut self) {
        self.state = None;
    }

    /// True once the task has ended, or was dropped from elsewhere.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // The runner gives its reference up when it ends.
        self.state.as_ref().is_none_or(|state| Rc::strong_count(state) == 1)
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    /// Never resolves if the task was dropped from elsewhere: its executor ends, or its simulated
    /// machine has crashed.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let state = self.state.as_ref().expect("a task is not polled after detach");
        if let Some(value) = state.value.take() {
            return Poll::Ready(value);
        }
        state.joiner.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            state.abort();
        }
    }
}

/// What a task, its handle and the registry share.
struct State<T> {
    /// Taken out while it is polled.
    future: Cell<Option<LocalFuture<T>>>,
    value: Cell<Option<T>>,
    joiner: Cell<Option<Waker>>,
    runner: Cell<Option<Waker>>,
    is_aborted: Cell<bool>,
}

trait Abort {
    /// Drops the task's future, now or at the end of the poll that is going on.
    fn abort(&self);
}

impl<T> Abort for State<T> {
    fn abort(&self) {
        self.is_aborted.set(true);
        drop(self.future.take());
        if let Some(runner) = self.runner.take() {
            runner.wake();
        }
    }
}

struct Entry {
    group: u32,
    task: Rc<dyn Abort>,
}

/// The tasks of one executor, so that their futures are dropped when it ends (glommio would leak
/// them), or when the simulated machine they belong to crashes.
#[derive(Default)]
pub(crate) struct Registry {
    entries: RefCell<Slab<Entry>>,
    /// Group that tasks spawned now belong to: a simulated machine, 0 in the live world.
    pub(crate) group: Cell<u32>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Registry>>> = const { RefCell::new(None) };
}

/// Makes a registry the current one of this thread until dropped.
pub(crate) struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        // `try_with`: the thread may be unwinding.
        let _ = CURRENT.try_with(|current| current.borrow_mut().take());
    }
}

impl Registry {
    fn current() -> Rc<Self> {
        CURRENT.with(|current| current.borrow().clone()).expect(
            "no executor on this thread: tasks live inside shards::run, shards::block_on or \
             sim::World::run",
        )
    }

    pub(crate) fn enter(self: &Rc<Self>) -> Entered {
        CURRENT.with(|current| {
            let before = current.borrow_mut().replace(self.clone());
            assert!(before.is_none(), "one executor per thread");
        });
        Entered(())
    }

    /// Drops the futures of all tasks that `of` selects by group. Tasks they spawn from their
    /// destructors are dropped too.
    pub(crate) fn abort(&self, of: impl Fn(u32) -> bool) {
        loop {
            let doomed: Vec<_> = {
                let entries = self.entries.borrow();
                let chosen = entries.iter().filter(|(_, entry)| of(entry.group));
                chosen.map(|(key, entry)| (key, entry.task.clone())).collect()
            };
            if doomed.is_empty() {
                return;
            }
            for (key, task) in doomed {
                // Gone already if the destructor of an earlier one ended it.
                if self.entries.borrow_mut().try_remove(key).is_some() {
                    task.abort();
                }
            }
        }
    }
}

/// The future that the backend executes: a task with its book-keeping.
pub(crate) struct Runner<T> {
    state: Rc<State<T>>,
    registry: Rc<Registry>,
    key: usize,
    group: u32,
    name: &'static str,
    is_started: bool,
}

impl<T> Future for Runner<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_started {
            // A simulated world may poll a new task inside `spawn`; a caller that holds a borrow
            // would panic.
            self.is_started = true;
            self.state.runner.set(Some(context.waker().clone()));
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(mut future) = self.state.future.take() else { return Poll::Ready(()) };
        let outer_group = self.registry.group.replace(self.group);
        let polled = watch(self.name, || future.as_mut().poll(context));
        match polled {
            Poll::Ready(value) => {
                drop(future);
                self.registry.group.set(outer_group);
                self.finish(value);
                Poll::Ready(())
            }
            Poll::Pending if self.state.is_aborted.get() => {
                drop(future);
                self.registry.group.set(outer_group);
                Poll::Ready(())
            }
            Poll::Pending => {
                self.registry.group.set(outer_group);
                self.state.future.set(Some(future));
                Poll::Pending
            }
        }
    }
}

/// Polls with the stall detector looking on: not in virtual time, where no poll takes long.
fn watch<T>(name: &'static str, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
    #[cfg(feature = "sim")]
    if sim::current().is_some() {
        return poll();
    }
    live::stall::watch(name, poll)
}

impl<T> Runner<T> {
    fn finish(&self, value: T) {
        self.state.runner.take();
        if self.state.is_aborted.get() {
            return;
        }
        self.state.value.set(Some(value));
        if let Some(joiner) = self.state.joiner.take() {
            joiner.wake();
        }
    }
}

impl<T> Drop for Runner<T> {
    fn drop(&mut self) {
        let mut entries = self.registry.entries.borrow_mut();
        // Another task may have the key by now if this one was aborted through the registry.
        let mine = entries.get(self.key).is_some_and(|entry| {
            std::ptr::addr_eq(Rc::as_ptr(&entry.task), Rc::as_ptr(&self.state))
        });
        let entry = mine.then(|| entries.remove(self.key));
        drop(entries);
        drop(entry);
    }
}

/// The name of the task that is polled on this thread now: for panics, and for tools that charge
/// what happens to a task. None in a simulated world.
#[must_use]
pub fn running() -> Option<&'static str> {
    live::stall::running()
}

/// Waits for `duration`. The live timer is late by 5 to 150 us.
pub fn sleep(duration: Duration) -> Sleep {
    #[cfg(feature = "sim")]
    if let Some(world) = sim::current() {
        return Sleep(AnyTimer::Sim(sim::Timer::after(world, duration)));
    }
    Sleep(AnyTimer::Live(live::timers::Timer::new(duration)))
}

/// Waits until `deadline`.
pub fn sleep_until(deadline: Instant) -> Sleep {
    sleep(deadline.saturating_since(Instant::now()))
}

/// The future of [`sleep`] and [`sleep_until`].
#[must_use = "a sleep does nothing unless awaited"]
pub struct Sleep(AnyTimer);

enum AnyTimer {
    Live(live::timers::Timer),
    #[cfg(feature = "sim")]
    Sim(sim::Timer),
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            AnyTimer::Live(timer) => Pin::new(timer).poll(context),
            #[cfg(feature = "sim")]
            AnyTimer::Sim(timer) => Pin::new(timer).poll(context),
        }
    }
}

/// The time given to [`timeout`] was not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time limit passed")]
pub struct Elapsed;

/// Runs `future` for at most `limit`, then drops it. If both are ready the value wins.
///
/// # Errors
/// [`Elapsed`] if the time was over first.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let value = async { Ok(future.await) };
    let over = async {
        sleep(limit).await;
        Err(Elapsed)
    };
    futures_lite::future::or(value, over).await
}

/// Lets the other runnable tasks go first, once.
pub fn yield_now() -> YieldNow {
    YieldNow { has_yielded: false }
}

/// Gives way if this task had its share of the shard's time: call it in loops that may never
/// wait, every 256 KiB of copying or so. Costs 8 ns if there is no need.
pub async fn yield_if_needed() {
    if need_preempt() {
        yield_now().await;
    }
}

fn need_preempt() -> bool {
    #[cfg(feature = "sim")]
    if let Some(world) = sim::current() {
        return world.below(4) == 0;
    }
    live::executor::need_preempt()
}

/// The future of [`yield_now`].
#[must_use = "await it"]
pub struct YieldNow {
    has_yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Runs `work` on a helper thread and waits for its value. Costs about 10 us; each executor has two
/// such threads, which the log's flushes need too, so nothing that takes more than a few
/// milliseconds: see [`long_work`].
///
/// `work` runs to its end even if the caller stops waiting. A panic in it continues here.
pub async fn blocking<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    in_world(work, live::helpers::blocking).await
}

/// As [`blocking`], for work that takes longer, such as the text of a document.
///
/// An executor does one piece of it at a time, in the order of their coming, as it does whole-file
/// reads, so that a helper thread is left for flushes. So nothing that waits for another piece of
/// it; and what takes more than a tenth of a second is cut into pieces, between which others get
/// their turn.
pub async fn long_work<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    in_world(work, live::helpers::long_work).await
}

/// Runs `work` as `live` does, or at once in a simulated world.
async fn in_world<T, F, L>(work: F, live: impl FnOnce(F) -> L) -> T
where
    F: FnOnce() -> T,
    L: Future<Output = T>,
{
    #[cfg(feature = "sim")]
    if sim::current().is_some() {
        yield_now().await;
        return work();
    }
    live(work).await
}
