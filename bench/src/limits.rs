//! What the machine allows, measured in the same run as the broker: no latency is below the sum of
//! a round trip and a write, and no throughput above that of a broker that only collects, writes,
//! answers and delivers.
//!
//! The null broker gets the load that the broker gets: its sends before the run, its pulls after
//! it, since only then the size of an answer is known; both while the broker writes nothing itself.
//! Beside a running cluster there is no null broker, which would measure this machine and not that
//! one's: there the way to the brokers and back stands as floor.

pub mod bracket;
pub mod cold_answers;
pub mod command;
mod comparison;
mod delivery;
pub mod device;
pub mod floor;
mod machine;
mod memory;
pub mod null_broker;
pub mod null_figures;
pub mod null_load;
mod null_server;
mod prepared;
pub mod round_trip;
pub mod sample;
#[cfg(test)]
pub mod tests;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::args::commands::EndToEndArgs;
use crate::args::load::{LoadArgs, PaceArgs};
use crate::error::BenchError;
use crate::limits::floor::{Floor, PullFloor, SendFloor};
use crate::limits::null_figures::NullBroker;
use crate::limits::null_server::Ends;
use crate::limits::round_trip::RoundTrip;
use crate::limits::sample::Sample;
use crate::measure::Measured;
use crate::stop;
use crate::target::Target;
use crate::workload::pull::{PullPlan, Reading};

/// How long each limit is measured: about 10,000 samples on a fast machine.
const MEASURED: Duration = Duration::from_millis(500);

/// One write of the device test: what a lone 1 KiB message costs on a 4 KiB sector.
const WRITE_SIZE_BYTES: usize = 4096;

/// Core of the null broker, the first one of a broker of ours.
pub const NULL_BROKER_CORE: usize = 0;

/// What the latencies of sends are called in reports.
pub const SENDS: &str = "send us";

/// What the latencies of pulls are called there.
pub const PULLS: &str = "pull us";

/// What the ages of messages are called that somebody sends.
pub const AGES: &str = "age us";

/// What the null broker did of a load, and of what ran beside that.
type NullBrokers = (NullBroker, Option<NullBroker>);

/// What a report stands beside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// What a lone request cannot be faster than.
    #[serde(flatten)]
    pub floor: Floor,
    /// The null broker under the same load and policy; none beside a running cluster.
    #[serde(default)]
    pub null_broker: Option<NullBroker>,
    /// What it did of the load that ran beside: the sends of an end-to-end run, whose CPU time is
    /// that of its deliveries; or alone of the reads beside sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_beside: Option<NullBroker>,
}

impl Limits {
    /// Measures them for the sends of a load; none where nobody wants them.
    ///
    /// # Errors
    /// The directory cannot be written, or processes or connections of our own fail.
    pub async fn of_sends(target: &Target, load: &LoadArgs) -> Result<Option<Self>, BenchError> {
        let null_broker =
            async |store| Ok((NullBroker::under_sends(target, store, load).await?, None));
        Self::of_producers(target, load, null_broker).await
    }

    /// As [`Limits::of_sends`], of a null broker that delivers what it is sent.
    ///
    /// # Errors
    /// As for [`Limits::of_sends`].
    pub async fn of_deliveries(
        target: &Target,
        args: &EndToEndArgs,
    ) -> Result<Option<Self>, BenchError> {
        let null_broker = async |store| {
            let (delivered, sent) = NullBroker::under_deliveries(target, store, args).await?;
            Ok((delivered, Some(sent)))
        };
        Self::of_producers(target, &args.load, null_broker).await
    }

