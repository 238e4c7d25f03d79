//! Where the time of sends goes inside a broker: RingMQ's own part of the answer to
//! GET_BROKER_RUNTIME_INFO (28), there while `sendStageTracing` is on.
//!
//! Each stage has six entries of the table, `sendStage.<stage>.count` and so on, for all shards
//! together; a broker of several shards also has `sendStage.shard<number>.<stage>.count` and so on
//! for each of them. Tools that do not know them show or skip them as they do with every key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The stages in the order in which a send passes them; the last is all of them together.
pub const SEND_STAGES: [&str; 8] =
    ["read", "decode", "hop", "append", "submit", "flushed", "written", "total"];

/// How long the sends took for one stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SendStage {
    /// The shard that timed it; none: all of them together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// One of [`SEND_STAGES`].
    pub stage: String,
    /// Sends that passed it.
    pub count: u64,
    /// Mean time in microseconds, as all that follow.
    pub mean_us: f64,
    /// Half of the sends were faster.
    pub p50_us: f64,
    /// 99 % were faster.
    pub p99_us: f64,
    /// 99.9 % were faster.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
}

impl SendStage {
    /// The entries of this stage, each as key and value.
    pub fn entries(&self) -> [(String, String); 6] {
        let prefix = prefix(self.shard, &self.stage);
        let key = |figure: &str| format!("{prefix}.{figure}");
        let time = |figure: &str, us: f64| (key(figure), format!("{us:.3}"));
        [
            (key("count"), self.count.to_string()),
            time("meanUs", self.mean_us),
            time("p50Us", self.p50_us),
            time("p99Us", self.p99_us),
            time("p999Us", self.p999_us),
            time("maxUs", self.max_us),
        ]
    }

    /// The stages that a table of runtime information tells of, in their order: those of all shards
    /// together, then those of each. None when the broker does not trace them.
    pub fn read_all(table: &BTreeMap<String, String>) -> Vec<Self> {
        let of = |shard: Option<u32>| -> Vec<Self> {
            SEND_STAGES.iter().filter_map(|stage| Self::read(shard, stage, table)).collect()
        };
        let shards = (0..).map(|shard| of(Some(shard))).take_while(|stages| !stages.is_empty());
        std::iter::once(of(None)).chain(shards).flatten().collect()
    }

    fn read(shard: Option<u32>, stage: &str, table: &BTreeMap<String, String>) -> Option<Self> {
        let prefix = prefix(shard, stage);
        let text = |figure: &str| table.get(&format!("{prefix}.{figure}"));
        let time = |figure: &str| text(figure)?.parse::<f64>().ok();
        Some(Self {
            shard,
            stage: stage.to_owned(),
            count: text("count")?.parse().ok()?,
            mean_us: time("meanUs")?,
            p50_us: time("p50Us")?,
            p99_us: time("p99Us")?,
            p999_us: time("p999Us")?,
            max_us: time("maxUs")?,
        })
    }
}

/// What the keys of a stage begin with.
fn prefix(shard: Option<u32>, stage: &str) -> String {
    match shard {
        None => format!("sendStage.{stage}"),
        Some(shard) => format!("sendStage.shard{shard}.{stage}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_that_were_put_into_a_table_are_read_back_in_their_order() {
        let figures = |shard, stage: &str, count| SendStage {
            shard,
            stage: stage.to_owned(),
            count,
            mean_us: 1.5,
            p50_us: 1.25,
            p99_us: 30.0,
            p999_us: 400.125,
            max_us: 5_000.0,
        };
        let shards = [None, Some(0), Some(1)].into_iter();
        let written: Vec<_> = shards
            .flat_map(|shard| SEND_STAGES.map(|stage| (shard, stage)))
            .zip(1..)
            .map(|((shard, stage), count)| figures(shard, stage, count))
            .collect();
        let mut table: BTreeMap<_, _> = written.iter().flat_map(SendStage::entries).collect();
        assert_eq!(SendStage::read_all(&table), written);
        assert_eq!(table["sendStage.flushed.p999Us"], "400.125");

        table.insert("sendStage.hop.p50Us".to_owned(), "soon".to_owned());
        assert_eq!(SendStage::read_all(&table).len(), written.len() - 1);
        assert_eq!(SendStage::read_all(&BTreeMap::new()), []);
    }
}
