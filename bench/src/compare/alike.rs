//! Whether two results can be compared, and in what they differ.

use std::collections::BTreeSet;

use crate::compare::Document;
use crate::environment::Environment;
use crate::report::Beside;
use crate::report::environment as words;
use crate::report::outcome::Outcome;

/// Settings that say where results and files go, and nothing about figures.
const PLACES: [&str; 6] = ["output", "report", "json", "store", "no-limits", "broker-pid"];

/// Settings that make another load: of two of them no verdict says anything about a broker. What
/// stays is where and how long they ran, and the size of the broker.
const LOADS: [&str; 25] = [
    "command",
    "connections",
    "depth",
    "rate",
    "arrivals",
    "header",
    "size",
    "compressible",
    "keys",
    "tags",
    "batch",
    "spread",
    "topics",
    "queues",
    "fill",
    "pull-batch",
    "subscription",
    "from",
    "passes",
    "produce",
    "cold",
    "consumers",
    "readers",
    "hold",
    "bound",
];

/// The key of a broker that says when it acknowledges.
const POLICY: &str = "flushDiskType";

/// Why two results say nothing about each other, if they do not: another request, another loop, or,
/// unless they are to be compared `anyway`, another load.
pub fn refusal(a: &Document, b: &Document, anyway: bool) -> Option<String> {
    if a.latency_of != b.latency_of {
        return Some(format!("one measured {}, the other {}", a.latency_of, b.latency_of));
    }
    if let Some(what) = loops(a, b) {
        return Some(what);
    }
    let others = other_load(a, b);
    (!anyway && !others.is_empty()).then(|| {
        let others = others.join("; ");
        format!("they are of different loads: {others}; --anyway compares them all the same")
    })
}

/// That one loop is closed and the other open, if so. The age of a message has no intended time,
/// and is one in either loop.
fn loops(a: &Document, b: &Document) -> Option<String> {
    let is_closed = |document: &Document| {
        let mut counted = document.runs.iter().filter(|run| run.response.count > 0).peekable();
        counted.peek()?;
        Some(counted.all(Outcome::has_one_clock))
    };
    let (first, second) = is_closed(a).zip(is_closed(b))?;
    let loop_of = |is_closed| if is_closed { "closed" } else { "open" };
    (first != second).then(|| {
        format!(
            "the first is of a loop that is {}, the second of one that is {}: a closed loop says \
             how much a broker serves, an open one (--rate) how late it is under a load",
            loop_of(first),
            loop_of(second)
        )
    })
}

/// In what their loads differ.
fn other_load(a: &Document, b: &Document) -> Vec<String> {
    let mut lines = Differences::default();
    let (x, y) = (&a.environment, &b.environment);
    // Results of older releases have no settings.
    if !x.settings.is_empty() && !y.settings.is_empty() {
        LOADS.iter().for_each(|name| lines.setting(name, x, y));
    }
    // A broker that somebody else started has the policy that it says, whatever the flag.
    let policy = |environment: &Environment| environment.broker_config.get(POLICY).cloned();
    match policy(x).zip(policy(y)) {
        Some((first, second)) => lines.compare(POLICY, &first, &second),
        None => lines.setting("flush", x, y),
    }
    let beside = |document: &Document| {
        let names = document.beside.iter().map(|Beside { name, .. }| name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    lines.compare("what ran beside", &beside(a), &beside(b));
    lines.0
}

/// A sentence for each difference.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare(&mut self, what: &str, first: &str, second: &str) {
        if first != second {
            self.0.push(format!("{what} differs: {first:?} and {second:?}"));
        }
    }

    fn setting(&mut self, name: &str, a: &Environment, b: &Environment) {
        let value = |environment: &Environment| environment.settings.get(name).cloned();
        let [first, second] = [a, b].map(|side| value(side).unwrap_or_default());
        self.compare(&format!("--{name}"), &first, &second);
    }
}

/// What differs between the two machines and may explain a difference.
pub fn differences(a: &Document, b: &Document) -> Vec<String> {
    let mut lines = Differences::default();
    let (x, y) = (&a.environment, &b.environment);
    lines.compare("workload", &a.workload, &b.workload);
    lines.compare("bench", &x.bench, &y.bench);
    // Results of older releases have no settings.
    if !x.settings.is_empty() && !y.settings.is_empty() {
        let names: BTreeSet<_> = x.settings.keys().chain(y.settings.keys()).collect();
        let deciding = names.into_iter().filter(|name| !PLACES.contains(&name.as_str()));
        deciding.for_each(|name| lines.setting(name, x, y));
    }
    lines.compare("kernel", &x.kernel, &y.kernel);
    lines.compare("processor", &x.cpu, &y.cpu);
    lines.compare("number of cores", &x.cores.to_string(), &y.cores.to_string());
    lines.compare("governor", &x.governor, &y.governor);
    let file_system = |environment: &Environment| {
        environment.disk.as_ref().map_or(String::new(), |disk| {
            format!("{} on {}, {}", disk.file_system, disk.device, disk.write_cache)
        })
    };
    lines.compare("disk", &file_system(x), &file_system(y));
    lines.compare("broker", &words::release(x), &words::release(y));
    for key in words::DECISIVE_KEYS {
        let value = |environment: &Environment| environment.broker_config.get(key).cloned();
        lines.compare(key, &value(x).unwrap_or_default(), &value(y).unwrap_or_default());
    }
    lines.0
}
