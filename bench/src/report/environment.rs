//! The machine on which a run was made, in words and with units.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::environment::disk::DiskFacts;
use crate::environment::{Environment, RELEASE_KEY, VERSION_KEY};
use crate::observe::Strain;

/// Stands for what the kernel does not tell, as most virtual machines have no frequencies to govern
/// and no model of a disk.
const NOT_EXPOSED: &str = "not exposed here";

/// Why a broker that somebody else started has no disk here.
const NO_DISK: &str = "not known, bench did not start the broker";

/// Of the configuration, what decides about a figure before all else.
pub const DECISIVE_KEYS: [&str; 3] = ["flushDiskType", "brokerRole", "shardCores"];

fn known(text: &str) -> &str {
    if text.is_empty() { NOT_EXPOSED } else { text }
}

/// What was run, and the machine and its disk: of results that are no single broker's.
pub fn place(environment: &Environment) -> String {
    let mut lines = vec![run(environment), machine(environment)];
    lines.extend(environment.disk.as_ref().map(storage));
    lines.join("\n")
}

/// The same of a part of a whole, without what the part `before` had as well.
pub fn place_after(environment: &Environment, before: Option<&Environment>) -> String {
    let Some(before) = before else { return place(environment) };
    let mut lines = vec![run(environment)];
    if hardware(environment) != hardware(before) {
        lines.push(machine(environment));
    }
    let [disk, known] = [environment, before].map(|it| it.disk.as_ref());
    lines.extend(disk.filter(|disk| !known.is_some_and(|known| is_same(disk, known))).map(storage));
    lines.join("\n")
}

/// The most important facts in a few lines; `in_full` are the options of the command that tell all
/// of them.
pub fn block(environment: &Environment, in_full: &[&str]) -> String {
    let mut lines = vec![run(environment), machine(environment)];
    lines.push(format!("client: {}", client_of(environment)));
    lines.extend(environment.meanwhile.as_ref().map(Strain::describe));
    lines.push(match &environment.disk {
        Some(disk) => storage(disk),
        None => format!("store: {NO_DISK}"),
    });
    lines.push(broker(environment, in_full));
    lines.join("\n")
}

/// What was run, by which program.
fn run(environment: &Environment) -> String {
    format!("bench {}: {}", known(&environment.bench), known(&environment.command))
}

fn machine(environment: &Environment) -> String {
    format!("machine: {}, load {}", hardware(environment), known(&environment.load_average))
}

/// What of a machine stays, whoever else is there.
fn hardware(environment: &Environment) -> String {
    format!(
        "{} cores {}, {}, NUMA nodes {}, Linux {}, governor {}",
        environment.cores,
        known(&environment.cpu),
        gigabytes(environment.memory_bytes),
        known(&environment.numa_nodes),
        known(&environment.kernel),
        known(&environment.governor),
    )
}

/// Whether two disks are one: what has left its machine has only the last part of a device's path.
fn is_same(one: &DiskFacts, other: &DiskFacts) -> bool {
    let [device, of_other] = [one, other].map(|disk| Path::new(&disk.device).file_name());
    let named = DiskFacts { device: other.device.clone(), ..one.clone() };
    device == of_other && named == *other
}

fn client_of(environment: &Environment) -> String {
    client(&environment.client_cores, &environment.shared_cores)
}

/// Where the client side ran: its cores, and those of them that the broker had, too.
pub fn client(cores: &[usize], shared: &[usize]) -> String {
    if cores.is_empty() {
        return "bound to no core".to_owned();
    }
    let note = match shared.is_empty() {
        true => String::new(),
        false => format!("; the broker is bound to {}, too", listed(shared)),
    };
    format!(
        "a thread bound to {}{}{note}",
        if cores.len() == 1 { "" } else { "each of " },
        listed(cores)
    )
}

