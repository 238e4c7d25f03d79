//! Threads that run listeners.
//!
//! Listeners are user code and may block for as long as they like, so they never run in the
//! client's executor. Work waits in a queue without a bound of its own: what is in it is held in
//! process queues, whose limits stop pulling first.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ringmq_runtime::remote;

use crate::error::ClientError;

type Work = Box<dyn FnOnce() + Send>;

/// A set of threads that take work in turn. They end when the set is dropped and all work is done.
pub(crate) struct Workers {
    queue: async_channel::Sender<Work>,
}

impl Workers {
    /// Starts `threads` of them (at least 1).
    ///
    /// # Errors
    /// `Start`: the system refuses a thread.
    pub(crate) fn start(threads: usize) -> Result<Self, ClientError> {
        let (sender, receiver) = async_channel::unbounded::<Work>();
        for _ in 0..threads.max(1) {
            let queue = receiver.clone();
            let run = move || {
                while let Ok(work) = queue.recv_blocking() {
                    work();
                }
            };
            let started = remote::spawn_thread("listener", run);
            started.map_err(|error| ClientError::Start { reason: error.to_string() })?;
        }
        Ok(Self { queue: sender })
    }

    /// Has a thread run `work`; its panic is caught and reported as `None`.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(Option<T>) + Send + 'static,
    ) {
        let work: Work = Box::new(move || done(catch_unwind(AssertUnwindSafe(work)).ok()));
        // The threads live as long as the sender, so the queue is open.
        let _ = self.queue.try_send(work);
    }
}
