//! From one thread to another: a value handed over once, and executors that others send work to.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

pub use crate::sync::Closed;

use crate::shards::{self, Cores};
use crate::start::StartError;
use crate::task;

struct Slot<T> {
    value: Mutex<Option<T>>,
    waker: AtomicWaker,
    is_sender_alive: AtomicBool,
}

impl<T> Slot<T> {
    fn take(&self) -> Option<T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A channel for one value between any two threads; the receiver may be awaited on any executor.
#[must_use]
pub fn oneshot<T: Send>() -> (Sender<T>, Receiver<T>) {
    let slot = Arc::new(Slot {
        value: Mutex::new(None),
        waker: AtomicWaker::new(),
        is_sender_alive: AtomicBool::new(true),
    });
    (Sender(slot.clone()), Receiver(slot))
}

/// The sending half of a [`oneshot`].
pub struct Sender<T: Send>(Arc<Slot<T>>);

impl<T: Send> Sender<T> {
    /// Hands the value over; it is dropped if the receiver is gone.
    pub fn send(self, value: T) {
        *self.0.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    /// True if nobody waits for the value any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl<T: Send> Drop for Sender<T> {
    /// Wakes the receiver, for the value or for its absence.
    fn drop(&mut self) {
        self.0.is_sender_alive.store(false, Ordering::Release);
        self.0.waker.wake();
    }
}

/// The receiving half of a [`oneshot`]: await it.
pub struct Receiver<T: Send>(Arc<Slot<T>>);

impl<T: Send> Future for Receiver<T> {
    type Output = Result<T, Closed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.waker.register(context.waker());
        // Looked at after registering, so a value sent in between is either seen or wakes us; and
        // the sender's end before the value, since a sender stores the value first.
        let is_sender_alive = self.0.is_sender_alive.load(Ordering::Acquire);
        match self.0.take() {
            Some(value) => Poll::Ready(Ok(value)),
            None if is_sender_alive => Poll::Pending,
            None => Poll::Ready(Err(Closed)),
        }
    }
}

/// Work for an executor on another thread: builds a future there and spawns it.
type Job = Box<dyn FnOnce() + Send>;

/// Jobs that may wait for an executor; more make [`Remote::run`] wait.
const JOBS_MAX: usize = 1024;

/// A handle to an executor on a thread of its own, for use from any thread or runtime.
///
/// The executor ends, and drops its tasks, when it is closed or the last handle is gone.
#[derive(Clone)]
pub struct Remote {
    jobs: async_channel::Sender<Job>,
    /// Closed by the end of the thread; nothing is ever sent.
    end: async_channel::Receiver<()>,
}

/// Starts a thread with an executor and returns the handle to it.
///
/// # Errors
/// Why the executor could not be made, and what to change.
pub fn spawn_executor(name: &'static str) -> Result<Remote, StartError> {
    spawn_on(name, Cores::Floating(1))
}

/// As [`spawn_executor`], bound to a core.
///
/// # Errors
/// As for [`spawn_executor`]; a core that this process may not use is named, with those it may.
pub fn spawn_executor_on(name: &'static str, core: usize) -> Result<Remote, StartError> {
    spawn_on(name, Cores::Exactly(vec![core]))
}

fn spawn_on(name: &'static str, core: Cores) -> Result<Remote, StartError> {
    let (jobs, inbox) = async_channel::bounded::<Job>(JOBS_MAX);
    let (alive, end) = async_channel::bounded(1);
    let (started, outcome) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let explain = |cause: &dyn std::fmt::Display| StartError::Executor {
        name: name.to_owned(),
        cause: cause.to_string(),
    };
    let run = move || {
        let _alive = alive;
        let ready = started.clone();
        let serve = async move {
            // The starter is waiting; if it is gone, so are the handles, and the loop ends.
            let _ = ready.send(Ok(()));
            while let Ok(job) = inbox.recv().await {
                job();
            }
        };
        if let Err(error) = shards::block_on_one(name, core, serve) {
            let _ = started.send(Err(error));
        }
    };
    thread.spawn(run).map_err(|error| explain(&error))?;
    outcome.recv().map_err(|error| explain(&error))??;
    Ok(Remote { jobs, end })
}

/// Starts a plain thread, for code that may block for as long as it likes: listeners of
/// applications. It ends when `work` returns; nobody joins it.
///
/// # Errors
/// Why the system refuses a thread.
pub fn spawn_thread(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<(), StartError> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let started = thread.spawn(work);
    started
        .map(drop)
        .map_err(|error| StartError::Executor { name: name.to_owned(), cause: error.to_string() })
}

impl Remote {
    /// Calls `work` on the executor's thread, runs the future it returns there, and gives its
    /// value. The future itself need not be `Send`. If the caller stops waiting, it runs on.
    ///
    /// # Errors
    /// [`Closed`] if the executor has ended: it was closed, or it panicked.
    pub async fn run<T, F, W>(&self, work: W) -> Result<T, Closed>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
        W: FnOnce() -> F + Send + 'static,
    {
        let (sender, receiver) = oneshot();
        let job: Job = Box::new(move || {
            let future = work();
            task::spawn("remote", async move { sender.send(future.await) }).detach();
        });
        self.jobs.send(job).await.map_err(|_| Closed)?;
        receiver.await
    }

