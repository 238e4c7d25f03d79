//! The helper threads of one thread's executors, for work that blocks.
//!
//! Not glommio's: those end a job with a wake-up that the executor sees when glommio looks, where
//! these ring the executor's bell. And not a channel of a library: with a lock and a condition a
//! job takes one system call on each side, which counts, since a flush is one.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::executor;
use crate::remote;

/// Threads per executor: one that may be long at its work, one for flushes.
const THREADS: usize = 2;

pub(super) type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    static HELPERS: OnceCell<Helpers> = const { OnceCell::new() };
}

/// The threads end when this does, after what they were given.
pub(super) struct Helpers(Arc<Jobs>);

#[derive(Default)]
struct Jobs {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    short: VecDeque<Job>,
    long: VecDeque<Job>,
    is_long_running: bool,
    are_all: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Short,
    Long,
}

/// Starts the threads of the executor that is about to run on this thread: then, not by the first
/// job, so that a system that gives no more threads is told when something can be done about it.
pub(super) fn prepare() -> io::Result<()> {
    HELPERS.with(|helpers| {
        if helpers.get().is_none() {
            let _ = helpers.set(Helpers::start("helper", THREADS)?);
        }
        Ok(())
    })
}

/// Runs `work`, which waits for the device once at most, on a helper thread and waits for its
/// value. It runs to its end even if nobody waits any more.
///
/// # Panics
/// With the panic of `work`, or outside an executor.
pub(crate) async fn blocking<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    run(Length::Short, work).await
}

/// As [`blocking`], for work that takes longer: only one of the helper threads at most is at such
/// work, so that the log's flushes, which need one too, do not stand in line behind it.
///
/// # Panics
/// As [`blocking`].
pub(crate) async fn long_work<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    run(Length::Long, work).await
}

async fn run<T, F>(length: Length, work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (sender, receiver) = remote::oneshot();
    // A panic would end the helper thread.
    let job = move || sender.send(catch_unwind(AssertUnwindSafe(work)));
    HELPERS.with(|helpers| {
        helpers.get().expect("jobs belong to an executor").0.add(length, Box::new(job));
    });
    let outcome = receiver.await.expect("helpers end after their last job");
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

impl Helpers {
    /// Starts `threads` threads of this name.
    pub(super) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let helpers = Self(Arc::default());
        for _ in 0..threads {
            let jobs = Arc::clone(&helpers.0);
            std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                // It would inherit the executor's single core, and wait for it.
                executor::cores_of_the_process().apply_to_this_thread();
                while let Some((length, job)) = jobs.next() {
                    job();
                    jobs.ended(length);
                }
            })?;
        }
        Ok(helpers)
    }

    /// Adds a job that must not panic, unless `max` jobs wait already; tells whether it did.
    pub(super) fn add_below(&self, max: usize, job: Job) -> bool {
        let has_room = self.0.waiting().short.len() < max;
        if has_room {
            self.0.add(Length::Short, job);
        }
        has_room
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

    fn add(&self, length: Length, job: Job) {
        match length {
            Length::Short => self.waiting().short.push_back(job),
            Length::Long => self.waiting().long.push_back(job),
        }
        // After the lock is free: whoever is woken takes it.
        self.changed.notify_one();
    }

    /// Waits for the next job; `None` when there will be none for this thread any more.
    fn next(&self) -> Option<(Length, Job)> {
        let nothing = |waiting: &mut Waiting| !waiting.has_work() && !waiting.are_all;
        let waiting = self.changed.wait_while(self.waiting(), nothing);
        waiting.unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Its thread asks for the next job now: it takes the long one that may have waited.
    fn ended(&self, length: Length) {
        if length == Length::Long {
            self.waiting().is_long_running = false;
        }
    }
}

impl Waiting {
    fn has_work(&self) -> bool {
        !self.short.is_empty() || (!self.long.is_empty() && !self.is_long_running)
    }

    /// A long job before the short ones, or it would wait as long as flushes follow each other.
    fn take(&mut self) -> Option<(Length, Job)> {
        if !self.is_long_running
            && let Some(job) = self.long.pop_front()
        {
            self.is_long_running = true;
            return Some((Length::Long, job));
        }
        self.short.pop_front().map(|job| (Length::Short, job))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use futures_lite::future::{poll_once, zip};

    use super::*;
    use crate::shards::block_on;
    use crate::task;

    #[test]
    fn short_jobs_pass_long_ones_and_all_are_done() {
        block_on(async {
            let (release, held) = mpsc::channel::<()>();
            let mut first = Box::pin(long_work(move || held.recv()));
            let mut second = Box::pin(long_work(|| 2));
            assert!(poll_once(&mut first).await.is_none());
            assert!(poll_once(&mut second).await.is_none());
            for number in 0..100 {
                let short = task::timeout(Duration::from_secs(10), blocking(move || number));
                assert_eq!(short.await, Ok(number));
            }
            assert!(poll_once(&mut second).await.is_none(), "two long jobs at the same time");
            release.send(()).expect("the first job waits");
            assert_eq!(zip(first, second).await, (Ok(()), 2));
        });
    }

    #[test]
    fn a_long_job_that_nobody_waits_for_is_still_the_only_one() {
        block_on(async {
            let (release, held) = mpsc::channel::<()>();
            let mut given_up = Box::pin(long_work(move || held.recv()));
            assert!(poll_once(&mut given_up).await.is_none());
            drop(given_up);
            let mut next = Box::pin(long_work(|| ()));
            blocking(|| ()).await;
            assert!(poll_once(&mut next).await.is_none(), "two long jobs at the same time");
            release.send(()).expect("the first job waits");
            next.await;
        });
    }
}
