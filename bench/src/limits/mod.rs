//! What the machine allows, measured in the same run as the broker: a latency below the sum of a
//! round trip and a write is not to be had, nor more throughput than a broker has that only
//! collects, writes and answers.
//!
//! The null broker gets the load that the broker gets: its sends before the run, its pulls after
//! it, since only then the size of an answer is known. Beside a running cluster there is no null
//! broker, which would measure this machine and not that one's: there the way to the brokers and
//! back stands as floor.

pub mod bracket;
pub mod command;
pub mod device;
pub mod floor;
mod memory;
pub mod null_broker;
pub mod null_load;
mod null_server;
mod prepared;
pub mod round_trip;
pub mod sample;
#[cfg(test)]
pub mod tests;

use std::path::Path;
use std::time::Duration;

use comfy_table::Table;
use serde::{Deserialize, Serialize};

use crate::args::load::{HeaderForm, LoadArgs, PaceArgs};
use crate::driver::schedule::Arrivals;
use crate::error::BenchError;
use crate::limits::floor::{Floor, PullFloor, SendFloor};
use crate::limits::null_load::Sides;
use crate::limits::round_trip::RoundTrip;
use crate::limits::sample::Sample;
use crate::measure::Measured;
use crate::report::{Outcome, table};
use crate::stop;
use crate::target::Target;
use crate::target::scratch::Scratch;
use crate::workload::pull::{PullPlan, Reading};

/// How long each limit is measured: about 10,000 samples on a fast machine.
const MEASURED: Duration = Duration::from_millis(500);

/// One write of the device test: what a lone 1 KiB message costs on a 4 KiB sector.
const WRITE_SIZE_BYTES: usize = 4096;

/// How long the null broker is loaded beside a run: not counted, and counted.
const NULL_BROKER_TIMES: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_millis(2_000));

/// Core of the null broker, the first one of a broker of ours.
pub const NULL_BROKER_CORE: usize = 0;

/// What the latencies of sends are called in reports.
pub const SENDS: &str = "send us";

/// What the latencies of pulls are called there.
pub const PULLS: &str = "pull us";

/// What a report stands beside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// What a lone request cannot be faster than.
    #[serde(flatten)]
    pub floor: Floor,
    /// The null broker under the same load and policy; none beside a running cluster.
    #[serde(default)]
    pub null_broker: Option<NullBroker>,
}

/// What the null broker did under a load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NullBroker {
    /// What its latencies are of: it stands beside the loads of a report that have the same.
    #[serde(default = "sends")]
    pub latency_of: String,
    /// Messages answered per second.
    pub messages_per_second: f64,
    /// User and system CPU time per message, in microseconds.
    pub cpu_us_per_message: f64,
    /// Median from the intended time.
    pub p50_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
    /// Messages per second in a closed loop over the same connections with as many requests in
    /// flight, where the highest rate of an open loop is compared with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_loop_per_second: Option<f64>,
}

fn sends() -> String {
    SENDS.to_owned()
}

impl Limits {
    /// Measures them for the sends of a load; none where nobody wants them.
    ///
    /// # Errors
    /// The directory cannot be written, or processes or connections of our own fail.
    pub async fn of_sends(target: &Target, load: &LoadArgs) -> Result<Option<Self>, BenchError> {
        if load.no_limits || stop::is_requested() {
            return Ok(None);
        }
        eprintln!("measuring the limits of the machine");
        let Some(store) = target.store() else { return Self::of_network(target).await };
        let flush = load.target.broker.flush;
        let floor = SendFloor::measure(&load.message, store, flush).await?;
        let null_broker = NullBroker::under_sends(target, load, store).await?;
        Ok(Self { floor: Floor::Send(floor), null_broker: Some(null_broker) }.unless_stopped())
    }

    /// As [`Limits::of_sends`], also with what the null broker does in a closed loop: no rate of
    /// the same load on any broker can be higher. A search for the null broker's own knee would
    /// find less than that and take minutes.
    ///
    /// # Errors
    /// As for [`Limits::of_sends`].
    pub async fn of_knee(target: &Target, load: &LoadArgs) -> Result<Option<Self>, BenchError> {
        let mut limits = Self::of_sends(target, load).await?;
        let null_broker = limits.as_mut().and_then(|limits| limits.null_broker.as_mut());
        if let (Some(null_broker), Some(store)) = (null_broker, target.store()) {
            let pace = PaceArgs { rate: Vec::new(), ..load.pace.clone() };
            let closed = LoadArgs { pace, ..load.clone() };
            let at_most = NullBroker::under_sends(target, &closed, store).await?;
            null_broker.closed_loop_per_second = Some(at_most.messages_per_second);
        }
        Ok(limits.and_then(Self::unless_stopped))
    }

