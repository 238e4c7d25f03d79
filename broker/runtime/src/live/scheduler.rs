//! The tasks of one executor: which are to run, and how they are woken. Other threads ring the
//! [`bell`].
//!
//! glommio sees one task, the `driver`, and the tasks of this project are scheduled here. A wake-up
//! then costs a push to a queue, and the driver knows whether anything is left to run, which it
//! must before it waits.

mod bell;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;

use self::bell::Bell;
use crate::task::{LocalFuture, Urgency};

thread_local! {
    static CURRENT: RefCell<Option<Rc<Scheduler>>> = const { RefCell::new(None) };
}

/// The tasks of one executor.
pub(super) struct Scheduler {
    tasks: RefCell<Slab<Slot>>,
    ready: RefCell<Ready>,
    bell: Arc<Bell>,
    /// Wakes the driver while glommio has the thread.
    driver: Cell<Option<Waker>>,
    main: Arc<Handle>,
}

struct Slot {
    handle: Arc<Handle>,
    /// Taken out while it is polled.
    future: Option<LocalFuture<()>>,
}

#[derive(Default)]
struct Ready {
    urgent: VecDeque<Arc<Handle>>,
    normal: VecDeque<Arc<Handle>>,
    /// They take turns, so that urgent tasks that wake each other starve nobody.
    was_urgent: bool,
}

impl Ready {
    fn pop(&mut self) -> Option<Arc<Handle>> {
        let first = if self.was_urgent { None } else { self.urgent.pop_front() };
        self.was_urgent = first.is_some();
        first.or_else(|| self.normal.pop_front()).or_else(|| self.urgent.pop_front())
    }
}

/// What ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing is ready.
    Nothing,
    /// One task had its turn.
    Ran,
    /// The main future is next; its owner polls it.
    Main,
}

/// A task as its wakers know it, on whatever thread they are.
struct Handle {
    key: usize,
    is_urgent: bool,
    is_queued: AtomicBool,
    bell: Arc<Bell>,
}

/// The main future is in no slot.
const MAIN: usize = usize::MAX;

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        // The thread may be ending.
        let home = CURRENT.try_with(|current| {
            let current = current.borrow();
            current.as_ref().filter(|home| Arc::ptr_eq(&home.bell, &self.bell)).cloned()
        });
        match home.ok().flatten() {
            Some(home) => {
                home.push(self);
                home.unpark();
            }
            None => Bell::ring(self),
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Not a look first: only the swap in `wake` is ordered against that of the poll.
        Arc::clone(self).wake();
    }
}

impl Scheduler {
    pub(super) fn new() -> io::Result<Rc<Self>> {
        let bell = Arc::new(Bell::new()?);
        let main = Handle {
            key: MAIN,
            is_urgent: false,
            is_queued: AtomicBool::new(true),
            bell: Arc::clone(&bell),
        };
        let main = Arc::new(main);
        let mut ready = Ready::default();
        ready.normal.push_back(Arc::clone(&main));
        Ok(Rc::new(Self {
            tasks: RefCell::default(),
            ready: RefCell::new(ready),
            bell,
            driver: Cell::new(None),
            main,
        }))
    }

    /// Takes the tasks that are spawned on this thread until the guard is dropped.
    pub(super) fn enter(self: &Rc<Self>) -> Entered {
        CURRENT.set(Some(Rc::clone(self)));
        Entered(Rc::clone(self))
    }

    /// The waker of the main future.
    pub(super) fn main_waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.main))
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    fn push(&self, handle: Arc<Handle>) {
        let ready = &mut *self.ready.borrow_mut();
        let queue = if handle.is_urgent { &mut ready.urgent } else { &mut ready.normal };
        queue.push_back(handle);
    }

    /// How many tasks are ready.
    pub(super) fn ready_len(&self) -> usize {
        let ready = self.ready.borrow();
        ready.urgent.len() + ready.normal.len()
    }

    /// Takes over what other threads woke; whether that was anything.
    pub(super) fn answer_bell(&self) -> bool {
        let mut has_called = false;
        while let Some(handle) = self.bell.called.pop() {
            self.push(handle);
            has_called = true;
        }
        has_called
    }

    /// Gives the next task its turn.
    pub(super) fn run_one(&self) -> Next {
        let Some(handle) = self.ready.borrow_mut().pop() else { return Next::Nothing };
        // Before the poll: a wake-up from now on is for the poll after it.
        handle.is_queued.swap(false, Ordering::AcqRel);
        if handle.key == MAIN {
            return Next::Main;
        }
        let Some(mut future) = self.take(&handle) else { return Next::Ran };
        let (key, waker) = (handle.key, Waker::from(handle));
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        self.put_back(key, (polled == Poll::Pending).then_some(future));
        Next::Ran
    }

    /// The future of a task; none if the task has ended since it was woken.
    fn take(&self, handle: &Arc<Handle>) -> Option<LocalFuture<()>> {
        let mut tasks = self.tasks.borrow_mut();
        let slot = tasks.get_mut(handle.key)?;
        if Arc::ptr_eq(&slot.handle, handle) { slot.future.take() } else { None }
    }

    fn put_back(&self, key: usize, future: Option<LocalFuture<()>>) {
        let mut tasks = self.tasks.borrow_mut();
        if future.is_some() {
            tasks[key].future = future;
            return;
        }
        let ended = tasks.remove(key);
        drop(tasks);
        drop(ended);
    }

    /// Has `driver` woken by the next wake-up on this thread.
    pub(super) fn park(&self, driver: &Waker) {
        self.driver.set(Some(driver.clone()));
    }

    /// Wakes the driver if it is parked.
    pub(super) fn unpark(&self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// The driver runs.
    pub(super) fn unparked(&self) {
        self.driver.take();
    }
}

/// Starts a task on this thread's executor.
///
/// # Panics
/// Outside an executor.
pub(super) fn spawn(future: LocalFuture<()>, urgency: Urgency) {
    let scheduler = CURRENT.with_borrow(Clone::clone).expect("tasks belong to an executor");
    let mut tasks = scheduler.tasks.borrow_mut();
    let entry = tasks.vacant_entry();
    let handle = Arc::new(Handle {
        key: entry.key(),
        is_urgent: urgency == Urgency::Urgent,
        is_queued: AtomicBool::new(false),
        bell: Arc::clone(&scheduler.bell),
    });
    entry.insert(Slot { handle: Arc::clone(&handle), future: Some(future) });
    drop(tasks);
    handle.wake();
}

/// Wakes this thread's driver if it is parked: it looks at its timers, its bell and its ring.
pub(super) fn have_a_look() {
    CURRENT.with_borrow(|current| current.iter().for_each(|scheduler| scheduler.unpark()));
}

/// While it exists, tasks spawned on this thread are its scheduler's.
pub(super) struct Entered(Rc<Scheduler>);

impl Drop for Entered {
    fn drop(&mut self) {
        let scheduler = &self.0;
        scheduler.bell.is_over.store(true, Ordering::SeqCst);
        let tasks = std::mem::take(&mut *scheduler.tasks.borrow_mut());
        if std::thread::panicking() {
            // A second panic from one of them would hide the first.
            std::mem::forget(tasks);
        } else {
            drop(tasks);
        }
        while scheduler.bell.called.pop().is_some() {}
        let ready = scheduler.ready.take();
        CURRENT.take();
        drop(ready);
    }
}
