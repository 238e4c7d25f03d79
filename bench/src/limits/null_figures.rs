//! The null broker beside a run: loaded for a moment as the run loads the broker.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::args::commands::{EndToEndArgs, IdleArgs};
use crate::args::load::{LoadArgs, PaceArgs};
use crate::driver::schedule::Arrivals;
use crate::end_to_end;
use crate::error::BenchError;
use crate::limits::null_load::NullLoad;
use crate::limits::sample::Sample;
use crate::limits::{NULL_BROKER_CORE, PULLS, SENDS};
use crate::measure::Measured;
use crate::record::tally::Tally;
use crate::report::outcome::{Outcome, is_behind};
use crate::stop;
use crate::target::Target;
use crate::target::scratch::Scratch;
use crate::workload::pull::PullPlan;

/// How long it is loaded: not counted, and counted.
const WARM_UP: Duration = Duration::from_millis(500);
const DURATION: Duration = Duration::from_millis(2_000);

/// Most that it reads from the device: half a second of a fast one, and seconds of others.
const COLD_MAX_BYTES: u64 = 512 << 20;

/// And how long, at most.
const COLD_LIMIT: Duration = Duration::from_secs(60);

/// The finest percentile that is told of it.
const FINEST: f64 = 99.0;

/// What the files begin with that have the words of the tools then.
const TOOLS: &str = "page-cache-null";

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
    /// Median from the intended time; none if it rests on no value.
    pub p50_us: Option<f64>,
    /// 99 of 100.
    pub p99_us: Option<f64>,
    /// Messages per second in a closed loop over the same connections with as many requests in
    /// flight, where the highest rate of an open loop is compared with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_loop_per_second: Option<f64>,
    /// Messages that it was sent and that never arrived, if they were so many that its latencies
    /// say nothing; there are none then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

fn sends() -> String {
    SENDS.to_owned()
}

impl NullBroker {
    /// What one does under the sends of `load`, with its file beside those in `store`.
    ///
    /// # Errors
    /// The directory cannot be written, or its process or a connection fails.
    pub async fn under_sends(
        target: &Target,
        store: &Path,
        load: &LoadArgs,
    ) -> Result<Self, BenchError> {
        let durability = load.target.broker.flush.into();
        let measured = beside(target, store, brief(&load.pace), async |null| {
            null.sends(durability, &load.message, |_, _| ()).await
        });
        Ok(Self::of(SENDS, &measured.await?))
    }

    /// What one does under the sends of an end-to-end run that delivers them: by the ages of the
    /// messages when they arrive, and by their acknowledgements.
    ///
    /// # Errors
    /// As for [`NullBroker::under_sends`].
    pub async fn under_deliveries(
        target: &Target,
        store: &Path,
        args: &EndToEndArgs,
    ) -> Result<(Self, Self), BenchError> {
        let durability = args.load.target.broker.flush.into();
        let mut sends = Measured::default();
        let delivered = beside(target, store, brief(&args.load.pace), async |null| {
            let (delivered, tally) = null.deliveries(durability, args).await?;
            sends.tally = tally;
            Ok(delivered)
        });
        let delivered = delivered.await?;
        let delivered = Self::of_deliveries(&sends.tally, &delivered);
        Ok((delivered, Self::of(SENDS, &sends)))
    }

    /// What one does that answers the pulls of `plan` as the broker answered the run.
    ///
    /// # Errors
    /// As for [`NullBroker::under_sends`].
    pub async fn under_pulls(
        target: &Target,
        store: &Path,
        pace: &PaceArgs,
        plan: &PullPlan,
        sample: &Sample,
    ) -> Result<Self, BenchError> {
        let measured =
            beside(target, store, brief(pace), async |null| null.pulls(plan, &sample.bytes).await);
        Ok(Self::of(PULLS, &measured.await?))
    }

    /// The same of pulls of what is in no cache: as much as one of `runs` has read, with a bound,
    /// read once.
    ///
    /// # Errors
    /// As for [`NullBroker::under_sends`]; a tool is missing.
    pub async fn under_cold_pulls(
        target: &Target,
        store: &Path,
        pace: &PaceArgs,
        plan: &PullPlan,
        sample: &Sample,
        runs: &[Measured],
    ) -> Result<Self, BenchError> {
        let read: u64 = runs.iter().map(|run| run.tally.messages()).sum();
        let of_one = read.div_ceil(runs.len() as u64 * sample.messages);
        let count = of_one.clamp(1, (COLD_MAX_BYTES / sample.bytes.len() as u64).max(1));
        let pace = PaceArgs { warm_up: Duration::ZERO, duration: COLD_LIMIT, ..pace.clone() };
        let tools = store.join(TOOLS);
        let measured = beside(target, store, pace, async |null| {
            Ok(null.cold_pulls(plan, &sample.bytes, count, &tools).await?.0)
        });
        Ok(Self::of(PULLS, &measured.await?))
    }

