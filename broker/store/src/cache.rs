//! A bounded cache of things read from the device: what was used, or came, longest ago makes way.
//!
//! Readers go along queues, and what they want next is read ahead: it stays, although all that is
//! older has been used since.

use lru::LruCache;
use ringmq_runtime::random::Hasher;

struct Slot<V> {
    value: V,
    weight: usize,
}

/// Values by key, of at most `budget` weight in all. Values are cheap to clone.
pub(crate) struct Cache<V> {
    slots: LruCache<u64, Slot<V>, Hasher>,
    weight: usize,
    budget: usize,
}

impl<V: Clone> Cache<V> {
    pub(crate) fn new(budget: usize) -> Self {
        let slots = LruCache::unbounded_with_hasher(Hasher::default());
        Self { slots, weight: 0, budget }
    }

    pub(crate) fn get(&mut self, key: u64) -> Option<V> {
        self.slots.get(&key).map(|slot| slot.value.clone())
    }

    /// Adds a value, or replaces the one that is there. What does not fit at all is left out.
    pub(crate) fn put(&mut self, key: u64, value: V, weight: usize) {
        let replaced = self.slots.pop(&key);
        self.weight -= replaced.map_or(0, |slot| slot.weight);
        if weight > self.budget {
            return;
        }
        while self.weight + weight > self.budget {
            let Some((_, oldest)) = self.slots.pop_lru() else { break };
            self.weight -= oldest.weight;
        }
        self.weight += weight;
        self.slots.put(key, Slot { value, weight });
    }

    pub(crate) fn weight(&self) -> usize {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_holds_and_used_values_stay_longer() {
        let mut cache = Cache::new(30);
        (0..3).for_each(|key| cache.put(key, key, 10));
        assert_eq!(cache.get(0), Some(0));
        cache.put(3, 3, 10);
        assert_eq!((cache.get(0), cache.get(1), cache.get(3)), (Some(0), None, Some(3)));
        cache.put(4, 4, 31);
        assert_eq!((cache.get(4), cache.weight()), (None, 30));
    }

    #[test]
    fn what_was_read_ahead_stays_though_all_that_is_older_was_used() {
        let mut cache = Cache::new(80);
        (0..8).for_each(|key| cache.put(key, key, 10));
        assert!((0..8).all(|key| cache.get(key).is_some()));
        // As four readers do, each of whom has what it will want next read ahead.
        for key in 8..100 {
            cache.put(key, key, 10);
            assert_eq!(cache.get(key - 3), Some(key - 3));
        }
    }

    #[test]
    fn values_are_replaced() {
        let mut cache = Cache::new(30);
        cache.put(7, "old", 10);
        cache.put(7, "new", 20);
        assert_eq!((cache.get(7), cache.weight()), (Some("new"), 20));
        cache.put(9, "other", 15);
        assert_eq!((cache.get(7), cache.get(9), cache.weight()), (None, Some("other"), 15));
        cache.put(9, "too large", 31);
        assert_eq!((cache.get(9), cache.weight()), (None, 0));
    }
}
