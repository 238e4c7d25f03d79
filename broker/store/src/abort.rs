//! The abort file: what a running log says about itself, for the start after a crash.
//!
//! Present while a log is open, so absent after a clean stop. Broker processes of another make
//! leave their process id in a file of this name; then the settings of today stand in.

use std::io;
use std::path::Path;

use ringmq_runtime::disk::Disk;

use crate::log::Inner;
use crate::options::LogOptions;

/// Its name.
const ABORT_FILE: &str = "abort";

/// Lines of the abort file.
const TORN_WINDOW: &str = "torn_window_bytes=";
const ZERO_UNTIL: &str = "zero_until=";
const RECORD_CHECKSUM: &str = "record_checksum=";

/// What a run notes down when it begins; found by the next start, it is of a run that did not end
/// cleanly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunNote {
    /// How far behind the end it may leave records, in bytes.
    pub(crate) torn_window: u64,
    /// The start that wrote this had begun to zero the log up to here.
    pub(crate) zero_until: Option<u64>,
    /// Every record it appends carries the whole-record checksum.
    pub(crate) has_checksums: bool,
}

/// What the last run left about itself; `None` after a clean stop.
///
/// # Errors
/// As the file system says.
pub(crate) async fn read(
    disk: &Disk,
    dir: &Path,
    options: &LogOptions,
) -> io::Result<Option<RunNote>> {
    match disk.read_all(dir.join(ABORT_FILE), 4096).await {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let number = |name: &str| {
                let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
                values.find_map(|value| value.parse::<u64>().ok())
            };
            let torn_window = number(TORN_WINDOW).unwrap_or(options.torn_window_bytes());
            let has_checksums = number(RECORD_CHECKSUM) == Some(1);
            Ok(Some(RunNote { torn_window, zero_until: number(ZERO_UNTIL), has_checksums }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Says what a crash from now on should be told.
///
/// # Errors
/// As the file system says.
pub(crate) async fn write(inner: &Inner, note: RunNote) -> io::Result<()> {
    let checksum = u8::from(note.has_checksums);
    let mut text = format!("{TORN_WINDOW}{}\n{RECORD_CHECKSUM}{checksum}\n", note.torn_window);
    if let Some(until) = note.zero_until {
        text.push_str(&format!("{ZERO_UNTIL}{until}\n"));
    }
    inner.disk.replace(inner.dir.join(ABORT_FILE), text).await
}

/// Ends a clean stop.
///
/// # Errors
/// As the file system says.
pub(crate) async fn remove(inner: &Inner) -> io::Result<()> {
    inner.disk.remove_file(inner.dir.join(ABORT_FILE)).await?;
    inner.disk.sync_dir(&inner.dir).await
}
