//! Foreign clients and our own against our servers: `cargo xtask compat`.

pub mod servers;
mod suite;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};

use crate::check::build_binaries;
use crate::workspace::{Outcome, at, compat_target};
use servers::{Cluster, Make, Setup};
use suite::{Report, Run, Suite};

/// Which of the two servers is Apache's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Cross {
    /// Apache's broker registers with our name server
    ApacheBroker,
    /// Our broker registers with Apache's name server
    ApacheNamesrv,
}

/// Whose servers the suites run against.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Against {
    /// Apache's name server and broker, to check the suites themselves
    Apache,
}

/// Arguments of `compat`.
#[derive(Args)]
pub struct Arguments {
    /// Suites to run; all by default
    #[arg(long, value_delimiter = ',')]
    suite: Vec<Suite>,
    /// One scenario or several with commas between
    #[arg(long, default_value = "all")]
    scenario: String,
    /// Cores that run shards of our broker
    #[arg(long, default_value_t = 1)]
    shards: usize,
    /// Message logs of our broker
    #[arg(long, default_value_t = 1)]
    logs: usize,
    /// Cross our servers with Apache's
    #[arg(long)]
    cross: Option<Cross>,
    /// Run against Apache's servers only
    #[arg(long, conflicts_with = "cross")]
    against: Option<Against>,
    /// Clients reach our broker at ::1
    #[arg(long, conflicts_with_all = ["cross", "against"])]
    ipv6: bool,
    /// The whole matrix: shards, logs, a store reopened with another number of shards, crossed
    /// servers
    #[arg(long)]
    all: bool,
    /// Take the unoptimized binaries
    #[arg(long)]
    debug: bool,
}

impl Arguments {
    fn setup(&self) -> Setup {
        let apache = |is: bool| if is { Make::Apache } else { Make::Ours };
        let all_apache = self.against == Some(Against::Apache);
        Setup {
            namesrv: apache(all_apache || self.cross == Some(Cross::ApacheNamesrv)),
            broker: apache(all_apache || self.cross == Some(Cross::ApacheBroker)),
            shards: self.shards,
            logs: self.logs,
            flush: "ASYNC_FLUSH",
            ipv6: self.ipv6,
            debug: self.debug,
        }
    }
}

/// One start of the servers and what runs against it.
struct Cell {
    title: String,
    setup: Setup,
    suites: Vec<Suite>,
    /// What the Java suites run when all scenarios are asked for; the others run all.
    java: &'static str,
    /// The store is kept from the cell before.
    reopened: bool,
}

/// Runs what the arguments ask for and closes with `N passed, N failed`.
///
/// # Errors
/// A program cannot be built or started, or a scenario failed.
pub fn run(arguments: &Arguments) -> Outcome {
    let cells = if arguments.all { matrix(arguments) } else { vec![single(arguments)] };
    for suite in Suite::ALL {
        if cells.iter().any(|cell| cell.suites.contains(&suite)) {
            suite.build()?;
        }
    }
    if cells.iter().any(|cell| cell.setup.broker == Make::Ours || cell.setup.namesrv == Make::Ours)
    {
        build_ours(arguments.debug)?;
    }
    let mut reports = Vec::new();
    for cell in &cells {
        match run_cell(cell, &arguments.scenario) {
            Ok(more) => reports.extend(more),
            Err(reason) => {
                println!("FAIL {}: {reason}", cell.title);
                let title = cell.title.clone();
                reports.push(Report {
                    title,
                    passed: 0,
                    failed: vec![reason],
                    took: Duration::ZERO,
                });
            }
        }
    }
    summarize(&reports)
}

fn single(arguments: &Arguments) -> Cell {
    let setup = arguments.setup();
    let chosen = &arguments.suite;
    Cell {
        title: title(setup),
        setup,
        suites: if chosen.is_empty() { Suite::ALL.to_vec() } else { chosen.clone() },
        java: "all",
        reopened: false,
    }
}

fn title(setup: Setup) -> String {
    match (setup.namesrv, setup.broker) {
        (Make::Apache, Make::Apache) => "Apache only".into(),
        (Make::Ours, Make::Apache) => "Apache's broker with our name server".into(),
        (Make::Apache, Make::Ours) => "our broker with Apache's name server".into(),
        (Make::Ours, Make::Ours) if setup.ipv6 => "IPv6".into(),
        (Make::Ours, Make::Ours) => format!("shards={} logs={}", setup.shards, setup.logs),
    }
}

/// What an address is part of: connections, ids of messages, registrations, answers to tools.
const IPV6_SCENARIOS: &str = "send-sync,batch,clustering,view-by-id,query-by-key,vip-channel,\
                              admin-connections,admin-broker";

