//! The stages of sends as the brokers themselves time them, beside what bench sees from outside.
//!
//! A broker times them while its setting `sendStageTracing` is on, from zero each time it is turned
//! on: bench does so when the warm-up is over, reads them at the end, and leaves the setting as it
//! was. A broker that does not know the setting tells nothing.

use std::cell::Cell;
use std::rc::Rc;
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
    /// The warm-up is over: from now on a broker may have been told.
    has_begun: Rc<Cell<bool>>,
    starting: Task<Begun>,
}

/// What came of turning it on.
#[derive(Default)]
struct Begun {
    /// Those that may have it on.
    brokers: Vec<TracedBroker>,
    /// Why they are not all of them.
    error: Option<BenchError>,
}

struct TracedBroker {
    addr: String,
    /// Somebody had it on before.
    was_on: bool,
}

impl Traced {
    /// Has all brokers begin at zero when `warm_up` is over.
    pub fn start(target: &Target, warm_up: Duration) -> Self {
        let brokers = (0..target.broker_count())
            .map(|broker| target.broker_addr(broker).to_owned())
            .collect();
        Self::start_at(brokers, warm_up)
    }

    fn start_at(brokers: Vec<String>, warm_up: Duration) -> Self {
        let has_begun = Rc::new(Cell::new(false));
        let begins = Rc::clone(&has_begun);
        let starting = async move {
            task::sleep(warm_up).await;
            begins.set(true);
            let mut begun = Begun::default();
            for addr in brokers {
                begun.error = begin(addr, &mut begun.brokers).await.err();
                if begun.error.is_some() {
                    break;
                }
            }
            begun
        };
        Self { has_begun, starting: task::spawn("stage tracing", starting) }
    }

    /// What they have timed since; nothing when the run ended within the warm-up. The setting of
    /// each is as it was, also where others fail.
    ///
    /// # Errors
    /// A broker cannot be reached, or refuses.
    pub async fn finish(self) -> Result<Vec<BrokerStages>, BenchError> {
        if !self.has_begun.get() {
            return Ok(Vec::new());
        }
        let Begun { brokers, error } = self.starting.await;
        let mut told = Vec::new();
        for broker in brokers {
            told.push(end(broker).await);
        }
        match error {
            Some(error) => Err(error),
            None => told.into_iter().collect(),
        }
    }
}

/// Has a broker begin at zero, and adds it to those that may have the setting on.
async fn begin(addr: String, brokers: &mut Vec<TracedBroker>) -> Result<(), BenchError> {
    let mut caller = Caller::connect(&addr).await?;
    let was_on = !read(&mut caller).await?.is_empty();
    brokers.push(TracedBroker { addr, was_on });
    if was_on {
        switch(&mut caller, false).await?;
    }
    switch(&mut caller, true).await
}

/// What a broker has timed; its setting is as it was, then.
async fn end(TracedBroker { addr, was_on }: TracedBroker) -> Result<BrokerStages, BenchError> {
    let mut caller = Caller::connect(&addr).await?;
    let stages = read(&mut caller).await?;
    switch(&mut caller, was_on).await?;
    let stages = stages.into_iter().map(Stage::from).collect();
    Ok(BrokerStages { broker: addr, stages })
}

async fn read(caller: &mut Caller) -> Result<Vec<SendStage>, BenchError> {
    Ok(SendStage::read_all(&caller.runtime_information().await?))
}

async fn switch(caller: &mut Caller, is_on: bool) -> Result<(), BenchError> {
    caller.change_setting(SETTING, if is_on { "true" } else { "false" }).await
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::shards;

    use super::*;
    use crate::target::fake::Fake;

    #[test]
    fn a_run_that_ends_while_brokers_are_switched_on_leaves_none_of_them_on() {
        shards::block_on(async {
            let brokers = [Fake::start(), Fake::start()];
            let addresses = brokers.iter().map(|broker| broker.address.clone()).collect();
            let traced = Traced::start_at(addresses, Duration::ZERO);
            while *brokers[0].value.borrow() != "true" && !traced.starting.is_finished() {
                task::yield_now().await;
            }
            let told = traced.finish().await.unwrap();
            assert_eq!(told.len(), brokers.len());
            assert_eq!(brokers.map(|broker| broker.value.borrow().clone()), ["false", "false"]);
        });
    }

    #[test]
    fn a_broker_that_refuses_leaves_no_other_on() {
        shards::block_on(async {
            let brokers = [Fake::start(), Fake::start(), Fake::start()];
            let addresses = brokers.iter().map(|broker| broker.address.clone()).collect();
            brokers[2].refuses.set("true");
            let traced = Traced::start_at(addresses, Duration::ZERO);
            while !traced.starting.is_finished() {
                task::yield_now().await;
            }
            brokers[0].hangs_up.set(true);
            assert!(traced.finish().await.is_err());
            let values = brokers.map(|broker| broker.value.borrow().clone());
            assert_eq!(values, ["true", "false", "false"], "the first hung up");
        });
    }
}
