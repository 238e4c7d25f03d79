//! One measured run after another: connections, load, and what the broker used meanwhile.

use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::{self, Instant};
use ringmq_runtime::process::{self, Scheduling};

use crate::args::load::{OutputArgs, PaceArgs};
use crate::driver::Load;
use crate::error::BenchError;
use crate::observe::{DeviceUse, Meanwhile, Observed};
use crate::record::tally::{LogTime, Tally};
use crate::report::live;
use crate::stages::{BrokerStages, Traced};
use crate::stop;
use crate::target::Target;

/// One repetition.
#[derive(Debug, Default)]
pub struct Measured {
    /// What was counted.
    pub tally: Tally,
    /// What the broker's processes used, where these are known.
    pub used: Option<Used>,
    /// What the machine did meanwhile, where that was watched.
    pub meanwhile: Option<Meanwhile>,
    /// The stages of sends in the counted time, where the brokers were asked to time them.
    pub stages: Vec<BrokerStages>,
}

impl Measured {
    /// What was counted of a load, where nobody looked at broker and machine.
    pub fn of(tally: Tally) -> Self {
        Self { tally, ..Self::default() }
    }
}

/// What a broker used for some messages, the warm-up included.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// User and system time.
    pub cpu: Duration,
    /// Resident memory at the end.
    pub rss_bytes: u64,
    /// Of it that of mapped files and shared memory.
    pub rss_files_bytes: u64,
    /// What the scheduler did with its threads.
    pub scheduling: Scheduling,
    /// Flushes of its logs; none when it does not tell.
    pub flushes: Option<u64>,
    /// What the device under its files did; none where the kernel does not tell.
    pub device: Option<DeviceUse>,
    /// The messages.
    pub messages: u64,
}

impl Used {
    /// What a process used for `messages` between two moments, as far as its own counters go.
    pub fn between(before: process::Usage, after: process::Usage, messages: u64) -> Self {
        let process::Usage { cpu, rss_bytes, rss_files_bytes, scheduling } = after.since(before);
        let (flushes, device) = (None, None);
        Self { cpu, rss_bytes, rss_files_bytes, scheduling, flushes, device, messages }
    }

    /// Both together.
    pub fn and(self, later: Self) -> Self {
        Self {
            cpu: self.cpu + later.cpu,
            rss_bytes: later.rss_bytes,
            rss_files_bytes: later.rss_files_bytes,
            scheduling: self.scheduling.and(later.scheduling),
            flushes: self.flushes.zip(later.flushes).map(|(one, other)| one + other),
            device: self.device.zip(later.device).map(|(one, other)| one.and(other)),
            messages: self.messages + later.messages,
        }
    }
}

/// The time since the first repetition began, for the logs of all of them.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    started_unix_ms: i64,
    keeps_log: bool,
}

impl Clock {
    /// Starts now; logs are kept when files are asked for.
    pub fn start(output: &OutputArgs) -> Self {
        Self {
            started: Instant::now(),
            started_unix_ms: clock::unix_ms(),
            keeps_log: output.output.is_some(),
        }
    }

    /// A tally for the repetition at that pace that begins now.
    pub fn tally(self, pace: &PaceArgs) -> Tally {
        let began = LogTime { base_unix_ms: self.started_unix_ms, offset: self.started.elapsed() };
        let tally = match self.keeps_log {
            true => Tally::with_interval_log(began),
            false => Tally::default(),
        };
        tally.with_steps(&pace.steps())
    }
}

/// Runs `pace.repeat` times, each time with the load that `connect` makes of the repetition's
/// number, counted from 0. With `traces_stages` the brokers time the stages of sends.
///
/// # Errors
/// Those of `connect`, and of brokers that do not let themselves be traced.
pub async fn repeat(
    target: &Target,
    pace: &PaceArgs,
    output: &OutputArgs,
    traces_stages: bool,
    connect: impl AsyncFn(u32) -> Result<Rc<Load>, BenchError>,
) -> Result<Vec<Measured>, BenchError> {
    let clock = Clock::start(output);
    let mut all = Vec::new();
    stop::table_follows();
    for repetition in 0..pace.repeat {
        if stop::is_requested() {
            break;
        }
        if pace.repeat > 1 {
            eprintln!("repetition {} of {}", repetition + 1, pace.repeat);
        }
        let load = connect(repetition).await?;
        let traced = traces_stages.then(|| Traced::start(target, pace.warm_up));
        let measured = once(target, pace, &load, clock.tally(pace)).await;
        let stages = match traced {
            Some(traced) => traced.finish().await?,
            None => Vec::new(),
        };
        all.push(Measured { stages, ..measured });
    }
    Ok(all)
}

/// Runs `load` and looks at the broker before and after.
pub async fn once(target: &Target, pace: &PaceArgs, load: &Rc<Load>, tally: Tally) -> Measured {
    if let Some(messages) = pace.messages {
        load.stop_after(messages);
    }
    let before = Observed::of(target).await;
    let tally = load.run(pace.timing(), tally, live::line).await;
    let after = Observed::of(target).await;
    let used = after.used_since(&before, load.messages());
    let meanwhile = Some(after.meanwhile_since(&before));
    Measured { tally, used, meanwhile, stages: Vec::new() }
}
