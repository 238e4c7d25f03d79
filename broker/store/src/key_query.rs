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

/// A lookup stops when it has found so much: more than any answer holds.
const FOUND_MAX_BYTES: usize = 16 << 20;

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
}

impl Log {
    /// Messages that carry a key, newest first, as far as they fit an answer and can be read. Every
    /// record is read and compared, so collisions of hashes do not show.
    ///
    /// # Errors
    /// When the device can read none of several, or the index is damaged there.
    pub async fn query_by_key(&self, query: KeyQuery<'_>) -> Result<Vec<Shared>, ReadError> {
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
                let runs: Vec<KeyRun> = keys.runs().iter().filter(fits).copied().collect();
                (candidates, next, runs)
            };
            search.check(candidates).await?;
            match next {
                Some(next) if !search.is_full() => below = next,
                _ => break runs,
            }
            task::yield_if_needed().await;
        };
        for run in runs.into_iter().rev() {
            if search.is_full() {
                break;
            }
            let mut candidates = search_run(inner, run, search.hash).await?;
            candidates.reverse();
            search.check(candidates).await?;
        }
        search.end()
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
    /// Why a candidate could not be read.
    problem: Option<ReadError>,
}

impl<'a> Search<'a> {
    fn new(log: &'a Log, query: KeyQuery<'a>) -> Self {
        let hash = key_hash(query.topic, query.key);
        let (found, problem) = (Vec::new(), None);
        Self { log, query, hash, checked: u64::MAX, found, found_bytes: 0, problem }
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.query.count || self.found_bytes >= FOUND_MAX_BYTES
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
            if !time.contains(&entry.store_ms()) {
                continue;
            }
            match self.verified(entry.byte()).await {
                Ok(Some(record)) => {
                    self.found_bytes += record.len();
                    self.found.push(record);
                }
                Ok(None) => {}
                Err(error @ ReadError::Io { .. }) => {
                    unreadable::warn(&self.log.inner, entry.byte(), &error.to_string());
                    self.problem = Some(error);
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
            record.topic == self.query.topic
                && Terms::of_stored(&record).keys().any(|key| key == self.query.key)
        });
        Ok(carries.then_some(bytes))
    }

    fn end(self) -> Result<Vec<Shared>, ReadError> {
        self.problem.filter(|_| self.found.is_empty()).map_or(Ok(self.found), Err)
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
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use ringmq_protocol::record::NewRecord;
    use ringmq_runtime::sim::World;

    use super::*;
    use crate::append::tests::message;
    use crate::options::{FlushPolicy, LogOptions};
    use crate::position::{LOG_MAX_BYTES, LogId};

    #[test]
    fn a_place_that_no_log_can_have_is_no_message_however_it_came_into_a_run() {
        let world = World::new(1);
        world.run(async {
            let opened = Log::open(&world.disk(0), "log", LogId(0), LogOptions::default()).await;
            let (log, _) = opened.expect("the log opens");
            let query = KeyQuery { topic: "t", key: "k", from_ms: 0, until_ms: 9, count: 1 };
            for byte in [LOG_MAX_BYTES, (1 << 48) - 1] {
                let found = Search::new(&log, query).verified(byte).await;
                assert_eq!(found.expect("nothing is read"), None, "byte {byte}");
            }
        });
    }

    #[test]
    fn a_lookup_of_what_every_message_carries_gives_way() {
        const MESSAGES: usize = 40;
        let world = World::new(1);
        let options = LogOptions { flush: FlushPolicy::Sync, ..LogOptions::default() };
        world.run(async {
            let opened = Log::open(&world.disk(0), "log", LogId(0), options).await;
            let (log, _) = opened.expect("the log opens");
            let keys = format!("KEYS\u{1}{}\u{2}", "k ".repeat(STEP_ENTRIES / 2));
            for _ in 0..MESSAGES {
                let sent = NewRecord { properties: &keys, ..message("topic", 0, b"body") };
                log.append(&sent, 1000).expect("room");
            }
            let query = KeyQuery { topic: "topic", key: "k", from_ms: 1, until_ms: 2, count: 9 };
            let mut asking = pin!(log.query_by_key(query));
            let mut steps = 0;
            let counted = poll_fn(|context| {
                steps += 1;
                asking.as_mut().poll(context)
            });
            assert_eq!(counted.await.expect("readable").len(), 0);
            // The simulated world has a turn for others at every fourth occasion.
            assert!(steps > MESSAGES / 16, "all in {steps} steps");
        });
    }
}
