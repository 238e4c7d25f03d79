//! The threads that drive loads: this one, or one bound to each of the cores that the command line
//! names. Readers beside producers have one of their own: an answer of a megabyte takes its thread
//! for as long as hundreds of acknowledgements, which the latency of sends would count.
//!
//! A [`Share`] never leaves the thread that drives it: other threads send work to it there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringmq_runtime::remote::{self, Remote};

use crate::driver::progress::Progress;
use crate::driver::schedule::Schedule;
use crate::driver::share::Share;
use crate::error::BenchError;

/// Threads of bench's client side. They end with it.
#[derive(Clone, Default)]
pub struct Clients {
    cores: Vec<usize>,
    threads: Vec<Remote>,
}

impl Clients {
    /// Starts a thread on each of `cores`; without any, loads are driven where they are made.
    ///
    /// # Errors
    /// A core that is not there, or that this process may not use; the text names those it may.
    pub fn start(cores: &[usize]) -> Result<Self, BenchError> {
        let start = |&core| remote::spawn_executor_on("bench client", core);
        let threads = cores.iter().map(start).collect::<Result<_, _>>();
        Ok(Self { cores: cores.to_vec(), threads: threads.map_err(BenchError::ClientCores)? })
    }

    /// For a load whose answers must not hold up those of another: a thread more, wherever the
    /// kernel puts it. Where cores are named a client has no others, and these are given.
    ///
    /// # Errors
    /// The machine has no thread more.
    pub fn apart(&self) -> Result<Self, BenchError> {
        if !self.threads.is_empty() {
            return Ok(self.clone());
        }
        let thread = remote::spawn_executor("bench apart").map_err(BenchError::ClientThread)?;
        Ok(Self { cores: Vec::new(), threads: vec![thread] })
    }

    /// The cores, in the order of their connections; none: wherever the kernel puts this thread.
    pub fn cores(&self) -> &[usize] {
        &self.cores
    }

    /// A place for a new load on each thread.
    pub fn places(&self, schedule: Option<&Schedule>) -> Vec<Place> {
        let threads = self.threads.iter().cloned();
        threads.map(|thread| Place::There(thread, Seed::new(schedule.cloned()))).collect()
    }
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Clients").field(&self.cores).finish()
    }
}

/// Those of `clients` that a broker on the cores `broker` has, too.
pub fn shared(clients: &[usize], broker: &Range<usize>) -> Vec<usize> {
    clients.iter().copied().filter(|core| broker.contains(core)).collect()
}

/// Warns of the cores that both are bound to.
pub fn warn_of_shared(clients: &[usize], broker: Range<usize>) {
    for core in shared(clients, &broker) {
        eprintln!("warning: clients and broker share core {core}: each slows the other down");
    }
}

thread_local! {
    /// The shares that this thread drives for others, by their number.
    static SHARES: RefCell<BTreeMap<u64, Rc<Share>>> = RefCell::default();
}

/// Numbers the shares of the process.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// What a share is made of, on the thread that will drive it.
#[derive(Clone)]
pub struct Seed {
    number: u64,
    schedule: Option<Schedule>,
    progress: Arc<Progress>,
}

impl Seed {
    fn new(schedule: Option<Schedule>) -> Self {
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { number, schedule, progress: Arc::default() }
    }

    /// This thread's share of that number, made by whoever asks first.
    fn share(self) -> Rc<Share> {
        let make = || Share::new(self.schedule, self.progress);
        SHARES.with_borrow_mut(|shares| shares.entry(self.number).or_insert_with(make).clone())
    }
}

/// Where a share is driven.
#[derive(Clone)]
pub enum Place {
    /// On this thread.
    Here(Rc<Share>),
    /// On another one.
    There(Remote, Seed),
}

impl Place {
    /// This thread.
    pub fn here(schedule: Option<Schedule>) -> Self {
        Self::Here(Share::new(schedule, Arc::default()))
    }

    /// Calls `work` where the share is and runs the future it returns there; its value.
    ///
    /// # Panics
    /// If the other thread has panicked: it told why.
    pub async fn run<T, F, W>(&self, work: W) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
        W: FnOnce(Rc<Share>) -> F + Send + 'static,
    {
        match self {
            Self::Here(share) => work(share.clone()).await,
            Self::There(thread, seed) => {
                let seed = seed.clone();
                let done = thread.run(move || work(seed.share())).await;
                done.unwrap_or_else(|_| panic!("a client thread ended before its load"))
            }
        }
    }

    /// Forgets the share after its last work.
    pub async fn forget(&self) {
        if let Self::There(thread, Seed { number, .. }) = self {
            let number = *number;
            let forget = move || SHARES.with_borrow_mut(|shares| drop(shares.remove(&number)));
            // A thread that has ended has forgotten it.
            let _ = thread.run(move || async move { forget() }).await;
        }
    }

    /// How far it is.
    pub fn progress(&self) -> &Progress {
        match self {
            Self::Here(share) => share.progress(),
            Self::There(_, Seed { progress, .. }) => progress,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_apart_has_a_thread_of_its_own_unless_cores_are_named() {
        let apart = Clients::default().apart().unwrap();
        assert!(matches!(apart.places(None)[..], [Place::There(..)]));
        assert!(apart.cores().is_empty());
        let named = Clients::start(&[0]).unwrap();
        assert_eq!((named.apart().unwrap().cores(), named.places(None).len()), (&[0][..], 1));
    }
}
