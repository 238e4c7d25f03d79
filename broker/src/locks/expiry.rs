//! Lapsed locks leave the table, which is looked through in slices: there may be a million.

use std::ops::Bound;

use super::{LOCK_HELD_MS, QueueLocks};

/// How far a look through all locks has come; begin with the default.
#[derive(Debug)]
pub struct Expiry<Q> {
    /// The last group that was looked through.
    last: Option<String>,
    /// The one behind it, once it is looked through.
    within: Option<Within<Q>>,
    /// The groups that hold locks for less long than [`QueueLocks::held_until`] said before, since
    /// the newest was given back.
    pub shortened: Vec<String>,
}

/// A group of which some locks were looked at.
#[derive(Debug)]
struct Within<Q> {
    group: String,
    began_clock_ms: u64,
    /// The last of them, and when the newest was taken or renewed.
    behind: Option<Q>,
    newest_clock_ms: u64,
}

impl<Q> Default for Expiry<Q> {
    fn default() -> Self {
        Self { last: None, within: None, shortened: Vec::new() }
    }
}

impl<Q: Ord + Clone> QueueLocks<Q> {
    /// Drops the lapsed ones of the next `count` locks, which bounds memory to the live ones. False
    /// when all were looked at.
    ///
    /// What changes between two slices is found now or by the next look.
    pub fn expire_next(&mut self, expiry: &mut Expiry<Q>, count: usize, clock_ms: u64) -> bool {
        let mut left = count;
        while left > 0 {
            let begun = expiry.within.take();
            let next = begun.or_else(|| self.begin_behind(expiry.last.as_deref(), clock_ms));
            let Some(mut within) = next else { return false };
            left -= self.drop_lapsed(&mut within, left, clock_ms);
            if left == 0 {
                expiry.within = Some(within);
            } else {
                if self.end_group(&within, clock_ms) {
                    expiry.shortened.push(within.group.clone());
                }
                expiry.last = Some(within.group);
            }
        }
        true
    }

