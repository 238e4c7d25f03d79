//! `bench versus`: the race against Apache RocketMQ. Both brokers run on this machine, one at a
//! time, on fresh stores of the same file system, under the same clients; pairs of runs in ABBA
//! blocks, a control of ours against ours, the machine measured before and after each run.

mod apache;
mod cold;
mod contestant;
mod costs;
mod figures;
mod goals;
mod native;
mod plan;
mod program;
mod results;
pub mod scenario;
mod stock;
mod verdict;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ringmq_runtime::disk::Disk;
use ringmq_runtime::random;

use crate::args::Command;
use crate::args::load::MessageArgs;
use crate::args::versus::{Contestant, Times, VersusArgs};
use crate::driver::Timing;
use crate::ending::Ending;
use crate::error::BenchError;
use crate::limits::bracket::{self, Bracket};
use crate::target::scratch::make_directory;
use crate::versus::apache::Apache;
use crate::versus::contestant::{Running, Setup, with_extension, write};
use crate::versus::figures::Figures;
use crate::versus::plan::{BLOCK_RUNS, Block, Side};
use crate::versus::results::{Results, Run};
use crate::versus::scenario::{Client, SCENARIOS, Scenario};

/// Blocks in a row whose runs all fail, after which there is no race.
const FAILED_BLOCKS_MAX: u32 = 2;

/// Apache's broker takes no messages while more of its file system is used, and no setting moves
/// that bound.
const DISK_USED_MAX: f64 = 0.90;

/// Start and end of both brokers, in the estimate of how long a race takes.
const START_ESTIMATE: Duration = Duration::from_secs(8);

/// Races until the end. A signal drops the race where it is, which ends the processes that it
/// started and removes their stores.
///
/// # Errors
/// Java or Maven is missing, the directory cannot be written, or everything fails.
pub async fn run(args: &VersusArgs) -> Result<Ending, BenchError> {
    let seed = args.seed.unwrap_or_else(|| random::seed_u64() % 1_000_000);
    let default = || args.directory.join(format!("versus-{seed}"));
    let output = std::path::absolute(args.output.clone().unwrap_or_else(default))
        .map_err(|error| BenchError::file(&args.directory, error))?;
    for directory in [args.directory.as_path(), &output] {
        make_directory(directory).await?;
    }
    let times = args.times();
    let scenarios = match &args.scenarios[..] {
        [] => SCENARIOS.iter().collect(),
        named => named.to_vec(),
    };
    let plan = plan::plan(&scenarios, &args.against, times.blocks, seed);
    if plan.is_empty() {
        return Err(BenchError::Race("nobody of --against meets us in --scenarios".to_owned()));
    }
    announce(args, &plan, times, seed, &output).await?;
    let apache = match plan.iter().any(Block::needs_apache) {
        true => Some(Apache::fetch(&apache::directory(&args.directory)).await?),
        false => None,
    };
    let apache = apache.as_ref();
    let race = Race { args, apache, times, message: message(), output: &output };
    let mut results = Results::new(conditions(args, apache, times, seed));
    race.run(&plan, &mut results).await?;
    match args.json {
        true => println!("{}", results.to_json()),
        false => results.print(),
    }
    Ok(match (results.is_lost(), results.failed_runs()) {
        (true, _) => Ending::Worse,
        (false, 0) => Ending::Good,
        (false, _) => Ending::RequestsFailed,
    })
}

/// Says what comes, and refuses a disk on which it cannot.
async fn announce(
    args: &VersusArgs,
    plan: &[Block],
    times: Times,
    seed: u64,
    output: &Path,
) -> Result<(), BenchError> {
    let of_block = |block: &Block| {
        let sides = block.order().map(|side| {
            let warm_up = warm_up(block.scenario, block.contestant(side), times);
            warm_up + times.duration + 2 * times.probe + START_ESTIMATE
        });
        sides.iter().sum::<Duration>()
    };
    let minutes = plan.iter().map(of_block).sum::<Duration>().as_secs().div_ceil(60);
    eprintln!(
        "seed {seed}: {} runs, about {minutes} minutes; raw data in {}",
        plan.len() * BLOCK_RUNS,
        output.display()
    );
    let space = match Disk::live(&args.directory) {
        Ok(disk) => disk.free_space().await,
        Err(error) => Err(error),
    };
    let space = space.map_err(|error| BenchError::file(&args.directory, error))?;
    let used = 1.0 - space.available as f64 / space.total.max(1) as f64;
    if plan.iter().any(|block| block.rival.is_apache()) && used > DISK_USED_MAX {
        return Err(BenchError::Race(format!(
            "Apache's broker takes no messages on a file system of which more than 90 % is used, \
             and of {} it is {:.0} %: free some, or name another --directory",
            args.directory.display(),
            100.0 * used
        )));
    }
    Ok(())
}

