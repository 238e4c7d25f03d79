//! The stages of sends as the brokers themselves time them, beside what bench sees from outside.
//!
//! A broker times them while its setting `sendStageTracing` is on, from zero each time it is turned
//! on: bench does so when the warm-up is over, reads them at the end, and leaves the setting as it
//! was. A broker that does not know the setting tells nothing.

use std::time::Duration;

use ringmq_protocol::bodies::send_stage::SendStage;
use ringmq_runtime::task::{self, Task};
use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::record::latencies::beyond;
use crate::target::Target;
use crate::target::caller::Caller;

/// The setting that turns it on.
pub const SETTING: &str = "sendStageTracing";

/// What one broker tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerStages {
    /// Its address.
    pub broker: String,
    /// Its stages in their order, those of all shards together first; none when it does not time
    /// them.
    pub stages: Vec<Stage>,
}

/// How long the sends took for one stage, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// The shard that timed it; none: all of them together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// Its name.
    pub stage: String,
    /// Sends that passed it.
    pub count: u64,
    /// Mean time.
    pub mean_us: f64,
    /// Half of the sends were faster; none if no send was slower, as of those that follow.
    pub p50_us: Option<f64>,
    /// 99 of 100 were faster.
    pub p99_us: Option<f64>,
    /// 999 of 1,000 were faster.
    pub p999_us: Option<f64>,
    /// The slowest.
    pub max_us: f64,
}

impl From<SendStage> for Stage {
    fn from(told: SendStage) -> Self {
        let SendStage { shard, stage, count, mean_us, p50_us, p99_us, p999_us, max_us } = told;
        let known = |us: f64, percentile| (beyond(count, percentile) > 0).then_some(us);
        Self {
            shard,
            stage,
            count,
            mean_us,
            p50_us: known(p50_us, 50.0),
            p99_us: known(p99_us, 99.0),
            p999_us: known(p999_us, 99.9),
            max_us,
        }
    }
}

/// The brokers of a run that time their stages.
pub struct Traced {
    starting: Task<Result<Vec<TracedBroker>, BenchError>>,
}

struct TracedBroker {
    addr: String,
    /// Somebody had it on before.
    was_on: bool,
}

impl Traced {
    /// Has all brokers begin at zero when `warm_up` is over.
    pub fn start(target: &Target, warm_up: Duration) -> Self {
        let brokers: Vec<_> = (0..target.broker_count())
            .map(|broker| target.broker_addr(broker).to_owned())
            .collect();
        let starting = async move {
            task::sleep(warm_up).await;
            let mut traced = Vec::new();
            for addr in brokers {
                let mut caller = Caller::connect(&addr).await?;
                let was_on = !read(&mut caller).await?.is_empty();
                if was_on {
                    switch(&mut caller, false).await?;
                }
                switch(&mut caller, true).await?;
                traced.push(TracedBroker { addr, was_on });
            }
            Ok(traced)
        };
        Self { starting: task::spawn("stage tracing", starting) }
    }

    /// What they have timed since; nothing when the run ended within the warm-up.
    ///
    /// # Errors
    /// A broker cannot be reached, or refuses.
    pub async fn finish(self) -> Result<Vec<BrokerStages>, BenchError> {
        if !self.starting.is_finished() {
            return Ok(Vec::new());
        }
        let mut told = Vec::new();
        for TracedBroker { addr, was_on } in self.starting.await? {
            let mut caller = Caller::connect(&addr).await?;
            let stages = read(&mut caller).await?;
            if !was_on {
                switch(&mut caller, false).await?;
            }
            let stages = stages.into_iter().map(Stage::from).collect();
            told.push(BrokerStages { broker: addr, stages });
        }
        Ok(told)
    }
}

async fn read(caller: &mut Caller) -> Result<Vec<SendStage>, BenchError> {
    Ok(SendStage::read_all(&caller.runtime_information().await?))
}

async fn switch(caller: &mut Caller, is_on: bool) -> Result<(), BenchError> {
    caller.change_setting(SETTING, if is_on { "true" } else { "false" }).await
}
