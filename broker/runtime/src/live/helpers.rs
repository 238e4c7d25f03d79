//! The helper threads of one thread's executors, for work that blocks.
//!
//! Not glommio's: those end a job with a wake-up that the executor sees when glommio looks, where
//! these ring the executor's bell. And not a channel of a library: with a lock and a condition a
//! job takes one system call on each side, which counts, since a flush is one.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::executor;
use crate::remote;
use crate::sync::Turn;

/// Threads per executor: one that may wait for a cold file, one for flushes.
const THREADS: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    static HELPERS: OnceCell<Helpers> = const { OnceCell::new() };
    static LONG: Rc<Turn> = Rc::default();
}

/// For work that waits for the device more than once: only one of the helper threads at most does
/// such work, so that the log's flushes, which need one too, do not stand in line behind it.
pub(super) fn long_work() -> Rc<Turn> {
    LONG.with(Rc::clone)
}

/// The threads end when this does.
struct Helpers(Arc<Jobs>);

#[derive(Default)]
struct Jobs {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    are_all: bool,
}

/// Starts the threads of the executor that is about to run on this thread: then, not by the first
/// job, so that a system that gives no more threads is told when something can be done about it.
pub(super) fn prepare() -> io::Result<()> {
    HELPERS.with(|helpers| {
        if helpers.get().is_none() {
            let _ = helpers.set(Helpers::start()?);
        }
        Ok(())
    })
}

/// Runs `work` on a helper thread and waits for its value. It runs to its end even if nobody waits
/// any more.
///
/// # Panics
/// With the panic of `work`, or outside an executor.
pub(crate) async fn blocking<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (sender, receiver) = remote::oneshot();
    // A panic would end the helper thread.
    let job = move || sender.send(catch_unwind(AssertUnwindSafe(work)));
    HELPERS.with(|helpers| {
        helpers.get().expect("jobs belong to an executor").0.add(Box::new(job));
    });
    let outcome = receiver.await.expect("helpers end after their last job");
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

impl Helpers {
    fn start() -> io::Result<Self> {
        let helpers = Self(Arc::default());
        for _ in 0..THREADS {
            let jobs = Arc::clone(&helpers.0);
            std::thread::Builder::new().name("helper".to_owned()).spawn(move || {
                // It would inherit the executor's single core, and wait for it.
                executor::cores_of_the_process().apply_to_this_thread();
                while let Some(job) = jobs.next() {
                    job();
                }
            })?;
        }
        Ok(helpers)
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        self.0.waiting().are_all = true;
        self.0.changed.notify_all();
    }
}

impl Jobs {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, job: Job) {
        self.waiting().jobs.push_back(job);
        // After the lock is free: whoever is woken takes it.
        self.changed.notify_one();
    }

    /// Waits for the next job; `None` when there will be no more.
    fn next(&self) -> Option<Job> {
        let nothing = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.are_all;
        let waiting = self.changed.wait_while(self.waiting(), nothing);
        waiting.unwrap_or_else(PoisonError::into_inner).jobs.pop_front()
    }
}
