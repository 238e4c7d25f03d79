//! Chance: the one source of seeds, and maps whose hasher is seeded from it.

use std::cell::Cell;
use std::hash::BuildHasher;

use crate::live;
#[cfg(feature = "sim")]
use crate::sim;

/// The hasher of every map in RingMQ: fast, and not predictable for a peer that picks the keys.
///
/// A live thread draws one key; a simulated world fixes it, so that the order of iteration follows
/// from the seed.
#[derive(Clone, Copy, Debug)]
pub struct Hasher(u64);

/// A hash map with the runtime's hasher. Create it with `HashMap::default()`.
pub type HashMap<K, V> = hashbrown::HashMap<K, V, Hasher>;

/// A hash set with the runtime's hasher. Create it with `HashSet::default()`.
pub type HashSet<T> = hashbrown::HashSet<T, Hasher>;

impl Default for Hasher {
    fn default() -> Self {
        Self(hash_key())
    }
}

impl BuildHasher for Hasher {
    type Hasher = foldhash::fast::FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        foldhash::fast::FoldHasher::with_seed(self.0, foldhash::SharedSeed::global_fixed())
    }
}

/// A number that nobody can predict: for seeds and identities, not for streams of numbers.
///
/// Live it comes from the kernel, simulated from the world's seed.
#[must_use]
pub fn seed_u64() -> u64 {
    #[cfg(feature = "sim")]
    if let Some(world) = sim::current() {
        return world.draw();
    }
    live::sys::random::random_u64()
}

fn hash_key() -> u64 {
    #[cfg(feature = "sim")]
    if let Some(world) = sim::current() {
        return world.hash_key();
    }
    thread_local!(static KEY: Cell<Option<u64>> = const { Cell::new(None) });
    KEY.with(|key| {
        key.get().unwrap_or_else(|| {
            let drawn = live::sys::random::random_u64();
            key.set(Some(drawn));
            drawn
        })
    })
}

/// A small, fast and repeatable stream of numbers (SplitMix64). Not for secrets.
#[derive(Clone, Debug)]
pub struct Sequence(u64);

impl Sequence {
    /// A stream that depends on nothing but `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number of the stream, uniform over all of `u64`.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; 0 if `bound` is 0. The bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// True in `numerator` of `denominator` cases.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_depends_on_its_seed_only() {
        let draw = |seed| {
            let mut sequence = Sequence::new(seed);
            [sequence.next_u64(), sequence.next_u64(), sequence.below(10)]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn below_stays_below_and_reaches_all_values() {
        let mut sequence = Sequence::new(1);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[usize::try_from(sequence.below(7)).expect("below 7")] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(sequence.below(0), 0);
    }

    #[test]
    fn maps_of_one_thread_share_a_hasher_key() {
        let (a, b) = (Hasher::default(), Hasher::default());
        assert_eq!(a.hash_one("topic"), b.hash_one("topic"));
    }
}
