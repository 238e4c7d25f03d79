//! What a broker spends on a message, by the counters of the kernel: bench asks no broker about
//! itself.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::process;
use ringmq_runtime::task::{self, Task};

use crate::driver::{Load, Timing};
use crate::files::with_extension;
use crate::measure::Used;
use crate::observe::{DeviceUse, Machine};
use crate::program::{self, Program};
use crate::report::broker_use::BrokerUse;
use crate::versus::contestant::Running;

/// Length of the window in which system calls are counted. It lies in the warm-up: the kernel
/// takes a little longer for each while it counts.
const CALLS_WINDOW: Duration = Duration::from_secs(1);

/// From the start of `perf` to the end of the warm-up: the window, and time to attach to hundreds
/// of threads.
pub const CALLS_BEFORE: Duration = Duration::from_millis(1_700);

/// Longest time that `perf` may take.
const CALLS_LIMIT: Duration = Duration::from_secs(20);

/// What is counted: one for each system call of any thread.
const CALLS_EVENT: &str = "raw_syscalls:sys_enter";

/// What the counted time took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// By the broker on a message; its system calls are from a second of the warm-up, where `perf`
    /// tells them.
    pub broker: Option<BrokerUse>,
    /// By the broker, in percent of a core.
    pub core_percent: f64,
    /// By the host, in percent of the CPU time of all cores.
    pub stolen_percent: Option<f64>,
}

impl Spent {
    /// The same with the system calls of a message.
    pub fn with_calls(self, system_calls_per_message: Option<f64>) -> Self {
        let with = |broker| BrokerUse { system_calls_per_message, ..broker };
        Self { broker: self.broker.map(with), ..self }
    }
}

/// What was used on a message; none without messages.
fn on_message(used: Used) -> Option<BrokerUse> {
    (used.messages > 0).then(|| BrokerUse::of(used))
}

/// What the processes of a broker have used, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    at: Instant,
    usage: process::Usage,
    messages: u64,
    device: Option<DeviceUse>,
    machine: Machine,
}

impl Look {
    /// Looks when `messages` are counted. CPU time is of this moment, device and machine a little
    /// later.
    pub async fn of(broker: &Watched, messages: u64) -> Self {
        let (at, usage) = (Instant::now(), program::usage_of(&broker.pids));
        let device = DeviceUse::under(&broker.store).await;
        Self { at, usage, messages, device, machine: Machine::look().await }
    }

    /// Messages since `from`.
    pub fn messages_since(&self, from: &Self) -> u64 {
        self.messages.saturating_sub(from.messages)
    }

    /// What was spent since `from`.
    pub fn spent_since(&self, from: &Self) -> Spent {
        let messages = self.messages_since(from);
        let device = self.device.zip(from.device).map(|(now, then)| now.since(then));
        let used = Used { device, ..Used::between(from.usage, self.usage, messages) };
        let seconds = self.at.saturating_since(from.at).as_secs_f64();
        Spent {
            broker: on_message(used),
            core_percent: 100.0 * used.cpu.as_secs_f64() / seconds.max(1e-9),
            stolen_percent: self.machine.since(&from.machine).strain().steal_percent,
        }
    }
}

/// What of a broker is looked at.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Its processes.
    pub pids: Vec<u32>,
    /// The directory of its files.
    pub store: PathBuf,
}

impl Watched {
    /// A broker of the race.
    pub fn of(running: &Running) -> Self {
        Self { pids: running.pids().to_vec(), store: running.home().to_owned() }
    }
}

/// Looks at a broker while a load runs on it.
pub struct Watch {
    broker: Watched,
    load: Rc<Load>,
    calls: Rc<Cell<Option<f64>>>,
    from: Rc<Cell<Option<Look>>>,
    until: Rc<Cell<Option<Look>>>,
    /// They end with it.
    tasks: Vec<Task<()>>,
}

