//! A bounded cache of things read from the device, with the clock algorithm: a second chance for
//! what was used.

use ringmq_runtime::random::HashMap;

struct Slot<V> {
    key: u64,
    value: V,
    weight: usize,
    was_used: bool,
}

/// Values by key, of at most `budget` weight in all. Values are cheap to clone.
pub(crate) struct Cache<V> {
    slots: Vec<Slot<V>>,
    by_key: HashMap<u64, usize>,
    hand: usize,
    weight: usize,
    budget: usize,
}

impl<V: Clone> Cache<V> {
    pub(crate) fn new(budget: usize) -> Self {
        Self { slots: Vec::new(), by_key: HashMap::default(), hand: 0, weight: 0, budget }
    }

    pub(crate) fn get(&mut self, key: u64) -> Option<V> {
        let slot = &mut self.slots[*self.by_key.get(&key)?];
        slot.was_used = true;
        Some(slot.value.clone())
    }

    /// Adds a value, or replaces the one that is there. What does not fit at all is left out.
    pub(crate) fn put(&mut self, key: u64, value: V, weight: usize) {
        self.remove(key);
        if weight > self.budget {
            return;
        }
        while self.weight + weight > self.budget {
            self.evict_one();
        }
        self.weight += weight;
        self.by_key.insert(key, self.slots.len());
        self.slots.push(Slot { key, value, weight, was_used: false });
    }

    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    fn remove(&mut self, key: u64) {
        if let Some(index) = self.by_key.get(&key).copied() {
            self.take(index);
        }
    }

    fn evict_one(&mut self) {
        loop {
            self.hand = if self.hand >= self.slots.len() { 0 } else { self.hand };
            let slot = &mut self.slots[self.hand];
            if !std::mem::take(&mut slot.was_used) {
                return self.take(self.hand);
            }
            self.hand += 1;
        }
    }

    fn take(&mut self, index: usize) {
        let slot = self.slots.swap_remove(index);
        self.by_key.remove(&slot.key);
        self.weight -= slot.weight;
        if let Some(moved) = self.slots.get(index) {
            self.by_key.insert(moved.key, index);
        }
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
    fn values_are_replaced_and_removed_by_key() {
        let mut cache = Cache::new(30);
        cache.put(7, "old", 10);
        cache.put(7, "new", 20);
        assert_eq!((cache.get(7), cache.weight()), (Some("new"), 20));
        cache.put(9, "other", 5);
        cache.remove(7);
        assert_eq!((cache.get(7), cache.get(9), cache.weight()), (None, Some("other"), 5));
    }
}
