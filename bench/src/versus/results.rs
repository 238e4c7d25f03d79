//! Everything that a race has brought so far: kept in a file after every block, told at its end.

use serde::Serialize;

use crate::args::versus::Contestant;
use crate::limits::bracket::Bracket;
use crate::report::table;
use crate::versus::figures::{Figure, Figures};
use crate::versus::goals::Goal;
use crate::versus::plan::{Block, Side};
use crate::versus::scenario::Scenario;
use crate::versus::verdict::{self, Fate, Pair, Row, Verdict};

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Counted from 1; its files begin with it.
    pub number: usize,
    /// What ran.
    pub scenario: &'static str,
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

/// A scenario against a rival.
#[derive(Debug, Serialize)]
struct Match {
    scenario: &'static str,
    rival: Contestant,
    #[serde(skip)]
    figures: &'static [Figure],
    #[serde(skip)]
    pairs: Vec<Pair>,
    /// Pairs that count, that do not, and that could not be run.
    kept: usize,
    unsteady: usize,
    failed: usize,
    /// Failed requests of all our runs, and of the rival's.
    failures_ours: u64,
    failures_theirs: u64,
}

/// What a race is and has brought.
#[derive(Debug, Serialize)]
pub struct Results {
    /// What was asked: seed, times, versions, settings.
    pub conditions: serde_json::Value,
    matches: Vec<Match>,
    /// All runs in their order.
    pub runs: Vec<Run>,
    /// The verdicts.
    pub rows: Vec<Row>,
}

impl Results {
    /// Of a race that begins.
    pub fn new(conditions: serde_json::Value) -> Self {
        Self { conditions, matches: Vec::new(), runs: Vec::new(), rows: Vec::new() }
    }

    /// Adds the runs of a block, and judges again.
    pub fn add(&mut self, block: &Block, runs: Vec<Run>) {
        let matched = self.match_of(block.scenario, block.rival);
        for pair in runs.chunks(2).filter_map(pair) {
            match pair.fate() {
                Fate::Kept => matched.kept += 1,
                Fate::Unsteady => matched.unsteady += 1,
                Fate::Failed => matched.failed += 1,
            }
            let failures = |figures: &Option<Figures>| figures.as_ref().map_or(0, |it| it.failures);
            matched.failures_ours += failures(&pair.ours);
            matched.failures_theirs += failures(&pair.theirs);
            matched.pairs.push(pair);
        }
        self.runs.extend(runs);
        self.rows = self.judge();
    }

    fn match_of(&mut self, scenario: &'static Scenario, rival: Contestant) -> &mut Match {
        let is_it = |it: &Match| it.scenario == scenario.name && it.rival == rival;
        let place = self.matches.iter().position(is_it).unwrap_or_else(|| {
            self.matches.push(Match {
                scenario: scenario.name,
                rival,
                figures: scenario.figures,
                pairs: Vec::new(),
                kept: 0,
                unsteady: 0,
                failed: 0,
                failures_ours: 0,
                failures_theirs: 0,
            });
            self.matches.len() - 1
        });
        &mut self.matches[place]
    }

    /// A row per figure of each match, judged beside the same figure of the control.
    fn judge(&self) -> Vec<Row> {
        let mut matches: Vec<&Match> = self.matches.iter().collect();
        matches.sort_by_key(|it| (it.scenario, it.rival));
        let row = |it: &Match, figure, control: Option<&Row>| {
            verdict::row(it.scenario, it.rival, figure, &it.pairs, control)
        };
        let mut rows = Vec::new();
        for it in &matches {
            let is_control =
                |other: &&&Match| other.scenario == it.scenario && other.rival == Contestant::Ours;
            let control = matches.iter().find(is_control);
            for &figure in it.figures {
                let control = match it.rival {
                    Contestant::Ours => None,
                    _ => control.and_then(|control| row(control, figure, None)),
                };
                rows.extend(row(it, figure, control.as_ref()));
            }
        }
        rows
    }

