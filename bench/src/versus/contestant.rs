//! A broker of the race while it runs: its processes, its fresh store, and what it uses.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::{net, process, task};

use crate::args::target::{BrokerArgs, Flush};
use crate::args::versus::{Contestant, VersusArgs};
use crate::error::BenchError;
use crate::files::{self, with_extension};
use crate::program::{self, Program};
use crate::stages;
use crate::target::Target;
use crate::target::caller::Caller;
use crate::target::embedded::{self, BOOT_SUCCESS};
use crate::target::scratch::Scratch;
use crate::versus::apache::{self, Apache, Ports, Settings};
use crate::versus::brokers;
use crate::versus::scenario::Own;
use crate::versus::variants::Variant;

/// A JVM that touches gigabytes of heap takes a while, and one that opens 40,000 files longer.
const START_LIMIT: Duration = Duration::from_secs(300);

/// How long a broker may take to end: Apache's flushes each of its files, and 40,000 of them take
/// two minutes on a device that needs 3 ms.
const END_LIMIT: Duration = Duration::from_secs(300);

/// What the file of a broker's settings is called behind the name of its run.
pub const SETTINGS: &str = "broker.conf";

/// Time between two questions to a broker that starts.
const ANSWER_POLL: Duration = Duration::from_millis(10);

/// What is to be started.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// Programs and directories.
    pub args: &'a VersusArgs,
    /// The rival's programs, where Apache's broker takes part.
    pub apache: Option<&'a Apache>,
    /// Whose broker.
    pub contestant: Contestant,
    /// Its policy, and the shards of ours.
    pub own: Own,
    /// Lines that either broker gets besides; most scenarios have none.
    pub more: &'a str,
    /// What is changed of the tuned settings.
    pub variant: &'static Variant,
}

/// A running broker. Dropping it ends its processes and removes its store: fields go in their
/// order.
#[derive(Debug)]
pub struct Running {
    broker: Program,
    /// Apache's; ours has one inside. It is in no figure, since it has nothing to do under load.
    _namesrv: Option<Program>,
    has_queue_files: bool,
    pids: Vec<u32>,
    namesrv: String,
    launch: Launch,
    home: Scratch,
}

/// How the broker is started, each time with a log of its own.
#[derive(Debug)]
struct Launch {
    name: &'static str,
    words: Vec<OsString>,
    prefix: PathBuf,
    starts: u32,
}

impl Launch {
    fn start(&mut self) -> Result<Program, BenchError> {
        self.starts += 1;
        let log = match self.starts {
            1 => "broker.log".to_owned(),
            again => format!("broker-{again}.log"),
        };
        Program::start(self.name, &self.words, &with_extension(&self.prefix, &log))
    }
}

impl Running {
    /// Starts a broker on a fresh store below the directory of the race, and waits until it takes
    /// requests. The files that begin with `prefix` get its settings and its words.
    ///
    /// # Errors
    /// A program is missing, ends, or is not ready in time.
    pub async fn start(setup: Setup<'_>, prefix: &Path) -> Result<Self, BenchError> {
        let mut home = Scratch::new_in(&setup.args.directory).await?;
        home.remove_at_end();
        let path = std::path::absolute(home.path())
            .map_err(|error| BenchError::file(home.path(), error))?;
        let ports = net::free_ports(3).map_err(BenchError::NoPorts)?;
        let (namesrv, listen, replication) = (ports[0], ports[1], ports[2]);
        let ports = Ports { namesrv, listen, replication };
        let conf = with_extension(prefix, SETTINGS);
        files::replace(&conf, configuration(setup, &path, ports).as_bytes()).await?;
        let (namesrv, words) = match settings(setup.contestant) {
            None => (None, ours(setup.args, &conf)?),
            Some(settings) => {
                let apache = apache::fetched(setup.apache);
                let namesrv = start_namesrv(apache, &path, ports, prefix).await?;
                let jvm = setup.variant.jvm(settings, setup.args.heap.as_deref());
                (Some(namesrv), apache.broker(&path, &conf, &jvm))
            }
        };
        let name = setup.contestant.word();
        let mut launch = Launch { name, words, prefix: prefix.to_owned(), starts: 0 };
        let mut broker = launch.start()?;
        broker.wait_until(START_LIMIT, |output| output.contains(BOOT_SUCCESS)).await?;
        let pids = broker.tree().await;
        Ok(Self {
            broker,
            _namesrv: namesrv,
            has_queue_files: setup.contestant.is_apache() && setup.variant.has_queue_files(),
            pids,
            namesrv: format!("127.0.0.1:{}", ports.namesrv),
            launch,
            home,
        })
    }

