//! Who took part in a race: each broker by its program and version, and what it was told in each
//! scenario. Addresses, ports and directories are left out: they are new in each run, and say
//! nothing elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::args::versus::Contestant;
use crate::versus::parts::JAVA;
use crate::versus::results::Run;
use crate::versus::{apache, contestant, race};

/// Keys of a `broker.conf` that say where a broker is.
const PLACES: [&str; 8] = [
    "brokerIP1",
    "bindAddress",
    "listenPort",
    "haListenPort",
    "namesrvAddr",
    "embeddedNamesrvPort",
    "storePathRootDir",
    "storePathCommitLog",
];

/// Keys of a configuration and their values.
pub type KeyValues = BTreeMap<String, String>;

/// A broker of a race.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    /// Its program and version.
    pub program: String,
    /// Options of its JVM; empty where it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jvm: String,
    /// What it was told, by scenario.
    pub settings: BTreeMap<String, KeyValues>,
}

/// All brokers of a race.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Brokers(BTreeMap<Contestant, Broker>);

impl Brokers {
    /// Takes up what a broker is told in a scenario of a race with these conditions.
    pub fn add(
        &mut self,
        conditions: &Value,
        contestant: Contestant,
        scenario: &str,
        told: KeyValues,
    ) {
        let broker = self.0.entry(contestant).or_default();
        broker.program = program(conditions, contestant);
        broker.jvm = jvm(conditions, contestant);
        broker.settings.insert(scenario.to_owned(), told);
    }

    /// Those of a race that an earlier version packed: it kept the settings in the files of the
    /// runs alone.
    pub fn of_files(conditions: &Value, runs: &[Run], files: &BTreeMap<String, String>) -> Self {
        let mut all = Self::default();
        if files.is_empty() {
            return all;
        }
        for run in runs {
            let Run { scenario, contestant, .. } = *run;
            let name = race::name_of(run.number, scenario, run.rival, contestant);
            let told = match files.get(&format!("{name}.{}", contestant::SETTINGS)) {
                Some(text) => settings(text),
                None if contestant == Contestant::Null => contestant::of_null(scenario.flush),
                None => continue,
            };
            all.add(conditions, contestant, scenario.name, told);
        }
        all
    }

    /// Each broker in a line, and below it what it was told: in all scenarios, and in some.
    pub fn describe(&self) -> String {
        self.0.iter().map(|(contestant, broker)| broker.describe(*contestant)).collect()
    }
}

impl Broker {
    fn describe(&self, contestant: Contestant) -> String {
        let jvm = if self.jvm.is_empty() { String::new() } else { format!(", {}", self.jvm) };
        let mut text = format!("{}: {}{jvm}\n", contestant.word(), self.program);
        let common = self.common();
        let mut groups = BTreeMap::<String, Vec<&str>>::new();
        for (scenario, settings) in &self.settings {
            let own = settings.iter().filter(|(key, _)| !common.contains_key(*key));
            groups.entry(line(own)).or_default().push(scenario);
        }
        if !common.is_empty() {
            let _ = writeln!(text, "  in all its scenarios: {}", line(&common));
        }
        for (own, scenarios) in groups.into_iter().filter(|(own, _)| !own.is_empty()) {
            let _ = writeln!(text, "  in {}: {own}", scenarios.join(", "));
        }
        text
    }

    /// What it was told in every scenario alike.
    fn common(&self) -> KeyValues {
        let mut all = self.settings.values();
        let mut common = all.next().cloned().unwrap_or_default();
        all.for_each(|other| common.retain(|key, value| other.get(key) == Some(value)));
        common
    }
}

fn line<'a>(settings: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let words = settings.into_iter().map(|(key, value)| format!("{key}={value}"));
    words.collect::<Vec<_>>().join(" ")
}

