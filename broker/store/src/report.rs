//! The report of a start: what it found and cut off, and what people should hear of it.

use std::path::PathBuf;
use std::time::Duration;

use crate::cut;
use crate::position::LogPosition;

/// What opening a log found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The log was made now.
    pub is_new: bool,
    /// The last run ended cleanly.
    pub was_clean: bool,
    /// The indexes had to be built from the whole log.
    pub rebuilt_index: bool,
    /// Where the scan of the log began.
    pub scanned_from: LogPosition,
    /// Records found by the scan.
    pub scanned_records: u64,
    /// End of the log.
    pub end: LogPosition,
    /// Why the scan ended, unless it found zeros or the end of the files.
    pub damage: Option<String>,
    /// Bytes behind the end that were zeroed.
    pub cut_bytes: u64,
    /// Messages that began in there, whole or not, as far as their heads show.
    pub cut_heads: u64,
    /// The file, in the root directory of the disk, that has what these bytes were.
    pub kept_in: Option<PathBuf>,
    /// How long it took.
    pub took: Duration,
}

impl RecoveryReport {
    /// What people should know at once: that something was cut off the log, and where it is.
    ///
    /// Most of the time a crash tore what was never acknowledged. Damage of the newest messages
    /// looks alike, so nobody but the reader can tell.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        if self.damage.is_none() && self.cut_bytes == 0 {
            return None;
        }
        let damage = self.damage.as_deref().unwrap_or("zeros");
        let kept = self.kept_in.as_ref().map_or_else(
            || "they were not kept".to_owned(),
            |path| match self.cut_bytes > cut::FILE_MAX_BYTES {
                true => format!("the first {} are kept in {}", cut::FILE_MAX_BYTES, path.display()),
                false => format!("they are kept in {}", path.display()),
            },
        );
        Some(format!(
            "what stood behind the last sound message, at {}, was cut off: there was {damage}. \
             {} bytes were zeroed, in which {} messages began; {kept}. A crash tears what was not \
             flushed; damage of the newest messages looks the same, and then acknowledged ones are \
             among these",
            self.end, self.cut_bytes, self.cut_heads
        ))
    }
}
