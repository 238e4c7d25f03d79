//! Executors and their threads: one per shard, each on a core of its own.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::time::Duration;

use crate::live::executor::{self, Options};
use crate::live::{probe, stall, sys};
use crate::start::{StartError, registered_memory};

/// Submissions that a ring of an executor holds; more go to the kernel in turns.
const RING_DEPTH: usize = 256;

/// Memory per executor that is registered for direct I/O, if the limit of locked memory permits.
/// A bigger pool helps writes of 1 MiB (16 instead of 25 % CPU); it counts as resident.
const IO_MEMORY_BYTES: usize = 2 << 20;

/// Which cores the shards run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cores {
    /// So many shards, each bound to one of the cores that this process may use.
    Pinned(usize),
    /// So many shards on whatever core the kernel chooses: for tests and shared machines.
    Floating(usize),
    /// One shard on each of these cores.
    Exactly(Vec<usize>),
}

impl Cores {
    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        match self {
            Self::Pinned(shards) | Self::Floating(shards) => *shards,
            Self::Exactly(cores) => cores.len(),
        }
    }

    /// The core of each shard.
    fn assign(&self, allowed: &[usize]) -> Result<Vec<Option<usize>>, StartError> {
        match self {
            Self::Floating(shards) => Ok(vec![None; *shards]),
            Self::Pinned(asked) if *asked > allowed.len() => {
                Err(StartError::TooFewCores { asked: *asked, allowed: allowed.len() })
            }
            Self::Pinned(shards) => Ok(allowed.iter().take(*shards).copied().map(Some).collect()),
            Self::Exactly(cores) => match cores.iter().find(|core| !allowed.contains(core)) {
                Some(core) => {
                    Err(StartError::NoSuchCore { core: *core, allowed: allowed.to_vec() })
                }
                None => Ok(cores.iter().copied().map(Some).collect()),
            },
        }
    }
}

/// How to run the shards.
#[derive(Clone, Debug)]
pub struct ShardsConfig {
    /// How many, and where.
    pub cores: Cores,
    /// Memory per shard registered for direct I/O, in bytes; taken down to what the limit of
    /// locked memory permits. Default 2 MiB.
    pub io_memory_bytes: usize,
    /// Microseconds that an idle shard spins before it sleeps, which costs its core. Saves
    /// waking that core: 1 to 4 us where it waits for an interrupt, some 30 in a virtual machine
    /// whose host takes it away meanwhile. Only for pinned shards. Default 0.
    pub poll_us: u64,
    /// Milliseconds after which a task that does not give way is named in the log; 0 never.
    /// Default 5.
    pub stall_limit_ms: u64,
}

impl ShardsConfig {
    /// The defaults on these cores.
    #[must_use]
    pub fn new(cores: Cores) -> Self {
        Self {
            cores,
            io_memory_bytes: IO_MEMORY_BYTES,
            poll_us: 0,
            stall_limit_ms: stall::DEFAULT_LIMIT_NS / 1_000_000,
        }
    }

    fn options(&self, shard: usize, core: Option<usize>) -> Options {
        let limit_bytes = probe::memlock_limit_in_force();
        Options {
            name: format!("shard-{shard}"),
            core,
            io_memory_bytes: registered_memory(
                limit_bytes,
                self.cores.shards(),
                self.io_memory_bytes,
            ),
            ring_depth: RING_DEPTH,
            spin: Duration::from_micros(self.poll_us),
            stall_limit_ns: self.stall_limit_ms.saturating_mul(1_000_000),
        }
    }
}

/// Which shard this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardContext {
    /// 0 to `shards - 1`.
    pub shard: usize,
    /// How many there are.
    pub shards: usize,
    /// The core it is bound to, if any.
    pub core: Option<usize>,
}

/// Runs `body` once per shard, each on a thread with an executor of its own, and waits for all;
/// the values come in the order of the shards.
///
/// No `body` starts before all executors stand. A panic on a shard is logged and aborts the
/// process: other shards would wait for this one forever.
///
/// # Errors
/// Why the executors could not be made, and what to change.
pub fn run<T, F, B>(config: &ShardsConfig, body: B) -> Result<Vec<T>, StartError>
where
    T: Send,
    F: Future<Output = T>,
    B: Fn(ShardContext) -> F + Sync,
{
    run_with(config, vec![(); config.cores.shards()], |context, ()| body(context))
}

