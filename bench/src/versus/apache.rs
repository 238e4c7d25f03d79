//! Apache's name server, broker and benchmark client: where they come from, and their settings.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringmq_runtime::disk::Disk;

use crate::args::target::Flush;
use crate::error::BenchError;
use crate::program::{Program, version_of};
use crate::target::scratch::make_directory;

/// The version that is raced.
pub const VERSION: &str = "5.5.0";

/// Its broker in Maven's repository.
pub const BROKER: &str = "org.apache.rocketmq:rocketmq-broker";

/// Maven's project: the coordinates of what is raced.
const POM: &str = include_str!("pom.xml");

/// Where Maven writes the class path.
const CLASS_PATH: &str = "classpath.txt";

/// The first time Maven fetches some 150 archives.
const FETCH_LIMIT: Duration = Duration::from_secs(900);

/// Largest class path that is read.
const CLASS_PATH_MAX_BYTES: usize = 1 << 20;

/// Heap of the shipped broker's script, `runbroker.sh`.
const SHIPPED_HEAP: &str = "8g";

/// Heap of the tuned one: it works on 1 KiB messages with less than 1 GiB of live data, and pages
/// that the heap does not take are page cache.
const TUNED_HEAP: &str = "2g";

/// What the shipped script adds to the heap. Logs of the collector are left out: they only cost.
const SHIPPED_JVM: &str = "-server -XX:+UseG1GC -XX:G1HeapRegionSize=16m -XX:G1ReservePercent=25 \
     -XX:InitiatingHeapOccupancyPercent=30 -XX:SoftRefLRUPolicyMSPerMB=0 \
     -XX:-OmitStackTraceInFastThrow -XX:+AlwaysPreTouch -XX:MaxDirectMemorySize=15g \
     -XX:-UseLargePages";

/// The tuned collector. Of the shipped options those stay that bound pauses; small regions suit a
/// small heap.
pub const TUNED_COLLECTOR: &str =
    "-XX:+UseG1GC -XX:G1ReservePercent=25 -XX:InitiatingHeapOccupancyPercent=30";

/// The rest of the tuned JVM.
const TUNED_JVM: &str = "-server -XX:-OmitStackTraceInFastThrow -XX:+AlwaysPreTouch \
     -XX:+PerfDisableSharedMem -XX:MaxDirectMemorySize=4g";

/// JVM of the name server, and heap of the client as its script has it.
const NAMESRV_JVM: &str = "-Xms256m -Xmx256m";
const CLIENT_JVM: &str = "-server -Xms1g -Xmx1g -Xmn256m";

/// The keys of the tuned broker, each with its reason. What else was tried is in
/// [`crate::versus::variants`], and what came of it in `bench/results/tune-0938838.json.gz`.
const TUNED_KEYS: &str = "\
# Epoll from C instead of the JDK's selector: fewer system calls and copies per read.
useEpollNativeSelector=true
# Answers to pulls go through the heap. The other way, a FileRegion per message, was measured at
# 2.5 to 3 times the CPU time.
transferMsgByHeap=true
# A lock that sleeps instead of one that spins: threads are more than cores here.
useReentrantLockWhenPutMessage=true
# Every page of a new log file is touched before it is used: no page faults under the lock.
warmMapedFileEnable=true
# Requests that waited 200 ms are refused by default, 1 to 5 of 100 at a depth of 2,048: under load
# they shall be slow, not errors.
waitTimeMillsInSendQueue=10000
waitTimeMillsInPullQueue=10000
osPageCacheBusyTimeOutMills=10000
# Room for all requests that the scenarios have in flight.
sendThreadPoolQueueCapacity=100000
pullThreadPoolQueueCapacity=100000
# Not set: messageIndexEnable=false. It takes CPU time away at depth (20 s after the start 30.0 us
# a message to 17.5; with the index, after 60 s, 20.0), and with it the index of keys, which ours
# has: queryMsgByKey and queryMsgByUniqueKey find nothing.
# Not set: transientStorePoolEnable. It has a better p99 at depth, but acknowledges what is in no
# file yet and lost with the process: another promise than ours gives.
";

