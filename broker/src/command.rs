//! The command `mqbroker`: reads the command line and the settings, runs the broker, and says in
//! words why it cannot. In the library, because `bench` is a broker, too, in a child process.

use crate::config::cli::Arguments;
use crate::config::{self, EmbeddedNamesrv, Notes, Rules as _, Settings};
use crate::directory::OVERRIDES_FILE;
use crate::server::{self, Setup};
use crate::start::BrokerError;
use clap::Parser;
use ringmq_runtime::disk::Disk;
use ringmq_runtime::shards;
use ringmq_runtime::signal::Signal;
use ringmq_runtime::start::{self, explain_settings_file};
use ringmq_settings::properties::{PROPERTIES_SIZE_MAX_BYTES, Properties};
use ringmq_settings::template;
use ringmq_store::metadata::Document;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

const EXIT_STOPPED_WITH_LOSS: u8 = 1;
const EXIT_CONFIGURATION: u8 = 3;
const EXIT_MACHINE: u8 = 4;
const EXIT_STORE: u8 = 5;

/// Warnings and errors of ours; glommio's own are about probes that may fail.
const LOG_DEFAULT: &str = "warn,glommio=off";

/// Why the process ends, with its exit status.
struct Failure {
    status: u8,
    text: String,
}

impl Failure {
    fn configuration(text: impl Into<String>) -> Self {
        Self { status: EXIT_CONFIGURATION, text: text.into() }
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        let status = match error {
            BrokerError::Shards(_) | BrokerError::Start(_) => EXIT_MACHINE,
            BrokerError::Store(_) => EXIT_STORE,
            BrokerError::Stop(_) => EXIT_STOPPED_WITH_LOSS,
        };
        Self { status, text: error.to_string() }
    }
}

/// Is `mqbroker` with these command line arguments, the first being the name of the program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    start_log();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "mqbroker: {}", failure.text);
            ExitCode::from(failure.status)
        }
    }
}

/// Logs to standard error; RINGMQ_LOG chooses what.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("RINGMQ_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG_DEFAULT));
    let is_terminal = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal);
    log.with_writer(io::stderr).init();
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.print_template {
        print(&config::sample_file());
        return Ok(());
    }
    let Loaded { settings, overrides, namesrv_from } = settings(arguments)?;
    let setup = Setup::new(settings, overrides).map_err(Failure::configuration)?;
    if arguments.print_all || arguments.print_important {
        print(&template::listing(&*setup.settings, !arguments.print_all));
        return Ok(());
    }
    print(&namesrv_text(&setup, namesrv_from));
    let (success, broker) = (success_text(&setup), broker_text(&setup));
    let stopped = format!("{broker} has stopped, everything is on disk.\n");
    let stopping = move |signal| print(&stopping_text(&broker, signal));
    server::run(&setup, move || print(&success), stopping)?;
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

/// Defaults, file, changes of earlier runs, environment, command line; the later wins.
fn settings(arguments: &Arguments) -> Result<Loaded, Failure> {
    let (mut settings, mut notes) = (Settings::default(), Notes::default());
    if let Some(path) = &arguments.config_file {
        let refuse = |error: &dyn Display| Failure::configuration(format!("{path}: {error}"));
        let bytes = read_file(Path::new(path))?;
        let properties = Properties::parse(&bytes).map_err(|error| refuse(&error))?;
        settings.apply(&properties, &mut notes).map_err(|error| refuse(&error))?;
    }
    let overrides = overrides(&settings.store_path_root_dir)?;
    settings.apply_overrides(&overrides, &mut notes);
    if !overrides.is_empty() {
        let keys = overrides.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::warn!(
            "configuration: changed while a broker ran, so {OVERRIDES_FILE} wins over the file: {keys}"
        );
    }
    for warning in notes.warnings {
        tracing::warn!("configuration: {warning}");
    }
    if !notes.without_effect.is_empty() {
        let keys = notes.without_effect.join(", ");
        tracing::info!("configuration: known and without effect in this version: {keys}");
    }
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
    match loaded.map_err(BrokerError::Shards)? {
        Ok(loaded) => Ok(loaded.unwrap_or_default()),
        Err(text) => {
            // A directory that is no good at all is the better explanation.
            start::check_directory(root).map_err(BrokerError::Shards)?;
            let fix = "move it away; it holds settings changed while a broker ran, nothing else";
            Err(Failure { status: EXIT_STORE, text: format!("{root}: {text}\n  fix: {fix}") })
        }
    }
}

/// The bytes of the settings file.
fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let read = async {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        Disk::live(directory)?.read_all(name, PROPERTIES_SIZE_MAX_BYTES).await
    };
    let read = shards::try_block_on("settings", read).map_err(BrokerError::Shards)?;
    read.map_err(|error| Failure::configuration(explain_settings_file(path, error).to_string()))
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

/// The line that people and scripts wait for, and what to do next.
fn success_text(setup: &Setup) -> String {
    let servers = setup.namesrv_addresses.join(";");
    let and_servers =
        if servers.is_empty() { String::new() } else { format!(" and name server is {servers}") };
    let broker = broker_text(setup);
    let mut text = format!("{broker} boot success. serializeType=JSON{and_servers}\n");
    if let Some(server) = setup.namesrv_addresses.first() {
        text += &format!("Next: point a client at {server}, or run: bench produce -n {server}\n");
    }
    text
}

fn broker_text(setup: &Setup) -> String {
    format!("The broker[{}, {}]", setup.identity.name, setup.identity.address)
}

fn stopping_text(broker: &str, signal: Signal) -> String {
    let signal = match signal {
        Signal::Terminate => "SIGTERM",
        Signal::Interrupt => "SIGINT",
    };
    format!("{broker} stops ({signal}): requests under way are answered, and all is saved.\n")
}

/// Writes to standard output; a reader that went away is no reason to fail.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
