//! One stored message: what lies in the log is what a pull returns.
//!
//! Big-endian: `i32 total size, i32 magic, i32 body CRC, i32 queue id, i32 flag, i64 queue offset,
//! i64 physical offset, i32 sysFlag, i64 born, host, i64 stored, host, i32 reconsume times, i64
//! prepared transaction offset, i32+n body, u8+n (V1) or i16+n (V2) topic, i16+n properties`. A
//! host is 4 or 16 address bytes and an i32 port. V2 is written for topics longer than 127 bytes
//! only.
//!
//! The optional whole-record checksum is the last property: `__CRC32#`, 0x01, ten decimal digits
//! with the least significant first, 0x02; it covers every byte in front of that property.

mod encode;
mod frames;
mod peek;
pub mod sys_flag;

use std::cell::OnceCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::LayoutError;
use crate::properties::{ENTRY_SEPARATOR, NAME_VALUE_SEPARATOR, Properties, keys};
use crate::reader::Reader;
pub use encode::{NewRecord, Placement, encode, encoded_len};
use frames::first_frame;
pub use frames::{frames, records};
pub use peek::{Head, PEEK_SIZE_MAX_BYTES, Peek, peek};

/// Magic of a record whose topic length is one byte.
pub const MAGIC_V1: i32 = 0xDAA3_20A7_u32 as i32;

/// Magic of a record whose topic length is two bytes.
pub const MAGIC_V2: i32 = 0xDAA3_20AB_u32 as i32;

/// Magic of the blank that fills the end of a file.
pub const MAGIC_BLANK: i32 = 0xCBD4_3194_u32 as i32;

/// Bytes of a blank that are defined: its size and magic.
pub const BLANK_SIZE_BYTES: usize = 8;

/// Longest topic of a V1 record, in bytes; Go and Node clients know V1 only.
pub const TOPIC_V1_SIZE_MAX_BYTES: usize = 127;

/// Bytes of a record with IPv4 hosts, without body, topic and properties.
pub const RECORD_SIZE_MIN_BYTES: usize = 91;

/// Bytes of the whole-record checksum property.
pub const RECORD_CRC_SIZE_BYTES: usize = keys::CRC32.len() + 1 + CRC_DIGITS + 1;

const CRC_DIGITS: usize = 10;

/// CRC-32 as RocketMQ stores it: IEEE, without the sign bit.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes) & 0x7FFF_FFFF
}

/// One stored message, borrowed from the log or a pull's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    bytes: &'a [u8],
    /// Checksum of the body as stored; compare with [`Record::verify_body`].
    pub body_crc: u32,
    /// Queue of the topic.
    pub queue_id: i32,
    /// The user's flag.
    pub flag: i32,
    /// Number of the message in its queue.
    pub queue_offset: i64,
    /// Address of the record's first byte in its log.
    pub physical_offset: i64,
    /// See [`sys_flag`].
    pub sys_flag: i32,
    /// When the producer made it, Unix ms.
    pub born_at_ms: i64,
    /// Who produced it.
    pub born_host: SocketAddr,
    /// When it was stored, Unix ms.
    pub stored_at_ms: i64,
    /// Who stored it.
    pub store_host: SocketAddr,
    /// How often a consumer gave it back.
    pub reconsume_times: i32,
    /// Address of the half message that this one commits, else 0.
    pub prepared_transaction_offset: i64,
    /// The body, compressed if `sys_flag` says so.
    pub body: &'a [u8],
    /// The topic.
    pub topic: &'a str,
    /// The properties.
    pub properties: Properties<'a>,
}

