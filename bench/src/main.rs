//! Measures RocketMQ-compatible brokers, and proves that what they acknowledged can be read.

mod args;
mod consume;
mod crash;
mod driver;
mod end_to_end;
mod ending;
mod environment;
mod error;
mod limits;
mod measure;
mod produce;
mod proof;
mod record;
mod report;
mod target;
mod wire;
mod workload;

use std::io::IsTerminal;
use std::process::ExitCode;

use ringmq_runtime::shards;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};
use crate::target::embedded;

fn main() -> ExitCode {
    let cli = Cli::from_process();
    if let Command::ServeBroker(args) = &cli.command {
        return embedded::serve(&args.config);
    }
    // Standard error belongs to the live lines; RUST_LOG=warn shows stalls of bench itself, too.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal);
    log.with_writer(std::io::stderr).init();
    let outcome = match cli.command {
        Command::ServeBroker(_) => unreachable!("it returned above"),
        Command::Produce(args) => {
            shards::try_block_on("bench", async move { produce::run(&args).await })
        }
        Command::Consume(args) => {
            shards::try_block_on("bench", async move { consume::run(&args).await })
        }
        Command::EndToEnd(args) => {
            shards::try_block_on("bench", async move { end_to_end::run(&args).await })
        }
        Command::Crash(args) => {
            shards::try_block_on("bench", async move { crash::run(&args).await })
        }
    };
    match outcome {
        Ok(Ok(ending)) => ending.code(),
        Ok(Err(error)) => fail(&error),
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("bench: {error}");
    ExitCode::from(1)
}