    /// Of what arrived of the messages that were `sent`.
    fn of_deliveries(sent: &Tally, delivered: &Measured) -> Self {
        let all = Self::of(end_to_end::LATENCY_OF, delivered);
        let lost = lost(sent, &delivered.tally);
        match is_behind(lost, delivered.tally.total.messages, FINEST) {
            true => Self { p50_us: None, p99_us: None, lost: Some(lost), ..all },
            false => all,
        }
    }

    fn of(latency_of: &str, measured: &Measured) -> Self {
        let outcome = Outcome::of_run(measured);
        Self {
            latency_of: latency_of.to_owned(),
            messages_per_second: outcome.messages_per_second,
            cpu_us_per_message: outcome.broker.map_or(0.0, |broker| broker.cpu_us_per_message),
            p50_us: outcome.response.percentile_us("p50"),
            p99_us: outcome.response.percentile_us("p99"),
            closed_loop_per_second: None,
            lost: None,
        }
    }
}

/// Messages that were sent and never arrived: those that lack in time and with what came late. What
/// is on its way when the producers end, or the consumers, lacks in one of the two only.
fn lost(sent: &Tally, arrived: &Tally) -> u64 {
    let in_time = sent.messages().saturating_sub(arrived.messages());
    in_time.min(sent.total.messages.saturating_sub(arrived.total.messages))
}

/// CPU time, in microseconds, that a null broker spends on a pull that it answers at once with
/// nothing, from as many pulls in flight: what a pull that waits for nothing costs at least. None
/// when a signal came.
///
/// # Errors
/// As for [`NullBroker::under_sends`].
pub async fn empty_pull_cpu_us(
    target: &Target,
    store: &Path,
    args: &IdleArgs,
    plan: &PullPlan,
) -> Result<Option<f64>, BenchError> {
    let pace = PaceArgs {
        connections: args.connections,
        depth: args.depth,
        rate: Vec::new(),
        arrivals: Arrivals::Constant,
        // All answers are counted, as all CPU time is.
        warm_up: Duration::ZERO,
        duration: DURATION,
        messages: None,
        repeat: 1,
        header: args.header,
    };
    let measured = beside(target, store, pace, async |null| null.pulls(plan, &[]).await).await?;
    let answers = measured.tally.total.empty;
    let cpu_us = measured.used.map(|used| used.cpu.as_secs_f64() * 1e6 / answers as f64);
    Ok(cpu_us.filter(|_| answers > 0 && !stop::is_requested()))
}

/// Has a null broker loaded by the clients of the run, on the first core of a broker of ours; its
/// files go with it.
async fn beside(
    target: &Target,
    store: &Path,
    pace: PaceArgs,
    load: impl AsyncFnOnce(NullLoad<'_>) -> Result<Measured, BenchError>,
) -> Result<Measured, BenchError> {
    let mut scratch = Scratch::new_in(store).await?;
    let (directory, clients) = (scratch.path(), target.clients());
    let null = NullLoad {
        directory,
        core: NULL_BROKER_CORE,
        clients,
        pace: &pace,
        watch: &|_, _| Box::pin(async {}),
        tally: &Tally::default,
    };
    let measured = load(null).await?;
    scratch.remove_at_end();
    Ok(measured)
}

/// The same load for a moment.
fn brief(pace: &PaceArgs) -> PaceArgs {
    PaceArgs { warm_up: WARM_UP, duration: DURATION, ..pace.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::window::Window;

    /// A counted second with `in_time` messages, and `late` ones that came after it.
    fn tally(in_time: u64, late: u64) -> Tally {
        let window = |messages| {
            let mut window = Window::default();
            let latency = Duration::from_micros(100);
            (0..messages).for_each(|_| window.success(latency, latency, 1, 10));
            window
        };
        let mut tally = Tally::default();
        tally.add(&window(in_time), Duration::ZERO, Duration::from_secs(1), 0);
        tally.add_late(&window(late), Duration::from_secs(1), Duration::ZERO);
        tally
    }

    #[test]
    fn a_null_broker_that_lost_messages_has_no_latency_of_deliveries() {
        let of = |sent: (u64, u64), arrived: (u64, u64)| {
            let tally_of = |(in_time, late)| tally(in_time, late);
            let delivered = Measured::of(tally_of(arrived));
            let null = NullBroker::of_deliveries(&tally_of(sent), &delivered);
            assert_eq!(null.p50_us.is_none(), null.p99_us.is_none());
            assert_eq!(null.p50_us.is_none(), null.lost.is_some());
            null.lost
        };
        assert_eq!(of((10_000, 0), (10_000, 0)), None);
        assert_eq!(of((10_000, 10), (9_000, 0)), Some(1_000));
        assert_eq!(of((10_000, 0), (9_950, 0)), None, "one in a hundred is a moment");
        assert_eq!(of((10_000, 0), (9_000, 1_000)), None, "they came late");
        assert_eq!(of((10_000, 2_000), (10_000, 500)), None, "they were on their way at the end");
    }
}
