//! A bounded good that connections share: none has more of it than a part of what is still free.
//!
//! Those that come and go share it evenly without any list of the greedy: each gives back, and gets
//! no more than the others. Those that keep what they have leave less and less to newcomers; where
//! something can be taken back, [`Shares::level`] says from whom.

use ringmq_runtime::random::HashMap;

use crate::link::ConnectionKey;

/// What is there, and who has how much of it.
#[derive(Debug)]
pub struct Shares {
    total: usize,
    /// The part of what is free that one may have: 1 for all of it, 8 for an eighth.
    part: usize,
    taken: usize,
    of: HashMap<ConnectionKey, usize>,
}

impl Shares {
    /// `total` of something, all of it free. A connection that is alone can have half of it with a
    /// `part` of 1, and an `n + 1`-th with one of `n`.
    pub fn new(total: usize, part: usize) -> Self {
        Self { total, part, taken: 0, of: HashMap::default() }
    }

    /// Most that a connection gets when it is alone: a larger request is never granted.
    pub fn most_of_one(&self) -> usize {
        self.total / (self.part + 1)
    }

    /// What one connection has.
    pub fn of(&self, connection: ConnectionKey) -> usize {
        self.of.get(&connection).copied().unwrap_or(0)
    }

    /// Takes `amount` for a connection, unless it would then have more than its part of what is
    /// left free. Whether it got it.
    #[must_use]
    pub fn take(&mut self, connection: ConnectionKey, amount: usize) -> bool {
        let has = self.of(connection) + amount;
        if !is_fair(has, self.part, self.taken + amount, self.total) {
            return false;
        }
        self.taken += amount;
        self.of.insert(connection, has);
        true
    }

    /// What each connection may keep so that a quarter of all is free again.
    pub fn level(&self) -> usize {
        let mut left = self.total - self.total / 4;
        if self.taken <= left {
            return usize::MAX;
        }
        let mut amounts: Vec<usize> = self.of.values().copied().collect();
        amounts.sort_unstable();
        for (index, amount) in amounts.iter().enumerate() {
            let with_more = amounts.len() - index;
            if amount * with_more > left {
                return left / with_more;
            }
            left -= amount;
        }
        usize::MAX
    }

    /// The connections that have more than `level`, and how much more.
    pub fn above(&self, level: usize) -> impl Iterator<Item = (ConnectionKey, usize)> {
        let above = move |(key, has): (&ConnectionKey, &usize)| (*key, has.saturating_sub(level));
        self.of.iter().map(above).filter(|(_, excess)| *excess > 0)
    }

    /// Gives back what the connection took.
    ///
    /// # Panics
    /// When it has less.
    pub fn give_back(&mut self, connection: ConnectionKey, amount: usize) {
        let has = self.of(connection);
        assert!(has >= amount, "{amount} given back by a connection that has {has}");
        self.taken -= amount;
        if has == amount {
            self.of.remove(&connection);
        } else {
            self.of.insert(connection, has - amount);
        }
    }
}

/// Whether `has` is no more than the `part`-th part of what is free when `taken` of `total` is
/// taken.
pub fn is_fair(has: usize, part: usize, taken: usize, total: usize) -> bool {
    has * part + taken <= total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(id: u64) -> ConnectionKey {
        ConnectionKey { shard: 0, id }
    }

    fn take_all(shares: &mut Shares, id: u64) -> usize {
        while shares.take(connection(id), 1) {}
        shares.of(connection(id))
    }

    #[test]
    fn one_alone_has_half_and_those_that_give_back_share_evenly() {
        let mut shares = Shares::new(1200, 1);
        assert_eq!(take_all(&mut shares, 1), 600);
        assert_eq!(take_all(&mut shares, 2), 300, "the first keeps what it has");
        shares.give_back(connection(1), 200);
        assert_eq!(take_all(&mut shares, 2), 400);
        assert_eq!(take_all(&mut shares, 1), 400, "each has a third, and a third is free");
        assert_eq!(take_all(&mut Shares::new(900, 8), 1), 100);
        for (total, part) in [(1200, 1), (900, 8), (1000, 8)] {
            let mut alone = Shares::new(total, part);
            let most = alone.most_of_one();
            assert!(!alone.take(connection(1), most + 1) && alone.take(connection(1), most));
        }
    }

    #[test]
    fn the_greedy_are_levelled_until_a_quarter_is_free() {
        let mut shares = Shares::new(1 << 14, 1);
        assert_eq!(shares.level(), usize::MAX);
        // Each takes half of what the one before it left.
        for id in 0..20 {
            take_all(&mut shares, id);
        }
        assert!(!shares.take(connection(99), 1));
        let level = shares.level();
        let above: Vec<_> = shares.above(level).collect();
        assert!(above.iter().all(|(key, _)| key.id < 3), "{level}: {above:?}");
        for (key, excess) in above {
            shares.give_back(key, excess);
        }
        let free = (1 << 14) - shares.taken;
        assert!(((1 << 12)..(1 << 12) + 20).contains(&free), "{free} are free");
        assert!(shares.take(connection(99), 1 << 10));
    }

    #[test]
    fn what_is_given_back_is_free_and_leaves_no_trace() {
        let mut shares = Shares::new(100, 1);
        assert!(shares.take(connection(1), 50));
        assert!(!shares.take(connection(1), 1));
        shares.give_back(connection(1), 50);
        assert!(shares.of.is_empty());
        assert!(shares.take(connection(2), 50));
    }

    #[test]
    fn amounts_differ() {
        let mut shares = Shares::new(100, 1);
        assert!(!shares.take(connection(1), 51));
        assert!(shares.take(connection(1), 30));
        assert!(!shares.take(connection(1), 21), "51 would be more than the 49 that are left");
        assert!(shares.take(connection(1), 20));
        assert!(shares.take(connection(2), 25));
    }
}
