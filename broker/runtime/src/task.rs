//! Tasks of one executor, and time to wait for.

mod blocking;
mod registry;
mod sleep;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

pub use self::blocking::{blocking, long_work};
#[cfg(feature = "sim")]
pub(crate) use self::registry::Entered;
use self::registry::{Abort, State};
pub(crate) use self::registry::{Registry, Runner};
pub use self::sleep::{Elapsed, Sleep, sleep, sleep_until, timeout};
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
    let (runner, state) = Runner::register(name, Box::pin(future));
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
        self.state.as_ref().expect("a task is not polled after detach").join(context)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            state.abort();
        }
    }
}

/// The name of the task that is polled on this thread now: for panics, and for tools that charge
/// what happens to a task. None in a simulated world.
#[must_use]
pub fn running() -> Option<&'static str> {
    live::stall::running()
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