    /// Measures them for pulls like those of `runs`, when these are over; none where nobody wants
    /// them, nothing was read, or it was read as it arrived.
    ///
    /// # Errors
    /// As for [`Limits::of_sends`].
    pub async fn of_pulls(
        target: &Target,
        load: &LoadArgs,
        plan: &PullPlan,
        runs: &[Measured],
    ) -> Result<Option<Self>, BenchError> {
        if load.no_limits || stop::is_requested() {
            return Ok(None);
        }
        eprintln!("measuring the limits of the machine");
        let Some(store) = target.store() else { return Self::of_network(target).await };
        // How much arrives is up to whoever sends it, and how old it is, too.
        if plan.reading == Reading::Tail {
            return Ok(None);
        }
        let Some(sample) = Sample::like(target, runs).await? else { return Ok(None) };
        let floor = PullFloor::measure(plan, &sample, store).await?;
        let null_broker = NullBroker::under_pulls(target, load, plan, (&sample, store)).await?;
        Ok(Self { floor: Floor::Pull(floor), null_broker: Some(null_broker) }.unless_stopped())
    }

    async fn of_network(target: &Target) -> Result<Option<Self>, BenchError> {
        let round_trips = RoundTrip::measure_all(target).await?;
        Ok(Some(Self { floor: Floor::Remote { round_trips }, null_broker: None }))
    }

    /// None when a signal came: loads end then before they have measured anything.
    fn unless_stopped(self) -> Option<Self> {
        (!stop::is_requested()).then_some(self)
    }

    /// Each of some loads of a report beside the null broker, as shares and multiples; a load is
    /// its name, what its latencies are of, and what it came to. None without a null broker.
    ///
    /// The first load, the report's own, stands there whatever its latencies are of. The age of a
    /// message that a waiting consumer gets is one: as an acknowledgement, it holds the way to the
    /// broker, the write of a group, and the way to this process.
    pub fn table(&self, loads: &[(&str, &str, &Outcome)]) -> Option<Table> {
        let null = self.null_broker.as_ref()?;
        let (_, _, first) = loads.first()?;
        let is_comparable = |(index, (_, latency_of, _)): &(usize, &(&str, &str, &Outcome))| {
            *index == 0 || *latency_of == null.latency_of
        };
        let loads = loads.iter().enumerate().filter(is_comparable).map(|(_, load)| load);
        let loads: Vec<_> = loads.map(|(name, _, outcome)| (*name, *outcome)).collect();
        let mut table = table::plain();
        let mut header = vec!["under this load", "null broker"];
        header.extend(loads.iter().flat_map(|(name, _)| [*name, "of the null broker"]));
        table.set_header(header);
        for figure in figures(null, first) {
            let mut row = vec![figure.name.to_owned(), figure.text(figure.limit)];
            row.extend(loads.iter().flat_map(|(_, outcome)| figure.cells(outcome)));
            table.add_row(row);
        }
        table::align_numbers(&mut table, 1);
        Some(table)
    }
}

/// What is compared with the null broker.
struct Figure {
    name: &'static str,
    limit: f64,
    value: fn(&Outcome) -> Option<f64>,
    /// Whether more is better, which is told as a share; else as a multiple.
    is_rate: bool,
}

impl Figure {
    fn text(&self, value: f64) -> String {
        format!("{value:.*}", usize::from(!self.is_rate))
    }

    fn cells(&self, outcome: &Outcome) -> [String; 2] {
        let known = (self.value)(outcome).filter(|_| self.limit > 0.0);
        let Some(value) = known else { return [String::new(), String::new()] };
        let share = match self.is_rate {
            true => format!("{:.0} %", 100.0 * value / self.limit),
            false => format!("{:.2} x", value / self.limit),
        };
        [self.text(value), share]
    }
}