/// As [`run`], with something for each shard to take along, such as its port of a mesh.
///
/// # Errors
/// As [`run`].
///
/// # Panics
/// If `luggage` has not one piece per shard.
pub fn run_with<L, T, F, B>(
    config: &ShardsConfig,
    luggage: Vec<L>,
    body: B,
) -> Result<Vec<T>, StartError>
where
    L: Send,
    T: Send,
    F: Future<Output = T>,
    B: Fn(ShardContext, L) -> F + Sync,
{
    let shards = config.cores.shards();
    assert!(luggage.len() == shards, "{} pieces for {shards} shards", luggage.len());
    let cores = config.cores.assign(&executor::cores_of_the_process().cores())?;
    probe::executors(shards)?;
    log_panics();
    let gate = Gate::new(shards);
    let outcomes: Vec<Option<T>> = std::thread::scope(|scope| {
        let (gate, body) = (&gate, &body);
        let mut threads = Vec::new();
        for (shard, (core, luggage)) in cores.into_iter().zip(luggage).enumerate() {
            let options = config.options(shard, core);
            let context = ShardContext { shard, shards, core };
            let builder = std::thread::Builder::new().name(options.name.clone());
            let run = move || or_abort(|| run_one(&options, gate, context, luggage, body));
            match builder.spawn_scoped(scope, run) {
                Ok(thread) => threads.push(thread),
                Err(error) => gate.fail(StartError::Executor {
                    name: format!("shard-{shard}"),
                    cause: error.to_string(),
                }),
            }
        }
        threads.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    });
    match gate.into_failure() {
        Some(error) => Err(error),
        None => Ok(outcomes.into_iter().flatten().collect()),
    }
}

/// The thread of one shard.
fn run_one<L, T, F>(
    options: &Options,
    gate: &Gate,
    context: ShardContext,
    luggage: L,
    body: &(impl Fn(ShardContext, L) -> F + Sync),
) -> Option<T>
where
    F: Future<Output = T>,
{
    let shard = async { if gate.pass() { Some(body(context, luggage).await) } else { None } };
    executor::run(options, shard).unwrap_or_else(|error| {
        gate.fail(probe::explain(options, context.shards, error));
        None
    })
}

fn or_abort<T>(work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        tracing::error!("a shard has panicked: the process ends");
        std::process::abort();
    })
}

/// Writes panics to the log too, since standard error may lead nowhere.
fn log_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
            let task = crate::task::running().unwrap_or("none");
            tracing::error!(thread, task, "{panic}");
            before(panic);
        }));
    });
}

/// Holds the shards back until all executors stand, or one has failed.
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

struct GateState {
    missing: usize,
    failure: Option<StartError>,
}

impl Gate {
    fn new(shards: usize) -> Self {
        let state = Mutex::new(GateState { missing: shards, failure: None });
        Self { state, changed: Condvar::new() }
    }

    /// Waits for the others (blocking: nothing runs on the executor yet); false if one failed.
    fn pass(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.missing -= 1;
        self.changed.notify_all();
        let waits = |state: &mut GateState| state.missing > 0 && state.failure.is_none();
        let state = self.changed.wait_while(state, waits);
        state.unwrap_or_else(PoisonError::into_inner).failure.is_none()
    }

    fn fail(&self, error: StartError) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure.get_or_insert(error);
        self.changed.notify_all();
    }

    fn into_failure(self) -> Option<StartError> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).failure
    }
}

/// Runs `future` on an executor of its own on this thread: for tools, client threads and tests.
/// Panics of its tasks come out here.
///
/// # Panics
/// If the executor cannot be made; the message says what to change.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    try_block_on("main", future).unwrap_or_else(|error| panic!("{error}"))
}

/// As [`block_on`], under a name.
///
/// # Errors
/// Why the executor could not be made, and what to change.
pub fn try_block_on<T>(name: &str, future: impl Future<Output = T>) -> Result<T, StartError> {
    block_on_one(name, Cores::Floating(1), future)
}

/// As [`try_block_on`], on the one core that `cores` names, if it names one.
pub(crate) fn block_on_one<T>(
    name: &str,
    cores: Cores,
    future: impl Future<Output = T>,
) -> Result<T, StartError> {
    assert!(cores.shards() == 1, "one executor, not {}", cores.shards());
    probe::executors(1)?;
    let core = cores.assign(&executor::cores_of_the_process().cores())?[0];
    let mut options = ShardsConfig::new(cores).options(0, core);
    name.clone_into(&mut options.name);
    // Nothing that wants registered memory runs here.
    options.io_memory_bytes = 0;
    executor::run(&options, future).map_err(|error| probe::explain(&options, 1, error))
}

/// Cores that this process may use.
#[must_use]
pub fn usable_cores() -> Vec<usize> {
    sys::cores::CoreSet::cores(&executor::cores_of_the_process())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_assigned_as_asked_or_refused() {
        let allowed = [1, 3, 5];
        let assign = |cores: Cores| cores.assign(&allowed).map_err(|error| error.to_string());
        assert_eq!(assign(Cores::Pinned(2)), Ok(vec![Some(1), Some(3)]));
        assert_eq!(assign(Cores::Floating(5)), Ok(vec![None; 5]));
        assert_eq!(assign(Cores::Exactly(vec![5, 1])), Ok(vec![Some(5), Some(1)]));
        assert!(assign(Cores::Pinned(4)).is_err_and(|text| text.contains("at most 3")));
        assert!(assign(Cores::Exactly(vec![2])).is_err_and(|text| text.contains("[1, 3, 5]")));
    }
}
