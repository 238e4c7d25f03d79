//! The key index: which messages may carry a key, by the hash of `topic#key`.
//!
//! New entries collect in memory in log order. When there are enough of them and the log below them
//! is durable, a checkpoint sorts them by hash and writes them as one run; memory keeps 48 bytes
//! per run. A lookup searches memory and the runs whose time fits, newest first, each with about
//! one small read, because hashes are spread evenly over a run.

use std::ops::Range;

use crate::entry::{KEY_ENTRY_SIZE, KeyEntry};
use crate::frame::{FrameKind, FrameWriter};

/// Entries in memory beyond which a checkpoint must come first, in runs: 100 MB by default.
const RUNS_IN_MEMORY_MAX: usize = 64;

/// One sorted run of key entries in the index stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyRun {
    /// Place of its frame in the index stream.
    pub(crate) at: u64,
    /// Entries in it.
    pub(crate) count: u32,
    /// Store times of its oldest and newest message.
    pub(crate) min_ms: u64,
    pub(crate) max_ms: u64,
    /// Log byte of its newest message.
    pub(crate) max_byte: u64,
}

impl KeyRun {
    /// Describes `entries`, which stand at `at`; `None` when there are none.
    pub(crate) fn of(at: u64, entries: impl Iterator<Item = KeyEntry>) -> Option<Self> {
        let mut run = Self { at, count: 0, min_ms: u64::MAX, max_ms: 0, max_byte: 0 };
        for entry in entries {
            run.count += 1;
            run.min_ms = run.min_ms.min(entry.stored_at_ms());
            run.max_ms = run.max_ms.max(entry.stored_at_ms());
            run.max_byte = run.max_byte.max(entry.byte());
        }
        (run.count > 0).then_some(run)
    }

    /// Entries among which `hash` is almost surely found: the expected rank and four standard
    /// deviations around it.
    pub(crate) fn guess(&self, hash: u64) -> Range<usize> {
        let count = self.count as usize;
        let rank = ((u128::from(hash) * u128::from(self.count)) >> 64) as usize;
        let spread = 2 * (count.isqrt() + 1);
        rank.saturating_sub(spread)..(rank + spread).min(count)
    }
}

/// What one checkpoint wrote, to be applied when it is durable.
#[derive(Debug)]
pub(crate) struct KeysSaved {
    runs: Vec<KeyRun>,
    moved: usize,
    saved: usize,
}

/// The key index of a log.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    recent: Vec<KeyEntry>,
    /// Entries at the front of `recent` that are on disk.
    saved: usize,
    runs: Vec<KeyRun>,
    run_entries: usize,
}

impl KeyIndex {
    /// An empty index whose runs are to hold `run_entries` entries.
    pub(crate) fn new(run_entries: usize) -> Self {
        Self {
            recent: Vec::with_capacity(2 * run_entries),
            saved: 0,
            runs: Vec::new(),
            run_entries,
        }
    }

    pub(crate) fn push(&mut self, entry: KeyEntry) {
        self.recent.push(entry);
    }

    /// Entries in memory.
    pub(crate) fn recent_entries(&self) -> usize {
        self.recent.len()
    }

    /// Whether enough entries for a run are in memory.
    pub(crate) fn is_crowded(&self) -> bool {
        self.recent.len() >= self.run_entries
    }

