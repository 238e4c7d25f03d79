//! `bench versus`: the race against Apache RocketMQ. Both brokers run on this machine, one at a
//! time, on fresh stores of the same file system, under the same clients; pairs of runs in ABBA
//! blocks, a control of ours against ours, the null broker as limit of both, the machine measured
//! before and after each run.

mod apache;
mod archive;
mod asked;
mod brokers;
mod budget;
mod catch_up;
mod cold;
mod contestant;
mod costs;
mod estimate;
mod figures;
mod goals;
mod limit;
mod loads;
mod mappings;
mod native;
mod null;
mod ours;
mod overloaded;
mod pairs;
mod parts;
mod plan;
mod portable;
mod race;
mod results;
pub mod scenario;
mod settle;
mod stock;
mod tables;
mod tune;
pub mod variants;
mod verdict;

use std::path::{Path, PathBuf};

use ringmq_version::VERSION;
use serde_json::Value;

use crate::args::values::Cores;
use crate::args::versus::{Contestant, Times, VersusArgs};
use crate::disk_room;
use crate::driver::clients::{Clients, warn_of_shared};
use crate::ending::Ending;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::files;
use crate::report::terminal;
use crate::seed;
use crate::stop;
use crate::target::scratch::make_directory;
use crate::versus::apache::Apache;
use crate::versus::parts::JAVA;
use crate::versus::plan::{Block, Plan};
use crate::versus::race::Race;
use crate::versus::results::Results;
use crate::versus::scenario::SCENARIOS;

/// Apache's broker takes no messages while more of its file system is used, and no setting moves
/// that bound.
const DISK_USED_MAX: f64 = 0.90;

/// Races; or tells a race again, or tries settings of Apache's broker, where a flag says so.
///
/// # Errors
/// Java or Maven is missing, the directory cannot be written, there is no race to be told, or
/// everything fails: what there is by then is told before.
pub async fn run(args: &VersusArgs) -> Result<Ending, BenchError> {
    match (&args.show, &args.tune) {
        (Some(path), _) => show(path, args.json).await,
        (None, Some(variants)) => tune::run(args, variants).await,
        (None, None) => run_race(args).await,
    }
}

/// Tells the race of a file, and ends as it did.
async fn show(path: &Path, as_json: bool) -> Result<Ending, BenchError> {
    let results = archive::read(path).await?;
    print(&results, "", as_json);
    Ok(results.ending())
}

/// Races until the end, and tells what came of it. A signal drops the block that runs, which ends
/// the processes that it started and removes their stores; the blocks before it are told.
async fn run_race(args: &VersusArgs) -> Result<Ending, BenchError> {
    let kept = match &args.output {
        Some(output) => parts::kept(output).await?,
        None => None,
    };
    let known = kept.as_ref().and_then(|kept| kept.conditions["seed"].as_u64());
    let seed = seed::named_or_new(args.seed.or(known));
    let plan = plan(args, seed)?;
    let output = make_output(args, &format!("versus-{seed}")).await?;
    let apache = prepare(args, plan.blocks()).await?;
    let (apache, times) = (apache.as_ref(), args.times());
    let environment = Environment::of_directory(&args.directory).await;
    let (program, store) = (ours::describe(args).await?, store(&environment));
    let conditions = conditions(args, [&program, &store], apache, times, seed);
    let mut results = match kept {
        Some(kept) => parts::go_on(kept, conditions)?,
        None => Results::new(conditions),
    };
    results.begin_part(environment);
    let client_cores = Cores::numbers(args.client_cores.as_ref());
    // A core that is not there is a fault of the command, and not of each run.
    drop(Clients::start(client_cores)?);
    warn_of_shared(client_cores, 0..args.shards as usize);
    announce(&plan, times, &results, &output);
    mappings::announce(args, plan.blocks()).await;
    let mut race = Race::new(args, apache, times, &output);
    let raced = stop::or_dropped(race.run(&plan, &mut results)).await;
    if !results.runs.is_empty() {
        print(&results, &race.left_out(), args.json);
        archive::write(&results, &output).await?;
    }
    raced.unwrap_or(Ok(()))?;
    Ok(match results.ending() {
        Ending::Good if !race.left_out().is_empty() => Ending::TooShort,
        ending => ending,
    })
}

/// Sees that these blocks have room on the disk, and fetches Apache's programs for those that need
/// them.
async fn prepare(args: &VersusArgs, blocks: &[Block]) -> Result<Option<Apache>, BenchError> {
    if blocks.iter().any(|block| block.rival.is_apache()) {
        check_space(args).await?;
    }
    if !args.quick {
        disk_room::check(&args.directory).await?;
    }
    match blocks.iter().any(Block::needs_apache) {
        true => Apache::fetch(&apache::directory(&args.directory)).await.map(Some),
        false => Ok(None),
    }
}

