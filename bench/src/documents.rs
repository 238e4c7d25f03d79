//! Files that commands read: results of runs, races, scenarios. Whoever names another file learns
//! what was expected, what is there instead, and what to do.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::BenchError;
use crate::files;

/// Largest result that is read: a day of seconds has 20 MB.
const DOCUMENT_MAX_BYTES: usize = 256 << 20;

/// With what a packed file begins.
const PACKED_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What a command reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The result of a run.
    Result,
    /// A race, packed or not.
    Race,
    /// A scenario.
    Scenario,
}

impl Wanted {
    fn describe(self) -> &'static str {
        match self {
            Self::Result => "the result of a run, a PREFIX.json that -o PREFIX has written",
            Self::Race => "a race, the versus.json of its --output or the versus.json.gz there",
            Self::Scenario => "a scenario, a TOML file such as bench/scenarios/sync-64x1.toml",
        }
    }
}

/// What there is in its place.
#[derive(Debug)]
pub enum Found {
    /// No file.
    Nothing,
    /// A directory.
    Directory,
    /// A file without a byte in it.
    Empty,
    /// A document that ends before it is whole.
    Cut(String),
    /// A scenario.
    Scenario,
    /// The result of a run.
    Result,
    /// A race.
    Race,
    /// What is wanted, as another version of bench writes it, and what it lacks.
    OtherVersion(String),
    /// The runs of `bench versus --tune`.
    Sweep,
    /// The document of `bench limits`.
    Limits,
    /// JSON of no kind that bench writes, and what it lacks.
    OtherJson(String),
    /// No JSON at all, and why not.
    NoJson(String),
}

impl Found {
    /// What these bytes are, which `error` says are not what was wanted.
    fn in_bytes(bytes: &[u8], wanted: Wanted, error: &serde_json::Error) -> Self {
        if bytes.trim_ascii().is_empty() {
            return Self::Empty;
        }
        match serde_json::from_slice(bytes) {
            Ok(value) => match (wanted, Self::of_json(&value, error.to_string())) {
                (Wanted::Result, Self::Result) | (Wanted::Race, Self::Race) => {
                    Self::OtherVersion(error.to_string())
                }
                (_, found) => found,
            },
            Err(_) if is_scenario(bytes) => Self::Scenario,
            Err(error) if error.is_eof() => Self::Cut(error.to_string()),
            Err(error) => Self::NoJson(error.to_string()),
        }
    }

    fn of_json(value: &Value, lacks: String) -> Self {
        let has = |keys: &[&str]| keys.iter().all(|key| value.get(*key).is_some());
        let first = value.get(0).unwrap_or(&Value::Null);
        match () {
            () if has(&["conditions", "runs", "rows"]) => Self::Race,
            () if has(&["workload", "latency_of", "runs"]) => Self::Result,
            () if has(&["null_brokers", "device"]) => Self::Limits,
            () if first.get("variant").is_some() => Self::Sweep,
            () => Self::OtherJson(lacks),
        }
    }

    fn describe(&self) -> String {
        let kind = match self {
            Self::Nothing => "nothing of that name",
            Self::Directory => "a directory",
            Self::Empty => "an empty file",
            Self::Cut(how) => return format!("a document that is cut short ({how})"),
            Self::Scenario => "a scenario",
            Self::Result => "the result of a run",
            Self::Race => "a whole race",
            Self::Sweep => "the runs of a sweep (bench versus --tune)",
            Self::Limits => "the limits of a machine (bench limits --json)",
            Self::OtherVersion(what) => return format!("one of another version of bench ({what})"),
            Self::OtherJson(what) => return format!("JSON that bench has not written ({what})"),
            Self::NoJson(why) => return format!("no JSON ({why})"),
        };
        kind.to_owned()
    }
}

/// A file that is not what a command reads.
#[derive(Debug)]
pub struct WrongFile {
    path: PathBuf,
    /// What the command reads.
    pub wanted: Wanted,
    /// What is there.
    pub found: Found,
}