/// Everything that a reader of the results must know.
fn conditions(
    args: &VersusArgs,
    apache: Option<&Apache>,
    times: Times,
    seed: u64,
) -> serde_json::Value {
    let heap = args.heap.as_deref();
    serde_json::json!({
        "bench": env!("CARGO_PKG_VERSION"),
        "debug_build": cfg!(debug_assertions),
        "seed": seed,
        "blocks": times.blocks,
        "warm_up_s": times.warm_up.as_secs_f64(),
        "jvm_warm_up_s": times.jvm_warm_up.as_secs_f64(),
        "duration_s": times.duration.as_secs_f64(),
        "probe_s": times.probe.as_secs_f64(),
        "apache": apache::VERSION,
        "java": apache.map(|apache| apache.java.as_str()),
        "shipped_jvm": apache::jvm(apache::Settings::Shipped, heap),
        "tuned_jvm": apache::jvm(apache::Settings::Tuned, heap),
        "our_program": args.ours,
        "our_shards": args.shards,
        "settings": "in the .broker.conf of each run",
    })
}

/// The messages of all scenarios: what `bench produce` sends when nothing is said.
fn message() -> MessageArgs {
    match native::command("produce", None) {
        Command::Produce(args) => args.load.message,
        _ => unreachable!("the first word says what it is"),
    }
}

/// A JVM on either end needs the longer one.
fn warm_up(scenario: &Scenario, contestant: Contestant, times: Times) -> Duration {
    match contestant.is_apache() || scenario.client.is_apache() {
        true => times.jvm_warm_up.max(times.warm_up),
        false => times.warm_up,
    }
}

/// What all runs have in common.
struct Race<'a> {
    args: &'a VersusArgs,
    /// Fetched where the plan needs it.
    apache: Option<&'a Apache>,
    times: Times,
    message: MessageArgs,
    output: &'a Path,
}

impl Race<'_> {
    /// Runs all blocks; `results` is kept in a file after each.
    async fn run(&self, plan: &[Block], results: &mut Results) -> Result<(), BenchError> {
        let mut failed_blocks = 0;
        for (number, block) in plan.iter().enumerate() {
            let mut runs = Vec::with_capacity(BLOCK_RUNS);
            for (place, side) in block.order().into_iter().enumerate() {
                runs.push(self.one(number * BLOCK_RUNS + place + 1, block, side).await?);
            }
            let all_failed = runs.iter().all(|run| run.figures.is_none());
            failed_blocks = if all_failed { failed_blocks + 1 } else { 0 };
            let last_error = runs.last().and_then(|run| run.error.clone()).unwrap_or_default();
            results.add(block, runs);
            write(&self.output.join("versus.json"), &results.to_json()).await?;
            if failed_blocks >= FAILED_BLOCKS_MAX {
                let what =
                    format!("{FAILED_BLOCKS_MAX} blocks in a row failed, at last: {last_error}");
                return Err(BenchError::Race(what));
            }
        }
        Ok(())
    }

    async fn one(&self, number: usize, block: &Block, side: Side) -> Result<Run, BenchError> {
        let contestant = block.contestant(side);
        let prefix = self.prefix(number, block, contestant);
        let before = self.bracket().await?;
        eprintln!(
            "run {number}: {}, {} (flush {:.0} us, round trip {:.0} us)",
            block.scenario.name,
            contestant.word(),
            before.write_and_flush_us,
            before.round_trip_us
        );
        // A run that fails spoils its pair, not a race of hours.
        let outcome = Box::pin(self.load(block, contestant, &prefix)).await;
        let after = self.bracket().await?;
        let (figures, error) = match outcome {
            Ok(figures) => (Some(figures), None),
            Err(error) => (None, Some(error.to_string())),
        };
        match (&figures, &error) {
            (Some(figures), _) => eprintln!("  {}", figures.describe(block.scenario.figures)),
            (None, error) => eprintln!("  failed: {}", error.as_deref().unwrap_or_default()),
        }
        let warm_up_s = warm_up(block.scenario, contestant, self.times).as_secs_f64();
        Ok(Run {
            number,
            scenario: block.scenario.name,
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
        let (scenario, rival) = (block.scenario.name, block.rival.word());
        let name = format!("{number:04}-{scenario}-against-{rival}-{}", contestant.word());
        self.output.join(name)
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
        let own = scenario.settings(contestant);
        let directory = &self.args.directory;
        if let (Contestant::Null, Client::Native(words)) = (contestant, scenario.client) {
            return native::run_null(directory, own.flush, words, timing).await;
        }
        let more = if let Client::Cold(_) = scenario.client { cold::SETTINGS } else { "" };
        let (args, apache) = (self.args, self.apache);
        let mut running =
            Running::start(Setup { args, apache, contestant, own, more }, prefix).await?;
        let figures = self.client(&mut running, scenario, timing, prefix).await?;
        match running.is_whole().await {
            true => Ok(figures),
            false => Err(BenchError::Race("a process of the broker came or went".to_owned())),
        }
    }

    async fn client(
        &self,
        running: &mut Running,
        scenario: &Scenario,
        timing: Timing,
        prefix: &Path,
    ) -> Result<Figures, BenchError> {
        let asked = (timing, self.times.fill_share);
        match scenario.client {
            Client::Native(words) => {
                native::run(running, words, asked, prefix).await.map(|(figures, _)| figures)
            }
            Client::Restart(words) => {
                let (mut figures, target) = native::run(running, words, asked, prefix).await?;
                native::restart(running, &target, &mut figures).await?;
                Ok(figures)
            }
            Client::Cold(words) => cold::run(running, words, asked, prefix).await,
            Client::Stock { threads } => {
                let log = with_extension(prefix, "client.log");
                stock::run(apache::fetched(self.apache), running, threads, self.times, &log).await
            }
        }
    }
}