fn listed(cores: &[usize]) -> String {
    let numbers: Vec<_> = cores.iter().map(usize::to_string).collect();
    format!("core{} {}", if cores.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

fn storage(disk: &DiskFacts) -> String {
    let ahead = match disk.read_ahead_kb.as_str() {
        "" => String::new(),
        kib => format!(", reads ahead {kib} KiB"),
    };
    format!(
        "store: {} on {} (model {}), write cache {}, scheduler {}{ahead}",
        known(&disk.file_system),
        known(&disk.device),
        known(&disk.model),
        known(&disk.write_cache),
        known(&disk.scheduler),
    )
}

fn broker(environment: &Environment, in_full: &[&str]) -> String {
    let mut line = format!("broker: {}", release(environment));
    let configuration = &environment.broker_config;
    for key in DECISIVE_KEYS {
        if let Some(value) = configuration.get(key) {
            line.push_str(&format!(", {key}={value}"));
        }
    }
    if !configuration.is_empty() {
        let keys = configuration.len();
        line.push_str(&format!("; all {keys} keys: {}", in_full.join(", ")));
    }
    line
}

/// Which broker it is, as far as it says.
pub fn release(environment: &Environment) -> String {
    let told = |key: &str| environment.broker.get(key);
    match (told(RELEASE_KEY), told(VERSION_KEY)) {
        (Some(ours), Some(protocol)) => format!("RingMQ {ours} (speaks {protocol})"),
        (Some(ours), None) => format!("RingMQ {ours}"),
        (None, Some(theirs)) => format!("version {theirs}"),
        (None, None) => "tells no version".to_owned(),
    }
}

/// All facts but the broker's configuration: what each is, and what it says.
pub fn facts(environment: &Environment) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("end of the run", time(environment.unix_ms)),
        ("bench", known(&environment.bench).to_owned()),
        ("command", known(&environment.command).to_owned()),
        ("broker", release(environment)),
    ];
    if let Some(text) = environment.broker.get("bootTimestamp") {
        facts.push(("start of the broker", text.parse().map_or_else(|_| text.clone(), time)));
    }
    let mut say = |name, text: &str| facts.push((name, known(text).to_owned()));
    say("processor", &environment.cpu);
    say("cores that bench may use", &environment.cores.to_string());
    say("client side", &client_of(environment));
    say("frequency governor", &environment.governor);
    say("NUMA nodes", &environment.numa_nodes);
    say("memory", &gigabytes(environment.memory_bytes));
    say("Linux", &environment.kernel);
    say("load averages at the end", &environment.load_average);
    match &environment.disk {
        None => say("store", NO_DISK),
        Some(disk) => {
            say("file system of the store", &disk.file_system);
            say("device", &disk.device);
            say("model of the device", &disk.model);
            say("write cache of the device", &disk.write_cache);
            say("I/O scheduler", &disk.scheduler);
            say("reads ahead, KiB", &disk.read_ahead_kb);
            say("says that it rotates", &disk.rotational);
        }
    }
    let strain = environment.meanwhile.unwrap_or_default();
    for (name, percent) in [
        ("CPU time that the host took", strain.steal_percent),
        ("time in which tasks waited for a CPU", strain.cpu_pressure_percent),
        ("time in which tasks waited for I/O", strain.io_pressure_percent),
        ("time in which all tasks waited for I/O", strain.io_stall_percent),
    ] {
        say(name, &percent.map_or(String::new(), |percent| format!("{percent:.1} %")));
    }
    facts
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// Unix time in milliseconds as date and time of day, in UTC.
pub fn time(unix_ms: i64) -> String {
    let since_epoch = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
    let time: SystemTime = UNIX_EPOCH + since_epoch.min(TIME_MAX);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The last moment of the year 9999, behind which dates have no such form.
const TIME_MAX: Duration = Duration::from_secs(253_402_300_799);

#[cfg(test)]
mod tests {
    use super::*;

    fn table<const N: usize>(
        entries: [(&str, &str); N],
    ) -> std::collections::BTreeMap<String, String> {
        entries.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn environment() -> Environment {
        Environment {
            unix_ms: 1_795_285_240_710,
            cores: 2,
            cpu: "Fast CPU".to_owned(),
            memory_bytes: 25_276_502_016,
            numa_nodes: "0".to_owned(),
            disk: Some(DiskFacts {
                file_system: "ext4 (rw)".to_owned(),
                device: "/dev/vda".to_owned(),
                write_cache: "write back".to_owned(),
                read_ahead_kb: "8192".to_owned(),
                ..DiskFacts::default()
            }),
            broker: table([(RELEASE_KEY, "0.1.0"), (VERSION_KEY, "V5_5_0")]),
            broker_config: table([("flushDiskType", "SYNC_FLUSH"), ("listenPort", "1")]),
            ..Environment::default()
        }
    }

    #[test]
    fn the_block_names_machine_store_and_broker_and_says_what_is_not_exposed() {
        let text = block(&environment(), &["--json", "--output"]);
        for part in [
            "2 cores Fast CPU, 25.3 GB, NUMA nodes 0",
            "governor not exposed here",
            "ext4 (rw) on /dev/vda (model not exposed here), write cache write back",
            "scheduler not exposed here, reads ahead 8192 KiB",
            "RingMQ 0.1.0 (speaks V5_5_0), flushDiskType=SYNC_FLUSH; all 2 keys: --json, --output",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("--report"), "{text}");
        assert!(!text.contains('?'), "{text}");
        let place = place(&environment());
        assert!(place.contains("25.3 GB") && place.contains("/dev/vda"), "{place}");
        assert!(!place.contains("broker"), "{place}");
    }

    #[test]
    fn of_a_part_only_what_is_new_is_told_of_its_place() {
        let on = |device: &str| {
            let disk = DiskFacts { device: device.to_owned(), ..DiskFacts::default() };
            Environment { disk: Some(disk), ..environment() }
        };
        let told = |device, before| place_after(&on(device), Some(&on(before)));
        assert_eq!(told("/dev/vda", "vda"), run(&environment()), "that one has left its machine");
        assert_eq!(
            told("vdb", "vda"),
            format!("{}\n{}", run(&environment()), storage(&on("vdb").disk.unwrap()))
        );
        let slower = Environment { kernel: "6.1".to_owned(), ..environment() };
        let text = place_after(&slower, Some(&environment()));
        assert!(text.contains("Linux 6.1") && !text.contains("store: "), "{text}");
        assert_eq!(place_after(&slower, None), place(&slower));
    }

    #[test]
    fn a_broker_of_somebody_else_has_no_disk_and_says_what_it_wants() {
        let broker = table([(VERSION_KEY, "V5_5_0")]);
        let text = block(&Environment { disk: None, broker, ..environment() }, &[]);
        assert!(text.contains("bench did not start the broker"), "{text}");
        assert!(text.contains("broker: version V5_5_0"), "{text}");
        let silent = Environment::default();
        assert!(block(&silent, &[]).contains("broker: tells no version"));
        assert!(facts(&silent).iter().all(|(_, text)| !text.is_empty()));
    }

    #[test]
    fn cores_of_clients_are_told_and_those_that_the_broker_has_too() {
        assert_eq!(client(&[], &[]), "bound to no core");
        assert_eq!(client(&[2, 3], &[]), "a thread bound to each of cores 2, 3");
        let both = "a thread bound to core 1; the broker is bound to core 1, too";
        assert_eq!(client(&[1], &[1]), both);
        let environment =
            Environment { client_cores: vec![1], shared_cores: vec![1], ..environment() };
        assert!(block(&environment, &[]).contains(both));
    }

    #[test]
    fn times_are_dates() {
        assert_eq!(time(1_795_285_240_710), "2026-11-21T18:20:40Z");
        assert_eq!((time(-1), time(i64::MAX)), (time(0), "9999-12-31T23:59:59Z".to_owned()));
    }
}
