//! Reading the log at start: record by record to the last good one, then a look at what stands
//! behind it.

use std::io;

use ringmq_protocol::record::{self, Head, PEEK_SIZE_MAX_BYTES, Peek, Record};
use ringmq_runtime::buffer::Shared;

use crate::options::PAGE_BYTES;
use crate::position::{LogId, LogPosition};
use crate::segment::{SECTOR_BYTES, read_padded, read_readable};
use crate::segments::{Segments, fits_log};

/// How much is read at once.
const READ_BYTES: usize = 1 << 20;

/// Sectors that the device may fail to read behind the end of a log, as a torn write leaves them:
/// where there are more it is the device that fails, and each may take it seconds.
const UNREAD_SECTORS_MAX: usize = 128;

/// Largest record that is looked at, whatever the settings say now: the limit of Apache's reads.
pub(crate) const RECORD_MAX_BYTES: usize = 128 << 20;

/// What nobody can tell of a place that is not read.
const MAYBE_A_MESSAGE: &str = "whether a message stands";

/// First byte of both magics as it stands on disk.
const MAGIC_FIRST_BYTE: u8 = 0xDA;

const ZEROS: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];

/// What was found at a place of the log.
#[derive(Debug)]
pub(crate) enum Found {
    /// A sound record, whole.
    Record(Shared),
    /// The segment ends here.
    EndMark,
    /// Zeros: nothing was written here.
    Nothing,
    /// Something that is no sound record, and why.
    Damaged(String),
    /// There is no file for this place.
    NoFile,
}

/// Reads a log forward through a window of its files.
pub(crate) struct Scanner {
    log: LogId,
    /// Every record has to carry the whole-record checksum.
    has_checksums: bool,
    window: Shared,
    window_at: u64,
    /// A read up to here has failed.
    failed_until: u64,
}

impl Scanner {
    pub(crate) fn new(log: LogId, has_checksums: bool) -> Self {
        Self { log, has_checksums, window: Shared::empty(), window_at: 0, failed_until: 0 }
    }

    /// What stands at `at`.
    ///
    /// # Errors
    /// As the device says.
    pub(crate) async fn look(&mut self, segments: &Segments, at: u64) -> io::Result<Found> {
        let Some(segment) = segments.find(at) else { return Ok(Found::NoFile) };
        let left = segment.base + segments.size - at;
        let peek_len = PEEK_SIZE_MAX_BYTES.min(left as usize);
        let bytes = self.bytes(segments, at, peek_len).await?;
        if bytes.len() < 8 || bytes[..8] == [0; 8] {
            return Ok(Found::Nothing);
        }
        let head = match record::peek(&bytes) {
            Ok(Peek::Blank { .. }) if !fits_log(at + left, segments.size) => {
                return Ok(Found::Damaged("end mark in the last segment".to_owned()));
            }
            Ok(Peek::Blank { len }) if len as u64 == left => return Ok(Found::EndMark),
            Ok(Peek::Blank { len }) => {
                return Ok(Found::Damaged(format!("end mark of {len} bytes, {left} are left")));
            }
            Ok(Peek::Message(head)) => head,
            Err(error) => return Ok(Found::Damaged(error.to_string())),
        };
        if let Some(problem) = misplaced(&head, self.log.at(at), left) {
            return Ok(Found::Damaged(problem));
        }
        let bytes = self.bytes(segments, at, head.len).await?;
        Ok(match verify(&bytes, at, self.has_checksums) {
            Ok(()) => Found::Record(bytes),
            Err(problem) => Found::Damaged(problem),
        })
    }

    /// `len` bytes at `at`, inside of one segment.
    async fn bytes(&mut self, segments: &Segments, at: u64, len: usize) -> io::Result<Shared> {
        let window_end = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + len as u64 > window_end {
            let segment = segments.find(at).expect("looked up before");
            let left = segment.base + segments.size - at;
            let mut want = len.max(READ_BYTES).min(left as usize);
            // Half of the way to a bad sector, so that few reads meet it.
            if at < self.failed_until {
                want = want.min(((self.failed_until - at) / 2) as usize).max(len);
            }
            self.window = loop {
                match read_padded(&segment.file, at - segment.base, want).await {
                    Ok(bytes) => break bytes,
                    Err(_) if want > len => {
                        // A bad sector farther on is not this record's.
                        self.failed_until = at + want as u64;
                        want = (want / 2).max(len);
                    }
                    Err(error) => return Err(unreadable(segments, at, "the message", &error)),
                }
            };
            self.window_at = at;
        }
        let from = (at - self.window_at) as usize;
        Ok(self.window.slice(from..from + len))
    }
}

