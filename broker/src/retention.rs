//! Which files of messages a shard deletes, and when: those that have expired, and for lack of
//! space the oldest.
//!
//! A shard deletes files of its own logs alone. For lack of space the oldest of all logs goes
//! first, whichever shard has it: a shard asks all of them before each file, and leaves the next
//! one to whoever has it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::{self, Instant};
use ringmq_runtime::task;
use ringmq_store::{AgeClock, LogId};

use crate::log_options;
use crate::logs::OwnedLog;
use crate::shard::DataPlane;

/// Time between two looks for expired segments (Apache's `cleanResourceInterval`), and the longest
/// in which a shard makes room before the next.
const PERIOD: Duration = Duration::from_secs(10);

/// Pause between two files that go for lack of space, so that the device serves others.
const ROOM_PAUSE: Duration = Duration::from_millis(100);

/// Pause where the next one is another shard's. All shards ask all others, so this bounds the
/// messages; and a file a second, mostly of a GiB, is more than a device takes.
const OTHERS_PAUSE: Duration = Duration::from_secs(1);

/// What the last look of a shard was, for others that ask it for its oldest file.
#[derive(Default)]
pub(crate) struct Looked {
    /// The time by which messages were old: Unix time in milliseconds. `None` before the first.
    now_ms: Cell<Option<i64>>,
    /// Logs whose oldest file could not be deleted since: those of others go meanwhile.
    failed: RefCell<Vec<LogId>>,
}

/// What one shard has that can go for lack of space.
#[derive(Default)]
struct Spare {
    /// Deleted files whose space came free just now.
    reclaimed: usize,
    /// The time of the oldest file of its logs, and the log that has it.
    oldest: Option<(i64, LogId)>,
}

impl DataPlane {
    /// Deletes what has expired, or has to go, from time to time.
    pub(crate) async fn run_retention(self: Rc<Self>, mut ages: AgeClock) {
        self.look_at_clock(&mut ages);
        loop {
            task::sleep(PERIOD).await;
            let now_ms = self.look_at_clock(&mut ages);
            self.running.looked.failed.borrow_mut().clear();
            let reserved = log_options::reserved(self.local.view().settings());
            for owned in self.local.logs() {
                let log = owned.log.id();
                match owned.log.expire(now_ms, reserved).await {
                    Ok(expired) => tracing::debug!(%log, ?expired, "retention"),
                    Err(error) => tracing::error!(%log, "retention: {error}"),
                }
            }
            self.make_room(now_ms, reserved).await;
        }
    }

    fn look_at_clock(&self, ages: &mut AgeClock) -> i64 {
        let now_ms = ages.look(clock::unix_ms(), Instant::now());
        self.running.looked.now_ms.set(Some(now_ms));
        now_ms
    }

    /// Deletes the oldest files of the broker while space is lacking, as far as they are this
    /// shard's, and waits for those of others.
    async fn make_room(self: &Rc<Self>, now_ms: i64, reserved: Duration) {
        let until = Instant::now() + PERIOD;
        while Instant::now() < until && self.lacks_space().await {
            let of_shards = self.on_all_shards(|data| async move { data.find_spare().await }).await;
            let reclaimed: usize = of_shards.iter().map(|spare| spare.reclaimed).sum();
            let oldest = of_shards.iter().filter_map(|spare| spare.oldest).min();
            let mut pause = ROOM_PAUSE;
            // The space of files that are gone comes before any message that has not expired.
            if reclaimed == 0 {
                let Some((_, log)) = oldest else { return };
                match self.local.log(usize::from(log.0)) {
                    Some(owned) => self.delete_oldest(owned, now_ms, reserved).await,
                    None => pause = OTHERS_PAUSE,
                }
            }
            task::sleep(pause).await;
        }
    }

    /// Whether so much of the disk is used that messages have to go before their time.
    async fn lacks_space(&self) -> bool {
        match self.disk.free_space().await {
            Ok(space) => {
                let used = space.total.saturating_sub(space.available);
                is_above(used, space.total, self.forced_above_percent())
            }
            Err(error) => {
                tracing::error!("retention: whether space is lacking is not known: {error}");
                false
            }
        }
    }

    fn forced_above_percent(&self) -> u8 {
        self.local.view().settings().disk_space_clean_forcibly_ratio
    }

    /// The oldest file of this shard's logs. Frees the space of those that are deleted, whoever
    /// reads them.
    async fn find_spare(&self) -> Spare {
        let mut spare = Spare::default();
        let Some(now_ms) = self.running.looked.now_ms.get() else { return spare };
        for owned in self.local.logs() {
            spare.reclaimed += owned.log.reclaim().await;
            let log = owned.log.id();
            if self.running.looked.failed.borrow().contains(&log) {
                continue;
            }
            // Its shard says what is wrong with a log, when it deletes something there.
            let oldest_ms = owned.log.oldest_segment_ms(now_ms).await.ok().flatten();
            let oldest = oldest_ms.map(|oldest_ms| (oldest_ms, log));
            spare.oldest = spare.oldest.into_iter().chain(oldest).min();
        }
        spare
    }

    /// Deletes the oldest file of a log, unless others have made room since this shard looked.
    async fn delete_oldest(&self, owned: &OwnedLog, now_ms: i64, reserved: Duration) {
        if !self.lacks_space().await {
            return;
        }
        let log = owned.log.id();
        match owned.log.delete_oldest(now_ms, reserved).await {
            Ok(expired) if expired.early > 0 => {
                tracing::warn!(
                    %log,
                    "a file of messages was deleted before its time (fileReservedTime): the disk \
                     is fuller than {} % (diskSpaceCleanForciblyRatio), or full",
                    self.forced_above_percent()
                );
            }
            Ok(expired) => tracing::debug!(%log, ?expired, "retention"),
            Err(error) => {
                tracing::error!(%log, "retention: {error}");
                self.running.looked.failed.borrow_mut().push(log);
            }
        }
    }
}

fn is_above(used: u64, total: u64, percent: u8) -> bool {
    u128::from(used) * 100 > u128::from(total) * u128::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_lacking_from_the_first_byte_above_the_limit_on_a_file_system_of_any_size() {
        for total in [1, 99, 199, 250, 1 << 20, (1 << 20) + 77, u64::MAX] {
            for percent in [10, 60, 85, 99] {
                let limit = (u128::from(total) * u128::from(percent) / 100) as u64;
                assert!(!is_above(limit, total, percent), "{limit} of {total}, {percent} %");
                assert!(is_above(limit + 1, total, percent), "{limit} + 1 of {total}, {percent} %");
            }
            assert!(!is_above(total, total, 100));
        }
    }
}
