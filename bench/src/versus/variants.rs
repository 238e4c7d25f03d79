//! Settings of Apache's broker that were tried on the way to the tuned ones, each a change to
//! those: what a sweep runs (`bench versus --tune`).

use crate::versus::apache::{self, Settings, TUNED_COLLECTOR};

/// All queues of Apache's broker in one database, where each has a file of its own otherwise.
const ROCKSDB_QUEUES: &str = "storeType=defaultRocksDB";

/// A change to the tuned settings.
#[derive(Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name on the command line and in the table.
    pub name: &'static str,
    /// Lines of `broker.conf`, in place of those with the same keys.
    keys: &'static [&'static str],
    /// Options of the JVM in place of those of the collector.
    collector: Option<&'static str>,
    /// Heap in place of the tuned one.
    heap: Option<&'static str>,
}

/// The tuned settings themselves, which all others are compared with.
pub static TUNED: Variant = of("tuned", &[]);

/// All that are tried when nobody names any.
pub static VARIANTS: [Variant; 29] = [
    of("send-threads-1", &["sendMessageThreadPoolNums=1"]),
    of("send-threads-4", &["sendMessageThreadPoolNums=4"]),
    of("send-threads-16", &["sendMessageThreadPoolNums=16"]),
    of("spin-lock", &["useReentrantLockWhenPutMessage=false"]),
    of("abs-lock", &["useABSLock=true"]),
    of("jdk-selector", &["useEpollNativeSelector=false"]),
    of("file-regions", &["transferMsgByHeap=false"]),
    of("cold-files", &["warmMapedFileEnable=false"]),
    of("write-without-mmap", &["writeWithoutMmap=true", "warmMapedFileEnable=false"]),
    of("no-read-ahead", &["dataReadAheadEnable=false", "warmMapedFileEnable=false"]),
    of(
        "write-without-read-ahead",
        &["writeWithoutMmap=true", "dataReadAheadEnable=false", "warmMapedFileEnable=false"],
    ),
    // Acknowledges what is in no file yet, so it is no tuned setting whatever it brings.
    of("transient-pool", &["transientStorePoolEnable=true"]),
    of("no-index", &["messageIndexEnable=false"]),
    of("short-queues", &["waitTimeMillsInSendQueue=200", "waitTimeMillsInPullQueue=5000"]),
    of("sync-sends", &["asyncSendEnable=false"]),
    of("concurrent-dispatch", &["enableBuildConsumeQueueConcurrently=true"]),
    of("rocksdb-queues", &[ROCKSDB_QUEUES]),
    of("network-threads-1", &["serverSelectorThreads=1", "serverWorkerThreads=2"]),
    of("network-threads-3", &["serverSelectorThreads=3", "serverWorkerThreads=8"]),
    of("network-threads-1-1", &["serverSelectorThreads=1", "serverWorkerThreads=1"]),
    of(
        "few-threads",
        &["serverSelectorThreads=1", "serverWorkerThreads=1", "sendMessageThreadPoolNums=1"],
    ),
    of("pull-threads-4", &["pullMessageThreadPoolNums=4"]),
    heap("heap-1g", "1g"),
    heap("heap-4g", "4g"),
    collector("parallel-gc", "-XX:+UseParallelGC"),
    collector("serial-gc", "-XX:+UseSerialGC"),
    collector("z-gc", "-XX:+UseZGC"),
    collector(
        "huge-pages",
        "-XX:+UseG1GC -XX:G1ReservePercent=25 -XX:InitiatingHeapOccupancyPercent=30 -XX:+UseTransparentHugePages",
    ),
    collector(
        "g1-16m-regions",
        "-XX:+UseG1GC -XX:G1HeapRegionSize=16m -XX:G1ReservePercent=25 -XX:InitiatingHeapOccupancyPercent=30",
    ),
];

const fn of(name: &'static str, keys: &'static [&'static str]) -> Variant {
    Variant { name, keys, collector: None, heap: None }
}

const fn heap(name: &'static str, size: &'static str) -> Variant {
    Variant { heap: Some(size), ..of(name, &[]) }
}

const fn collector(name: &'static str, options: &'static str) -> Variant {
    Variant { collector: Some(options), ..of(name, &[]) }
}

/// The variant of that name.
///
/// # Errors
/// There is none; the sentence lists all.
pub fn by_name(name: &str) -> Result<&'static Variant, String> {
    VARIANTS.iter().find(|variant| variant.name == name).ok_or_else(|| {
        let names: Vec<&str> = VARIANTS.iter().map(|variant| variant.name).collect();
        format!("{name:?} is none of {}", names.join(", "))
    })
}

impl Variant {
    /// What it changes, in words.
    pub fn describe(&self) -> String {
        let heap = self.heap.map(|size| format!("-Xms{size} -Xmx{size}"));
        let keys = self.keys.iter().map(|line| (*line).to_owned());
        keys.chain(self.collector.map(str::to_owned)).chain(heap).collect::<Vec<_>>().join(" ")
    }

    /// The tuned `broker.conf` with its lines.
    pub fn configuration(&self, tuned: &str) -> String {
        let key = |line: &str| line.split_once('=').map(|(key, _)| key.to_owned());
        let is_changed = |line: &&str| self.keys.iter().any(|own| key(own) == key(line));
        let kept = tuned.lines().filter(|line| !is_changed(line));
        kept.chain(self.keys.iter().copied()).map(|line| format!("{line}\n")).collect()
    }

    /// The options of the JVM of a broker with its own, and with this heap where it names none.
    pub fn jvm(&self, settings: Settings, heap: Option<&str>) -> String {
        let all = apache::jvm(settings, self.heap.or(heap));
        self.collector.map_or(all.clone(), |own| all.replace(TUNED_COLLECTOR, own))
    }

    /// Whether the broker keeps a file of each queue open.
    pub fn has_queue_files(&self) -> bool {
        !self.keys.contains(&ROCKSDB_QUEUES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_changes_what_it_says_and_nothing_else() {
        let spin = by_name("spin-lock").unwrap();
        let tuned = "# Why.\nlistenPort=1\nuseReentrantLockWhenPutMessage=true\n";
        let expected = "# Why.\nlistenPort=1\nuseReentrantLockWhenPutMessage=false\n";
        assert_eq!(spin.configuration(tuned), expected);
        assert_eq!(TUNED.configuration(tuned), tuned);
        assert!(by_name("spin").unwrap_err().contains("spin-lock"));
    }

    #[test]
    fn a_file_of_each_queue_is_what_all_keep_but_those_of_the_database() {
        assert!(TUNED.has_queue_files());
        let without: Vec<_> = VARIANTS.iter().filter(|it| !it.has_queue_files()).collect();
        assert_eq!(without, [by_name("rocksdb-queues").unwrap()]);
    }

    #[test]
    fn one_collector_replaces_the_other() {
        for variant in VARIANTS.iter().filter(|variant| variant.collector.is_some()) {
            let jvm = variant.jvm(Settings::Tuned, None);
            assert_eq!(jvm.matches("GC").count(), 1, "{jvm}");
            assert!(jvm.contains("AlwaysPreTouch"), "{jvm}");
        }
    }

    #[test]
    fn every_variant_has_a_name_and_a_change_of_its_own() {
        let mut all: Vec<String> = VARIANTS.iter().map(|it| it.name.to_owned()).collect();
        all.extend(VARIANTS.iter().map(Variant::describe));
        all.sort();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1] && !pair[0].is_empty()), "{all:?}");
    }
}
