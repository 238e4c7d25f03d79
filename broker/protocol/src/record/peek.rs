//! What the first bytes of a record say, for callers that have not read the rest yet.

use super::{
    BLANK_SIZE_BYTES, MAGIC_BLANK, RECORD_SIZE_MIN_BYTES, check_magic, host_len, out_of_range,
    sys_flag,
};
use crate::error::LayoutError;
use crate::reader::Reader;

/// What the first bytes of a record say, without looking at the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// A message.
    Message(Head),
    /// The rest of the file is blank.
    Blank {
        /// Bytes up to the end of the file, these included.
        len: usize,
    },
}

/// The numbers at the start of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the whole record.
    pub len: usize,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Number of the message in its queue.
    pub queue_offset: i64,
    /// Address of the record's first byte in its log.
    pub physical_offset: i64,
    /// See [`sys_flag`].
    pub sys_flag: i32,
    /// When it was stored, Unix ms.
    pub stored_at_ms: i64,
}

/// Bytes that [`peek`] needs at most: up to the store timestamp behind an IPv6 host.
pub const PEEK_SIZE_MAX_BYTES: usize = 76;

/// Looks at the start of a record. Checks magic and size, no checksum.
///
/// # Errors
/// `Truncated` when `bytes` is too short to tell; `OutOfRange` when no record starts here.
pub fn peek(bytes: &[u8]) -> Result<Peek, LayoutError> {
    let mut reader = Reader::new(bytes);
    let total = reader.i32("total size")?;
    let len = usize::try_from(total).unwrap_or(0);
    let magic = reader.i32("magic")?;
    if magic == MAGIC_BLANK {
        return match len >= BLANK_SIZE_BYTES {
            true => Ok(Peek::Blank { len }),
            false => Err(out_of_range("total size", i64::from(total), "8 or more")),
        };
    }
    check_magic(magic)?;
    if len < RECORD_SIZE_MIN_BYTES {
        return Err(out_of_range("total size", i64::from(total), "91 or more"));
    }
    reader.take(4, "body CRC")?;
    let queue_id = reader.i32("queue id")?;
    reader.take(4, "flag")?;
    let queue_offset = reader.i64("queue offset")?;
    let physical_offset = reader.i64("physical offset")?;
    let sys_flag = reader.i32("sysFlag")?;
    reader.take(8, "born timestamp")?;
    reader.take(host_len(sys_flag & sys_flag::BORN_HOST_V6 != 0), "born host")?;
    let stored_at_ms = reader.i64("store timestamp")?;
    Ok(Peek::Message(Head { len, queue_id, queue_offset, physical_offset, sys_flag, stored_at_ms }))
}
