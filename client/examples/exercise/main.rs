//! Runs what this library can do against a cluster, Apache's or ours, and checks what comes out:
//! `cargo run -p ringmq-client --example exercise -- --namesrv 127.0.0.1:9876`.
//!
//! Prints `PASS name ms` or `FAIL name reason` for each scenario and closes with `N passed, N
//! failed`; `cargo xtask compat --suite ringmq` runs it beside the foreign clients. Scenarios run
//! on tokio and on plain threads, never in the client's own executor: what works here works from
//! any runtime. `RINGMQ_LOG=debug` shows what the client does.

mod consume;
mod groups;
mod life;
mod lite_pull;
mod produce;
mod world;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use ringmq_runtime::clock::Instant;
use ringmq_runtime::{clock, remote};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use world::World;

/// Scenarios wait for servers most of the time.
const PARALLEL: usize = 4;

type Scenario = fn(World) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! scenarios {
    ($($name:literal => $run:path,)*) => {
        &[$(($name, |world| Box::pin($run(world)))),*]
    };
}

const SCENARIOS: &[(&str, Scenario)] = scenarios! {
    "retry" => consume::retry,
    "rebalance" => groups::rebalance,
    "allocation" => groups::allocation,
    "send-sync" => produce::send_sync,
    "intact-2000" => produce::intact,
    "send-oneway" => produce::send_oneway,
    "batch" => produce::batch,
    "queue-selector" => produce::queue_selector,
    "compression" => produce::compression,
    "body-4-mib" => produce::largest_body,
    "body-oversize" => produce::oversize_body,
    "clustering" => consume::clustering,
    "tag-filter" => consume::tag_filter,
    "long-poll" => consume::long_poll,
    "orderly" => consume::orderly,
    "broadcasting" => consume::broadcasting,
    "resume" => consume::resume,
    "lite-pull-assign" => lite_pull::assign,
    "lite-pull-subscribe" => lite_pull::subscribe,
    "search-offset" => lite_pull::search_offset,
    "route-refresh" => life::route_refresh,
    "many-threads" => life::many_threads,
    "shutdown" => life::shutdown,
    "dropped-handles" => life::dropped_handles,
    "nobody-there" => life::nobody_there,
};

struct Options {
    namesrv: String,
    scenario: String,
    run_id: String,
}

fn options() -> Option<Options> {
    let mut options = Options {
        namesrv: "127.0.0.1:9876".into(),
        scenario: "all".into(),
        run_id: format!("r{}", clock::unix_ms()),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--namesrv" => options.namesrv = value,
            "--scenario" => options.scenario = value,
            "--run-id" => options.run_id = value,
            // Every suite is told; this client finds brokers by their routes.
            "--broker" => {}
            _ => return None,
        }
    }
    Some(options)
}

fn chosen(names: &str) -> Result<Vec<(&'static str, Scenario)>, String> {
    if names == "all" {
        return Ok(SCENARIOS.to_vec());
    }
    let find = |name: &str| {
        let found = SCENARIOS.iter().find(|(known, _)| *known == name);
        found.copied().ok_or_else(|| format!("no scenario {name}"))
    };
    names.split(',').map(find).collect()
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_env("RINGMQ_LOG"))
        .with_writer(std::io::stderr)
        .init();
    let Some(options) = options() else {
        eprintln!("usage: exercise [--namesrv ADDRESS] [--scenario all|NAME,NAME] [--run-id ID]");
        return ExitCode::from(2);
    };
    let work = match chosen(&options.scenario) {
        Ok(work) => work,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    let total = work.len();
    let runtime = Arc::new(Runtime::new().expect("tokio starts"));
    let (options, queue) = (Arc::new(options), Arc::new(Mutex::new(work.into_iter())));
    let workers: Vec<_> = (0..PARALLEL)
        .map(|_| {
            let (runtime, options, queue) = (runtime.clone(), options.clone(), queue.clone());
            let (done, passed) = remote::oneshot();
            let work = move || done.send(run_scenarios(&runtime, &options, &queue));
            remote::spawn_thread("worker", work).expect("a thread");
            passed
        })
        .collect();
    let passed = workers.into_iter().map(|w| runtime.block_on(w).unwrap_or(0)).sum::<usize>();
    println!("{passed} passed, {} failed", total - passed);
    if passed == total { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Takes one scenario after the other; returns how many passed.
fn run_scenarios(
    runtime: &Runtime,
    options: &Options,
    queue: &Mutex<impl Iterator<Item = (&'static str, Scenario)>>,
) -> usize {
    let mut passed = 0;
    loop {
        let next = queue.lock().expect("no panic in here").next();
        let Some((name, scenario)) = next else { return passed };
        let world = World::new(&options.namesrv, name, &options.run_id);
        let began = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| runtime.block_on(scenario(world)))) {
            Ok(()) => {
                passed += 1;
                println!("PASS {name} {}", began.elapsed().as_millis());
            }
            Err(panic) => println!("FAIL {name} {}", reason(&*panic)),
        }
    }
}

fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