/// Every setup that compatibility is claimed for; the order lets a store be reopened with another
/// number of shards.
fn matrix(arguments: &Arguments) -> Vec<Cell> {
    let base = arguments.setup();
    let ours = |shards, logs, reopened: bool| {
        let setup = Setup { shards, logs, ..base };
        let again = if reopened { ", reopened" } else { "" };
        let title = format!("{}{again}", title(setup));
        Cell { title, setup, suites: Suite::ALL.to_vec(), java: "all", reopened }
    };
    let crossed = |namesrv, broker| {
        let setup = Setup { namesrv, broker, ..base };
        let suites = vec![Suite::Java55, Suite::Java49, Suite::Ringmq];
        Cell { title: title(setup), setup, suites, java: "all", reopened: false }
    };
    let ipv6 = Setup { ipv6: true, ..base };
    let ipv6 = Cell {
        title: title(ipv6),
        setup: ipv6,
        suites: vec![Suite::Java55, Suite::Java49, Suite::Ringmq],
        java: IPV6_SCENARIOS,
        reopened: false,
    };
    vec![
        ours(1, 1, false),
        ours(2, 1, true),
        ours(2, 3, false),
        ours(1, 3, true),
        crossed(Make::Ours, Make::Apache),
        crossed(Make::Apache, Make::Ours),
        ipv6,
    ]
}

pub fn build_ours(debug: bool) -> Outcome {
    if debug { build_binaries(&[]) } else { build_binaries(&["--release"]) }
}

/// A folder of that name for store and logs, emptied unless `keep`.
///
/// # Errors
/// It cannot be emptied or made.
pub fn run_folder(name: &str, keep: bool) -> Outcome<PathBuf> {
    let folder = compat_target().join("runs").join(name);
    if folder.exists() && !keep {
        std::fs::remove_dir_all(&folder).map_err(at(&folder))?;
    }
    std::fs::create_dir_all(&folder).map_err(at(&folder))?;
    Ok(folder)
}

/// What Apache's broker does otherwise, and Java scenarios hold ours to. It writes the table of all
/// progress in a form that Java's reader refuses, resets the progress of consumers that are online
/// only, and lists a deleted group again. A message sent back comes when the consumer has found
/// the route of its retry topic, up to 30 s later. Of topics changed at the same moment some do not
/// reach the name server. A body too large is refused late on a busy machine. A request with a
/// binary header is answered in the encoding of the broker's own settings. Requests for a reply are
/// taken, and get one.
const NOT_OF_APACHE: &str = "admin-progress,admin-groups,reconsume-later,dead-letter-concurrent,\
     admin-topics-at-once,body-oversize,binary-headers,request-refused";

/// Names of topics that stay readable when the store is opened again.
const KEPT: &str = "kept";

fn run_cell(cell: &Cell, scenario: &str) -> Outcome<Vec<Report>> {
    println!("== {}", cell.title);
    let folder = run_folder("compat", cell.reopened)?;
    let cluster = Cluster::start(cell.setup, &folder)?;
    let one = |suite: Suite, scenario: &str, run_id: &str| {
        let report = suite.run(&Run {
            namesrv: cluster.namesrv_address,
            broker: cluster.broker_address,
            scenario,
            without: if cell.setup.broker == Make::Apache { NOT_OF_APACHE } else { "" },
            run_id,
            title: &cell.title,
            folder: &folder,
        })?;
        println!("{}: {} passed, {} failed", report.title, report.passed, report.failed.len());
        Ok::<_, String>(report)
    };
    let mut reports = Vec::new();
    let whole = scenario == "all" && cell.java == "all";
    if whole && cell.setup.broker == Make::Ours && cell.suites.contains(&Suite::Java55) {
        let kept = if cell.reopened { "reopen-read" } else { "reopen-write" };
        reports.push(one(Suite::Java55, kept, KEPT)?);
    }
    for suite in &cell.suites {
        let chosen = if suite.is_java() && scenario == "all" { cell.java } else { scenario };
        reports.push(one(*suite, chosen, &fresh_run_id())?);
    }
    cluster.stop()?;
    keep_logs(&folder, &cell.title)?;
    Ok(reports)
}

/// The next start overwrites the servers' logs.
fn keep_logs(folder: &Path, title: &str) -> Outcome {
    for name in ["broker.log", "namesrv.log"] {
        let kept = folder.join(format!("{} {name}", title.replace('=', "-")));
        std::fs::copy(folder.join(name), &kept).map_err(at(&kept))?;
    }
    Ok(())
}

fn fresh_run_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("r{}", now.as_millis())
}

fn summarize(reports: &[Report]) -> Outcome {
    println!();
    for report in reports {
        let seconds = report.took.as_secs_f64();
        let failed = report.failed.len();
        println!(
            "{:<60} {:>3} passed {failed:>3} failed {seconds:>6.1} s",
            report.title, report.passed
        );
    }
    for report in reports.iter().filter(|report| !report.failed.is_empty()) {
        println!("\n{}:", report.title);
        report.failed.iter().for_each(|reason| println!("  {reason}"));
    }
    let passed: usize = reports.iter().map(|report| report.passed).sum();
    let failed: usize = reports.iter().map(|report| report.failed.len()).sum();
    println!("\n{passed} passed, {failed} failed");
    if failed == 0 { Ok(()) } else { Err("clients do not work, see above".into()) }
}