/// Threads of the tuned broker. Send threads: 1, 4 and 16 were swept. With a flush per group more
/// of them wait together; without one more only fight for the lock. Fewer threads for sockets than
/// the 3 and 8 it comes with take a quarter of the CPU time away with a flush per group, and slow
/// it down without one.
fn threads(flush: Flush) -> &'static str {
    match flush {
        Flush::Sync => {
            "sendMessageThreadPoolNums=16\nserverSelectorThreads=1\nserverWorkerThreads=2\n"
        }
        Flush::Async => "sendMessageThreadPoolNums=4\n",
    }
}

/// What Maven fetched, and the Java that runs it.
#[derive(Debug)]
pub struct Apache {
    class_path: String,
    /// What `java -version` says.
    pub java: String,
}

/// Which settings a broker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settings {
    /// Those it comes with.
    Shipped,
    /// Ours.
    Tuned,
}

/// The ports of a name server and a broker.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Of the name server.
    pub namesrv: u16,
    /// Of the broker.
    pub listen: u16,
    /// Of its replication.
    pub replication: u16,
}

impl Apache {
    /// Fetches the programs into Maven's repository, unless they are there; `directory` gets the
    /// class path.
    ///
    /// # Errors
    /// Java or Maven is missing, or Maven fails: the sentence says what helps.
    pub async fn fetch(directory: &Path) -> Result<Self, BenchError> {
        make_directory(directory).await?;
        let java = version_of("java", "-version", "install a JDK 17, openjdk-17-jdk-headless")?;
        let disk = Disk::live(directory).map_err(|error| BenchError::file(directory, error))?;
        let read = async || disk.read_all(CLASS_PATH, CLASS_PATH_MAX_BYTES).await;
        let failed = |error| BenchError::file(directory, error);
        let known = disk.read_all("pom.xml", CLASS_PATH_MAX_BYTES).await.unwrap_or_default();
        let class_path = match read().await {
            Ok(found) if known == POM.as_bytes() => found,
            _ => {
                version_of("mvn", "-v", "Maven fetches Apache's broker: install maven")?;
                disk.replace("pom.xml", POM.as_bytes()).await.map_err(failed)?;
                maven(directory).await?;
                read().await.map_err(failed)?
            }
        };
        let class_path = String::from_utf8_lossy(&class_path).trim().to_owned();
        Ok(Self { class_path, java })
    }

    /// The name server; its words end with the file of its settings.
    pub fn namesrv(&self, home: &Path, conf: &Path) -> Vec<OsString> {
        let main = "org.apache.rocketmq.namesrv.NamesrvStartup";
        let mut words = self.java(home, NAMESRV_JVM, main);
        words.extend(["-c".into(), conf.into()]);
        words
    }

    /// The broker, in a JVM with these options.
    pub fn broker(&self, home: &Path, conf: &Path, jvm: &str) -> Vec<OsString> {
        let main = "org.apache.rocketmq.broker.BrokerStartup";
        let mut words = self.java(home, jvm, main);
        words.extend(["-c".into(), conf.into()]);
        words
    }

    /// The benchmark client with `threads` threads, each with one send of 1 KiB in flight.
    pub fn producer(&self, home: &Path, namesrv: &str, topic: &str, threads: u32) -> Vec<OsString> {
        let main = "org.apache.rocketmq.example.benchmark.Producer";
        let mut words = self.java(home, CLIENT_JVM, main);
        let threads = threads.to_string();
        let flags = ["-n", namesrv, "-t", topic, "-s", "1024", "-w", &threads];
        words.extend(flags.map(OsString::from));
        words
    }

    /// A JVM; what it writes beside its store goes below `home`.
    fn java(&self, home: &Path, options: &str, main: &str) -> Vec<OsString> {
        let mut words = vec!["java".into()];
        words.extend(options.split_ascii_whitespace().map(OsString::from));
        for property in ["user.home", "rocketmq.home.dir"] {
            words.push(format!("-D{property}={}", home.display()).into());
        }
        words.extend(["-cp".into(), self.class_path.as_str().into(), main.into()]);
        words
    }
}

/// Lets Maven write the class path: offline if everything is there, so that a race needs no
/// network after the first one.
async fn maven(directory: &Path) -> Result<(), BenchError> {
    if maven_with(directory, Some("--offline")).await.is_ok() {
        return Ok(());
    }
    eprintln!("fetching Apache RocketMQ {VERSION} with Maven");
    maven_with(directory, None).await
}

