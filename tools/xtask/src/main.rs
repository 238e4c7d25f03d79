//! Developer tasks, run as `cargo xtask TASK`.

mod background;
mod check;
mod compat;
mod durability;
mod foreign;
mod golden;
mod histograms;
mod java;
mod probe;
mod process;
mod race;
mod readme;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Everything CI checks without a server: fmt, clippy, tidy, conf, test
    Check,
    /// Write the sample configurations from the tables in the code
    Conf {
        /// Compare only: fail when a file differs
        #[arg(long)]
        check: bool,
    },
    /// Kill the broker under load again and again, and read back all that it acknowledged
    Crash {
        /// How often, for each flush mode
        #[arg(long, default_value_t = 20)]
        rounds: u32,
    },
    /// Measure group commit with 64 producers and with one
    GroupCommit,
    /// Run `bench` against Apache's name server and broker for a moment: its loads work there, its
    /// counts are right, and races against that broker come to something
    BenchApache {
        /// Take the unoptimized binaries
        #[arg(long)]
        debug: bool,
    },
    /// Race our broker against itself and the null broker for a moment: all parts work
    Race,
    /// Run the store's test on a simulated disk with many seeds
    StoreSeeds {
        /// How many
        #[arg(long, default_value_t = 500)]
        seeds: u32,
    },
    /// Check the rules that neither the compiler nor clippy knows
    Tidy,
    /// Run what the README prints: its first command, and the tour with a Java client
    Readme,
    /// Run the foreign clients against our servers
    Compat(compat::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Golden { check } => golden::run(check),
        Task::Check => check::run(),
        Task::Conf { check } => check::conf(check),
        Task::Crash { rounds } => durability::crash(rounds),
        Task::GroupCommit => durability::group_commit(),
        Task::BenchApache { debug } => foreign::run(debug),
        Task::Race => race::run(),
        Task::StoreSeeds { seeds } => durability::store_seeds(seeds),
        Task::Tidy => tidy::run(),
        Task::Readme => readme::run(),
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