/// Makes the directory of the race's data, which has this name if nobody gives another, and the one
/// of everything else.
async fn make_output(args: &VersusArgs, name: &str) -> Result<PathBuf, BenchError> {
    let default = || args.directory.join(name);
    let output = std::path::absolute(args.output.clone().unwrap_or_else(default))
        .map_err(|error| BenchError::file(&args.directory, error))?;
    for directory in [args.directory.as_path(), &output] {
        make_directory(directory).await?;
    }
    Ok(output)
}

/// Who meets whom.
fn plan(args: &VersusArgs, seed: u64) -> Result<Plan, BenchError> {
    let scenarios = match &args.scenarios[..] {
        [] => SCENARIOS.iter().collect(),
        named => named.to_vec(),
    };
    let plan = Plan::new(&scenarios, &args.against, seed);
    match plan.blocks() {
        [] => Err(BenchError::Race(format!(
            "nobody of --against meets us in --scenarios; who would: {}",
            scenarios.iter().map(|scenario| scenario.field_words()).collect::<Vec<_>>().join("; ")
        ))),
        _ => Ok(plan),
    }
}

fn print(results: &Results, left_out: &str, as_json: bool) {
    match as_json {
        true => println!("{}", results.to_json()),
        false => {
            println!("\n{}{}", results.describe_parts(), results.brokers.describe());
            println!("{}{}", tables::describe(results, terminal::width()), left_out);
        }
    }
}

/// Says what comes.
fn announce(plan: &Plan, times: Times, results: &Results, output: &Path) {
    let seed = results.conditions["seed"].as_u64().unwrap_or_default();
    let missing = |block: &Block| times.blocks.saturating_sub(results.blocks_of(block));
    let all = plan.blocks().iter();
    let blocks: u32 = all.clone().map(missing).sum();
    let runs = all.clone().map(|block| block.order().len() * missing(block) as usize);
    let length = all.map(|block| estimate::block(block, times) * missing(block));
    eprintln!(
        "seed {seed}: {blocks} blocks, {} runs, about {} minutes; raw data in {}",
        runs.sum::<usize>(),
        length.sum::<std::time::Duration>().as_secs().div_ceil(60),
        output.display()
    );
}

/// Refuses a disk on which Apache's broker cannot run.
async fn check_space(args: &VersusArgs) -> Result<(), BenchError> {
    let used = files::used_share(&args.directory).await?;
    if used > DISK_USED_MAX {
        return Err(BenchError::Race(format!(
            "Apache's broker takes no messages on a file system of which more than {:.0} % is \
             used, and of {} it is {:.0} %: free some, or name another --directory",
            100.0 * DISK_USED_MAX,
            args.directory.display(),
            100.0 * used
        )));
    }
    Ok(())
}

/// What all stores of the race lie on; where it is mounted says nothing.
fn store(environment: &Environment) -> String {
    let disk = environment.disk.as_ref();
    let store = disk.map(|disk| format!("{} on {}", disk.file_system, disk.device));
    portable::text(&store.unwrap_or_default())
}

/// Everything that a reader of the results must know.
fn conditions(
    args: &VersusArgs,
    [our_program, store]: [&str; 2],
    apache: Option<&Apache>,
    times: Times,
    seed: u64,
) -> Value {
    let jvm = |rival, settings| args.variant_of(rival).jvm(settings, args.heap.as_deref());
    serde_json::json!({
        "bench": VERSION,
        "debug_build": cfg!(debug_assertions),
        "seed": seed,
        "blocks": times.blocks,
        "warm_up_s": times.warm_up.as_secs_f64(),
        "jvm_warm_up_s": times.jvm_warm_up.as_secs_f64(),
        "duration_s": times.duration.as_secs_f64(),
        "probe_s": times.probe.as_secs_f64(),
        "fill_share": times.fill_share,
        "apache": apache::VERSION,
        JAVA: apache.map(|apache| apache.java.as_str()),
        "shipped_jvm": jvm(Contestant::Shipped, apache::Settings::Shipped),
        "tuned_jvm": jvm(Contestant::Tuned, apache::Settings::Tuned),
        "variant": args.variant.map(|variant| variant.name),
        "our_program": our_program,
        "our_settings": (!args.ours_setting.is_empty()).then(|| args.ours_setting.join(" ")),
        "store": store,
        "our_shards": args.shards,
        "client_cores": args.client_cores.as_ref().map(Cores::to_string),
    })
}
