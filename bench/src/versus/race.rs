//! The race itself: one block after the other, one broker at a time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ringmq_runtime::clock::Instant;

use crate::args::Command;
use crate::args::load::MessageArgs;
use crate::args::versus::{Contestant, Times, VersusArgs};
use crate::disk_room;
use crate::driver::Timing;
use crate::error::BenchError;
use crate::files;
use crate::limits::bracket::{self, Bracket};
use crate::page_cache;
use crate::versus::apache::{self, Apache};
use crate::versus::asked::{Asked, command};
use crate::versus::budget::Budget;
use crate::versus::contestant::{self, Running, Setup};
use crate::versus::figures::{Figures, told};
use crate::versus::plan::{BLOCK_PAIRS, Block, Plan, Turn};
use crate::versus::portable;
use crate::versus::results::{Results, Run};
use crate::versus::scenario::{Client, Scenario};
use crate::versus::settle::settle;
use crate::versus::{cold, native, null, stock};

/// The file of a race's results in the directory of its raw data.
pub const DOCUMENT: &str = "versus.json";

/// Blocks in a row whose runs all fail, after which there is no race.
const FAILED_BLOCKS_MAX: u32 = 2;

/// What all runs have in common.
pub struct Race<'a> {
    args: &'a VersusArgs,
    /// Fetched where the plan needs it.
    apache: Option<&'a Apache>,
    times: Times,
    message: MessageArgs,
    output: &'a Path,
    budget: Budget,
}

impl<'a> Race<'a> {
    /// A race that begins now.
    pub fn new(
        args: &'a VersusArgs,
        apache: Option<&'a Apache>,
        times: Times,
        output: &'a Path,
    ) -> Self {
        let budget = Budget::new(args.within, times, Instant::now());
        Self { args, apache, times, message: message(), output, budget }
    }

