//! Writing a record.

use std::net::{IpAddr, SocketAddr};

use super::{
    CRC_DIGITS, MAGIC_V1, MAGIC_V2, RECORD_CRC_SIZE_BYTES, RECORD_SIZE_MIN_BYTES,
    TOPIC_V1_SIZE_MAX_BYTES, crc32, host_len, out_of_range, split_crc_entry, sys_flag,
};
use crate::error::LayoutError;
use crate::properties::{
    ENTRY_SEPARATOR, NAME_VALUE_SEPARATOR, PROPERTIES_SIZE_MAX_BYTES, entry_len, keys,
};

/// A message about to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Topic, 1..=32,767 bytes; V1 layout up to 127.
    pub topic: &'a str,
    /// Queue of the topic.
    pub queue_id: i32,
    /// The user's flag.
    pub flag: i32,
    /// See [`sys_flag`]; the two IPv6 bits are set by the encoder as the hosts demand.
    pub sys_flag: i32,
    /// When the producer made it, Unix ms.
    pub born_at_ms: i64,
    /// Who produced it.
    pub born_host: SocketAddr,
    /// Who stores it.
    pub store_host: SocketAddr,
    /// How often a consumer gave it back.
    pub reconsume_times: i32,
    /// Address of the half message that this one commits, else 0.
    pub prepared_transaction_offset: i64,
    /// The body as it came.
    pub body: &'a [u8],
    /// Properties text as it came. A missing last separator is added; a whole-record checksum at
    /// its end belongs to another record (or to nobody) and is left out.
    pub properties: &'a str,
    /// Entries to append: what the broker adds to each message. Must be encodable
    /// ([`crate::properties::is_encodable`]).
    pub extra: &'a [(&'a str, &'a str)],
    /// Whether to append the whole-record checksum.
    pub with_record_crc: bool,
}

/// Where and when a record comes to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Number of the message in its queue.
    pub queue_offset: i64,
    /// Address of the record's first byte in its log.
    pub physical_offset: i64,
    /// When it is stored, Unix ms.
    pub stored_at_ms: i64,
}

/// Bytes that [`encode`] writes.
///
/// # Errors
/// `OutOfRange` when topic, properties or body do not fit the layout.
pub fn encoded_len(record: &NewRecord<'_>) -> Result<usize, LayoutError> {
    Ok(sizes(record)?.total)
}

/// Writes a record to the start of `out` and returns its length in bytes. Allocates nothing.
///
/// # Errors
/// As [`encoded_len`], and `Truncated` when `out` is too short; nothing is written then.
pub fn encode(
    out: &mut [u8],
    record: &NewRecord<'_>,
    placement: Placement,
) -> Result<usize, LayoutError> {
    let sizes = sizes(record)?;
    let have = out.len();
    let Some(out) = out.get_mut(..sizes.total) else {
        return Err(LayoutError::Truncated { field: "record", need: sizes.total, have });
    };
    let mut writer = Writer { out, at: 0 };
    write_fixed(&mut writer, record, placement, &sizes);
    writer.i32(sizes.body);
    writer.bytes(record.body);
    match record.topic.len() > TOPIC_V1_SIZE_MAX_BYTES {
        true => writer.i16(record.topic.len() as i16),
        false => writer.bytes(&[record.topic.len() as u8]),
    }
    writer.bytes(record.topic.as_bytes());
    writer.i16(sizes.properties);
    write_properties(&mut writer, record);
    if record.with_record_crc {
        let crc = crc32(&writer.out[..writer.at]);
        write_crc(&mut writer, crc);
    }
    assert_eq!(writer.at, sizes.total, "a record fills exactly the length that was announced");
    Ok(sizes.total)
}

/// Lengths that were checked to fit their fields.
struct Sizes {
    total: usize,
    body: i32,
    properties: i16,
}