/// Says what the device cannot read. Without the length of a message nobody knows where the next
/// one begins, and it may have been acknowledged.
fn unreadable(segments: &Segments, at: u64, what: &str, error: &io::Error) -> io::Error {
    let base = segments.base_of(at);
    let message = format!(
        "the device cannot read {what} at byte {} of {}: {error}",
        at - base,
        segments.path(base).display()
    );
    io::Error::new(error.kind(), message)
}

/// Why a record's head does not belong where it stands.
fn misplaced(head: &Head, position: LogPosition, left: u64) -> Option<String> {
    if head.physical_offset != position.wire() {
        return Some(format!("a record of {} stands at {position}", head.physical_offset));
    }
    let fits = head.len as u64 + 8 <= left && head.len <= RECORD_MAX_BYTES;
    (!fits).then(|| format!("record of {} bytes, {left} are left", head.len))
}

/// Checks all bytes of a record that stands at `at`.
///
/// A record that lost its last sector has lost its checksum too, so the checksum is demanded where
/// it is known to have been written. Elsewhere lost sectors show as zeros in the topic, which has
/// none, or in the properties, where a value may have some but hardly a whole sector of them.
pub(crate) fn verify(bytes: &[u8], at: u64, needs_checksum: bool) -> Result<(), String> {
    let record = Record::parse(bytes).map_err(|error| error.to_string())?;
    record.verify_body().map_err(|error| error.to_string())?;
    let is_checked = record.verify_record().map_err(|error| error.to_string())?;
    if is_checked {
        return Ok(());
    }
    if needs_checksum {
        return Err("the whole-record checksum is missing".to_owned());
    }
    let properties = record.properties.as_text().as_bytes();
    // They are the last field of a record.
    let properties_at = at + (bytes.len() - properties.len()) as u64;
    if record.topic.contains('\0') || has_lost_sector(properties, properties_at) {
        return Err("a sector of zeros in topic or properties".to_owned());
    }
    Ok(())
}

/// Whether `bytes`, which stand at `at`, are all zeros in one of the sectors that they touch.
///
/// A group ends with a record, so a sector has all of a record's bytes that belong there, or none.
fn has_lost_sector(bytes: &[u8], at: u64) -> bool {
    let lead = (at.next_multiple_of(SECTOR_BYTES) - at) as usize;
    let (first, rest) = bytes.split_at(lead.min(bytes.len()));
    let is_lost = |part: &[u8]| !part.is_empty() && part.iter().all(|byte| *byte == 0);
    is_lost(first) || rest.chunks(SECTOR_BYTES as usize).any(is_lost)
}

/// What stands behind the last good record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    /// From the first to behind the last page that is not all zeros; the first begins at the end of
    /// the log.
    pub(crate) dirty: Option<(u64, u64)>,
    /// First record head that names its own place, inside of the torn window.
    pub(crate) near: Option<u64>,
    /// The same, outside.
    pub(crate) far: Option<u64>,
    /// How many such heads were seen.
    pub(crate) heads: u64,
}