    /// Whether as many entries are in memory as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.recent.len() > RUNS_IN_MEMORY_MAX * self.run_entries
    }

    /// Runs on disk, oldest first.
    pub(crate) fn runs(&self) -> &[KeyRun] {
        &self.runs
    }

    /// Entries in memory, in log order.
    pub(crate) fn recent(&self) -> &[KeyEntry] {
        &self.recent
    }

    /// Takes over a run: from disk at start, or after a checkpoint wrote it.
    pub(crate) fn adopt_run(&mut self, run: KeyRun) {
        self.recent.drain(..(run.count as usize).min(self.recent.len()));
        self.saved = self.saved.saturating_sub(run.count as usize);
        self.runs.push(run);
    }

    /// Takes over entries from disk at start.
    pub(crate) fn adopt_entries(&mut self, entries: impl Iterator<Item = KeyEntry>) {
        self.recent.extend(entries);
        self.saved = self.recent.len();
    }

    /// Forgets what lies below log byte `byte`. Entries that stay point at nothing and are skipped
    /// by lookups.
    pub(crate) fn expire(&mut self, byte: u64) {
        self.runs.retain(|run| run.max_byte >= byte);
    }

    /// Entries of `hash` among the newest `count` of messages below log byte `below`, the newest
    /// first, and the log byte below which there are older ones in memory.
    pub(crate) fn look_back(
        &self,
        hash: u64,
        below: u64,
        count: usize,
    ) -> (Vec<KeyEntry>, Option<u64>) {
        let end = self.count_below(below);
        let at = end.saturating_sub(count);
        // A message stays whole.
        let from = self.recent.get(at).map_or(at, |entry| self.count_below(entry.byte()));
        let looked_at = self.recent[from..end].iter().rev();
        let found = looked_at.filter(|entry| entry.hash == hash).copied().collect();
        (found, self.recent[..from].last().map(|_| self.recent[from].byte()))
    }

    /// Copies of the entries that make the full run of this number, of records below log byte
    /// `below`.
    pub(crate) fn full_run(&self, number: usize, below: u64) -> Option<Vec<KeyEntry>> {
        let settled = &self.recent[..self.count_below(below)];
        settled.chunks_exact(self.run_entries).nth(number).map(<[_]>::to_vec)
    }

    /// How many entries in memory are of records below log byte `below`.
    pub(crate) fn count_below(&self, below: u64) -> usize {
        self.recent.partition_point(|entry| entry.byte() < below)
    }

    /// Writes what is new since the last checkpoint of records below log byte `below`, but for
    /// `runs`: the full ones, which are written.
    pub(crate) fn save(&self, out: &mut FrameWriter, below: u64, runs: Vec<KeyRun>) -> KeysSaved {
        let settled = self.count_below(below);
        let moved = runs.len() * self.run_entries;
        let unsaved = self.saved.max(moved);
        if unsaved < settled {
            out.put(FrameKind::Keys, 0, 0, &encode(&self.recent[unsaved..settled]));
        }
        KeysSaved { runs, moved, saved: settled }
    }

    /// Notes that a checkpoint is durable.
    pub(crate) fn saved(&mut self, saved: KeysSaved) {
        let moved = saved.moved.min(self.recent.len());
        // All runs at once: each for itself would move the whole rest.
        self.recent.drain(..moved);
        self.saved = self.saved.max(saved.saved).saturating_sub(moved);
        self.runs.extend(saved.runs);
        // A crowd that has left does not keep its 100 MB.
        let kept = 2 * self.run_entries;
        if self.recent.capacity() > 2 * kept && self.recent.len() <= kept {
            self.recent.shrink_to(kept);
        }
    }
}

/// Sorts a run and encodes it: 3 ms for one of the usual size, so not on a shard's own thread.
pub(crate) fn encode_run(mut entries: Vec<KeyEntry>) -> EncodedRun {
    entries.sort_unstable();
    EncodedRun { payload: encode(&entries), run: KeyRun::of(0, entries.into_iter()) }
}

/// A run that is ready to be written.
pub(crate) struct EncodedRun {
    payload: Vec<u8>,
    run: Option<KeyRun>,
}

impl EncodedRun {
    /// Writes it; `None` if it has no entries.
    pub(crate) fn put(self, out: &mut FrameWriter) -> Option<KeyRun> {
        let at = out.put(FrameKind::KeyRun, 0, 0, &self.payload);
        self.run.map(|run| KeyRun { at, ..run })
    }
}

fn encode(entries: &[KeyEntry]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(entries.len() * KEY_ENTRY_SIZE);
    entries.iter().for_each(|entry| entry.write(&mut payload));
    payload
}