async fn maven_with(directory: &Path, more: Option<&str>) -> Result<(), BenchError> {
    let pom = directory.join("pom.xml");
    let mut words: Vec<OsString> = ["mvn", "-q", "-B", "-f"].map(OsString::from).into();
    words.push(pom.into());
    words.extend(more.map(OsString::from));
    words.push("process-classes".into());
    let run = Program::start("maven", &words, &directory.join("maven.log"))?;
    run.wait(FETCH_LIMIT).await.map(|_| ())
}

/// Options of the broker's JVM.
pub fn jvm(settings: Settings, heap: Option<&str>) -> String {
    let (own, collector, options) = match settings {
        Settings::Shipped => (SHIPPED_HEAP, "", SHIPPED_JVM),
        Settings::Tuned => (TUNED_HEAP, TUNED_COLLECTOR, TUNED_JVM),
    };
    let heap = heap.unwrap_or(own);
    format!("-Xms{heap} -Xmx{heap} {options} {collector}").trim_end().to_owned()
}

/// `broker.conf`: names, addresses and paths, the policy that is raced, and what is tuned.
pub fn configuration(settings: Settings, flush: Flush, store: &Path, ports: Ports) -> String {
    let Ports { namesrv, listen, replication } = ports;
    let store = store.display();
    let common = format!(
        "brokerClusterName=DefaultCluster\nbrokerName=bench\nbrokerId=0\nbrokerRole=ASYNC_MASTER\n\
         brokerIP1=127.0.0.1\nlistenPort={listen}\nhaListenPort={replication}\n\
         namesrvAddr=127.0.0.1:{namesrv}\nstorePathRootDir={store}\n\
         storePathCommitLog={store}/commitlog\nflushDiskType={}\n",
        flush.key()
    );
    match settings {
        Settings::Shipped => common,
        Settings::Tuned => format!("{common}{TUNED_KEYS}{}", threads(flush)),
    }
}

/// `namesrv.conf`.
pub fn namesrv_configuration(home: &Path, ports: Ports) -> String {
    let home = home.display();
    format!(
        "listenPort={}\nkvConfigPath={home}/kvConfig.json\n\
         configStorePath={home}/namesrv.properties\n",
        ports.namesrv
    )
}

/// The programs, in a run that needs them.
pub fn fetched(apache: Option<&Apache>) -> &Apache {
    apache.expect("fetched before a plan that needs it")
}

/// The directory of what was fetched, below that of the race.
pub fn directory(race: &Path) -> PathBuf {
    race.join(format!("apache-{VERSION}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(settings: Settings) -> Vec<String> {
        let ports = Ports { namesrv: 1, listen: 2, replication: 3 };
        let text = configuration(settings, Flush::Sync, Path::new("/s"), ports);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split_once('=').unwrap().0.to_owned()).collect()
    }

    #[test]
    fn the_shipped_broker_has_no_setting_but_its_place_and_policy() {
        let place = ["Path", "Port", "Addr", "broker", "flushDiskType", "Dir"];
        for key in keys(Settings::Shipped) {
            assert!(place.iter().any(|part| key.contains(part)), "{key}");
        }
    }

    #[test]
    fn the_tuned_broker_differs_and_no_key_comes_twice() {
        let mut tuned = keys(Settings::Tuned);
        assert!(tuned.len() > keys(Settings::Shipped).len() + 5);
        tuned.sort();
        assert!(tuned.windows(2).all(|pair| pair[0] != pair[1]), "{tuned:?}");
    }

    #[test]
    fn the_broker_is_fetched_by_the_coordinates_that_are_told() {
        let (group, artifact) = BROKER.split_once(':').unwrap();
        let version = format!("<rocketmq.version>{VERSION}</rocketmq.version>");
        let group = format!("<groupId>{group}</groupId>");
        for part in [version, group, format!("<artifactId>{artifact}</artifactId>")] {
            assert!(POM.contains(&part), "{part}");
        }
    }

    #[test]
    fn heaps_are_fixed_so_that_nothing_grows_while_it_is_measured() {
        assert!(jvm(Settings::Shipped, None).starts_with("-Xms8g -Xmx8g "));
        assert!(jvm(Settings::Tuned, Some("1g")).starts_with("-Xms1g -Xmx1g "));
    }
}