    fn begin_behind(&self, last: Option<&str>, clock_ms: u64) -> Option<Within<Q>> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let (group, _) = self.groups.range::<str, _>((from, Bound::Unbounded)).next()?;
        let group = group.clone();
        Some(Within { group, began_clock_ms: clock_ms, behind: None, newest_clock_ms: 0 })
    }

    /// Drops the lapsed ones of the next `count` locks of a group; how many there were to look at.
    fn drop_lapsed(&mut self, within: &mut Within<Q>, count: usize, clock_ms: u64) -> usize {
        let Some(of_group) = self.groups.get_mut(&within.group) else { return 0 };
        let from = within.behind.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut looked_at, mut last, mut lapsed) = (0, None, Vec::new());
        for (queue, lock) in of_group.by_queue.range::<Q, _>((from, Bound::Unbounded)).take(count) {
            if lock.has_lapsed(clock_ms) {
                lapsed.push(queue.clone());
            } else {
                within.newest_clock_ms = within.newest_clock_ms.max(lock.renewed_at_clock_ms);
            }
            looked_at += 1;
            last = Some(queue);
        }
        if let Some(last) = last.cloned() {
            within.behind = Some(last);
        }
        for queue in lapsed {
            let lock = of_group.by_queue.remove(&queue).expect("it was just looked at");
            self.shares.give_back(lock.connection, 1);
            self.count -= 1;
        }
        looked_at
    }

    /// Notes for how long a group holds locks; whether that is less than was said.
    fn end_group(&mut self, within: &Within<Q>, clock_ms: u64) -> bool {
        let Some(of_group) = self.groups.get_mut(&within.group) else { return false };
        let renewed_at_clock_ms = of_group.renewed_at_clock_ms;
        let newest_clock_ms = if of_group.by_queue.is_empty() {
            self.groups.remove(&within.group);
            0
        } else if renewed_at_clock_ms < within.began_clock_ms {
            of_group.renewed_at_clock_ms = within.newest_clock_ms;
            within.newest_clock_ms
        } else {
            // One that was taken or renewed meanwhile may have been looked at before.
            renewed_at_clock_ms
        };
        // What ends by now needs nobody to say so.
        newest_clock_ms < renewed_at_clock_ms && renewed_at_clock_ms + LOCK_HELD_MS > clock_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::ConnectionKey;

    const OVER: ConnectionKey = ConnectionKey { shard: 0, id: 1 };

    const QUEUES: [u32; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

    /// Locks of "a" and "c", taken at 0, and a look at them that has come to the middle of "a".
    fn half_way(clock_ms: u64) -> (QueueLocks<u32>, Expiry<u32>) {
        let (mut locks, mut expiry) = (QueueLocks::default(), Expiry::default());
        for group in ["a", "c"] {
            locks.lock(OVER, group, "client", &QUEUES, 0);
        }
        assert!(locks.expire_next(&mut expiry, 5, clock_ms));
        (locks, expiry)
    }

    /// Ends the look, which finds these groups shortened.
    fn check_rest(
        locks: &mut QueueLocks<u32>,
        mut expiry: Expiry<u32>,
        clock_ms: u64,
        shortened: &[&str],
    ) {
        while locks.expire_next(&mut expiry, 3, clock_ms) {}
        assert_eq!(expiry.shortened, shortened);
        let held: usize = locks.groups.values().map(|of_group| of_group.by_queue.len()).sum();
        assert_eq!((locks.len(), locks.shares.of(OVER)), (held, held));
    }

    #[test]
    fn a_slice_drops_no_more_than_its_count() {
        let (mut locks, mut expiry) = (QueueLocks::default(), Expiry::default());
        for group in ["a", "b", "c"] {
            locks.lock(OVER, group, "client", &[0, 1, 2], 0);
        }
        let mut left = Vec::new();
        while locks.expire_next(&mut expiry, 2, LOCK_HELD_MS + 1) {
            left.push(locks.len());
        }
        assert_eq!(left, [7, 5, 3, 1]);
        assert_eq!((locks.len(), expiry.shortened), (0, Vec::<String>::new()));
    }

    #[test]
    fn a_lock_that_is_renewed_behind_the_look_is_not_overlooked() {
        let now_ms = LOCK_HELD_MS / 2;
        let (mut locks, expiry) = half_way(now_ms);
        locks.lock(OVER, "a", "client", &[1], now_ms);
        check_rest(&mut locks, expiry, now_ms, &[]);
        let until = ["a", "c"].map(|group| locks.held_until(group));
        assert_eq!(until, [Some(now_ms + LOCK_HELD_MS), Some(LOCK_HELD_MS)]);
    }

    #[test]
    fn groups_that_go_and_come_under_the_look_are_told_as_they_are() {
        let now_ms = LOCK_HELD_MS / 2;
        let (mut locks, expiry) = half_way(now_ms);
        locks.unlock("a", "client", &QUEUES);
        locks.lock(OVER, "b", "client", &[0], now_ms);
        check_rest(&mut locks, expiry, now_ms, &[]);

        let (mut locks, expiry) = half_way(now_ms);
        locks.unlock("a", "client", &QUEUES);
        locks.lock(OVER, "a", "client", &[1], now_ms);
        check_rest(&mut locks, expiry, now_ms, &[]);
        assert_eq!(locks.held_until("a"), Some(now_ms + LOCK_HELD_MS));
    }

    #[test]
    fn what_is_given_back_under_the_look_shortens_its_group() {
        let (mut locks, expiry) = half_way(LOCK_HELD_MS / 2);
        locks.lock(OVER, "c", "client", &[9], LOCK_HELD_MS / 4);
        locks.unlock("c", "client", &[9]);
        check_rest(&mut locks, expiry, LOCK_HELD_MS / 2, &["c"]);
        assert_eq!(locks.held_until("c"), Some(LOCK_HELD_MS));
        // Also where nothing else of it is left.
        let now_ms = LOCK_HELD_MS + 1;
        let (mut locks, expiry) = half_way(now_ms);
        locks.lock(OVER, "a", "client", &[1], now_ms);
        locks.unlock("a", "client", &[1]);
        check_rest(&mut locks, expiry, now_ms, &["a"]);
        assert_eq!(locks.held_until("a"), None);
    }
}
