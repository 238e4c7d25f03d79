//! The arguments of `bench limits`, and of the null broker that it and other commands start.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::args::load::{MessageArgs, PaceArgs};
use crate::args::target::Flush;
use crate::args::values::{self, Cores};

/// `bench limits`.
#[derive(Clone, Debug, Args)]
pub struct LimitsArgs {
    /// Name server, `host:port`, or several with `;` between: measure the way to its masters and
    /// back instead of this machine.
    #[arg(short, long, value_name = "ADDRESS", value_parser = values::name_servers)]
    pub namesrv: Option<String>,
    /// The same of this broker alone, `host:port`.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "namesrv",
          value_parser = values::address)]
    pub broker: Option<String>,
    /// A directory on the file system to be measured.
    #[arg(long, default_value = "data")]
    pub directory: PathBuf,
    /// Core of the null broker.
    #[arg(long, default_value_t = 0)]
    pub core: usize,
    /// Cores of those who load it, such as 1 or 2-3,5: one thread bound to each. Without it one
    /// thread wherever the kernel puts it.
    #[arg(long, value_name = "CORES", value_parser = values::cores)]
    pub client_cores: Option<Cores>,
    /// The load on the null broker.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// The messages.
    #[command(flatten)]
    pub message: MessageArgs,
    /// Print one JSON document instead of tables.
    #[arg(long)]
    pub json: bool,
}

impl LimitsArgs {
    /// Cores of the client side; none: one thread wherever the kernel puts it.
    pub fn client_cores(&self) -> &[usize] {
        Cores::numbers(self.client_cores.as_ref())
    }
}

/// The null broker, a child as the broker is.
#[derive(Clone, Debug, Args)]
pub struct ServeNullArgs {
    /// Where it writes.
    pub directory: PathBuf,
    /// What it does before it answers.
    #[arg(long, value_enum)]
    pub durability: Durability,
    /// A file there with stored messages: the answer to every pull.
    #[arg(long)]
    pub messages: Option<PathBuf>,
    /// Answer pulls with what is sent.
    #[arg(long)]
    pub deliver: bool,
    /// Answer pulls from a file there, which has so many answers.
    #[arg(long, requires = "cold_len")]
    pub cold_answers: Option<u64>,
    /// Bytes of each of them.
    #[arg(long, requires = "cold_answers")]
    pub cold_len: Option<usize>,
    /// Its core.
    #[arg(long)]
    pub core: usize,
    /// The process that started it.
    #[arg(long)]
    pub parent: u32,
}

/// What a null broker does before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Nothing.
    None,
    /// Writes.
    Async,
    /// Writes and flushes.
    Sync,
}

impl From<Flush> for Durability {
    /// What a broker of this policy does.
    fn from(flush: Flush) -> Self {
        match flush {
            Flush::Sync => Self::Sync,
            Flush::Async => Self::Async,
        }
    }
}

impl Durability {
    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Async => "async",
            Self::Sync => "sync",
        }
    }

    /// What it means.
    pub fn describe(self) -> &'static str {
        match self {
            Self::None => "the read",
            Self::Async => "the write",
            Self::Sync => "write and flush",
        }
    }
}
