//! Lookups by key: messages that carry one, the newest first.
//!
//! Entries in memory are in the order of the log, and those of one hash in a run as well, so
//! nothing is sorted: a lookup goes back through memory in steps, and then through the runs on
//! disk, one after the other. A key that every message carries holds up nobody and takes no memory.

use std::ops::RangeInclusive;

use ringmq_protocol::record::Record;
use ringmq_runtime::buffer::Shared;
use ringmq_runtime::task;

use crate::blocks;
use crate::entry::{KEY_ENTRY_SIZE, KeyEntry, key_hash, read_key_entries};
use crate::error::ReadError;
use crate::frame::FRAME_HEADER_BYTES;
use crate::keys::{KeyRun, matches};
use crate::log::{Inner, Log};
use crate::terms::Terms;
use crate::unreadable;

/// Entries in memory that are looked at in one step: 400 KiB, 0.1 ms.
const STEP_ENTRIES: usize = 16 << 10;

/// A lookup by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyQuery<'a> {
    /// Topic of the messages.
    pub topic: &'a str,
    /// Their `UNIQ_KEY`, or one word of their `KEYS`.
    pub key: &'a str,
    /// Earliest and latest store time, Unix milliseconds, both included.
    pub from_ms: i64,
    /// See `from_ms`.
    pub until_ms: i64,
    /// Messages wanted at most.
    pub count: usize,
    /// What the lookup may cost.
    pub limits: KeyLimits,
}

/// What a lookup by key may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// Most bytes of messages found; the first one may be larger.
    pub bytes: usize,
    /// Most reads: of runs of the key index on disk, and of messages that may carry the key, found
    /// or not. A key that does not exist costs a read of every run of the time asked for.
    pub reads: usize,
}

/// What a lookup by key found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFound {
    /// The messages, newest first.
    pub records: Vec<Shared>,
    /// Reads that were made.
    pub reads: usize,
    /// When they did not suffice: the store time of the newest that was not looked at, Unix
    /// milliseconds.
    pub unread_ms: Option<i64>,
    /// Why messages that may carry the key are not among these: they, or a part of the key index,
    /// could not be read.
    pub problem: Option<String>,
}

impl Log {
    /// Messages that carry a key, newest first, as far as the limits allow and they can be read.
    /// Every record is read and compared, so collisions of hashes do not show.
    ///
    /// # Errors
    /// When a message that the index names is damaged.
    pub async fn query_by_key(&self, query: KeyQuery<'_>) -> Result<KeyFound, ReadError> {
        let inner = &*self.inner;
        let mut search = Search::new(self, query);
        let mut below = u64::MAX;
        // A checkpoint may move entries from memory to a new run meanwhile, so the runs are those
        // of the moment at which the last step through memory was made.
        let runs = loop {
            let (candidates, next, runs) = {
                let keys = &inner.state.borrow().keys;
                let (candidates, next) = keys.look_back(search.hash, below, STEP_ENTRIES);
                let fits = |run: &&KeyRun| next.is_none() && search.may_be_in(run);
                let newest_first = keys.runs().iter().rev().filter(fits).copied();
                // One more than can be read shows whether all were.
                let runs: Vec<KeyRun> = newest_first.take(search.reads_left() + 1).collect();
                (candidates, next, runs)
            };
            search.check(candidates).await?;
            match next {
                Some(next) if !search.is_full() => below = next,
                _ => break runs,
            }
            task::yield_if_needed().await;
        };
        for run in runs {
            if search.is_full() || !search.may_read(run.max_ms) {
                break;
            }
            match search_run(inner, run, search.hash).await {
                Ok(mut candidates) => {
                    candidates.reverse();
                    search.check(candidates).await?;
                }
                Err(error) => search.problem = Some(error.to_string()),
            }
        }
        Ok(search.end())
    }
}

/// A lookup that is under way.
struct Search<'a> {
    log: &'a Log,
    query: KeyQuery<'a>,
    hash: u64,
    /// Log byte of the oldest candidate so far: only older ones are news.
    checked: u64,
    found: Vec<Shared>,
    found_bytes: usize,
    /// One more was found that does not fit.
    has_more: bool,
    reads: usize,
    unread_ms: Option<u64>,
    /// Why a candidate could not be read.
    problem: Option<String>,
}

impl<'a> Search<'a> {
    fn new(log: &'a Log, query: KeyQuery<'a>) -> Self {
        let hash = key_hash(query.topic, query.key);
        Self {
            log,
            query,
            hash,
            checked: u64::MAX,
            found: Vec::new(),
            found_bytes: 0,
            has_more: false,
            reads: 0,
            unread_ms: None,
            problem: None,
        }
    }

