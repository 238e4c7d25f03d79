//! What a load that ends after a number of messages asks for in all: one count for all of its
//! threads, so that none of them is done with a part of its own while others are slower.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Messages that a load wants, less those that it has and those that it asks for.
///
/// Without a limit nothing is counted: no thread writes where others read.
#[derive(Debug)]
pub struct Demand {
    wanted: u64,
    /// Messages that have come, and those of requests that wait for an answer, where they are
    /// known before it.
    taken: AtomicU64,
}

impl Demand {
    /// A demand for `wanted` messages; `u64::MAX`: without a limit.
    pub fn of(wanted: u64) -> Arc<Self> {
        Arc::new(Self { wanted, taken: AtomicU64::new(0) })
    }

    /// Whether there is a limit.
    pub fn is_limited(&self) -> bool {
        self.wanted < u64::MAX
    }

    /// True when what has come and what is asked for is all that is wanted.
    pub fn is_met(&self) -> bool {
        self.is_limited() && self.taken.load(Ordering::Relaxed) >= self.wanted
    }

    /// Counts `messages` of a request as asked for, 0 if they are not known before its answer; the
    /// last request counts as a whole. False if nothing more is wanted.
    pub fn take(&self, messages: u64) -> bool {
        let more = |taken| (taken < self.wanted).then_some(taken + messages);
        !self.is_limited()
            || self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// A request for `messages` was answered with `came`, or is lost and brought none. What it did
    /// not bring is wanted again.
    pub fn settle(&self, messages: u64, came: u64) {
        if !self.is_limited() || messages == came {
            return;
        }
        // In one step: between two steps others would see a count that was never true.
        self.taken.fetch_add(came.wrapping_sub(messages), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demand_is_met_by_what_came_and_what_is_asked_for() {
        let demand = Demand::of(10);
        assert!(demand.take(4) && demand.take(4) && !demand.is_met());
        assert!(demand.take(4), "the last request is whole");
        assert!(demand.is_met() && !demand.take(4) && !demand.take(0));
        demand.settle(4, 4);
        assert!(demand.is_met());
        demand.settle(4, 0);
        assert!(!demand.is_met(), "what failed is wanted again");
        demand.settle(0, 2);
        assert!(demand.is_met() && !demand.take(0), "what was not foreseen counts when it comes");
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let demand = Demand::of(u64::MAX);
        assert!(demand.take(u64::MAX) && demand.take(u64::MAX) && !demand.is_met());
        demand.settle(1, 0);
        assert_eq!(demand.taken.load(Ordering::Relaxed), 0);
    }
}
