//! Deletion of what has expired: whole segments, oldest first, never the newest.
//!
//! A segment is as old as its newest message, whose store time is at most that of the first message
//! behind the segment: so file times do not matter. Only when that time lies in the future, or that
//! message cannot be read, do they stand in: after a wall clock that was ahead for a while, all
//! later messages have its time, since store times never fall, while their files tell when they
//! were written. A segment whose file names the future as well ages from the moment at which
//! retention first met such a one.
//!
//! The index follows: minima of queues rise, then the files leave. A crash in between is made up
//! for at the next start, which raises the minima to the first file. Who reads a file when it
//! leaves can go on for a minute.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ringmq_protocol::record::Record;
use ringmq_runtime::disk::Disk;

use crate::dead_segments::{READERS_LEFT_MAX, bury};
use crate::index_expiry::expire_indexes;
use crate::log::{Inner, Log};
use crate::lookup::read_record;
use crate::segment::Segment;

/// Segments deleted by one call at most (Apache's `deleteFileBatchMax`), so that the device serves
/// others in between.
const SEGMENTS_PER_CALL_MAX: usize = 10;

/// When a segment whose times lie in the future was first noticed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Early {
    /// End of the log at that moment: segments below it existed then.
    until: u64,
    /// Unix time in milliseconds.
    met_ms: i64,
}

/// What a call deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Files of the log.
    pub segments: usize,
    /// Of these, files that were deleted before their time.
    pub early: usize,
}

impl Log {
    /// Deletes segments that have expired at `now_ms`, Unix time: whose newest message is older
    /// than `reserved` (`fileReservedTime`). The caller decides when to ask
    /// (`cleanResourceInterval`), by which clock: what is deleted stays so when the clock is set
    /// right (`AgeClock`).
    ///
    /// # Errors
    /// As the file system says. The log goes on; another call goes on where this one stopped.
    pub async fn expire(&self, now_ms: i64, reserved: Duration) -> io::Result<Expired> {
        self.delete_segments(SEGMENTS_PER_CALL_MAX, now_ms, reserved, false).await
    }

    /// Deletes the oldest segment, expired or not, for lack of space. The caller has looked for
    /// that, has given back the space of deleted ones ([`Log::reclaim`]), and knows that no other
    /// log has an older one ([`Log::oldest_segment_ms`]).
    ///
    /// # Errors
    /// As [`Log::expire`].
    pub async fn delete_oldest(&self, now_ms: i64, reserved: Duration) -> io::Result<Expired> {
        self.delete_segments(1, now_ms, reserved, true).await
    }

    /// An upper bound of the store times in the oldest segment, Unix time in milliseconds, as it
    /// is known at `now_ms`; `None` while no segment may go.
    ///
    /// # Errors
    /// As the file system says.
    pub async fn oldest_segment_ms(&self, now_ms: i64) -> io::Result<Option<i64>> {
        oldest_segment_time(&self.inner, now_ms).await
    }

    /// Gives back the space of deleted segments now, whoever still reads them; how many they were,
    /// with those that another call was just at.
    pub async fn reclaim(&self) -> usize {
        bury(&self.inner, Duration::ZERO).await
    }

    async fn delete_segments(
        &self,
        segments_max: usize,
        now_ms: i64,
        reserved: Duration,
        may_be_early: bool,
    ) -> io::Result<Expired> {
        let inner = &self.inner;
        bury(inner, READERS_LEFT_MAX).await;
        let mut done = Expired::default();
        while done.segments < segments_max {
            let Some(newest_ms) = oldest_segment_time(inner, now_ms).await? else { break };
            let is_old = now_ms.saturating_sub(newest_ms) > reserved.as_millis() as i64;
            if !is_old && !may_be_early {
                break;
            }
            drop_oldest(inner).await?;
            done.segments += 1;
            done.early += usize::from(!is_old);
        }
        if done.segments > 0 {
            drop_index_files(inner).await?;
            bury(inner, READERS_LEFT_MAX).await;
        }
        Ok(done)
    }
}

/// An upper bound of the store times in the oldest segment; `None` while it must not go.
async fn oldest_segment_time(inner: &Inner, now_ms: i64) -> io::Result<Option<i64>> {
    let (oldest, behind) = {
        let state = inner.state.borrow();
        let (min, end) = (state.segments.min(), state.segments.min() + state.segments.size);
        // The indexes have to know all of its queues before it goes, or their offsets would start
        // anew.
        let is_settled = state.marks.written() > end && inner.indexed.get() >= end;
        let behind = state.segments.find(end).filter(|_| is_settled).cloned();
        (state.segments.find(min).cloned(), behind)
    };
    let (Some(oldest), Some(behind)) = (oldest, behind) else { return Ok(None) };
    match first_stored_at_ms(inner, behind.base).await {
        Some(stored_at_ms) if stored_at_ms <= now_ms => Ok(Some(stored_at_ms)),
        _ => file_time(inner, &oldest, now_ms).map(Some),
    }
}

/// Store time of the record that a segment begins with; `None` when it cannot be read, or is not
/// what was written: one bad sector must neither keep all files for ever nor let one go early.
async fn first_stored_at_ms(inner: &Inner, base: u64) -> Option<i64> {
    match read_record(inner, base).await {
        Ok(Some(bytes)) => Record::parse(&bytes).ok().map(|record| record.stored_at_ms),
        Ok(None) => None,
        // The scrubber tells people.
        Err(error) => {
            tracing::debug!("the age of a segment: {error}");
            None
        }
    }
}

