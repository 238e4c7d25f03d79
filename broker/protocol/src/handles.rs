//! Handles that clients carry back unread: of popped messages and of timed messages to recall.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::{BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use thiserror::Error;

/// Revive queue number of messages popped in order.
pub const REVIVE_QUEUE_ORDERED: i32 = 999;

/// Longest recall handle that is read, in bytes: topic, broker and key are far below it.
pub const RECALL_HANDLE_LEN_MAX: usize = 4096;

/// A handle that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("handle lacks a valid `{part}`")]
pub struct HandleError {
    /// The part that is missing or wrong.
    pub part: &'static str,
}

/// Which topic a popped message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum PopSource {
    /// The topic itself: `0`.
    #[default]
    Topic,
    /// Its retry topic `%RETRY%group_topic`: `1`.
    RetryV1,
    /// Its retry topic `%RETRY%group+topic`: `2`.
    RetryV2,
}

impl PopSource {
    /// The digit on the wire.
    pub const fn digit(self) -> char {
        match self {
            Self::Topic => '0',
            Self::RetryV1 => '1',
            Self::RetryV2 => '2',
        }
    }

    /// The source of a digit.
    pub fn from_digit(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Self::Topic),
            "1" => Some(Self::RetryV1),
            "2" => Some(Self::RetryV2),
            _ => None,
        }
    }
}

/// The handle of a popped message (`POP_CK`): eight parts separated by blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PopHandle<'a> {
    /// First offset that the pop returned from this queue.
    pub start_offset: i64,
    /// When it was popped, Unix ms.
    pub pop_time_ms: i64,
    /// How long it stays invisible, ms.
    pub invisible_time_ms: i64,
    /// Revive queue; [`REVIVE_QUEUE_ORDERED`] for an ordered pop.
    pub revive_queue_id: i32,
    /// Topic or retry topic.
    pub source: PopSource,
    /// Broker name.
    pub broker_name: &'a str,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Offset of the message itself.
    pub offset: i64,
}

impl fmt::Display for PopHandle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {} {} {} {}",
            self.start_offset,
            self.pop_time_ms,
            self.invisible_time_ms,
            self.revive_queue_id,
            self.source.digit(),
            self.broker_name,
            self.queue_id,
            self.offset,
        )
    }
}

impl<'a> PopHandle<'a> {
    /// Reads a handle.
    ///
    /// # Errors
    /// Names the first part that is missing or wrong.
    pub fn parse(text: &'a str) -> Result<Self, HandleError> {
        let mut parts = text.split(' ');
        let handle = Self {
            start_offset: number(parts.next(), "start offset")?,
            pop_time_ms: number(parts.next(), "pop time")?,
            invisible_time_ms: number(parts.next(), "invisible time")?,
            revive_queue_id: number(parts.next(), "revive queue")?,
            source: parts
                .next()
                .and_then(PopSource::from_digit)
                .ok_or(HandleError { part: "retry flag" })?,
            broker_name: parts
                .next()
                .filter(|name| !name.is_empty())
                .ok_or(HandleError { part: "broker name" })?,
            queue_id: number(parts.next(), "queue id")?,
            offset: number(parts.next(), "offset")?,
        };
        match parts.next() {
            None => Ok(handle),
            Some(_) => Err(HandleError { part: "end" }),
        }
    }
}

/// Appends `r queueId startOffset` to the `startOffsetInfo` of a pop's answer.
pub fn push_start_offset(info: &mut String, source: PopSource, queue_id: i32, offset: i64) {
    begin_entry(info, source, queue_id);
    write!(info, "{offset}").expect(MEMORY);
}

/// Appends `r queueId o1,o2,...` to the `msgOffsetInfo` of a pop's answer.
pub fn push_offsets(
    info: &mut String,
    source: PopSource,
    queue_id: i32,
    offsets: impl IntoIterator<Item = i64>,
) {
    begin_entry(info, source, queue_id);
    for (index, offset) in offsets.into_iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(info, "{comma}{offset}").expect(MEMORY);
    }
}

/// Appends `r qo<queueId>%<offset> count`, how often a message was delivered, to the
/// `orderCountInfo` of an ordered pop's answer.
pub fn push_order_count(
    info: &mut String,
    source: PopSource,
    queue_id: i32,
    offset: i64,
    count: i32,
) {
    separate(info);
    write!(info, "{} qo{queue_id}%{offset} {count}", source.digit()).expect(MEMORY);
}

const MEMORY: &str = "writing to a String does not fail";

fn begin_entry(info: &mut String, source: PopSource, queue_id: i32) {
    separate(info);
    write!(info, "{} {queue_id} ", source.digit()).expect(MEMORY);
}

fn separate(info: &mut String) {
    if !info.is_empty() {
        info.push(';');
    }
}

/// The entries of a `startOffsetInfo` or `msgOffsetInfo`: source, queue, and its offsets in order.
///
/// Ends after the first error.
pub fn offset_entries(
    info: &str,
) -> impl Iterator<Item = Result<(PopSource, i32, Vec<i64>), HandleError>> {
    let mut failed = false;
    info.split(';').filter(|entry| !entry.is_empty()).map_while(move |entry| {
        if failed {
            return None;
        }
        let parsed = offset_entry(entry);
        failed = parsed.is_err();
        Some(parsed)
    })
}

