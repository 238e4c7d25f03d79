//! Measures RocketMQ-compatible brokers, and proves that what they acknowledged can be read.

#[macro_use]
mod say;

mod args;
mod cold_log;
mod compare;
mod consume;
mod crash;
mod disk_room;
mod documents;
mod driver;
mod end_to_end;
mod ending;
mod environment;
mod error;
mod files;
mod idle;
mod knee;
mod leftovers;
mod limits;
mod measure;
mod mixed;
mod observe;
mod outbox;
mod page_cache;
mod produce;
mod profile;
mod program;
mod proof;
mod readers;
mod record;
mod report;
mod seed;
mod stages;
mod stop;
mod switch;
mod target;
mod versus;
mod wire;
mod workload;

use std::process::ExitCode;

use ringmq_runtime::shards;

use crate::args::commands::RunArgs;
use crate::args::{Cli, Command, scenario};
use crate::documents::Wanted;
use crate::ending::Ending;
use crate::error::BenchError;
use crate::limits::null_broker;
use crate::target::{child, embedded};

fn main() -> ExitCode {
    let cli = Cli::from_process();
    match &cli.command {
        Command::ServeBroker(args) => {
            return child::serve(args.parent, || embedded::serve(&args.config));
        }
        Command::ServeNull(args) => return child::serve(args.parent, || null_broker::serve(args)),
        _ => {}
    }
    // Standard error belongs to the live lines; RUST_LOG=warn shows stalls of bench itself, too.
    ringmq_program::start_log("RUST_LOG", "error");
    leftovers::clear_at_panic();
    match shards::try_block_on("bench", stop::run(run(cli.command))) {
        Ok(Ok(ending)) => ending.code(),
        // A scenario is a command line.
        Ok(Err(error @ BenchError::Scenario { .. })) => fail(2, &error),
        Ok(Err(BenchError::WrongFile(file))) if file.wanted == Wanted::Scenario => fail(2, &file),
        Ok(Err(error)) => fail(1, &error),
        Err(error) => fail(1, &error),
    }
}

async fn run(command: Command) -> Result<Ending, BenchError> {
    files::check(&command.files())?;
    match command {
        Command::Run(args) => run_scenario(&args).await,
        Command::Produce(args) => produce::run(&args).await,
        Command::Consume(args) => consume::run(&args).await,
        Command::EndToEnd(args) => end_to_end::run(&args).await,
        Command::Mixed(args) => mixed::run(&args).await,
        Command::Idle(args) => idle::run(&args).await,
        Command::Knee(args) => knee::run(&args).await,
        Command::Switch(args) => switch::run(&args).await,
        Command::Compare(args) => compare::run(&args).await,
        Command::Report(args) => report::command::run(&args).await,
        Command::Versus(args) => versus::run(&args).await,
        Command::Crash(args) => crash::run(&args).await,
        Command::Limits(args) => limits::command::run(&args).await,
        Command::ServeBroker(_) | Command::ServeNull(_) => unreachable!("main returned before"),
    }
}

/// Runs the command of a scenario file, with the flags of the command line behind its own.
async fn run_scenario(args: &RunArgs) -> Result<Ending, BenchError> {
    let words = scenario::words(&args.scenario).await?;
    let (words, left_out) = scenario::with_flags(words, &args.flags);
    left_out.iter().for_each(|word| {
        eprintln!("note: {word} is of a broker that bench starts, and left out with --namesrv");
    });
    // What the file says is sound, so what is wrong now is in the flags.
    let cli = Cli::from_scenario(&words).unwrap_or_else(|error| error.exit());
    Box::pin(run(cli.command)).await
}

fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("bench: {error}");
    ExitCode::from(code)
}