impl Watch {
    /// Begins with the load: looks at the end of the warm-up and at that of the counted time.
    /// System calls are counted where `perf` may; what it says goes to a file that begins with
    /// `prefix`.
    pub fn start(broker: Watched, load: &Rc<Load>, timing: Timing, prefix: &Path) -> Self {
        let mut watch = Self {
            broker,
            load: load.clone(),
            calls: Rc::default(),
            from: Rc::default(),
            until: Rc::default(),
            tasks: Vec::new(),
        };
        watch.tasks.push(task::spawn("bench looks", watch.looks(timing)));
        if let Some(wait) = timing.warm_up.checked_sub(CALLS_BEFORE) {
            let log = with_extension(prefix, "perf.log");
            watch.tasks.push(task::spawn("bench perf", watch.counts(wait, log)));
        }
        watch
    }

    fn looks(&self, timing: Timing) -> impl Future<Output = ()> + 'static {
        let (broker, load) = (self.broker.clone(), self.load.clone());
        let (from, until) = (self.from.clone(), self.until.clone());
        let end_of_warm_up = Instant::now() + timing.warm_up;
        async move {
            task::sleep_until(end_of_warm_up).await;
            from.set(Some(Look::of(&broker, load.messages()).await));
            task::sleep_until(end_of_warm_up + timing.duration).await;
            until.set(Some(Look::of(&broker, load.messages()).await));
        }
    }

    fn counts(&self, wait: Duration, log: PathBuf) -> impl Future<Output = ()> + 'static {
        let (pids, load) = (self.broker.pids.clone(), self.load.clone());
        let calls = self.calls.clone();
        async move {
            task::sleep(wait).await;
            let messages = async || Some(load.messages());
            calls.set(system_calls_per_message(&pids, messages, &log).await);
        }
    }

    /// What was spent in the counted time, which ends now if it has not: the broker must still be
    /// there. Nothing, if it ended within the warm-up.
    pub async fn finish(self) -> Spent {
        let until = match self.until.get() {
            Some(look) => look,
            None => Look::of(&self.broker, self.load.messages()).await,
        };
        self.spent_until(until).unwrap_or_default()
    }

    fn spent_until(&self, until: Look) -> Option<Spent> {
        let from = self.from.get()?;
        Some(until.spent_since(&from).with_calls(self.calls.get()))
    }
}

/// Counts for a second; none without `perf`, without its permission, or without messages, of which
/// `messages` tells how many there were so far.
pub async fn system_calls_per_message(
    pids: &[u32],
    messages: impl AsyncFn() -> Option<u64>,
    log: &Path,
) -> Option<f64> {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let (pids, seconds) = (pids.join(","), CALLS_WINDOW.as_secs().to_string());
    let words = ["perf", "stat", "-x,", "-e", CALLS_EVENT, "-p", &pids, "sleep", &seconds];
    let (began, before) = (Instant::now(), messages().await?);
    let output = Program::start("perf", &words, log).ok()?.wait(CALLS_LIMIT).await.ok()?;
    let messages = messages().await?.saturating_sub(before);
    let per_second = messages as f64 / began.elapsed().as_secs_f64();
    let calls = counted(&output)? as f64 / CALLS_WINDOW.as_secs_f64();
    (messages > 0).then(|| calls / per_second)
}

/// A line of `perf stat -x,` begins with the count.
fn counted(output: &str) -> Option<u64> {
    let line = output.lines().find(|line| line.contains(CALLS_EVENT))?;
    line.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_perf_is_read_and_its_refusal_is_none() {
        assert_eq!(counted("109,,raw_syscalls:sys_enter,1751877,100.00,,\n"), Some(109));
        assert_eq!(counted("<not supported>,,raw_syscalls:sys_enter,0,100.00,,"), None);
        assert_eq!(counted("No permission to enable raw_syscalls:sys_enter event."), None);
        assert_eq!(counted(""), None);
    }
}