impl<'a> Record<'a> {
    /// Reads the record at the start of `bytes`, which may go on behind it.
    ///
    /// Every length is checked before it is used and the parts must fill the record exactly. No
    /// checksum is verified.
    ///
    /// # Errors
    /// `Truncated` when the record goes on behind `bytes`, `OutOfRange` and `NotUtf8` when no
    /// record starts here (a blank included).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LayoutError> {
        Self::parse_with(bytes, |bytes, field| {
            str::from_utf8(bytes).map_err(|_| LayoutError::NotUtf8 { field })
        })
    }

    /// As [`Record::parse`], for callers that must make do with what brokers keep: topic and
    /// properties may hold what is not UTF-8, and each such piece reads as U+FFFD, as in Java.
    /// `replaced` keeps texts that had to be changed.
    ///
    /// # Errors
    /// `Truncated` and `OutOfRange`, as [`Record::parse`].
    pub fn parse_lossy(bytes: &'a [u8], replaced: &'a Replaced) -> Result<Self, LayoutError> {
        Self::parse_with(bytes, |bytes, field| {
            let kept = if field == TOPIC { &replaced.topic } else { &replaced.properties };
            let replace = |_| kept.get_or_init(|| String::from_utf8_lossy(bytes).into_owned());
            Ok(str::from_utf8(bytes).unwrap_or_else(|error| replace(error)))
        })
    }

    /// `text` reads the field of this name, [`TOPIC`] or [`PROPERTIES`].
    fn parse_with(
        bytes: &'a [u8],
        text: impl Fn(&'a [u8], &'static str) -> Result<&'a str, LayoutError>,
    ) -> Result<Self, LayoutError> {
        let bytes = first_frame(bytes)?;
        let total = bytes.len();
        let mut reader = Reader::new(&bytes[4..]);
        let magic = reader.i32("magic")?;
        check_magic(magic)?;
        let body_crc = reader.i32("body CRC")? as u32;
        let queue_id = reader.i32("queue id")?;
        let flag = reader.i32("flag")?;
        let queue_offset = reader.i64("queue offset")?;
        let physical_offset = reader.i64("physical offset")?;
        let sys_flag = reader.i32("sysFlag")?;
        let born_at_ms = reader.i64("born timestamp")?;
        let born_host = host(&mut reader, sys_flag & sys_flag::BORN_HOST_V6 != 0, "born host")?;
        let stored_at_ms = reader.i64("store timestamp")?;
        let store_host = host(&mut reader, sys_flag & sys_flag::STORE_HOST_V6 != 0, "store host")?;
        let reconsume_times = reader.i32("reconsume times")?;
        let prepared_transaction_offset = reader.i64("prepared transaction offset")?;
        let body_len = reader.len_i32("body length")?;
        let body = reader.take(body_len, "body")?;
        let topic_len = match magic {
            MAGIC_V1 => usize::from(reader.u8("topic length")?),
            _ => reader.len_i16("topic length")?,
        };
        let topic = text(reader.take(topic_len, TOPIC)?, TOPIC)?;
        let properties_len = reader.len_i16("properties length")?;
        let properties = text(reader.take(properties_len, PROPERTIES)?, PROPERTIES)?;
        let properties = Properties::new(properties);
        if !reader.rest().is_empty() {
            let total = i64::try_from(total).unwrap_or(i64::MAX);
            return Err(out_of_range("total size", total, "the sum of its parts"));
        }
        Ok(Self {
            bytes,
            body_crc,
            queue_id,
            flag,
            queue_offset,
            physical_offset,
            sys_flag,
            born_at_ms,
            born_host,
            stored_at_ms,
            store_host,
            reconsume_times,
            prepared_transaction_offset,
            body,
            topic,
            properties,
        })
    }

    /// The record's own bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Compares the body with its checksum.
    ///
    /// # Errors
    /// `ChecksumMismatch`.
    pub fn verify_body(&self) -> Result<(), LayoutError> {
        verify("body CRC", self.body_crc, crc32(self.body))
    }

    /// Compares the whole record with its checksum; false when it carries none.
    ///
    /// # Errors
    /// `ChecksumMismatch`.
    pub fn verify_record(&self) -> Result<bool, LayoutError> {
        let Some(stored) = self.record_crc() else { return Ok(false) };
        let covered = &self.bytes[..self.bytes.len() - RECORD_CRC_SIZE_BYTES];
        verify("record CRC", stored, crc32(covered)).map(|()| true)
    }

    /// The whole-record checksum, if the properties end with one.
    pub fn record_crc(&self) -> Option<u32> {
        let entry = self.properties.as_text().strip_suffix(char::from(ENTRY_SEPARATOR))?;
        split_crc_entry(entry).map(|(_, crc)| crc)
    }
}

/// Properties, without their last separator, that end with a whole-record checksum: what stands in
/// front of it, and its value.
fn split_crc_entry(properties: &str) -> Option<(&str, u32)> {
    let digits_at = properties.len().checked_sub(CRC_DIGITS)?;
    let (before, digits) = properties.split_at_checked(digits_at)?;
    let before = before.strip_suffix(char::from(NAME_VALUE_SEPARATOR))?;
    let before = before.strip_suffix(keys::CRC32)?;
    if !before.is_empty() && !before.ends_with(char::from(ENTRY_SEPARATOR)) {
        return None;
    }
    let value = digits.bytes().rev().try_fold(0u64, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0'))
    })?;
    // Ten digits can say more than 32 bits; no record has such a checksum, so it never matches.
    Some((before, u32::try_from(value).unwrap_or(u32::MAX)))
}

/// Texts of a record that are not what it holds, see [`Record::parse_lossy`].
#[derive(Debug, Default)]
pub struct Replaced {
    topic: OnceCell<String>,
    properties: OnceCell<String>,
}

const TOPIC: &str = "topic";
const PROPERTIES: &str = "properties";

/// Says that the rest of a file, `len` bytes, is empty: writes size and magic at the start of
/// `out`, leaves the other bytes.
///
/// # Panics
/// When `out` is shorter than [`BLANK_SIZE_BYTES`] or `len` not shorter than 2 GiB: the log keeps
/// that room.
pub fn encode_blank(out: &mut [u8], len: usize) {
    let len = i32::try_from(len).expect("files are shorter than 2 GiB");
    out[..4].copy_from_slice(&len.to_be_bytes());
    out[4..BLANK_SIZE_BYTES].copy_from_slice(&MAGIC_BLANK.to_be_bytes());
}

fn check_magic(magic: i32) -> Result<(), LayoutError> {
    match magic {
        MAGIC_V1 | MAGIC_V2 => Ok(()),
        _ => Err(out_of_range("magic", i64::from(magic), "0xDAA320A7 or 0xDAA320AB")),
    }
}

fn verify(field: &'static str, stored: u32, computed: u32) -> Result<(), LayoutError> {
    match stored == computed {
        true => Ok(()),
        false => Err(LayoutError::ChecksumMismatch { field, stored, computed }),
    }
}

fn out_of_range(field: &'static str, found: i64, expected: &'static str) -> LayoutError {
    LayoutError::OutOfRange { field, found, expected }
}

/// Bytes of a host in a record.
const fn host_len(v6: bool) -> usize {
    if v6 { 20 } else { 8 }
}

fn host(reader: &mut Reader<'_>, v6: bool, field: &'static str) -> Result<SocketAddr, LayoutError> {
    let ip = match v6 {
        true => IpAddr::V6(Ipv6Addr::from(reader.array::<16>(field)?)),
        false => IpAddr::V4(Ipv4Addr::from(reader.array::<4>(field)?)),
    };
    let port = reader.i32(field)?;
    let port =
        u16::try_from(port).map_err(|_| out_of_range(field, i64::from(port), "port 0..=65535"))?;
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests;
