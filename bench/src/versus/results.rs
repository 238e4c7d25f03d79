//! Everything that a race has brought so far: kept in a file after every block, and taken up again
//! from there by a race with the same `--output`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::args::versus::Contestant;
use crate::ending::Ending;
use crate::environment::Environment;
use crate::limits::bracket::Bracket;
use crate::versus::brokers::Brokers;
use crate::versus::figures::{Figure, Figures};
use crate::versus::goals::Reached;
use crate::versus::limit::Limit;
use crate::versus::pairs::Pair;
use crate::versus::parts::Part;
use crate::versus::plan::{Block, Side};
use crate::versus::scenario::{self, Scenario};
use crate::versus::verdict::{self, Row, Verdict};

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

    /// Whether a figure of these has fewer than so many pairs that count, only because the machine
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
                    _ => self.row(scenario, rival, figure, control.as_ref()),
                });
            }
        }
        rows
    }

    /// A row against a rival; of Apache's broker beside what the null broker came to against it.
    fn row(
        &self,
        scenario: &'static Scenario,
        rival: Contestant,
        figure: Figure,
        control: Option<&Row>,
    ) -> Option<Row> {
        let pairs = self.pairs(scenario, is_ours, rival);
        let row = verdict::row(scenario, rival, figure, &pairs, control)?;
        if !rival.is_apache() {
            return Some(row);
        }
        let limits = self.pairs(scenario, |run| is_of(run, Contestant::Null), rival);
        let shares = self.pairs(scenario, is_ours, Contestant::Null);
        Some(row.beside(Limit::of(scenario, figure, &limits, &shares)))
    }

    /// Of each block with this rival the first run of those that `one` takes and its first, and so
    /// on.
    fn pairs(
        &self,
        scenario: &'static Scenario,
        one: impl Fn(&Run) -> bool,
        rival: Contestant,
    ) -> Vec<Pair> {
        let of_block = |block: &[Run]| {
            let ones = block.iter().filter(|run| one(run));
            let theirs = block.iter().filter(|run| is_of(run, rival));
            ones.zip(theirs).map(|(one, theirs)| pair_of(one, theirs)).collect::<Vec<_>>()
        };
        self.blocks_with(scenario, rival).flat_map(of_block).collect()
    }

    /// Ours against ours: blocks of their own, and of every other block its two runs of our broker,
    /// the later against the earlier.
    fn control(&self, scenario: &'static Scenario) -> Vec<Pair> {
        let mut pairs = self.pairs(scenario, is_ours, Contestant::Ours);
        for block in self.blocks().filter(|block| block[0].scenario == scenario) {
            let ours: Vec<&Run> = block.iter().filter(|run| is_ours(run)).collect();
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

    /// Runs that came to nothing, lost a figure, or of which too many requests failed.
    pub fn failed_runs(&self) -> usize {
        let is_whole =
            |run: &Run| run.figures.as_ref().is_some_and(|figures| figures.fault().is_none());
        self.runs.iter().filter(|run| !is_whole(run)).count()
    }

    /// How the race ends. It is good only if it decided something and each goal of its rows is
    /// reached: one that the machine forbids is not, nor one that nothing can be said of.
    pub fn ending(&self) -> Ending {
        let reached = |it| self.rows.iter().any(|row| row.reached == Some(it));
        let is_open = |row: &Row| row.goal.is_some() && row.reached.is_none();
        match () {
            () if self.is_lost() => Ending::Worse,
            () if self.failed_runs() > 0 => Ending::RequestsFailed,
            () if reached(Reached::Missed) || reached(Reached::Limited) => Ending::GoalMissed,
            () if self.rows.iter().any(is_open) || !self.tells() => Ending::TooShort,
            () => Ending::Good,
        }
    }

    /// Whether any row tells something of what was raced.
    fn tells(&self) -> bool {
        let is_the_race = self.runs.iter().any(|run| run.rival == Contestant::Ours);
        self.rows.iter().any(|row| row.tells(is_the_race))
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

/// Two runs of a block that belong together.
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
