//! The machine on which a run was made: without it a figure cannot be compared with another.

pub mod disk;
mod governor;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ringmq_runtime::disk::Disk;
use ringmq_runtime::{clock, process, shards};
use ringmq_version::VERSION;
use serde::{Deserialize, Serialize};

use crate::args::said::{self, Said};
use crate::environment::disk::{DiskFacts, disk_facts};
use crate::observe::Strain;
use crate::target::Target;
use crate::target::caller::Caller;

/// Largest file of `/proc` and `/sys` that is read here.
const FACT_MAX_BYTES: usize = 1 << 20;

/// The machine of bench, the disk and the broker. Facts that the system does not tell are empty.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// When the run ended, Unix ms.
    pub unix_ms: i64,
    /// Version of bench, and how it was built.
    pub bench: String,
    /// Its command line.
    pub command: String,
    /// The flags of the command, defaults included.
    pub settings: BTreeMap<String, String>,
    /// Release of the kernel.
    pub kernel: String,
    /// Name of the processor.
    pub cpu: String,
    /// Cores that bench may use.
    pub cores: usize,
    /// Cores to which threads of the client side were bound; none: one thread, bound to none.
    pub client_cores: Vec<usize>,
    /// Those of them to which the broker is bound that bench started, too.
    pub shared_cores: Vec<usize>,
    /// How the cores choose their frequency, and which does how where they differ.
    pub governor: String,
    /// Memory nodes.
    pub numa_nodes: String,
    /// Memory of the machine or the container.
    pub memory_bytes: u64,
    /// Load averages: who else was there.
    pub load_average: String,
    /// What the machine did during the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meanwhile: Option<Strain>,
    /// Where a broker on this machine keeps its files; none for any other broker.
    pub disk: Option<DiskFacts>,
    /// What the broker says of itself.
    pub broker: BTreeMap<String, String>,
    /// Its configuration.
    pub broker_config: BTreeMap<String, String>,
}

/// Where `/proc` and `/sys` are.
const ROOT: &str = "/";

/// How this program was built: figures of a debug build mean nothing.
const BUILD: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// Our own release, in a broker's runtime information; Apache's broker has no such key.
pub const RELEASE_KEY: &str = "ringmqVersion";

/// The release of Apache's broker whose protocol a broker speaks.
pub const VERSION_KEY: &str = "brokerVersionDesc";

/// The key of a broker that says where it keeps its files.
const STORE_KEY: &str = "storePathRootDir";

/// What a broker tells of itself that says something about a figure.
const BROKER_FACTS: [&str; 4] = [RELEASE_KEY, VERSION_KEY, "brokerVersion", "bootTimestamp"];

impl Environment {
    /// Looks at the machine, and asks the first broker of the target.
    pub async fn of(target: &Target) -> Self {
        let (broker, broker_config) = broker_facts(target).await.unwrap_or_default();
        let disk = match store_of(target, &broker_config) {
            Some(store) => disk_facts(&store).await,
            None => None,
        };
        let client_cores = target.clients().cores().to_vec();
        let shared_cores = target.shared_cores();
        let machine = Self::of_machine().await;
        Self { disk, broker, broker_config, client_cores, shared_cores, ..machine }
    }

    /// Looks at the machine and the disk under a directory.
    pub async fn of_directory(directory: &Path) -> Self {
        let disk = match std::path::absolute(directory) {
            Ok(directory) => disk_facts(&directory).await,
            Err(_) => None,
        };
        Self { disk, ..Self::of_machine().await }
    }

    /// Looks at the machine alone.
    pub async fn of_machine() -> Self {
        Self::of_files(Path::new(ROOT)).await
    }

    /// The same of the machine whose kernel has its files below `root`.
    async fn of_files(root: &Path) -> Self {
        let Said { words: command, settings } = said::said();
        let fact = async |path| fact_below(root, path).await;
        Self {
            unix_ms: clock::unix_ms(),
            bench: format!("{VERSION}, {BUILD} build"),
            command,
            settings,
            kernel: fact("proc/sys/kernel/osrelease").await,
            cpu: cpu_model(&fact("proc/cpuinfo").await),
            cores: shards::usable_cores().len(),
            governor: governor::of_cores(root).await,
            numa_nodes: fact("sys/devices/system/node/online").await,
            memory_bytes: process::memory_bytes(),
            load_average: loads(&fact("proc/loadavg").await),
            ..Self::default()
        }
    }
}

