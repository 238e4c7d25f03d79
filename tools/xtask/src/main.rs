//! Developer tasks, run as `cargo xtask TASK`.

mod background;
mod compat;
mod golden;
mod java;
mod probe;
mod process;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Developer tasks of RingMQ.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Regenerate the golden bytes with the official Java classes, or compare the tree with them
    Golden {
        /// Compare only: fail when the tree differs from what the Java classes make
        #[arg(long)]
        check: bool,
    },
    /// Run the foreign clients against our servers
    Compat(compat::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Golden { check } => golden::run(check),
        Task::Compat(arguments) => compat::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}
