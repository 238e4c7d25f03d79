//! Who may consume a queue in order: the locks behind `LOCK_BATCH_MQ` and `UNLOCK_BATCH_MQ`.
//!
//! A lock belongs to one client of one group for one queue. It lapses [`LOCK_HELD_MS`] after its
//! owner last asked for it; Java clients ask every 20 s and distrust a lock of their own after 30
//! s, so a lapse means a dead or stalled owner. Locks live in memory only: after a restart all
//! queues are free, and the owners renew theirs within 20 s.
//!
//! Invariants: at most one owner per queue and group; at most [`LOCKS_MAX`] locks, of which each
//! connection has a share; beyond that nothing new is granted (renewals are) and the caller may try
//! again when others lapsed. A lock counts for the connection that it was last asked for over,
//! unless that has its share already: then it counts where it did. Closing a connection releases
//! nothing: the client may be reconnecting, and the messages it holds are still in order.
//!
//! `clock_ms` is the monotonic clock's: a jump of the wall clock must not move locks.

mod expiry;

use std::collections::BTreeMap;

use crate::link::ConnectionKey;
use crate::shares::Shares;

pub use expiry::Expiry;

/// A lock that its owner does not renew for this long is free for others (Apache's default).
pub const LOCK_HELD_MS: u64 = 60_000;

/// Locks held at most, all groups together: about 100 MiB.
pub const LOCKS_MAX: usize = 1_000_000;

/// The part of the free locks that one connection may have: alone it has 111,111.
const LOCKS_PART: usize = 8;

#[derive(Debug)]
struct Lock {
    client: String,
    connection: ConnectionKey,
    renewed_at_clock_ms: u64,
}

impl Lock {
    fn has_lapsed(&self, clock_ms: u64) -> bool {
        clock_ms.saturating_sub(self.renewed_at_clock_ms) > LOCK_HELD_MS
    }
}

/// The locks of one group.
#[derive(Debug)]
struct GroupLocks<Q> {
    by_queue: BTreeMap<Q, Lock>,
    /// When one of them was last taken or renewed. It may be given back since, until the locks
    /// expire the next time: who asks often would otherwise have all of them looked through.
    renewed_at_clock_ms: u64,
}

/// The lock table; `Q` names a queue. It is ordered, so that it can be looked through in slices.
#[derive(Debug)]
pub struct QueueLocks<Q> {
    groups: BTreeMap<String, GroupLocks<Q>>,
    count: usize,
    shares: Shares,
}

impl<Q> Default for QueueLocks<Q> {
    fn default() -> Self {
        let shares = Shares::new(LOCKS_MAX, LOCKS_PART);
        Self { groups: BTreeMap::new(), count: 0, shares }
    }
}

impl<Q: Ord + Clone> QueueLocks<Q> {
    /// Takes or renews the locks of `queues` over `connection` and returns those that `client` now
    /// owns.
    pub fn lock(
        &mut self,
        connection: ConnectionKey,
        group: &str,
        client: &str,
        queues: &[Q],
        clock_ms: u64,
    ) -> Vec<Q> {
        let new = || GroupLocks { by_queue: BTreeMap::new(), renewed_at_clock_ms: clock_ms };
        let of_group = self.groups.entry(group.to_owned()).or_insert_with(new);
        let held = &mut of_group.by_queue;
        let mut owned = Vec::with_capacity(queues.len());
        for queue in queues {
            if let Some(lock) = held.get_mut(queue) {
                if lock.client != client && !lock.has_lapsed(clock_ms) {
                    continue;
                }
                client.clone_into(&mut lock.client);
                lock.renewed_at_clock_ms = clock_ms;
                if lock.connection != connection && self.shares.take(connection, 1) {
                    self.shares.give_back(lock.connection, 1);
                    lock.connection = connection;
                }
            } else if self.shares.take(connection, 1) {
                let client = client.to_owned();
                let lock = Lock { client, connection, renewed_at_clock_ms: clock_ms };
                held.insert(queue.clone(), lock);
                self.count += 1;
            } else {
                continue;
            }
            owned.push(queue.clone());
        }
        if !owned.is_empty() {
            of_group.renewed_at_clock_ms = clock_ms;
        }
        if of_group.by_queue.is_empty() {
            self.groups.remove(group);
        }
        owned
    }

    /// Frees those of `queues` that `client` owns; locks of others stay.
    pub fn unlock(&mut self, group: &str, client: &str, queues: &[Q]) {
        let Some(of_group) = self.groups.get_mut(group) else { return };
        let held = &mut of_group.by_queue;
        for queue in queues {
            if held.get(queue).is_some_and(|lock| lock.client == client)
                && let Some(lock) = held.remove(queue)
            {
                self.shares.give_back(lock.connection, 1);
                self.count -= 1;
            }
        }
        if held.is_empty() {
            self.groups.remove(group);
        }
    }

    /// For how long, in milliseconds, the group holds at least one lock, unless it gives some back
    /// before; 0 when it holds none.
    ///
    /// A message that a client sends back itself while its group consumes in order goes to the dead
    /// letters.
    pub fn held_for_ms(&self, group: &str, clock_ms: u64) -> u64 {
        self.held_until(group).map_or(0, |until| until.saturating_sub(clock_ms))
    }

    /// Until when that is, by the clock that locks know.
    pub fn held_until(&self, group: &str) -> Option<u64> {
        self.groups.get(group).map(|of_group| of_group.renewed_at_clock_ms + LOCK_HELD_MS)
    }

    /// Locks held, all groups together.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no lock is held.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVER: ConnectionKey = ConnectionKey { shard: 0, id: 1 };

    struct World(QueueLocks<u32>);

