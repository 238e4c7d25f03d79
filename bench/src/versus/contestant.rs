//! A broker of the race while it runs: its processes, its fresh store, and what it uses.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringmq_runtime::disk::Disk;
use ringmq_runtime::{net, process};

use crate::args::target::{BrokerArgs, Flush};
use crate::args::versus::{Contestant, VersusArgs};
use crate::args::{Cli, Command};
use crate::error::BenchError;
use crate::target::Target;
use crate::target::embedded::{self, BOOT_SUCCESS};
use crate::target::scratch::Scratch;
use crate::versus::apache::{self, Apache, Ports, Settings};
use crate::versus::program::{self, Program};

/// A JVM that touches gigabytes of heap takes a while.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Topic of all scenarios, with bench's own number of queues.
pub const TOPIC: &str = "BenchTopic";

/// A running broker. Dropping it ends its processes and removes its store: fields go in their
/// order.
#[derive(Debug)]
pub struct Running {
    broker: Program,
    /// Apache's; ours has one inside. It is in no figure, since it has nothing to do under load.
    _namesrv: Option<Program>,
    pids: Vec<u32>,
    namesrv: String,
    home: Scratch,
}

impl Running {
    /// Starts a broker on a fresh store below the directory of the race, and waits until it takes
    /// requests. The files that begin with `prefix` get its settings and its words.
    ///
    /// # Errors
    /// A program is missing, ends, or is not ready in time.
    pub async fn start(
        contestant: Contestant,
        flush: Flush,
        (args, apache): (&VersusArgs, &Apache),
        prefix: &Path,
    ) -> Result<Self, BenchError> {
        let mut home = Scratch::new_in(&args.directory).await?;
        home.remove_at_end();
        let path = std::path::absolute(home.path())
            .map_err(|error| BenchError::file(home.path(), error))?;
        let ports = net::free_ports(3).map_err(BenchError::NoPorts)?;
        let (namesrv, listen, replication) = (ports[0], ports[1], ports[2]);
        let ports = Ports { namesrv, listen, replication };
        let conf = with_extension(prefix, "broker.conf");
        let (namesrv, words) = match contestant {
            Contestant::Ours => {
                let broker = BrokerArgs { flush, shards: args.shards, logs: 1, store: None };
                let text = embedded::configuration(&broker, &path, ports.namesrv, ports.listen);
                write(&conf, &text).await?;
                (None, ours(args, &conf)?)
            }
            Contestant::Shipped | Contestant::Tuned => {
                let settings = match contestant {
                    Contestant::Shipped => Settings::Shipped,
                    _ => Settings::Tuned,
                };
                let store = path.join("store");
                write(&conf, &apache::configuration(settings, flush, &store, ports)).await?;
                let namesrv = start_namesrv(apache, &path, ports, prefix).await?;
                (Some(namesrv), apache.broker(&path, &conf, settings, args.heap.as_deref()))
            }
        };
        let log = with_extension(prefix, "broker.log");
        let mut broker = Program::start(contestant.word(), &words, &log)?;
        broker.wait_until(START_LIMIT, |output| output.contains(BOOT_SUCCESS)).await?;
        let pids = broker.tree().await;
        let namesrv_address = format!("127.0.0.1:{}", ports.namesrv);
        Ok(Self { broker, _namesrv: namesrv, pids, namesrv: namesrv_address, home })
    }

    /// Address of the name server.
    pub fn namesrv(&self) -> &str {
        &self.namesrv
    }

    /// Its directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// What the broker's processes have used so far.
    pub fn usage(&self) -> process::Usage {
        program::usage_of(&self.pids)
    }

    /// The topic on it, which is made where it is missing.
    ///
    /// # Errors
    /// It cannot be reached, or makes no topic.
    pub async fn target(&self) -> Result<Target, BenchError> {
        let words = ["produce", "--topic", TOPIC, "-n", &self.namesrv].map(str::to_owned);
        match Cli::from_words(&words).unwrap_or_else(|error| error.exit()).command {
            Command::Produce(args) => Target::open(&args.load.target).await,
            _ => unreachable!("the first word says what it is"),
        }
    }

    /// Whether its processes are as they were when it started.
    pub async fn is_whole(&self) -> bool {
        self.broker.tree().await == self.pids
    }
}

/// Our broker: the program that was named, or this one.
fn ours(args: &VersusArgs, conf: &Path) -> Result<Vec<OsString>, BenchError> {
    Ok(match &args.ours {
        Some(program) => vec![program.into(), "-c".into(), conf.into()],
        None => {
            let program = std::env::current_exe().map_err(BenchError::Child)?;
            let parent = process::pid().to_string();
            let words = [program.into(), "serve-broker".into(), conf.into()];
            words.into_iter().chain(["--parent".into(), parent.into()]).collect()
        }
    })
}

async fn start_namesrv(
    apache: &Apache,
    home: &Path,
    ports: Ports,
    prefix: &Path,
) -> Result<Program, BenchError> {
    let conf = home.join("namesrv.conf");
    write(&conf, &apache::namesrv_configuration(home, ports)).await?;
    let log = with_extension(prefix, "namesrv.log");
    let mut namesrv = Program::start("name server", &apache.namesrv(home, &conf), &log)?;
    namesrv.wait_until(START_LIMIT, |output| output.contains(BOOT_SUCCESS)).await?;
    Ok(namesrv)
}

/// A file beside others with the same beginning.
pub fn with_extension(prefix: &Path, extension: &str) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(".");
    path.push(extension);
    path.into()
}

/// Writes a text file.
///
/// # Errors
/// Its directory cannot be written.
pub async fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default();
    let written = match Disk::live(directory) {
        Ok(disk) => disk.replace(name, text.as_bytes()).await,
        Err(error) => Err(error),
    };
    written.map_err(|error| BenchError::file(path, error))
}
