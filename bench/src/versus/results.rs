//! Everything that a race has brought so far: kept in a file after every block, and taken up again
//! from there by a race with the same `--output`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::args::versus::Contestant;
use crate::limits::bracket::Bracket;
use crate::versus::figures::Figures;
use crate::versus::plan::{BLOCK_RUNS, Block, Side};
use crate::versus::scenario::{self, Scenario};
use crate::versus::verdict::{self, Pair, Row, Verdict};

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Counted from 1; its files begin with it.
    pub number: usize,
    /// What ran.
    #[serde(with = "scenario::named")]
    pub scenario: &'static Scenario,
    /// Against whom its block is.
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
    /// As in [`Results`].
    pub runs: Vec<Run>,
}

impl Results {
    /// Of a race that begins.
    pub fn new(conditions: Value) -> Self {
        Self { conditions, runs: Vec::new(), rows: Vec::new() }
    }

    /// Of a race that goes on.
    pub fn of(kept: Kept) -> Self {
        let Kept { conditions, runs } = kept;
        let mut results = Self { conditions, runs, rows: Vec::new() };
        results.rows = results.judge();
        results
    }

    /// Adds the runs of a block, and judges again.
    pub fn add(&mut self, runs: Vec<Run>) {
        self.runs.extend(runs);
        self.rows = self.judge();
    }

    /// Blocks of a scenario against a rival that have been run.
    pub fn blocks_of(&self, block: &Block) -> u32 {
        let runs = self.runs.iter().filter(|run| is_of(run, block.scenario, block.rival)).count();
        u32::try_from(runs / BLOCK_RUNS).expect("blocks are few")
    }

    /// Whether a figure of these has fewer than so many pairs that count, only because the machine
    /// was not the same for both sides of others.
    pub fn lacks_pairs(&self, block: &Block, wanted: usize) -> bool {
        let is_it = |row: &&Row| row.scenario == block.scenario.name && row.rival == block.rival;
        let lacks = |row: &Row| row.unsteady > 0 && row.pairs + row.failed < wanted;
        self.rows.iter().filter(is_it).any(lacks)
    }

    /// Each scenario and rival that has been run, in the order of the table.
    pub fn matches(&self) -> Vec<(&'static Scenario, Contestant)> {
        let mut matches: Vec<_> = self.runs.iter().map(|run| (run.scenario, run.rival)).collect();
        matches.sort_by_key(|(scenario, rival)| (scenario.name, *rival));
        matches.dedup();
        matches
    }

    /// A row per figure of each match, judged beside the same figure of the control.
    fn judge(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut matches = self.matches();
        matches
            .extend(matches.clone().into_iter().map(|(scenario, _)| (scenario, Contestant::Ours)));
        matches.sort_by_key(|(scenario, rival)| (scenario.name, *rival));
        matches.dedup();
        for (scenario, rival) in matches {
            let control = self.control(scenario);
            for &figure in scenario.figures {
                let control = verdict::row(scenario, Contestant::Ours, figure, &control, None);
                rows.extend(match rival {
                    Contestant::Ours => control,
                    _ => {
                        let pairs = self.pairs(scenario, rival);
                        verdict::row(scenario, rival, figure, &pairs, control.as_ref())
                    }
                });
            }
        }
        rows
    }

    fn pairs(&self, scenario: &'static Scenario, rival: Contestant) -> Vec<Pair> {
        let runs: Vec<&Run> = self.runs.iter().filter(|run| is_of(run, scenario, rival)).collect();
        runs.chunks(2).filter_map(pair).collect()
    }

    /// Ours against ours: blocks of their own, and of every other block its two runs of our broker,
    /// the later against the earlier.
    fn control(&self, scenario: &'static Scenario) -> Vec<Pair> {
        let mut pairs = self.pairs(scenario, Contestant::Ours);
        for block in self.runs.chunks(BLOCK_RUNS) {
            let is_ours = |run: &&Run| run.scenario == scenario && run.side == Side::Ours;
            let ours: Vec<&Run> = block.iter().filter(is_ours).collect();
            if let [earlier, later] = ours[..]
                && earlier.rival != Contestant::Ours
            {
                pairs.push(pair_of(later, earlier));
            }
        }
        pairs
    }

    /// Whether any row is lost.
    pub fn is_lost(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Loss)
    }

    /// Runs that came to nothing, or lost a figure.
    pub fn failed_runs(&self) -> usize {
        let is_whole =
            |run: &Run| run.figures.as_ref().is_some_and(|figures| figures.lost.is_none());
        self.runs.iter().filter(|run| !is_whole(run)).count()
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("results are plain data")
    }
}

fn is_of(run: &Run, scenario: &Scenario, rival: Contestant) -> bool {
    run.scenario == scenario && run.rival == rival
}

/// Two runs of a block that belong together.
fn pair(runs: &[&Run]) -> Option<Pair> {
    let of = |side| runs.iter().find(|run| run.side == side);
    Some(pair_of(of(Side::Ours)?, of(Side::Rival)?))
}

fn pair_of(ours: &Run, theirs: &Run) -> Pair {
    Pair {
        ours: ours.figures.clone(),
        theirs: theirs.figures.clone(),
        brackets: [ours, theirs].iter().flat_map(|run| [run.before, run.after]).collect(),
        error: theirs.error.clone().or_else(|| ours.error.clone()),
    }
}

#[cfg(test)]
pub mod tests;