fn sizes(record: &NewRecord<'_>) -> Result<Sizes, LayoutError> {
    let topic = record.topic.len();
    let topic_word = match topic {
        1..=TOPIC_V1_SIZE_MAX_BYTES => 1,
        _ => 2,
    };
    if topic == 0 || topic > i16::MAX as usize {
        return Err(out_of_range("topic length", topic as i64, "1..=32767 bytes"));
    }
    let properties = properties_len(record);
    let too_long = |len: usize| out_of_range("properties length", len as i64, "up to 32767 bytes");
    if properties > PROPERTIES_SIZE_MAX_BYTES {
        return Err(too_long(properties));
    }
    let fixed = RECORD_SIZE_MIN_BYTES - 1 - 2 * host_len(false);
    let hosts = host_len(record.born_host.is_ipv6()) + host_len(record.store_host.is_ipv6());
    let total = fixed + hosts + topic_word + topic + properties + record.body.len();
    if i32::try_from(total).is_err() {
        return Err(out_of_range("total size", total as i64, "less than 2 GiB"));
    }
    let body = record.body.len() as i32;
    Ok(Sizes { total, body, properties: properties as i16 })
}

fn properties_len(record: &NewRecord<'_>) -> usize {
    let extra: usize = record.extra.iter().map(|(name, value)| entry_len(name, value)).sum();
    let crc = if record.with_record_crc { RECORD_CRC_SIZE_BYTES } else { 0 };
    let own = without_crc(record.properties);
    own.len() + usize::from(lacks_separator(own)) + extra + crc
}

fn lacks_separator(properties: &str) -> bool {
    properties.as_bytes().last().is_some_and(|last| *last != ENTRY_SEPARATOR)
}

/// Leaves checksums of other records out: verification would take one at the end for our own, and a
/// client could make sound records look damaged.
fn without_crc(mut properties: &str) -> &str {
    loop {
        // An entry that lacks its separator gets it when written, so it counts as well.
        let bare = properties.strip_suffix(char::from(ENTRY_SEPARATOR)).unwrap_or(properties);
        match split_crc_entry(bare) {
            Some((before, _)) => properties = before,
            None => return properties,
        }
    }
}

fn write_fixed(
    writer: &mut Writer<'_>,
    record: &NewRecord<'_>,
    placement: Placement,
    sizes: &Sizes,
) {
    let v2 = record.topic.len() > TOPIC_V1_SIZE_MAX_BYTES;
    writer.i32(sizes.total as i32);
    writer.i32(if v2 { MAGIC_V2 } else { MAGIC_V1 });
    writer.i32(crc32(record.body) as i32);
    writer.i32(record.queue_id);
    writer.i32(record.flag);
    writer.i64(placement.queue_offset);
    writer.i64(placement.physical_offset);
    writer.i32(flags(record));
    writer.i64(record.born_at_ms);
    writer.host(record.born_host);
    writer.i64(placement.stored_at_ms);
    writer.host(record.store_host);
    writer.i32(record.reconsume_times);
    writer.i64(record.prepared_transaction_offset);
}

fn flags(record: &NewRecord<'_>) -> i32 {
    let mut flags = record.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6);
    if record.born_host.is_ipv6() {
        flags |= sys_flag::BORN_HOST_V6;
    }
    if record.store_host.is_ipv6() {
        flags |= sys_flag::STORE_HOST_V6;
    }
    flags
}

fn write_properties(writer: &mut Writer<'_>, record: &NewRecord<'_>) {
    let own = without_crc(record.properties);
    writer.bytes(own.as_bytes());
    if lacks_separator(own) {
        writer.bytes(&[ENTRY_SEPARATOR]);
    }
    for (name, value) in record.extra {
        writer.bytes(name.as_bytes());
        writer.bytes(&[NAME_VALUE_SEPARATOR]);
        writer.bytes(value.as_bytes());
        writer.bytes(&[ENTRY_SEPARATOR]);
    }
}

fn write_crc(writer: &mut Writer<'_>, mut crc: u32) {
    writer.bytes(keys::CRC32.as_bytes());
    writer.bytes(&[NAME_VALUE_SEPARATOR]);
    let mut digits = [0; CRC_DIGITS];
    for digit in &mut digits {
        *digit = b'0' + (crc % 10) as u8;
        crc /= 10;
    }
    writer.bytes(&digits);
    writer.bytes(&[ENTRY_SEPARATOR]);
}

/// Fills a slice whose length was computed before.
struct Writer<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn i16(&mut self, value: i16) {
        self.bytes(&value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    fn host(&mut self, host: SocketAddr) {
        match host.ip() {
            IpAddr::V4(ip) => self.bytes(&ip.octets()),
            IpAddr::V6(ip) => self.bytes(&ip.octets()),
        }
        self.i32(i32::from(host.port()));
    }
}