/// The time of a segment by its file: its messages do not tell, or were stored in the future.
fn file_time(inner: &Inner, oldest: &Segment, now_ms: i64) -> io::Result<i64> {
    let modified_ms = oldest.file.modified_ms()?;
    if modified_ms <= now_ms {
        return Ok(modified_ms);
    }
    let known = inner.early.get().filter(|early| {
        // The clock may have been set back once more.
        oldest.base < early.until && early.met_ms <= now_ms
    });
    let early = known
        .unwrap_or_else(|| Early { until: inner.state.borrow().marks.appended(), met_ms: now_ms });
    inner.early.set(Some(early));
    Ok(early.met_ms)
}

/// The indexes go first: a reader then gets a status instead of a missing file. The segment is one
/// of the log until its file is gone: those behind it must not go before it, or the row has a hole
/// at the next start. Another call tries again.
async fn drop_oldest(inner: &Inner) -> io::Result<()> {
    let (next, path, dir) = {
        let segments = &inner.state.borrow().segments;
        let min = segments.min();
        (min + segments.size, segments.path(min), segments.dir.clone())
    };
    expire_indexes(inner, next).await;
    remove_if_there(&inner.disk, path).await?;
    let dead = inner.state.borrow_mut().segments.pop_oldest();
    if let Some(segment) = dead {
        inner.dead_segments.add(segment);
    }
    inner.disk.sync_dir(dir).await
}

/// An attempt that failed may have removed the file all the same.
async fn remove_if_there(disk: &Disk, path: PathBuf) -> io::Result<()> {
    match disk.remove_file(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Deletes files of the index stream that neither a queue, a run nor a snapshot needs.
async fn drop_index_files(inner: &Inner) -> io::Result<()> {
    let needed_from = {
        let state = inner.state.borrow();
        let snapshots = inner.snapshots.borrow();
        let blocks = state.queues.iter().filter_map(|(_, queue)| queue.directory.front());
        let blocks = blocks.map(|block| block.at);
        let runs = state.keys.runs().iter().map(|run| run.at);
        blocks.chain(runs).chain([snapshots.previous_stream_at]).min().unwrap_or(0)
    };
    loop {
        let Some(path) = inner.index_files.borrow().oldest_below(needed_from) else {
            return Ok(());
        };
        remove_if_there(&inner.disk, path).await?;
        inner.index_files.borrow_mut().forget_oldest();
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use ringmq_runtime::sim::World;
    use ringmq_runtime::task;

    use super::*;
    use crate::append::tests::message;
    use crate::cache::Cache;
    use crate::frame::FRAME_HEADER_BYTES;
    use crate::options::{FlushPolicy, LogOptions};
    use crate::position::LogId;
    use crate::queue::Expiry;

    const BLOCK_ENTRIES: u64 = 8;

    /// A log with a block of the index whose messages are half in the first segment.
    async fn log_with_a_block_across_segments(world: &World) -> (Log, u64, u64) {
        let options = LogOptions {
            segment_size_bytes: 64 << 10,
            record_size_max_bytes: 24 << 10,
            fill_step_bytes: 16 << 10,
            flush: FlushPolicy::Sync,
            checkpoint_interval: Duration::from_millis(10),
            queue_block_entries: BLOCK_ENTRIES as usize,
            queue_recent_entries_max: BLOCK_ENTRIES as usize,
            ..LogOptions::default()
        };
        let opened = Log::open(&world.disk(0), "log", LogId(0), options).await;
        let (log, _) = opened.expect("the log opens");
        while log.stats().segments < 3 {
            let end = log.append(&message("topic", 0, &[7; 5000]), 1).expect("room").end;
            while log.acknowledged_beyond(log.acknowledged()).await.expect("no fault") < end {}
        }
        task::sleep(Duration::from_secs(1)).await;
        let (size, found) = {
            let state = log.inner.state.borrow();
            let queue = state.queues.iter().next().expect("a queue").1;
            (state.segments.size, queue.expiry(state.segments.size))
        };
        let Expiry::Inside { block, .. } = found else { panic!("{found:?}") };
        *log.inner.blocks.borrow_mut() = Cache::new(0);
        (log, size, block.at)
    }

    async fn min_without_the_first_segment(log: &Log, size: u64) -> u64 {
        expire_indexes(&log.inner, size).await;
        log.queue_range("topic", 0).expect("a queue").0.0
    }

    #[test]
    fn who_asks_for_space_is_told_of_what_another_call_gives_back_just_then() {
        let world = World::new(1);
        world.run(async {
            let (log, ..) = log_with_a_block_across_segments(&world).await;
            let log = Rc::new(log);
            drop_oldest(&log.inner).await.expect("no fault");
            let at_it = task::spawn("another call", {
                let log = Rc::clone(&log);
                async move { log.reclaim().await }
            });
            task::yield_now().await;
            assert!(!at_it.is_finished(), "the device takes its time");
            assert_eq!(log.reclaim().await, 1, "no message has to go for this space");
            assert_eq!((at_it.await, log.reclaim().await), (1, 0));
        });
    }

    #[test]
    fn a_block_that_is_damaged_costs_no_message_that_lives() {
        let world = World::new(1);
        world.run(async {
            let (log, size, block_at) = log_with_a_block_across_segments(&world).await;
            let (base, _) = log.inner.index_files.borrow().file_of(block_at).expect("its file");
            let path = format!("log/queueindex/{base:020}");
            world.flip_bit(0, &path, block_at - base + FRAME_HEADER_BYTES as u64, 3);
            let min = min_without_the_first_segment(&log, size).await;
            assert!(min > 0 && min.is_multiple_of(BLOCK_ENTRIES), "rounded down, not {min}");
            let lives_from = size.div_ceil(5000 + 200);
            assert!(min <= lives_from, "message {lives_from} lives, the minimum is {min}");
        });
    }
}
