//! Name servers and brokers under test: ours and Apache's, started with the same settings.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::background::Background;
use crate::java::{self, Program, VERSION_5};
use crate::probe;
use crate::workspace::{Outcome, at, root, target};

/// A JVM that starts on a busy machine takes some seconds.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Apache's broker refuses requests that waited 200 ms for a thread, which on a busy machine they
/// do.
const BUSY_MS: u32 = 10_000;

/// Whose program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Make {
    /// This workspace's.
    Ours,
    /// The reference, from its published packages.
    Apache,
}

/// What runs, and how.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub namesrv: Make,
    pub broker: Make,
    /// Cores that run shards; only for our broker.
    pub shards: usize,
    /// Message logs of a new store; only for our broker.
    pub logs: usize,
    pub flush: &'static str,
    /// Clients reach the broker at `::1`; only for our broker.
    pub ipv6: bool,
    /// Our programs are built without optimization.
    pub debug: bool,
}

/// A running name server and broker.
pub struct Cluster {
    // Declared in the order in which they are dropped: the broker says goodbye to a living name
    // server.
    broker: Background,
    namesrv: Background,
    /// Address of the name server.
    pub namesrv_address: SocketAddr,
    /// Address of the broker.
    pub broker_address: SocketAddr,
}

impl Cluster {
    /// Starts both and waits until the broker is registered. `folder` gets store, configuration and
    /// logs.
    ///
    /// # Errors
    /// A program is missing, ends, or is not ready in time; IPv6 is asked for and there is none.
    pub fn start(setup: Setup, folder: &Path) -> Outcome<Self> {
        if setup.ipv6 {
            probe::has_ipv6()?;
        }
        let conf = folder.join("conf");
        std::fs::create_dir_all(&conf).map_err(at(&conf))?;
        let namesrv_address = localhost(probe::free_port()?);
        let namesrv = start_namesrv(setup, folder, namesrv_address)?;
        let port = probe::free_port()?;
        let broker_address =
            if setup.ipv6 { (Ipv6Addr::LOCALHOST, port).into() } else { localhost(port) };
        let mut broker = start_broker(setup, folder, namesrv_address, broker_address)?;
        broker.wait_until(START_LIMIT, |output| output.contains("boot success"))?;
        broker.wait_until(START_LIMIT, |_| probe::has_route(namesrv_address, "TBW102"))?;
        Ok(Self { broker, namesrv, namesrv_address, broker_address })
    }

    /// Stops both with SIGTERM.
    ///
    /// # Errors
    /// One of them had ended before, or does not end cleanly.
    pub fn stop(self) -> Outcome {
        let broker = self.broker.stop(STOP_LIMIT);
        let namesrv = self.namesrv.stop(STOP_LIMIT);
        broker.and(namesrv)
    }
}

fn localhost(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn start_namesrv(setup: Setup, folder: &Path, address: SocketAddr) -> Outcome<Background> {
    let port = address.port();
    let folder_text = folder.display();
    let file = folder.join("conf/namesrv.conf");
    let text = format!(
        "listenPort={port}\nkvConfigPath={folder_text}/kvConfig.json\n\
         configStorePath={folder_text}/namesrv.properties\n"
    );
    std::fs::write(&file, text).map_err(at(&file))?;
    let mut command = match setup.namesrv {
        Make::Ours => binary("mqnamesrv", setup.debug)?,
        Make::Apache => {
            apache()?.command_with(&jvm(folder), "org.apache.rocketmq.namesrv.NamesrvStartup", 256)
        }
    };
    command.arg("-c").arg(&file);
    let mut namesrv =
        Background::start("the name server", &mut command, &folder.join("namesrv.log"))?;
    namesrv.wait_until(START_LIMIT, |_| probe::accepts(address))?;
    Ok(namesrv)
}

fn start_broker(
    setup: Setup,
    folder: &Path,
    namesrv: SocketAddr,
    address: SocketAddr,
) -> Outcome<Background> {
    let file = folder.join("conf/broker.conf");
    let text = broker_conf(setup, folder, namesrv, address)?;
    std::fs::write(&file, text).map_err(at(&file))?;
    let mut command = match setup.broker {
        Make::Ours => binary("mqbroker", setup.debug)?,
        Make::Apache => {
            apache()?.command_with(&jvm(folder), "org.apache.rocketmq.broker.BrokerStartup", 768)
        }
    };
    command.arg("-c").arg(&file);
    Background::start("the broker", &mut command, &folder.join("broker.log"))
}

fn broker_conf(
    setup: Setup,
    folder: &Path,
    namesrv: SocketAddr,
    address: SocketAddr,
) -> Outcome<String> {
    let (ip, port) = (address.ip(), address.port());
    let store = folder.join("store");
    let store = store.display();
    let flush = setup.flush;
    let mut text = format!(
        "listenPort={port}\nnamesrvAddr={namesrv}\nbrokerName=broker-a\nbrokerClusterName=DefaultCluster\n\
         brokerId=0\nbrokerIP1={ip}\nstorePathRootDir={store}\nflushDiskType={flush}\n\
         autoCreateTopicEnable=true\nmappedFileSizeCommitLog=67108864\n"
    );
    match setup.broker {
        Make::Ours => {
            let cores = allowed_cores(setup.shards)?;
            text += &format!("shardCores={cores}\ncommitLogCount={}\n", setup.logs);
            if setup.ipv6 {
                text += "bindAddress=::\n";
            }
        }
        Make::Apache => {
            text += &format!(
                "storePathCommitLog={store}/commitlog\nhaListenPort={}\n\
                 waitTimeMillsInSendQueue={BUSY_MS}\nwaitTimeMillsInPullQueue={BUSY_MS}\n",
                port + 1
            );
        }
    }
    Ok(text)
}

/// The first cores that this process may use, as a list in the form of `shardCores`.
fn allowed_cores(count: usize) -> Outcome<String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .ok_or("/proc/self/status has no Cpus_allowed_list")?;
    let mut cores = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let parse = |text: &str| text.parse::<usize>().map_err(|e| format!("core {text}: {e}"));
        cores.extend(parse(first)?..=parse(last)?);
    }
    if cores.len() < count {
        return Err(format!(
            "{count} shards need {count} cores, this process may use {}",
            cores.len()
        ));
    }
    Ok(cores[..count].iter().map(usize::to_string).collect::<Vec<_>>().join(","))
}

fn binary(name: &str, debug: bool) -> Outcome<Command> {
    let path: PathBuf = target().join(if debug { "debug" } else { "release" }).join(name);
    if path.exists() {
        Ok(Command::new(path))
    } else {
        Err(format!("{} is missing", path.display()))
    }
}

fn apache() -> Outcome<Program> {
    java::build("apache", VERSION_5)
}

/// Its logs and anything else that it writes beside the store go below `folder`.
fn jvm(folder: &Path) -> [String; 3] {
    [
        format!("-Duser.home={}", folder.join("home").display()),
        format!("-Drocketmq.home.dir={}", root().join("tools/compat/apache").display()),
        "-XX:MaxDirectMemorySize=512m".into(),
    ]
}