    /// `null_broker` tells what that did, and what beside.
    async fn of_producers<'t>(
        target: &'t Target,
        load: &LoadArgs,
        null_broker: impl AsyncFnOnce(&'t Path) -> Result<NullBrokers, BenchError>,
    ) -> Result<Option<Self>, BenchError> {
        if load.no_limits || stop::is_requested() {
            return Ok(None);
        }
        let Some(store) = target.store() else { return Self::of_network(target).await };
        announce();
        target.rest().await;
        let flush = load.target.broker.flush;
        let ends = Ends::of_run(NULL_BROKER_CORE, target.clients());
        let floor = SendFloor::measure(&ends, &load.message, store, flush).await?;
        let (null_broker, null_beside) = null_broker(store).await?;
        let null_broker = Some(null_broker);
        Ok(Self { floor: Floor::Send(floor), null_broker, null_beside }.unless_stopped())
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
            let at_most = NullBroker::under_sends(target, store, &closed).await?;
            null_broker.closed_loop_per_second = Some(at_most.messages_per_second);
        }
        Ok(limits.and_then(Self::unless_stopped))
    }

    /// Measures them for pulls like those of `runs`, when these are over; none where nobody wants
    /// them, nothing was read, or it was read as it arrived. Where the runs were `cold` the null
    /// broker reads from the device as well.
    ///
    /// # Errors
    /// As for [`Limits::of_sends`].
    pub async fn of_pulls(
        target: &Target,
        load: &LoadArgs,
        plan: &PullPlan,
        runs: &[Measured],
        cold: bool,
    ) -> Result<Option<Self>, BenchError> {
        if load.no_limits || stop::is_requested() {
            return Ok(None);
        }
        let Some(store) = target.store() else { return Self::of_network(target).await };
        // How much arrives is up to whoever sends it, and how old it is, too.
        if matches!(plan.reading, Reading::Tail | Reading::TailOf(_)) {
            return Ok(None);
        }
        let Some(sample) = Sample::like(target, runs).await? else { return Ok(None) };
        announce();
        target.rest().await;
        let ends = Ends::of_run(NULL_BROKER_CORE, target.clients());
        let floor = PullFloor::measure(&ends, plan, &sample, store).await?;
        let pace = &load.pace;
        let null_broker = match cold {
            true => NullBroker::under_cold_pulls(target, store, pace, plan, &sample, runs).await?,
            false => NullBroker::under_pulls(target, store, pace, plan, &sample).await?,
        };
        let (floor, null_broker) = (Floor::Pull(floor), Some(null_broker));
        Ok(Self { floor, null_broker, null_beside: None }.unless_stopped())
    }

    /// The same for `load` with what the null broker does alone of reads like those of `runs`,
    /// which ran beside it on `readers` connections.
    ///
    /// # Errors
    /// As for [`Limits::of_sends`].
    pub async fn with_reads(
        self,
        target: &Target,
        load: &LoadArgs,
        readers: u32,
        plan: &PullPlan,
        runs: &[Measured],
    ) -> Result<Self, BenchError> {
        let (Some(store), false) = (target.store(), stop::is_requested()) else { return Ok(self) };
        let Some(sample) = Sample::like(target, runs).await? else { return Ok(self) };
        target.rest().await;
        let pace =
            PaceArgs { connections: readers, depth: 1, rate: Vec::new(), ..load.pace.clone() };
        let null = NullBroker::under_pulls(target, store, &pace, plan, &sample).await?;
        // A signal meanwhile has cut only this short.
        let null_beside = (!stop::is_requested()).then_some(null);
        Ok(Self { null_beside, ..self })
    }

    async fn of_network(target: &Target) -> Result<Option<Self>, BenchError> {
        announce();
        let round_trips = RoundTrip::measure_all(target).await?;
        let floor = Floor::Remote { round_trips };
        Ok(Some(Self { floor, null_broker: None, null_beside: None }))
    }

    /// None when a signal came: loads end then before they have measured anything.
    fn unless_stopped(self) -> Option<Self> {
        (!stop::is_requested()).then_some(self)
    }
}

/// Says that limits are measured, which takes some seconds.
pub fn announce() {
    eprintln!("measuring the limits of the machine");
}
