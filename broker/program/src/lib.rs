//! What programs do alike when they start and when they end: the log, the settings file of a
//! server, and in words why it does not go on.

#![forbid(unsafe_code)]

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use ringmq_runtime::disk::Disk;
use ringmq_runtime::start::explain_settings_file;
use ringmq_settings::properties::{PROPERTIES_SIZE_MAX_BYTES, Properties};
use ringmq_settings::{ConfigError, Notes, Rules};
use tracing_subscriber::EnvFilter;

/// The variable of the environment that chooses what a server logs.
pub const SERVER_LOG: &str = "RINGMQ_LOG";

/// Logs to standard error what `variable` of the environment chooses, or else `default`.
pub fn start_log(variable: &str, default: &str) {
    let filter = EnvFilter::try_from_env(variable).unwrap_or_else(|_| EnvFilter::new(default));
    let is_terminal = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal);
    // A line that cannot be written (its disk is full, its reader is gone) is left out: to tell of
    // that on standard error again would panic.
    log.log_internal_errors(false).with_writer(io::stderr).init();
}

/// Prints for whoever started the program. Nobody may be there: that is no reason to end.
pub fn say(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// Why a server ends, with its exit status. 2 is the command line's.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    text: String,
}

impl Failure {
    /// Something was lost when it stopped.
    pub fn loss(text: impl ToString) -> Self {
        Self { status: 1, text: text.to_string() }
    }

    /// The configuration is wrong.
    pub fn configuration(text: impl ToString) -> Self {
        Self { status: 3, text: text.to_string() }
    }

    /// The machine does not give what is needed.
    pub fn machine(text: impl ToString) -> Self {
        Self { status: 4, text: text.to_string() }
    }

    /// The store cannot be used.
    pub fn store(text: impl ToString) -> Self {
        Self { status: 5, text: text.to_string() }
    }

    /// The same with a further line.
    #[must_use]
    pub fn with_line(mut self, line: &str) -> Self {
        self.text.push_str("\n  ");
        self.text.push_str(line);
        self
    }
}

/// How the server of this name ends; it says why if it failed.
pub fn end(name: &str, ended: Result<(), Failure>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, text }) => {
            // Who closed standard error learns the reason from the status.
            let _ = writeln!(io::stderr(), "{name}: {text}");
            ExitCode::from(status)
        }
    }
}

/// Applies the settings file of `-c`, within an executor. What it has to say besides goes to the
/// log.
///
/// # Errors
/// It cannot be read, or something in it is refused: the text names the file, and each such key
/// with its line and what is allowed.
pub async fn apply_file<T: Rules>(settings: &mut T, path: &str) -> Result<(), Failure> {
    let bytes = read(Path::new(path)).await?;
    let properties = Properties::parse(&bytes)
        .map_err(|error| Failure::configuration(format!("{path}: {error}")))?;
    let mut notes = Notes::default();
    settings.apply(&properties, &mut notes).map_err(|error| refused(path, &error))?;
    log_notes(path, notes);
    Ok(())
}

/// One line for each setting that is refused.
fn refused(path: &str, error: &ConfigError) -> Failure {
    let text = match &error.lines()[..] {
        [only] => format!("{path}: {only}"),
        lines => format!("{path}: several settings are refused:\n  {}", lines.join("\n  ")),
    };
    Failure::configuration(text)
}

async fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let read = async {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let disk = Disk::live(directory.unwrap_or(Path::new(".")))?;
        disk.read_all(name, PROPERTIES_SIZE_MAX_BYTES).await
    };
    read.await.map_err(|error| Failure::configuration(explain_settings_file(path, error)))
}

/// Logs what settings that came from `source` had to say besides their values.
pub fn log_notes(source: &str, notes: Notes) {
    for warning in notes.warnings {
        tracing::warn!("{source}: {warning}");
    }
    if !notes.without_effect.is_empty() {
        let keys = notes.without_effect.join(", ");
        tracing::warn!(
            "{source}: keys of features that this version lacks (README, Honest limits), without \
             effect: {keys}"
        );
    }
}
