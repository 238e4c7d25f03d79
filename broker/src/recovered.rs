//! What a start after a crash found in the logs, in one line for all of them.

use std::fmt;
use std::time::Duration;

use ringmq_store::RecoveryReport;

/// What was read again of logs that were not closed cleanly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    logs: u64,
    messages: u64,
    bytes: u64,
    cut_bytes: u64,
    /// Of the log that took longest: they are opened side by side.
    took: Duration,
}

impl Recovered {
    /// What opening a log came to: nothing where the last run ended cleanly.
    pub fn of(report: &RecoveryReport) -> Self {
        if report.was_clean {
            return Self::default();
        }
        Self {
            logs: 1,
            messages: report.scanned_records,
            bytes: report.end.byte().saturating_sub(report.scanned_from.byte()),
            cut_bytes: report.cut_bytes,
            took: report.took,
        }
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            logs: self.logs + other.logs,
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            cut_bytes: self.cut_bytes + other.cut_bytes,
            took: self.took.max(other.took),
        }
    }

    /// True when there was no crash.
    pub fn is_nothing(&self) -> bool {
        self.logs == 0
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logs, messages, bytes, cut_bytes, took } = self;
        write!(
            f,
            "the store was not closed cleanly: recovered {messages} messages of {bytes} bytes \
             behind the last checkpoints of {logs} logs, cut off {cut_bytes} bytes, in {} ms",
            took.as_millis()
        )
    }
}
