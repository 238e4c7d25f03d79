//! The tasks of one executor: what is shared of each, and the future that is executed.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::LocalFuture;
use crate::live;
#[cfg(feature = "sim")]
use crate::sim;

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

struct Entry {
    group: u32,
    task: Rc<dyn Abort>,
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

impl<T: 'static> Runner<T> {
    /// A task of the current executor, and what its handle has of it.
    pub(super) fn register(name: &'static str, future: LocalFuture<T>) -> (Self, Rc<State<T>>) {
        let registry = Registry::current();
        let state = Rc::new(State {
            future: Cell::new(Some(future)),
            value: Cell::new(None),
            joiner: Cell::new(None),
            runner: Cell::new(None),
            is_aborted: Cell::new(false),
        });
        let group = registry.group.get();
        let key = registry.entries.borrow_mut().insert(Entry { group, task: state.clone() });
        let runner = Self { state: state.clone(), registry, key, group, name, is_started: false };
        (runner, state)
    }
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

/// What a task, its handle and the registry share.
pub(super) struct State<T> {
    /// Taken out while it is polled.
    future: Cell<Option<LocalFuture<T>>>,
    value: Cell<Option<T>>,
    joiner: Cell<Option<Waker>>,
    runner: Cell<Option<Waker>>,
    is_aborted: Cell<bool>,
}

impl<T> State<T> {
    /// The value if the task has ended; else wakes who asks when it does.
    pub(super) fn join(&self, context: &mut Context<'_>) -> Poll<T> {
        if let Some(value) = self.value.take() {
            return Poll::Ready(value);
        }
        self.joiner.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

pub(super) trait Abort {
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

/// Polls with the stall detector looking on: not in virtual time, where no poll takes long.
fn watch<T>(name: &'static str, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
    #[cfg(feature = "sim")]
    if sim::current().is_some() {
        return poll();
    }
    live::stall::watch(name, poll)
}