    /// Address of the name server.
    pub fn namesrv(&self) -> &str {
        &self.namesrv
    }

    /// Its directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Whether it keeps a file of each queue open, and maps it.
    pub fn has_queue_files(&self) -> bool {
        self.has_queue_files
    }

    /// Its processes.
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// What they have used so far.
    pub fn usage(&self) -> process::Usage {
        program::usage_of(&self.pids)
    }

    /// Refuses figures of a broker that has other processes than when it started, of whose costs
    /// not all are known.
    ///
    /// # Errors
    /// One of them came or went.
    pub async fn check_processes(&self) -> Result<(), BenchError> {
        let found = self.broker.tree().await;
        match found == self.pids {
            true => Ok(()),
            false => Err(BenchError::Race(format!(
                "expected the broker to have the processes {:?} all the time, found {found:?} at \
                 the end: what it did then is in its log",
                self.pids
            ))),
        }
    }

    /// Ends the broker as a service manager does.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn end(&mut self) -> Result<(), BenchError> {
        self.broker.terminate(END_LIMIT).await
    }

    /// Starts it again on what it has stored; the time until it answers for the last queue of
    /// `target`.
    ///
    /// # Errors
    /// It ends, or does not answer in time.
    pub async fn start_again(&mut self, target: &Target) -> Result<Duration, BenchError> {
        self.broker = self.launch.start()?;
        let begun = Instant::now();
        while last_range(target).await.is_err() {
            if begun.elapsed() > START_LIMIT || !self.broker.is_running()? {
                return Err(self.broker.failed("did not answer after its restart").await);
            }
            task::sleep(ANSWER_POLL).await;
        }
        let took = begun.elapsed();
        self.broker.wait_until(START_LIMIT, |output| output.contains(BOOT_SUCCESS)).await?;
        self.pids = self.broker.tree().await;
        Ok(took)
    }
}

/// First and next offset of the last queue of `target`.
///
/// # Errors
/// The broker does not answer.
pub async fn last_range(target: &Target) -> Result<(u64, u64), BenchError> {
    let queue = target.queues().pop().expect("a topic has a queue");
    let mut caller = Caller::connect(target.broker_addr(queue.broker)).await?;
    target.range_of(&mut caller, queue).await
}

/// Those of Apache's broker; none if it is ours that plays.
fn settings(contestant: Contestant) -> Option<Settings> {
    match contestant {
        Contestant::Shipped => Some(Settings::Shipped),
        Contestant::Tuned => Some(Settings::Tuned),
        Contestant::Ours | Contestant::Otherwise | Contestant::Null => None,
    }
}

/// What a broker is told, apart from its place: what its `broker.conf` has, and of the null broker,
/// which has none, its policy.
pub fn told(setup: Setup<'_>) -> brokers::KeyValues {
    let nowhere = Ports { namesrv: 0, listen: 0, replication: 0 };
    match setup.contestant {
        Contestant::Null => of_null(setup.own.flush),
        _ => brokers::settings(&configuration(setup, Path::new("/"), nowhere)),
    }
}

/// What the null broker is told.
pub fn of_null(flush: Flush) -> brokers::KeyValues {
    [("flushDiskType".to_owned(), flush.key().to_owned())].into()
}

/// The `broker.conf` of either broker.
fn configuration(setup: Setup<'_>, home: &Path, ports: Ports) -> String {
    let text = of_contestant(setup, home, ports) + setup.more;
    setup.variant.configuration(&text)
}

/// The same without what the scenario and the variant say.
fn of_contestant(setup: Setup<'_>, home: &Path, ports: Ports) -> String {
    let flush = setup.own.flush;
    match settings(setup.contestant) {
        Some(settings) => apache::configuration(settings, flush, &home.join("store"), ports),
        None => {
            let shards = setup.own.shards.unwrap_or(setup.args.shards);
            let broker = BrokerArgs { flush, shards, logs: 1, store: None };
            let mut text = embedded::configuration(&broker, home, ports.namesrv, ports.listen);
            if setup.own.times_stages {
                text += &format!("{}=true\n", stages::SETTING);
            }
            setup.args.ours_setting.iter().fold(text, |text, named| format!("{text}{named}\n"))
        }
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
    files::replace(&conf, apache::namesrv_configuration(home, ports).as_bytes()).await?;
    let log = with_extension(prefix, "namesrv.log");
    let mut namesrv = Program::start("name server", &apache.namesrv(home, &conf), &log)?;
    namesrv.wait_until(START_LIMIT, |output| output.contains(BOOT_SUCCESS)).await?;
    Ok(namesrv)
}
