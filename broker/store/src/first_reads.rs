//! Which chunks of a log were read past the page cache: what is read again after that goes through
//! it, and is there for whoever comes third.
//!
//! So a catch-up that nobody follows leaves the page cache to others, and where several groups
//! catch up one after the other the device is read twice, however many they are.

use std::collections::BTreeMap;

/// Chunks of a row, a bit each.
const ROW_CHUNKS: u64 = 64;

/// Rows of one log: 512 GiB in chunks of 128 KiB. Beyond it the oldest of the log is forgotten,
/// which at worst is read past the page cache once more; it is deleted first, too.
const ROWS_MAX: usize = 64 << 10;

/// What was read once.
#[derive(Debug, Default)]
pub(crate) struct FirstReads {
    rows: BTreeMap<u64, u64>,
}

impl FirstReads {
    /// Whether the chunk of this number was not read yet.
    pub(crate) fn would_be_first(&self, number: u64) -> bool {
        let row = self.rows.get(&(number / ROW_CHUNKS)).copied().unwrap_or_default();
        row & bit_of(number) == 0
    }

    /// Notes that it is read.
    pub(crate) fn note(&mut self, number: u64) {
        *self.rows.entry(number / ROW_CHUNKS).or_default() |= bit_of(number);
        if self.rows.len() > ROWS_MAX {
            self.rows.pop_first();
        }
    }
}

fn bit_of(number: u64) -> u64 {
    1 << (number % ROW_CHUNKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is the first time; the next time it is not.
    fn is_first(reads: &mut FirstReads, number: u64) -> bool {
        let is_first = reads.would_be_first(number);
        reads.note(number);
        is_first
    }

    #[test]
    fn each_chunk_is_read_for_the_first_time_once() {
        let mut reads = FirstReads::default();
        for number in [0, 63, 64, 1 << 40] {
            assert!(is_first(&mut reads, number), "{number}");
            assert!(!is_first(&mut reads, number), "{number}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_of_the_log_is_forgotten() {
        let mut reads = FirstReads::default();
        for row in 0..=ROWS_MAX as u64 {
            assert!(is_first(&mut reads, row * ROW_CHUNKS));
        }
        assert_eq!(reads.rows.len(), ROWS_MAX);
        assert!(!is_first(&mut reads, ROW_CHUNKS));
        assert!(is_first(&mut reads, 0));
    }
}
