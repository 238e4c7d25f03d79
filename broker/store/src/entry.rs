//! One entry of the queue index and one of the key index, packed.
//!
//! Both are kept in memory by the hundred thousand and on disk by the billion, so their fields
//! share words: a byte offset needs 45 bits, a time in milliseconds 48 (until the year 10889).

/// Bytes of a queue entry on disk and in memory.
pub(crate) const ENTRY_SIZE: usize = 24;
/// Bytes of a key entry on disk.
pub(crate) const KEY_ENTRY_SIZE: usize = 20;

const TIME_BITS: u32 = 48;
const LOW_16: u64 = 0xFFFF;

/// Where one message of a queue lies, how large it is, when it was stored and the hash of its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// 48 bits byte offset, low 16 bits of the size.
    place: u64,
    /// 48 bits store time, high 16 bits of the size.
    time: u64,
    /// Java's `String.hashCode` of the tag, sign extended; 0 without a tag.
    pub(crate) tag_hash: i64,
}

const _: () = assert!(size_of::<Entry>() == ENTRY_SIZE);

impl Entry {
    pub(crate) fn new(byte: u64, size: u32, stored_at_ms: u64, tag_hash: i64) -> Self {
        debug_assert!(byte >> 48 == 0 && stored_at_ms >> TIME_BITS == 0);
        Self {
            place: byte << 16 | u64::from(size) & LOW_16,
            time: stored_at_ms << 16 | u64::from(size >> 16),
            tag_hash,
        }
    }

    /// First byte of the record in its log.
    pub(crate) fn byte(self) -> u64 {
        self.place >> 16
    }

    /// Bytes of the record.
    pub(crate) fn size(self) -> u32 {
        ((self.time & LOW_16) << 16 | self.place & LOW_16) as u32
    }

    /// First byte behind the record.
    pub(crate) fn end(self) -> u64 {
        self.byte() + u64::from(self.size())
    }

    /// Store time, Unix milliseconds.
    pub(crate) fn stored_at_ms(self) -> u64 {
        self.time >> 16
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.place.to_be_bytes());
        out.extend_from_slice(&self.time.to_be_bytes());
        out.extend_from_slice(&self.tag_hash.to_be_bytes());
    }

    pub(crate) fn read(bytes: &[u8; ENTRY_SIZE]) -> Self {
        let word = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        Self { place: word(0), time: word(8), tag_hash: word(16) as i64 }
    }
}

/// All entries of `bytes`; trailing bytes that are no whole entry are the caller's to refuse.
pub(crate) fn read_entries(bytes: &[u8]) -> impl ExactSizeIterator<Item = Entry> + '_ {
    bytes.as_chunks::<ENTRY_SIZE>().0.iter().map(Entry::read)
}

/// One key of one message: the hash of `topic#key`, where the message lies and when it was stored.
///
/// Ordered by hash, then by byte: the order of a run on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyEntry {
    pub(crate) hash: u64,
    /// 48 bits byte offset, high 16 bits of the time.
    place: u64,
    time_low: u32,
}

impl KeyEntry {
    pub(crate) fn new(hash: u64, byte: u64, stored_at_ms: u64) -> Self {
        debug_assert!(byte >> 48 == 0 && stored_at_ms >> TIME_BITS == 0);
        Self { hash, place: byte << 16 | stored_at_ms >> 32, time_low: stored_at_ms as u32 }
    }

    /// First byte of the record in its log.
    pub(crate) fn byte(self) -> u64 {
        self.place >> 16
    }

    /// Store time, Unix milliseconds.
    pub(crate) fn stored_at_ms(self) -> u64 {
        (self.place & LOW_16) << 32 | u64::from(self.time_low)
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hash.to_be_bytes());
        out.extend_from_slice(&self.place.to_be_bytes());
        out.extend_from_slice(&self.time_low.to_be_bytes());
    }

    pub(crate) fn read(bytes: &[u8; KEY_ENTRY_SIZE]) -> Self {
        let word = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        let low = u32::from_be_bytes(std::array::from_fn(|i| bytes[16 + i]));
        Self { hash: word(0), place: word(8), time_low: low }
    }
}

/// All key entries of `bytes`.
pub(crate) fn read_key_entries(bytes: &[u8]) -> impl ExactSizeIterator<Item = KeyEntry> + '_ {
    bytes.as_chunks::<KEY_ENTRY_SIZE>().0.iter().map(KeyEntry::read)
}

/// The hash under which a key of a topic is found again; it is on disk, so it never changes.
///
/// Eight bytes a step, multiplied and folded: about 10 ns for a topic and a `UNIQ_KEY`. A collision
/// costs one record read, because every candidate is compared with the real key.
pub(crate) fn key_hash(topic: &str, key: &str) -> u64 {
    fold(fold(0x9E37_79B9_7F4A_7C15, topic.as_bytes()) ^ u64::from(b'#'), key.as_bytes())
}

fn fold(mut state: u64, bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0xD6E8_FEB8_6659_FD93;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut mix = |word: u64| {
        let product = u128::from(state ^ word) * u128::from(MULTIPLIER);
        state = (product >> 64) as u64 ^ product as u64 ^ word.rotate_left(32);
    };
    words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(u64::from_le_bytes(last));
    // The length keeps "a" and "a\0" apart.
    mix(bytes.len() as u64 ^ MULTIPLIER);
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_every_field_at_its_limits() {
        let limits = [
            (0, 0, 0, 0),
            ((1 << 45) - 1, u32::MAX, (1 << 48) - 1, i64::MIN),
            (123_456_789_012, 4_260_000, 1_795_000_000_123, -17),
        ];
        for (byte, size, ms, tag) in limits {
            let entry = Entry::new(byte, size, ms, tag);
            assert_eq!((entry.byte(), entry.size(), entry.stored_at_ms()), (byte, size, ms));
            let mut bytes = Vec::new();
            entry.write(&mut bytes);
            assert_eq!(read_entries(&bytes).collect::<Vec<_>>(), [entry]);

            let key = KeyEntry::new(u64::MAX - 5, byte, ms);
            assert_eq!((key.byte(), key.stored_at_ms()), (byte, ms));
            let mut bytes = Vec::new();
            key.write(&mut bytes);
            assert_eq!(bytes.len(), KEY_ENTRY_SIZE);
            assert_eq!(read_key_entries(&bytes).collect::<Vec<_>>(), [key]);
        }
    }

    #[test]
    fn key_hashes_differ_for_near_keys_and_never_change() {
        let keys = ["", "a", "a\0", "b", "12345678", "123456781", "abcdefgh12345678"];
        let mut hashes: Vec<u64> = keys.iter().map(|key| key_hash("topic", key)).collect();
        hashes.push(key_hash("topicX", "a"));
        hashes.push(key_hash("topic#a", ""));
        let unique: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(unique.len(), hashes.len());
        assert_eq!(key_hash("topic", "a"), key_hash("topic", "a"));
    }
}