    impl World {
        fn check_lock(&mut self, client: &str, queues: &[u32], clock_ms: u64, owned: &[u32]) {
            let locked = self.0.lock(OVER, "g", client, queues, clock_ms);
            assert_eq!(locked, owned, "{client} at {clock_ms}");
        }
    }

    fn world() -> World {
        World(QueueLocks::default())
    }

    /// Looks through all locks, one at a time; the groups that hold some for less long.
    fn expire(locks: &mut QueueLocks<u32>, clock_ms: u64) -> Vec<String> {
        let mut expiry = Expiry::default();
        while locks.expire_next(&mut expiry, 1, clock_ms) {}
        expiry.shortened
    }

    #[test]
    fn a_queue_has_one_owner_until_the_lock_lapses() {
        let mut world = world();
        world.check_lock("a", &[0, 1], 0, &[0, 1]);
        world.check_lock("b", &[0, 1, 2], 1, &[2]);
        world.check_lock("b", &[0], LOCK_HELD_MS, &[]);
        world.check_lock("b", &[0], LOCK_HELD_MS + 1, &[0]);
        world.check_lock("a", &[0], LOCK_HELD_MS + 2, &[]);
    }

    #[test]
    fn renewing_extends_a_lock() {
        let mut world = world();
        world.check_lock("a", &[0], 0, &[0]);
        world.check_lock("a", &[0], 50_000, &[0]);
        world.check_lock("b", &[0], 100_000, &[]);
        assert_eq!(world.0.held_for_ms("g", 100_000), 10_000);
    }

    #[test]
    fn only_the_owner_can_unlock() {
        let mut world = world();
        world.check_lock("a", &[0], 0, &[0]);
        world.0.unlock("g", "b", &[0]);
        world.check_lock("b", &[0], 1, &[]);
        world.0.unlock("g", "a", &[0]);
        assert!(world.0.is_empty());
        world.check_lock("b", &[0], 2, &[0]);
    }

    #[test]
    fn the_time_that_a_group_holds_locks_changes_only_with_its_locks() {
        let mut world = world();
        world.check_lock("a", &[], 5, &[]);
        assert_eq!(world.0.held_until("g"), None);
        world.check_lock("a", &[0], 10, &[0]);
        world.check_lock("b", &[0], 20, &[]);
        world.check_lock("b", &[], 30, &[]);
        world.0.unlock("g", "b", &[0]);
        assert_eq!(world.0.held_until("g"), Some(10 + LOCK_HELD_MS));
        world.0.unlock("g", "a", &[0]);
        assert_eq!(world.0.held_until("g"), None);
    }

    #[test]
    fn groups_do_not_disturb_each_other() {
        let mut locks = QueueLocks::default();
        assert_eq!(locks.lock(OVER, "g1", "a", &[0], 0), [0]);
        assert_eq!(locks.lock(OVER, "g2", "b", &[0], 0), [0]);
        assert_eq!(locks.len(), 2);
    }

    #[test]
    fn lapsed_locks_leave_the_table() {
        let mut locks = QueueLocks::default();
        locks.lock(OVER, "g1", "a", &[0, 1], 0);
        locks.lock(OVER, "g2", "b", &[0], 30_000);
        expire(&mut locks, LOCK_HELD_MS + 1);
        assert_eq!(locks.len(), 1);
        assert_eq!(locks.held_for_ms("g1", LOCK_HELD_MS + 1), 0);
    }

    #[test]
    fn a_lock_that_was_given_back_counts_until_the_locks_expire_at_most() {
        let mut world = world();
        world.check_lock("a", &[0], 0, &[0]);
        world.check_lock("b", &[1], 50_000, &[1]);
        assert!(expire(&mut world.0, 50_001).is_empty(), "it is as was said");
        world.0.unlock("g", "b", &[1]);
        assert_eq!(expire(&mut world.0, 55_000), ["g"]);
        assert_eq!(world.0.held_until("g"), Some(LOCK_HELD_MS));
        assert!(expire(&mut world.0, LOCK_HELD_MS + 1).is_empty(), "it ends when that was said");
        assert_eq!(world.0.held_until("g"), None);

        world.check_lock("a", &[0], 100_000, &[0]);
        world.check_lock("b", &[1], 150_000, &[1]);
        world.0.unlock("g", "b", &[1]);
        assert_eq!(expire(&mut world.0, 100_001 + LOCK_HELD_MS), ["g"], "it holds none any more");
        assert_eq!(world.0.held_until("g"), None);
    }

    #[test]
    fn one_connection_has_its_share_and_gets_it_back_in_every_way_a_lock_ends() {
        let mut locks = QueueLocks { shares: Shares::new(90, LOCKS_PART), ..QueueLocks::default() };
        let all: Vec<u32> = (0..90).collect();
        let other = ConnectionKey { shard: 0, id: 2 };
        assert_eq!(locks.lock(OVER, "g", "a", &all, 0), all[..10]);
        assert_eq!(locks.lock(other, "h", "b", &all[..5], 0), all[..5], "others find room");
        assert_eq!(locks.lock(OVER, "g", "a", &all, 1), all[..10], "renewals are granted");
        // A client that reconnected has its locks, and they count for its new connection.
        assert_eq!(locks.lock(other, "g", "a", &all[..10], 2), all[..10]);
        assert!(locks.shares.of(other) > 5);
        locks.unlock("g", "a", &all);
        assert_eq!((locks.len(), locks.shares.of(OVER), locks.shares.of(other)), (5, 0, 5));
        expire(&mut locks, LOCK_HELD_MS + 3);
        assert_eq!(locks.shares.of(other), 0);
    }
}