    /// Whether nothing older is looked for.
    fn is_full(&self) -> bool {
        self.found.len() >= self.query.count || self.has_more || self.unread_ms.is_some()
    }

    fn reads_left(&self) -> usize {
        self.query.limits.reads - self.reads
    }

    /// Counts a read of what was stored at `stored_at_ms` and before, if one is left.
    fn may_read(&mut self, stored_at_ms: u64) -> bool {
        if self.reads_left() == 0 {
            self.unread_ms = Some(stored_at_ms);
            return false;
        }
        self.reads += 1;
        true
    }

    /// Takes a message, if it fits.
    fn take(&mut self, record: Shared) {
        let bytes = self.found_bytes + record.len();
        if !self.found.is_empty() && bytes > self.query.limits.bytes {
            self.has_more = true;
            return;
        }
        self.found_bytes = bytes;
        self.found.push(record);
    }

    fn time(&self) -> RangeInclusive<u64> {
        let time = |ms: i64| u64::try_from(ms).unwrap_or(0);
        time(self.query.from_ms)..=time(self.query.until_ms)
    }

    /// Whether a run has messages of the time that is asked for.
    fn may_be_in(&self, run: &KeyRun) -> bool {
        let time = self.time();
        run.max_ms >= *time.start() && run.min_ms <= *time.end()
    }

    /// Takes the messages of entries, newest first, that really carry the key.
    async fn check(&mut self, candidates: Vec<KeyEntry>) -> Result<(), ReadError> {
        let time = self.time();
        for entry in candidates {
            if self.is_full() {
                return Ok(());
            }
            if entry.byte() >= self.checked {
                continue;
            }
            self.checked = entry.byte();
            if !time.contains(&entry.stored_at_ms()) {
                continue;
            }
            if !self.may_read(entry.stored_at_ms()) {
                return Ok(());
            }
            match self.verified(entry.byte()).await {
                Ok(Some(record)) => self.take(record),
                Ok(None) => {}
                Err(error @ ReadError::Io { .. }) => {
                    let problem = format!("could not be read just now: {error}");
                    unreadable::warn(&self.log.inner, entry.byte(), &problem);
                    self.problem = Some(error.to_string());
                }
                Err(error) => return Err(error),
            }
            task::yield_if_needed().await;
        }
        Ok(())
    }

    async fn verified(&self, byte: u64) -> Result<Option<Shared>, ReadError> {
        // Part of a run is read without its checksum: a bit may have flipped in there.
        let Some(position) = self.log.id().at_if_any(byte) else { return Ok(None) };
        let Some(bytes) = self.log.record_at(position).await? else { return Ok(None) };
        let carries = Record::parse(&bytes).is_ok_and(|record| {
            record.topic == self.query.topic && Terms::of_stored(&record).has_key(self.query.key)
        });
        Ok(carries.then_some(bytes))
    }

    fn end(self) -> KeyFound {
        KeyFound {
            records: self.found,
            reads: self.reads,
            unread_ms: self.unread_ms.map(|ms| ms as i64),
            problem: self.problem,
        }
    }
}

/// Entries of `hash` in a run on disk: a small read at the expected rank, and wider ones in the
/// rare case that it misses.
async fn search_run(inner: &Inner, run: KeyRun, hash: u64) -> Result<Vec<KeyEntry>, ReadError> {
    let count = run.count as usize;
    let mut range = run.guess(hash);
    loop {
        let at = run.at + (FRAME_HEADER_BYTES + range.start * KEY_ENTRY_SIZE) as u64;
        let bytes = blocks::read_stream(inner, at, range.len() * KEY_ENTRY_SIZE).await?;
        let entries: Vec<KeyEntry> = read_key_entries(&bytes).collect();
        if entries.len() != range.len() || !entries.is_sorted() {
            let what = format!("the key index run at {} of the index stream", run.at);
            return Err(ReadError::Damaged { log: inner.id, what });
        }
        let below = range.start == 0 || entries.first().is_some_and(|first| first.hash < hash);
        let above = range.end == count || entries.last().is_some_and(|last| last.hash > hash);
        if below && above {
            return Ok(matches(&entries, hash).to_vec());
        }
        let more = range.len().max(64);
        let start = if below { range.start } else { range.start.saturating_sub(more) };
        let end = if above { range.end } else { (range.end + more).min(count) };
        range = start..end;
        task::yield_if_needed().await;
    }
}

#[cfg(test)]
mod tests;