    /// Runs all blocks that `results` does not have yet; they are kept in a file after each.
    ///
    /// # Errors
    /// The directory cannot be written, or everything fails.
    pub async fn run(&mut self, plan: &Plan, results: &mut Results) -> Result<(), BenchError> {
        let mut failed_blocks = 0;
        for number in 0..self.times.blocks + self.times.repeats {
            for block in plan.round(number) {
                if !self.is_due(number, &block, results) {
                    continue;
                }
                let runs = self.block(&block, results).await?;
                let all_failed = runs.iter().all(|run| run.figures.is_none());
                failed_blocks = if all_failed { failed_blocks + 1 } else { 0 };
                let last_error = runs.last().and_then(|run| run.error.clone()).unwrap_or_default();
                self.tell(&block, results);
                results.add(runs);
                let document = format!("{:#}", portable::document(results).await);
                files::replace(&self.output.join(DOCUMENT), document.as_bytes()).await?;
                if failed_blocks >= FAILED_BLOCKS_MAX {
                    return Err(BenchError::Race(format!(
                        "{FAILED_BLOCKS_MAX} blocks in a row failed, at last: {last_error}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Keeps what each broker of a block is told.
    fn tell(&self, block: &Block, results: &mut Results) {
        let (scenario, more) = (block.scenario, block.scenario.keys());
        for Turn { contestant, .. } in block.order() {
            let told = contestant::told(self.setup(scenario, contestant, &more));
            results.brokers.add(&results.conditions, contestant, scenario.name, told);
        }
    }

    fn setup<'b>(
        &'b self,
        scenario: &Scenario,
        contestant: Contestant,
        more: &'b str,
    ) -> Setup<'b> {
        let (args, apache, own) = (self.args, self.apache, scenario.settings(contestant));
        let variant = args.variant_of(contestant);
        Setup { args, apache, contestant, own, more, variant }
    }

    /// Whether a block of that round is still to be run: it is not there yet, or stands in for
    /// pairs that were discarded; and there is time for it.
    fn is_due(&mut self, number: u32, block: &Block, results: &Results) -> bool {
        let wanted = self.times.blocks as usize * BLOCK_PAIRS;
        let is_missing = results.blocks_of(block) <= number;
        if !is_missing || (number >= self.times.blocks && !results.lacks_pairs(block, wanted)) {
            return false;
        }
        self.budget.has_time(block, Instant::now())
    }

    /// What there was no time for, a line each.
    pub fn left_out(&self) -> String {
        self.budget.left_out()
    }

    /// The runs of a block that comes next.
    async fn block(&mut self, block: &Block, results: &Results) -> Result<Vec<Run>, BenchError> {
        let begun = Instant::now();
        let (number, before) = (results.next_block(), results.runs.len());
        let mut runs = Vec::new();
        for (place, turn) in (1..).zip(block.order()) {
            let numbers = Numbers { run: before + place, block: number };
            runs.push(self.one(numbers, block, turn).await?);
        }
        self.budget.learn(block, begun.elapsed());
        Ok(runs)
    }

    async fn one(&self, of: Numbers, block: &Block, turn: Turn) -> Result<Run, BenchError> {
        let (number, Turn { side, contestant }) = (of.run, turn);
        let prefix = self.prefix(number, block, contestant);
        page_cache::write_back(&self.output.join("sync.log")).await;
        settle(contestant, self.times.calm).await;
        let before = self.bracket().await?;
        eprintln!(
            "run {number}: {}, {} (flush {:.0} us, round trip {:.0} us)",
            block.scenario.name,
            contestant.word(),
            before.write_and_flush_us,
            before.round_trip_us
        );
        let begun = Instant::now();
        // A run that fails spoils its pair, not a race of hours.
        let outcome = Box::pin(self.load(block, contestant, &prefix)).await;
        let took = begun.elapsed().as_secs();
        let after = self.bracket().await?;
        let (figures, error) = told(outcome, block.scenario, &format!("; {took} s"));
        let warm_up_s = warm_up(block.scenario, contestant, self.times).as_secs_f64();
        Ok(Run {
            number,
            block: of.block,
            scenario: block.scenario,
            rival: block.rival,
            side,
            contestant,
            warm_up_s,
            before,
            after,
            figures,
            error,
        })
    }

    fn prefix(&self, number: usize, block: &Block, contestant: Contestant) -> PathBuf {
        self.output.join(name_of(number, block.scenario, block.rival, contestant))
    }

    /// Beside the stores, while no broker runs.
    async fn bracket(&self) -> Result<Bracket, BenchError> {
        bracket::measure(&self.args.directory, &self.message, self.times.probe).await
    }

    /// Starts the broker, puts the load on it, and ends it.
    async fn load(
        &self,
        block: &Block,
        contestant: Contestant,
        prefix: &Path,
    ) -> Result<Figures, BenchError> {
        let scenario = block.scenario;
        let warm_up = warm_up(scenario, contestant, self.times);
        let timing = Timing { warm_up, duration: self.times.duration };
        if let (Contestant::Null, Client::Native(words) | Client::Cold(words)) =
            (contestant, scenario.client)
        {
            let asked = self.asked(words, timing, prefix);
            let is_cold = matches!(scenario.client, Client::Cold(_));
            return null::run(&self.args.directory, scenario.flush, is_cold, &asked).await;
        }
        let more = scenario.keys();
        let mut running = Running::start(self.setup(scenario, contestant, &more), prefix).await?;
        let figures = self.client(&mut running, scenario, timing, prefix).await?;
        // A short look decides nothing, and shall work anywhere.
        if !self.args.quick {
            disk_room::check(&self.args.directory).await?;
        }
        if figures.lost.is_none() {
            running.check_processes().await?;
        }
        Ok(figures)
    }

    fn asked<'b>(&'b self, words: &'static str, timing: Timing, prefix: &'b Path) -> Asked<'b> {
        let (fill_share, client_cores) = (self.times.fill_share, self.args.client_cores.as_ref());
        Asked { words, timing, fill_share, client_cores, prefix }
    }

    async fn client(
        &self,
        running: &mut Running,
        scenario: &Scenario,
        timing: Timing,
        prefix: &Path,
    ) -> Result<Figures, BenchError> {
        let asked = |words| self.asked(words, timing, prefix);
        match scenario.client {
            Client::Native(words) => {
                native::run(running, &asked(words)).await.map(|(figures, _)| figures)
            }
            Client::Restart(words) => {
                let (mut figures, target) = native::run(running, &asked(words)).await?;
                // The figures of the load stand without it.
                match native::restart(running, &target).await {
                    Ok(took) => figures.restart_s = Some(took.as_secs_f64()),
                    Err(error) => figures.lost = Some(error.to_string()),
                }
                Ok(figures)
            }
            Client::Cold(words) => cold::run(running, &asked(words)).await,
            Client::Stock { threads } => {
                stock::run(apache::fetched(self.apache), running, threads, self.times, prefix).await
            }
        }
    }
}

/// What the names of a run's files begin with.
pub fn name_of(
    number: usize,
    scenario: &Scenario,
    rival: Contestant,
    contestant: Contestant,
) -> String {
    let (rival, whose) = (rival.word(), contestant.word());
    format!("{number:04}-{}-against-{rival}-{whose}", scenario.name)
}

/// Which run, and of which block.
#[derive(Clone, Copy)]
struct Numbers {
    run: usize,
    block: usize,
}

/// The messages of all scenarios: what `bench produce` sends when nothing is said.
fn message() -> MessageArgs {
    match command("produce") {
        Command::Produce(args) => args.load.message,
        _ => unreachable!("the first word says what it is"),
    }
}

/// A JVM on either end needs the longer one.
pub fn warm_up(scenario: &Scenario, contestant: Contestant, times: Times) -> Duration {
    match contestant.is_apache() || scenario.client.is_apache() {
        true => times.jvm_warm_up.max(times.warm_up),
        false => times.warm_up,
    }
}