/// Looks at the bytes from `end` to `until`, and at the first record of each later segment. Sectors
/// of the torn window that the device cannot read show no record and are not zeros: those of a
/// write that the power left unfinished may be like that.
///
/// # Errors
/// When the device cannot read others, where messages may stand that were acknowledged, or more
/// than [`UNREAD_SECTORS_MAX`].
pub(crate) async fn survey(
    segments: &Segments,
    end: u64,
    window: u64,
    until: u64,
) -> io::Result<Rest> {
    let mut rest = Rest::default();
    let near_until = end.saturating_add(window);
    let mut unread_sectors = 0;
    let mut at = end;
    while let Some(segment) = segments.find(at).filter(|_| at < until) {
        let segment_end = segment.base + segments.size;
        let stop = (at - at % PAGE_BYTES + READ_BYTES as u64).min(segment_end);
        // The overlap shows heads that cross the border of two reads.
        let len = (stop + PEEK_SIZE_MAX_BYTES as u64).min(segment_end) - at;
        let pos = at - segment.base;
        let bytes = read_readable(&segment.file, pos, len as usize, |unread, error| {
            let (from, to) = (segment.base + unread.start, segment.base + unread.end);
            rest.touch(from, to);
            unread_sectors += 1;
            match to <= near_until && unread_sectors <= UNREAD_SECTORS_MAX {
                true => Ok(()),
                false => Err(unreadable(segments, from, MAYBE_A_MESSAGE, &error)),
            }
        })
        .await?;
        note(&mut rest, segments.log, at, &bytes, (stop - at) as usize, near_until);
        at = stop;
    }
    // What was read may end where a segment begins, which nobody has looked at then.
    let mut base = at.next_multiple_of(segments.size);
    while let Some(segment) = segments.find(base) {
        let bytes = read_padded(&segment.file, 0, PEEK_SIZE_MAX_BYTES).await;
        let bytes = bytes.map_err(|error| unreadable(segments, base, MAYBE_A_MESSAGE, &error))?;
        note_heads(&mut rest, segments.log, base, &bytes, 1, near_until);
        base += segments.size;
    }
    Ok(rest)
}

impl Rest {
    /// Notes that bytes are not all zeros.
    fn touch(&mut self, from: u64, to: u64) {
        let (first, last) = self.dirty.unwrap_or((from, to));
        self.dirty = Some((first.min(from), last.max(to.next_multiple_of(PAGE_BYTES))));
    }
}

/// Notes what `bytes`, which stand at `at`, show; heads are looked for in the first `len` of them.
fn note(rest: &mut Rest, log: LogId, at: u64, bytes: &[u8], len: usize, near_until: u64) {
    let (body, overlap) = bytes.split_at(len);
    let is_dirty = !are_zeros(body);
    if is_dirty {
        rest.touch(at, at + len as u64);
    }
    // A head begins with zeros: those of its size.
    if is_dirty || !are_zeros(overlap) {
        note_heads(rest, log, at, bytes, len, near_until);
    }
}

/// Page by page with memcmp: up to 68 MiB are looked at after a crash.
fn are_zeros(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|part| part == &ZEROS[..part.len()])
}

/// Notes heads that name their own place and begin in the first `len` of `bytes`, which stand at
/// `at`.
fn note_heads(rest: &mut Rest, log: LogId, at: u64, bytes: &[u8], len: usize, near_until: u64) {
    // A head has its size in front of the magic, so a magic belongs to the place 4 bytes before.
    let magics = bytes.iter().enumerate().filter(|(_, byte)| **byte == MAGIC_FIRST_BYTE);
    for place in magics.filter_map(|(index, _)| index.checked_sub(4)).take_while(|p| *p < len) {
        let here = at + place as u64;
        let is_own = matches!(record::peek(&bytes[place..]), Ok(Peek::Message(head))
            if head.physical_offset == log.at(here).wire());
        if is_own {
            let found = if here < near_until { &mut rest.near } else { &mut rest.far };
            found.get_or_insert(here);
            rest.heads += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_zeros_are_values_and_a_sector_of_zeros_is_a_loss() {
        let mut properties = vec![b'x'; 2000];
        (properties[0], properties[999], properties[1999]) = (0, 0, 0);
        assert!(!has_lost_sector(&properties, 100));
        assert!(!has_lost_sector(b"", 512));
        // From 412 on the second sector begins.
        properties[412..412 + 511].fill(0);
        assert!(!has_lost_sector(&properties, 100));
        properties[412 + 511] = 0;
        assert!(has_lost_sector(&properties, 100));
        assert!(has_lost_sector(&[0; 20], 500), "both ends of it");
        assert!(has_lost_sector(b"a\x01\0\0", 510), "its end in a sector of its own");
        assert!(!has_lost_sector(b"a\x01\0\x02", 1024));
    }
}
