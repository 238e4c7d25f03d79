//! Seeds of orders that are drawn: they are told, so that a run can be repeated.

use ringmq_runtime::random;

/// Seeds are short enough to be typed.
const SEEDS: u64 = 1_000_000;

/// The seed that was named, or a new one.
pub fn named_or_new(named: Option<u64>) -> u64 {
    named.unwrap_or_else(|| random::seed_u64() % SEEDS)
}
