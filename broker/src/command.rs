//! The command `mqbroker`: reads the command line and the settings, runs the broker, and says in
//! words why it cannot. In the library, because `bench` is a broker, too, in a child process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ringmq_program::{Failure, SERVER_LOG};
use ringmq_runtime::disk::Disk;
use ringmq_runtime::signal::Signal;
use ringmq_runtime::{process, shards, start};
use ringmq_settings::{Scope, template};
use ringmq_store::metadata::Document;

use crate::config::cli::Arguments;
use crate::config::{self, EmbeddedNamesrv, Notes, Rules as _, Settings};
use crate::directory::OVERRIDES_FILE;
use crate::setup::{self, Setup};
use crate::start::BrokerError;

/// Warnings and errors of ours; glommio's own are about probes that may fail.
const LOG_DEFAULT: &str = "warn,glommio=off";

/// Is `mqbroker` with these command line arguments, the first being the name of the program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    ringmq_program::start_log(SERVER_LOG, LOG_DEFAULT);
    ringmq_program::end("mqbroker", run(&arguments))
}

/// `changes` is what to say of changes of earlier runs, which may be why a start fails.
fn failure(error: BrokerError, changes: &str) -> Failure {
    let failure = match error {
        BrokerError::Shards(_) | BrokerError::Start(_) => Failure::machine(error),
        BrokerError::Store(_) => Failure::store(error),
        BrokerError::Stop(_) => return Failure::loss(error),
    };
    with_changes(failure, changes)
}

fn with_changes(failure: Failure, changes: &str) -> Failure {
    if changes.is_empty() { failure } else { failure.with_line(changes) }
}

/// What changes of earlier runs bring a start, if anything.
fn text_of_changes(overrides: &BTreeMap<String, String>) -> String {
    let of_start = |key: &str| {
        let mut rows = config::ROWS.iter().filter(|row| row.scope == Scope::Restart);
        rows.any(|row| row.key == key)
    };
    let changes = overrides.iter().filter(|(key, _)| of_start(key));
    let changes: Vec<_> = changes.map(|(key, value)| format!("{key}={value}")).collect();
    if changes.is_empty() {
        return String::new();
    }
    format!(
        "note: {OVERRIDES_FILE} in the store, changes made while a broker ran, sets {}",
        changes.join(", ")
    )
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.print_template {
        print(&config::sample_file());
        return Ok(());
    }
    let Loaded { settings, overrides, namesrv_from } = settings(arguments)?;
    let changes = text_of_changes(&overrides);
    let setup = Setup::new(settings, overrides)
        .map_err(|error| with_changes(Failure::configuration(error), &changes))?;
    if arguments.print_all || arguments.print_important {
        print(&template::listing(&*setup.settings, !arguments.print_all));
        return Ok(());
    }
    print(&namesrv_text(&setup, namesrv_from));
    let (broker, servers) = (broker_text(&setup), setup.namesrv_addresses.join(";"));
    let bench = bench_text(process::beside("bench"));
    let booted_text = boot_text(&broker, &servers);
    let stopped = format!("{broker} has stopped, everything is on disk.\n");
    let stopping = move |signal| print(&stopping_text(&broker, signal));
    let booted = move |reached: Option<&str>| {
        print(&(booted_text + &next_text(&servers, reached, &bench)));
    };
    setup::run(&setup, booted, stopping).map_err(|error| failure(error, &changes))?;
    print(&stopped);
    Ok(())
}

/// What a start has to go by.
struct Loaded {
    settings: Settings,
    /// Changes of earlier runs, which are in the settings too.
    overrides: BTreeMap<String, String>,
    /// What names the name servers, when it is not the command line.
    namesrv_from: Option<&'static str>,
}