    /// Ends the executor: jobs that were sent are still begun, then all tasks are dropped where
    /// they stand. Returns when that is done; whoever waits for a job then gets [`Closed`].
    ///
    /// Not for the executor's own tasks: they would wait for their own end.
    pub async fn close(&self) {
        self.jobs.close();
        // Fails when the thread drops its half, and only then.
        let _ = self.end.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn a_value_crosses_threads() {
        for round in 0..200 {
            let (sender, receiver) = oneshot();
            let thread = std::thread::spawn(move || sender.send(round));
            assert_eq!(block_on(receiver), Ok(round));
            thread.join().expect("sender");
        }
    }

    #[test]
    fn a_lost_sender_is_reported() {
        let (sender, receiver) = oneshot::<u8>();
        let thread = std::thread::spawn(move || drop(sender));
        assert_eq!(block_on(receiver), Err(Closed));
        thread.join().expect("sender");
    }

    #[test]
    fn a_sender_notices_that_nobody_waits() {
        let (sender, receiver) = oneshot::<u8>();
        assert!(!sender.is_closed());
        drop(receiver);
        assert!(sender.is_closed());
    }

    #[test]
    fn work_runs_on_the_executor_and_its_value_comes_back() {
        let remote = spawn_executor("worker").expect("executor");
        let threads: Vec<_> = (0..4u64)
            .map(|number| {
                let remote = remote.clone();
                std::thread::spawn(move || {
                    block_on(remote.run(move || async move {
                        // Something that must not leave its thread.
                        let kept = std::rc::Rc::new(number);
                        task::sleep(std::time::Duration::from_millis(1)).await;
                        *kept * 10
                    }))
                })
            })
            .collect();
        for (number, thread) in (0..).zip(threads) {
            assert_eq!(thread.join().expect("caller"), Ok(number * 10));
        }
    }

    #[test]
    fn an_executor_runs_on_the_core_it_is_bound_to_or_not_at_all() {
        let core = *shards::usable_cores().last().expect("a core");
        let remote = spawn_executor_on("worker", core).expect("executor");
        let runs_on = || async { crate::live::sys::cores::CoreSet::of_this_thread().cores() };
        assert_eq!(block_on(remote.run(runs_on)), Ok(vec![core]));
        let error = spawn_executor_on("worker", 100_000).err().expect("no such core");
        assert!(error.to_string().contains("choose among"), "{error}");
    }

    #[test]
    fn closing_drops_tasks_and_refuses_work() {
        let remote = spawn_executor("worker").expect("executor");
        let (alive, mut ended) = oneshot::<u8>();
        let forever = async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        };
        block_on(remote.run(move || async { task::spawn("forever", forever).detach() }))
            .expect("started");
        let waiting = {
            let remote = remote.clone();
            std::thread::spawn(move || block_on(remote.run(std::future::pending::<()>)))
        };
        block_on(remote.close());
        let now = std::pin::pin!(&mut ended).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(now, Poll::Ready(Err(Closed)), "tasks were dropped before it returned");
        assert_eq!(waiting.join().expect("caller"), Err(Closed));
        assert_eq!(block_on(remote.run(|| async { 1 })), Err(Closed));
        block_on(remote.close());
    }

    #[test]
    fn the_executor_ends_with_its_last_handle() {
        let remote = spawn_executor("worker").expect("executor");
        let (alive, ended) = oneshot::<u8>();
        let forever = async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        };
        block_on(remote.run(move || async { task::spawn("forever", forever).detach() }))
            .expect("started");
        drop(remote);
        assert_eq!(block_on(ended), Err(Closed));
    }
}
