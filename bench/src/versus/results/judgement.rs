//! What follows from the runs of a race: its rows, and how it ends.

use crate::args::versus::Contestant;
use crate::ending::Ending;
use crate::versus::figures::Figure;
use crate::versus::goals::Reached;
use crate::versus::limit::Limit;
use crate::versus::pairs::Pair;
use crate::versus::results::{Results, Run, is_of, is_ours};
use crate::versus::scenario::Scenario;
use crate::versus::verdict::{self, Row, Verdict};

impl Results {
    /// A row per figure of each match, judged beside the same figure of the control.
    pub(super) fn judge(&self) -> Vec<Row> {
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