/// What all sources say, in the order that [`crate::config`] explains.
fn settings(arguments: &Arguments) -> Result<Loaded, Failure> {
    let (mut settings, mut notes) = (Settings::default(), Notes::default());
    if let Some(path) = &arguments.config_file {
        let apply = ringmq_program::apply_file(&mut settings, path);
        shards::try_block_on("settings", apply).map_err(Failure::machine)??;
    }
    let mut overrides = overrides(&settings.store_path_root_dir)?;
    settings.apply_overrides(&mut overrides, &mut notes);
    if !overrides.is_empty() {
        let keys = overrides.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::warn!(
            "configuration: changed while a broker ran, so {OVERRIDES_FILE} wins over the file: {keys}"
        );
    }
    ringmq_program::log_notes(OVERRIDES_FILE, notes);
    let mut namesrv_from = Some("namesrvAddr");
    if settings.namesrv_addr.is_empty() {
        settings.namesrv_addr = std::env::var("NAMESRV_ADDR").unwrap_or_default();
        namesrv_from = Some("NAMESRV_ADDR of the environment");
    }
    if let Some(addresses) = &arguments.namesrv_addr {
        settings.namesrv_addr.clone_from(addresses);
        namesrv_from = None;
    }
    Ok(Loaded { settings, overrides, namesrv_from })
}

/// Settings that were changed while the broker ran.
fn overrides(root: &str) -> Result<BTreeMap<String, String>, Failure> {
    let loaded = shards::try_block_on("settings", async {
        let disk = Disk::live(root).map_err(|error| error.to_string())?;
        let document = Document::new(&disk, OVERRIDES_FILE);
        document.load().await.map_err(|error| error.to_string())
    });
    match loaded.map_err(Failure::machine)? {
        Ok(loaded) => Ok(loaded.unwrap_or_default()),
        Err(text) => {
            // A directory that is no good at all is the better explanation.
            start::check_directory(root).map_err(Failure::machine)?;
            let fix = "move it away; it holds settings changed while a broker ran, nothing else";
            Err(Failure::store(format!("{root}: {text}\n  fix: {fix}")))
        }
    }
}

/// Why no name server runs in this process, for those who did not ask for that in so many words.
fn namesrv_text(setup: &Setup, namesrv_from: Option<&str>) -> String {
    let is_open = setup.settings.embedded_namesrv == EmbeddedNamesrv::Auto;
    match namesrv_from {
        Some(from) if is_open && setup.embedded_namesrv.is_none() => {
            let servers = setup.namesrv_addresses.join(";");
            format!("No name server in this process: {from} names {servers}\n")
        }
        _ => String::new(),
    }
}

/// The line that people and scripts wait for.
fn boot_text(broker: &str, servers: &str) -> String {
    let and_servers =
        if servers.is_empty() { String::new() } else { format!(" and name server is {servers}") };
    format!("{broker} boot success. serializeType=JSON{and_servers}\n")
}

/// How to call `bench`: the program if it lies beside this one, else as those can who have the
/// sources.
fn bench_text(program: Option<PathBuf>) -> String {
    match program {
        Some(path) => format!("run: {}", path.display()),
        None => "in RingMQ's sources run: cargo run --release --bin bench --".to_owned(),
    }
}

/// What to do next; `reached` is a name server where clients find this broker, and `bench` says how
/// to call that.
fn next_text(servers: &str, reached: Option<&str>, bench: &str) -> String {
    match reached {
        Some(server) => {
            format!("Next: point a client at {server}, or {bench} produce -n {server}\n")
        }
        None if servers.is_empty() => String::new(),
        None => format!(
            "No client finds this broker yet: no name server has answered at {servers}. Next: start \
             one there (mqnamesrv), and this broker registers; or start it with another -n\n"
        ),
    }
}

fn broker_text(setup: &Setup) -> String {
    format!("The broker[{}, {}]", setup.identity.name, setup.identity.address)
}

fn stopping_text(broker: &str, signal: Signal) -> String {
    let signal = match signal {
        Signal::Terminate => "SIGTERM",
        Signal::Interrupt => "SIGINT",
        Signal::Hangup => "SIGHUP",
    };
    format!("{broker} stops ({signal}): requests under way are answered, and all is saved.\n")
}

/// Writes to standard output; a reader that went away is no reason to fail.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_next_is_a_command_that_a_shell_finds() {
        let next = |program: Option<&str>| {
            next_text("a:1;b:2", Some("b:2"), &bench_text(program.map(PathBuf::from)))
        };
        assert_eq!(
            next(Some("./target/release/bench")),
            "Next: point a client at b:2, or run: ./target/release/bench produce -n b:2\n"
        );
        assert_eq!(
            next(None),
            "Next: point a client at b:2, or in RingMQ's sources run: cargo run --release --bin \
             bench -- produce -n b:2\n"
        );
    }
}