/// The keys of a `broker.conf` that do not say where the broker is.
pub fn settings(conf: &str) -> KeyValues {
    let lines = conf.lines().filter(|line| !line.starts_with('#'));
    let all = lines.filter_map(|line| line.split_once('='));
    let kept = all.filter(|(key, _)| !PLACES.contains(key));
    kept.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The program of a broker: ours as it tells its version, Apache's by its Maven coordinates.
fn program(conditions: &Value, contestant: Contestant) -> String {
    let known = |key: &str| conditions[key].as_str().unwrap_or("unknown").to_owned();
    match contestant {
        Contestant::Ours | Contestant::Otherwise => known("our_program"),
        Contestant::Null => format!("in bench {}", known("bench")),
        Contestant::Tuned | Contestant::Shipped => {
            format!("{}:{}, {}", apache::BROKER, known("apache"), known(JAVA))
        }
    }
}

fn jvm(conditions: &Value, contestant: Contestant) -> String {
    let known = |key: &str| conditions[key].as_str().unwrap_or_default().to_owned();
    match contestant {
        Contestant::Tuned => known("tuned_jvm"),
        Contestant::Shipped => known("shipped_jvm"),
        Contestant::Ours | Contestant::Otherwise | Contestant::Null => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::versus::results::tests::limited;

    const TUNED_CONF: &str = "# Why.\nlistenPort=7\nflushDiskType=SYNC_FLUSH\na=1\n";

    fn conditions() -> Value {
        json!({"our_program": "mqbroker 0.1.0, MD5 0f", "bench": "0.1.0", "apache": "5.5.0",
               "java": "openjdk 17", "tuned_jvm": "-Xms2g"})
    }

    fn told(words: &str) -> KeyValues {
        settings(&words.replace(' ', "\n"))
    }

    #[test]
    fn where_a_broker_is_is_no_setting() {
        let places = PLACES.map(|key| format!("{key}=x")).join("\n");
        assert_eq!(
            settings(&format!("{places}\n{TUNED_CONF}")),
            told("flushDiskType=SYNC_FLUSH a=1")
        );
    }

    #[test]
    fn a_broker_is_told_with_what_is_always_so_and_what_is_not() {
        let mut brokers = Brokers::default();
        let scenarios = [
            ("pull-32", "a=1 flushDiskType=ASYNC_FLUSH"),
            ("sync-1x1", "a=1 flushDiskType=SYNC_FLUSH"),
            ("sync-64x1", "a=1 flushDiskType=SYNC_FLUSH"),
        ];
        for (scenario, words) in scenarios {
            brokers.add(&conditions(), Contestant::Tuned, scenario, told(words));
            brokers.add(&conditions(), Contestant::Ours, "sync-1x1", told("b=2"));
        }
        assert_eq!(
            brokers.describe(),
            "tuned: org.apache.rocketmq:rocketmq-broker:5.5.0, openjdk 17, -Xms2g\n  \
             in all its scenarios: a=1\n  \
             in pull-32: flushDiskType=ASYNC_FLUSH\n  \
             in sync-1x1, sync-64x1: flushDiskType=SYNC_FLUSH\n\
             ours: mqbroker 0.1.0, MD5 0f\n  in all its scenarios: b=2\n"
        );
        let again = serde_json::from_value(serde_json::to_value(&brokers).unwrap());
        assert_eq!(again.ok(), Some(brokers));
    }

    #[test]
    fn settings_that_were_kept_in_files_alone_are_found_there() {
        let mut runs = limited("sync-64x1", 1, 2.0, 3.0).runs;
        (1..).zip(&mut runs).for_each(|(number, run)| run.number = number);
        let name = |contestant: Contestant| {
            let run = runs.iter().find(|run| run.contestant == contestant).unwrap();
            let word = contestant.word();
            format!("{:04}-sync-64x1-against-tuned-{word}.broker.conf", run.number)
        };
        let files = [(name(Contestant::Tuned), TUNED_CONF.to_owned())].into();
        let found = Brokers::of_files(&conditions(), &runs, &files).0;
        let of = |contestant: Contestant| {
            found.get(&contestant).map(|it: &Broker| &it.settings["sync-64x1"])
        };
        assert_eq!(of(Contestant::Tuned), Some(&settings(TUNED_CONF)));
        assert_eq!(of(Contestant::Null), Some(&told("flushDiskType=SYNC_FLUSH")));
        assert_eq!(of(Contestant::Ours), None, "it has left no file");
        let nothing = Brokers::of_files(&conditions(), &runs, &BTreeMap::new());
        assert_eq!(nothing, Brokers::default());
    }
}
