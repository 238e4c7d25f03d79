//! Everything that a race has brought so far: kept in a file after every block, and taken up again
//! from there by a race with the same `--output`.

mod judgement;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::args::versus::Contestant;
use crate::environment::Environment;
use crate::limits::bracket::Bracket;
use crate::versus::brokers::Brokers;
use crate::versus::figures::Figures;
use crate::versus::parts::Part;
use crate::versus::plan::{Block, Side};
use crate::versus::scenario::{self, Scenario};
use crate::versus::verdict::Row;

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Counted from 1; its files begin with it.
    pub number: usize,
    /// Number of its block, counted from 1.
    pub block: usize,
    /// What ran.
    #[serde(with = "scenario::named")]
    pub scenario: &'static Scenario,
    /// Against whom its block is; the null broker may run in it as well.
    pub rival: Contestant,
    /// Which side it was.
    pub side: Side,
    /// Whose broker.
    pub contestant: Contestant,
    /// Warm-up in seconds.
    pub warm_up_s: f64,
    /// The machine before.
    pub before: Bracket,
    /// The machine after.
    pub after: Bracket,
    /// What it came to.
    pub figures: Option<Figures>,
    /// Why it came to nothing.
    pub error: Option<String>,
}

/// What a race is and has brought.
#[derive(Debug, Serialize)]
pub struct Results {
    /// What was asked: seed, times, versions, settings.
    pub conditions: Value,
    /// The parts before the last one, in their order; none of a race that one command has run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Part>,
    /// The last command, and the machine and the disk of the stores when it began.
    pub environment: Environment,
    /// Who took part: programs, versions, settings.
    pub brokers: Brokers,
    /// All runs in their order, block by block.
    pub runs: Vec<Run>,
    /// The verdicts.
    pub rows: Vec<Row>,
}

/// What of a document a race goes on from; the rest follows from it.
#[derive(Debug, Deserialize)]
pub struct Kept {
    /// As in [`Results`].
    pub conditions: Value,
    /// As in [`Results`]; earlier versions kept the last command alone.
    #[serde(default)]
    pub earlier: Vec<Part>,
    /// As in [`Results`].
    #[serde(default)]
    pub environment: Environment,
    /// As in [`Results`]; earlier versions kept the settings of brokers in their files alone.
    pub brokers: Option<Brokers>,
    /// As in [`Results`].
    pub runs: Vec<Run>,
    /// Of a race that is packed its files, by their names.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

impl Results {
    /// Of a race that begins.
    pub fn new(conditions: Value) -> Self {
        Self {
            conditions,
            earlier: Vec::new(),
            environment: Environment::default(),
            brokers: Brokers::default(),
            runs: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Of a race that is there.
    pub fn of(kept: Kept) -> Self {
        let Kept { conditions, earlier, environment, brokers, runs, files } = kept;
        let brokers = brokers.unwrap_or_else(|| Brokers::of_files(&conditions, &runs, &files));
        let rows = Vec::new();
        let mut results = Self { conditions, earlier, environment, brokers, runs, rows };
        results.rows = results.judge();
        results
    }

    /// Adds the runs of a block, and judges again.
    pub fn add(&mut self, runs: Vec<Run>) {
        self.runs.extend(runs);
        self.rows = self.judge();
    }

    /// The runs of each block, in their order.
    fn blocks(&self) -> impl Iterator<Item = &[Run]> {
        self.runs.chunk_by(|one, next| one.block == next.block)
    }

    /// Number of the block that comes next.
    pub fn next_block(&self) -> usize {
        self.runs.last().map_or(1, |run| run.block + 1)
    }

    /// Blocks of that kind that have been run.
    pub fn blocks_of(&self, block: &Block) -> u32 {
        let is_it = |runs: &&[Run]| {
            runs[0].scenario == block.scenario
                && runs[0].rival == block.rival
                && (!block.has_null || runs.iter().any(|run| run.contestant == Contestant::Null))
        };
        u32::try_from(self.blocks().filter(is_it).count()).expect("blocks are few")
    }

    /// Whether a figure of these has fewer than `wanted` pairs that count, only because the machine
    /// was not the same for both sides of others.
    pub fn lacks_pairs(&self, block: &Block, wanted: usize) -> bool {
        let is_it = |row: &&Row| row.scenario == block.scenario.name && row.rival == block.rival;
        let lacks =
            |row: &Row| row.unsteady > 0 && row.pairs + row.failed + row.overloaded.pairs < wanted;
        self.rows.iter().filter(is_it).any(lacks)
    }

    /// Each scenario and rival that has been run, in the order of the table.
    pub fn matches(&self) -> Vec<(&'static Scenario, Contestant)> {
        let theirs = self.runs.iter().filter(|run| run.side == Side::Rival);
        let mut matches: Vec<_> = theirs.map(|run| (run.scenario, run.contestant)).collect();
        matches.sort_by_key(|(scenario, rival)| (scenario.name, *rival));
        matches.dedup();
        matches
    }

    /// All runs of a scenario in blocks with a rival: ours, and its own.
    pub fn runs_against(&self, scenario: &'static Scenario, rival: Contestant) -> [Vec<&Run>; 2] {
        let blocks: Vec<_> = self.blocks_with(scenario, rival).collect();
        let of = |take: &dyn Fn(&Run) -> bool| {
            blocks.iter().flat_map(|block| block.iter()).filter(|run| take(run)).collect()
        };
        [of(&is_ours), of(&|run| is_of(run, rival))]
    }

    fn blocks_with(
        &self,
        scenario: &'static Scenario,
        rival: Contestant,
    ) -> impl Iterator<Item = &[Run]> {
        let has_it = move |block: &&[Run]| {
            block[0].scenario == scenario && block.iter().any(|run| is_of(run, rival))
        };
        self.blocks().filter(has_it)
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("results are plain data")
    }
}

fn is_ours(run: &Run) -> bool {
    run.side == Side::Ours
}

/// Whether it is one of the rival's, which may be our own broker.
fn is_of(run: &Run, rival: Contestant) -> bool {
    run.side == Side::Rival && run.contestant == rival
}

#[cfg(test)]
pub mod tests;
