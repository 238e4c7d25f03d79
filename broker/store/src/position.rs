//! Names of places: logs, bytes of a log, messages of a queue.

use std::fmt;

/// Bits of a physical offset that count bytes inside one log; the log id stands above them.
pub const LOG_BYTE_BITS: u32 = 45;

/// First byte offset that no log may reach: 32 TiB.
pub const LOG_MAX_BYTES: u64 = 1 << LOG_BYTE_BITS;

/// Which log of a store: 0..=255, fixed when the store is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u8);

impl LogId {
    /// The position of a byte that a disk names; `None` when no log can have it.
    pub(crate) fn at_if_any(self, byte: u64) -> Option<LogPosition> {
        (byte < LOG_MAX_BYTES).then(|| self.at(byte))
    }

    /// The position of byte `byte` of this log.
    ///
    /// # Panics
    /// When `byte` is not below [`LOG_MAX_BYTES`]: the append step refuses to get there.
    pub fn at(self, byte: u64) -> LogPosition {
        assert!(byte < LOG_MAX_BYTES, "byte {byte} lies outside of log {}", self.0);
        LogPosition(u64::from(self.0) << LOG_BYTE_BITS | byte)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The physical offset of a byte as clients see it: `log id << 45 | byte offset`, below 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition(u64);

impl LogPosition {
    /// A position from the number that a client sent; `None` when no log can have it.
    pub fn from_wire(value: i64) -> Option<Self> {
        let value = u64::try_from(value).ok()?;
        (value >> LOG_BYTE_BITS <= u64::from(u8::MAX)).then_some(Self(value))
    }

    /// The number that travels in records, message ids and headers.
    pub fn wire(self) -> i64 {
        // Below 2^53 by construction.
        self.0 as i64
    }

    /// The log it lies in.
    pub fn log(self) -> LogId {
        LogId((self.0 >> LOG_BYTE_BITS) as u8)
    }

    /// Bytes from the start of its log.
    pub fn byte(self) -> u64 {
        self.0 & (LOG_MAX_BYTES - 1)
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.log(), self.byte())
    }
}

/// The number of a message in its queue: dense, from 0, never reused by retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueOffset(pub u64);

impl QueueOffset {
    /// The number that travels in headers and records.
    pub fn wire(self) -> i64 {
        i64::try_from(self.0).expect("queue offsets stay below 2^63: one is given per append")
    }
}

impl fmt::Display for QueueOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A queue of one open log: a small number that stays the same until the log is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct QueueKey(pub(crate) u32);

impl QueueKey {
    pub(crate) fn slot(self) -> usize {
        self.0 as usize
    }
}

/// The file name of a segment that starts at `position`: 20 digits, as Apache names them.
pub(crate) fn segment_name(position: LogPosition) -> String {
    format!("{:020}", position.0)
}

/// The position that a segment's file name states, when it is one of `log`.
pub(crate) fn parse_segment_name(log: LogId, name: &str) -> Option<u64> {
    let digits = name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit());
    let position = LogPosition::from_wire(digits.then(|| name.parse().ok()).flatten()?)?;
    (position.log() == log).then(|| position.byte())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_carry_the_log_above_45_bits_of_bytes() {
        let position = LogId(3).at(1 << 40);
        assert_eq!(position.wire(), 3 << 45 | 1 << 40);
        assert_eq!((position.log(), position.byte()), (LogId(3), 1 << 40));
        assert_eq!(LogPosition::from_wire(position.wire()), Some(position));
        assert!(LogId(255).at(LOG_MAX_BYTES - 1).wire() < 1 << 53);
    }

    #[test]
    fn numbers_outside_of_every_log_are_no_positions() {
        for wire in [-1, i64::MIN, i64::MAX, 1 << 53] {
            assert_eq!(LogPosition::from_wire(wire), None, "{wire}");
        }
    }

    #[test]
    fn segment_names_round_trip_and_refuse_foreign_logs() {
        assert_eq!(segment_name(LogId(0).at(1 << 30)), "00000000001073741824");
        let name = segment_name(LogId(1).at(4096));
        assert_eq!(parse_segment_name(LogId(1), &name), Some(4096));
        assert_eq!(parse_segment_name(LogId(0), &name), None);
        assert_eq!(parse_segment_name(LogId(0), "0000000000107374182x"), None);
        assert_eq!(parse_segment_name(LogId(0), "99999999999999999999"), None);
    }
}