/// A file of the kernel, without the line end; empty when it is not there.
pub async fn fact(path: &str) -> String {
    fact_below(Path::new(ROOT), path).await
}

/// The same of a kernel that has its files below `root`.
async fn fact_below(root: &Path, path: &str) -> String {
    let Ok(root) = Disk::live(root) else { return String::new() };
    let bytes = root.read_all(path, FACT_MAX_BYTES).await.unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// The loads of one, five and fifteen minutes; what follows is of processes.
fn loads(loadavg: &str) -> String {
    loadavg.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn cpu_model(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or(String::new(), |rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// Where a broker on this machine keeps its files: bench started it, or was told its processes.
fn store_of(target: &Target, broker_config: &Facts) -> Option<PathBuf> {
    match target.store() {
        Some(store) => std::path::absolute(store).ok(),
        None => local_store(target.usage().is_some(), broker_config),
    }
}

/// The directory that a broker itself names; a relative one is of its own, which is not known.
fn local_store(is_here: bool, broker_config: &Facts) -> Option<PathBuf> {
    let named = broker_config.get(STORE_KEY).filter(|_| is_here).map(PathBuf::from)?;
    named.is_absolute().then_some(named)
}

type Facts = BTreeMap<String, String>;

/// What a broker says of itself and its configuration; none when it does not answer.
async fn broker_facts(target: &Target) -> Option<(Facts, Facts)> {
    let mut caller = Caller::connect(target.broker_addr(0)).await.ok()?;
    let table = caller.runtime_information().await.ok()?;
    let told = |name: &&str| Some(((*name).to_owned(), table.get(*name)?.clone()));
    let facts = BROKER_FACTS.iter().filter_map(told).collect();
    Some((facts, caller.configuration().await.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a directory with these files, by their paths and contents.
    pub fn with_files<T>(files: &[(&str, &str)], test: impl AsyncFnOnce(&Path) -> T) -> T {
        let folder = tempfile::tempdir().unwrap();
        let tested = shards::try_block_on("test", async {
            let disk = Disk::live(folder.path()).unwrap();
            for (file, text) in files {
                disk.create_dir_all(Path::new(file).parent().unwrap()).await.unwrap();
                disk.replace(file, *text).await.unwrap();
            }
            test(folder.path()).await
        });
        tested.unwrap()
    }

    #[test]
    fn the_facts_of_a_machine_are_read_from_the_files_of_its_kernel() {
        let files = [
            ("proc/sys/kernel/osrelease", "6.1.0\n"),
            ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Fast CPU\n"),
            ("proc/loadavg", "0.50 0.25 0.10 1/99 7\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
            ("sys/devices/system/node/online", "0-1\n"),
        ];
        let environment = with_files(&files, async |root| Environment::of_files(root).await);
        let Environment { kernel, cpu, load_average, governor, numa_nodes, .. } = environment;
        assert_eq!([&*kernel, &cpu, &load_average], ["6.1.0", "Fast CPU", "0.50 0.25 0.10"]);
        assert_eq!([&*governor, &numa_nodes], ["performance", "0-1"]);
    }

    #[test]
    fn of_the_load_only_the_three_averages_are_told() {
        assert_eq!(loads("3.72 2.29 1.25 6/141 13386"), "3.72 2.29 1.25");
        assert_eq!(loads(""), "");
    }

    #[test]
    fn a_broker_of_this_machine_has_a_disk_whoever_started_it() {
        let named = |path: &str| [(STORE_KEY.to_owned(), path.to_owned())].into();
        assert_eq!(local_store(true, &named("/var/store")), Some("/var/store".into()));
        assert_eq!(local_store(false, &named("/var/store")), None, "on another machine");
        assert_eq!(local_store(true, &named("store")), None);
        assert_eq!(local_store(true, &Facts::new()), None);
    }

    #[test]
    fn the_processor_is_named() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: Fast CPU\n"), "Fast CPU");
    }
}