fn offset_entry(entry: &str) -> Result<(PopSource, i32, Vec<i64>), HandleError> {
    let mut parts = entry.splitn(3, ' ');
    let source = parts.next().and_then(PopSource::from_digit);
    let source = source.ok_or(HandleError { part: "retry flag" })?;
    let queue_id = number(parts.next(), "queue id")?;
    let offsets = parts.next().ok_or(HandleError { part: "offsets" })?;
    let offsets = offsets.split(',').map(|offset| number(Some(offset), "offset"));
    Ok((source, queue_id, offsets.collect::<Result<_, _>>()?))
}

fn number<T: FromStr>(text: Option<&str>, part: &'static str) -> Result<T, HandleError> {
    text.and_then(|text| text.parse().ok()).ok_or(HandleError { part })
}

/// The handle to recall a timed message: URL-safe Base64 of `v1 topic broker dueMs uniqueKey`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecallHandle {
    /// Topic.
    pub topic: String,
    /// Broker that holds the message.
    pub broker_name: String,
    /// When it is due, Unix ms.
    pub due_at_ms: i64,
    /// Unique key of the message.
    pub unique_key: String,
}

impl fmt::Display for RecallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, broker_name, due_at_ms, unique_key } = self;
        let plain = format!("v1 {topic} {broker_name} {due_at_ms} {unique_key}");
        f.write_str(&BASE64_URL_SAFE.encode(plain))
    }
}

impl FromStr for RecallHandle {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, HandleError> {
        let wrong = |part| HandleError { part };
        if text.len() > RECALL_HANDLE_LEN_MAX {
            return Err(wrong("length"));
        }
        let plain = BASE64_URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|_| wrong("Base64"))?;
        let plain = str::from_utf8(&plain).map_err(|_| wrong("UTF-8"))?;
        let mut parts = plain.splitn(5, ' ');
        if parts.next() != Some("v1") {
            return Err(wrong("version"));
        }
        let mut word = |part| parts.next().filter(|word| !word.is_empty()).ok_or(wrong(part));
        Ok(Self {
            topic: word("topic")?.to_owned(),
            broker_name: word("broker name")?.to_owned(),
            due_at_ms: number(Some(word("due time")?), "due time")?,
            unique_key: word("unique key")?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pop_handles_have_eight_parts() {
        let text = "100 1700000000000 60000 2 1 broker-a 3 105";
        let handle = PopHandle {
            start_offset: 100,
            pop_time_ms: 1_700_000_000_000,
            invisible_time_ms: 60_000,
            revive_queue_id: 2,
            source: PopSource::RetryV1,
            broker_name: "broker-a",
            queue_id: 3,
            offset: 105,
        };
        assert_eq!(PopHandle::parse(text), Ok(handle.clone()));
        assert_eq!(handle.to_string(), text);
        for (text, part) in [
            ("", "start offset"),
            ("100 17 6 2 1 b 3", "offset"),
            ("100 17 6 2 3 b 3 105", "retry flag"),
            ("100 17 6 2 1  3 105", "broker name"),
            ("100 17 6 2 1 b 3 105 9", "end"),
            ("100 17 6 99999999999 1 b 3 105", "revive queue"),
        ] {
            assert_eq!(PopHandle::parse(text), Err(HandleError { part }), "{text}");
        }
    }

    #[test]
    fn offset_infos_are_written_and_read() {
        let (mut start, mut offsets, mut counts) = Default::default();
        push_start_offset(&mut start, PopSource::Topic, 0, 5);
        push_start_offset(&mut start, PopSource::RetryV2, 1, 7);
        push_offsets(&mut offsets, PopSource::Topic, 0, [5, 6]);
        push_offsets(&mut offsets, PopSource::RetryV2, 1, [7]);
        push_order_count(&mut counts, PopSource::Topic, 0, 5, 1);
        push_order_count(&mut counts, PopSource::Topic, 0, 6, 0);
        assert_eq!(start, "0 0 5;2 1 7");
        assert_eq!(offsets, "0 0 5,6;2 1 7");
        assert_eq!(counts, "0 qo0%5 1;0 qo0%6 0");
        let read: Vec<_> = offset_entries(&offsets).map(Result::unwrap).collect();
        assert_eq!(read, [(PopSource::Topic, 0, vec![5, 6]), (PopSource::RetryV2, 1, vec![7])]);
        let broken: Vec<_> = offset_entries("0 0 5;0 0;0 0 6").map(|entry| entry.is_ok()).collect();
        assert_eq!(broken, [true, false]);
        assert_eq!(offset_entries("").count(), 0);
    }

    #[test]
    fn recall_handles_come_back_with_and_without_padding() {
        let handle = RecallHandle {
            topic: "T1".into(),
            broker_name: "broker-a".into(),
            due_at_ms: 1_700_000_000_000,
            unique_key: "7F0000010000".into(),
        };
        let text = handle.to_string();
        assert_eq!(text.parse(), Ok(handle.clone()));
        assert_eq!(text.trim_end_matches('=').parse(), Ok(handle));
        for broken in ["", "%%", "djIgVDEgYiAxIGs=", "djEgVDEgYiB4IGs=", "djEgVDEgYiAx"] {
            assert!(broken.parse::<RecallHandle>().is_err(), "{broken}");
        }
        let long = "A".repeat(RECALL_HANDLE_LEN_MAX + 1);
        assert_eq!(long.parse::<RecallHandle>(), Err(HandleError { part: "length" }));
    }
}