impl WrongFile {
    fn what_to_do(&self) -> String {
        let path = self.path.display();
        match (self.wanted, &self.found) {
            (_, Found::Nothing) if self.path.is_relative() => {
                let here = std::env::current_dir().unwrap_or_default();
                format!("a relative path counts from {}", here.display())
            }
            (_, Found::Cut(_)) => "it was not written or copied to its end: do that again".into(),
            (_, Found::Directory) => "name the file in it".into(),
            (Wanted::Result, Found::Scenario) => {
                format!("measure it first: bench run {path} -o PREFIX")
            }
            (_, Found::Scenario) => format!("bench run {path} runs it"),
            (Wanted::Result, Found::Race) => format!(
                "bench versus --show {path} prints its table. Of two races compare the ratios (x \
                 better) in their tables, since figures of different hours say nothing about each \
                 other; two runs of one race can be named where it ran, the NNNN-*.json of its \
                 --output, which no versus.json.gz has"
            ),
            (_, Found::Race) => format!("bench versus --show {path} prints its table"),
            (_, Found::Result) => {
                format!("bench report {path} draws it, bench compare sets it beside another")
            }
            (_, Found::OtherVersion(_)) => "measure again, or use that version".into(),
            (_, Found::Limits) => {
                "they are read by people; the commands that measure have them in their own results"
                    .into()
            }
            (_, Found::Sweep) => "they are read by people, and by no command".into(),
            _ => "name such a file".into(),
        }
    }
}

impl fmt::Display for WrongFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, wanted, found } = self;
        let (path, wanted, found) = (path.display(), wanted.describe(), found.describe());
        write!(f, "{path}: expected {wanted}, found {found}; {}", self.what_to_do())
    }
}

/// The error that a command has which wants another file than this.
pub fn wrong(path: &Path, wanted: Wanted, found: Found) -> BenchError {
    BenchError::WrongFile(Box::new(WrongFile { path: path.to_owned(), wanted, found }))
}

/// Reads a document, or the part of it that `T` has; what was packed is unpacked.
///
/// # Errors
/// The file cannot be read, or is no such document.
pub async fn read<T: DeserializeOwned>(path: &Path, wanted: Wanted) -> Result<T, BenchError> {
    let bytes = bytes(path, wanted, DOCUMENT_MAX_BYTES).await?;
    let bytes = unpacked(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => wrong(path, wanted, Found::Cut(error.to_string())),
        _ => BenchError::file(path, error),
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| wrong(path, wanted, Found::in_bytes(&bytes, wanted, &error)))
}

/// The bytes of a file that has at most this many.
///
/// # Errors
/// It is not there, or cannot be read.
pub async fn bytes(path: &Path, wanted: Wanted, max_bytes: usize) -> Result<Vec<u8>, BenchError> {
    files::read(path, max_bytes).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => wrong(path, wanted, Found::Nothing),
        ErrorKind::IsADirectory => wrong(path, wanted, Found::Directory),
        _ => BenchError::file(path, error),
    })
}

/// What JSON is that stands where a scenario is wanted, which is TOML.
pub fn json_for_scenario(bytes: &[u8]) -> Option<Found> {
    let value = serde_json::from_slice(&unpacked(bytes.to_vec()).ok()?).ok()?;
    Some(Found::of_json(&value, "a scenario is TOML".to_owned()))
}

/// What was packed; what was not stays as it is.
///
/// # Errors
/// It is damaged.
pub fn unpacked(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if !bytes.starts_with(&PACKED_MAGIC) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    // What does not fit is cut off, and no whole document any more.
    let bound = u64::try_from(DOCUMENT_MAX_BYTES).expect("it fits");
    GzDecoder::new(&bytes[..]).take(bound).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

fn is_scenario(bytes: &[u8]) -> bool {
    let table: Option<toml::Table> = toml::from_str(&String::from_utf8_lossy(bytes)).ok();
    table.is_some_and(|table| table.contains_key("command"))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at what is said of them"
)]
mod tests;