/// The entries of `hash` in a sorted part of a run.
pub(crate) fn matches(sorted: &[KeyEntry], hash: u64) -> &[KeyEntry] {
    let first = sorted.partition_point(|entry| entry.hash < hash);
    let end = sorted.partition_point(|entry| entry.hash <= hash);
    &sorted[first..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{key_hash, read_key_entries};
    use crate::frame::{FRAME_HEADER_BYTES, FrameHead};

    fn entry(number: u64) -> KeyEntry {
        KeyEntry::new(key_hash("topic", &number.to_string()), number * 10, 1000 + number)
    }

    fn save(index: &mut KeyIndex, out: &mut FrameWriter, below: u64) {
        let full = (0..).map_while(|number| index.full_run(number, below));
        let runs = full.filter_map(|run| encode_run(run).put(out)).collect();
        let saved = index.save(out, below, runs);
        index.saved(saved);
    }

    fn index_with(entries: u64, run_entries: usize) -> KeyIndex {
        let mut index = KeyIndex::new(run_entries);
        (0..entries).for_each(|number| index.push(entry(number)));
        index
    }

    #[test]
    fn a_checkpoint_writes_durable_entries_once_and_full_runs_sorted() {
        let mut index = index_with(25, 10);
        let mut out = FrameWriter::new(0, 1 << 20, 0, Vec::new());
        save(&mut index, &mut out, 230);
        assert_eq!((index.runs().len(), index.recent_entries(), index.saved), (2, 5, 3));

        let (bytes, _) = out.finish();
        let head = FrameHead::parse(&bytes).expect("a frame");
        assert_eq!(head.kind, FrameKind::KeyRun);
        let sorted: Vec<_> = read_key_entries(&bytes[FRAME_HEADER_BYTES..head.len()]).collect();
        assert!(sorted.is_sorted());
        assert_eq!(matches(&sorted, entry(7).hash), [entry(7)]);
        assert_eq!(matches(&sorted, entry(17).hash), []);

        let mut out = FrameWriter::new(0, 1 << 20, 0, Vec::new());
        save(&mut index, &mut out, 250);
        assert_eq!(index.saved, index.recent_entries());
        let (bytes, _) = out.finish();
        let head = FrameHead::parse(&bytes).expect("a frame");
        assert_eq!((head.kind, head.payload_len), (FrameKind::Keys, 2 * KEY_ENTRY_SIZE));
    }

    #[test]
    fn a_crowd_of_entries_gives_its_memory_back_when_it_is_saved() {
        let mut index = index_with(600, 10);
        let mut out = FrameWriter::new(0, 1 << 20, 0, Vec::new());
        save(&mut index, &mut out, 5950);
        assert_eq!((index.runs().len(), index.recent_entries(), index.saved), (59, 10, 5));
        assert_eq!(index.recent(), (590..600).map(entry).collect::<Vec<_>>());
        assert!(index.recent.capacity() <= 40, "{} entries", index.recent.capacity());
    }

    #[test]
    fn a_look_back_in_steps_finds_every_entry_once_and_the_newest_first() {
        // Messages of three keys, the second of which they share.
        let mut index = KeyIndex::new(10);
        let shared = key_hash("topic", "shared");
        for number in 0..50 {
            let hashes = [entry(number).hash, shared, entry(number + 100).hash];
            hashes
                .into_iter()
                .for_each(|hash| index.push(KeyEntry::new(hash, number * 10, number)));
        }
        for count in [1, 2, 3, 4, 100, 1000] {
            let (mut found, mut below) = (Vec::new(), Some(u64::MAX));
            while let Some(limit) = below {
                let (more, next) = index.look_back(shared, limit, count);
                assert!(more.len() <= count.div_ceil(3) + 1, "{} in one step", more.len());
                found.extend(more.iter().map(|entry| entry.byte()));
                below = next;
            }
            assert_eq!(found, (0..50).rev().map(|number| number * 10).collect::<Vec<_>>());
        }
        assert_eq!(KeyIndex::new(10).look_back(shared, u64::MAX, 5), (vec![], None));
    }

    #[test]
    fn runs_leave_with_the_log_below_them() {
        let mut index = index_with(20, 10);
        let mut out = FrameWriter::new(0, 1 << 20, 0, Vec::new());
        save(&mut index, &mut out, 1000);
        index.expire(91);
        assert_eq!(index.runs().len(), 1);
        assert_eq!((index.runs()[0].min_ms, index.runs()[0].max_ms), (1010, 1019));
    }

    #[test]
    fn a_guess_covers_nearly_every_hash_of_a_run() {
        let mut sorted: Vec<_> = (0..10_000).map(entry).collect();
        sorted.sort_unstable();
        let run = KeyRun::of(0, sorted.iter().copied()).expect("a run");
        let missed = sorted
            .iter()
            .filter(|entry| matches(&sorted[run.guess(entry.hash)], entry.hash).is_empty())
            .count();
        assert!(missed <= 10, "{missed} of 10000 missed");
    }
}