    /// Whether any row is lost.
    pub fn is_lost(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Loss)
    }

    /// Runs that came to nothing.
    pub fn failed_runs(&self) -> usize {
        self.runs.iter().filter(|run| run.figures.is_none()).count()
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("results are plain data")
    }

    /// The table, what was discarded, and what failed.
    pub fn print(&self) {
        println!("\n{}", self.table());
        println!(
            "x better: geometric mean over the pairs, with its 95 % interval; above 1 ours is \
             better. A win or a loss lies beyond what the control (ours against ours) differs from \
             itself. A goal of two numbers: at least, and aimed at; with x it binds the lower end \
             of the interval, else our value."
        );
        println!("\n{}", self.costs());
        for it in &self.matches {
            println!(
                "{} against {}: {} pairs count, {} discarded (probes beside them differ by more \
                 than 1.5 x), {} failed; failed requests: ours {}, theirs {}",
                it.scenario,
                it.rival.word(),
                it.kept,
                it.unsteady,
                it.failed,
                it.failures_ours,
                it.failures_theirs
            );
        }
        for run in &self.runs {
            if let Some(error) = &run.error {
                println!("run {} ({}): {error}", run.number, run.contestant.word());
            }
        }
    }

    /// What a message costs each broker: means over all runs of a scenario, of whatever block.
    fn costs(&self) -> comfy_table::Table {
        let mut rows = table::plain();
        rows.set_header([
            "per message",
            "broker",
            "runs",
            "CPU us",
            "system calls",
            "context switches",
            "device writes",
            "device bytes",
            "device flushes",
            "RSS MB",
        ]);
        let mut seen: Vec<(&str, Contestant)> =
            self.runs.iter().map(|run| (run.scenario, run.contestant)).collect();
        seen.sort_unstable();
        seen.dedup();
        for (scenario, contestant) in seen {
            let is_it = |run: &&Run| (run.scenario, run.contestant) == (scenario, contestant);
            let runs = self.runs.iter().filter(is_it).filter_map(|run| run.figures.as_ref());
            let runs: Vec<&Figures> = runs.collect();
            rows.add_row([
                scenario.to_owned(),
                contestant.word().to_owned(),
                runs.len().to_string(),
                mean(&runs, |figures| figures.costs.cpu_us),
                mean(&runs, |figures| figures.costs.system_calls),
                mean(&runs, |figures| figures.costs.context_switches),
                mean(&runs, |figures| figures.costs.device_writes),
                mean(&runs, |figures| figures.costs.device_bytes),
                mean(&runs, |figures| figures.costs.device_flushes),
                mean(&runs, |figures| Figure::Rss.of(figures)),
            ]);
        }
        table::align_numbers(&mut rows, 2);
        rows
    }

    fn table(&self) -> comfy_table::Table {
        let mut rows = table::plain();
        rows.set_header([
            "scenario",
            "figure",
            "rival",
            "theirs",
            "ours",
            "x better",
            "from",
            "to",
            "pairs",
            "claimable",
            "verdict",
            "goal",
            "reached",
        ]);
        for row in &self.rows {
            let factor = |value: f64| format!("{value:.3}");
            rows.add_row([
                row.scenario.to_owned(),
                row.figure.name().to_owned(),
                row.rival.word().to_owned(),
                figure(row.theirs),
                figure(row.ours),
                factor(row.gain),
                factor(row.low),
                factor(row.high),
                row.pairs.to_string(),
                row.claimable.map_or("?".to_owned(), factor),
                format!("{:?}", row.verdict).to_lowercase(),
                row.goal.map_or(String::new(), Goal::describe),
                row.reached.map_or(String::new(), |it| format!("{it:?}").to_lowercase()),
            ]);
        }
        table::align_numbers(&mut rows, 3);
        rows
    }
}

/// The mean of what is known of `runs`.
fn mean(runs: &[&Figures], of: impl Fn(&Figures) -> Option<f64>) -> String {
    let known: Vec<f64> = runs.iter().filter_map(|figures| of(figures)).collect();
    match known.len() {
        0 => String::new(),
        count => figure(known.iter().sum::<f64>() / count as f64),
    }
}

/// Four digits at least, and no more behind the point than say something.
fn figure(value: f64) -> String {
    match value {
        1_000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Two runs of a block that belong together.
fn pair(runs: &[Run]) -> Option<Pair> {
    let of = |side| runs.iter().find(|run| run.side == side);
    let (ours, theirs) = (of(Side::Ours)?, of(Side::Rival)?);
    let brackets = runs.iter().flat_map(|run| [run.before, run.after]).collect();
    Some(Pair { ours: ours.figures.clone(), theirs: theirs.figures.clone(), brackets })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::costs::Costs;
    use crate::versus::scenario::by_name;

    fn run(number: usize, block: &Block, side: Side, rate: f64) -> Run {
        let bracket = Bracket { write_and_flush_us: 300.0, round_trip_us: 20.0 };
        let figures = Figures {
            seconds: 1.0,
            messages: 1,
            messages_per_second: rate,
            p99_us: Some(1_000.0),
            costs: Costs { cpu_us: Some(1.0), ..Costs::default() },
            rss_bytes: 1,
            failures: 1,
            ..Figures::default()
        };
        Run {
            number,
            scenario: block.scenario.name,
            rival: block.rival,
            side,
            contestant: block.contestant(side),
            warm_up_s: 1.0,
            before: bracket,
            after: bracket,
            figures: Some(figures),
            error: None,
        }
    }

    /// A race of `blocks` against a rival, in which our rate is `gain` times theirs.
    fn race(blocks: usize, gain: f64) -> Results {
        let mut results = Results::new(serde_json::Value::Null);
        for rival in [Contestant::Tuned, Contestant::Ours] {
            for index in 0..blocks {
                let first = if index % 2 == 0 { Side::Ours } else { Side::Rival };
                let block = Block { scenario: by_name("sync-64x1").unwrap(), rival, first };
                let rate = |side| match block.contestant(side) {
                    Contestant::Ours => 1e4 * gain,
                    _ => 1e4,
                };
                let runs = block.order().map(|side| run(index, &block, side, rate(side)));
                results.add(&block, runs.to_vec());
            }
        }
        results
    }

    #[test]
    fn a_race_that_is_slower_is_lost() {
        let verdict = |gain| {
            let results = race(4, gain);
            let is_rate = |row: &&Row| row.figure == Figure::Rate && row.rival == Contestant::Tuned;
            let row = results.rows.iter().find(is_rate).unwrap().clone();
            (row.verdict, row.pairs, results.is_lost())
        };
        assert_eq!(verdict(3.0), (Verdict::Win, 8, false));
        assert_eq!(verdict(0.5), (Verdict::Loss, 8, true));
        assert_eq!(verdict(1.0), (Verdict::Undecided, 8, false));
    }

    #[test]
    fn the_table_and_the_document_tell_every_figure_and_run() {
        let results = race(1, 2.0);
        let figures = by_name("sync-64x1").unwrap().figures.len();
        assert_eq!((results.rows.len(), results.runs.len()), (2 * figures, 8));
        let text = results.table().to_string();
        assert!(text.contains("CPU us/msg") && text.contains("undecided"), "{text}");
        let costs = results.costs().to_string();
        assert!(costs.contains("tuned") && costs.contains("system calls"), "{costs}");
        let document: serde_json::Value = serde_json::from_str(&results.to_json()).unwrap();
        assert_eq!(document["matches"][0]["kept"], 2);
        assert_eq!(document["matches"][0]["failures_ours"], 2);
    }
}