/// Everything that is compared, of a report whose own load came to `outcome`.
fn figures(null: &NullBroker, outcome: &Outcome) -> Vec<Figure> {
    // Both follow the schedule of an open loop, so there the share says nothing about either.
    let paced = if outcome.has_one_clock() { "msg/s" } else { "msg/s, as scheduled" };
    let rate = |name, limit| Figure {
        name,
        limit,
        value: |outcome| Some(outcome.messages_per_second),
        is_rate: true,
    };
    let time = |name, limit, value| Figure { name, limit, value, is_rate: false };
    let closed = null.closed_loop_per_second.map(|limit| rate("msg/s, its closed loop", limit));
    let times = [
        time("CPU us per message", null.cpu_us_per_message, |outcome| {
            outcome.broker.map(|broker| broker.cpu_us_per_message)
        }),
        time("p50 us", null.p50_us, |outcome| Some(outcome.response.percentiles_us["p50"])),
        time("p99 us", null.p99_us, |outcome| Some(outcome.response.percentiles_us["p99"])),
    ];
    [rate(paced, null.messages_per_second)].into_iter().chain(closed).chain(times).collect()
}

impl NullBroker {
    /// Loads one for a moment as the run will load the broker.
    async fn under_sends(
        target: &Target,
        load: &LoadArgs,
        store: &Path,
    ) -> Result<Self, BenchError> {
        let mut scratch = Scratch::new_in(store).await?;
        let durability = load.target.broker.flush.into();
        let pace = brief(&load.pace);
        let (path, sides, asked) = (scratch.path(), sides(target), (&pace, &load.message));
        let measured = null_load::measure(path, durability, sides, asked, |_, _| ()).await?;
        scratch.remove_at_end();
        Ok(Self::of(SENDS, &measured))
    }

    /// Has one answer for a moment as the broker answered the run.
    async fn under_pulls(
        target: &Target,
        load: &LoadArgs,
        plan: &PullPlan,
        (sample, store): (&Sample, &Path),
    ) -> Result<Self, BenchError> {
        let mut scratch = Scratch::new_in(store).await?;
        let pace = brief(&load.pace);
        let (path, sides, asked) = (scratch.path(), sides(target), (&pace, plan));
        let measured = null_load::measure_pulls(path, &sample.bytes, sides, asked).await?;
        scratch.remove_at_end();
        Ok(Self::of(PULLS, &measured))
    }

    fn of(latency_of: &str, measured: &Measured) -> Self {
        let outcome = Outcome::of_run(measured);
        Self {
            latency_of: latency_of.to_owned(),
            messages_per_second: outcome.messages_per_second,
            cpu_us_per_message: outcome.broker.map_or(0.0, |broker| broker.cpu_us_per_message),
            p50_us: outcome.response.percentiles_us["p50"],
            p99_us: outcome.response.percentiles_us["p99"],
            closed_loop_per_second: None,
        }
    }
}

/// The clients of the run, and a core for the null broker.
fn sides(target: &Target) -> Sides<'_> {
    Sides { clients: target.clients(), core: NULL_BROKER_CORE }
}

/// The same load for a moment.
fn brief(pace: &PaceArgs) -> PaceArgs {
    let (warm_up, duration) = NULL_BROKER_TIMES;
    PaceArgs { warm_up, duration, ..pace.clone() }
}

/// CPU time, in microseconds, that a null broker spends on a pull that it answers at once with
/// nothing, from `connections x depth` pulls in flight: what a pull that waits for nothing costs at
/// least. None when a signal came.
///
/// # Errors
/// The directory cannot be written, or its process or connections fail.
pub async fn empty_pull_cpu_us(
    target: &Target,
    store: &Path,
    (connections, depth): (u32, u32),
    plan: &PullPlan,
) -> Result<Option<f64>, BenchError> {
    let mut scratch = Scratch::new_in(store).await?;
    let pace = PaceArgs {
        connections,
        depth,
        rate: Vec::new(),
        arrivals: Arrivals::Constant,
        // All answers are counted, as all CPU time is.
        warm_up: Duration::ZERO,
        duration: NULL_BROKER_TIMES.1,
        messages: None,
        repeat: 1,
        header: HeaderForm::Binary,
    };
    let (path, asked) = (scratch.path(), (&pace, plan));
    let measured = null_load::measure_pulls(path, &[], sides(target), asked).await?;
    scratch.remove_at_end();
    let answers = measured.archive.total.empty;
    let cpu_us = measured.used.map(|used| used.cpu.as_secs_f64() * 1e6 / answers as f64);
    Ok(cpu_us.filter(|_| answers > 0 && !stop::is_requested()))
}
