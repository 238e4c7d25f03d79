//! What can go wrong, sorted by whose fault it is.

use std::io;
use std::rc::Rc;

use crate::position::{LogId, LogPosition};

/// Why a message was not appended. Nothing of it is in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too many bytes wait to be written: try again after [`crate::Log::room`].
    #[error("the log holds {unwritten_bytes} unwritten bytes, limit {limit_bytes}")]
    Full {
        /// Bytes that wait.
        unwritten_bytes: u64,
        /// How many may.
        limit_bytes: u64,
    },
    /// The message, or the batch as a whole, will never fit.
    #[error("the record takes {size_bytes} bytes, limit {limit_bytes}")]
    TooLarge {
        /// Bytes it would take.
        size_bytes: u64,
        /// How many are allowed.
        limit_bytes: u64,
    },
    /// A field cannot be stored in a record.
    #[error("the message cannot be stored: {0}")]
    Illegal(String),
    /// The file system is full: no further segment could be made.
    #[error("no further segment could be made: {0}")]
    NoSpace(String),
    /// The log has come to the end of its positions, of which expired messages give none back. What
    /// it holds can be read and expires as ever.
    #[error(
        "the log has given out all of its 32 TiB of positions and takes no more messages; send to \
         another broker, and give this one a new store when the messages it holds are consumed"
    )]
    OutOfPositions,
    /// The log has handed out all of its 16 million slots of queues. Those of queues that were
    /// deleted since it was opened count: a start frees them.
    #[error(
        "all 16 million slots for queues of the log are taken: delete unused topics and restart the \
         broker, which frees their slots, or send to another broker"
    )]
    OutOfSlots,
    /// See [`Fenced`].
    #[error(transparent)]
    Fenced(#[from] Fenced),
}

/// A write or flush failed, or the log was closed: nothing more is promised until the log is opened
/// again.
///
/// A failed flush is not repeated: the kernel may have dropped the pages and report success the
/// next time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log {log} takes no more messages: {reason}")]
pub struct Fenced {
    /// The log.
    pub log: LogId,
    /// What failed, for people.
    pub reason: Rc<str>,
}

/// Why a log could not be opened. None of its messages was changed, so another attempt finds what
/// this one found. Its index is there as it was, but for what a long scan behind it has saved.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings contradict themselves.
    #[error("log {log}: {problem}")]
    Options {
        /// The log.
        log: LogId,
        /// What is wrong, in a sentence.
        problem: String,
    },
    /// The device or file system failed.
    #[error("log {log}: {what}: {source}")]
    Io {
        /// The log.
        log: LogId,
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The directory does not hold what it should.
    #[error("log {log}: {found}; {advice}")]
    Layout {
        /// The log.
        log: LogId,
        /// What was expected and found.
        found: String,
        /// What a person can do.
        advice: &'static str,
    },
    /// Valid records follow a damaged place, farther away than a crash can tear.
    #[error(
        "log {log}: the record at {at} is damaged ({damage}), but valid records follow at \
         {valid_at}: this is no torn tail. Restore the file from a copy"
    )]
    Corrupt {
        /// The log.
        log: LogId,
        /// The damaged place.
        at: LogPosition,
        /// What is wrong there.
        damage: String,
        /// A valid record behind it.
        valid_at: LogPosition,
    },
    /// A sound record is not one that its queue can have there.
    #[error(
        "log {log}: the message at {at} is whole, but {problem}: it is of another log or another \
         moment than what stands before it, or than the index. Restore commitlog and queueindex \
         from the same copy"
    )]
    Contradiction {
        /// The log.
        log: LogId,
        /// Where the record stands.
        at: LogPosition,
        /// What was expected and found.
        problem: String,
    },
    /// The index is built anew from messages of more queues than a log has at once.
    #[error(
        "log {log}: the message at {at} is the first of a further queue, but all slots, 16 million, \
         are taken: the messages of queues that were deleted count while the index is built anew. \
         Restore queueindex from a copy, which knows what was deleted"
    )]
    OutOfSlots {
        /// The log.
        log: LogId,
        /// Where the record stands.
        at: LogPosition,
    },
}

impl OpenError {
    /// Adds which log and what was tried to an error of the file system.
    pub(crate) fn io(log: LogId, what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { log, what: what.to_owned(), source }
    }
}

/// Why bytes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The device failed.
    #[error("log {log}: reading {what}: {source}")]
    Io {
        /// The log.
        log: LogId,
        /// What was read.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file that should hold it is not there, or too short.
    #[error("log {log}: {what} is gone")]
    Gone {
        /// The log.
        log: LogId,
        /// What.
        what: String,
    },
    /// What was read is not what was written.
    #[error("log {log}: {what} is damaged")]
    Damaged {
        /// The log.
        log: LogId,
        /// What.
        what: String,
    },
}
