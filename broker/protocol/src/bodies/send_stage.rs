//! Where the time of sends goes inside a broker: RingMQ's own part of the answer to
//! GET_BROKER_RUNTIME_INFO (28), there while `sendStageTracing` is on.
//!
//! Each stage has six entries of the table, `sendStage.<stage>.count` and so on. Tools that do not
//! know them show or skip them as they do with every key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The stages in the order in which a send passes them; the last is all of them together.
pub const SEND_STAGES: [&str; 8] =
    ["read", "decode", "hop", "append", "submit", "flushed", "written", "total"];

/// How long the sends took for one stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SendStage {
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
        let key = |figure: &str| format!("sendStage.{}.{figure}", self.stage);
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

    /// The stages that a table of runtime information tells of, in their order; none when the
    /// broker does not trace them.
    pub fn read_all(table: &BTreeMap<String, String>) -> Vec<Self> {
        SEND_STAGES.iter().filter_map(|stage| Self::read(stage, table)).collect()
    }

    fn read(stage: &str, table: &BTreeMap<String, String>) -> Option<Self> {
        let text = |figure: &str| table.get(&format!("sendStage.{stage}.{figure}"));
        let time = |figure: &str| text(figure)?.parse::<f64>().ok();
        Some(Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_that_were_put_into_a_table_are_read_back_in_their_order() {
        let figures = |stage: &str, count| SendStage {
            stage: stage.to_owned(),
            count,
            mean_us: 1.5,
            p50_us: 1.25,
            p99_us: 30.0,
            p999_us: 400.125,
            max_us: 5_000.0,
        };
        let written: Vec<_> = (1..).zip(SEND_STAGES).map(|(n, stage)| figures(stage, n)).collect();
        let mut table: BTreeMap<_, _> = written.iter().flat_map(SendStage::entries).collect();
        assert_eq!(SendStage::read_all(&table), written);
        assert_eq!(table["sendStage.flushed.p999Us"], "400.125");

        table.insert("sendStage.hop.p50Us".to_owned(), "soon".to_owned());
        assert_eq!(SendStage::read_all(&table).len(), SEND_STAGES.len() - 1);
        assert_eq!(SendStage::read_all(&BTreeMap::new()), []);
    }
}
